/** `warren find`: files of all machines by their words. */
import { WarrenError } from '../../protocols/errors.ts'
import type { Coverage, FindItem, Hit } from '../../protocols/search/messages.ts'
import { usageError } from './failure.ts'
import { formatBytes, formatTime, plural, visible } from './format.ts'
import { displayWidth, renderTable, truncate } from './table.ts'
import type { Session } from './session.ts'

/** What `warren find` was told. */
export interface FindFlags {
  readonly limit?: number
  readonly host?: string
}

/** Finds files: a list for people, else one line a hit as it comes. */
export async function find(session: Session, words: readonly string[], flags: FindFlags): Promise<void> {
  // The parser lets unknown options through, because -word is the query's; --word hardly ever is.
  const option = words.find((word) => /^--[a-z]/.test(word))
  if (option !== undefined) {
    throw usageError(`unknown option '${option}'; warren find --help lists them. As a word, type '"${option}"'`)
  }
  const hits: Hit[] = []
  let coverage: Coverage | undefined
  await session.withNode(async (net) => {
    const items = net.call<FindItem>('search.find', {
      query: words.join(' '),
      ...(flags.limit === undefined ? {} : { limit: flags.limit }),
      ...(flags.host === undefined ? {} : { host: flags.host }),
    }, { signal: session.signal })
    for await (const item of items) {
      if (item.type === 'coverage') coverage = item
      else {
        hits.push(item.hit)
        if (!session.isTerminal) await session.print(session.json ? JSON.stringify(item.hit) : plainLine(item.hit))
      }
    }
  })
  if (session.isTerminal && hits.length > 0) await session.write(`${readable(session, hits).join('\n')}\n`)
  if (hits.length === 0 && !session.json) session.note('nothing found')
  if (coverage !== undefined) tellCoverage(session, coverage)
}

/** For programs without JSON: tabs part the fields, and a field holds none. */
function plainLine({ uri, name, host, size, modified, snippet }: Hit): string {
  return [uri, name, host, String(size), modified, snippet].map(visible).join('\t')
}

/** Three lines a hit: the row of a table, the snippet, and what to give to `warren cat`. */
function readable(session: Session, hits: readonly Hit[]): string[] {
  const bold = (text: string): string => session.style('bold', text)
  const dim = (text: string): string => session.style('dim', text)
  const [titles = '', ...rows] = renderTable([
    { title: '#', align: 'right' },
    { title: 'name', shrinks: true, style: (cell) => session.style('cyan', cell) },
    { title: 'host' },
    { title: 'size', align: 'right' },
    { title: 'modified' },
  ], hits.map((hit, at) => [
    String(at + 1), visible(hit.name), visible(hit.host || hit.node.slice(-8)), formatBytes(hit.size),
    formatTime(hit.modified),
  ]), { width: session.width, titleStyle: dim })
  const indent = ' '.repeat(String(hits.length).length + 2)
  return [titles, ...hits.flatMap((hit, at) => [
    rows[at] ?? '',
    ...(hit.snippet === '' ? [] : [indent + highlight(hit, session.width - indent.length, bold)]),
    // Not cut, so that it can be copied.
    indent + dim(visible(hit.uri)),
  ])]
}

interface Piece { readonly text: string, readonly isMatch: boolean }

/**
 * The snippet with its matches marked, in at most `width` columns; the first match is always in it.
 * @param matches ranges in UTF-16 code units, in order; ranges that cannot be are passed over.
 */
export function highlight(
  { snippet, matches }: Pick<Hit, 'snippet' | 'matches'>, width: number, mark: (text: string) => string,
): string {
  const pieces: Piece[] = []
  let end = 0
  for (const [from, to] of matches) {
    if (from < end || to <= from || to > snippet.length) continue
    pieces.push({ text: visible(snippet.slice(end, from)), isMatch: false })
    pieces.push({ text: visible(snippet.slice(from, to)), isMatch: true })
    end = to
  }
  pieces.push({ text: visible(snippet.slice(end)), isMatch: false })
  let left = width
  let line = ''
  for (const { text, isMatch } of startNearMatch(pieces, width)) {
    const shown = truncate(text, left)
    line += isMatch && shown !== '' ? mark(shown) : shown
    if (shown !== text) break
    left -= displayWidth(shown)
  }
  return line
}

/** Leaves out the beginning if the first match would be cut off otherwise. */
function startNearMatch(pieces: readonly Piece[], width: number): readonly Piece[] {
  const [before, match] = pieces
  if (before === undefined || match === undefined) return pieces
  if (displayWidth(before.text) + displayWidth(match.text) < width) return pieces
  const characters = [...before.text].slice(-Math.floor(width / 3)).join('')
  return [{ text: `…${characters}`, isMatch: false }, ...pieces.slice(1)]
}

/** Says on stderr whose files are not in the list; nothing if all machines answered. */
function tellCoverage(session: Session, coverage: Coverage): void {
  const { asked, answered, unreachable, dropped } = coverage
  if (asked > 0 && answered.length === 0) {
    throw new WarrenError('NODE_UNREACHABLE', `none of ${plural(asked, 'machine')} answered: ${reasons(coverage)}`)
  }
  if (unreachable.length === 0 && dropped === 0) return
  if (session.json) {
    session.io.stderr.write(`${JSON.stringify({ coverage })}\n`)
    return
  }
  if (unreachable.length > 0) {
    session.note(`${answered.length} of ${plural(asked, 'machine')} answered; missing: ${reasons(coverage)}`)
  }
  if (dropped > 0) session.note(`${plural(dropped, 'hit')} left out: a machine sent what cannot be true`)
}

function reasons({ unreachable }: Coverage): string {
  // Most reasons name the machine themselves, and a PeerId twice is a line of its own.
  return unreachable.map(({ name, node, reason }) =>
    name === '' && reason.includes(node) ? reason : `${name || node} (${reason})`).join(', ')
}

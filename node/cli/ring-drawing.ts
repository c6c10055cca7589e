/** A ring of ids drawn with characters: where this node is, its leaves, and the nodes of its table. Pure. */
import { plural, visible } from './format.ts'
import { renderPairs } from './table.ts'
import type { TextStyle } from './session.ts'

/** Another node as `node.ring` tells of it. */
export interface DrawnNode {
  readonly id: string
  readonly peerId: string
  /** `null` while it was not measured. */
  readonly rttMs: number | null
  readonly state: string
}

/** What is drawn of the answer of `node.ring`. */
export interface RingDrawing {
  readonly network: string
  readonly id: string
  readonly peerId: string
  readonly state: string
  readonly isLeased: boolean
  readonly left: readonly DrawnNode[]
  readonly right: readonly DrawnNode[]
  readonly leafSetCountMax: number
  readonly rows: readonly { readonly row: number, readonly slots: readonly (readonly DrawnNode[])[] }[]
  readonly links: number
  readonly refused: Readonly<Record<string, number>>
}

/** Colours text, or leaves it as it is. */
export type Paint = (format: TextStyle, text: string) => string

/** Characters of the circle, with room for the names of its quarters; a character is twice as high as wide. */
const COLUMNS = 37
const LINES = 17
/** A terminal narrower than this has no room for anything beside the circle. */
const BESIDE_WIDTH_MIN = 76
const GAP = '   '
/** Refusals that are listed; the others are in `--json`. */
const REFUSED_SHOWN = 4

const MARKS = { ring: '·', table: '○', leaf: '●', self: '◆' } as const
type Mark = keyof typeof MARKS

/** Leaves clockwise from this node, each once, with their side and how far away they are. */
export function leavesInOrder(place: RingDrawing): { side: string, node: DrawnNode }[] {
  const right = place.right.map((node, at) => ({ side: `+${at + 1}`, node }))
  const seen = new Set(place.right.map(({ id }) => id))
  const left = place.left.map((node, at) => ({ side: `-${at + 1}`, node })).filter(({ node }) => !seen.has(node.id))
  return [...left.reverse(), ...right]
}

/** The lines of the drawing: circle, facts and routing table. */
export function drawRing(
  place: RingDrawing, names: ReadonlyMap<string, string>, width: number, paint: Paint,
): string[] {
  const circle = drawCircle(place, names, paint)
  const table = drawTable(place, paint)
  const facts = [...describe(place, paint), '', ...table]
  if (width < BESIDE_WIDTH_MIN) return [...circle.map(({ text }) => text.trimEnd()), '', ...facts]
  const beside = Array.from({ length: Math.max(circle.length, facts.length) }, (_line, at) => {
    const drawn = circle[at] ?? { text: ' '.repeat(COLUMNS) }
    return `${drawn.text}${GAP}${facts[at] ?? ''}`.trimEnd()
  })
  return beside
}

function describe(place: RingDrawing, paint: Paint): string[] {
  const leaves = new Set([...place.left, ...place.right].map(({ id }) => id)).size
  const inTable = place.rows.flatMap(({ slots }) => slots.flat()).length
  const leased = place.isLeased ? 'with both leases' : 'without leases'
  const refused = Object.entries(place.refused).sort(([, a], [, b]) => b - a)
  const more = refused.length - REFUSED_SHOWN
  return renderPairs([
    ['network', visible(place.network)],
    ['id', `${place.id.slice(0, 8)}…${place.id.slice(-4)}`],
    ['state', `${paint(place.isLeased ? 'green' : 'yellow', place.state)}, ${leased}`],
    ['leaf set', `${leaves} of at most ${place.leafSetCountMax}`],
    ['table', `${plural(inTable, 'node')} in ${plural(place.rows.length, 'row')}`],
    ['links', String(place.links)],
    ...refused.slice(0, REFUSED_SHOWN).map(([reason, count], at) =>
      [at === 0 ? 'refused' : '', `${visible(reason).slice(0, 20)} ${count}`] as const),
    ...(more > 0 ? [['', `and ${more} more, see --json`] as const] : []),
  ], (label) => paint('dim', label))
}

/** The circle, each line exactly as wide as the others to the eye. */
function drawCircle(place: RingDrawing, names: ReadonlyMap<string, string>, paint: Paint): { text: string }[] {
  const cells = Array.from({ length: LINES }, () => new Map<number, Mark>())
  const put = (share: number, mark: Mark): void => {
    const [x, y] = [Math.sin(2 * Math.PI * share), -Math.cos(2 * Math.PI * share)]
    const column = Math.round((COLUMNS - 1) / 2 * (1 + x))
    cells[Math.round((LINES - 1) / 2 * (1 + y))]!.set(column, mark)
  }
  for (let step = 0; step < 240; step++) put(step / 240, 'ring')
  for (const { slots } of place.rows) for (const node of slots.flat()) put(shareOf(node.id), 'table')
  for (const node of [...place.left, ...place.right]) put(shareOf(node.id), 'leaf')
  put(shareOf(place.id), 'self')
  const middle = [
    names.get(place.peerId) ?? '', place.id.slice(0, 8), '',
    `${MARKS.self} this node`, `${MARKS.leaf} leaf     `, `${MARKS.table} in table `,
  ].map((text) => visible(text).slice(0, COLUMNS - 12))
  const top = Math.floor((LINES - middle.length) / 2)
  return cells.map((line, at) => ({ text: drawLine(line, middle[at - top] ?? '', paint) }))
}

function drawLine(line: ReadonlyMap<number, Mark>, middle: string, paint: Paint): string {
  const from = Math.floor((COLUMNS - middle.length) / 2)
  let text = ''
  for (let column = 0; column < COLUMNS; column++) {
    const mark = line.get(column)
    const letter = column >= from ? middle[column - from] : undefined
    text += mark === undefined ? letter ?? ' ' : paintMark(mark, paint)
  }
  return text
}

function paintMark(mark: Mark, paint: Paint): string {
  switch (mark) {
    case 'ring': return paint('dim', MARKS.ring)
    case 'table': return paint('cyan', MARKS.table)
    case 'leaf': return paint('green', MARKS.leaf)
    case 'self': return paint(['bold', 'yellow'], MARKS.self)
  }
}

/** How far around the ring an id is, from 0 at the top clockwise to 1. */
function shareOf(id: string): number {
  return Number.parseInt(id.slice(0, 12), 16) / 16 ** 12
}

/** One line for each row of the routing table: how many nodes each slot holds, `◆` for our own digit. */
function drawTable(place: RingDrawing, paint: Paint): string[] {
  if (place.rows.length === 0) return []
  const digits = '0123456789abcdef'
  const head = `${' '.repeat(7)}${[...digits].join(' ')}`
  return [paint('dim', head), ...place.rows.map(({ row, slots }) => {
    const shared = row === 0 ? '' : `${place.id.slice(0, Math.min(row, 4))}${row > 4 ? '…' : ''}`
    const cells = slots.map((slot, column) =>
      digits[column] === place.id[row] ? paint(['bold', 'yellow'], MARKS.self)
        : slot.length === 0 ? paint('dim', MARKS.ring) : paint('cyan', String(slot.length)))
    return `${shared.padEnd(7)}${cells.join(' ')}`
  })]
}

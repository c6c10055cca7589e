/** Answers a query from the store without holding up the other calls. */
import { setImmediate } from 'node:timers/promises'
import type { Hit, QueryOutput } from '../protocols/search/messages.ts'
import type { Query } from '../protocols/search/query.ts'
import { formatFileUri } from '../protocols/search/uri.ts'
import { matchExpression, readSnippet } from './match.ts'
import { joinRoot } from './serve.ts'
import type { IndexStore, Match } from './store.ts'

/** Snippets cut between two looks at other calls; each reads its document once more. */
const SNIPPETS_AT_ONCE = 4
/** The least score: one above 0, whatever rounding makes of a rank. */
const SCORE_MIN = 1e-12

/** This node, as hits name it. */
export interface Identity {
  /** PeerId. */
  readonly node: string
  /** The node's own name, or nothing. */
  readonly host: string
}

/**
 * The best hits of a query and the number of all files that match.
 * @param open gives the store, and throws once it is closed: between two looks it may become so.
 */
export async function answer(
  open: () => IndexStore, query: Query,
  { limit, identity, signal }: {
    readonly limit: number, readonly identity: Identity, readonly signal: AbortSignal,
  },
): Promise<QueryOutput> {
  const expression = matchExpression(query)
  const matches = open().search(expression, limit)
  const total = matches.length < limit ? matches.length : open().count(expression)
  const hits: Hit[] = []
  for (const [index, match] of matches.entries()) {
    if (index % SNIPPETS_AT_ONCE === SNIPPETS_AT_ONCE - 1) {
      await setImmediate()
      signal.throwIfAborted()
    }
    hits.push(toHit(match, open().snippet(expression, match.id), identity))
  }
  return { hits, total }
}

function toHit(match: Match, marked: string, { node, host }: Identity): Hit {
  return {
    uri: formatFileUri({ node, root: match.root, path: match.path }),
    name: match.path.slice(match.path.lastIndexOf('/') + 1),
    host, node,
    path: joinRoot(match.rootPath, match.path),
    size: match.size,
    modified: new Date(match.modified).toISOString(),
    score: Math.max(-match.rank, SCORE_MIN),
    ...readSnippet(marked),
  }
}

/** Puts what the machines answered into one list, and keeps out what cannot be true. */
import type { Host } from '../protocols/app.ts'
import { isName } from '../protocols/names.ts'
import { hitSchema, type Hit } from '../protocols/search/messages.ts'
import { formatFileUri, parseFileUri, type FileUri } from '../protocols/search/uri.ts'

/** The hits of one machine that may be shown, and how many may not. */
export interface Screened {
  readonly hits: Hit[]
  readonly dropped: number
}

/**
 * Checks one machine's hits: each must be whole, lie on that machine and be there once, and there
 * must not be more than were asked for. A machine can lie about its own files, never about
 * another's.
 */
export function screenHits(host: Host, claimed: readonly unknown[], limit: number): Screened {
  const hits = new Map<string, Hit>()
  // Whatever is beyond the limit is not even looked at: it may be a million.
  for (const value of claimed.slice(0, limit)) {
    const parsed = hitSchema.safeParse(value)
    if (!parsed.success) continue
    const hit = { ...parsed.data, host: hostName(host, parsed.data.host) }
    if (isTrue(hit, host.node) && !hits.has(hit.uri)) hits.set(hit.uri, hit)
  }
  return { hits: [...hits.values()], dropped: claimed.length - hits.size }
}

/** What this machine knows another by counts more than what that one says. */
function hostName(host: Host, claimed: string): string {
  if (host.name !== '') return host.name
  return isName('node', claimed) ? claimed : ''
}

function isTrue(hit: Hit, node: string): boolean {
  const parts = partsOf(hit.uri)
  if (parts === undefined || parts.node !== node || hit.node !== node) return false
  if (!hit.path.endsWith(`/${parts.path}`) || hit.path.includes('\0')) return false
  if (hit.name !== parts.path.slice(parts.path.lastIndexOf('/') + 1)) return false
  let end = 0
  return hit.matches.every(([from, to]) => {
    const fits = from >= end && from < to && to <= hit.snippet.length
    end = to
    return fits
  })
}

/** A URI in its parts, if it is written in the one way that makes equal files equal. */
function partsOf(uri: string): FileUri | undefined {
  try {
    const parts = parseFileUri(uri)
    return formatFileUri(parts) === uri ? parts : undefined
  } catch {
    return undefined
  }
}

/**
 * The best `limit` hits of all machines, best first; of equal scores the lower URI, so that order
 * is one.
 */
export function mergeHits(answers: readonly (readonly Hit[])[], limit: number): Hit[] {
  // URIs are ASCII: comparing characters is comparing bytes.
  const byUri = (one: Hit, other: Hit): number => one.uri < other.uri ? -1 : one.uri > other.uri ? 1 : 0
  return answers.flat()
    .sort((one, other) => other.score - one.score || byUri(one, other))
    .slice(0, limit)
}

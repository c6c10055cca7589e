/** Seshat, the search service: an app that asks all machines and gives one list, best first. */
import { defineApp, method, type Context, type Host } from '../protocols/app.ts'
import { WarrenError } from '../protocols/errors.ts'
import { printable } from '../protocols/names.ts'
import {
  findInputSchema, findItemSchema, type Coverage, type FindItem,
} from '../protocols/search/messages.ts'
import { parseQuery } from '../protocols/search/query.ts'
import { askHost, type Asked } from './ask.ts'
import { mergeHits } from './merge.ts'

/** Time that each machine has to answer: one that sleeps must not hold up those that are awake. */
const HOST_TIMEOUT_MS = 2_000
/**
 * Share of the caller's own time that machines get, so that what came in still gets back in time.
 */
const HOST_SHARE = 0.8

export default defineApp('search', {
  find: method({
    idempotent: true, input: findInputSchema, output: findItemSchema,
    description: 'The best files of all machines, best first, then which machines were asked.',
  }, async function* ({ query, limit, host }, context): AsyncGenerator<FindItem, void, undefined> {
    // A query that makes no sense is told to the caller before any machine is asked.
    parseQuery(query)
    const { signal } = context
    const hosts = choose(await context.net.hosts('indexer', { signal }), host)
    const timeoutMs = hostTimeoutMs(context)
    const asked = await Promise.all(hosts.map((one) =>
      askHost(context.net, one, { query, limit, timeoutMs, signal })))
    const coverage = coverageOf(asked)
    if (coverage.answered.length === 0) throw nobodyAnswered(coverage)
    const hits = mergeHits(asked.map((one) => one.answered ? one.hits : []), limit)
    for (const hit of hits) yield { type: 'hit', hit }
    yield coverage
  }),
})

/**
 * @throws {WarrenError} `APP_NOT_FOUND` if there is nobody to ask, `NODE_NOT_FOUND` if not the one
 * named.
 */
function choose(hosts: readonly Host[], wanted: string | undefined): readonly Host[] {
  if (hosts.length === 0) {
    throw new WarrenError('APP_NOT_FOUND', "no machine in reach serves the app 'indexer'",
      { started: false })
  }
  if (wanted === undefined) return hosts
  const chosen = hosts.filter((host) => host.node === wanted || host.name === wanted)
  if (chosen.length > 0) return chosen
  const known = hosts.map((host) => host.name === '' ? host.node : host.name).join(', ')
  throw new WarrenError('NODE_NOT_FOUND', `no machine ${printable(wanted)} with an indexer; `
    + `there are: ${known}`, { started: false })
}

function hostTimeoutMs({ timeoutMs }: Context): number {
  if (timeoutMs === undefined || !Number.isFinite(timeoutMs)) return HOST_TIMEOUT_MS
  return Math.max(1, Math.min(HOST_TIMEOUT_MS, Math.floor(timeoutMs * HOST_SHARE)))
}

function coverageOf(asked: readonly Asked[]): Coverage {
  const coverage: Coverage = {
    type: 'coverage', asked: asked.length, answered: [], unreachable: [], dropped: 0,
  }
  for (const one of asked) {
    const { node, name } = one.host
    if (one.answered) {
      coverage.answered.push({ node, name, total: one.total })
      coverage.dropped += one.dropped
    } else {
      coverage.unreachable.push({ node, name, reason: one.reason })
    }
  }
  return coverage
}

function nobodyAnswered({ unreachable }: Coverage): WarrenError {
  const reasons = unreachable.map(({ node, name, reason }) =>
    `${name === '' ? node : name} (${reason})`).join('; ')
  const what = unreachable.length === 1 ? 'the only machine with an indexer did not answer'
    : `none of the ${unreachable.length} machines with an indexer answered`
  return new WarrenError('NODE_UNREACHABLE', `${what}: ${reasons}`, { details: { unreachable } })
}

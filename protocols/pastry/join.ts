/**
 * Joining safely, in the states of LuPastry (Lu, Merz, Weidenbach; machine-checked for joins): waiting
 * until every leaf has answered, ok until both ring neighbours granted a lease, then ready.
 */
import { keyAt } from '../ids.ts'
import { emit, know, send, setState } from './core.ts'
import type { Core } from './core.ts'
import { settleState } from './lease.ts'
import type { Leases } from './lease.ts'
import type { Answer, NodeRef } from './messages.ts'
import type { Peer } from './peers.ts'
import { hint, isProbingLeaves, probe } from './probing.ts'
import type { Probing } from './probing.ts'

/** Bootstraps that are remembered, own ones and others'. */
const BOOTSTRAPS_MAX = 16

/** How far this node's own joining has come. */
export interface Join {
  bootstraps: readonly NodeRef[]
  nextBootstrap: number
  /** Bootstraps asked so far, again and again. */
  asked: number
  startedMs: number
  /** When to be alone rather than to go on waiting. */
  aloneAtMs: number
  isAsking: boolean
  /** Whether a ring has told us who our leaves may be; whoever else turns up before is no reason to go on. */
  isInformed: boolean
  /** When it got to `ok`, to start over if no lease comes. */
  okMs: number
  isAnnounced: boolean
  /** Rounds of gossip since it was ready. */
  tuningRounds: number
}

/** Not started. */
export function makeJoin(): Join {
  return {
    bootstraps: [], nextBootstrap: 0, asked: 0, startedMs: 0, aloneAtMs: Infinity,
    isAsking: false, isInformed: false, okMs: 0, isAnnounced: false, tuningRounds: 0,
  }
}

/** Starts to join the ring of the bootstraps; without any, founds one. */
export function start(core: Core, join: Join, leases: Leases, bootstraps: readonly NodeRef[]): void {
  Object.assign(join, makeJoin())
  join.bootstraps = bootstraps.filter((ref) => ref.id !== core.self.id).slice(0, BOOTSTRAPS_MAX)
  join.startedMs = core.nowMs
  join.aloneAtMs = core.nowMs + core.random.jitter(core.config.aloneAfterMs)
  join.nextBootstrap = core.random.below(Math.max(1, join.bootstraps.length))
  if (join.bootstraps.length === 0) found(core, leases)
  else setState(core, 'waiting')
}

/** Every leaf must have told us its leaves since we began, also those that turned up by themselves. */
function askLeaves(core: Core, join: Join, probing: Probing): void {
  for (const leaf of core.leafSet.members.values()) {
    if (leaf.leavesMs < join.startedMs) probe(core, probing, leaf, 'leaf')
  }
}

function found(core: Core, leases: Leases): void {
  leases.mayBeAlone = true
  leases.aloneUntilMs = core.nowMs + core.config.leaseMs
  setState(core, 'ok')
  settleState(core, leases)
}

/**
 * The next step of joining, at the join timer and when leaves answered or failed.
 * @returns the peer to send a join through, if it is time for another one.
 */
export function step(core: Core, join: Join, leases: Leases, probing: Probing, isTimer: boolean): Peer | undefined {
  if (core.state === 'dead' || core.state === 'ready' || core.state === 'lapsed') return undefined
  const leaves = core.leafSet.members.size
  if (core.state === 'waiting' && join.isInformed) askLeaves(core, join, probing)
  if (core.state === 'waiting' && join.isInformed && leaves > 0 && !isProbingLeaves(probing)) {
    join.okMs = core.nowMs
    // Who was ready before it slept may grant leases again, else a ring that slept as a whole never woke.
    setState(core, core.wasReady ? 'lapsed' : 'ok')
    return undefined
  }
  if (!isTimer || join.isAsking) return undefined
  if (core.state === 'ok') {
    if (leaves > 0 && core.nowMs - join.okMs < 3 * core.config.slotMs) return undefined
    if (leaves === 0 && (core.wasReady || leases.mayBeAlone)) return undefined
    join.startedMs = core.nowMs
    setState(core, 'waiting')
    askLeaves(core, join, probing)
  }
  if (isProbingLeaves(probing)) return undefined
  if (leaves === 0 && core.nowMs >= join.aloneAtMs && join.asked >= 2 * join.bootstraps.length) {
    found(core, leases)
    return undefined
  }
  const ref = join.bootstraps[join.nextBootstrap++ % Math.max(1, join.bootstraps.length)]
  join.asked++
  return ref === undefined ? undefined : know(core, ref)
}

/** The ring's answer to our join: the root is the first leaf to be asked, and tells of the others. */
export function onJoined(core: Core, join: Join, probing: Probing, answer: Answer): void {
  join.isAsking = false
  join.isInformed = true
  // A ring is there: it is worth going on until it lets us in.
  join.aloneAtMs = Math.max(join.aloneAtMs, core.nowMs + core.config.aloneAfterMs)
  hint(core, probing, [answer.root])
  // Should all of them fail before we are in, they are as many doors to knock at again.
  onBootstraps(core, join, [answer.root, ...answer.references])
}

/**
 * A bootstrap lives and is still joining itself: of those who wait for each other the lowest id goes
 * first and founds the ring, the others give it time.
 */
export function onRefused(core: Core, join: Join, peer: Peer): void {
  if (peer.id < core.self.id) join.aloneAtMs = Math.max(join.aloneAtMs, core.nowMs + core.config.aloneAfterMs)
  else join.aloneAtMs = Math.min(join.aloneAtMs, Math.max(core.nowMs, join.startedMs + core.config.foundAfterMs))
}

/** Tells a joiner whom we ask ourselves, since we are not ready to help it. */
export function tellBootstraps(core: Core, join: Join, peer: Peer): void {
  const references = join.bootstraps.filter((ref) => ref.id !== peer.id).slice(0, 4)
  if (references.length > 0) send(core, peer, { type: 'leafPush', state: 'waiting', references })
}

/** Bootstraps of a node that we tried to join through are as good as our own. */
export function onBootstraps(core: Core, join: Join, references: readonly NodeRef[]): void {
  const known = new Set(join.bootstraps.map((ref) => ref.id))
  const fresh = references.filter((ref) => !known.has(ref.id) && ref.id !== core.self.id)
  join.bootstraps = [...join.bootstraps, ...fresh].slice(0, BOOTSTRAPS_MAX)
}

/** The key to join at. */
export const joinKey = (core: Core): ReturnType<typeof keyAt> => keyAt(core.self.id)

/** Ready for the first time: tells every leaf, so that it takes us into its leaf set. */
export function announce(core: Core, join: Join): void {
  if (join.isAnnounced || core.state !== 'ready') return
  join.isAnnounced = true
  for (const leaf of core.leafSet.members.values()) {
    send(core, leaf, { type: 'leafPush', state: 'ready', references: [] })
  }
}

/** The machine was suspended: nothing it knew of its neighbours holds; all of them are asked again. */
export function onResumed(core: Core, join: Join, probing: Probing): void {
  if (core.state === 'dead') return
  if (core.leafSet.members.size === 0) {
    if (core.state === 'ready') setState(core, 'lapsed')
    return
  }
  join.isAnnounced = false
  join.startedMs = core.nowMs
  join.isInformed = true
  setState(core, 'waiting')
  askLeaves(core, join, probing)
}

/** Says so when another ring was found. */
export function tellRing(core: Core, node: NodeRef): void {
  emit(core, { kind: 'ringFound', node })
}

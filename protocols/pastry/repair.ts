/**
 * Repair by the clock, never in haste (Bamboo: reacting at once feeds on itself when the network is slow):
 * leaf sets are swapped, table rows and random slots improved, and entries probed as often as churn asks.
 */
import { DIGIT_VALUES, clockwise, digitAt, sharedPrefix } from '../ids.ts'
import type { Key } from '../ids.ts'
import { failedLately, know, send, tellWarmth } from './core.ts'
import type { Core } from './core.ts'
import { FINGERPRINTS_MAX, fingerprint } from './messages.ts'
import type { Message, NodeRef, RowEntry } from './messages.ts'
import type { Peer } from './peers.ts'
import { probe } from './probing.ts'
import type { Probing } from './probing.ts'

/** Time between two looks at which entries are due for a probe. */
export const TABLE_TICK_MS = 8_000
/** Rows that are tuned: with 10^5 nodes the fifth has a candidate or none per slot. */
const TUNED_ROWS = 4
/** Entries probed at one look. */
const PROBES_PER_TICK = 10
/** Time after which half of what was seen of churn is forgotten. */
const CHURN_HALF_LIFE_MS = 600_000
/** Before anything was seen, sessions are taken to last an hour on average, with the weight of two failures. */
const CHURN_PRIOR = { failures: 2, sessionMs: 3_600_000 }

/** Swaps leaf sets with a random leaf, or every other time with the one that was silent for longest. */
export function swap(core: Core, probing: Probing): void {
  const leaves = [...core.leafSet.members.values()]
  const stalest = leaves.reduce<Peer | undefined>((a, b) => a === undefined || b.heardMs < a.heardMs ? b : a, undefined)
  const leaf = core.random.below(2) === 0 ? stalest : pick(core, leaves)
  if (leaf !== undefined) probe(core, probing, leaf, 'leaf')
}

function pick<T>(core: Core, items: readonly T[]): T | undefined {
  return items[core.random.below(Math.max(1, items.length))]
}

/** Failures per peer and millisecond, as seen lately. */
export function failureRate(core: Core): number {
  const { failures, sessionMs } = CHURN_PRIOR
  return (core.failures + failures) / (core.peerMs + failures * sessionMs)
}

/**
 * Time between two probes of an entry for which at most `rawLossTarget` of the hops meet a dead one:
 * a hop fails with 1 - (1 - e^-Tu) / Tu, about Tu / 2 (Castro et al. 2004, 4.1).
 */
export function tableProbeMs(core: Core): number {
  const { rawLossTarget, tableProbeMsMin, tableProbeMsMax } = core.config
  return Math.min(tableProbeMsMax, Math.max(tableProbeMsMin, 2 * rawLossTarget / failureRate(core)))
}

/** Probes primaries of the table that were silent for too long; whatever they sent counts as a sign of life. */
export function probeTable(core: Core, probing: Probing): void {
  const fade = 0.5 ** (TABLE_TICK_MS / CHURN_HALF_LIFE_MS)
  core.failures *= fade
  core.peerMs = core.peerMs * fade + TABLE_TICK_MS * (core.leafSet.members.size + core.table.size / 2)
  const periodMs = tableProbeMs(core)
  let left = PROBES_PER_TICK
  const beforeMs = core.nowMs - periodMs
  core.table.eachPrimary((peer) => {
    if (left === 0) return
    const isMeasured = peer.rttMs > 0 && !peer.isRough
    if (isMeasured && (peer.heardMs > beforeMs || peer.isLeaf && peer.heardMs > beforeMs - periodMs)) return
    probe(core, probing, peer, 'ping')
    left--
  })
}

/**
 * Local tuning: asks a node for its version of a random row. Mostly one of the nearest, since what is near to
 * it is near to us (constrained gossip, Castro et al. 2003); sometimes any, so that no corner stays unknown.
 */
export function tuneLocally(core: Core): void {
  if (core.table.rowCount === 0) return
  const row = core.random.below(Math.min(core.table.rowCount, TUNED_ROWS))
  const able: Peer[] = []
  for (const peer of core.table.all()) {
    const isFresh = core.nowMs - peer.askedMs[row]! > 2 * core.config.localTuningMs
    if (peer.row >= row && peer.linked && !peer.suspect && peer.rttMs > 0 && isFresh) able.push(peer)
  }
  if (core.random.below(4) > 0) able.sort((a, b) => a.rttMs - b.rttMs).splice(core.config.gossipMembersMax)
  const peer = pick(core, able)
  if (peer !== undefined) askRow(core, peer, row)
}

/** Time until the next local tuning: short after joining, unless churn makes it a waste. */
export function tuningMs(core: Core, rounds: number): number {
  const { gossipRounds, gossipMs, localTuningMs } = core.config
  const quick = failureRate(core) > 1 / 600_000 ? gossipRounds / 4 : gossipRounds
  return rounds < quick ? gossipMs : localTuningMs
}

function askRow(core: Core, peer: Peer, row: number): void {
  peer.askedMs = peer.askedMs.with(row, Math.ceil(core.nowMs))
  const salt = core.random.u32()
  const fingerprints = [...core.table.row(row)].slice(0, FINGERPRINTS_MAX).map((entry) => fingerprint(entry.id, salt))
  send(core, peer, { type: 'rowRequest', row, salt, fingerprints })
}

/** Somebody asks for a row that it shares with us: the nearest of each slot that it lacks. */
export function onRowRequest(core: Core, peer: Peer, message: Extract<Message, { type: 'rowRequest' }>): void {
  const known = new Set(message.fingerprints)
  const entries: RowEntry[] = []
  for (const entry of core.table.row(message.row)) {
    if (entries.length >= FINGERPRINTS_MAX / 2 || entry.id === peer.id || entry.suspect) continue
    if (core.table.slot(message.row, entry.column)[0] !== entry) continue
    if (known.has(fingerprint(entry.id, message.salt))) continue
    entries.push({ ref: entry.ref, rttMs: Math.min(65_535, Math.round(entry.rttMs)) })
  }
  if (entries.length > 0) send(core, peer, { type: 'rowReply', row: message.row, entries })
}

/** Another node's row: those of its entries that may be nearer than ours are measured. */
export function onRowReply(
  core: Core, probing: Probing, peer: Peer, message: Extract<Message, { type: 'rowReply' }>,
): void {
  for (const { ref, rttMs } of message.entries) {
    // By the triangle inequality nobody is nearer to us than the difference of the two round trips.
    const leastMs = peer.rttMs === 0 || rttMs === 0 ? 0 : Math.abs(peer.rttMs - rttMs)
    consider(core, probing, ref, leastMs)
  }
}

/** Measures a node that was heard of if its slot has room, or it may be nearer than the slot's first. */
export function consider(core: Core, probing: Probing, ref: NodeRef, leastMs: number): void {
  if (ref.id === core.self.id || failedLately(core, ref.id)) return
  const known = core.peers.get(ref.id)
  if (known !== undefined && (known.inTable || known.rttMs > 0 && !known.isRough && !known.isLeaf)) return
  const row = sharedPrefix(core.self.id, ref.id)
  const [primary] = core.table.slot(row, digitAt(ref.id, row))
  if (primary !== undefined && primary.rttMs > 0 && leastMs >= 0.9 * primary.rttMs) return
  if (probing.probes.size < core.config.probesMax) probe(core, probing, know(core, ref), 'ping')
}

/** Global tuning: a key in an empty slot of the rows in use, or else in a random one. */
export function keyForTuning(core: Core): Key | undefined {
  const rows = core.table.rowCount
  if (rows === 0 || !core.leafSet.isFull) return undefined
  const row = core.random.below(rows)
  const own = digitAt(core.self.id, row)
  const empty: number[] = []
  for (let column = 0; column < DIGIT_VALUES; column++) {
    if (column !== own && core.table.slot(row, column).length === 0) empty.push(column)
  }
  const column = pick(core, empty) ?? (own + 1 + core.random.below(DIGIT_VALUES - 1)) % DIGIT_VALUES
  let key = core.self.id.slice(0, row) + column.toString(16)
  while (key.length < 32) key += core.random.below(DIGIT_VALUES).toString(16)
  return key as Key
}

/** The primary of a slot failed: the next candidate is made sure of, and kept warm from now on. */
export function promote(core: Core, probing: Probing, lost: Peer): void {
  const [next] = core.table.slot(lost.row, lost.column)
  if (next === undefined) return
  tellWarmth(core, next)
  if (core.nowMs - next.heardMs > TABLE_TICK_MS) probe(core, probing, next, 'ping')
}

/**
 * Announces a failure to those leaves that had the node as theirs on our side of it; its neighbour on
 * the other side, who finds out as we do, tells those over there.
 */
export function announceFailure(core: Core, lost: Peer): void {
  const { left, right } = core.leafSet
  const toRight = clockwise(core.self.position, lost.position) < clockwise(lost.position, core.self.position)
  const [behind, ahead] = toRight ? [left, right] : [right, left]
  for (const leaf of new Set([...behind.slice(0, -1), ...ahead.slice(0, 2)])) {
    send(core, leaf, { type: 'failed', ids: [lost.id] })
  }
}

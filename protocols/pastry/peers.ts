/** What this node knows of another one, and how long a round trip to it takes. */
import { digitAt, positionOf, sharedPrefix } from '../ids.ts'
import type { OverlayId, Placed } from '../ids.ts'
import type { PastryConfig } from './config.ts'
import type { NodeRef, State } from './messages.ts'

/** Before any time; a small integer, which V8 keeps without a box of its own (ten thousand nodes have many peers). */
export const NEVER_MS = -1e9

const NEVER_ASKED: readonly number[] = [NEVER_MS, NEVER_MS, NEVER_MS, NEVER_MS]

/** Another node. It has a role while it is a leaf or in the table; without one it is soon forgotten. */
export interface Peer extends Placed<OverlayId> {
  /** How to reach it; replaced when it turns up at another address. */
  ref: NodeRef
  /** Digits that its id shares with ours: its row in our table. */
  readonly row: number
  /** The first digit that differs: its column. */
  readonly column: number
  /** As it last said; `undefined` before it said anything of the kind. */
  state: State | undefined
  /** When it was last heard, in whole ms, rounded up; `NEVER_MS` before. */
  heardMs: number
  /** When it last told us its leaves, in whole ms, rounded up; `NEVER_MS` before. */
  leavesMs: number
  /** When it was last asked for each of the first rows, in ms. */
  askedMs: readonly number[]
  /** Whether a link to it is up. */
  linked: boolean
  /** A message to it went unanswered and nothing was heard since: routes avoid it. */
  suspect: boolean
  isLeaf: boolean
  inTable: boolean
  /** Smoothed round trip in ms; 0 before any was measured. */
  rttMs: number
  /** Its mean deviation, RFC 6298. */
  deviationMs: number
  /** The round trip is a guess from a message that had to dial first. */
  isRough: boolean
  /** When its messages, and its joins, would all be paid for at the rate that is allowed, in ms. */
  paidMs: number
  paidJoinsMs: number
}

/** A peer nothing is known of but its reference. */
export function makePeer(self: OverlayId, ref: NodeRef): Peer {
  const row = sharedPrefix(self, ref.id)
  return {
    ref, id: ref.id, position: positionOf(ref.id), row, column: digitAt(ref.id, Math.min(row, 31)),
    state: undefined, heardMs: NEVER_MS, leavesMs: NEVER_MS, askedMs: NEVER_ASKED,
    linked: false, suspect: false, isLeaf: false, inTable: false,
    rttMs: 0, deviationMs: 0, isRough: false, paidMs: 0, paidJoinsMs: 0,
  }
}

/** Whether it owns a part of the ring, or did until just now: such nodes belong into leaf sets. */
export function isMember(peer: Peer): boolean {
  return peer.state === 'ready' || peer.state === 'lapsed'
}

/**
 * Takes in a measured round trip, as RFC 6298 does.
 * @param wasLinked false for a message that had to dial first: then it only gives a guess.
 */
export function measured(peer: Peer, sampleMs: number, wasLinked: boolean, config: PastryConfig): void {
  if (!wasLinked) {
    if (peer.rttMs !== 0 && !peer.isRough) return
    peer.rttMs = Math.max(1, sampleMs / (1 + config.coldRoundTrips))
    peer.deviationMs = peer.rttMs / 2
    peer.isRough = true
    return
  }
  const sample = Math.max(0.1, sampleMs)
  if (peer.rttMs === 0 || peer.isRough) {
    peer.rttMs = sample
    peer.deviationMs = sample / 2
    peer.isRough = false
    return
  }
  peer.deviationMs += (Math.abs(sample - peer.rttMs) - peer.deviationMs) / 4
  peer.rttMs += (sample - peer.rttMs) / 8
}

/** Silence after which a routed message is sent another way: average + 4 * variation, within limits. */
export function timeoutMs(peer: Peer, config: PastryConfig): number {
  if (!peer.linked) return config.coldTimeoutMs
  if (peer.rttMs === 0) return Math.min(config.timeoutMsMax, 2 * config.rttGuessMs)
  const factor = peer.isRough ? 2 : 1
  const timeout = factor * peer.rttMs + Math.max(20, 4 * peer.deviationMs)
  return Math.min(config.timeoutMsMax, Math.max(config.timeoutMsMin, timeout))
}

/** Whether the peer may send one more message (or join) just now; counts it if so. */
export function allow(peer: Peer, isJoin: boolean, nowMs: number, config: PastryConfig): boolean {
  const messageMs = 1_000 / config.messagesPerSecondMax
  const paidMs = Math.max(nowMs, peer.paidMs) + messageMs
  if (paidMs - nowMs > config.messagesBurstMax * messageMs + 0.001) return false
  if (isJoin) {
    const joinMs = 1_000 / config.joinsPerSecondMax
    const paidJoinsMs = Math.max(nowMs, peer.paidJoinsMs) + joinMs
    if (paidJoinsMs - nowMs > 3_000 + 0.001) return false
    peer.paidJoinsMs = Math.ceil(paidJoinsMs)
  }
  peer.paidMs = paidMs
  return true
}

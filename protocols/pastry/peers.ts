/** What this node knows of another one, and how long a round trip to it takes. */
import { digitAt, positionOf, sharedPrefix } from '../ids.ts'
import type { OverlayId, Placed } from '../ids.ts'
import type { PastryConfig } from './config.ts'
import type { NodeRef, State } from './messages.ts'

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
  /** When it was last heard, in ms; -Infinity before. */
  heardMs: number
  /** When it last told us its leaves, in ms; -Infinity before. */
  leavesMs: number
  /** When it was last asked for each of the first rows, in ms. */
  askedMs: number[]
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
  /** Tokens left of its allowance, and when they were counted. */
  allowance: number
  allowanceJoins: number
  allowanceMs: number
}

/** A peer nothing is known of but its reference. */
export function makePeer(self: OverlayId, ref: NodeRef, config: PastryConfig): Peer {
  const row = sharedPrefix(self, ref.id)
  return {
    ref, id: ref.id, position: positionOf(ref.id), row, column: digitAt(ref.id, Math.min(row, 31)),
    state: undefined, heardMs: -Infinity, leavesMs: -Infinity, askedMs: [-1e9, -1e9, -1e9, -1e9], linked: false, suspect: false, isLeaf: false, inTable: false,
    rttMs: 0, deviationMs: 0, isRough: false,
    allowance: config.messagesBurstMax, allowanceJoins: 3 * config.joinsPerSecondMax, allowanceMs: -1,
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

/** Whether the peer may send one more message (or join) just now; counts it. */
export function allow(peer: Peer, isJoin: boolean, nowMs: number, config: PastryConfig): boolean {
  const passedMs = peer.allowanceMs < 0 ? 0 : nowMs - peer.allowanceMs
  peer.allowanceMs = nowMs
  peer.allowance = Math.min(config.messagesBurstMax, peer.allowance + passedMs / 1000 * config.messagesPerSecondMax)
  peer.allowanceJoins = Math.min(3 * config.joinsPerSecondMax,
    peer.allowanceJoins + passedMs / 1000 * config.joinsPerSecondMax)
  if (peer.allowance < 1 || isJoin && peer.allowanceJoins < 1) return false
  peer.allowance--
  if (isJoin) peer.allowanceJoins--
  return true
}

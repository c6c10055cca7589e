/** The state that all parts of the overlay's machine share, and the few acts that all of them need. */
import { placed } from '../ids.ts'
import type { Key, OverlayId, Place, Placed } from '../ids.ts'
import type { Effect } from '../machine.ts'
import { Agenda } from './agenda.ts'
import type { PastryConfig } from './config.ts'
import { LeafSet } from './leaf-set.ts'
import type { Message, NodeRef, State, TraceHop } from './messages.ts'
import { NEVER_MS, isMember, makePeer } from './peers.ts'
import type { Peer } from './peers.ts'
import { randomFrom } from './random.ts'
import type { Random } from './random.ts'
import { RoutingTable } from './routing-table.ts'

/** The dead are remembered six times as long as hearsay of them is ignored, to tell those who still list them. */
const FAILED_MEMORIES = 6

/** What the owner of a machine may ask of it. */
export type PastryCommand =
  /** Join the ring that any of `bootstraps` is in; without any, found one. */
  | { readonly kind: 'start', readonly bootstraps: readonly NodeRef[] }
  /** These nodes are of our network: if their ring is another one, the rings are to become one. */
  | { readonly kind: 'meet', readonly nodes: readonly NodeRef[] }
  /** Give the leases up and tell the leaves. */
  | { readonly kind: 'leave' }
  /** Our own addresses changed. */
  | { readonly kind: 'contact', readonly contact: Uint8Array }
  /** Find the owner of `key` and, with a payload, have it answered by the owner's program. */
  | {
    readonly kind: 'lookup', readonly id: number, readonly key: Key
    readonly timeoutMs?: number, readonly trace?: boolean, readonly payload?: Uint8Array
  }
  /** The program's answer to a `deliver` event. */
  | { readonly kind: 'reply', readonly token: number, readonly payload: Uint8Array }

/** What a machine tells its owner. */
export type PastryEvent =
  | { readonly kind: 'state', readonly state: State | 'dead' }
  | {
    readonly kind: 'answered', readonly id: number, readonly key: Key, readonly root: NodeRef
    /** Hops from here to the root, and back again in time. */
    readonly hops: number, readonly elapsedMs: number, readonly attempts: number
    readonly trace: readonly TraceHop[], readonly payload: Uint8Array
  }
  | { readonly kind: 'lookupFailed', readonly id: number, readonly key: Key, readonly reason: string }
  /** This node owns `key` and answers; with a payload its program must `reply` to `token`. */
  | { readonly kind: 'deliver', readonly key: Key, readonly token: number, readonly payload: Uint8Array }
  /** A link to this node is worth keeping, or no longer. */
  | { readonly kind: 'warm' | 'cold', readonly node: NodeRef }
  | { readonly kind: 'leafAdded' | 'leafRemoved', readonly node: NodeRef }
  /** Something from a peer was not followed; the reasons are stable names, to be counted. */
  | { readonly kind: 'dropped', readonly reason: string, readonly from: OverlayId | undefined }
  /** Another ring was found behind a lost peer. */
  | { readonly kind: 'ringFound', readonly node: NodeRef }

/** An effect of the overlay's machine. */
export type PastryEffect = Effect<Message, PastryEvent, NodeRef>

/** What is to be done later. */
export type Task =
  | { readonly do: 'probeTimeout', readonly id: OverlayId }
  | { readonly do: 'hopTimeout', readonly hop: number }
  | { readonly do: 'lookupRetry', readonly request: number }
  | { readonly do: 'leaseTimeout', readonly id: OverlayId }
  | { readonly do: Periodic | 'meet' | 'leaseRetry' | 'joinRetry' | 'parked' }

/** What is done again and again. */
export type Periodic = 'leases' | 'swap' | 'localTuning' | 'globalTuning' | 'tableProbe' | 'heal' | 'join'

/** The shared state. Its parts (probes, leases, routes) are kept by the files that are named so. */
export interface Core {
  readonly config: PastryConfig
  readonly self: Placed<OverlayId>
  ref: NodeRef
  readonly random: Random
  readonly peers: Map<OverlayId, Peer>
  readonly leafSet: LeafSet<Peer>
  readonly table: RoutingTable
  readonly agenda: Agenda<Task>
  /** When nodes were found dead, so that hearsay does not bring them back at once. */
  readonly failedMs: Map<OverlayId, number>
  state: State | 'dead'
  /** Whether this life of the node ever was ready. */
  wasReady: boolean
  nowMs: number
  effects: PastryEffect[]
  /** Peers that failed or left during this input; the machine settles what depends on them. */
  lost: Peer[]
  /** Whether leaves or leases changed during this input. */
  unsettled: boolean
  /** Failures and observed time of peers, both fading; their ratio is the churn that probing is tuned to. */
  failures: number
  peerMs: number
}

/** The state of a node that has not started. */
export function makeCore(ref: NodeRef, seed: string | number, config: PastryConfig): Core {
  const self = placed(ref.id)
  return {
    config, self, ref, random: randomFrom(`${seed}:${ref.id}`), peers: new Map(),
    leafSet: new LeafSet<Peer>(self, config.leafSetCountMax), table: new RoutingTable(config.candidatesPerSlotMax),
    agenda: new Agenda(), failedMs: new Map(), state: 'dead', wasReady: false,
    nowMs: 0, effects: [], lost: [], unsettled: false, failures: 0, peerMs: 0,
  }
}

/** Hands a message to the carrier. */
export function send(core: Core, to: Peer, message: Message): void {
  core.effects.push({ type: 'send', to: to.ref, message })
}

/** Tells the owner. */
export function emit(core: Core, event: PastryEvent): void {
  core.effects.push({ type: 'event', event })
}

/** Counts something from a peer that was not followed. */
export function dropped(core: Core, reason: string, from?: Peer): void {
  emit(core, { kind: 'dropped', reason, from: from?.id })
}

/** The state to put into messages: a node that is not started is as good as waiting. */
export function stateOf(core: Core): State {
  return core.state === 'dead' ? 'waiting' : core.state
}

/** Changes the state and tells the owner. */
export function setState(core: Core, state: State | 'dead'): void {
  if (core.state === state) return
  core.state = state
  if (state === 'ready') core.wasReady = true
  core.unsettled = true
  emit(core, { kind: 'state', state })
}

/** The peer behind a reference, remembered from now on; peers without a role make room for it. */
export function know(core: Core, ref: NodeRef): Peer {
  const known = core.peers.get(ref.id)
  if (known !== undefined) return known
  if (core.peers.size >= core.config.peersMax) forgetOne(core)
  const peer = makePeer(core.self.id, ref)
  core.peers.set(ref.id, peer)
  return peer
}

function forgetOne(core: Core): void {
  for (const peer of core.peers.values()) {
    if (!peer.isLeaf && !peer.inTable) {
      core.peers.delete(peer.id)
      return
    }
  }
}

/** Forgets peers that have neither a role nor a link. */
export function forgetIdle(core: Core): void {
  for (const peer of core.peers.values()) {
    if (!peer.isLeaf && !peer.inTable && !peer.linked) core.peers.delete(peer.id)
  }
  for (const [id, atMs] of core.failedMs) {
    if (core.nowMs - atMs > FAILED_MEMORIES * core.config.failedMemoryMs) core.failedMs.delete(id)
  }
}

/** Gives a peer that was heard itself, and owns a part of the ring, the roles that it fits. */
export function adopt(core: Core, peer: Peer): void {
  if (!isMember(peer)) return
  core.peers.set(peer.id, peer)
  // A joiner's leaf set is empty and would take anybody: only those count that told it their leaves.
  if (core.state !== 'waiting' || peer.leavesMs > NEVER_MS) adoptLeaf(core, peer)
  if (peer.rttMs > 0 || core.table.slot(peer.row, peer.column).length === 0) {
    const out = core.table.add(peer)
    if (out !== undefined) tellWarmth(core, out)
    if (peer.inTable) tellWarmth(core, peer)
  }
}

function adoptLeaf(core: Core, peer: Peer): void {
  if (peer.isLeaf || !core.leafSet.wouldTake(peer)) return
  core.peers.set(peer.id, peer)
  const removed = core.leafSet.add(peer)
  peer.isLeaf = true
  core.unsettled = true
  emit(core, { kind: 'leafAdded', node: peer.ref })
  tellWarmth(core, peer)
  for (const leaf of removed) {
    leaf.isLeaf = false
    emit(core, { kind: 'leafRemoved', node: leaf.ref })
    tellWarmth(core, leaf)
  }
}

/** Takes all roles from a peer that failed or left, and remembers when. */
export function lose(core: Core, peer: Peer): void {
  const hadRole = peer.isLeaf || peer.inTable
  if (peer.isLeaf) {
    core.leafSet.remove(peer.id)
    peer.isLeaf = false
    emit(core, { kind: 'leafRemoved', node: peer.ref })
  }
  core.table.remove(peer)
  core.peers.delete(peer.id)
  core.failedMs.set(peer.id, core.nowMs)
  if (core.failedMs.size > 4 * core.config.hintsMax) core.failedMs.delete(core.failedMs.keys().next().value!)
  core.lost.push(peer)
  core.unsettled = true
  if (!hadRole) return
  core.failures++
  emit(core, { kind: 'cold', node: peer.ref })
}

/** Whether the node was found dead a short while ago. */
export function failedLately(core: Core, id: OverlayId): boolean {
  const atMs = core.failedMs.get(id)
  return atMs !== undefined && core.nowMs - atMs < core.config.failedMemoryMs
}

/** Whether a link to the peer is worth keeping: to leaves and to the first of each slot. */
export function isWarm(core: Core, peer: Peer): boolean {
  return peer.isLeaf || core.table.slot(peer.row, peer.column)[0] === peer
}

/** Tells the owner whether a link to the peer is worth keeping. */
export function tellWarmth(core: Core, peer: Peer): void {
  emit(core, { kind: isWarm(core, peer) ? 'warm' : 'cold', node: peer.ref })
}

/** The key, or id, with its position. */
export function at<P extends Place>(place: P): Placed<P> {
  return placed(place)
}

/** Asking nodes whether they live, what they know, and how far away they are. */
import { RING_POSITIONS, clockwise, isClockwiseBefore, placed } from '../ids.ts'
import type { OverlayId, Placed } from '../ids.ts'
import type { Entry } from './agenda.ts'
import { adopt, dropped, failedLately, know, lose, send, stateOf, tellWarmth } from './core.ts'
import type { Core, Task } from './core.ts'
import { LeafSet } from './leaf-set.ts'
import { FAILED_MAX, fingerprint } from './messages.ts'
import type { LeafDigest, Message, NodeRef } from './messages.ts'
import { NEVER_MS, isMember, measured, timeoutMs } from './peers.ts'
import type { Peer } from './peers.ts'

/** How long a failure is news, and how many of them are told along with other things. */
const FAILED_NEWS_MS = 10_000
const FAILED_NEWS_MAX = 2

/** What is asked: only for a sign of life and the round trip, or for the leaf set as well. */
export type ProbeKind = 'ping' | 'leaf'

/** A probe under way. */
interface Probe {
  readonly peer: Peer
  kind: ProbeKind
  nonce: number
  tries: number
  sentMs: number
  wasLinked: boolean
  /** Ids behind the fingerprints that were sent, so that the answer can ask for some. */
  sentIds: readonly OverlayId[]
  /** Somebody announced the failure already: do not announce it again. */
  readonly announced: boolean
  entry: Entry<Task> | undefined
}

/** Probes under way and hints that wait for their turn. */
export interface Probing {
  readonly probes: Map<OverlayId, Probe>
  readonly hints: Map<OverlayId, NodeRef>
}

/** No probes yet. */
export function makeProbing(): Probing {
  return { probes: new Map(), hints: new Map() }
}

/** Whether leaves are being asked, or wait to be. */
export function isProbingLeaves(probing: Probing): boolean {
  if (probing.hints.size > 0) return true
  for (const probe of probing.probes.values()) if (probe.kind === 'leaf') return true
  return false
}

/** Whether somebody who is not a leaf may become one soon. */
function expectsLeaves(probing: Probing): boolean {
  if (probing.hints.size > 0) return true
  for (const probe of probing.probes.values()) if (probe.kind === 'leaf' && !probe.peer.isLeaf) return true
  return false
}

/** Asks a peer; one that is being asked already is not asked twice, but for its leaves if now they are wanted. */
export function probe(core: Core, probing: Probing, peer: Peer, kind: ProbeKind, announced = false): void {
  const running = probing.probes.get(peer.id)
  if (running !== undefined) {
    if (kind === 'leaf' && running.kind === 'ping') {
      running.kind = 'leaf'
      running.tries = 0
      sendProbe(core, probing, running)
    }
    return
  }
  if (probing.probes.size >= core.config.probesMax && !peer.isLeaf) return
  const started: Probe = {
    peer, kind, nonce: 0, tries: 0, sentMs: core.nowMs, wasLinked: false, sentIds: [], announced, entry: undefined,
  }
  probing.probes.set(peer.id, started)
  sendProbe(core, probing, started)
}

function sendProbe(core: Core, probing: Probing, running: Probe): void {
  const { peer } = running
  running.tries++
  running.nonce = core.random.u32()
  running.sentMs = core.nowMs
  running.wasLinked = peer.linked
  core.agenda.cancel(running.entry)
  const base = peer.linked ? Math.max(500, timeoutMs(peer, core.config)) : core.config.coldTimeoutMs
  const patience = Math.min(core.config.coldTimeoutMs, base * 2 ** (running.tries - 1))
  running.entry = core.agenda.add(core.nowMs + patience, { do: 'probeTimeout', id: peer.id })
  if (running.kind === 'ping') {
    const rttMs = Math.min(65_535, Math.round(peer.rttMs))
    send(core, peer, { type: 'ping', nonce: running.nonce, state: stateOf(core), rttMs })
    return
  }
  const { digest, ids } = digestOf(core, probing)
  running.sentIds = ids
  send(core, peer, { type: 'leafProbe', nonce: running.nonce, state: stateOf(core), digest, failed: failedNews(core) })
}

/** A probe was not answered in time: asks again, or takes the peer for failed. Returns a failure to announce. */
export function onProbeTimeout(core: Core, probing: Probing, id: OverlayId): Peer | undefined {
  const running = probing.probes.get(id)
  if (running === undefined) return undefined
  const { peer } = running
  const heard = peer.heardMs >= running.sentMs
  if (running.tries < triesMax(core, running) && (!heard || running.kind === 'leaf')) {
    sendProbe(core, probing, running)
    return undefined
  }
  endProbe(core, probing, id)
  if (heard) return undefined
  if (peer.heardMs === NEVER_MS) dropped(core, 'deadHint', peer)
  const announce = peer.isLeaf && !running.announced
  lose(core, peer)
  return announce ? peer : undefined
}

/**
 * Hearsay of a life is checked once, or twice by a joiner; hearsay of a death once, since who announces it
 * has asked thrice; an entry of the table twice; a leaf of ours thrice.
 */
function triesMax(core: Core, running: Probe): number {
  const { peer } = running
  if (peer === core.leafSet.left[0] || peer === core.leafSet.right[0]) return core.config.probeTriesMax
  if (peer.heardMs === NEVER_MS) return core.state === 'ready' ? 1 : 2
  if (running.announced) return 1
  return peer.isLeaf ? core.config.probeTriesMax : 2
}

/** The probe's turn is over; a hint takes its place. */
function endProbe(core: Core, probing: Probing, id: OverlayId): Probe | undefined {
  const running = probing.probes.get(id)
  if (running === undefined) return undefined
  core.agenda.cancel(running.entry)
  probing.probes.delete(id)
  if (running.kind === 'leaf') nextHints(core, probing)
  return running
}

/** The peer is gone for good: no more waiting for its answer. */
export function forgetProbe(core: Core, probing: Probing, id: OverlayId): void {
  endProbe(core, probing, id)
}

/** A ping: answers, and takes over the round trip that the other side measured, to be checked if it matters. */
export function onPing(core: Core, probing: Probing, peer: Peer, message: Extract<Message, { type: 'ping' }>): void {
  send(core, peer, { type: 'pong', nonce: message.nonce, state: stateOf(core) })
  if (peer.rttMs === 0 && message.rttMs > 0) {
    peer.rttMs = message.rttMs
    peer.deviationMs = message.rttMs / 2
    peer.isRough = true
    const [primary] = core.table.slot(peer.row, peer.column)
    if (isMember(peer) && (primary === undefined || peer.rttMs < primary.rttMs)) probe(core, probing, peer, 'ping')
  }
  adopt(core, peer)
}

/** An answer to a ping. */
export function onPong(
  core: Core, probing: Probing, peer: Peer, message: Extract<Message, { type: 'pong' }>,
): void {
  const running = probing.probes.get(peer.id)
  if (running === undefined || running.nonce !== message.nonce || running.kind !== 'ping') {
    if (running === undefined) dropped(core, 'unexpectedPong', peer)
    return
  }
  endProbe(core, probing, peer.id)
  takeSample(core, probing, peer, running)
  adopt(core, peer)
}

function takeSample(core: Core, probing: Probing, peer: Peer, running: Probe): void {
  const wasRough = peer.rttMs === 0 || peer.isRough
  const primary = core.table.slot(peer.row, peer.column)[0]
  measured(peer, core.nowMs - running.sentMs, running.wasLinked, core.config)
  core.table.reorder(peer)
  if (primary !== undefined && core.table.slot(peer.row, peer.column)[0] !== primary) {
    tellWarmth(core, primary)
    tellWarmth(core, peer)
  }
  // A dial hides the true round trip: who contends for the first place of a slot is measured once more at once,
  // the others, if they are first, at the table's next look.
  const contends = primary !== undefined && primary !== peer && peer.rttMs < 1.5 * primary.rttMs
  if (!running.wasLinked && wasRough && contends) probe(core, probing, peer, 'ping')
}

/** Somebody asks for our leaves: tells those that the asker lacks, and asks for those that we lack. */
export function onLeafProbe(
  core: Core, peer: Peer, message: Extract<Message, { type: 'leafProbe' }>,
): void {
  const { digest } = message
  const ours = new Map<number, OverlayId>()
  for (const leaf of core.leafSet.members.keys()) ours.set(fingerprint(leaf, digest.salt), leaf)
  ours.set(fingerprint(core.self.id, digest.salt), core.self.id)
  let [first, last] = [-1, -1]
  digest.fingerprints.forEach((value, index) => {
    if (!ours.delete(value)) return
    if (first < 0) first = index
    last = index
  })
  const references: NodeRef[] = []
  for (const id of ours.values()) {
    const leaf = core.leafSet.members.get(id)
    if (leaf === undefined || leaf.id === peer.id || leaf.suspect || message.failed.includes(id)) continue
    if (isWithin(leaf, digest)) references.push(leaf.ref)
  }
  // A joiner knows only what we and our neighbours told it.
  const wanted = isMember(peer) ? wantedOf(core, digest, first, last) : 0
  send(core, peer, {
    type: 'leafReply', nonce: message.nonce, state: stateOf(core), wanted: wanted >>> 0, references,
    failed: failedOf(core, digest),
  })
}

/** Fingerprints of a leaf that may be leaves of ours and are not, as bits; those we found dead are not wanted. */
function wantedOf(core: Core, digest: LeafDigest, first: number, last: number): number {
  const everybody = !core.leafSet.isFull
  const known = new Set<number>([fingerprint(core.self.id, digest.salt)])
  for (const id of core.leafSet.members.keys()) known.add(fingerprint(id, digest.salt))
  for (const id of core.failedMs.keys()) known.add(fingerprint(id, digest.salt))
  let wanted = 0
  digest.fingerprints.slice(0, 32).forEach((value, index) => {
    if (!known.has(value) && (everybody || index > first && index < last)) wanted |= 1 << index
  })
  return wanted
}

/** A leaf's answer: measures, takes its hints, and sends what it asked for. */
export function onLeafReply(
  core: Core, probing: Probing, peer: Peer, message: Extract<Message, { type: 'leafReply' }>,
): void {
  const running = probing.probes.get(peer.id)
  if (running === undefined || running.nonce !== message.nonce || running.kind !== 'leaf') {
    if (running === undefined) dropped(core, 'unexpectedLeafReply', peer)
    return
  }
  peer.leavesMs = Math.ceil(core.nowMs)
  adopt(core, peer)
  hint(core, probing, message.references)
  endProbe(core, probing, peer.id)
  takeSample(core, probing, peer, running)
  if (message.wanted === 0) return
  const references: NodeRef[] = []
  running.sentIds.forEach((id, index) => {
    const leaf = (message.wanted & 1 << index) === 0 ? undefined : core.leafSet.members.get(id)
    if (leaf !== undefined) references.push(leaf.ref)
  })
  if (references.length > 0) send(core, peer, { type: 'leafPush', state: stateOf(core), references })
}

/** References from others: those that would be leaves are asked themselves before they count. */
export function hint(core: Core, probing: Probing, references: readonly NodeRef[]): void {
  const wanted = leavesToBe(core, probing)
  const fresh = references.filter((ref) => ref.id !== core.self.id && !failedLately(core, ref.id)
    && !core.leafSet.members.has(ref.id) && !probing.hints.has(ref.id) && core.leafSet.wouldTake(placed(ref.id)))
  for (const ref of fresh) wanted.add(placed(ref.id))
  for (const ref of fresh) {
    if (!wanted.members.has(ref.id)) continue
    if (probing.hints.size >= core.config.hintsMax) {
      dropped(core, 'hintsFull')
      break
    }
    if (probing.probes.get(ref.id)?.kind !== 'leaf') probing.hints.set(ref.id, ref)
  }
  nextHints(core, probing)
}

function nextHints(core: Core, probing: Probing): void {
  let joinProbes = 0
  if (core.state === 'waiting') {
    for (const running of probing.probes.values()) if (running.kind === 'leaf') joinProbes++
  }
  for (const [id, ref] of probing.hints) {
    if (probing.probes.size >= core.config.probesMax || joinProbes >= core.config.joinProbesMax) return
    if (core.state === 'waiting') joinProbes++
    probing.hints.delete(id)
    if (!core.leafSet.wouldTake(placed(id)) || failedLately(core, id)) continue
    const peer = know(core, ref)
    probe(core, probing, peer, core.state === 'ready' && !wouldBeNext(core, peer) ? 'ping' : 'leaf')
  }
}

/** Whether the peer would be a ring neighbour: then its own leaves matter, as when two rings merge. */
function wouldBeNext(core: Core, peer: Peer): boolean {
  const { left: [left], right: [right] } = core.leafSet
  if (left === undefined || right === undefined) return true
  return isClockwiseBefore(core.self, peer, right) || isClockwiseBefore(core.self, left, peer)
}

/** The leaf set as it will be if everybody answers who is being asked. */
function leavesToBe(core: Core, probing: Probing): LeafSet<Placed<OverlayId>> {
  const leaves = new LeafSet<Placed<OverlayId>>(core.self, core.config.leafSetCountMax)
  for (const leaf of core.leafSet.members.values()) leaves.add(leaf)
  for (const ref of probing.hints.values()) leaves.add(placed(ref.id))
  for (const running of probing.probes.values()) if (running.kind === 'leaf') leaves.add(running.peer)
  return leaves
}

/** Our leaf set in short, and the ids in the order of its fingerprints. */
function digestOf(core: Core, probing: Probing): { digest: LeafDigest, ids: OverlayId[] } {
  const salt = core.random.u32()
  const leaves: LeafSet<Placed<OverlayId>> = expectsLeaves(probing) ? leavesToBe(core, probing) : core.leafSet
  const ids = leaves.inOrder().map((leaf) => leaf.id)
  return { ids, digest: { salt, fingerprints: ids.map((id) => fingerprint(id, salt)), ...boundsOf(core, leaves) } }
}

/** Where our leaf set ends on both sides; a side with room reaches further, by twice what it lacks. */
function boundsOf(core: Core, leaves: LeafSet<Placed<OverlayId>>): { lowest: number, highest: number } {
  const ends = leaves.ends()
  const everything = { lowest: 0, highest: 0 }
  if (ends === undefined) return everything
  const span = clockwise(ends.lowest, ends.highest)
  const below = leaves.inOrder().filter((leaf) => clockwise(leaf.position, core.self.position) <= span).length
  const reach = (count: number): number => {
    const lacking = core.config.leafSetCountMax / 2 - count
    return lacking <= 0 ? 0 : 2 * (lacking + 1) * span / leaves.members.size
  }
  const [down, up] = [reach(below), reach(leaves.members.size - below)]
  if (span + down + up >= RING_POSITIONS) return everything
  return {
    lowest: top((ends.lowest - down + RING_POSITIONS) % RING_POSITIONS),
    highest: top((ends.highest + up) % RING_POSITIONS),
  }
}

function top(position: number): number {
  return Math.floor(position / 2 ** 20)
}

function isWithin(node: Placed<OverlayId>, digest: LeafDigest): boolean {
  if (digest.lowest === digest.highest) return true
  const [lowest, highest] = [digest.lowest * 2 ** 20, (digest.highest + 1) * 2 ** 20 % RING_POSITIONS]
  return clockwise(lowest, node.position) <= clockwise(lowest, highest)
}

/** The nodes found dead last that leaves may still list; all others were announced before. */
function failedNews(core: Core): OverlayId[] {
  const ids: OverlayId[] = []
  for (const [id, atMs] of core.failedMs) {
    if (core.nowMs - atMs < FAILED_NEWS_MS && core.leafSet.covers(placed(id))) ids.push(id)
  }
  return ids.slice(-FAILED_NEWS_MAX)
}

/** The nodes found dead that the asker still lists. */
function failedOf(core: Core, digest: LeafDigest): OverlayId[] {
  const listed = new Set(digest.fingerprints)
  const ids: OverlayId[] = []
  for (const id of core.failedMs.keys()) {
    if (ids.length < FAILED_MAX && listed.has(fingerprint(id, digest.salt))) ids.push(id)
  }
  return ids
}

/** Others say that these failed: asks those of them that we know and have not just heard. */
export function onFailed(core: Core, probing: Probing, ids: readonly OverlayId[]): void {
  for (const id of ids) {
    const peer = core.peers.get(id)
    if (peer === undefined || !peer.isLeaf && !peer.inTable) continue
    if (core.nowMs - peer.heardMs > 2_000) probe(core, probing, peer, 'ping', true)
  }
}

/**
 * Ring leases: a node owns keys only while both of its ring neighbours have promised to leave them to it
 * (FreePastry's PeriodicLeafSetProtocol; DESIGN section 4), so that no key ever has two owners.
 *
 * Whoever grants a lease claims no key nearer to the grantee until the grant is over, even if the grantee
 * seems dead. A grant tells of the grantor's other outstanding grants on that side: nodes between the two
 * narrow what the new holder may claim; a node beyond must itself grant the new holder's other lease, else
 * it would not know of the new holder and claim the same keys.
 */
import { isClockwiseBefore, isNearer, placed } from '../ids.ts'
import type { OverlayId, Placed } from '../ids.ts'
import type { Entry } from './agenda.ts'
import { dropped, lose, send, setState, stateOf } from './core.ts'
import type { Core, Task } from './core.ts'
import type { Side } from './leaf-set.ts'
import { TOLD_MAX } from './messages.ts'
import type { Denial, Message, NodeRef } from './messages.ts'
import { isMember, measured, timeoutMs } from './peers.ts'
import type { Peer } from './peers.ts'

type LeaseMessage = Extract<Message, { type: 'lease' }>

interface Held { readonly from: Placed<OverlayId>, readonly untilMs: number }

interface Grant {
  readonly node: Placed<OverlayId>
  /** When it is over on each side where the grantee lies, seen from here; 0 where there was none. */
  readonly untilMs: Record<Side, number>
  /** Nodes between us and the grantee that it was told are gone when their grants are over. */
  readonly skipped: ReadonlySet<OverlayId>
}

interface Told {
  readonly node: Placed<OverlayId>
  readonly untilMs: number
  readonly by: OverlayId
  /** The side on which our own lease must come from this node; `undefined` if it lies between us and the teller. */
  readonly beyond: Side | undefined
}

interface Slot { readonly id: OverlayId, readonly untilMs: number }

interface Request {
  readonly peer: Peer
  nonce: number
  tries: number
  sentMs: number
  wasLinked: boolean
  left: boolean
  right: boolean
  entry: Entry<Task> | undefined
}

/** The leases that this node holds, has granted and has asked for. */
export interface Leases {
  held: { left: Held | undefined, right: Held | undefined }
  /** Until when a node without neighbours is its own neighbour. */
  aloneUntilMs: number
  /** Whether it founded a ring; who was ready once may be alone, too. */
  mayBeAlone: boolean
  readonly granted: Map<OverlayId, Grant>
  told: Told[]
  /** The joiner that has its turn on each side; a gap between two nodes takes one at a time. */
  readonly slots: Record<Side, Slot | undefined>
  readonly requests: Map<OverlayId, Request>
}

/** No leases. */
export function makeLeases(): Leases {
  return {
    held: { left: undefined, right: undefined }, aloneUntilMs: 0, mayBeAlone: false,
    granted: new Map(), told: [], slots: { left: undefined, right: undefined }, requests: new Map(),
  }
}

/** Whether both sides are covered just now. */
export function isLeased(core: Core, leases: Leases): boolean {
  return leasedMs(core, leases) > 0
}

/** Milliseconds for which both sides stay covered if nothing is renewed. */
export function leasedMs(core: Core, leases: Leases): number {
  return Math.min(coveredMs(core, leases, 'left'), coveredMs(core, leases, 'right'))
}

function coveredMs(core: Core, leases: Leases, side: Side): number {
  const held = leases.held[side]
  const heldMs = (held?.untilMs ?? 0) - core.nowMs
  if (held === undefined || heldMs <= 0) return leases.aloneUntilMs - core.nowMs
  for (const told of leases.told) {
    if (told.beyond === side && told.untilMs > core.nowMs && told.node.id !== held.from.id) return 0
  }
  return Math.max(heldMs, leases.aloneUntilMs - core.nowMs)
}

/** Whether this node answers for `key`, if `butFor` (who asks to join there) is left out. */
export function owns(core: Core, leases: Leases, key: Placed, butFor?: OverlayId): boolean {
  if (core.config.safeJoin && (core.state !== 'ready' || !isLeased(core, leases))) return false
  if (core.state === 'dead' || core.state === 'waiting') return false
  const nearer = (node: Placed<OverlayId>): boolean => node.id !== butFor && isNearer(key, node, core.self)
  for (const leaf of core.leafSet.members.values()) if (nearer(leaf)) return false
  if (!core.config.safeJoin) return true
  for (const grant of leases.granted.values()) if (lastMs(grant) > core.nowMs && nearer(grant.node)) return false
  for (const told of leases.told) if (told.untilMs > core.nowMs && nearer(told.node)) return false
  return true
}

/** The time to renew, or the neighbours changed: asks each neighbour whose lease is missing or half over. */
export function renewLeases(core: Core, leases: Leases): void {
  forgetExpired(core, leases)
  if (core.state === 'dead' || core.state === 'waiting') return
  const { left: [left], right: [right] } = core.leafSet
  if (left === undefined || right === undefined) {
    const free = leases.granted.size === 0 && leases.told.length === 0
    if ((leases.mayBeAlone || core.wasReady) && free) leases.aloneUntilMs = core.nowMs + core.config.leaseMs
    settleState(core, leases)
    return
  }
  const needsLeft = needs(core, leases, 'left', left)
  // Joiners of one gap all ask its left end first, so that no two of them hold one end each and wait for ever.
  const inTurn = core.wasReady || (leases.held.left?.untilMs ?? 0) > core.nowMs
  const needsRight = inTurn && needs(core, leases, 'right', right)
  if (left === right) {
    if (needsLeft || needsRight) request(core, leases, left, true, true)
  } else {
    if (needsLeft) request(core, leases, left, true, false)
    if (needsRight) request(core, leases, right, false, true)
  }
  settleState(core, leases)
}

function needs(core: Core, leases: Leases, side: Side, neighbour: Peer): boolean {
  const held = leases.held[side]
  if (held === undefined || held.from.id !== neighbour.id) return true
  return held.untilMs - core.nowMs < core.config.leaseMs - 0.8 * core.config.leaseRenewMs
}

function request(core: Core, leases: Leases, peer: Peer, left: boolean, right: boolean): void {
  const running = leases.requests.get(peer.id)
  if (running !== undefined && (running.left || !left) && (running.right || !right)) return
  core.agenda.cancel(running?.entry)
  const started: Request = {
    peer, nonce: 0, tries: running?.tries ?? 0, sentMs: 0, wasLinked: false, left, right, entry: undefined,
  }
  leases.requests.set(peer.id, started)
  sendRequest(core, leases, started)
}

function sendRequest(core: Core, leases: Leases, running: Request): void {
  const { peer } = running
  running.tries++
  running.nonce = core.random.u32()
  running.sentMs = core.nowMs
  running.wasLinked = peer.linked
  const base = peer.linked ? Math.max(500, timeoutMs(peer, core.config)) : core.config.coldTimeoutMs
  const patience = Math.min(core.config.coldTimeoutMs, base * 2 ** (running.tries - 1))
  running.entry = core.agenda.add(core.nowMs + patience, { do: 'leaseTimeout', id: peer.id })
  const { left, right } = leases.held
  send(core, peer, {
    type: 'lease', nonce: running.nonce, state: stateOf(core), durationMs: core.config.leaseMs,
    left: running.left, right: running.right,
    leftFrom: left !== undefined && left.untilMs > core.nowMs ? left.from.id : undefined,
    rightFrom: right !== undefined && right.untilMs > core.nowMs ? right.from.id : undefined,
  })
}

/** A neighbour did not answer: asks again, or takes it for failed. Returns a failure to announce. */
export function onLeaseTimeout(core: Core, leases: Leases, id: OverlayId): Peer | undefined {
  const running = leases.requests.get(id)
  if (running === undefined) return undefined
  if (running.tries < core.config.probeTriesMax && running.peer.isLeaf) {
    sendRequest(core, leases, running)
    return undefined
  }
  leases.requests.delete(id)
  const { peer } = running
  if (!peer.isLeaf || peer.heardMs >= running.sentMs) return undefined
  lose(core, peer)
  return peer
}

/** A node asks us for a lease. */
export function onLease(core: Core, leases: Leases, peer: Peer, message: LeaseMessage): void {
  forgetExpired(core, leases)
  const sides: Side[] = []
  if (message.left) sides.push('right')
  if (message.right) sides.push('left')
  const deny = (reason: Denial, retryMs: number, closer?: NodeRef): void => {
    send(core, peer, { type: 'deny', nonce: message.nonce, reason, retryMs: Math.ceil(retryMs), closer })
  }
  if (core.state !== 'ready' && core.state !== 'lapsed' && core.config.safeJoin) return deny('notReady', 1_000)
  if (sides.length === 0 || message.durationMs > 60_000) return dropped(core, 'badLease', peer)
  for (const side of sides) {
    const nearest = core.leafSet[side].find((leaf) => leaf !== peer)
    if (nearest !== undefined && isBefore(core.self, side, nearest, peer)) {
      return nearest.suspect ? deny('busy', 500) : deny('closer', 1_000, nearest.ref)
    }
    const skippedMs = core.config.safeJoin ? skipMs(core, leases, side, peer, message) : 0
    if (skippedMs > 0) return deny('skipped', Math.min(skippedMs, 1_000))
  }
  if (!isMember(peer) && core.config.safeJoin) {
    for (const side of sides) {
      const slot = leases.slots[side]
      if (slot === undefined || slot.untilMs <= core.nowMs) continue
      if (slot.id !== peer.id) return deny('busy', Math.min(slot.untilMs - core.nowMs, 300 + core.random.below(400)))
    }
    for (const side of sides) {
      const slot = leases.slots[side]
      if (slot !== undefined && slot.untilMs > core.nowMs) continue
      leases.slots[side] = { id: peer.id, untilMs: core.nowMs + core.config.slotMs }
    }
  }
  if (isMember(peer)) freeSlot(leases, peer)
  grant(core, leases, peer, message, sides)
}

/** How long a grant still runs whose holder was told that this peer was gone, in ms. */
function skipMs(core: Core, leases: Leases, side: Side, peer: Peer, message: LeaseMessage): number {
  const from = side === 'right' ? message.rightFrom : message.leftFrom
  let remainingMs = 0
  for (const other of leases.granted.values()) {
    if (!other.skipped.has(peer.id) || other.node.id === from) continue
    remainingMs = Math.max(remainingMs, other.untilMs[side] - core.nowMs)
  }
  return remainingMs
}

function grant(core: Core, leases: Leases, peer: Peer, message: LeaseMessage, sides: readonly Side[]): void {
  for (const side of sides) forgetCovered(core, leases, side, peer, message)
  const told: { id: OverlayId, remainingMs: number }[] = []
  const skipped = new Set<OverlayId>()
  for (const other of leases.granted.values()) {
    if (other.node.id === peer.id || told.length >= TOLD_MAX) continue
    const side = sides.find((one) => other.untilMs[one] > core.nowMs)
    if (side === undefined) continue
    told.push({ id: other.node.id, remainingMs: Math.min(65_535, Math.ceil(other.untilMs[side] - core.nowMs)) })
    const isJoining = leases.slots[side]?.id === other.node.id
    if (!isJoining && isBefore(core.self, side, other.node, peer)) skipped.add(other.node.id)
  }
  const lastsMs = message.durationMs * (1 + core.config.leaseDriftShare) + 10
  const untilMs = { left: 0, right: 0, ...leases.granted.get(peer.id)?.untilMs }
  for (const side of sides) untilMs[side] = core.nowMs + lastsMs
  leases.granted.set(peer.id, { node: peer, untilMs, skipped })
  send(core, peer, {
    type: 'grant', nonce: message.nonce, durationMs: message.durationMs, left: message.left, right: message.right, told,
  })
}

/** Whoever granted the peer its lease on the far side knows of it, and claims nothing up to us: no need to tell. */
function forgetCovered(core: Core, leases: Leases, side: Side, peer: Peer, message: LeaseMessage): void {
  const from = side === 'right' ? message.rightFrom : message.leftFrom
  const far = from === undefined || from === peer.id ? undefined : leases.granted.get(from)
  if (far !== undefined && isBefore(core.self, side, peer, far.node)) far.untilMs[side] = 0
}

/** A neighbour granted what we asked it for. */
export function onGrant(
  core: Core, leases: Leases, peer: Peer, message: Extract<Message, { type: 'grant' }>,
): void {
  const running = leases.requests.get(peer.id)
  if (running === undefined || running.nonce !== message.nonce) return dropped(core, 'unexpectedGrant', peer)
  endRequest(core, leases, running)
  measured(peer, core.nowMs - running.sentMs, running.wasLinked, core.config)
  core.table.reorder(peer)
  const untilMs = running.sentMs + Math.min(message.durationMs, core.config.leaseMs)
  if (message.left && running.left) leases.held.left = { from: peer, untilMs }
  if (message.right && running.right) leases.held.right = { from: peer, untilMs }
  leases.told = leases.told.filter((told) => told.by !== peer.id && told.untilMs > core.nowMs)
  const side: Side = running.left ? 'left' : 'right'
  for (const told of message.told) {
    if (told.id === core.self.id || told.id === peer.id) continue
    const node = placed(told.id)
    const between = isBefore(core.self, side, node, peer)
    const far: Side = side === 'left' ? 'right' : 'left'
    const beyond = between || running.left && running.right ? undefined : far
    leases.told.push({ node, untilMs: core.nowMs + told.remainingMs, by: peer.id, beyond })
  }
  settleState(core, leases)
}

/** A neighbour denied a lease. Returns the nearer neighbour to ask about, if it named one. */
export function onDeny(
  core: Core, leases: Leases, peer: Peer, message: Extract<Message, { type: 'deny' }>,
): NodeRef | undefined {
  const running = leases.requests.get(peer.id)
  if (running === undefined || running.nonce !== message.nonce) {
    dropped(core, 'unexpectedDeny', peer)
    return undefined
  }
  endRequest(core, leases, running)
  core.agenda.add(core.nowMs + Math.min(2_000, Math.max(100, message.retryMs)), { do: 'leaseRetry' })
  return message.closer
}

function endRequest(core: Core, leases: Leases, running: Request): void {
  core.agenda.cancel(running.entry)
  leases.requests.delete(running.peer.id)
}

/** First ready: the neighbours hear of it, and of our other lease, with the next request, which is due at once. */
export function confirmLeases(core: Core, leases: Leases): void {
  const { left: [left], right: [right] } = core.leafSet
  if (left === undefined || right === undefined) return
  request(core, leases, left, true, left === right)
  if (left !== right) request(core, leases, right, false, true)
}

/** Ready with both leases, lapsed without; called whenever either may have changed. */
export function settleState(core: Core, leases: Leases): void {
  if (core.state === 'dead' || core.state === 'waiting') return
  if (isLeased(core, leases)) setState(core, 'ready')
  else if (core.state === 'ready') setState(core, 'lapsed')
}

/** The machine slept: whatever was promised to it may be over. What it granted is kept, for longer than needed. */
export function voidLeases(leases: Leases): void {
  leases.held = { left: undefined, right: undefined }
  leases.aloneUntilMs = 0
}

/** A peer left in good order: it claims nothing any more, and its promises are worth nothing. */
export function onLeft(core: Core, leases: Leases, peer: Peer): void {
  leases.granted.delete(peer.id)
  leases.told = leases.told.filter((told) => told.node.id !== peer.id)
  if (leases.held.left?.from.id === peer.id) leases.held.left = undefined
  if (leases.held.right?.from.id === peer.id) leases.held.right = undefined
  settleState(core, leases)
}

/** A request to a peer that is lost will not be answered. */
export function forgetRequest(core: Core, leases: Leases, id: OverlayId): void {
  const running = leases.requests.get(id)
  if (running !== undefined) endRequest(core, leases, running)
}

/** A joiner became ready and told us so with its other lease: the next one may have its turn. */
function freeSlot(leases: Leases, peer: Peer): void {
  if (leases.slots.left?.id === peer.id) leases.slots.left = undefined
  if (leases.slots.right?.id === peer.id) leases.slots.right = undefined
}

/** What is held, granted and known of others' grants, a line each, for people. */
export function describe(core: Core, leases: Leases): string[] {
  const left = (untilMs: number): string => `${Math.round(untilMs - core.nowMs)} ms`
  const lines: string[] = []
  for (const side of ['left', 'right'] as const) {
    const held = leases.held[side]
    if (held !== undefined) lines.push(`held from ${held.from.id} on the ${side}: ${left(held.untilMs)}`)
    const slot = leases.slots[side]
    if (slot !== undefined) lines.push(`turn of ${slot.id} on the ${side}: ${left(slot.untilMs)}`)
  }
  for (const grant of leases.granted.values()) lines.push(`granted to ${grant.node.id}: ${left(lastMs(grant))}`)
  for (const { node, by, untilMs, beyond } of leases.told) {
    lines.push(`told of ${node.id} by ${by}: ${left(untilMs)} ${beyond ?? 'between'}`)
  }
  return lines
}

function forgetExpired(core: Core, leases: Leases): void {
  for (const [id, other] of leases.granted) if (lastMs(other) <= core.nowMs) leases.granted.delete(id)
  if (leases.told.some((told) => told.untilMs <= core.nowMs)) {
    leases.told = leases.told.filter((told) => told.untilMs > core.nowMs)
  }
}

function lastMs(grant: Grant): number {
  return Math.max(grant.untilMs.left, grant.untilMs.right)
}

/** Whether `a` comes before `b` going from `self` towards `side`. */
function isBefore(self: Placed<OverlayId>, side: Side, a: Placed<OverlayId>, b: Placed<OverlayId>): boolean {
  if (a.id === b.id) return false
  return side === 'right' ? isClockwiseBefore(self, a, b) : isClockwiseBefore(self, b, a)
}

/**
 * Routing messages hop by hop: acknowledged by the next node, sent another way when it is silent, and
 * answered back along the same path.
 */
import assert from 'node:assert/strict'
import { at, dropped, emit, send } from './core.ts'
import type { Core, Task } from './core.ts'
import type { Entry } from './agenda.ts'
import type { OverlayId, Placed } from '../ids.ts'
import { HOPS_MAX } from './messages.ts'
import type { Answer, Message, Refusal, Route } from './messages.ts'
import { measured, timeoutMs } from './peers.ts'
import type { Peer } from './peers.ts'
import { improves, nextHop } from './next-hop.ts'

/** One message on its way through this node. */
export interface Transit {
  readonly route: Route
  readonly key: Placed
  /** Where it came from; `undefined` for our own. */
  readonly from: Peer | undefined
  near: boolean
  readonly untilMs: number
  /** Nodes that stayed silent, refused or answered falsely. */
  readonly tried: Set<OverlayId>
  /** The copies that were sent, while they are remembered. */
  readonly hops: number[]
  isDone: boolean
}

/** A copy that was sent to one node and waits for its acknowledgement, then for its answer. */
interface Sent {
  readonly transit: Transit
  readonly peer: Peer
  readonly message: Message
  readonly wasLinked: boolean
  sentMs: number
  tries: number
  isAcknowledged: boolean
  entry: Entry<Task> | undefined
}

/** An answer that waits for the acknowledgement of the node before us. */
interface SentAnswer {
  readonly peer: Peer
  readonly message: Answer
  tries: number
  entry: Entry<Task> | undefined
}

/** Messages under way. */
export interface Routing {
  readonly sent: Map<number, Sent>
  readonly answers: Map<number, SentAnswer>
  /** Hops received lately and from whom, so that copies are acknowledged and not followed. */
  readonly seen: Map<number, OverlayId>
  parked: Transit[]
  isParkedTimerSet: boolean
}

/** What routing asks of the rest: whether we own a key, and what to do with messages that arrived. */
export interface RoutingHooks {
  owns(key: Placed, butFor: OverlayId | undefined): boolean
  /** We own the key: answer, now or later. Returns true if the answer went out at once. */
  deliver(transit: Transit): boolean
  /** An answer to one of our own messages. */
  answered(transit: Transit, peer: Peer, answer: Answer): void
  /** An answer on its way through us, which may be added to. */
  passing(transit: Transit, answer: Answer): Answer
  /** Why the answer cannot be true, if we know. */
  doubt(transit: Transit, answer: Answer): string | undefined
  /** The first hop of our own join or healing refused it, or stayed silent. */
  firstHopFailed(transit: Transit, peer: Peer, refused: boolean): void
  /** The peer did not acknowledge: see whether it lives. */
  suspect(peer: Peer): void
}

/** Nothing under way. */
export function makeRouting(): Routing {
  return { sent: new Map(), answers: new Map(), seen: new Map(), parked: [], isParkedTimerSet: false }
}

/** A message from another node. */
export function onRoute(core: Core, routing: Routing, hooks: RoutingHooks, peer: Peer, route: Route): void {
  if (routing.seen.get(route.hop) === peer.id) {
    send(core, peer, { type: 'ack', hop: route.hop })
    return
  }
  const key = at(route.key)
  const refuse = (reason: Refusal): void => {
    if (reason !== 'notReady') dropped(core, reason, peer)
    send(core, peer, { type: 'nack', hop: route.hop, reason })
  }
  if (core.state === 'waiting' || core.state === 'dead') return refuse('notReady')
  if (route.hops >= HOPS_MAX) return refuse('tooManyHops')
  if (route.deadlineMs <= 0) return refuse('expired')
  // The first hop may be any node that is known to the origin, such as a bootstrap.
  if (route.hops > 0 && !improves(key, peer, core.self, route.near)) return refuse('noProgress')
  remember(core, routing, route.hop, peer.id)
  const transit: Transit = {
    route, key, from: peer, near: route.near, untilMs: core.nowMs + Math.min(route.deadlineMs, 600_000),
    tried: new Set(), hops: [], isDone: false,
  }
  const outcome = follow(core, routing, hooks, transit)
  if (outcome === 'refused') refuse('busy')
  else if (outcome !== 'answered') send(core, peer, { type: 'ack', hop: route.hop })
}

function remember(core: Core, routing: Routing, hop: number, id: OverlayId): void {
  routing.seen.set(hop, id)
  if (routing.seen.size > core.config.forwardsMax / 4) routing.seen.delete(routing.seen.keys().next().value!)
}

/** Sends a message of our own on its way, by `first` if given. */
export function originate(
  core: Core, routing: Routing, hooks: RoutingHooks, transit: Transit, first?: Peer,
): void {
  if (first === undefined) follow(core, routing, hooks, transit)
  else forward(core, routing, transit, first, false)
}

/** Takes the message one step further. */
function follow(
  core: Core, routing: Routing, hooks: RoutingHooks, transit: Transit,
): 'answered' | 'taken' | 'refused' {
  const joiner = transit.route.joiner?.id
  const isOwn = transit.from === undefined && transit.route.purpose !== 'lookup'
  if (!isOwn && hooks.owns(transit.key, joiner)) {
    transit.isDone = true
    return hooks.deliver(transit) ? 'answered' : 'taken'
  }
  const next = nextHop(core, transit.key, transit.near,
    (peer) => !peer.suspect && peer.id !== joiner && !transit.tried.has(peer.id) && peer !== transit.from)
  if (next === undefined) return park(core, routing, transit) ? 'taken' : 'refused'
  forward(core, routing, transit, next.peer, next.near)
  return 'taken'
}

function forward(core: Core, routing: Routing, transit: Transit, peer: Peer, near: boolean): void {
  const first = transit.from === undefined
  assert(first || improves(transit.key, core.self, peer, near), 'every hop must bring a message nearer to its key')
  assert(near || !transit.near || first, 'the near phase does not end')
  transit.near = near
  const hop = core.random.u32()
  const { route } = transit
  const message: Route = {
    ...route, hop, near, hops: route.hops + (first ? 0 : 1),
    deadlineMs: Math.max(1, Math.floor(transit.untilMs - core.nowMs)),
  }
  const sent: Sent = {
    transit, peer, message, wasLinked: peer.linked, sentMs: core.nowMs, tries: 1,
    isAcknowledged: false, entry: undefined,
  }
  transit.hops.push(hop)
  routing.sent.set(hop, sent)
  if (routing.sent.size > core.config.forwardsMax) forget(core, routing, routing.sent.keys().next().value!)
  send(core, peer, message)
  sent.entry = core.agenda.add(core.nowMs + timeoutMs(peer, core.config), { do: 'hopTimeout', hop })
}

function forget(core: Core, routing: Routing, hop: number): void {
  const sent = routing.sent.get(hop)
  core.agenda.cancel(sent?.entry)
  routing.sent.delete(hop)
}

/** Forgets everything: this node leaves. */
export function forgetAll(routing: Routing): void {
  routing.sent.clear()
  routing.answers.clear()
  routing.parked = []
  routing.isParkedTimerSet = false
}

/** Forgets messages whose time is over; their answers would not be taken any more. */
export function forgetOld(core: Core, routing: Routing): void {
  for (const [hop, sent] of routing.sent) {
    if (sent.transit.untilMs > core.nowMs) break
    forget(core, routing, hop)
  }
}

/** The message, or an answer, was not acknowledged in time. */
export function onHopTimeout(core: Core, routing: Routing, hooks: RoutingHooks, hop: number): void {
  const answer = routing.answers.get(hop)
  if (answer !== undefined) return resendAnswer(core, routing, hop, answer)
  const sent = routing.sent.get(hop)
  if (sent === undefined || sent.isAcknowledged || sent.transit.isDone) return
  const { transit, peer } = sent
  if (transit.untilMs <= core.nowMs) return forget(core, routing, hop)
  const again = transit.near || transit.route.purpose !== 'lookup' && transit.from === undefined
  if (again && sent.tries < core.config.hopTriesMax && peer.isLeaf) {
    sent.tries++
    send(core, peer, sent.message)
    const patience = timeoutMs(peer, core.config) * 2 ** (sent.tries - 1)
    sent.entry = core.agenda.add(core.nowMs + patience, { do: 'hopTimeout', hop })
    return
  }
  transit.tried.add(peer.id)
  if (peer.heardMs < sent.sentMs) {
    peer.suspect = true
    hooks.suspect(peer)
  }
  reroute(core, routing, hooks, transit, peer, false)
}

function reroute(
  core: Core, routing: Routing, hooks: RoutingHooks, transit: Transit, failed: Peer, refused: boolean,
): void {
  if (transit.isDone || transit.untilMs <= core.nowMs) return
  if (transit.from === undefined && transit.route.purpose !== 'lookup') {
    return hooks.firstHopFailed(transit, failed, refused)
  }
  follow(core, routing, hooks, transit)
}

/** The next node has the message. */
export function onAck(core: Core, routing: Routing, peer: Peer, hop: number): void {
  const answer = routing.answers.get(hop)
  if (answer !== undefined && answer.peer.id === peer.id) {
    core.agenda.cancel(answer.entry)
    routing.answers.delete(hop)
    return
  }
  const sent = routing.sent.get(hop)
  if (sent !== undefined && sent.peer.id === peer.id) acknowledge(core, sent)
}

function acknowledge(core: Core, sent: Sent): void {
  if (sent.isAcknowledged) return
  sent.isAcknowledged = true
  core.agenda.cancel(sent.entry)
  if (sent.tries > 1) return
  measured(sent.peer, core.nowMs - sent.sentMs, sent.wasLinked, core.config)
  core.table.reorder(sent.peer)
}

/** The next node refused the message: another one is tried. */
export function onNack(core: Core, routing: Routing, hooks: RoutingHooks, peer: Peer, hop: number): void {
  const sent = routing.sent.get(hop)
  if (sent === undefined || sent.peer.id !== peer.id) return dropped(core, 'unexpectedNack', peer)
  acknowledge(core, sent)
  forget(core, routing, hop)
  sent.transit.tried.add(peer.id)
  reroute(core, routing, hooks, sent.transit, peer, true)
}

/** Answers a message that arrived here, towards the node that it came from. */
export function sendAnswer(core: Core, routing: Routing, to: Peer, answer: Omit<Answer, 'type' | 'hop'>): void {
  const hop = core.random.u32()
  const message: Answer = { type: 'answer', hop, ...answer }
  const entry = core.agenda.add(core.nowMs + timeoutMs(to, core.config), { do: 'hopTimeout', hop })
  routing.answers.set(hop, { peer: to, message, tries: 1, entry })
  if (routing.answers.size > core.config.forwardsMax) {
    const [oldest, old] = routing.answers.entries().next().value!
    core.agenda.cancel(old.entry)
    routing.answers.delete(oldest)
  }
  send(core, to, message)
}

function resendAnswer(core: Core, routing: Routing, hop: number, answer: SentAnswer): void {
  if (answer.tries >= core.config.hopTriesMax) {
    routing.answers.delete(hop)
    return
  }
  answer.tries++
  send(core, answer.peer, answer.message)
  const patience = timeoutMs(answer.peer, core.config) * 2 ** (answer.tries - 1)
  answer.entry = core.agenda.add(core.nowMs + patience, { do: 'hopTimeout', hop })
}

/** An answer from the node that we sent the message to: takes it, or passes it back. */
export function onAnswer(core: Core, routing: Routing, hooks: RoutingHooks, peer: Peer, answer: Answer): void {
  send(core, peer, { type: 'ack', hop: answer.hop })
  if (routing.seen.get(answer.hop) === peer.id) return
  const sent = routing.sent.get(answer.re)
  if (sent === undefined || sent.peer.id !== peer.id) return dropped(core, 'unexpectedAnswer', peer)
  remember(core, routing, answer.hop, peer.id)
  acknowledge(core, sent)
  forget(core, routing, answer.re)
  const { transit } = sent
  if (transit.isDone) return
  const doubt = hooks.doubt(transit, answer)
  if (doubt !== undefined) {
    dropped(core, doubt, peer)
    transit.tried.add(peer.id)
    return reroute(core, routing, hooks, transit, peer, false)
  }
  finish(core, routing, transit)
  if (transit.from === undefined) return hooks.answered(transit, peer, answer)
  const passed = hooks.passing(transit, answer)
  const trace = transit.route.trace && passed.trace.length < HOPS_MAX
    ? [...passed.trace, { id: core.self.id, rttMs: Math.min(65_535, Math.round(peer.rttMs)) }] : passed.trace
  sendAnswer(core, routing, transit.from, {
    re: transit.route.hop, hops: passed.hops, root: passed.root, left: passed.left, right: passed.right,
    leaseMs: passed.leaseMs, references: passed.references, trace, payload: passed.payload,
  })
}

/** The message needs nothing more: its copies are forgotten. */
export function finish(core: Core, routing: Routing, transit: Transit): void {
  transit.isDone = true
  for (const hop of transit.hops) forget(core, routing, hop)
}

/** Keeps a message that belongs here, or to a node that is not ready or being probed; `false` if there is no room. */
function park(core: Core, routing: Routing, transit: Transit): boolean {
  if (routing.parked.includes(transit)) return true
  if (routing.parked.length >= core.config.parkedMax) return false
  routing.parked.push(transit)
  if (!routing.isParkedTimerSet) {
    routing.isParkedTimerSet = true
    core.agenda.add(core.nowMs + 400, { do: 'parked' })
  }
  return true
}

/** Something changed, or time passed: tries each parked message again. */
export function unpark(core: Core, routing: Routing, hooks: RoutingHooks): void {
  if (routing.parked.length === 0) return
  const waiting = routing.parked
  routing.parked = []
  for (const transit of waiting) {
    if (transit.isDone || transit.untilMs <= core.nowMs) continue
    // Who was silent before may have been found alive, or proven dead, meanwhile.
    transit.tried.clear()
    follow(core, routing, hooks, transit)
  }
}

/** The parked messages' timer is due. */
export function onParkedTimer(core: Core, routing: Routing, hooks: RoutingHooks): void {
  routing.isParkedTimerSet = false
  unpark(core, routing, hooks)
  if (routing.parked.length > 0 && !routing.isParkedTimerSet) {
    routing.isParkedTimerSet = true
    core.agenda.add(core.nowMs + 400, { do: 'parked' })
  }
}

/** A peer is lost: what waited for its acknowledgement goes another way at once. */
export function rerouteFrom(core: Core, routing: Routing, hooks: RoutingHooks, peer: Peer): void {
  for (const [hop, sent] of [...routing.sent]) {
    if (sent.peer !== peer || sent.isAcknowledged || sent.transit.isDone) continue
    core.agenda.cancel(sent.entry)
    sent.transit.tried.add(peer.id)
    forget(core, routing, hop)
    reroute(core, routing, hooks, sent.transit, peer, false)
  }
}

/** Tells the owner that a message reached the node that owns its key. */
export function tellDelivered(core: Core, transit: Transit, token: number): void {
  emit(core, { kind: 'deliver', key: transit.route.key, token, payload: transit.route.payload })
}

/** Both ends of a routed message: asking for the owner of a key, and answering as its owner. */
import { clockwise, isNearer, placed, sharedPrefix, RING_POSITIONS } from '../ids.ts'
import type { Key, OverlayId } from '../ids.ts'
import { at, emit, send } from './core.ts'
import type { Core, Task } from './core.ts'
import type { Entry } from './agenda.ts'
import { leasedMs } from './lease.ts'
import type { Leases } from './lease.ts'
import { PAYLOAD_BYTES_MAX, REFERENCES_MAX } from './messages.ts'
import type { Answer, NodeRef, Purpose, TraceHop } from './messages.ts'
import type { Peer } from './peers.ts'
import { finish, originate, sendAnswer, tellDelivered } from './routing.ts'
import type { Routing, RoutingHooks, Transit } from './routing.ts'

const NOTHING = new Uint8Array(0)
/** Requests whose payload was handed to the program, kept so that a copy is answered and not handed over again. */
const DELIVERIES_MAX = 256

/** A message of our own that waits for its answer. */
export interface Lookup {
  readonly id: number
  readonly request: number
  readonly purpose: Purpose
  readonly transit: Transit
  readonly startedMs: number
  attempts: number
  entry: Entry<Task> | undefined
}

/** A payload that the program has been given. */
interface Delivery { readonly token: number, transits: Transit[], reply: Uint8Array | undefined }

/** Lookups from here and deliveries here. */
export interface Lookups {
  readonly open: Map<number, Lookup>
  readonly deliveries: Map<number, Delivery>
  nextToken: number
}

/** What is asked for. */
export interface Asked {
  /** The owner's number for it; 0 for our own joins. */
  readonly id: number
  readonly key: Key
  readonly purpose: Purpose
  readonly timeoutMs: number
  readonly trace?: boolean | undefined
  readonly payload?: Uint8Array | undefined
  /** The first hop, where it matters. */
  readonly first?: Peer | undefined
}

/** None open. */
export function makeLookups(): Lookups {
  return { open: new Map(), deliveries: new Map(), nextToken: 1 }
}

/** Starts a lookup. */
export function ask(core: Core, lookups: Lookups, routing: Routing, hooks: RoutingHooks, asked: Asked): void {
  const payload = asked.payload ?? NOTHING
  const fail = (reason: string): void => {
    emit(core, { kind: 'lookupFailed', id: asked.id, key: asked.key, reason })
  }
  if (payload.length > PAYLOAD_BYTES_MAX) return fail('payloadTooLong')
  if (lookups.open.size >= core.config.forwardsMax) return fail('tooManyLookups')
  if (core.state === 'dead') return fail('notStarted')
  const request = core.random.u48()
  const untilMs = core.nowMs + asked.timeoutMs
  const transit: Transit = {
    route: {
      type: 'route', hop: 0, request, key: asked.key, purpose: asked.purpose, near: false, trace: asked.trace ?? false,
      hops: 0, deadlineMs: asked.timeoutMs, joiner: asked.purpose === 'lookup' ? undefined : core.ref, payload,
    },
    key: at(asked.key), from: undefined, near: false, untilMs, tried: new Set(), hops: [], isDone: false,
  }
  const lookup: Lookup = {
    id: asked.id, request, purpose: asked.purpose, transit, startedMs: core.nowMs, attempts: 1, entry: undefined,
  }
  lookups.open.set(request, lookup)
  const patience = asked.purpose === 'lookup' ? core.config.lookupRetryMs : asked.timeoutMs
  lookup.entry = core.agenda.add(core.nowMs + Math.min(patience, asked.timeoutMs), { do: 'lookupRetry', request })
  originate(core, routing, hooks, transit, asked.first)
}

/** No answer yet: tries another first hop, or gives up when the time is over. */
export function onLookupRetry(
  core: Core, lookups: Lookups, routing: Routing, hooks: RoutingHooks, request: number,
): void {
  const lookup = lookups.open.get(request)
  if (lookup === undefined) return
  const { transit } = lookup
  if (transit.untilMs - core.nowMs <= 1 || lookup.purpose !== 'lookup') {
    lookups.open.delete(request)
    finish(core, routing, transit)
    if (lookup.purpose === 'lookup' && lookup.id !== 0) {
      emit(core, { kind: 'lookupFailed', id: lookup.id, key: transit.route.key, reason: 'noAnswer' })
    }
    return
  }
  lookup.attempts++
  const patience = core.config.lookupRetryMs * 2 ** Math.min(2, lookup.attempts - 1)
  const dueMs = Math.min(transit.untilMs, core.nowMs + patience)
  lookup.entry = core.agenda.add(dueMs, { do: 'lookupRetry', request })
  // Whoever had it last is avoided, as long as there is another way.
  const last = transit.hops.at(-1)
  const silent = last === undefined ? undefined : routing.sent.get(last)?.peer
  if (silent !== undefined) transit.tried.add(silent.id)
  if (lookup.attempts % 3 === 0) transit.tried.clear()
  transit.near = false
  originate(core, routing, hooks, transit)
}

/** One of our own messages is not worth waiting for any more. Returns what it was for. */
export function giveUp(core: Core, lookups: Lookups, routing: Routing, transit: Transit): Purpose | undefined {
  const lookup = lookups.open.get(transit.route.request)
  if (lookup === undefined) return undefined
  lookups.open.delete(lookup.request)
  core.agenda.cancel(lookup.entry)
  finish(core, routing, transit)
  return lookup.purpose
}

/** An answer to one of our own messages: closes it. Joins and healing are the caller's to go on with. */
export function close(core: Core, lookups: Lookups, transit: Transit, answer: Answer): Lookup | undefined {
  const lookup = lookups.open.get(transit.route.request)
  if (lookup === undefined) return undefined
  lookups.open.delete(lookup.request)
  core.agenda.cancel(lookup.entry)
  if (lookup.purpose === 'lookup') {
    tellAnswered(core, lookup, answer.root, answer.hops, [...answer.trace].reverse(), answer.payload)
  }
  return lookup
}

function tellAnswered(
  core: Core, lookup: Lookup, root: NodeRef, hops: number, trace: TraceHop[], payload: Uint8Array,
): void {
  if (lookup.id === 0) return
  emit(core, {
    kind: 'answered', id: lookup.id, key: lookup.transit.route.key, root, hops,
    elapsedMs: core.nowMs - lookup.startedMs, attempts: lookup.attempts, trace, payload,
  })
}

/** This node owns the key: answers at once, or hands the payload to the program. True if the answer is out. */
export function deliver(
  core: Core, lookups: Lookups, routing: Routing, leases: Leases, transit: Transit,
): boolean {
  const { route } = transit
  if (route.purpose !== 'lookup') {
    const { left, right } = core.leafSet
    // A joiner gets our leaves from ourselves when it asks us as its first leaf: they need not travel every hop.
    const references = route.purpose === 'join' ? addRows(core, route.joiner!.id, [], route.hops === 0)
      : [...new Set([...left.slice(0, 2), ...right.slice(0, 2)])].map((leaf) => leaf.ref)
    reply(core, lookups, routing, leases, transit, NOTHING, references)
    return true
  }
  if (route.payload.length === 0) {
    tellDelivered(core, transit, 0)
    reply(core, lookups, routing, leases, transit, NOTHING)
    return true
  }
  const known = lookups.deliveries.get(route.request)
  if (known === undefined) {
    const token = lookups.nextToken++
    lookups.deliveries.set(route.request, { token, transits: [transit], reply: undefined })
    if (lookups.deliveries.size > DELIVERIES_MAX) lookups.deliveries.delete(lookups.deliveries.keys().next().value!)
    tellDelivered(core, transit, token)
    return false
  }
  if (known.reply === undefined) {
    if (known.transits.length < 8) known.transits.push(transit)
    return false
  }
  reply(core, lookups, routing, leases, transit, known.reply)
  return true
}

/** The program's answer to a payload. */
export function onReply(
  core: Core, lookups: Lookups, routing: Routing, leases: Leases, token: number, payload: Uint8Array,
): void {
  for (const delivery of lookups.deliveries.values()) {
    if (delivery.token !== token || delivery.reply !== undefined) continue
    delivery.reply = payload.length > PAYLOAD_BYTES_MAX ? NOTHING : payload
    for (const transit of delivery.transits) reply(core, lookups, routing, leases, transit, delivery.reply)
    delivery.transits = []
  }
}

function reply(
  core: Core, lookups: Lookups, routing: Routing, leases: Leases, transit: Transit, payload: Uint8Array,
  references: readonly NodeRef[] = [],
): void {
  const { route, from } = transit
  if (from === undefined) {
    const lookup = lookups.open.get(route.request)
    if (lookup === undefined) return
    lookups.open.delete(route.request)
    core.agenda.cancel(lookup.entry)
    finish(core, routing, transit)
    tellAnswered(core, lookup, core.ref, 0, route.trace ? [{ id: core.self.id, rttMs: 0 }] : [], payload)
    return
  }
  sendAnswer(core, routing, from, {
    re: route.hop, hops: route.hops + 1, root: core.ref,
    left: core.leafSet.left[0]?.id ?? core.self.id, right: core.leafSet.right[0]?.id ?? core.self.id,
    leaseMs: Math.min(65_535, Math.max(0, Math.floor(leasedMs(core, leases)))),
    references, trace: route.trace ? [{ id: core.self.id, rttMs: 0 }] : [], payload,
  })
}

/** On the way back each hop adds what the joiner's rows still lack. */
export function passing(core: Core, transit: Transit, answer: Answer): Answer {
  const { joiner } = transit.route
  if (joiner === undefined || transit.route.purpose !== 'join') return answer
  return { ...answer, references: addRows(core, joiner.id, [...answer.references], transit.route.hops === 0) }
}

function addRows(core: Core, joiner: OverlayId, references: NodeRef[], isFirst: boolean): NodeRef[] {
  const counts = new Map<number, number>()
  const listed = new Set(references.map((ref) => ref.id))
  for (const id of listed) counts.set(sharedPrefix(id, joiner), (counts.get(sharedPrefix(id, joiner)) ?? 0) + 1)
  const shared = sharedPrefix(core.self.id, joiner)
  // The first row comes from the first hop, who is the last to add to the answer, so that it travels only once.
  for (let row = isFirst ? 0 : 1; row <= shared; row++) {
    if ((counts.get(row) ?? 0) >= 6) continue
    for (const peer of core.table.row(row)) {
      if (references.length >= REFERENCES_MAX) return references
      if (core.table.slot(row, peer.column)[0] !== peer || peer.suspect) continue
      if (peer.id !== joiner && !listed.has(peer.id)) references.push(peer.ref)
    }
  }
  return references
}

/**
 * Why an answer cannot be right, if this node can tell: the root holds no leases, we know a nearer node,
 * its part of the ring looks far sparser than ours, or its neighbours do not fit around it.
 */
export function doubt(core: Core, transit: Transit, answer: Answer): string | undefined {
  if (transit.route.purpose !== 'lookup') return undefined
  if (answer.leaseMs === 0 && core.config.safeJoin) return 'noLease'
  const root = placed(answer.root.id)
  for (const leaf of core.leafSet.members.values()) {
    if (leaf.id !== root.id && isNearer(transit.key, leaf, root) && !leaf.suspect
      && core.nowMs - leaf.heardMs < 2 * core.config.leaseMs) return 'falseRoot'
  }
  const { left: [left], right: [right] } = core.leafSet
  if (left === undefined || right === undefined || !core.leafSet.isFull) return undefined
  if (answer.left === answer.root.id || answer.right === answer.root.id) return 'sparseRoot'
  const theirs = clockwise(placed(answer.left).position, placed(answer.right).position)
  const [lowest, highest] = [core.leafSet.left.at(-1)!, core.leafSet.right.at(-1)!]
  const ours = clockwise(lowest.position, highest.position) / core.config.leafSetCountMax
  return Math.min(theirs, RING_POSITIONS) > core.config.densityFactorMax * ours * 2 ? 'sparseRoot' : undefined
}

/** This node leaves: whoever waits for an answer is told. */
export function failAll(core: Core, lookups: Lookups): void {
  for (const { id, purpose, transit } of lookups.open.values()) {
    if (purpose === 'lookup' && id !== 0) {
      emit(core, { kind: 'lookupFailed', id, key: transit.route.key, reason: 'left' })
    }
  }
  lookups.open.clear()
  lookups.deliveries.clear()
}

/** Tells the leaves that we leave. */
export function sayLeave(core: Core): void {
  for (const leaf of core.leafSet.members.values()) send(core, leaf, { type: 'leave' })
}

/** What the overlay's messages mean and which bytes they are: `/warren/pastry/1`, one message per frame. */
import { Reader, Writer } from '../bytes.ts'
import type { Key, OverlayId } from '../ids.ts'

/** The protocol id that streams of these messages are opened with. */
export const PASTRY_PROTOCOL = '/warren/pastry/1'
/** First byte of every message; another value is another protocol. */
export const PASTRY_VERSION = 1
/** Longest message: a join's answer with 160 references. */
export const MESSAGE_BYTES_MAX = 40 * 1024
/** Longest contact: a public key, a certificate's hash and three addresses. */
export const CONTACT_BYTES_MAX = 192
/** Longest payload of a routed message; larger data travels over a link of its own. */
export const PAYLOAD_BYTES_MAX = 8 * 1024
/** Hops after which a message is given up: three times what 10^9 nodes would need. */
export const HOPS_MAX = 32
/** References in one message: a leaf set, or three full rows and a leaf set in a join's answer. */
export const REFERENCES_MAX = 160
/** Fingerprints in one message: a leaf set of 64, or a row with three candidates per slot. */
export const FINGERPRINTS_MAX = 64
/** Ids of failed nodes in one message. */
export const FAILED_MAX = 16
/** Outstanding grants that a grant tells of. */
export const TOLD_MAX = 16

/**
 * What is known of a node: its place and how it is reached. The contact (public key, certificate
 * hash, address) is the driver's business, opaque here; all of it is a hint until the node is admitted.
 */
export interface NodeRef { readonly id: OverlayId, readonly contact: Uint8Array }

/** How far a node has come: `ok` heard from all its leaves, `lapsed` was ready and lost a lease. */
export const STATES = ['waiting', 'ok', 'ready', 'lapsed'] as const
/** One of `STATES`. */
export type State = (typeof STATES)[number]
/** What a routed message is for: an owner's key, a place to join at, the ring behind a lost peer. */
export const PURPOSES = ['lookup', 'join', 'heal'] as const
/** One of `PURPOSES`. */
export type Purpose = (typeof PURPOSES)[number]
/** Why a hop refused a routed message. */
export const REFUSALS = ['busy', 'noProgress', 'tooManyHops', 'expired', 'notReady'] as const
/** One of `REFUSALS`. */
export type Refusal = (typeof REFUSALS)[number]
/** Why a lease was not granted: another joiner's turn, a nearer neighbour, not able to. */
export const DENIALS = ['busy', 'closer', 'notReady', 'skipped'] as const
/** One of `DENIALS`. */
export type Denial = (typeof DENIALS)[number]

/** One hop of a traced route: who, and its round trip to the next hop in ms. */
export interface TraceHop { readonly id: OverlayId, readonly rttMs: number }
/** A grant to somebody else that is still out, and for how long. */
export interface Told { readonly id: OverlayId, readonly remainingMs: number }
/** A table entry as its owner sees it: the reference and the round trip in ms. */
export interface RowEntry { readonly ref: NodeRef, readonly rttMs: number }
/** What a node has of a leaf set: salted fingerprints within its bounds (top 32 bits of its furthest leaves). */
export interface LeafDigest {
  readonly salt: number
  readonly lowest: number
  readonly highest: number
  readonly fingerprints: readonly number[]
}

/** A message towards the owner of `key`; `hop` is acknowledged by the next node, `request` tells copies apart. */
export interface Route {
  readonly type: 'route'
  readonly hop: number
  readonly request: number
  readonly key: Key
  readonly purpose: Purpose
  /** Only strictly nearer nodes may follow: some hop had the key within its leaf set. */
  readonly near: boolean
  readonly trace: boolean
  readonly hops: number
  /** Remaining milliseconds, up to 2^32. */
  readonly deadlineMs: number
  /** Who joins or heals. */
  readonly joiner?: NodeRef | undefined
  readonly payload: Uint8Array
}

/** The answer to the route that its receiver sent as hop `re`. */
export interface Answer {
  readonly type: 'answer'
  readonly hop: number
  readonly re: number
  readonly hops: number
  readonly root: NodeRef
  /** The root's ring neighbours, itself when alone. */
  readonly left: OverlayId
  readonly right: OverlayId
  /** Milliseconds for which the root holds its leases, at most 65 535; 0 in answers to joins. */
  readonly leaseMs: number
  readonly references: readonly NodeRef[]
  readonly trace: readonly TraceHop[]
  readonly payload: Uint8Array
}

/** Every message of the overlay. */
export type Message =
  /** `rttMs` is what the sender takes the round trip to be, 0 if it does not know: one measures for both. */
  | { readonly type: 'ping', readonly nonce: number, readonly state: State, readonly rttMs: number }
  | { readonly type: 'pong', readonly nonce: number, readonly state: State }
  | Route | Answer
  | { readonly type: 'ack', readonly hop: number }
  | { readonly type: 'nack', readonly hop: number, readonly reason: Refusal }
  | {
    readonly type: 'leafProbe', readonly nonce: number, readonly state: State
    readonly digest: LeafDigest, readonly failed: readonly OverlayId[]
  }
  | {
    readonly type: 'leafReply', readonly nonce: number, readonly state: State
    /** Bit i: send me the reference behind fingerprint i. */
    readonly wanted: number
    readonly references: readonly NodeRef[], readonly failed: readonly OverlayId[]
  }
  | { readonly type: 'leafPush', readonly state: State, readonly references: readonly NodeRef[] }
  | { readonly type: 'failed', readonly ids: readonly OverlayId[] }
  | {
    readonly type: 'lease', readonly nonce: number, readonly state: State, readonly durationMs: number
    /** Which neighbour the receiver is to the sender. */
    readonly left: boolean, readonly right: boolean
    /** Who granted the sender's current leases, if anybody. */
    readonly leftFrom: OverlayId | undefined, readonly rightFrom: OverlayId | undefined
  }
  | {
    readonly type: 'grant', readonly nonce: number, readonly durationMs: number
    readonly left: boolean, readonly right: boolean, readonly told: readonly Told[]
  }
  | {
    readonly type: 'deny', readonly nonce: number, readonly reason: Denial, readonly retryMs: number
    readonly closer: NodeRef | undefined
  }
  | {
    readonly type: 'rowRequest', readonly row: number
    readonly salt: number, readonly fingerprints: readonly number[]
  }
  | { readonly type: 'rowReply', readonly row: number, readonly entries: readonly RowEntry[] }
  | { readonly type: 'leave' }

const TYPES = [
  'ping', 'pong', 'route', 'answer', 'ack', 'nack', 'leafProbe', 'leafReply', 'leafPush', 'failed',
  'lease', 'grant', 'deny', 'rowRequest', 'rowReply', 'leave',
] as const satisfies Message['type'][]

/** A decoded message, or why there is none. */
export type Decoded = { readonly ok: true, readonly message: Message } | { readonly ok: false, readonly reason: string }

/**
 * A fingerprint of 24 bits under `salt`: three bytes instead of sixteen, and two ids that collide
 * under one salt do not under the next.
 */
export function fingerprint(id: OverlayId, salt: number): number {
  let hash = salt | 0
  for (let at = 0; at < 32; at++) hash = Math.imul(hash ^ id.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ hash >>> 15, 0x2c1b3c6d)
  return (hash ^ hash >>> 12) & 0xffffff
}

/** The message's bytes. Values must be in range: they are our own. */
export function encode(message: Message): Uint8Array {
  const out = new Writer(256)
  out.u8(PASTRY_VERSION).u8(TYPES.indexOf(message.type))
  switch (message.type) {
    case 'ping': out.u32(message.nonce).u8(STATES.indexOf(message.state)).u16(message.rttMs); break
    case 'pong': out.u32(message.nonce).u8(STATES.indexOf(message.state)); break
    case 'ack': out.u32(message.hop); break
    case 'nack': out.u32(message.hop).u8(REFUSALS.indexOf(message.reason)); break
    case 'route': writeRoute(out, message); break
    case 'answer': writeAnswer(out, message); break
    case 'leafProbe':
      out.u32(message.nonce).u8(STATES.indexOf(message.state))
      out.u32(message.digest.salt).u32(message.digest.lowest).u32(message.digest.highest)
      writeList(out, message.digest.fingerprints, (value) => out.u24(value))
      writeList(out, message.failed, (id) => out.place(id))
      break
    case 'leafReply':
      out.u32(message.nonce).u8(STATES.indexOf(message.state)).u32(message.wanted)
      writeList(out, message.references, (ref) => writeRef(out, ref))
      writeList(out, message.failed, (id) => out.place(id))
      break
    case 'leafPush':
      out.u8(STATES.indexOf(message.state))
      writeList(out, message.references, (ref) => writeRef(out, ref))
      break
    case 'failed': writeList(out, message.ids, (id) => out.place(id)); break
    case 'lease':
      out.u32(message.nonce).u8(STATES.indexOf(message.state)).u16(message.durationMs)
      out.u8(flags(message.left, message.right, message.leftFrom !== undefined, message.rightFrom !== undefined))
      if (message.leftFrom !== undefined) out.place(message.leftFrom)
      if (message.rightFrom !== undefined) out.place(message.rightFrom)
      break
    case 'grant':
      out.u32(message.nonce).u16(message.durationMs).u8(flags(message.left, message.right))
      writeList(out, message.told, (told) => out.place(told.id).u16(told.remainingMs))
      break
    case 'deny':
      out.u32(message.nonce).u8(DENIALS.indexOf(message.reason)).u16(message.retryMs)
      out.u8(flags(message.closer !== undefined))
      if (message.closer !== undefined) writeRef(out, message.closer)
      break
    case 'rowRequest':
      out.u8(message.row).u32(message.salt)
      writeList(out, message.fingerprints, (value) => out.u24(value))
      break
    case 'rowReply':
      out.u8(message.row)
      writeList(out, message.entries, (entry) => { writeRef(out, entry.ref); out.u16(entry.rttMs) })
      break
    case 'leave': break
  }
  return out.done()
}

/** Length of `encode(message)` without making it, for whoever only counts. */
export function encodedBytes(message: Message): number {
  switch (message.type) {
    case 'ack': return 6
    case 'pong': case 'nack': return 7
    case 'ping': return 9
    case 'route': return 37 + refBytes(message.joiner) + message.payload.length
    case 'answer':
      return 49 + refsBytes(message.references) + refBytes(message.root) + 18 * message.trace.length
        + message.payload.length
    case 'leafProbe': return 21 + 3 * message.digest.fingerprints.length + 16 * message.failed.length
    case 'leafReply': return 13 + refsBytes(message.references) + 16 * message.failed.length
    case 'leafPush': return 4 + refsBytes(message.references)
    case 'failed': return 3 + 16 * message.ids.length
    case 'lease': return 10 + (message.leftFrom === undefined ? 0 : 16) + (message.rightFrom === undefined ? 0 : 16)
    case 'grant': return 10 + 18 * message.told.length
    case 'deny': return 10 + refBytes(message.closer)
    case 'rowRequest': return 8 + 3 * message.fingerprints.length
    case 'rowReply': return message.entries.reduce((sum, entry) => sum + 2 + refBytes(entry.ref), 4)
    case 'leave': return 2
  }
}

/** A peer's bytes as a message; never throws. */
export function decode(bytes: Uint8Array): Decoded {
  if (bytes.length > MESSAGE_BYTES_MAX) return { ok: false, reason: 'oversized' }
  const input = new Reader(bytes)
  if (input.u8() !== PASTRY_VERSION) return { ok: false, reason: 'otherVersion' }
  const type = TYPES[input.u8()]
  if (type === undefined) return { ok: false, reason: 'unknownType' }
  const message = read(input, type)
  input.end()
  return input.bad === undefined ? { ok: true, message } : { ok: false, reason: input.bad }
}

function read(input: Reader, type: Message['type']): Message {
  switch (type) {
    case 'ping': return { type, nonce: input.u32(), state: readOne(input, STATES), rttMs: input.u16() }
    case 'pong': return { type, nonce: input.u32(), state: readOne(input, STATES) }
    case 'ack': return { type, hop: input.u32() }
    case 'nack': return { type, hop: input.u32(), reason: readOne(input, REFUSALS) }
    case 'route': return readRoute(input)
    case 'answer': return readAnswer(input)
    case 'leafProbe': return {
      type, nonce: input.u32(), state: readOne(input, STATES),
      digest: {
        salt: input.u32(), lowest: input.u32(), highest: input.u32(),
        fingerprints: readList(input, FINGERPRINTS_MAX, () => input.u24()),
      },
      failed: readList(input, FAILED_MAX, () => input.place<OverlayId>()),
    }
    case 'leafReply': return {
      type, nonce: input.u32(), state: readOne(input, STATES), wanted: input.u32(),
      references: readList(input, REFERENCES_MAX, () => readRef(input)),
      failed: readList(input, FAILED_MAX, () => input.place<OverlayId>()),
    }
    case 'leafPush': return {
      type, state: readOne(input, STATES), references: readList(input, REFERENCES_MAX, () => readRef(input)),
    }
    case 'failed': return { type, ids: readList(input, FAILED_MAX, () => input.place<OverlayId>()) }
    case 'lease': return readLease(input)
    case 'grant': {
      const [nonce, durationMs, bits] = [input.u32(), input.u16(), readFlags(input, 2)]
      const told = readList(input, TOLD_MAX, () => ({ id: input.place<OverlayId>(), remainingMs: input.u16() }))
      return { type, nonce, durationMs, left: (bits & 1) !== 0, right: (bits & 2) !== 0, told }
    }
    case 'deny': {
      const [nonce, reason, retryMs] = [input.u32(), readOne(input, DENIALS), input.u16()]
      return { type, nonce, reason, retryMs, closer: readFlags(input, 1) === 1 ? readRef(input) : undefined }
    }
    case 'rowRequest': return {
      type, row: readRow(input), salt: input.u32(), fingerprints: readList(input, FINGERPRINTS_MAX, () => input.u24()),
    }
    case 'rowReply': return {
      type, row: readRow(input),
      entries: readList(input, FINGERPRINTS_MAX, () => ({ ref: readRef(input), rttMs: input.u16() })),
    }
    case 'leave': return { type }
  }
}

function writeRoute(out: Writer, message: Route): void {
  out.u32(message.hop).u48(message.request).place(message.key).u8(PURPOSES.indexOf(message.purpose))
  out.u8(flags(message.near, message.trace, message.joiner !== undefined)).u8(message.hops)
  out.u32(message.deadlineMs).u16(message.payload.length).bytes(message.payload)
  if (message.joiner !== undefined) writeRef(out, message.joiner)
}

function readRoute(input: Reader): Route {
  const [hop, request, key] = [input.u32(), input.u48(), input.place<Key>()]
  const [purpose, bits, hops, deadlineMs] = [readOne(input, PURPOSES), readFlags(input, 3), input.u8(), input.u32()]
  if (hops > HOPS_MAX) input.fail('tooManyHops')
  const length = input.u16()
  const payload = input.bytes(length, PAYLOAD_BYTES_MAX)
  const joiner = (bits & 4) === 0 ? undefined : readRef(input)
  if ((joiner === undefined) !== (purpose === 'lookup')) input.fail('badJoiner')
  const [near, trace] = [(bits & 1) !== 0, (bits & 2) !== 0]
  return { type: 'route', hop, request, key, purpose, near, trace, hops, deadlineMs, joiner, payload }
}

function writeAnswer(out: Writer, message: Answer): void {
  out.u32(message.hop).u32(message.re).u8(message.hops)
  writeRef(out, message.root)
  out.place(message.left).place(message.right).u16(message.leaseMs)
  writeList(out, message.references, (ref) => writeRef(out, ref))
  writeList(out, message.trace, (hop) => out.place(hop.id).u16(hop.rttMs))
  out.u16(message.payload.length).bytes(message.payload)
}

function readAnswer(input: Reader): Answer {
  const [hop, re, hops, root] = [input.u32(), input.u32(), input.u8(), readRef(input)]
  if (hops > HOPS_MAX) input.fail('tooManyHops')
  const [left, right, leaseMs] = [input.place<OverlayId>(), input.place<OverlayId>(), input.u16()]
  const references = readList(input, REFERENCES_MAX, () => readRef(input))
  const trace = readList(input, HOPS_MAX, () => ({ id: input.place<OverlayId>(), rttMs: input.u16() }))
  const length = input.u16()
  return {
    type: 'answer', hop, re, hops, root, left, right, leaseMs, references, trace,
    payload: input.bytes(length, PAYLOAD_BYTES_MAX),
  }
}

function readLease(input: Reader): Message {
  const [nonce, state, durationMs, bits] = [input.u32(), readOne(input, STATES), input.u16(), readFlags(input, 4)]
  return {
    type: 'lease', nonce, state, durationMs, left: (bits & 1) !== 0, right: (bits & 2) !== 0,
    leftFrom: (bits & 4) === 0 ? undefined : input.place<OverlayId>(),
    rightFrom: (bits & 8) === 0 ? undefined : input.place<OverlayId>(),
  }
}

function writeRef(out: Writer, ref: NodeRef): void {
  out.place(ref.id).u8(ref.contact.length).bytes(ref.contact)
}

function readRef(input: Reader): NodeRef {
  const id = input.place<OverlayId>()
  return { id, contact: input.bytes(input.u8(), CONTACT_BYTES_MAX) }
}

function refBytes(ref: NodeRef | undefined): number {
  return ref === undefined ? 0 : 17 + ref.contact.length
}

function refsBytes(refs: readonly NodeRef[]): number {
  return refs.reduce((sum, ref) => sum + refBytes(ref), 0)
}

function flags(...bits: boolean[]): number {
  return bits.reduce((sum, bit, index) => sum | (bit ? 1 << index : 0), 0)
}

function readFlags(input: Reader, bits: number): number {
  const value = input.u8()
  if (value >> bits !== 0) input.fail('unknownFlag')
  return value
}

function readRow(input: Reader): number {
  const row = input.u8()
  if (row > 31) input.fail('noSuchRow')
  return row
}

function readOne<T>(input: Reader, values: readonly T[]): T {
  const value = values[input.u8()]
  if (value === undefined) input.fail('unknownValue')
  return value ?? values[0]!
}

function writeList<T>(out: Writer, items: readonly T[], write: (item: T) => void): void {
  out.u8(items.length)
  for (const item of items) write(item)
}

function readList<T>(input: Reader, max: number, one: () => T): T[] {
  const items: T[] = []
  for (let left = input.count(max); left > 0 && input.bad === undefined; left--) items.push(one())
  return items
}

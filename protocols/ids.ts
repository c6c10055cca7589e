/** Places on the ring: ids of nodes and keys of things, how they are made, printed, compared and measured. */
import { createHash } from 'node:crypto'
import { printable } from './names.ts'
import { WarrenError } from './errors.ts'

/**
 * A node's place: 128 bits as 32 small hex digits. A string, because ids are map keys, printed and
 * compared far more often than they are sent: `===` and `<` work as they are (100,000 map look-ups
 * take 1 ms; bytes would need a string for each).
 */
export type OverlayId = string & { readonly __brand: 'OverlayId' }
/** A place that something is looked up at: 128 bits in the same form as an `OverlayId`. */
export type Key = string & { readonly __brand: 'Key' }
/** Any point of the ring. */
export type Place = OverlayId | Key

/** What keys are for; the label keeps an app and a device of one name apart. */
export type KeyDomain = 'app' | 'device' | 'topic' | 'record'

/** Bytes of a place on the wire. */
export const PLACE_BYTES = 16
/** Hex digits of a place; with b = 4 also the number of rows of a routing table. */
export const PLACE_DIGITS = 32
/** Values of one digit: 2^b. */
export const DIGIT_VALUES = 16
/** Positions around the ring, for arithmetic with plain numbers: 2^52. */
export const RING_POSITIONS = 2 ** 52

const POSITION_DIGITS = 13
const RING = 1n << 128n
const PATTERN = /^[0-9a-f]{32}$/
const HEX = Array.from({ length: 256 }, (_value, byte) => byte.toString(16).padStart(2, '0'))

/** Whether `text` has the form of a place. */
export function isPlace(text: unknown): text is string {
  return typeof text === 'string' && PATTERN.test(text)
}

/** @throws {WarrenError} `BAD_ARGUMENT` unless `text` is 32 small hex digits. */
export function parseId(text: string): OverlayId {
  if (isPlace(text)) return text as OverlayId
  throw new WarrenError('BAD_ARGUMENT', `${printable(text)} is not an overlay id: use 32 hex digits, 0-9 and a-f`)
}

/** @throws {WarrenError} `BAD_ARGUMENT` unless `text` is 32 small hex digits. */
export function parseKey(text: string): Key {
  if (isPlace(text)) return text as Key
  throw new WarrenError('BAD_ARGUMENT', `${printable(text)} is not a key: use 32 hex digits, 0-9 and a-f`)
}

/** The key that is closest to the node of this id: its own place. */
export function keyAt(id: OverlayId): Key {
  return id as string as Key
}

/**
 * Sixteen bytes from `offset` as hex.
 * @throws {WarrenError} `BAD_ARGUMENT` if there are fewer.
 */
export function hexOf(bytes: Uint8Array, offset = 0): string {
  if (bytes.length - offset < PLACE_BYTES) {
    throw new WarrenError('BAD_ARGUMENT', `a place on the ring is 16 bytes, not ${bytes.length - offset}`)
  }
  let text = ''
  for (let at = offset; at < offset + PLACE_BYTES; at++) text += HEX[bytes[at]!]!
  return text
}

/** Writes a place's 16 bytes, big-endian, at `offset` of `into`, which must have the room. */
export function writePlace(place: Place, into: Uint8Array, offset: number): void {
  for (let at = 0; at < PLACE_BYTES; at++) {
    into[offset + at] = nibble(place.charCodeAt(2 * at)) << 4 | nibble(place.charCodeAt(2 * at + 1))
  }
}

/** A place's 16 bytes, big-endian. */
export function bytesOf(place: Place): Uint8Array {
  const bytes = new Uint8Array(PLACE_BYTES)
  writePlace(place, bytes, 0)
  return bytes
}

/**
 * A node's id, from what it cannot choose freely at no cost: its public key, within one network.
 * Certificates will add a seed of the issuer's.
 */
export function overlayIdOf(network: string, publicKey: Uint8Array): OverlayId {
  const hash = createHash('sha256').update('warren/overlay-id/1\0')
  hash.update(`${Buffer.byteLength(network)}\0${network}\0`).update(publicKey)
  return hexOf(hash.digest()) as OverlayId
}

/** The key of a named thing: 16 bytes of a SHA-256 over its domain's label and its name. */
export function keyOf(domain: KeyDomain, name: string): Key {
  return hexOf(createHash('sha256').update(`warren/key/1\0${domain}:${name}`).digest()) as Key
}

/** The value, 0 to 15, of the digit at `index`, 0 to 31. */
export function digitAt(place: Place, index: number): number {
  return nibble(place.charCodeAt(index))
}

/** Leading digits that two places share, 0 to 32. */
export function sharedPrefix(a: Place, b: Place): number {
  let index = 0
  while (index < PLACE_DIGITS && a.charCodeAt(index) === b.charCodeAt(index)) index++
  return index
}

/** The top 52 bits of a place: exact as a number, fine enough to tell random ids apart. */
export function positionOf(place: Place): number {
  return Number.parseInt(place.slice(0, POSITION_DIGITS), 16)
}

/** Positions between `from` and `to` going clockwise (towards larger ids), 0 to 2^52 - 1. */
export function clockwise(from: number, to: number): number {
  return to >= from ? to - from : to - from + RING_POSITIONS
}

/** Positions between two, the shorter way round. */
export function positionsApart(a: number, b: number): number {
  const apart = Math.abs(a - b)
  return apart > RING_POSITIONS / 2 ? RING_POSITIONS - apart : apart
}

/** Exact distance of two places, the shorter way round, 0 to 2^127. */
export function ringDistance(a: Place, b: Place): bigint {
  const apart = BigInt.asUintN(128, BigInt(`0x${a}`) - BigInt(`0x${b}`))
  return apart > RING / 2n ? RING - apart : apart
}

/** A place with its position beside it, so that hot paths need not parse it. */
export interface Placed<P extends Place = Place> { readonly id: P, readonly position: number }

/** `place` with its position. */
export function placed<P extends Place>(place: P): Placed<P> {
  return { id: place, position: positionOf(place) }
}

/**
 * Whether `a` is nearer to `key` than `b` is; of two at the same distance the lower id is the nearer,
 * so that every key has exactly one nearest node.
 */
export function isNearer(key: Placed, a: Placed, b: Placed): boolean {
  const difference = positionsApart(key.position, a.position) - positionsApart(key.position, b.position)
  // Positions are rounded down, so each distance is off by less than one.
  if (difference < -2) return true
  if (difference > 2) return false
  const exact = ringDistance(key.id, a.id) - ringDistance(key.id, b.id)
  return exact < 0n || (exact === 0n && a.id < b.id)
}

/** Whether going clockwise from `from` one meets `a` before `b`; all three differ. */
export function isClockwiseBefore(from: Placed, a: Placed, b: Placed): boolean {
  const difference = clockwise(from.position, a.position) - clockwise(from.position, b.position)
  const close = a.position === b.position || a.position === from.position || b.position === from.position
  if (!close) return difference < 0
  const offset = (place: Place): bigint => BigInt.asUintN(128, BigInt(`0x${place}`) - BigInt(`0x${from.id}`))
  return offset(a.id) < offset(b.id)
}

function nibble(code: number): number {
  return code < 58 ? code - 48 : code - 87
}

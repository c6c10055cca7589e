/** The codec table: how values become bytes. The nesting of what a peer sent is capped before it is decoded. */
import { addExtension, Encoder } from 'cbor-x'
import { WarrenError } from '../errors.ts'
import { NESTING_DEPTH_MAX } from '../limits.ts'

/** Longest big integer, bytes: its decoder's time grows with the square of its length. */
const BIGNUM_BYTES_MAX = 1_024

/** Turns values into bytes and back. Another codec is one more entry of `CODECS`. */
export interface Codec {
  readonly name: string
  /** @throws if the value has no form in this codec (a function, a cycle). */
  encode(value: unknown): Uint8Array
  /** @throws {WarrenError} `BAD_PAYLOAD` for bytes that are malformed or nested too deep. */
  decode(bytes: Uint8Array): unknown
}

/** Tags that standard CBOR gives plain data: dates, big integers, typed arrays, sets and maps. */
const isPlainTag = (tag: number): boolean =>
  tag <= 3 || (tag >= 64 && tag <= 87) || tag === 258 || tag === 259

/**
 * Walks over CBOR without decoding it.
 * @returns why the bytes are refused, or `undefined`: nesting over the limit, a length beyond the
 * bytes, more than one item, or a tag that would build something else than plain data.
 */
export function cborFault(bytes: Uint8Array): string | undefined {
  // What each open list, map or tag still holds; below zero while its length is not known: -1 where it may
  // end, -2 behind a key whose value is missing, -3 in a list.
  const remaining: number[] = [1]
  let offset = 0
  let bignum = false
  while (remaining.length > 0) {
    const depth = remaining.length - 1
    if (remaining[depth] === 0) { remaining.pop(); continue }
    if (offset >= bytes.length) return 'it ends in the middle of an item'
    const head = bytes[offset++]!
    const major = head >> 5
    const info = head & 31
    if (head === 0xff && (remaining[depth] === -1 || remaining[depth] === -3)) { remaining.pop(); continue }
    if (remaining[depth]! > 0) remaining[depth]!--
    else if (remaining[depth] !== -3) remaining[depth] = -3 - remaining[depth]!
    let length = info
    if (info >= 24 && info <= 27) {
      const size = 1 << (info - 24)
      if (offset + size > bytes.length) return 'it ends in the middle of a number'
      length = 0
      for (let i = 0; i < size; i++) length = length * 256 + bytes[offset++]!
    } else if (info === 31) {
      if (major < 2 || major > 5) return 'a break or an indefinite number stands where an item should'
      length = -1
    } else if (info > 27) {
      return 'it uses a reserved length'
    }
    if (major === 2 || major === 3) {
      if (length === -1) return 'a text or bytes of indefinite length'
      offset += length
      if (offset > bytes.length) return 'a text or bytes longer than the message'
      if (bignum && length > BIGNUM_BYTES_MAX) return `a number of more than ${BIGNUM_BYTES_MAX} bytes`
    } else if (major >= 4 && major <= 6) {
      if (major === 6 && !isPlainTag(length)) return `tag ${length} is not plain data`
      if (remaining.length > NESTING_DEPTH_MAX) return `it is nested deeper than ${NESTING_DEPTH_MAX}`
      if (major !== 6 && length > bytes.length) return 'a list or map longer than the message'
      if (length === -1) remaining.push(major === 4 ? -3 : -1)
      else remaining.push(major === 4 ? length : major === 5 ? length * 2 : 1)
    }
    bignum = major === 6 && (length === 2 || length === 3)
  }
  return offset === bytes.length ? undefined : 'bytes follow the item'
}

/** The same for JSON text: nesting only, since its parser checks the rest. */
export function jsonFault(text: string): string | undefined {
  let depth = 0
  let inString = false
  for (let i = 0; i < text.length; i++) {
    const c = text.charCodeAt(i)
    if (inString) {
      if (c === 0x5c) i++
      else if (c === 0x22) inString = false
    } else if (c === 0x22) {
      inString = true
    } else if (c === 0x5b || c === 0x7b) {
      if (++depth > NESTING_DEPTH_MAX) return `it is nested deeper than ${NESTING_DEPTH_MAX}`
    } else if (c === 0x5d || c === 0x7d) {
      depth--
    }
  }
  return undefined
}

function refuse(codec: string, reason: string, cause?: unknown): never {
  throw new WarrenError('BAD_PAYLOAD', `this is not ${codec} that can be read: ${reason}`,
    { started: false, ...(cause === undefined ? {} : { cause }) })
}

// These would leave under a tag that no decoder of ours takes: better that their sender hears of it.
for (const Class of [Error, RegExp]) {
  addExtension({
    Class, tag: 27,
    encode(): never { throw new TypeError(`a value of class ${Class.name} has no form in CBOR; send its parts`) },
    decode: (value: unknown) => value,
  })
}

const cborEncoder = new Encoder({ useRecords: false, mapsAsObjects: true, tagUint8Array: false })

/** RFC 8949, without records or other private tags. */
export const cbor: Codec = {
  name: 'cbor',
  encode: (value) => cborEncoder.encode(value),
  decode(bytes) {
    const fault = cborFault(bytes)
    if (fault !== undefined) refuse('CBOR', fault)
    try {
      return cborEncoder.decode(bytes)
    } catch (cause) {
      return refuse('CBOR', cause instanceof Error ? cause.message : 'malformed', cause)
    }
  },
}

const textEncoder = new TextEncoder()
const textDecoder = new TextDecoder('utf-8', { fatal: true })

/** RFC 8259; `undefined` becomes `null`. */
export const json: Codec = {
  name: 'json',
  encode: (value) => textEncoder.encode(JSON.stringify(value) ?? 'null'),
  decode(bytes) {
    try {
      const text = textDecoder.decode(bytes)
      // A text of up to the limit's characters cannot nest deeper than the limit.
      const fault = text.length > NESTING_DEPTH_MAX ? jsonFault(text) : undefined
      if (fault !== undefined) refuse('JSON', fault)
      return JSON.parse(text)
    } catch (cause) {
      if (cause instanceof WarrenError) throw cause
      return refuse('JSON', cause instanceof Error ? cause.message : 'malformed', cause)
    }
  },
}

/** Every payload codec by the name that call meta gives it. */
export const CODECS: ReadonlyMap<string, Codec> = new Map([[cbor.name, cbor], [json.name, json]])

/** @throws {WarrenError} `BAD_PAYLOAD` that lists what there is. */
export function codecByName(name: string): Codec {
  const codec = CODECS.get(name)
  if (codec !== undefined) return codec
  throw new WarrenError('BAD_PAYLOAD',
    `there is no payload codec ${JSON.stringify(name)}; there are ${[...CODECS.keys()].join(', ')}`,
    { started: false })
}

/** Reading and writing big-endian bytes with caps: a reader never throws, it turns bad and stays so. */
import { PLACE_BYTES, hexOf, writePlace } from './ids.ts'
import type { Place } from './ids.ts'

const EMPTY = new Uint8Array(0)

/**
 * Reads a peer's bytes. Past the end every read gives zero and `bad` becomes the reason, so that a
 * decoder checks once, at its end, and no peer can make it throw.
 */
export class Reader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = 0
  #bad: string | undefined

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  }

  /** Why the bytes cannot be read, or `undefined` so far. */
  get bad(): string | undefined {
    return this.#bad
  }

  /** Bytes that are left. */
  get left(): number {
    return this.#bytes.length - this.#at
  }

  /** Marks the bytes as bad; the first reason stays. */
  fail(reason: string): void {
    this.#bad ??= reason
  }

  /** An unsigned byte. */
  u8(): number {
    return this.#take(1) ? this.#view.getUint8(this.#at - 1) : 0
  }

  /** Two bytes, unsigned. */
  u16(): number {
    return this.#take(2) ? this.#view.getUint16(this.#at - 2) : 0
  }

  /** Three bytes, unsigned. */
  u24(): number {
    return this.#take(3) ? this.#view.getUint16(this.#at - 3) * 256 + this.#view.getUint8(this.#at - 1) : 0
  }

  /** Four bytes, unsigned. */
  u32(): number {
    return this.#take(4) ? this.#view.getUint32(this.#at - 4) : 0
  }

  /** Six bytes, unsigned: exact as a number. */
  u48(): number {
    return this.#take(6) ? this.#view.getUint16(this.#at - 6) * 2 ** 32 + this.#view.getUint32(this.#at - 4) : 0
  }

  /** A place's 16 bytes, as hex. */
  place<P extends Place>(): P {
    return (this.#take(PLACE_BYTES) ? hexOf(this.#bytes, this.#at - PLACE_BYTES) : '0'.repeat(32)) as P
  }

  /** A copy of the next `length` bytes; more than `bytesMax` is bad. */
  bytes(length: number, bytesMax: number): Uint8Array {
    if (length > bytesMax) this.fail('tooLong')
    return this.#bad === undefined && this.#take(length) ? this.#bytes.slice(this.#at - length, this.#at) : EMPTY
  }

  /** A count in one byte; more than `max` is bad and counts as none. */
  count(max: number): number {
    const count = this.u8()
    if (count <= max) return count
    this.fail('tooMany')
    return 0
  }

  /** Bytes that are left over at the end are bad. */
  end(): void {
    if (this.left > 0) this.fail('trailingBytes')
  }

  #take(length: number): boolean {
    if (this.#bad !== undefined) return false
    if (this.left < length) {
      this.fail('truncated')
      return false
    }
    this.#at += length
    return true
  }
}

/** Writes bytes into a buffer that grows. Values must be in range: they are our own. */
export class Writer {
  #bytes: Uint8Array
  #view: DataView
  #at = 0

  constructor(capacity = 128) {
    this.#bytes = new Uint8Array(capacity)
    this.#view = new DataView(this.#bytes.buffer)
  }

  /** An unsigned byte. */
  u8(value: number): this {
    const at = this.#room(1)
    this.#view.setUint8(at, value)
    return this
  }

  /** Two bytes, unsigned. */
  u16(value: number): this {
    const at = this.#room(2)
    this.#view.setUint16(at, value)
    return this
  }

  /** Three bytes, unsigned. */
  u24(value: number): this {
    const at = this.#room(3)
    this.#view.setUint16(at, value >>> 8)
    this.#view.setUint8(at + 2, value & 0xff)
    return this
  }

  /** Four bytes, unsigned. */
  u32(value: number): this {
    const at = this.#room(4)
    this.#view.setUint32(at, value)
    return this
  }

  /** Six bytes, unsigned. */
  u48(value: number): this {
    const at = this.#room(6)
    this.#view.setUint16(at, Math.floor(value / 2 ** 32))
    this.#view.setUint32(at + 2, value % 2 ** 32)
    return this
  }

  /** A place's 16 bytes. */
  place(place: Place): this {
    const at = this.#room(PLACE_BYTES)
    writePlace(place, this.#bytes, at)
    return this
  }

  /** The bytes as they are, without their length. */
  bytes(value: Uint8Array): this {
    const at = this.#room(value.length)
    this.#bytes.set(value, at)
    return this
  }

  /** All that was written, in a buffer of its own. */
  done(): Uint8Array {
    return this.#bytes.slice(0, this.#at)
  }

  #room(length: number): number {
    const at = this.#at
    if (at + length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(this.#bytes.length * 2, at + length))
      grown.set(this.#bytes)
      this.#bytes = grown
      this.#view = new DataView(grown.buffer)
    }
    this.#at += length
    return at
  }
}

/** What the two ends of a control stream say about the stream itself, between the overlay's messages. */
import { createHash } from 'node:crypto'
import { Reader, Writer } from '../bytes.ts'
import type { OverlayId } from '../ids.ts'
import { CONTACT_BYTES_MAX, MESSAGE_BYTES_MAX, PASTRY_VERSION } from './messages.ts'
import type { NodeRef } from './messages.ts'

/** Types from here on are the stream's own; below are the machine's messages. */
const FIRST_TYPE = 0x80
const NETWORK_TAG_BYTES = 8

/** Bytes before each message: its length, unsigned and big-endian. */
export const LENGTH_BYTES = 4

/**
 * - `hello`: the first message in each direction, and again when the sender's addresses change.
 * - `keep`: whether the sender wants the stream to stay when it is silent; not until it says so.
 * - `records`: provider records that the receiver shall hold, in the form of `records.ts`.
 */
export type Control =
  | { readonly type: 'hello', readonly networkTag: string, readonly ref: NodeRef }
  | { readonly type: 'keep', readonly isWanted: boolean }
  | { readonly type: 'records', readonly bytes: Uint8Array }

const TYPES = ['hello', 'keep', 'records'] as const

/** Eight bytes, as hex, that tell networks apart before ids are compared. */
export function networkTagOf(network: string): string {
  const hash = createHash('sha256').update('warren/network/1\0').update(network).digest()
  return hash.subarray(0, NETWORK_TAG_BYTES).toString('hex')
}

/** Whether these bytes are of the stream's own messages. */
export function isControl(bytes: Uint8Array): boolean {
  return bytes.length >= 2 && bytes[1]! >= FIRST_TYPE
}

/** The message's bytes, without the length. */
export function encodeControl(control: Control): Uint8Array {
  const out = new Writer(256)
  out.u8(PASTRY_VERSION).u8(FIRST_TYPE + TYPES.indexOf(control.type))
  switch (control.type) {
    case 'hello':
      out.bytes(Buffer.from(control.networkTag, 'hex'))
      out.place(control.ref.id).u8(control.ref.contact.length).bytes(control.ref.contact)
      break
    case 'keep': out.u8(control.isWanted ? 1 : 0); break
    case 'records': out.bytes(control.bytes); break
  }
  return out.done()
}

/** A peer's bytes as a message of the stream's own, or `undefined` if they are none; never throws. */
export function decodeControl(bytes: Uint8Array): Control | undefined {
  const input = new Reader(bytes)
  if (input.u8() !== PASTRY_VERSION) return undefined
  const control = read(input, TYPES[input.u8() - FIRST_TYPE])
  input.end()
  return input.bad === undefined ? control : undefined
}

function read(input: Reader, type: Control['type'] | undefined): Control | undefined {
  switch (type) {
    case 'hello': {
      const networkTag = Buffer.from(input.bytes(NETWORK_TAG_BYTES, NETWORK_TAG_BYTES)).toString('hex')
      const id = input.place<OverlayId>()
      return { type, networkTag, ref: { id, contact: input.bytes(input.u8(), CONTACT_BYTES_MAX) } }
    }
    case 'keep': return { type, isWanted: input.u8() === 1 }
    case 'records': return { type, bytes: input.bytes(input.left, MESSAGE_BYTES_MAX) }
    case undefined: return undefined
  }
}

/** `bytes` with their length before them. */
export function withLength(bytes: Uint8Array): Uint8Array {
  const framed = new Uint8Array(LENGTH_BYTES + bytes.length)
  new DataView(framed.buffer).setUint32(0, bytes.length)
  framed.set(bytes, LENGTH_BYTES)
  return framed
}

/** Puts messages together from pieces of a stream; copies each byte once, holds at most one unfinished message. */
export class MessageReader {
  #target = new Uint8Array(LENGTH_BYTES)
  #filled = 0
  #isLength = true

  /** Whether a message has begun and is not whole. */
  get isWaiting(): boolean {
    return !this.#isLength || this.#filled > 0
  }

  /**
   * All messages that are whole with this piece.
   * @returns `isOversized` once a length above the maximum was read: nothing after it can be understood.
   */
  take(piece: Uint8Array): { readonly messages: Uint8Array[], readonly isOversized: boolean } {
    const messages: Uint8Array[] = []
    for (let at = 0; at < piece.length;) {
      const part = piece.subarray(at, at + this.#target.length - this.#filled)
      this.#target.set(part, this.#filled)
      this.#filled += part.length
      at += part.length
      if (this.#filled < this.#target.length) break
      const whole = this.#target
      const length = this.#isLength ? new DataView(whole.buffer).getUint32(0) : 0
      if (length > MESSAGE_BYTES_MAX) return { messages, isOversized: true }
      if (!this.#isLength || length === 0) messages.push(this.#isLength ? new Uint8Array(0) : whole)
      this.#isLength = length === 0
      this.#target = new Uint8Array(this.#isLength ? LENGTH_BYTES : length)
      this.#filled = 0
    }
    return { messages, isOversized: false }
  }
}

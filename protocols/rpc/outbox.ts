/** What a link has to say: control frames first, then one chunk per call in turn, in one buffer per flush. */
import { FLUSH_BYTES_MAX, FRAME_BODY_BYTES_MAX } from '../limits.ts'
import { FLAG, FRAME, frameCost, HEADER_BYTES, isBareEnd, writeHeader } from './messages.ts'

/** Something to send on a call: a part of an item, cut into chunks as credit and flushes allow. */
interface Entry {
  readonly payload: Uint8Array
  offset: number
  readonly flags: number
  readonly notify: boolean
  /** The body of an ERROR, which ends the call and costs no credit. */
  readonly isError: boolean
}

const SENT: Entry = { payload: new Uint8Array(0), offset: 0, flags: 0, notify: false, isError: false }

/** The sending half of a call. */
export interface Sender {
  readonly callId: number
  /** Bytes that the peer still takes; may be overdrawn by nothing. */
  creditBytes: number
  /** CALL's meta, until the CALL frame has been written. */
  metaBytes: Uint8Array | undefined
  /** Whether the CALL frame has been handed to the carrier (true from the start for callees). */
  written: boolean
  /** Whether an entry with END has been queued. */
  ended: boolean
  queue: Entry[]
  head: number
  inTurn: boolean
}

/** Makes the sending half of a call with nothing to say. */
export function createSender(callId: number, creditBytes: number, metaBytes?: Uint8Array): Sender {
  return {
    callId, creditBytes, metaBytes, written: metaBytes === undefined, ended: false,
    queue: [], head: 0, inTurn: false,
  }
}

/** Told about each queued payload that has been handed over whole and was queued with `notify` or END. */
export type OnSent = (callId: number, payloadBytes: number, flags: number, notify: boolean) => void

/** Smallest piece worth a frame when a flush has little room left. */
const CHUNK_BYTES_MIN = 4_096

interface Part { type: number, flags: number, callId: number, meta: Uint8Array | undefined, payload: Uint8Array }

/** The queue of a link. */
export class Outbox {
  #control: Uint8Array[] = []
  #controlBytes = 0
  #turns: Sender[] = []
  #bodyBytesMax = FRAME_BODY_BYTES_MAX

  /** Bytes of control frames that wait; a peer that makes us answer and does not read is not read either. */
  get controlBytes(): number {
    return this.#controlBytes
  }

  /** Whether there is anything that may be written now. */
  get isEmpty(): boolean {
    return this.#control.length === 0 && this.#turns.length === 0
  }

  /** The longest body that may be sent. */
  get bodyBytesMax(): number {
    return this.#bodyBytesMax
  }

  /** The longest body that the peer reads. */
  limitBody(bytes: number): void {
    this.#bodyBytesMax = Math.min(FRAME_BODY_BYTES_MAX, bytes)
  }

  /** Queues a whole control frame. */
  control(frame: Uint8Array): void {
    this.#control.push(frame)
    this.#controlBytes += frame.length
  }

  /** Queues a payload behind what the call already has to say. */
  push(sender: Sender, payload: Uint8Array, flags: number, notify: boolean): void {
    sender.queue.push({ payload, offset: 0, flags, notify, isError: false })
    if ((flags & FLAG.END) !== 0) sender.ended = true
    this.#offer(sender)
  }

  /** Queues the callee's ERROR behind what it has said before. */
  fail(sender: Sender, body: Uint8Array): void {
    sender.queue.push({ payload: body, offset: 0, flags: FLAG.END, notify: false, isError: true })
    sender.ended = true
    this.#offer(sender)
  }

  /** The peer takes `bytes` more. */
  credit(sender: Sender, bytes: number): void {
    sender.creditBytes = Math.min(sender.creditBytes + bytes, 0x7fff_ffff)
    this.#offer(sender)
  }

  /** Drops whatever the call still had to say. */
  drop(sender: Sender): void {
    sender.queue = []
    sender.head = 0
    sender.metaBytes = undefined
  }

  #offer(sender: Sender): void {
    if (sender.inTurn || !canSend(sender)) return
    sender.inTurn = true
    this.#turns.push(sender)
  }

  /**
   * Takes out up to `FLUSH_BYTES_MAX` bytes.
   * @returns frames joined in one buffer, or `undefined` if there is nothing to say.
   */
  flush(onSent: OnSent): Uint8Array | undefined {
    const parts: Part[] = []
    let bytes = 0
    let controls = 0
    while (controls < this.#control.length) {
      const size = this.#control[controls]!.length
      if (bytes > 0 && bytes + size > FLUSH_BYTES_MAX) break
      bytes += size
      controls++
    }
    const turns = this.#turns
    let turn = 0
    while (turn < turns.length && FLUSH_BYTES_MAX - bytes >= HEADER_BYTES) {
      const sender = turns[turn]!
      if (!canSend(sender)) { // Dropped since it was given its turn.
        sender.inTurn = false
        turn++
        continue
      }
      const part = this.#take(sender, FLUSH_BYTES_MAX - bytes, bytes === 0, onSent)
      if (part === undefined) break
      parts.push(part)
      bytes += HEADER_BYTES + (part.meta === undefined ? 0 : 2 + part.meta.length) + part.payload.length
      turn++
      if (canSend(sender)) turns.push(sender)
      else sender.inTurn = false
    }
    if (turn > 0) this.#turns = turns.slice(turn)
    return bytes === 0 ? undefined : this.#join(controls, parts, bytes)
  }

  #join(controls: number, parts: readonly Part[], bytes: number): Uint8Array {
    if (controls === 1 && parts.length === 0) {
      const only = this.#control[0]!
      this.#control = this.#control.slice(1)
      this.#controlBytes -= only.length
      return only
    }
    const out = new Uint8Array(bytes)
    let offset = 0
    for (let i = 0; i < controls; i++) {
      const frame = this.#control[i]!
      out.set(frame, offset)
      offset += frame.length
      this.#controlBytes -= frame.length
    }
    if (controls > 0) this.#control = this.#control.slice(controls)
    for (const { type, flags, callId, meta, payload } of parts) {
      const metaBytes = meta === undefined ? 0 : 2 + meta.length
      writeHeader(out, offset, type, flags, metaBytes + payload.length, callId)
      offset += HEADER_BYTES
      if (meta !== undefined) {
        out[offset] = meta.length >>> 8
        out[offset + 1] = meta.length & 0xff
        out.set(meta, offset + 2)
        offset += metaBytes
      }
      out.set(payload, offset)
      offset += payload.length
    }
    return out
  }

  /** One chunk of one call; `undefined` if it does not fit into what is left of this flush. */
  #take(sender: Sender, roomBytes: number, mustSend: boolean, onSent: OnSent): Part | undefined {
    const entry = sender.queue[sender.head]!
    if (entry.isError) return this.#takeError(sender, entry, roomBytes, mustSend, onSent)
    const left = entry.payload.length - entry.offset
    const meta = sender.metaBytes
    const overhead = HEADER_BYTES + (meta === undefined ? 0 : 2 + meta.length)
    const bodyRoom = this.#bodyBytesMax - (overhead - HEADER_BYTES)
    const creditRoom = isBareEnd(entry.flags, left) ? 0 : sender.creditBytes - HEADER_BYTES
    const size = Math.min(left, bodyRoom, creditRoom, Math.max(0, roomBytes - overhead))
    const cutByRoom = size < Math.min(left, bodyRoom, creditRoom)
    if (!mustSend && (overhead > roomBytes || (cutByRoom && size < CHUNK_BYTES_MIN))) return undefined
    const whole = size === left
    const payload = whole && entry.offset === 0
      ? entry.payload : entry.payload.subarray(entry.offset, entry.offset + size)
    if (!isBareEnd(entry.flags, left)) sender.creditBytes -= frameCost(size)
    entry.offset += size
    sender.metaBytes = undefined
    sender.written = true
    if (whole) {
      advance(sender)
      if (entry.notify || (entry.flags & FLAG.END) !== 0) {
        onSent(sender.callId, entry.payload.length, entry.flags, entry.notify)
      }
    }
    return {
      type: meta === undefined ? FRAME.DATA : FRAME.CALL,
      flags: whole ? entry.flags : (entry.flags & FLAG.RAW) | FLAG.MORE,
      callId: sender.callId, meta, payload,
    }
  }

  /** A whole ERROR; `undefined` if it does not fit into what is left of this flush. */
  #takeError(sender: Sender, entry: Entry, roomBytes: number, mustSend: boolean, onSent: OnSent): Part | undefined {
    const { payload, flags } = entry
    if (!mustSend && HEADER_BYTES + payload.length > roomBytes) return undefined
    advance(sender)
    onSent(sender.callId, payload.length, flags, false)
    return { type: FRAME.ERROR, flags: 0, callId: sender.callId, meta: undefined, payload }
  }
}

function advance(sender: Sender): void {
  // The slot lets go of its payload at once; the array itself is cut now and then.
  sender.queue[sender.head] = SENT
  sender.head++
  if (sender.head === sender.queue.length) {
    sender.queue = []
    sender.head = 0
  } else if (sender.head > 64) {
    sender.queue = sender.queue.slice(sender.head)
    sender.head = 0
  }
}

/** A frame needs credit for its header and, unless it is empty, at least one byte. */
function canSend(sender: Sender): boolean {
  const entry = sender.queue[sender.head]
  if (entry === undefined) return false
  const left = entry.payload.length - entry.offset
  if (entry.isError || isBareEnd(entry.flags, left)) return true
  return sender.creditBytes >= frameCost(left === 0 ? 0 : 1)
}

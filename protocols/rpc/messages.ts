/** The frames of a link: ids, layout, meta, and the checks that every decoded body passes once. */
import type { ErrorCode } from '../errors.ts'
import { CALL_TIMEOUT_MS_MAX, FRAME_BODY_BYTES_MAX, GRACE_MS_MAX, WINDOW_BYTES_INITIAL } from '../limits.ts'

/** Version that HELLO names; another version's bytes are not read. */
export const RPC_VERSION = 1
/** A link whose HELLO, meta, ERROR, CANCEL and GOAWAY are CBOR. */
export const RPC_CBOR = '/warren/rpc/1/cbor'
/** The same in JSON, for programs that have no CBOR. */
export const RPC_JSON = '/warren/rpc/1/json'

/** Bytes before every body: `u8 type | u8 flags | u16 bodyBytes | u32 callId`, big-endian. */
export const HEADER_BYTES = 8

/** Types of frames. */
export const FRAME = {
  HELLO: 0, CALL: 1, DATA: 2, ERROR: 3, CANCEL: 4, CREDIT: 5, PING: 6, PONG: 7, GOAWAY: 8,
} as const

/** Flags of CALL and DATA frames. */
export const FLAG = {
  /** Nothing more comes in this direction. */
  END: 1,
  /** The item goes on in the next DATA frame of this call and direction. */
  MORE: 2,
  /** The item is bytes as they are, outside the payload codec. */
  RAW: 4,
} as const

/** Least that a peer must read at once, bytes: the longest meta, the longest error and a piece of an item fit. */
const FRAME_BODY_BYTES_MIN = 16 * 1024

const FLAGS_ALL = FLAG.END | FLAG.MORE | FLAG.RAW

/** Flow-control cost of a payload: its bytes and its header, so that empty items are not free. */
export function frameCost(payloadBytes: number): number {
  return payloadBytes + HEADER_BYTES
}

/** Whether a DATA frame carries no item and only ends its direction; it costs no credit. */
export function isBareEnd(flags: number, payloadBytes: number): boolean {
  return payloadBytes === 0 && (flags & FLAG.END) !== 0 && (flags & (FLAG.RAW | FLAG.MORE)) === 0
}

/** First frame of each side. */
export interface Hello {
  /** Version: 1. */
  readonly v: number
  /** Longest body that the sender reads, bytes; 16 384 to 32 768, so that meta, errors and an item's piece fit. */
  readonly maxFrame: number
  /** Credit that every call starts with toward the sender, bytes; at least 65 536. */
  readonly window: number
  /** Optional abilities; none so far. */
  readonly features: readonly string[]
  /** Names the sender's process run; another epoch is another process. */
  readonly epoch: string
}

/** Which host a call is for. */
export interface Target { readonly node?: string, readonly device?: string }

/** What routers read of a call. Keys are one or two letters because they travel with every call. */
export interface CallMeta {
  /** `app.method`. */
  readonly m: string
  /** Payload codec of arguments and replies. */
  readonly e: string
  readonly to?: Target
  /** Remaining milliseconds; absent for a call without a deadline. */
  readonly d?: number
  /** Milliseconds of silence allowed between the items of a stream; 0 for any. Default `STREAM_IDLE_MS`. */
  readonly i?: number
  /** W3C traceparent. */
  readonly tp?: string
  /** Idempotency key. */
  readonly k?: string
  /** Subjects (PeerIds) on whose behalf the call is made; set by the node that hands it to an app. */
  readonly ob?: readonly string[]
}

/** Longest reason of a CANCEL, characters. */
export const REASON_CHARACTERS_MAX = 500

/** Body of CANCEL. */
export interface Cancel { readonly reason: string, readonly code?: ErrorCode }

/** Body of GOAWAY: calls above `lastId` were not started; the rest get `graceMs`. */
export interface GoAway { readonly lastId: number, readonly graceMs: number }

/** One whole frame; `body` is a view of the bytes it came in. */
export interface Frame {
  readonly type: number
  readonly flags: number
  readonly callId: number
  readonly body: Uint8Array
}

/** Writes a header at `offset`. */
export function writeHeader(
  out: Uint8Array, offset: number, type: number, flags: number, bodyBytes: number, callId: number,
): void {
  out[offset] = type
  out[offset + 1] = flags
  out[offset + 2] = bodyBytes >>> 8
  out[offset + 3] = bodyBytes & 0xff
  out[offset + 4] = callId >>> 24
  out[offset + 5] = (callId >>> 16) & 0xff
  out[offset + 6] = (callId >>> 8) & 0xff
  out[offset + 7] = callId & 0xff
}

/** One frame in bytes of its own. */
export function encodeFrame(type: number, flags: number, callId: number, body: Uint8Array): Uint8Array {
  const out = new Uint8Array(HEADER_BYTES + body.length)
  writeHeader(out, 0, type, flags, body.length, callId)
  out.set(body, HEADER_BYTES)
  return out
}

/** A u32 body (CREDIT). */
export function encodeU32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff)
}

/** Reads a u32 body; `undefined` if it has another length. */
export function decodeU32(body: Uint8Array): number | undefined {
  if (body.length !== 4) return undefined
  return ((body[0]! << 24) | (body[1]! << 16) | (body[2]! << 8) | body[3]!) >>> 0
}

/** The rule that a frame breaks by itself, or `undefined`. */
export function frameFault(type: number, flags: number, bodyBytes: number, callId: number): string | undefined {
  if (type > FRAME.GOAWAY) return `frame type ${type} is unknown`
  if (bodyBytes > FRAME_BODY_BYTES_MAX) {
    return `a frame of ${bodyBytes} bytes is over the limit of ${FRAME_BODY_BYTES_MAX}`
  }
  const carriesItems = type === FRAME.CALL || type === FRAME.DATA
  if ((flags & ~(carriesItems ? FLAGS_ALL : 0)) !== 0) return `flags ${flags} on a frame of type ${type}`
  if ((flags & FLAG.END) !== 0 && (flags & FLAG.MORE) !== 0) return 'END and MORE on one frame'
  const ofLink = type === FRAME.HELLO || type === FRAME.PING || type === FRAME.PONG || type === FRAME.GOAWAY
  if (ofLink && callId !== 0) return `a frame of type ${type} names call ${callId}`
  if (!ofLink && callId === 0 && type !== FRAME.ERROR) return `a frame of type ${type} names no call`
  return undefined
}

/** Collects chunks of any size into frames; keeps at most one unfinished frame. */
export class FrameReader {
  readonly #header = new Uint8Array(HEADER_BYTES)
  #headerBytes = 0
  /** Body of the unfinished frame, as long as its header says; at most `FRAME_BODY_BYTES_MAX`. */
  #body: Uint8Array | undefined
  #bodyBytes = 0

  /** Bytes of a frame that has begun and is not whole. */
  get pendingBytes(): number {
    return this.#headerBytes + this.#bodyBytes
  }

  /**
   * Calls `onFrame` for each whole frame; it returns false to stop reading (the rest is dropped). A frame that
   * lies in one chunk is a view of it; one that does not is put together by itself.
   * @returns the rule that the bytes break, or `undefined`.
   */
  push(chunk: Uint8Array, onFrame: (frame: Frame) => boolean): string | undefined {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#headerBytes === 0 && chunk.length - offset >= HEADER_BYTES) {
        const bodyBytes = (chunk[offset + 2]! << 8) | chunk[offset + 3]!
        const end = offset + HEADER_BYTES + bodyBytes
        if (end <= chunk.length) {
          const fault = this.#frame(chunk, offset, chunk.subarray(offset + HEADER_BYTES, end), onFrame)
          if (fault !== undefined) return fault === STOPPED ? undefined : fault
          offset = end
          continue
        }
      }
      const taken = this.#collect(chunk, offset)
      if (typeof taken === 'string') return taken
      offset += taken
      if (this.#body === undefined || this.#bodyBytes < this.#body.length) continue
      const body = this.#body
      this.#headerBytes = 0
      this.#bodyBytes = 0
      this.#body = undefined
      const fault = this.#frame(this.#header, 0, body, onFrame)
      if (fault !== undefined) return fault === STOPPED ? undefined : fault
    }
    return undefined
  }

  /** Hands a whole frame over. @returns the rule that it breaks, or STOPPED. */
  #frame(
    header: Uint8Array, offset: number, body: Uint8Array, onFrame: (frame: Frame) => boolean,
  ): string | undefined {
    const type = header[offset]!
    const flags = header[offset + 1]!
    const callId = readCallId(header, offset)
    const fault = frameFault(type, flags, body.length, callId)
    if (fault !== undefined) return fault
    return onFrame({ type, flags, callId, body }) ? undefined : STOPPED
  }

  /** Takes bytes of an unfinished frame. @returns how many, or the rule that its header breaks. */
  #collect(chunk: Uint8Array, offset: number): number | string {
    if (this.#body !== undefined) {
      const taken = Math.min(this.#body.length - this.#bodyBytes, chunk.length - offset)
      this.#body.set(chunk.subarray(offset, offset + taken), this.#bodyBytes)
      this.#bodyBytes += taken
      return taken
    }
    const header = this.#header
    const taken = Math.min(HEADER_BYTES - this.#headerBytes, chunk.length - offset)
    header.set(chunk.subarray(offset, offset + taken), this.#headerBytes)
    this.#headerBytes += taken
    if (this.#headerBytes < HEADER_BYTES) return taken
    const bodyBytes = (header[2]! << 8) | header[3]!
    const fault = frameFault(header[0]!, header[1]!, bodyBytes, readCallId(header, 0))
    if (fault !== undefined) return fault
    this.#body = new Uint8Array(bodyBytes)
    return taken
  }
}

/** What `#frame` gives when its owner wants no more; no rule reads like it. */
const STOPPED = ''

function readCallId(header: Uint8Array, offset: number): number {
  return ((header[offset + 4]! << 24) | (header[offset + 5]! << 16)
    | (header[offset + 6]! << 8) | header[offset + 7]!) >>> 0
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isInteger = (value: unknown, min: number, max: number): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max

const isText = (value: unknown, charactersMax: number): value is string =>
  typeof value === 'string' && value.length <= charactersMax

const isTime = (value: unknown): value is number =>
  typeof value === 'number' && value >= 0 && value <= CALL_TIMEOUT_MS_MAX

/** Checks a decoded HELLO: the checked value, or the rule it breaks. */
export function checkHello(value: unknown): Hello | string {
  if (!isRecord(value)) return 'HELLO is not a map'
  if (value.v !== RPC_VERSION) {
    return `the peer speaks version ${String(value.v)} of the protocol, this one speaks ${RPC_VERSION}`
  }
  if (!isInteger(value.maxFrame, FRAME_BODY_BYTES_MIN, FRAME_BODY_BYTES_MAX)) {
    return `HELLO.maxFrame is not ${FRAME_BODY_BYTES_MIN} to ${FRAME_BODY_BYTES_MAX}`
  }
  if (!isInteger(value.window, WINDOW_BYTES_INITIAL, 0x7fff_ffff)) return 'HELLO.window is below 65 536'
  if (!isText(value.epoch, 64)) return 'HELLO.epoch is not a short text'
  const features = value.features
  if (!Array.isArray(features) || features.length > 32 || !features.every((f) => isText(f, 64))) {
    return 'HELLO.features is not a short list of texts'
  }
  return { v: RPC_VERSION, maxFrame: value.maxFrame, window: value.window, epoch: value.epoch, features }
}

/** Checks decoded call meta: the checked value, or the rule it breaks. */
export function checkMeta(value: unknown): CallMeta | string {
  if (!isRecord(value)) return 'meta is not a map'
  if (!isText(value.m, 127) || value.m.length === 0) return 'meta.m is not app.method'
  if (!isText(value.e, 16)) return 'meta.e is not the name of a codec'
  if (value.d !== undefined && typeof value.d !== 'number') return 'meta.d is not a number of milliseconds'
  if (value.d !== undefined && (Number.isNaN(value.d) || value.d > CALL_TIMEOUT_MS_MAX)) {
    return `meta.d is over ${CALL_TIMEOUT_MS_MAX} ms`
  }
  if (value.i !== undefined && !isTime(value.i)) return 'meta.i is not a number of milliseconds'
  if (value.tp !== undefined && !isText(value.tp, 128)) return 'meta.tp is not a traceparent'
  if (value.k !== undefined && !isText(value.k, 128)) return 'meta.k is over 128 characters'
  if (value.ob !== undefined) {
    const list = value.ob
    if (!Array.isArray(list) || list.length > 16 || !list.every((subject) => isText(subject, 128))) {
      return 'meta.ob is not a short list of texts'
    }
  }
  if (value.to !== undefined) {
    if (!isRecord(value.to)) return 'meta.to is not a map'
    if (value.to.node !== undefined && !isText(value.to.node, 128)) return 'meta.to.node is not a text'
    if (value.to.device !== undefined && !isText(value.to.device, 63)) return 'meta.to.device is not a text'
  }
  return value as unknown as CallMeta
}

/** Checks a decoded CANCEL; whatever came, there is a reason. */
export function checkCancel(value: unknown): Cancel {
  if (isRecord(value) && isText(value.reason, REASON_CHARACTERS_MAX)) {
    return value.code === 'DEADLINE_EXCEEDED'
      ? { reason: value.reason, code: 'DEADLINE_EXCEEDED' } : { reason: value.reason }
  }
  return { reason: 'the caller gave no reason' }
}

/** Checks a decoded GOAWAY: the checked value, or the rule it breaks. */
export function checkGoAway(value: unknown): GoAway | string {
  if (!isRecord(value) || !isInteger(value.lastId, 0, 0xffff_ffff)) return 'GOAWAY.lastId is not an id'
  if (!isInteger(value.graceMs, 0, GRACE_MS_MAX)) return `GOAWAY.graceMs is not 0 to ${GRACE_MS_MAX}`
  return { lastId: value.lastId, graceMs: value.graceMs }
}

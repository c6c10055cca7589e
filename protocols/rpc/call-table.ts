/** The calls that are open on a link, their ids, their deadlines and what they hold. */
import { WarrenError } from '../errors.ts'
import {
  CALL_ID_MAX, LINK_BUFFER_BYTES_MAX, LINK_CALLS_MAX, STREAM_IDLE_MS, WINDOW_BYTES_INITIAL,
} from '../limits.ts'
import { Deadlines, NO_BUCKET, type Timed } from './deadlines.ts'
import { FLAG, type CallMeta } from './messages.ts'
import type { Sender } from './outbox.ts'
import { ReceiveWindow } from './window.ts'

/** One open call, seen from one end. */
export interface CallState extends Timed {
  readonly callId: number
  /** Whether this end made the call. */
  readonly own: boolean
  readonly sender: Sender
  readonly window: ReceiveWindow
  receivedEnd: boolean
  readonly timeoutMs: number
  readonly idleMs: number
  /** Whether a reply item came with more to follow: from then on silence is bounded, not the whole. */
  streaming: boolean
}

/** Whether an id was never used, is in use, or was used and is over. */
export type IdState = 'open' | 'closed' | 'never'

/** Calls by id. The dialler makes odd ids, the acceptor even ones, each in rising order. */
export class CallTable {
  readonly deadlines = new Deadlines<CallState>()
  readonly #calls = new Map<number, CallState>()
  readonly #parity: 0 | 1
  readonly #idMax: number
  #nextId: number
  #peerIdLast = 0
  #ownCount = 0
  #grownBytes = 0
  /** Bytes received on all calls and not yet consumed. */
  heldBytes = 0

  constructor(role: 'dialler' | 'acceptor', idMax: number = CALL_ID_MAX) {
    this.#parity = role === 'dialler' ? 1 : 0
    this.#nextId = role === 'dialler' ? 1 : 2
    this.#idMax = idMax
  }

  /** All open calls. */
  get size(): number { return this.#calls.size }
  /** Calls that this end made. */
  get ownCount(): number { return this.#ownCount }
  /** Calls that the peer made. */
  get peerCount(): number { return this.#calls.size - this.#ownCount }
  /** The highest id that the peer has used. */
  get peerIdLast(): number { return this.#peerIdLast }
  /** Whether the ids of this end are used up. */
  get isExhausted(): boolean { return this.#nextId > this.#idMax }

  /** The open call of this id. */
  get(callId: number): CallState | undefined { return this.#calls.get(callId) }

  /** Every open call. */
  values(): IterableIterator<CallState> { return this.#calls.values() }

  /** Whether the id is one of this end's. */
  isOwn(callId: number): boolean { return (callId & 1) === this.#parity }

  /** What is known of an id. */
  stateOf(callId: number): IdState {
    if (this.#calls.has(callId)) return 'open'
    const used = this.isOwn(callId) ? callId < this.#nextId : callId <= this.#peerIdLast
    return used ? 'closed' : 'never'
  }

  /** Takes the next id of this end. */
  takeId(): number {
    const callId = this.#nextId
    this.#nextId += 2
    return callId
  }

  /** Marks an id as used by the peer. @returns false if it is not a new id of the peer's. */
  usePeerId(callId: number): boolean {
    if (this.isOwn(callId) || callId <= this.#peerIdLast) return false
    this.#peerIdLast = callId
    return true
  }

  /** Opens a call; its deadline counts from now. */
  open(callId: number, sender: Sender, meta: CallMeta, nowMs: number): CallState {
    const timeoutMs = meta.d ?? Infinity
    const own = this.isOwn(callId)
    const call: CallState = {
      callId, own, sender, window: new ReceiveWindow(nowMs), receivedEnd: false,
      deadlineAtMs: nowMs + timeoutMs, bucket: NO_BUCKET, timeoutMs,
      idleMs: meta.i === undefined ? STREAM_IDLE_MS : meta.i === 0 ? Infinity : meta.i, streaming: false,
    }
    this.#calls.set(callId, call)
    if (own) this.#ownCount++
    this.deadlines.add(call)
    return call
  }

  /** Closes a call; later frames of its id are discarded. @returns false if it was closed already. */
  close(call: CallState): boolean {
    if (!this.#calls.delete(call.callId)) return false
    if (call.own) this.#ownCount--
    this.deadlines.remove(call)
    this.heldBytes -= call.window.heldBytes
    this.#grownBytes -= call.window.windowBytes - WINDOW_BYTES_INITIAL
    return true
  }

  /** The peer sent `cost` bytes on the call. @returns false if it had no credit for them. */
  receive(call: CallState, cost: number): boolean {
    if (!call.window.receive(cost)) return false
    this.heldBytes += cost
    return true
  }

  /**
   * The owner has consumed `cost` bytes. A window grows only while all windows of the link have grown by no
   * more than its buffer, and no more than that waits to be read.
   * @returns credit to send.
   */
  consume(call: CallState, cost: number, nowMs: number, rttMs: number | undefined): number {
    const { window } = call
    const heldBefore = window.heldBytes
    const windowBefore = window.windowBytes
    const mayGrow = this.heldBytes < LINK_BUFFER_BYTES_MAX
      && this.#grownBytes + windowBefore <= LINK_BUFFER_BYTES_MAX
    const grant = window.consume(cost, nowMs, rttMs, mayGrow)
    this.heldBytes -= heldBefore - window.heldBytes
    this.#grownBytes += window.windowBytes - windowBefore
    return grant
  }

  /**
   * A frame of the call passed: moves its deadline. A stream may be silent for `idleMs`; an upload may be
   * silent for the longer of both times, and its answer has the whole time once the upload has ended, unless
   * it is a stream that has begun.
   */
  touch(call: CallState, flags: number, isRequest: boolean, nowMs: number): void {
    if (isRequest) {
      const answerMs = call.streaming ? call.idleMs : call.timeoutMs
      const ended = (flags & FLAG.END) !== 0
      call.deadlineAtMs = nowMs + (ended ? answerMs : Math.max(call.idleMs, call.timeoutMs))
    } else {
      if ((flags & (FLAG.END | FLAG.MORE)) === 0) call.streaming = true
      if (!call.streaming) return
      call.deadlineAtMs = nowMs + call.idleMs
    }
    this.deadlines.add(call)
  }

  /** Forgets every call and returns them. */
  clear(): CallState[] {
    const calls = [...this.#calls.values()]
    for (const call of calls) this.close(call)
    return calls
  }

  /** Why a well-formed call is not taken, or `undefined`. */
  refusal(meta: CallMeta, leaving: boolean): WarrenError | undefined {
    if (meta.d !== undefined && meta.d <= 0) {
      return new WarrenError('DEADLINE', `no time was left for ${meta.m} when it arrived`, { started: false })
    }
    if (leaving) {
      return new WarrenError('GOING_AWAY', 'the link takes no new calls', { started: false })
    }
    const tooMany = this.peerCount >= LINK_CALLS_MAX
    if (tooMany || this.heldBytes > LINK_BUFFER_BYTES_MAX) {
      const what = tooMany
        ? `${LINK_CALLS_MAX} calls are open` : `${LINK_BUFFER_BYTES_MAX} bytes wait to be read`
      return new WarrenError('LIMIT', `${what} on this link; try again when some have ended`,
        { started: false, retryAfterMs: 100 })
    }
    return undefined
  }
}

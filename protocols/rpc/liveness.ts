/** Whether the other end of a link still lives, and how far away it is. */
import { DEAD_AFTER_MS, FRAME_TIMEOUT_MS, PING_AFTER_MS } from '../limits.ts'
import { RoundTrip } from './window.ts'

/** A timer this much too late means that this process itself stood still, so silence proves nothing. */
const STALL_MS = 2_000
/** Shortest time between two round-trip samples while bulk data comes in. */
const SAMPLE_EVERY_MS = 1_000

/** What a due check found: nothing, a peer to ask, or a peer that did not answer. */
export type Verdict = 'fine' | 'ask' | 'silent'

/** Pings, their answers, and silence. It only keeps times; the link sends and arms timers. */
export class Liveness {
  readonly roundTrip = new RoundTrip()
  #heardAtMs = 0
  #dueAtMs: number | undefined
  #ping: { value: number, sentAtMs: number } | undefined
  #sampledAtMs = -Infinity

  /** Anything came from the peer. */
  heard(nowMs: number): void {
    this.#heardAtMs = nowMs
  }

  /** A first call was opened: silence counts from now. @returns when to check, `undefined` if armed already. */
  arm(nowMs: number): number | undefined {
    if (this.#dueAtMs !== undefined) return undefined
    this.#heardAtMs = Math.max(this.#heardAtMs, nowMs)
    this.#dueAtMs = nowMs + PING_AFTER_MS
    return this.#dueAtMs
  }

  /** The check is due and calls are open. @returns what was found and when to check next. */
  check(nowMs: number): { verdict: Verdict, nextAtMs: number } {
    if (this.#dueAtMs !== undefined && nowMs - this.#dueAtMs > STALL_MS) this.#heardAtMs = nowMs
    const silentMs = nowMs - this.#heardAtMs
    const verdict = silentMs >= DEAD_AFTER_MS ? 'silent' : silentMs >= PING_AFTER_MS ? 'ask' : 'fine'
    const nextAtMs = verdict === 'fine' ? this.#heardAtMs + PING_AFTER_MS
      : nowMs + DEAD_AFTER_MS - PING_AFTER_MS
    this.#dueAtMs = nextAtMs
    return { verdict, nextAtMs }
  }

  /** No call is open any more: nothing is due. */
  disarm(): void {
    this.#dueAtMs = undefined
  }

  /** Whether a sample of the round trip is due, because bulk data comes in and windows grow by it. */
  wantsSample(nowMs: number): boolean {
    return this.#ping === undefined && nowMs - this.#sampledAtMs >= SAMPLE_EVERY_MS
  }

  /** @returns the body of a PING to send now. */
  ping(nowMs: number): Uint8Array {
    const value = Math.floor(nowMs) >>> 0
    this.#ping = { value, sentAtMs: nowMs }
    this.#sampledAtMs = nowMs
    const body = new Uint8Array(8)
    new DataView(body.buffer).setUint32(4, value)
    return body
  }

  /** A PONG came; one that answers nothing is ignored. */
  pong(body: Uint8Array, nowMs: number): void {
    const ping = this.#ping
    if (ping === undefined || body.length !== 8) return
    if (new DataView(body.buffer, body.byteOffset, 8).getUint32(4) !== ping.value) return
    this.roundTrip.add(nowMs - ping.sentAtMs, nowMs)
    this.#ping = undefined
  }
}

/** How long the frame that has begun is under way: a peer that sends one byte now and then is cut off too. */
export class FrameClock {
  #beganAtMs: number | undefined
  #dueAtMs: number | undefined

  /**
   * After each chunk.
   * @param partial whether a frame has begun and is not whole.
   * @param renewed whether that frame began with this chunk.
   * @returns when to check, `undefined` if nothing needs arming.
   */
  chunk(partial: boolean, renewed: boolean, nowMs: number): number | undefined {
    if (!partial) this.#beganAtMs = undefined
    else if (renewed || this.#beganAtMs === undefined) this.#beganAtMs = nowMs
    if (!partial || this.#dueAtMs !== undefined) return undefined
    this.#dueAtMs = nowMs + FRAME_TIMEOUT_MS
    return this.#dueAtMs
  }

  /** The check is due. @returns `true` if the frame took too long, else when to check next, if at all. */
  check(nowMs: number): true | number | undefined {
    const lateMs = nowMs - (this.#dueAtMs ?? nowMs)
    this.#dueAtMs = undefined
    if (this.#beganAtMs === undefined) return undefined
    if (lateMs > STALL_MS) this.#beganAtMs = nowMs
    if (nowMs - this.#beganAtMs >= FRAME_TIMEOUT_MS) return true
    this.#dueAtMs = this.#beganAtMs + FRAME_TIMEOUT_MS
    return this.#dueAtMs
  }
}

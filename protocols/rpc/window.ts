/** Credit of one direction of one call, and the round-trip time that its growth is judged by. */
import { WINDOW_BYTES_INITIAL, WINDOW_BYTES_MAX } from '../limits.ts'

/** Samples are kept by the smallest of each 10 s, for two minutes; then the path may have changed for good. */
const SPAN_MS = 10_000
const SPANS = 12
/** Below a millisecond it is the event loops that are measured, and a window of theirs is too small to fill. */
const RTT_MS_MIN = 1

/**
 * The smallest round trip of late. The smallest, because a sample taken while bulk data queues is the
 * queue's time, and windows that grow with it would lengthen the queue.
 */
export class RoundTrip {
  readonly #spans: { readonly number: number, minMs: number }[] = []

  /** @param sampleMs one measured round trip, known at `nowMs`. */
  add(sampleMs: number, nowMs: number): void {
    const number = Math.floor(nowMs / SPAN_MS)
    const last = this.#spans.at(-1)
    if (last?.number === number) last.minMs = Math.min(last.minMs, sampleMs)
    else this.#spans.push({ number, minMs: Math.max(0, sampleMs) })
    if (this.#spans.length > SPANS) this.#spans.shift()
  }

  /** Milliseconds; `undefined` before the first sample. */
  get minMs(): number | undefined {
    return this.#spans.length === 0 ? undefined : Math.min(...this.#spans.map(({ minMs }) => minMs))
  }
}

/**
 * What the peer may still send on one direction of a call. Credit goes back when the owner has consumed
 * half a window; a window that was used up within two round trips (of at least 1 ms) doubles, up to 4 MiB.
 */
export class ReceiveWindow {
  #windowBytes = WINDOW_BYTES_INITIAL
  #creditBytes = WINDOW_BYTES_INITIAL
  #heldBytes = 0
  #owedBytes = 0
  #epochBytes = 0
  #epochStartedMs: number

  constructor(nowMs: number) {
    this.#epochStartedMs = nowMs
  }

  /** Bytes received that the owner has not consumed. */
  get heldBytes(): number {
    return this.#heldBytes
  }

  /** Size that the window has grown to. */
  get windowBytes(): number {
    return this.#windowBytes
  }

  /** @returns false if the peer had no credit for `cost`. */
  receive(cost: number): boolean {
    if (cost > this.#creditBytes) return false
    this.#creditBytes -= cost
    this.#heldBytes += cost
    return true
  }

  /**
   * The owner has consumed `cost` bytes of what was received.
   * @param rttMs smallest round trip, `undefined` while unknown: then nothing grows.
   * @returns credit to send now; 0 while less than half a window is owed.
   */
  consume(cost: number, nowMs: number, rttMs: number | undefined, mayGrow: boolean): number {
    const consumed = Math.min(cost, this.#heldBytes)
    this.#heldBytes -= consumed
    this.#owedBytes += consumed
    this.#epochBytes += consumed
    if (this.#epochBytes >= this.#windowBytes) {
      const fast = rttMs !== undefined && nowMs - this.#epochStartedMs <= 2 * Math.max(rttMs, RTT_MS_MIN)
      if (fast && mayGrow && this.#windowBytes < WINDOW_BYTES_MAX) {
        this.#owedBytes += this.#windowBytes
        this.#windowBytes *= 2
      }
      this.#epochBytes = 0
      this.#epochStartedMs = nowMs
    }
    if (this.#owedBytes < this.#windowBytes / 2) return 0
    const grant = this.#owedBytes
    this.#owedBytes = 0
    this.#creditBytes += grant
    return grant
  }
}

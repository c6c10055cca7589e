/** Two carriers joined in memory, for tests and for apps that run inside the node's own process. */
import type { Carrier, CarrierHandlers } from './carrier.ts'

/** Bytes on their way above which a side is told to wait, as a socket would. */
const FULL_BYTES = 256 * 1024

class MemoryCarrier implements Carrier {
  readonly remote: string
  other: MemoryCarrier | undefined
  #handlers: CarrierHandlers | undefined
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #paused = false
  #planned = false
  #senderWaits = false
  #ending: string | undefined
  #ended = false

  constructor(remote: string) {
    this.remote = remote
  }

  start(handlers: CarrierHandlers): void {
    this.#handlers = handlers
    this.#plan()
  }

  send(bytes: Uint8Array): boolean {
    return this.other?.deliver(bytes) ?? true
  }

  deliver(bytes: Uint8Array): boolean {
    if (this.#ended || this.#ending !== undefined) return true
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    this.#plan()
    if (this.#queuedBytes < FULL_BYTES) return true
    this.#senderWaits = true
    return false
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    this.#paused = false
    this.#plan()
  }

  close(): void {
    this.#finish('closed')
    this.other?.endAfterQueue('the other end closed the link')
  }

  abort(reason: string): void {
    this.#queue = []
    this.#finish(reason)
    this.other?.endAfterQueue(reason)
  }

  endAfterQueue(reason: string): void {
    this.#ending ??= reason
    this.#plan()
  }

  #finish(reason: string): void {
    if (this.#ended) return
    this.#ended = true
    this.#handlers?.closed(reason)
  }

  #plan(): void {
    if (this.#planned || this.#paused || this.#ended || this.#handlers === undefined) return
    this.#planned = true
    setImmediate(() => this.#pump())
  }

  #pump(): void {
    this.#planned = false
    while (this.#queue.length > 0 && !this.#paused && !this.#ended) {
      const bytes = this.#queue.shift()!
      this.#queuedBytes -= bytes.length
      this.#handlers?.data(bytes)
    }
    if (this.#senderWaits && this.#queuedBytes < FULL_BYTES / 2) {
      this.#senderWaits = false
      this.other?.drained()
    }
    if (this.#ending !== undefined && this.#queue.length === 0) this.#finish(this.#ending)
  }

  drained(): void {
    if (!this.#ended) this.#handlers?.drain()
  }
}

/** A pair of carriers: what one sends, the other is given. */
export function memoryPair(): [Carrier, Carrier] {
  const left = new MemoryCarrier('memory')
  const right = new MemoryCarrier('memory')
  left.other = right
  right.other = left
  return [left, right]
}

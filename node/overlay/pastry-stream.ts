/** One control stream: messages with their length over the safe reader, joined per tick, bounded both ways. */
import type { Connection, Stream } from '@libp2p/interface'
import { FLUSH_BYTES_MAX, FRAME_TIMEOUT_MS, HELLO_TIMEOUT_MS } from '../../protocols/limits.ts'
import { MessageReader, withLength } from '../../protocols/pastry/control.ts'
import { nowMs } from '../clock.ts'
import type { Carrier } from '../links/carrier.ts'
import { streamCarrier } from '../links/libp2p.ts'

/** Messages that wait for a peer which does not read, or is being dialled; beyond it they are dropped, and counted. */
export const QUEUE_MESSAGES_MAX = 512
/** Bytes of them. */
export const QUEUE_BYTES_MAX = 256 * 1024

/** Time that a peer gets to end its half of a closed stream. */
const CLOSE_MS = 5_000

/** What a stream tells its owner. */
export interface StreamHooks {
  message(bytes: Uint8Array): void
  /** The peer broke a rule; the stream has ended. */
  violated(reason: string): void
  /** It ended; called once, also after `violated`. */
  closed(reason: string): void
}

/** A control stream in both directions. */
export class ControlStream {
  readonly connection: Connection
  readonly dialledBy: 'us' | 'peer'
  readonly openedMs = nowMs()
  /** The peer's hello was taken. */
  isProven = false
  readonly #carrier: Carrier
  readonly #hooks: StreamHooks
  readonly #reader = new MessageReader()
  readonly #queue: Uint8Array[] = []
  #queuedBytes = 0
  #beganMs = 0
  #isFull = false
  #isFlushing = false
  #isClosed = false
  #pause: NodeJS.Timeout | undefined

  constructor(stream: Stream, connection: Connection, dialledBy: 'us' | 'peer', hooks: StreamHooks) {
    this.connection = connection
    this.dialledBy = dialledBy
    this.#hooks = hooks
    this.#carrier = streamCarrier(stream, connection.remotePeer.toString())
  }

  /** Begins to deliver. */
  start(): void {
    this.#carrier.start({
      data: (bytes) => { this.#read(bytes) },
      drain: () => {
        this.#isFull = false
        this.#flush()
      },
      closed: (reason) => { this.#ended(reason) },
    })
  }

  /** @returns false if the message was dropped, because the peer does not read or the stream has ended. */
  send(message: Uint8Array): boolean {
    const framed = withLength(message)
    if (this.#isClosed || this.#queue.length >= QUEUE_MESSAGES_MAX) return false
    if (this.#queuedBytes + framed.length > QUEUE_BYTES_MAX) return false
    this.#queue.push(framed)
    this.#queuedBytes += framed.length
    if (!this.#isFlushing) {
      this.#isFlushing = true
      // What a machine says in one go leaves in one piece.
      queueMicrotask(() => {
        this.#isFlushing = false
        this.#flush()
      })
    }
    return true
  }

  /** Reads nothing for a while: a peer that floods feels it. */
  rest(ms: number): void {
    if (this.#pause !== undefined || this.#isClosed) return
    this.#carrier.pause()
    this.#pause = setTimeout(() => {
      this.#pause = undefined
      if (!this.#isClosed) this.#carrier.resume()
    }, ms)
  }

  /** Ends the stream if its peer has taken too long over its hello, or over a message that it began. */
  checkTimes(): void {
    const now = nowMs()
    if (!this.isProven && now - this.openedMs > HELLO_TIMEOUT_MS) this.refuse('noHello')
    else if (this.#reader.isWaiting && this.#pause === undefined && now - this.#beganMs > FRAME_TIMEOUT_MS) {
      this.refuse('slowMessage')
    }
  }

  /** Ends the stream because of what the peer did. */
  refuse(reason: string): void {
    if (this.#isClosed) return
    this.#hooks.violated(reason)
    this.#carrier.abort(reason)
    this.#ended(reason)
  }

  /** Hands over what was said, then ends. */
  close(): void {
    if (this.#isClosed) return
    this.#flush()
    this.#carrier.close()
    this.#ended('closed')
    // A peer that never ends its half would keep the stream.
    setTimeout(() => { this.#carrier.abort('the other end did not close') }, CLOSE_MS).unref()
  }

  /** Ends without a word. */
  abort(): void {
    if (this.#isClosed) return
    this.#carrier.abort('this node is gone')
    this.#ended('aborted')
  }

  #read(bytes: Uint8Array): void {
    if (this.#isClosed) return
    if (!this.#reader.isWaiting) this.#beganMs = nowMs()
    const { messages, isOversized } = this.#reader.take(bytes)
    for (const message of messages) {
      this.#hooks.message(message)
      if (this.#isClosed) return
    }
    if (messages.length > 0) this.#beganMs = nowMs()
    if (isOversized) this.refuse('oversized')
  }

  #flush(): void {
    while (!this.#isFull && !this.#isClosed && this.#queue.length > 0) {
      let bytes = 0
      let count = 0
      while (count < this.#queue.length && bytes + this.#queue[count]!.length <= FLUSH_BYTES_MAX) {
        bytes += this.#queue[count++]!.length
      }
      const pieces = this.#queue.splice(0, count)
      this.#queuedBytes -= bytes
      this.#isFull = !this.#carrier.send(pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces))
    }
  }

  #ended(reason: string): void {
    if (this.#isClosed) return
    this.#isClosed = true
    clearTimeout(this.#pause)
    this.#queue.length = 0
    this.#hooks.closed(reason)
  }
}

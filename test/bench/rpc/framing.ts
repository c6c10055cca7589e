/** Length-prefixed messages, as everybody writes them: four bytes of length, big-endian, then the message. */

const PREFIX_BYTES = 4

/** One message with its length, in one buffer. */
export function frame(message: Uint8Array): Uint8Array {
  const out = new Uint8Array(PREFIX_BYTES + message.length)
  new DataView(out.buffer).setUint32(0, message.length)
  out.set(message, PREFIX_BYTES)
  return out
}

/** Cuts a byte stream into messages. A message that lies in one chunk is a view of it. */
export class MessageReader {
  readonly #onMessage: (message: Uint8Array) => void
  readonly #prefix = new Uint8Array(PREFIX_BYTES)
  #prefixBytes = 0
  #message: Uint8Array | undefined
  #filled = 0

  constructor(onMessage: (message: Uint8Array) => void) {
    this.#onMessage = onMessage
  }

  /** Takes the next chunk. */
  push(chunk: Uint8Array): void {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#message !== undefined) {
        offset += this.#fill(this.#message, chunk, offset)
        continue
      }
      while (this.#prefixBytes < PREFIX_BYTES && offset < chunk.length) {
        this.#prefix[this.#prefixBytes++] = chunk[offset++]!
      }
      if (this.#prefixBytes < PREFIX_BYTES) return
      const [a, b, c, d] = this.#prefix
      const length = ((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0
      this.#prefixBytes = 0
      if (chunk.length - offset >= length) {
        this.#onMessage(chunk.subarray(offset, offset + length))
        offset += length
      } else {
        this.#message = new Uint8Array(length)
        this.#filled = 0
      }
    }
  }

  #fill(message: Uint8Array, chunk: Uint8Array, offset: number): number {
    const taken = Math.min(message.length - this.#filled, chunk.length - offset)
    message.set(chunk.subarray(offset, offset + taken), this.#filled)
    this.#filled += taken
    if (this.#filled === message.length) {
      this.#message = undefined
      this.#onMessage(message)
    }
    return taken
  }
}

/** Replies in the order of requests: whoever asked first is answered first. */
export class Pending {
  #waiting: ((reply: Uint8Array) => void)[] = []
  #head = 0

  /** The reply to the request that is sent now. */
  next(): Promise<Uint8Array> {
    return new Promise((resolve) => { this.#waiting.push(resolve) })
  }

  /** A reply came. */
  settle(reply: Uint8Array): void {
    this.#waiting[this.#head++]!(reply)
    if (this.#head < this.#waiting.length) return
    this.#waiting = []
    this.#head = 0
  }
}

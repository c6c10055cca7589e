/** What a link needs of whatever moves its bytes: a libp2p stream, a Unix socket or a pair in memory. */

/** What a carrier tells its link. */
export interface CarrierHandlers {
  /** Bytes came, in order; the carrier never changes them afterwards. */
  data(bytes: Uint8Array): void
  /** After `send` returned false: there is room again. */
  drain(): void
  /** The carrier has ended; nothing follows. Called once. */
  closed(reason: string): void
}

/** An ordered, reliable byte stream in both directions. */
export interface Carrier {
  /** The other end in words, for logs. */
  readonly remote: string
  /** Begins to deliver; nothing is delivered before it has returned. */
  start(handlers: CarrierHandlers): void
  /** @returns false when the carrier is full: `drain` follows. */
  send(bytes: Uint8Array): boolean
  /** Stops delivering until `resume`, so that the sender feels it. */
  pause(): void
  resume(): void
  /** Hands over what was sent, then ends. */
  close(): void
  /** Ends at once. */
  abort(reason: string): void
}

/** Items on their way out of a process: encoding, and a stream of them that waits while the other end is full. */
import { WarrenError } from '../../protocols/errors.ts'
import { ITEM_BYTES_MAX, WINDOW_BYTES_INITIAL } from '../../protocols/limits.ts'
import { codecByName } from '../../protocols/rpc/codec.ts'
import { FLAG, frameCost } from '../../protocols/rpc/messages.ts'

const NOTHING = new Uint8Array(0)

/**
 * An item as bytes: a `Uint8Array` goes as it is, anything else through the payload codec.
 * @throws {WarrenError} `LIMIT` for an item over 16 MiB; whatever the codec throws for what it has no form for.
 */
export function encodeItem(value: unknown, codec: string): { bytes: Uint8Array, raw: boolean } {
  const raw = value instanceof Uint8Array
  const bytes = raw ? value : codecByName(codec).encode(value)
  if (bytes.length > ITEM_BYTES_MAX) {
    throw new WarrenError('LIMIT',
      `an item of ${bytes.length} bytes is over ${ITEM_BYTES_MAX}; send it as a stream of smaller ones`,
      { started: false })
  }
  return { bytes, raw }
}

/** The sending side of a stream of items. */
export interface ItemSink {
  /** Whether the call has ended, so that nothing more is wanted. */
  isOver(): boolean
  /** Queues a payload; it is told of when it has been handed over. */
  send(payload: Uint8Array, flags: number): void
  /** Counts a queued payload's cost. */
  sent(cost: number): void
  /** Cost of what is queued and not handed over. */
  unsentBytes(): number
  /** Settles when something was handed over, or the call has ended. */
  drained(): Promise<void>
}

/** Sends every item of `source`, then END; at most one window's worth waits in the link's queue. */
export async function sendItems(
  source: AsyncIterable<unknown> | Iterable<unknown>, codec: string, sink: ItemSink,
): Promise<void> {
  for await (const value of source) {
    if (sink.isOver()) return
    const { bytes, raw } = encodeItem(value, codec)
    sink.sent(frameCost(bytes.length))
    sink.send(bytes, raw ? FLAG.RAW : 0)
    while (sink.unsentBytes() > WINDOW_BYTES_INITIAL && !sink.isOver()) await sink.drained()
    if (sink.isOver()) return
  }
  sink.send(NOTHING, FLAG.END)
}

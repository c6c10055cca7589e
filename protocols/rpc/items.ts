/** Items put together from frames at the end of a call, within a budget per link and without a standstill. */
import { ASSEMBLY_BYTES_MAX, ITEM_BYTES_MAX } from '../limits.ts'
import { FLAG, frameCost, isBareEnd } from './messages.ts'

/** Pieces of one item: at 4 KiB each, the least that a sender cuts, four times what the longest item has. */
const ITEM_PARTS_MAX = 16_384

/** Empty slots before an item list is cut. */
const COMPACT_AFTER = 64

/** One whole item: bytes as they are, or bytes of the payload codec. */
export interface Item { readonly raw: boolean, readonly bytes: Uint8Array }

/**
 * The budget for items in pieces on one link. Over it only the oldest unfinished item is given credit, so
 * that memory stays bounded and at least one item always goes on.
 */
export class Assembler {
  readonly #unfinished = new Set<ItemQueue>()
  #bytes = 0

  /** Bytes of unfinished items. */
  get bytes(): number { return this.#bytes }

  /** A piece of `queue`'s unfinished item came. @returns whether its cost may be consumed at once. */
  grow(queue: ItemQueue, bytes: number): boolean {
    this.#unfinished.add(queue)
    this.#bytes += bytes
    return this.#bytes <= ASSEMBLY_BYTES_MAX || this.#isOldest(queue)
  }

  /** `queue`'s item, of which `bytes` were counted, is whole or given up: others may go on. */
  done(queue: ItemQueue, bytes: number): void {
    if (!this.#unfinished.delete(queue)) return
    this.#bytes -= bytes
    for (const waiting of this.#unfinished) {
      if (waiting.hasItem) continue
      waiting.release()
      if (this.#bytes > ASSEMBLY_BYTES_MAX) break
    }
  }

  /** An item whose reader has not taken the one before it cannot go on: it does not hold up the others. */
  #isOldest(queue: ItemQueue): boolean {
    for (const oldest of this.#unfinished) if (!oldest.hasItem) return oldest === queue
    return true
  }
}

/** One direction of a call: frames in, whole items out; credit is given back as items are taken. */
export class ItemQueue {
  readonly #assembler: Assembler
  readonly #consume: (cost: number) => void
  #items: ({ item: Item, cost: number } | undefined)[] = []
  #head = 0
  #parts: Uint8Array[] = []
  #partsBytes = 0
  #partsCost = 0
  /** Bytes of the parts that the assembler has counted. */
  #countedBytes = 0
  #ended = false

  /** @param consume gives `cost` bytes of credit back to the sender. */
  constructor(assembler: Assembler, consume: (cost: number) => void) {
    this.#assembler = assembler
    this.#consume = consume
  }

  /** Whether an item can be taken. */
  get hasItem(): boolean { return this.#head < this.#items.length }
  /** Whether the sender has ended this direction (items may still wait). */
  get ended(): boolean { return this.#ended }

  /** Takes a frame in. @returns why it is refused, or `undefined`. */
  push(flags: number, payload: Uint8Array): string | undefined {
    if ((flags & FLAG.END) !== 0) this.#ended = true
    if (isBareEnd(flags, payload.length)) {
      return this.#parts.length === 0 ? undefined : 'the stream ended in the middle of an item'
    }
    const cost = frameCost(payload.length)
    const raw = (flags & FLAG.RAW) !== 0
    if (this.#parts.length === 0 && (flags & FLAG.MORE) === 0) {
      this.#items.push({ item: { raw, bytes: payload }, cost })
      return undefined
    }
    this.#parts.push(payload)
    this.#partsBytes += payload.length
    this.#partsCost += cost
    if (this.#parts.length > ITEM_PARTS_MAX) return `an item is in more than ${ITEM_PARTS_MAX} pieces`
    if (this.#partsBytes > ITEM_BYTES_MAX) {
      return `an item is over ${ITEM_BYTES_MAX} bytes; send it as a stream of smaller ones`
    }
    if ((flags & FLAG.MORE) === 0) this.#finish(raw)
    else this.#grow(payload.length)
    return undefined
  }

  /** Gives the parts' credit back if the reader waits for this item and the link has room for more of it. */
  #grow(bytes: number): void {
    this.#countedBytes += bytes
    if (this.#assembler.grow(this, bytes) && !this.hasItem) this.#consumeParts()
  }

  #finish(raw: boolean): void {
    const bytes = new Uint8Array(this.#partsBytes)
    let offset = 0
    for (const part of this.#parts) {
      bytes.set(part, offset)
      offset += part.length
    }
    this.#items.push({ item: { raw, bytes }, cost: this.#partsCost })
    this.abandon()
  }

  /** Forgets the item that is under way: nothing more of it comes. Whole items still wait to be taken. */
  abandon(): void {
    this.#parts = []
    this.#partsBytes = 0
    this.#partsCost = 0
    const counted = this.#countedBytes
    this.#countedBytes = 0
    this.#assembler.done(this, counted)
  }

  #consumeParts(): void {
    if (this.#partsCost === 0) return
    const cost = this.#partsCost
    this.#partsCost = 0
    this.#consume(cost)
  }

  /** There is room again in the link's budget for the unfinished item. */
  release(): void {
    if (!this.hasItem) this.#consumeParts()
  }

  /** Takes the oldest whole item and gives its credit back. */
  shift(): Item | undefined {
    const taken = this.#items[this.#head]
    if (taken === undefined) return undefined
    // The slot lets go of its item at once, because a reader that is always behind never empties the list.
    this.#items[this.#head++] = undefined
    if (this.#head === this.#items.length || this.#head > COMPACT_AFTER) {
      this.#items = this.#items.slice(this.#head)
      this.#head = 0
    }
    if (taken.cost > 0) this.#consume(taken.cost)
    // The reader waits for the item that is under way: it may go on.
    if (!this.hasItem && this.#parts.length > 0) this.#grow(0)
    return taken.item
  }

  /** Forgets everything; nothing more is given back. */
  clear(): void {
    this.#items = []
    this.#head = 0
    this.abandon()
  }
}

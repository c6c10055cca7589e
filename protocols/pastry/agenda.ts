/** What a machine has to do later: a heap of due times behind the one timer that it asks its driver for. */

/** One thing to do; `cancelled` ones are skipped when their time comes. */
export interface Entry<T> { readonly atMs: number, readonly what: T, cancelled: boolean }

/**
 * A binary heap of entries by time. Cancelled entries stay until they are due or outnumber the others,
 * so that memory stays within twice of what is waiting.
 */
export class Agenda<T> {
  #heap: Entry<T>[] = []
  #cancelled = 0

  /** Entries that wait, cancelled ones included. */
  get size(): number {
    return this.#heap.length
  }

  /** When the first entry is due, or `Infinity`. */
  get nextMs(): number {
    this.#dropCancelled()
    return this.#heap[0]?.atMs ?? Infinity
  }

  /** Adds an entry; keep what it returns in order to cancel it. */
  add(atMs: number, what: T): Entry<T> {
    const entry = { atMs, what, cancelled: false }
    const heap = this.#heap
    heap.push(entry)
    let at = heap.length - 1
    while (at > 0) {
      const parent = at - 1 >> 1
      if (heap[parent]!.atMs <= atMs) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = entry
    return entry
  }

  /** Takes an entry back; once more, or when it was due, does nothing. */
  cancel(entry: Entry<T> | undefined): void {
    if (entry === undefined || entry.cancelled) return
    entry.cancelled = true
    this.#cancelled++
    if (this.#cancelled > 32 && this.#cancelled * 2 > this.#heap.length) this.#compact()
  }

  /** Forgets everything. */
  clear(): void {
    for (const entry of this.#heap) entry.cancelled = true
    this.#heap = []
    this.#cancelled = 0
  }

  /** The next thing that is due by `nowMs`, removed; `undefined` if there is none. */
  take(nowMs: number): T | undefined {
    this.#dropCancelled()
    const first = this.#heap[0]
    if (first === undefined || first.atMs > nowMs) return undefined
    this.#removeFirst()
    first.cancelled = true
    return first.what
  }

  #dropCancelled(): void {
    while (this.#heap[0]?.cancelled === true) {
      this.#removeFirst()
      this.#cancelled--
    }
  }

  #compact(): void {
    const waiting = this.#heap.filter((entry) => !entry.cancelled)
    this.#heap = waiting.sort((a, b) => a.atMs - b.atMs)
    this.#cancelled = 0
  }

  #removeFirst(): void {
    const heap = this.#heap
    const last = heap.pop()!
    const length = heap.length
    if (length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && heap[child + 1]!.atMs < heap[child]!.atMs) child++
      if (heap[child]!.atMs >= last.atMs) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
  }
}

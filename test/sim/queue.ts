/** The simulator's future: events by virtual time, those of one time in the order they were added. */

/** Something that will happen. */
export interface Happening { atMs: number, order: number }

/** A binary heap; its ties are broken by age, so that runs repeat. */
export class Queue<E extends Happening> {
  readonly #heap: E[] = []

  /** Events that wait. */
  get size(): number {
    return this.#heap.length
  }

  /** Time of the first event, or `Infinity`. */
  get nextMs(): number {
    return this.#heap[0]?.atMs ?? Infinity
  }

  add(event: E): void {
    const heap = this.#heap
    let at = heap.push(event) - 1
    while (at > 0) {
      const parent = at - 1 >> 1
      if (isBefore(heap[parent]!, event)) break
      heap[at] = heap[parent]!
      at = parent
    }
    heap[at] = event
  }

  take(): E | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return first
    const length = heap.length
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= length) break
      if (child + 1 < length && isBefore(heap[child + 1]!, heap[child]!)) child++
      if (isBefore(last, heap[child]!)) break
      heap[at] = heap[child]!
      at = child
    }
    heap[at] = last
    return first
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.atMs < b.atMs || a.atMs === b.atMs && a.order < b.order
}

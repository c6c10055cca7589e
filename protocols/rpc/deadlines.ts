/** Deadlines of many calls under one timer: buckets of 10 ms, constant cost per call. */

/** Width of a bucket: deadlines fire up to this much late, never early. */
const BUCKET_MS = 10

/** A thing with a deadline; `deadlineAtMs` may be moved later at any time without telling. */
export interface Timed { deadlineAtMs: number, bucket: number }

/** Where an entry is when it has no deadline. */
export const NO_BUCKET = -1

/** Keeps entries by the time they are due; moving a deadline later costs nothing until the old one is due. */
export class Deadlines<T extends Timed> {
  readonly #buckets = new Map<number, Set<T>>()

  /** Adds `entry`, or moves it earlier. An entry whose deadline is infinite is not kept. */
  add(entry: T): void {
    if (entry.deadlineAtMs === Infinity) return
    const bucket = Math.ceil(entry.deadlineAtMs / BUCKET_MS)
    if (entry.bucket !== NO_BUCKET) {
      if (entry.bucket <= bucket) return
      this.remove(entry)
    }
    entry.bucket = bucket
    const there = this.#buckets.get(bucket)
    if (there === undefined) this.#buckets.set(bucket, new Set([entry]))
    else there.add(entry)
  }

  /** Forgets `entry`. */
  remove(entry: T): void {
    if (entry.bucket === NO_BUCKET) return
    const { bucket } = entry
    entry.bucket = NO_BUCKET
    const there = this.#buckets.get(bucket)
    if (there === undefined) return
    there.delete(entry)
    if (there.size === 0) this.#buckets.delete(bucket)
  }

  /** Takes out and returns everything that is due. */
  due(nowMs: number): T[] {
    const due: T[] = []
    const again: T[] = []
    for (const [bucket, entries] of this.#buckets) {
      if (bucket * BUCKET_MS > nowMs) continue
      this.#buckets.delete(bucket)
      for (const entry of entries) {
        entry.bucket = NO_BUCKET
        if (entry.deadlineAtMs <= nowMs) due.push(entry)
        else again.push(entry)
      }
    }
    for (const entry of again) this.add(entry)
    return due
  }

  /** When `due` should be asked next; `undefined` when nothing is kept. */
  get nextAtMs(): number | undefined {
    let next = Infinity
    for (const bucket of this.#buckets.keys()) if (bucket < next) next = bucket
    return next === Infinity ? undefined : next * BUCKET_MS
  }
}

/** The one monotonic clock that machines are driven by. */

/** Milliseconds since an arbitrary start; never goes back. */
export function nowMs(): number {
  return performance.now()
}

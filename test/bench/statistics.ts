/** The few statistics of the benches. */

/** Middle value; the mean of the two in the middle for an even count; NaN for none. */
export function median(values: readonly number[]): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}

/**
 * The smallest value that at least `share` of all values do not exceed (nearest rank); NaN for none.
 * @param share 0 to 1.
 */
export function percentile(values: readonly number[], share: number): number {
  if (values.length === 0) return Number.NaN
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.max(1, Math.ceil(share * sorted.length))
  return sorted[Math.min(rank, sorted.length) - 1]!
}

/** `value` over `base`; `undefined` where that says nothing: a base of zero, or a value that was not measured. */
export function ratio(value: number | undefined, base: number | undefined): number | undefined {
  if (value === undefined || base === undefined || base === 0) return undefined
  const quotient = value / base
  return Number.isFinite(quotient) ? quotient : undefined
}

/** What every bench is given and what it prints: flat lines that anybody can filter and plot. */

/** What was asked for on the command line. */
export interface BenchOptions {
  readonly json: boolean
  /** End within a minute: fewer and shorter rounds. */
  readonly quick: boolean
  /** Measure what takes many minutes, too. */
  readonly full?: boolean
  /** Fires on Ctrl-C: end every process, remove every folder, reject. */
  readonly signal: AbortSignal
}

/** One bench; it prints by itself, and rejects if it could not measure. */
export type Bench = (options: BenchOptions) => Promise<void>

/** One measured value. `ratio` is this system's value over that of `versus` in the same run. */
export interface Line {
  readonly bench: string
  readonly system: string
  readonly bytes?: number
  readonly inFlight?: number
  /** Delay that a proxy adds to each round trip, milliseconds: half of it each way. */
  readonly delayMs?: number
  readonly metric: string
  readonly value: number
  readonly unit: string
  readonly versus?: string
  readonly ratio?: number
}

/** Four significant digits: more would be noise. */
export function rounded(value: number): number {
  return Number(value.toPrecision(4))
}

/** Prints lines as JSON, one a line. */
export function printJson(lines: readonly Line[]): void {
  for (const line of lines) process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** Aligned columns: the first to the left, the others to the right. */
export function aligned(rows: readonly (readonly string[])[]): string {
  const widths: number[] = []
  for (const row of rows) {
    for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  }
  return rows.map((row) => row.map((cell, column) =>
    column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join('  ').trimEnd()).join('\n')
}

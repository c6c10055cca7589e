/** The tables of bench `rpc`, for people. */
import { availableParallelism, loadavg } from 'node:os'
import { styleText } from 'node:util'
import { aligned, type Line } from '../bench.ts'

const SIZE_NAMES: Readonly<Record<number, string>> = { 32: '32 B', 1024: '1 KiB', 1048576: '1 MiB' }

type Shown = (line: Line) => string

const number = (value: number): string => {
  if (value >= 100) return Math.round(value).toLocaleString('en-GB')
  return value >= 10 ? value.toFixed(1) : value.toFixed(2)
}

const share = (value: number | undefined): string => value === undefined ? '–'
  : value >= 10 ? value.toFixed(0) : value.toFixed(2)

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

function heading(text: string): void {
  print(`\n${styleText('bold', text)}`)
}

/** One table: a row for each system, a column for each size and number in flight. */
function table(lines: readonly Line[], metric: string, show: Shown, versus?: string): void {
  const chosen = lines.filter((line) => line.metric === metric && line.bytes !== undefined
    && (versus === undefined || line.versus === versus))
  const cells = [...new Set(chosen.map(({ bytes, inFlight }) => `${bytes} ${inFlight}`))]
  const rows = [...new Set(chosen.map(({ system }) => system))].map((system) => [
    system, ...cells.map((cell) => {
      const line = chosen.find((one) => one.system === system && `${one.bytes} ${one.inFlight}` === cell)
      return line === undefined ? '–' : show(line)
    }),
  ])
  const head = cells.map((cell) => {
    const [bytes, inFlight] = cell.split(' ')
    return `${SIZE_NAMES[Number(bytes)]} x${inFlight}`
  })
  print(aligned([['', ...head], ...rows]))
}

function besideTable(lines: readonly Line[]): void {
  const metrics = ['smallIdleP50', 'smallIdleP99', 'smallBesideBulkP50', 'smallBesideBulkP99', 'bulkBesideSmallRate']
  const systems = [...new Set(lines.filter(({ metric }) => metric === metrics[0]).map(({ system }) => system))]
  const value = (system: string, metric: string): string => {
    const line = lines.find((one) => one.system === system && one.metric === metric)
    return line === undefined ? '–' : number(line.value)
  }
  print(aligned([
    ['', 'idle p50', 'idle p99', 'beside p50', 'beside p99', 'upload MB/s'],
    ...systems.map((system) => [system, ...metrics.map((metric) => value(system, metric))]),
  ]))
}

function bulkTable(lines: readonly Line[]): void {
  const bulk = lines.filter(({ metric }) => metric === 'bulkRate')
  const delays = [...new Set(bulk.map(({ delayMs }) => delayMs))]
  const rows = [...new Set(bulk.map(({ system }) => system))].map((system) => [
    system, ...delays.flatMap((delayMs) => {
      const line = bulk.find((one) => one.system === system && one.delayMs === delayMs)
      return line === undefined ? ['–', ''] : [number(line.value), share(line.ratio)]
    }),
  ])
  print(aligned([['', ...delays.flatMap((delayMs) => [`+${delayMs} ms`, 'of bare'])], ...rows]))
}

/** What the design asks for, and whether this run met it. */
function targets(lines: readonly Line[]): void {
  const lowest = (system: string, versus: string): Line | undefined => lines
    .filter((line) => line.system === system && line.versus === versus)
    .filter(({ metric }) => metric === 'rate' || metric === 'bulkRate')
    .sort((a, b) => a.ratio! - b.ratio!)[0]
  const where = ({ bytes, inFlight, delayMs }: Line): string => bytes === undefined
    ? `bulk at +${delayMs} ms` : `${SIZE_NAMES[bytes]} x${inFlight}`
  for (const [system, versus, least] of [['libp2p', 'bare-libp2p', 0.8], ['unix', 'raw-tcp', 0.5]] as const) {
    const line = lowest(system, versus)
    if (line === undefined) continue
    const seen = `lowest ${share(line.ratio)}, ${where(line)}`
    verdict(line.ratio! >= least, `${system} reaches ${least} of ${versus} everywhere`, seen)
  }
  const beside = lines.find(({ system, metric }) => system === 'libp2p' && metric === 'smallBesideBulkP50')
  if (beside !== undefined) {
    verdict(beside.value < 2, 'a 32-byte call beside a bulk upload has p50 below 2 ms', `${number(beside.value)} ms`)
  }
}

function verdict(met: boolean, target: string, seen: string): void {
  print(`${met ? styleText('green', 'met   ') : styleText('red', 'missed')}  ${target}: ${seen}`)
}

/** Prints everything. */
export function printReport(lines: readonly Line[], plan: { readonly rounds: number, readonly forMs: number }): void {
  print(`Calls between two processes on this machine: Node ${process.version}, ${availableParallelism()} cores; `
    + `median of ${plan.rounds} alternating round${plan.rounds === 1 ? '' : 's'} of ${plan.forMs} ms.`)
  // Somebody else's work on the same cores shows in every number.
  print(`Load average of the last minute: ${loadavg()[0]!.toFixed(1)}; the bench itself keeps about 2 busy.`)
  print('xN: so many calls in flight. CPU counts every process of a system. Payloads are bytes, echoed.')
  heading('calls per second')
  table(lines.filter(({ versus }) => versus !== 'bare-libp2p'), 'rate', ({ value }) => number(value))
  heading('calls per second, as a share of raw-tcp')
  table(lines, 'rate', (line) => share(line.ratio), 'raw-tcp')
  heading('calls per second, as a share of bare-libp2p')
  table(lines, 'rate', (line) => share(line.ratio), 'bare-libp2p')
  heading('latency p50 / p99, ms')
  const latencies = lines.filter(({ versus }) => versus !== 'bare-libp2p')
  const p99 = (of: Line): number => latencies.find((line) => line.metric === 'p99' && line.system === of.system
    && line.bytes === of.bytes && line.inFlight === of.inFlight)!.value
  table(latencies, 'p50', (line) => `${number(line.value)} / ${number(p99(line))}`)
  heading('CPU per call, microseconds')
  table(latencies, 'cpuPerCall', ({ value }) => number(value))
  heading('a 32-byte call beside an endless upload on the same link, ms')
  besideTable(lines)
  heading('one bulk stream of 64 KiB items, MB/s, by the delay added to a round trip (half of it each way)')
  bulkTable(lines)
  heading('targets')
  targets(lines)
}

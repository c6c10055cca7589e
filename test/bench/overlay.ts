/** `npm run bench -- overlay`: the overlay's figures in simulation, one JSON object a line (DESIGN section 11). */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Churn, Lookups, exponential, grow } from '../sim/load.ts'
import { heal, makeStage } from '../sim/scenarios.ts'
import type { Stage } from '../sim/scenarios.ts'
import type { Bench, BenchOptions } from './bench.ts'

/** One measurement of one world. */
interface Case {
  readonly n: number
  /** Median session in minutes; 0 for a world in which nobody comes or goes. */
  readonly sessionMin: number
  readonly lossPct: number
  readonly seed: number
  /** Virtual minutes of lookups. */
  readonly minutes: number
  /** Lookups per second of the whole world. */
  readonly perSecond: number
}

/** What was measured. */
interface Line extends Pick<Case, 'n' | 'sessionMin' | 'lossPct' | 'seed'> {
  readonly bench: 'overlay'
  readonly system: 'pastry'
  readonly metric: string
  readonly value: number
  readonly unit: string
}

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void

/** Virtual time for a world to settle into its churn before it is measured. */
const WARM_UP_MS = 300_000

/** The bench; `--full` is 10^6 lookups over two virtual hours for each loss, at N = 1,000. */
export const run: Bench = async (options) => {
  const print = (line: string): void => { process.stdout.write(`${line}\n`) }
  if (!options.json) print(['n', 'sessionMin', 'lossPct', 'seed', 'metric', 'value', 'unit'].join('\t'))
  for (const one of casesFor(options)) {
    for (const line of measure(one)) {
      print(options.json ? JSON.stringify(line)
        : [line.n, line.sessionMin, line.lossPct, line.seed, line.metric, line.value, line.unit].join('\t'))
    }
    // Lets the lines out, and a signal in, between two worlds.
    await new Promise<void>((resolve) => { setImmediate(resolve) })
    options.signal.throwIfAborted()
  }
}

function casesFor({ quick, full }: Pick<BenchOptions, 'quick' | 'full'>): Case[] {
  if (full === true) {
    return [0, 5].map((lossPct) => ({
      n: 1_000, sessionMin: 60, lossPct, seed: 1, minutes: 120, perSecond: 1e6 / 7_200,
    }))
  }
  if (quick) {
    return [
      { n: 50, sessionMin: 60, lossPct: 0, seed: 1, minutes: 10, perSecond: 5 },
      { n: 50, sessionMin: 1.4, lossPct: 0, seed: 1, minutes: 5, perSecond: 5 },
      { n: 200, sessionMin: 60, lossPct: 5, seed: 1, minutes: 5, perSecond: 20 },
    ]
  }
  const cases: Case[] = []
  for (const seed of [1, 2, 3]) {
    for (const n of [50, 200, 1_000, 10_000]) {
      const minutes = n > 1_000 ? 5 : 20
      const perSecond = Math.min(200, n / 20)
      cases.push({ n, sessionMin: 60, lossPct: 0, seed, minutes, perSecond })
      if (n > 1_000) continue
      cases.push({ n, sessionMin: 60, lossPct: 5, seed, minutes, perSecond })
      for (const sessionMin of [1.4, 5, 20]) cases.push({ n, sessionMin, lossPct: 0, seed, minutes: 10, perSecond })
    }
  }
  return cases
}

function measure(one: Case): Line[] {
  const lines: Line[] = []
  const add = (metric: string, value: number, unit: string): void => {
    const rounded = Number.isFinite(value) ? Number(value.toPrecision(6)) : -1
    const { n, sessionMin, lossPct, seed } = one
    lines.push({ bench: 'overlay', system: 'pastry', n, sessionMin, lossPct, seed, metric, value: rounded, unit })
  }
  const stage = makeStage({ seed: one.seed, nodes: one.n, options: { faults: { lossShare: one.lossPct / 100 } } })
  const heapBefore = heapUsed()
  grow(stage.world, one.n, () => stage.oracle.isOneRing())
  joined(stage, add)
  const churn = one.sessionMin > 0 ? new Churn(stage.world, exponential(one.sessionMin)) : undefined
  stage.world.run(WARM_UP_MS)
  lookUp(stage, one, add)
  churn?.stop()
  add('deaths', churn?.deaths ?? 0, 'count')
  add('memoryPerNode', (heapUsed() - heapBefore) / one.n / 1_024, 'KiB')
  if (one.n <= 1_000 && one.sessionMin === 60 && one.lossPct === 0) healing(stage, add)
  add('violations', stage.oracle.violations.length, 'count')
  for (const { rule, text, atMs } of stage.oracle.violations.slice(0, 3)) {
    process.stderr.write(`broken: ${rule} at ${Math.round(atMs)} ms, seed ${one.seed}, n ${one.n}: ${text}\n`)
  }
  return lines
}

/** Bytes in use once all that is not needed was collected. */
function heapUsed(): number {
  collect()
  return process.memoryUsage().heapUsed
}

type Add = (metric: string, value: number, unit: string) => void

function joined({ world }: Stage, add: Add): void {
  const times = world.nodes.filter((node) => node.readyMs >= 0).map((node) => node.readyMs - node.startedMs)
    .sort((a, b) => a - b)
  add('timeToReady', times[times.length >> 1] ?? Number.NaN, 'ms')
  add('timeToReadyP95', times[Math.floor(times.length * 0.95)] ?? Number.NaN, 'ms')
  add('joinMessages', world.nodes.reduce((sum, node) => sum + node.joinMessages, 0) / world.nodes.length, 'count')
}

function lookUp({ world, oracle }: Stage, one: Case, add: Add): void {
  const lookups = new Lookups(world)
  const before = { messages: world.messages, bytes: world.bytes, wrong: oracle.wrongRoots, events: world.events }
  const cpu = process.cpuUsage()
  lookups.start(one.perSecond)
  world.run(one.minutes * 60_000)
  lookups.stop()
  const perNode = one.minutes * 60 * one.n
  const rates = [(world.messages - before.messages) / perNode, (world.bytes - before.bytes) / perNode] as const
  const { user, system } = process.cpuUsage(cpu)
  const eventRate = (world.events - before.events) / (user + system) * 1e6
  world.run(40_000)
  lookups.close()
  add('lookups', lookups.issued, 'count')
  add('success', lookups.success, 'share')
  add('wrongRoots', oracle.wrongRoots - before.wrong, 'count')
  add('loss', lookups.failed / Math.max(1, lookups.answered + lookups.failed), 'share')
  add('meanHops', lookups.hops / lookups.answered, 'count')
  add('maxHops', lookups.hopsMax, 'count')
  add('stretch', lookups.pathMs / lookups.directMs, 'ratio')
  add('timeP50', lookups.timeMs(0.5), 'ms')
  add('timeP95', lookups.timeMs(0.95), 'ms')
  add('timeP99', lookups.timeMs(0.99), 'ms')
  add('messagesPerSecond', rates[0], '1/s')
  add('bytesPerSecond', rates[1], 'B/s')
  add('eventRate', eventRate, '1/s')
}

/** A third is cut off for two minutes, and comes back. */
function healing(stage: Stage, add: Add): void {
  const { world, oracle } = stage
  heal(stage)
  world.divide((node) => node.index % 3 === 0 ? 1 : 0)
  world.run(120_000)
  oracle.isMerging = true
  world.divide(() => 0)
  heal(stage, 1_200_000)
  add('healTime', stage.figures['healMs'] ?? Number.NaN, 'ms')
}

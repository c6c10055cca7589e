/** Bench `rpc`: every system in one run, in alternating rounds; medians, each beside what it is held against. */
import { join } from 'node:path'
import { printJson, rounded, type Bench, type Line } from '../bench.ts'
import { median, ratio } from '../statistics.ts'
import { inWorkshop, type Worker, type Workshop } from '../workers.ts'
import type { BesideSeen, Seen, Wanted } from './load.ts'
import { printReport } from './report.ts'
import { SYSTEMS } from './system.ts'

/** How long and how often. */
interface Plan {
  readonly rounds: number
  /** Of cells with many mebibytes in flight, which take seconds each. */
  readonly heavyRounds: number
  /** No further round of calls begins after this time, so that a busy machine does not make the bench endless. */
  readonly budgetMs: number
  readonly forMs: number
  readonly warmUpMs: number
  readonly besideMs: number
  readonly bulkRounds: number
  /** Items of 64 KiB in a bulk stream, by the delay added to a round trip. */
  readonly bulkItems: Readonly<Record<number, number>>
}

const FULL: Plan = {
  rounds: 5, heavyRounds: 5, budgetMs: 600_000, forMs: 500, warmUpMs: 3_000, besideMs: 1_000,
  bulkRounds: 5, bulkItems: { 0: 1_024, 50: 1_024 },
}
const QUICK: Plan = {
  rounds: 3, heavyRounds: 1, budgetMs: 22_000, forMs: 120, warmUpMs: 700, besideMs: 300,
  bulkRounds: 2, bulkItems: { 0: 512, 50: 384 },
}

const SIZES = [32, 1_024, 1_048_576]
const IN_FLIGHT = [1, 64]
const VERSUS = ['raw-tcp', 'bare-libp2p']
const BESIDE = ['bare-libp2p', 'libp2p', 'unix']
const BULK = ['bare-libp2p', 'libp2p']
const DELAYS_MS = [0, 50]
const SMALL_BYTES = 32
/** What every system does before anything counts, so that its code is compiled. */
const WARM_UP = { bytes: 1_024, inFlight: 64 }
/** Bytes in flight above which a cell is heavy. */
const HEAVY_BYTES = 16 * 1024 * 1024

/** The processes of one system. */
interface Running {
  readonly name: string
  readonly workers: readonly Worker[]
  readonly addresses: Record<string, string>
}

const WORKER = new URL('worker.ts', import.meta.url)

async function startSystem(workshop: Workshop, name: string): Promise<Running> {
  const { roles } = SYSTEMS[name]!
  const workers: Worker[] = []
  const addresses: Record<string, string> = {}
  for (const role of roles) {
    const worker = workshop.start(WORKER, [name, role], `${name} ${role}`)
    workers.push(worker)
    addresses[role] = await worker.ask<string>('start', {
      system: name, role, folder: join(workshop.folder, name, role), addresses,
    })
  }
  return { name, workers, addresses }
}

const clientOf = ({ workers }: Running): Worker => workers.at(-1)!

async function cpuMicroseconds({ workers }: Running): Promise<number> {
  const each = await Promise.all(workers.map((worker) => worker.ask<number>('cpu')))
  return each.reduce((sum, one) => sum + one, 0)
}

/** Values of all rounds, by what is measured. */
class Book {
  readonly #values = new Map<string, { readonly line: Line, readonly values: number[] }>()

  /** Notes one round's value. */
  note(line: Omit<Line, 'bench' | 'value' | 'versus' | 'ratio'>, value: number): void {
    const full: Line = { bench: 'rpc', ...line, value: 0 }
    const key = JSON.stringify(full)
    const entry = this.#values.get(key)
    if (entry === undefined) this.#values.set(key, { line: full, values: [value] })
    else entry.values.push(value)
  }

  /** Medians, a line for each system that one is held against. */
  lines(): Line[] {
    const valueOf = (line: Line): number | undefined => {
      const entry = this.#values.get(JSON.stringify(line))
      return entry === undefined ? undefined : median(entry.values)
    }
    const order = Object.keys(SYSTEMS)
    const entries = [...this.#values.values()]
      .sort((a, b) => order.indexOf(a.line.system) - order.indexOf(b.line.system))
    return entries.flatMap(({ line, values }): Line[] => {
      const value = median(values)
      const held = VERSUS.filter((versus) => versus !== line.system).flatMap((versus) => {
        const quotient = ratio(value, valueOf({ ...line, system: versus }))
        return quotient === undefined ? [] : [{ ...line, value: rounded(value), versus, ratio: rounded(quotient) }]
      })
      // The plain socket is what all are held against; it is held against nothing.
      return held.length === 0 || line.system === VERSUS[0] ? [{ ...line, value: rounded(value) }] : held
    })
  }
}

/** @returns how many rounds there was time for; at least one. */
async function measureCalls(systems: readonly Running[], book: Book, plan: Plan): Promise<number> {
  const untilMs = performance.now() + plan.budgetMs
  for (const system of systems) await clientOf(system).ask('drive', { ...WARM_UP, forMs: plan.warmUpMs })
  for (let round = 1; round <= plan.rounds; round++) {
    if (round > 1 && performance.now() > untilMs) return round - 1
    // There and back, so that what a machine does over time is shared out evenly.
    const order = round % 2 === 0 ? systems : [...systems].reverse()
    for (const bytes of SIZES) {
      for (const inFlight of IN_FLIGHT) {
        const heavy = bytes * inFlight >= HEAVY_BYTES
        if (heavy && round > plan.heavyRounds) continue
        for (const system of order) {
          if (!SYSTEMS[system.name]!.sizes.includes(bytes)) continue
          await measureCell(system, { bytes, inFlight, forMs: plan.forMs }, book)
        }
      }
    }
  }
  return plan.rounds
}

async function measureCell(system: Running, wanted: Wanted, book: Book): Promise<void> {
  const before = await cpuMicroseconds(system)
  const seen = await clientOf(system).ask<Seen>('drive', wanted)
  const cpu = await cpuMicroseconds(system) - before
  const cell = { system: system.name, bytes: wanted.bytes, inFlight: wanted.inFlight }
  book.note({ ...cell, metric: 'rate', unit: '1/s' }, seen.calls / seen.elapsedMs * 1e3)
  book.note({ ...cell, metric: 'p50', unit: 'ms' }, seen.p50)
  book.note({ ...cell, metric: 'p99', unit: 'ms' }, seen.p99)
  book.note({ ...cell, metric: 'cpuPerCall', unit: 'us' }, cpu / seen.calls)
}

async function measureBeside(systems: readonly Running[], book: Book, plan: Plan): Promise<void> {
  for (let round = 0; round < plan.bulkRounds; round++) {
    for (const system of systems.filter(({ name }) => BESIDE.includes(name))) {
      for (const upload of [false, true]) {
        const seen = await clientOf(system).ask<BesideSeen>('beside',
          { bytes: SMALL_BYTES, forMs: plan.besideMs, upload })
        const cell = { system: system.name, bytes: SMALL_BYTES, inFlight: 1, unit: 'ms' }
        const metric = upload ? 'smallBesideBulk' : 'smallIdle'
        book.note({ ...cell, metric: `${metric}P50` }, seen.p50)
        book.note({ ...cell, metric: `${metric}P99` }, seen.p99)
        if (upload) book.note({ system: system.name, metric: 'bulkBesideSmallRate', unit: 'MB/s' }, seen.uploadRate)
      }
    }
  }
}

/** A second client of `system`, whose way to the server is longer. */
async function startDelayed(workshop: Workshop, system: Running, delayMs: number): Promise<Worker> {
  const { name, addresses } = system
  const port = Number(/\/tcp\/(\d+)/.exec(addresses['server']!)?.[1])
  const proxy = workshop.start(WORKER, ['proxy'], `proxy of ${name}`)
  const near = await proxy.ask<number>('proxy', { port, delayMs: delayMs / 2 })
  const client = workshop.start(WORKER, [name, 'delayed'], `${name} delayed client`)
  await client.ask('start', {
    system: name, role: 'client', folder: join(workshop.folder, name, `delayed-${delayMs}`),
    addresses: { ...addresses, server: addresses['server']!.replace(`/tcp/${port}`, `/tcp/${near}`) },
  })
  return client
}

async function measureBulk(
  workshop: Workshop, systems: readonly Running[], book: Book, plan: Plan,
): Promise<void> {
  for (const delayMs of DELAYS_MS) {
    const clients = new Map<string, Worker>()
    for (const system of systems.filter(({ name }) => BULK.includes(name))) {
      clients.set(system.name, delayMs === 0 ? clientOf(system) : await startDelayed(workshop, system, delayMs))
    }
    for (let round = 0; round < plan.bulkRounds; round++) {
      for (const [system, client] of clients) {
        const rate = await client.ask<number>('pour', { items: plan.bulkItems[delayMs] })
        book.note({ system, delayMs, metric: 'bulkRate', unit: 'MB/s' }, rate)
      }
    }
  }
}

/** Runs it. */
export const rpc: Bench = async ({ json, quick, signal }) => {
  const plan = quick ? QUICK : FULL
  const book = new Book()
  const rounds = await inWorkshop(signal, async (workshop) => {
    const systems = await Promise.all(Object.keys(SYSTEMS).map((name) => startSystem(workshop, name)))
    const done = await measureCalls(systems, book, plan)
    await measureBeside(systems, book, plan)
    await measureBulk(workshop, systems, book, plan)
    return done
  })
  const lines = book.lines()
  if (json) printJson(lines)
  else printReport(lines, { ...plan, rounds })
}

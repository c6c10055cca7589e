/**
 * `npm run bench -- <name> [--json] [--quick]`: measures on this machine, and prints each value beside what it
 * is held against.
 */
import { parseArgs } from 'node:util'
import type { Bench } from './bench.ts'

/** Every bench by its name; one is loaded when it is asked for. */
const BENCHES: Readonly<Record<string, { readonly about: string, load(): Promise<Bench> }>> = {
  rpc: {
    about: 'calls over our links beside a raw socket and a bare libp2p stream',
    load: async () => (await import('./rpc/index.ts')).rpc,
  },
  overlay: {
    about: 'the ring in simulation: hops, stretch, loss, bytes, time to ready and to heal',
    load: async () => (await import('./overlay.ts')).run,
  },
}

function usage(): string {
  const names = Object.entries(BENCHES).map(([name, { about }]) => `  ${name.padEnd(12)}${about}`)
  return [
    'usage: npm run bench -- <name> [--json] [--quick | --full]', '', ...names, '',
    '  --json      one JSON object a line',
    '  --quick     fewer and shorter rounds; ends within a minute',
    '  --full      what takes many minutes, where a bench has that', '',
  ].join('\n')
}

/** What the command line asks for, or a sentence on what is wrong with it. */
function parse(args: string[]): { name: string, json: boolean, quick: boolean, full: boolean } | string {
  try {
    const { values, positionals } = parseArgs({
      args, allowPositionals: true,
      options: { json: { type: 'boolean' }, quick: { type: 'boolean' }, full: { type: 'boolean' } },
    })
    const [name, ...rest] = positionals
    if (name === undefined) return 'name a bench'
    if (!Object.hasOwn(BENCHES, name)) return `there is no bench '${name}'`
    if (rest.length > 0) return `one bench at a time, not '${positionals.join(' ')}'`
    return { name, json: values.json === true, quick: values.quick === true, full: values.full === true }
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

async function main(): Promise<number> {
  const wanted = parse(process.argv.slice(2))
  if (typeof wanted === 'string') {
    process.stderr.write(`bench: ${wanted}\n\n${usage()}`)
    return 2
  }
  const { name, json, quick, full } = wanted
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => stop.abort(new Error(`ended by ${signal}`)))
  }
  const bench = await BENCHES[name]!.load()
  try {
    await bench({ json, quick, full, signal: stop.signal })
    return 0
  } catch (error) {
    process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`)
    return stop.signal.aborted ? 130 : 1
  }
}

process.exitCode = await main()

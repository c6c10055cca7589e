/** `npm run sim -- --seed 7 --scenario partition`: tells a story and prints the trace around the first broken rule. */
import { parseArgs } from 'node:util'
import { SCENARIOS } from './scenarios.ts'
import type { Setting, Stage } from './scenarios.ts'
import type { Violation } from './oracle.ts'
import { World, name } from './world.ts'

/** Virtual time before and after the fault that is printed, and lines at most. */
const BEFORE_MS = 15_000
const AFTER_MS = 1_000
const LINES_MAX = 300

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    scenario: { type: 'string', default: 'churn' },
    nodes: { type: 'string', default: '60' },
    minutes: { type: 'string' },
    crooks: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
})
const scenario = SCENARIOS[values.scenario]
if (values.help || scenario === undefined) {
  console.log('npm run sim -- --scenario <name> --seed <n> --nodes <n> --minutes <n> --crooks <share>\n'
    + `scenarios: ${Object.keys(SCENARIOS).join(', ')}`)
  process.exit(values.help ? 0 : 2)
}
const setting: Setting = {
  seed: Number(values.seed), nodes: Number(values.nodes),
  ...(values.minutes === undefined ? {} : { minutes: Number(values.minutes) }),
  ...(values.crooks === undefined ? {} : { crooks: Number(values.crooks) }),
}
const stage = scenario(setting)
const first = stage.oracle.violations[0]
report(stage)
if (first !== undefined) {
  console.log(`\nbroken: ${stage.oracle.violations.length} times.`
    + ` First: ${first.rule} at ${Math.round(first.atMs)} ms: ${first.text}`)
  traceAround(first)
  process.exitCode = 1
}

function report({ world, oracle, lookups, figures }: Stage): void {
  console.log(`${values.scenario}, seed ${setting.seed}: ${world.events} events,`
    + ` ${Math.round(world.nowMs / 1_000)} virtual s, trace ${world.traceHash}`)
  console.log(`nodes up ${oracle.ring().length}, not ready ${oracle.notReady().length},`
    + ` wrong leaf sets ${oracle.wrongLeafSets().length}`)
  console.log(`lookups ${lookups.issued}: answered ${lookups.answered}, failed ${lookups.failed},`
    + ` abandoned ${lookups.abandoned}, crooks' keys ${lookups.crooked},`
    + ` wrong roots ${oracle.wrongRoots}, lies believed ${oracle.liesBelieved}`)
  console.log(`hops ${(lookups.hops / Math.max(1, lookups.answered)).toFixed(2)}, at most ${lookups.hopsMax},`
    + ` stretch ${(lookups.pathMs / lookups.directMs).toFixed(2)}, p50 ${Math.round(lookups.timeMs(0.5))} ms,`
    + ` p99 ${Math.round(lookups.timeMs(0.99))} ms`)
  for (const [what, value] of Object.entries(figures)) console.log(`${what} ${Math.round(value)}`)
  console.log(`dropped ${JSON.stringify(Object.fromEntries(world.dropped))}`)
}

/** Tells the story again, the same to the last event, and writes down what those concerned did around the fault. */
function traceAround(violation: Violation): void {
  const names = new Set(violation.text.match(/n\d+\(\w+\)/g) ?? [])
  const lines: string[] = []
  const [fromMs, toMs] = [violation.atMs - BEFORE_MS, violation.atMs + AFTER_MS]
  World.onNote = (atMs, text) => {
    if (atMs < fromMs || atMs > toMs) return
    const line = text()
    if ([...names].some((one) => line.includes(one))) {
      lines.push(`${(atMs - violation.atMs).toFixed(1).padStart(10)} ${line}`)
    }
  }
  const again = scenario!(setting)
  World.onNote = undefined
  console.log(`\nwhat they did, in ms from the fault (of ${lines.length} lines the last ${LINES_MAX}):`)
  console.log(lines.slice(-LINES_MAX).join('\n'))
  for (const node of again.world.nodes.filter((one) => names.has(name(one)))) {
    console.log(`\n${name(node)} in the end:\n  ${node.machine.view(again.world.clock(node)).leases.join('\n  ')}`)
  }
}

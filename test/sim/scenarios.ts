/** The stories that the simulator can tell, each a fault of the network or its machines, and what must hold in it. */
import { Oracle } from './oracle.ts'
import { Churn, Lookups, bootstraps, exponential, grow, weibull } from './load.ts'
import { makeCrook } from './crooks.ts'
import type { Crookery } from './crooks.ts'
import { World } from './world.ts'
import type { WorldOptions } from './world.ts'

/** A world with those who watch it. */
export interface Stage {
  readonly world: World
  readonly oracle: Oracle
  readonly lookups: Lookups
  /** What a scenario found out, by name. */
  readonly figures: Record<string, number>
}

/** What a scenario is told. */
export interface Setting {
  readonly seed: number
  readonly nodes: number
  readonly options?: Partial<WorldOptions>
  /** Share of the nodes that do not play by the rules, in the stories about those. Default 0.2. */
  readonly crooks?: number
  /** Virtual minutes that the main part lasts. */
  readonly minutes?: number
}

/** A story; it returns the stage for whoever asks further questions. */
export type Scenario = (setting: Setting) => Stage

/** Virtual time in which a ring must be whole again after something happened to it. */
const HEAL_MS = 300_000

/** A world with an oracle that samples owners every second. */
export function makeStage(setting: Setting): Stage {
  const world = new World({ seed: setting.seed, ...setting.options })
  const oracle = new Oracle(world)
  const sample = (): void => {
    oracle.sample(4)
    world.at(world.nowMs + 1_000, sample)
  }
  world.at(0, sample)
  return { world, oracle, lookups: new Lookups(world), figures: {} }
}

/** The stage with all its nodes on one ring, tuned for a while. */
export function settled(setting: Setting): Stage {
  const stage = makeStage(setting)
  grow(stage.world, setting.nodes, () => stage.oracle.isOneRing())
  stage.world.run(90_000)
  return stage
}

/** Looks up for some minutes, then waits for the last answers. */
export function lookFor(stage: Stage, minutes: number, perNodeAndSecond = 0.05): Stage {
  const count = stage.oracle.ring().length
  stage.lookups.start(perNodeAndSecond * count)
  stage.world.run(minutes * 60_000)
  stage.lookups.stop()
  stage.world.run(35_000)
  stage.lookups.close()
  return stage
}

/** Waits until there is one ring, then until all leaf sets are right; notes how long each took. */
export function heal(stage: Stage, withinMs = HEAL_MS): Stage {
  const { world, oracle, figures } = stage
  const sinceMs = world.nowMs
  world.runUntil(() => oracle.isOneRing(), withinMs)
  figures['healMs'] = world.nowMs - sinceMs
  oracle.isMerging = false
  world.runUntil(() => oracle.wrongLeafSets().length === 0, withinMs)
  figures['leafSetsMs'] = world.nowMs - sinceMs
  return stage
}

/** After the story: everybody rests, and all must be as it should. */
export function rest(stage: Stage, ms = 120_000): Stage {
  stage.world.run(ms)
  stage.oracle.checkRest()
  return stage
}

function withFaults(setting: Setting, faults: WorldOptions['faults']): Setting {
  return { ...setting, options: { ...setting.options, faults: { ...setting.options?.faults, ...faults } } }
}

function churning(session: ReturnType<typeof exponential>): Scenario {
  return (setting) => {
    const stage = settled(setting)
    const churn = new Churn(stage.world, session)
    lookFor(stage, setting.minutes ?? 5)
    churn.stop()
    stage.figures['deaths'] = churn.deaths
    // A world in which messages get lost is never quite at rest.
    stage.world.faults = { ...stage.world.faults, lossShare: 0 }
    return rest(heal(stage))
  }
}

/** Some nodes, chosen by the world's chance. */
function some(stage: Stage, share: number): World['nodes'] {
  return stage.world.nodes.filter((node) => node.isUp && stage.world.random.next() < share)
}

function crooked(kind: Crookery): Scenario {
  return (setting) => {
    const stage = settled(setting)
    for (const node of some(stage, setting.crooks ?? 0.2)) {
      stage.oracle.crooks.add(node)
      makeCrook(stage.world, node, kind)
    }
    stage.lookups.isCrooked = (key) => stage.oracle.isCrooked(key)
    lookFor(stage, setting.minutes ?? 3)
    stage.oracle.checkBounds()
    return stage
  }
}

/** All stories by name. */
export const SCENARIOS: Readonly<Record<string, Scenario>> = {
  calm: (setting) => rest(lookFor(settled(setting), setting.minutes ?? 3)),
  churn: churning(exponential(5)),
  'churn-1.4': churning(exponential(1.4)),
  'churn-20': churning(exponential(20)),
  'churn-60': churning(exponential(60)),
  weibull: churning(weibull(10, 0.5)),
  loss: (setting) => churning(exponential(20))(withFaults(setting, { lossShare: 0.05 })),
  weather: (setting) => rest(lookFor(settled(withFaults(setting, {
    lossShare: 0.02, duplicateShare: 0.02, spikeShare: 0.02, jitterShare: 0.5,
  })), setting.minutes ?? 3)),
  drift: (setting) => rest(lookFor(settled(
    { ...setting, options: { ...setting.options, driftShare: 0.004 } }), setting.minutes ?? 3)),
  flash: (setting) => {
    const stage = settled(setting)
    for (let left = setting.nodes; left > 0; left--) {
      stage.world.at(stage.world.nowMs + stage.world.random.next() * 1_000, () => {
        stage.world.add(bootstraps(stage.world))
      })
    }
    stage.world.run(1_000)
    return rest(lookFor(heal(stage, 2 * HEAL_MS), 1))
  },
  half: (setting) => {
    const stage = settled(setting)
    for (const node of some(stage, 0.5)) stage.world.kill(node)
    return rest(lookFor(heal(stage), 1))
  },
  partition: (setting) => {
    const stage = settled(setting)
    const { world, oracle } = stage
    world.divide((node) => node.index % 3 === 0 ? 1 : 0)
    heal(stage)
    oracle.checkRest()
    lookFor(stage, 1)
    oracle.isMerging = true
    world.divide(() => 0)
    return rest(lookFor(heal(stage, 2 * HEAL_MS), 1))
  },
  frozen: (setting) => {
    const stage = settled(setting)
    for (const node of some(stage, 0.15)) stage.world.freeze(node, 5_000 + stage.world.random.next() * 40_000)
    lookFor(stage, 1)
    return rest(heal(stage))
  },
  suspended: (setting) => {
    const stage = settled(setting)
    for (const node of some(stage, 0.15)) stage.world.suspend(node, 5_000 + stage.world.random.next() * 90_000)
    lookFor(stage, 2)
    return rest(heal(stage))
  },
  leaving: (setting) => {
    const stage = settled(setting)
    for (const node of some(stage, 0.3)) {
      stage.world.at(stage.world.nowMs + stage.world.random.next() * 60_000, () => { stage.world.leave(node) })
    }
    lookFor(stage, 1)
    return rest(heal(stage))
  },
  deaf: (setting) => lookFor(settledDeaf(withFaults(setting, { deafPairsShare: 0.018, oneWayPairsShare: 0.005 })), 2),
  drop: crooked('drop'),
  misroute: crooked('misroute'),
  'false-root': crooked('falseRoot'),
}

/** With pairs that cannot hear each other some neighbours never lease: it is enough that nobody clashes. */
function settledDeaf(setting: Setting): Stage {
  const stage = makeStage(setting)
  grow(stage.world, setting.nodes, () => stage.oracle.isOneRing(), 120_000)
  return stage
}

/** The overlay's rules under every fault that the simulator knows; each test is silent and replayable by its seed. */
import assert from 'node:assert/strict'
import { SCENARIOS, heal, makeStage, settled } from './scenarios.ts'
import type { Setting, Stage } from './scenarios.ts'
import { Lookups, bootstraps, grow } from './load.ts'

function tell(name: string, setting: Setting): Stage {
  const stage = SCENARIOS[name]!(setting)
  const [first] = stage.oracle.violations
  assert.equal(first, undefined,
    `replay it with npm run sim -- --scenario ${name} --seed ${setting.seed} --nodes ${setting.nodes}`)
  return stage
}

describe('the overlay in simulation', function () {
  this.timeout(120_000)

  it('finds the owner of every key on a calm ring, within three hops at 60 nodes (seed 1)', () => {
    const { lookups } = tell('calm', { seed: 1, nodes: 60, options: { wire: true } })
    assert.equal(lookups.failed, 0)
    assert.ok(lookups.hopsMax <= 3, `${lookups.hopsMax} hops`)
  })

  it('has one owner per key and right leaf sets through churn with 5-minute sessions (seed 2)', () => {
    const { lookups, oracle } = tell('churn', { seed: 2, nodes: 60 })
    assert.equal(oracle.wrongRoots, 0)
    assert.ok(lookups.success >= 0.99, `success ${lookups.success}`)
  })

  it('has one owner per key through churn with 1.4-minute sessions (seeds 3 and 4)', () => {
    for (const seed of [3, 4]) {
      const { lookups, oracle } = tell('churn-1.4', { seed, nodes: 60, minutes: 3 })
      assert.equal(oracle.wrongRoots, 0)
      assert.ok(lookups.success >= 0.99, `success ${lookups.success}`)
    }
  })

  it('has one owner per key when many sessions are short and some very long (Weibull, seed 5)', () => {
    tell('weibull', { seed: 5, nodes: 60, minutes: 3 })
  })

  it('has one owner per key when 5 % of all messages are lost (seed 6)', () => {
    const { lookups } = tell('loss', { seed: 6, nodes: 60, minutes: 3 })
    assert.ok(lookups.success >= 0.99, `success ${lookups.success}`)
  })

  it('keeps its rules when messages are lost, doubled, late and overtaken (seed 7)', () => {
    tell('weather', { seed: 7, nodes: 40 })
  })

  it('keeps its rules when clocks drift by up to 4 in 1,000 (seed 8)', () => {
    tell('drift', { seed: 8, nodes: 40 })
  })

  it('grows from 40 nodes to 80 that join within a second (seed 9)', () => {
    tell('flash', { seed: 9, nodes: 40 })
  })

  it('is whole again after half of its nodes died at once (seed 10)', () => {
    tell('half', { seed: 10, nodes: 80 })
  })

  it('becomes one ring again after a partition, in which each side had been one (seed 11)', () => {
    tell('partition', { seed: 11, nodes: 60 })
  })

  it('has one owner per key while processes stand still for up to 45 s (seed 12)', () => {
    tell('frozen', { seed: 12, nodes: 40 })
  })

  it('has one owner per key while machines sleep for up to 95 s (seed 13)', () => {
    tell('suspended', { seed: 13, nodes: 40 })
  })

  it('is whole after a third of its nodes left in good order (seed 14)', () => {
    tell('leaving', { seed: 14, nodes: 40 })
  })

  it('has one owner per key where 2.3 % of the pairs cannot hear each other (seed 15)', () => {
    tell('deaf', { seed: 15, nodes: 40 })
  })

  it('believes in no node that does not exist, whatever a fifth of the nodes do to lookups (seed 16)', () => {
    for (const kind of ['drop', 'misroute', 'false-root']) {
      const { lookups, oracle } = tell(kind, { seed: 16, nodes: 60, minutes: 1 })
      assert.deepEqual(oracle.ghosts(), [])
      assert.ok(lookups.success > 0.95, `${kind}: success ${lookups.success} for keys of honest nodes`)
    }
  })

  it('tells the same story twice from one seed, and another from another', () => {
    const hashes = [21, 21, 22].map((seed) => SCENARIOS['churn']!({ seed, nodes: 20, minutes: 1 }).world.traceHash)
    assert.equal(hashes[0], hashes[1])
    assert.notEqual(hashes[0], hashes[2])
  })

  it('is caught when joiners are let in without leases and more than one at a time', () => {
    const rules = new Set<string>()
    for (const seed of [31, 32, 33]) {
      const stage = makeStage({ seed, nodes: 30, options: { config: { safeJoin: false } } })
      const lookups = new Lookups(stage.world)
      lookups.start(20)
      grow(stage.world, 30, () => false, 1_000)
      for (let left = 30; left > 0; left--) stage.world.add(bootstraps(stage.world))
      stage.world.run(60_000)
      for (const { rule } of stage.oracle.violations) rules.add(rule)
    }
    assert.ok(rules.has('owner') || rules.has('delivery'), [...rules].join())
  })
})

describe('a ring that begins', function () {
  this.timeout(60_000)

  it('is ready at once with one node', () => {
    const { world, oracle } = makeStage({ seed: 1, nodes: 1 })
    world.add([])
    assert.ok(oracle.isOneRing())
  })

  it('is ready within 5 s with two nodes', () => {
    const { world, oracle } = makeStage({ seed: 1, nodes: 2 })
    world.add([world.add([])])
    assert.ok(world.runUntil(() => oracle.isOneRing(), 5_000))
  })

  it('is ready alone within two minutes when its bootstrap is dead', () => {
    const { world, oracle } = makeStage({ seed: 2, nodes: 2 })
    const dead = world.add(undefined)
    world.kill(dead)
    world.add([dead])
    assert.ok(world.runUntil(() => oracle.isOneRing(), 120_000))
  })

  it('is one ring when two nodes that know only each other start together', () => {
    const { world, oracle } = makeStage({ seed: 3, nodes: 2 })
    const [a, b] = [world.add(undefined), world.add(undefined)]
    world.command(a, { kind: 'start', bootstraps: [b.ref] })
    world.command(b, { kind: 'start', bootstraps: [a.ref] })
    assert.ok(world.runUntil(() => oracle.isOneRing(), 60_000))
    assert.equal(oracle.ring().length, 2)
  })

  it('is ready again after all leaves of a node died, once their leases are over', () => {
    const { world, oracle } = settled({ seed: 4, nodes: 5 })
    for (const node of world.nodes.slice(1)) world.kill(node)
    assert.ok(world.runUntil(() => oracle.isOneRing(), 60_000))
    assert.equal(oracle.violations.length, 0)
  })

  it('merges two rings when a newcomer knows a node of each', () => {
    const stage = makeStage({ seed: 5, nodes: 12 })
    const { world, oracle } = stage
    oracle.isMerging = true
    const founders = [world.add([]), world.add([])]
    for (let index = 0; index < 10; index++) world.add([founders[index % 2]!])
    world.run(60_000)
    world.add(founders)
    heal(stage)
    assert.ok(oracle.isOneRing())
    assert.equal(oracle.ring().length, 13)
  })
})

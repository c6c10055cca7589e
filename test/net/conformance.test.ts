/** One scenario twice: machines in the simulator, and the same nodes over TCP and Noise. Both must end alike. */
import assert from 'node:assert/strict'
import { keyOf, type Key, type OverlayId } from '../../protocols/ids.ts'
import type { PastryConfig } from '../../protocols/pastry/config.ts'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { placeOf } from '../../node/overlay/pastry-peers.ts'
import { Oracle } from '../sim/oracle.ts'
import { World, type SimNode } from '../sim/world.ts'
import {
  addressesOf, keyFromSeed, kill, NETWORK, plainNode, QUICK, stopAll, until, type PlainNode,
} from './pastry-nodes.ts'

const SEED = 7
const COUNT = 20
/** Small leaf sets, so that messages have to be routed among as few as 20 nodes. */
const CONFIG: Partial<PastryConfig> = { ...QUICK, leafSetCountMax: 8 }
/** The simulated machines are spread over the globe: a dial takes up to 2 s there, and a few milliseconds here. */
const FAR_APART: Partial<PastryConfig> = { ...CONFIG, coldTimeoutMs: 3_000, rttGuessMs: 500 }
/** What happens, in this order; nodes are numbered by when they join, each through the node before it. */
const KILLED = 3
const LEAVING = 11
const KEYS = Array.from({ length: 40 }, (_key, at) => keyOf('topic', `conformance-${SEED}-${at}`))

/** A ring's state as everybody on it sees it. */
interface Outcome {
  /** By node: its leaves to the left, then those to the right. */
  readonly leafSets: ReadonlyMap<OverlayId, string>
  readonly owners: readonly OverlayId[]
}

const leafSet = (view: { left: readonly { id: string }[], right: readonly { id: string }[] }): string =>
  `${view.left.map(({ id }) => id).join()} | ${view.right.map(({ id }) => id).join()}`

function simulate(ids: readonly OverlayId[]): Outcome {
  const world = new World({ seed: SEED, config: FAR_APART, wire: true })
  const oracle = new Oracle(world)
  const settle = (): void => {
    const isDone = (): boolean => oracle.notReady().length === 0
      && oracle.wrongLeafSets(CONFIG.leafSetCountMax! / 2).length === 0
    assert.ok(world.runUntil(isDone, 300_000), `the simulated ring does not come to rest (seed ${SEED})`)
  }
  const nodes: SimNode[] = []
  for (const id of ids) {
    const last = nodes.at(-1)
    nodes.push(world.add(last === undefined ? [] : [last], id))
    assert.ok(world.runUntil(() => nodes.at(-1)!.readyMs >= 0, 60_000))
  }
  settle()
  world.kill(nodes[KILLED]!)
  world.leave(nodes[LEAVING]!)
  settle()
  const alive = nodes.filter(({ isUp }) => isUp)
  const owners = new Map<Key, OverlayId>()
  world.watchers.push({
    event: (_node, event) => { if (event.kind === 'answered') owners.set(event.key, event.root.id) },
  })
  KEYS.forEach((key, at) => { world.command(alive[at % alive.length]!, { kind: 'lookup', id: at + 1, key }) })
  assert.ok(world.runUntil(() => owners.size === KEYS.length, 60_000))
  assert.deepEqual(oracle.violations, [])
  return {
    leafSets: new Map(alive.map(({ ref, machine }) => [ref.id, leafSet(machine.view(world.nowMs))])),
    owners: KEYS.map((key) => owners.get(key)!),
  }
}

describe('net/conformance', function () {
  this.timeout(90_000)
  let nodes: PlainNode[] = []
  after(async () => { await stopAll(nodes) })

  it(`20 real nodes end with the simulator's leaf sets and owners (seed ${SEED})`, async () => {
    const keys = await Promise.all(Array.from({ length: COUNT }, (_key, at) => keyFromSeed(`${SEED}:${at}`)))
    const simulated = simulate(keys.map((key) => placeOf(NETWORK, peerIdFromPrivateKey(key))))

    for (const key of keys) {
      const last = nodes.at(-1)
      const node = await plainNode({ config: CONFIG, bootstraps: last === undefined ? [] : addressesOf(last) }, key)
      nodes.push(node)
      await until([node], () => node.services.pastry.ring().state === 'ready')
    }
    const [killed, leaving] = [nodes[KILLED]!, nodes[LEAVING]!]
    await Promise.all([kill(killed), leaving.stop()])
    nodes = nodes.filter((node) => node !== killed && node !== leaving)

    const isAlike = (node: PlainNode): boolean =>
      leafSet(node.services.pastry.ring()) === simulated.leafSets.get(node.services.pastry.id)
    await until(nodes, () => nodes.every((node) => node.services.pastry.ring().isLeased && isAlike(node)))
    const owners = await Promise.all(KEYS.map(async (key, at) =>
      (await nodes[at % nodes.length]!.services.pastry.lookup(key)).root.id))
    assert.deepEqual(owners, simulated.owners)
    assert.ok(new Set(owners).size > 5, 'the keys are spread over the ring')
  })
})

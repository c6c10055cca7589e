/** Tests of the ring of ten real nodes: seen and routed through from each of them by the built-in app. */
import assert from 'node:assert/strict'
import { setTimeout as pause } from 'node:timers/promises'
import { keyOf } from '../../protocols/ids.ts'
import { testWarren, type TestWarren } from '../../node/testing.ts'
import type { EmbeddedNode } from '../../node/embed.ts'
import type { PathInfo } from '../../node/overlay/pastry-path.ts'
import type { RingInfo } from '../../node/overlay/pastry-ring.ts'

const COUNT = 10

const ringOf = async (node: EmbeddedNode): Promise<RingInfo> => await node.call<RingInfo>('node.ring', {})
const leavesOf = ({ left, right }: RingInfo): string[] =>
  [...new Set([...left, ...right].map(({ peerId }) => peerId))].sort()

/** Asks until these nodes are one ring: over a socket nobody tells that something has changed. */
async function whole(nodes: readonly EmbeddedNode[]): Promise<RingInfo[]> {
  for (;;) {
    const rings = await Promise.all(nodes.map(ringOf))
    if (rings.every((ring) => ring.isLeased && leavesOf(ring).length === nodes.length - 1)) return rings
    await pause(100)
  }
}

describe('net/ring: ten real nodes', function () {
  this.timeout(60_000)
  let warren: TestWarren
  before(async () => {
    warren = await testWarren(COUNT)
    await whole(warren.nodes)
  })
  after(async () => { await warren.stop() })

  it('each node sees all others in its leaf set, with their addresses, '
    + 'and none refused anything of weight', async () => {
    const rings = await Promise.all(warren.nodes.map(ringOf))
    const everybody = warren.nodes.map(({ peerId }) => peerId).sort()
    for (const ring of rings) {
      assert.deepEqual([...leavesOf(ring), ring.peerId].sort(), everybody)
      assert.equal(ring.state, 'ready')
      assert.ok(ring.right.every(({ addresses }) => addresses.length > 0))
      for (const reason of ['falseId', 'oversized', 'flood', 'invariantBroken']) {
        assert.equal(ring.refused[reason], undefined)
      }
    }
  })

  it('routes from each node end at the same owner, and name the nodes on the way', async () => {
    const key = keyOf('app', 'echo')
    const ways = await Promise.all(warren.nodes.map((node) => node.call<PathInfo>('node.route', { key: 'app:echo' })))
    assert.equal(new Set(ways.map(({ owner }) => owner.peerId)).size, 1)
    for (const [at, way] of ways.entries()) {
      assert.equal(way.key, key)
      assert.equal(way.path[0]!.peerId, warren.nodes[at]!.peerId)
      assert.equal(way.path.at(-1)!.peerId, way.owner.peerId)
      assert.ok(way.owner.addresses.length > 0)
      assert.ok(way.path.length <= 2, 'up to 33 nodes are one hop apart')
    }
  })

  it('a PeerId and 32 hex digits are keys, too, and what is none is refused with what to type', async () => {
    const [first, second] = [warren.nodes[0]!, warren.nodes[1]!]
    const byPeer = await first.call<PathInfo>('node.route', { key: second.peerId })
    assert.equal(byPeer.owner.peerId, second.peerId)
    const byDigits = await first.call<PathInfo>('node.route', { key: byPeer.key })
    assert.equal(byDigits.owner.peerId, second.peerId)
    await assert.rejects(async () => await first.call('node.route', { key: 'echo' }),
      { name: 'BAD_ARGUMENT', message: /app:echo/ })
  })

  it('a node that stops is in no leaf set any more', async () => {
    const [stopped, ...others] = [...warren.nodes].reverse()
    await stopped!.stop()
    for (const ring of await whole(others)) assert.ok(!leavesOf(ring).includes(stopped!.peerId))
  })
})

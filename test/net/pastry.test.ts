/** Tests of the overlay as a libp2p service, over TCP and Noise, in programs that know nothing else of Warren. */
import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { KEEP_ALIVE, peerRoutingSymbol } from '@libp2p/interface'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import { isNearer, placed, type OverlayId } from '../../protocols/ids.ts'
import { contentKey } from '../../node/overlay/pastry-content.ts'
import { eventually } from './nodes.ts'
import {
  addressesOf, isWhole, kill, leavesOf, plainNode, plainRing, QUICK, stopAll, until, whole, type PlainNode,
} from './pastry-nodes.ts'

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = []
  for await (const item of items) list.push(item)
  return list
}
const cidOf = async (text: string): Promise<CID> =>
  CID.createV1(0x55, await sha256.digest(new TextEncoder().encode(text)))

describe('net/pastry: a libp2p service', function () {
  this.timeout(40_000)
  let nodes: PlainNode[] = []
  before(async () => {
    nodes = await plainRing(5)
    await whole(nodes)
  })
  after(async () => { await stopAll(nodes) })

  it('every node has all others for leaves and holds its leases', () => {
    assert.ok(isWhole(nodes))
    assert.deepEqual(nodes.map((node) => leavesOf(node).length), [4, 4, 4, 4, 4])
  })

  it('finds each peer from each node, with the addresses where it listens', async () => {
    for (const from of nodes) {
      for (const to of nodes) {
        const { id, multiaddrs } = await from.services.pastry[peerRoutingSymbol].findPeer(to.peerId)
        assert.ok(id.equals(to.peerId))
        assert.deepEqual(multiaddrs.map((address) => `${address.toString()}/p2p/${id.toString()}`), addressesOf(to))
      }
    }
  })

  it('says that a peer is not there which is in no ring', async () => {
    const stranger = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
    await assert.rejects(nodes[1]!.peerRouting.findPeer(stranger), { name: 'NotFoundError' })
  })

  it('gives the closest peers of a key, nearest first, the same from every node', async () => {
    const { bytes } = nodes[3]!.peerId.toMultihash()
    const target = placed(nodes[3]!.services.pastry.id)
    const expected = [...nodes].map((node) => ({ node, place: placed<OverlayId>(node.services.pastry.id) }))
      .sort((a, b) => isNearer(target, a.place, b.place) ? -1 : 1).map(({ node }) => node.peerId.toString())
    for (const node of nodes) {
      const found = await collect(node.peerRouting.getClosestPeers(bytes))
      assert.deepEqual(found.map(({ id }) => id.toString()), expected)
      assert.ok(found.every(({ multiaddrs }) => multiaddrs.length > 0))
    }
  })

  it('finds the providers of a CID, with their addresses, until they withdraw', async () => {
    const cid = await cidOf('a song')
    await Promise.all([nodes[1]!.contentRouting.provide(cid), nodes[2]!.contentRouting.provide(cid)])
    const providers = async (from: PlainNode): Promise<string[]> => {
      const found = await collect(from.contentRouting.findProviders(cid))
      assert.ok(found.every(({ multiaddrs }) => multiaddrs.length > 0))
      return found.map(({ id }) => id.toString()).sort()
    }
    const both = [nodes[1]!, nodes[2]!].map(({ peerId }) => peerId.toString()).sort()
    for (const node of nodes) assert.deepEqual(await providers(node), both)
    await nodes[1]!.contentRouting.cancelReprovide(cid)
    for (const node of nodes) assert.deepEqual(await providers(node), [nodes[2]!.peerId.toString()])
  })

  it('tags its leaves in the peer store, so that libp2p keeps the connections', async () => {
    const [first, ...others] = nodes
    for (const { peerId } of others) {
      const tag = await eventually(async () => (await first!.peerStore.get(peerId)).tags.get(`${KEEP_ALIVE}-pastry`))
      assert.equal(tag.value, 50)
    }
  })

  it('traces the way to the owner of a key', async () => {
    const key = nodes[4]!.services.pastry.id as string as never
    const { root, trace } = await nodes[0]!.services.pastry.lookup(key, { trace: true })
    assert.equal(root.id, nodes[4]!.services.pastry.id)
    assert.deepEqual(trace.map(({ id }) => id), [nodes[4]!.services.pastry.id])
  })

  it('refuses parameters out of range before anything starts', async () => {
    await assert.rejects(async () => await plainNode({ config: { leaseMs: 1 } }), { name: 'BAD_CONFIG' })
    await assert.rejects(async () => await plainNode({ bootstraps: ['/ip4/127.0.0.1/tcp/1'] }), { name: 'BAD_CONFIG' })
  })
})

describe('net/pastry: nodes come and go', function () {
  this.timeout(60_000)
  let nodes: PlainNode[] = []
  afterEach(async () => {
    await stopAll(nodes)
    nodes = []
  })

  it('a node that is killed disappears from all leaf sets, and others own its keys', async () => {
    nodes = await plainRing(4)
    await whole(nodes)
    const dead = nodes.pop()!
    const key = dead.services.pastry.id as string as never
    await kill(dead)
    await whole(nodes)
    const owners = await Promise.all(nodes.map(async (node) => (await node.services.pastry.lookup(key)).root.id))
    assert.equal(new Set(owners).size, 1)
    assert.notEqual(owners[0], key)
  })

  it('a node that leaves in order is gone at once, and may come back', async () => {
    nodes = await plainRing(3)
    await whole(nodes)
    const [, , leaving] = nodes
    await leaving!.stop()
    await whole(nodes.slice(0, 2))
    await leaving!.start()
    await until(nodes, () => isWhole(nodes))
  })

  it('records outlive the node that owned their key', async () => {
    nodes = await plainRing(4)
    await whole(nodes)
    const provider = nodes[0]!
    let [cid, owner] = [await cidOf('kept'), provider]
    for (let at = 0; owner === provider; at++) {
      cid = await cidOf(`kept ${at}`)
      const { root } = await provider.services.pastry.lookup(contentKey(cid))
      owner = nodes.find((node) => node.services.pastry.id === root.id)!
    }
    await provider.contentRouting.provide(cid)
    nodes = nodes.filter((node) => node !== owner)
    await kill(owner)
    await whole(nodes)
    const found = await collect(nodes[1]!.contentRouting.findProviders(cid))
    assert.deepEqual(found.map(({ id }) => id.toString()), [provider.peerId.toString()])
  })

  it('two rings become one when a node of one connects to a node of the other', async () => {
    const [one, other] = await Promise.all([plainRing(2), plainRing(2)])
    nodes = [...one, ...other]
    await Promise.all([whole(one), whole(other)])
    await one[1]!.dial(other[1]!.getMultiaddrs())
    await whole(nodes)
  })

  it('a node whose bootstrap is dead is ready alone in the end, and joins the ring of whomever it meets', async () => {
    const gone = await plainNode()
    const bootstraps = addressesOf(gone)
    await gone.stop()
    const lonely = await plainNode({ bootstraps, config: { ...QUICK, aloneAfterMs: 1_500 } })
    nodes = [lonely, await plainNode()]
    await until([lonely], () => lonely.services.pastry.ring().isLeased)
    await lonely.dial(nodes[1]!.getMultiaddrs())
    await whole(nodes)
  })

  it('a node of another network is refused, and streams to leaves stay when they are silent', async () => {
    nodes = await plainRing(3, { idleMs: 100 })
    await whole(nodes)
    const outsider = await plainNode({ network: 'elsewhere' })
    nodes.push(outsider)
    const refusals = (node: PlainNode): number => node.services.pastry.ring().refused['otherNetwork'] ?? 0
    await outsider.dial(nodes[0]!.getMultiaddrs())
    await until(nodes, () => refusals(nodes[0]!) > 0 || refusals(outsider) > 0)
    assert.ok(isWhole(nodes.slice(0, 3)))
    assert.deepEqual(nodes.slice(0, 3).map((node) => node.services.pastry.ring().links), [2, 2, 2])
  })
})

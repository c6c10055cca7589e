/** Tests of peers that break the overlay's rules: each is refused by name and counted, and the ring stays whole. */
import assert from 'node:assert/strict'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { peerIdFromPrivateKey } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import type { Key } from '../../protocols/ids.ts'
import { encodeControl } from '../../protocols/pastry/control.ts'
import {
  encode, MESSAGE_BYTES_MAX, PASTRY_PROTOCOL, type NodeRef, type Route,
} from '../../protocols/pastry/messages.ts'
import { encodeRecords } from '../../protocols/pastry/records.ts'
import { refOf } from '../../node/overlay/pastry-peers.ts'
import {
  crookAt, isWhole, leavesOf, NETWORK, plainRing, stopAll, until, whole, type Crook, type PlainNode,
} from './pastry-nodes.ts'

/** A reference to nobody, whose id fits its key. */
async function ghost(): Promise<NodeRef> {
  const peer = peerIdFromPrivateKey(await generateKeyPair('Ed25519'))
  return refOf(NETWORK, peer, [multiaddr('/ip4/127.0.0.1/tcp/1')])
}

const route = (changes: Partial<Route>): Route => ({
  type: 'route', hop: 1, request: 1, key: 'a'.repeat(32) as Key, purpose: 'lookup', near: false, trace: false, hops: 0,
  deadlineMs: 5_000, payload: new Uint8Array(0), ...changes,
})

describe('net/pastry: peers that break the rules', function () {
  this.timeout(60_000)
  let nodes: PlainNode[] = []
  let victim: PlainNode
  const crooks: Crook[] = []
  const crook = async (hello = true): Promise<Crook> => {
    const made = await crookAt(victim)
    crooks.push(made)
    if (hello) made.hello()
    return made
  }
  const refusals = (reason: string): number => victim.services.pastry.ring().refused[reason] ?? 0
  const refused = async (reason: string, count = 1): Promise<void> => {
    await until([victim], () => refusals(reason) >= count)
  }
  before(async () => {
    nodes = await plainRing(3, { idleMs: 1_500 })
    victim = nodes[0]!
    await whole(nodes)
  })
  afterEach(() => { assert.ok(isWhole(nodes), 'the ring is not shaken') })
  after(async () => {
    await stopAll(crooks.map(({ host }) => host))
    await stopAll(nodes)
  })

  it('a message before hello ends the stream', async () => {
    const early = await crook(false)
    early.tell({ type: 'ping', nonce: 1, state: 'ready', rttMs: 0 })
    await refused('noHello')
    await early.ended
  })

  it('an id that is not the one of the proven key is refused', async () => {
    const liar = await crook(false)
    liar.hello({ ref: await ghost() })
    await refused('falseId')
    await liar.ended
    const thief = await crook(false)
    // Its own id with another node's key is no better.
    thief.hello({ ref: { id: thief.ref.id, contact: (await ghost()).contact } })
    await refused('falseId', 2)
  })

  it('another network is told from a false id', async () => {
    const stranger = await crook(false)
    stranger.hello({ network: 'elsewhere' })
    await refused('otherNetwork')
  })

  it('malformed messages end the stream, whatever is wrong with them', async () => {
    const ping = encode({ type: 'ping', nonce: 1, state: 'ready', rttMs: 0 })
    for (const [bytes, reason] of [
      [ping.subarray(0, 4), 'malformed.truncated'],
      [Uint8Array.of(...ping, 0), 'malformed.trailingBytes'],
      [Uint8Array.of(1, 99), 'malformed.unknownType'],
      [Uint8Array.of(9, 0), 'malformed.otherVersion'],
      [Uint8Array.of(1, 0x80, 1), 'malformed.control'],
      [new Uint8Array(0), 'malformed.otherVersion'],
    ] as const) {
      const before = refusals(reason)
      const clumsy = await crook()
      clumsy.say(bytes)
      await refused(reason, before + 1)
      await clumsy.ended
    }
  })

  it('a length above the maximum ends the stream before a byte of it is kept', async () => {
    const boaster = await crook()
    const length = new Uint8Array(4)
    new DataView(length.buffer).setUint32(0, MESSAGE_BYTES_MAX + 1)
    boaster.stream.send(length)
    await refused('oversized')
    await boaster.ended
  })

  it('a peer that was refused is not listened to for a while', async () => {
    const made = await crook()
    made.say(Uint8Array.of(1, 99))
    await made.ended
    const before = refusals('refusedLately')
    const again = await made.host.dialProtocol(victim.getMultiaddrs(), PASTRY_PROTOCOL)
    again.addEventListener('message', () => {})
    await refused('refusedLately', before + 1)
  })

  it('references whose ids do not fit their keys are not believed', async () => {
    const gossip = await crook()
    const [one, other] = [await ghost(), await ghost()]
    gossip.tell({ type: 'leafPush', state: 'ready', references: [one, { id: one.id, contact: other.contact }] })
    await refused('falseReference')
    await gossip.ended
  })

  it('leaf sets full of nodes that do not exist are found out', async () => {
    const dreamer = await crook()
    const ghosts = await Promise.all(Array.from({ length: 8 }, ghost))
    dreamer.tell({ type: 'leafPush', state: 'ok', references: ghosts })
    await refused('deadHint', 8)
    assert.ok(isWhole(nodes))
  })

  it('a message that comes twice is followed once', async () => {
    const parrot = await crook()
    let delivered = 0
    const off = victim.services.pastry.watch((event) => { if (event.kind === 'deliver') delivered++ })
    const own = route({
      key: victim.services.pastry.id as string as Key, hop: 7, request: 8, payload: Uint8Array.of(2),
    })
    for (let copies = 0; copies < 5; copies++) parrot.tell(own)
    // Answers to nothing that was asked are counted; they come after the copies on the same stream.
    for (let copies = 0; copies < 3; copies++) parrot.tell({ type: 'pong', nonce: 5, state: 'ok' })
    await refused('unexpectedPong', 3)
    off()
    assert.equal(delivered, 1)
  })

  it('a message that is no nearer to its key than its sender is not passed on', async () => {
    const lost = await crook()
    lost.tell(route({ key: lost.ref.id as string as Key, hops: 3, hop: 9 }))
    await refused('noProgress')
  })

  it('a flood of joins is cut, and its sender is not read for a while', async () => {
    const flooder = await crook()
    for (let at = 0; at < 400; at++) {
      flooder.tell(route({ purpose: 'join', joiner: flooder.ref, key: flooder.ref.id as string as Key, hop: 100 + at }))
    }
    await refused('flood')
  })

  it('somebody else cannot be joined', async () => {
    const puppeteer = await crook()
    const puppet = await ghost()
    puppeteer.tell(route({ purpose: 'join', joiner: puppet, key: puppet.id as string as Key, hop: 11 }))
    await refused('falseJoiner')
  })

  it('records that their provider did not sign are refused', async () => {
    const forger = await crook()
    const { contact } = await ghost()
    const record = {
      key: victim.services.pastry.id as string as Key, contact, sequence: Date.now(), ttlMs: 60_000,
      signature: new Uint8Array(64), remainingMs: 60_000,
    }
    forger.say(encodeControl({ type: 'records', bytes: encodeRecords([record]) }))
    await refused('record.forged')
    forger.say(encodeControl({ type: 'records', bytes: Uint8Array.of(1, 2, 3) }))
    await refused('malformed.records')
  })

  it('a peer that has nothing to say is let go', async () => {
    const bore = await crook()
    await bore.ended
  })
})

describe('net/pastry: a root without leases', function () {
  this.timeout(40_000)
  let nodes: PlainNode[] = []
  after(async () => { await stopAll(nodes) })

  it('is not believed; when it is gone the node that holds them answers', async () => {
    nodes = await plainRing(3)
    await whole(nodes)
    const [victim] = nodes
    const usurper = await crookAt(victim!)
    const key = usurper.ref.id as string as Key
    // It says that it is ready, and so gets into the leaf set, and then answers for what it does not own.
    usurper.listen((message) => {
      if (message.type === 'leafProbe') {
        const { nonce } = message
        usurper.tell({ type: 'leafReply', nonce, state: 'ready', wanted: 0, references: [], failed: [] })
      }
      if (message.type !== 'route') return
      usurper.tell({
        type: 'answer', hop: 1, re: message.hop, hops: 1, root: usurper.ref, left: usurper.ref.id,
        right: usurper.ref.id, leaseMs: 0, references: [], trace: [], payload: new Uint8Array(0),
      })
    })
    usurper.hello()
    usurper.tell({ type: 'leafPush', state: 'ready', references: [] })
    await until(nodes, () => leavesOf(victim!).includes(key))
    const answered = victim!.services.pastry.lookup(key, { timeoutMs: 30_000 })
    await until(nodes, () => (victim!.services.pastry.ring().refused['noLease'] ?? 0) > 0)
    await usurper.host.stop()
    const { root } = await answered
    assert.ok(nodes.some((node) => node.services.pastry.id === root.id))
    await whole(nodes)
  })
})

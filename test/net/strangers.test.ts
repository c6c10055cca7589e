/** Programs that know libp2p and nothing of ours: they find an app's hosts and call it by hand-made frames. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import { noise } from '@chainsafe/libp2p-noise'
import { identify } from '@libp2p/identify'
import type { Stream } from '@libp2p/interface'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p, type Libp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import { sha256 } from 'multiformats/hashes/sha2'
import type { EmbeddedNode } from '../../node/index.ts'
import { eventually, found, joinTo, makeLab, openField, type Field, type Lab } from './nodes.ts'

const HELLO = { v: 1, maxFrame: 32_768, window: 65_536, features: [], epoch: 'a stranger' }
const TYPE = { hello: 0, call: 1, data: 2, error: 3, cancel: 4 }
const END = 1
const RAW = 4

/** `u8 type | u8 flags | u16 bodyBytes | u32 callId | body`, as protocols/rpc/README.md has it. */
function frame(type: number, flags: number, callId: number, body: Uint8Array): Buffer {
  const header = Buffer.alloc(8)
  header.writeUInt8(type, 0)
  header.writeUInt8(flags, 1)
  header.writeUInt16BE(body.length, 2)
  header.writeUInt32BE(callId, 4)
  return Buffer.concat([header, body])
}

const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value))

/** A CALL frame with its meta and JSON arguments. */
function callFrame(callId: number, method: string, input: unknown): Buffer {
  const meta = json({ m: method, e: 'json', d: 10_000 })
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(meta.length)
  return frame(TYPE.call, END, callId, Buffer.concat([bytes, meta, json(input)]))
}

interface Received { readonly type: number, readonly flags: number, readonly callId: number, readonly body: Buffer }

/** Reads frames from whatever gives bytes. */
class FrameReader {
  #bytes = Buffer.alloc(0)
  #wake: () => void = () => {}

  push(bytes: Uint8Array): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes])
    this.#wake()
  }

  async next(): Promise<Received> {
    for (;;) {
      const size = this.#bytes.length < 8 ? Infinity : 8 + this.#bytes.readUInt16BE(2)
      if (this.#bytes.length >= size) {
        const whole = this.#bytes.subarray(0, size)
        this.#bytes = this.#bytes.subarray(size)
        return { type: whole[0]!, flags: whole[1]!, callId: whole.readUInt32BE(4), body: whole.subarray(8) }
      }
      await new Promise<void>((resolve) => { this.#wake = resolve })
    }
  }

  /** The next frame of a call; those of the link itself are passed over. */
  async nextOf(callId: number): Promise<Received> {
    for (;;) {
      const received = await this.next()
      if (received.callId === callId) return received
    }
  }
}

function readStream(stream: Stream): FrameReader {
  const reader = new FrameReader()
  stream.addEventListener('message', ({ data }) => {
    reader.push(data instanceof Uint8Array ? data : data.subarray())
  })
  return reader
}

describe('net: strangers', () => {
  let field: Field
  let host: EmbeddedNode
  let lab: Lab
  let stranger: Libp2p
  before(async () => {
    field = await openField()
    const router = await field.node('router')
    host = await field.node('host')
    lab = makeLab()
    await joinTo(router, host)
    await host.serve(lab.app)
    await found(router, 'lab', host)
    stranger = await createLibp2p({
      transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()],
      services: {
        identify: identify(), ping: ping(),
        dht: kadDHT({ protocol: '/warren/kad/1', clientMode: true, peerInfoMapper: passthroughMapper }),
      },
    })
    await stranger.dial(multiaddr(router.addresses[0]!))
  })
  after(async () => {
    await stranger.stop()
    await field.end()
  })

  it('a stock libp2p with kad-dht finds the host of an app by the CID of its name', async () => {
    const key = CID.createV1(0x55, await sha256.digest(new TextEncoder().encode('warren/app/1:lab')))
    assert.deepEqual(key.multihash.digest,
      new Uint8Array(createHash('sha256').update('warren/app/1:lab').digest()))
    const provider = await eventually(async () => {
      for await (const each of stranger.contentRouting.findProviders(key, { signal: AbortSignal.timeout(5_000) })) {
        if (each.id.toString() === host.peerId) return each
      }
      return undefined
    })
    const addresses = provider.multiaddrs.map((address) => address.getComponents()
      .filter(({ name }) => name !== 'p2p').map(({ name, value }) => `/${name}/${value}`).join(''))
    assert.ok(addresses.some((address) => host.addresses[0]!.startsWith(address)), addresses.join())
  })

  it('a plain libp2p program calls an app over the JSON link', async () => {
    const stream = await stranger.dialProtocol(multiaddr(host.addresses[0]!), '/warren/rpc/1/json')
    const reader = readStream(stream)
    // A call may follow HELLO at once.
    stream.send(frame(TYPE.hello, 0, 0, json(HELLO)))
    stream.send(callFrame(1, 'lab.say', { text: 'from far away' }))
    const hello = await reader.next()
    assert.deepEqual([hello.type, JSON.parse(hello.body.toString()).v], [TYPE.hello, 1])
    const reply = await reader.nextOf(1)
    assert.deepEqual([reply.type, reply.flags, reply.body.toString()], [TYPE.data, END, '{"text":"from far away"}'])

    stream.send(callFrame(3, 'lab.count', { to: 3 }))
    const items: string[] = []
    for (let flags = 0; (flags & END) === 0;) {
      const item = await reader.nextOf(3)
      flags = item.flags
      if (item.body.length > 0) items.push(item.body.toString())
    }
    assert.deepEqual(items, ['0', '1', '2'])

    stream.send(callFrame(5, 'lab.say', { text: 7 }))
    const error = await reader.nextOf(5)
    assert.equal(error.type, TYPE.error)
    const { code, name, message, started } = JSON.parse(error.body.toString())
    assert.deepEqual([code, name, started], ['INVALID_ARGUMENT', 'SCHEMA', false])
    assert.match(message, /'text' in the input of lab\.say/)

    stream.send(callFrame(7, 'lab.caller', {}))
    assert.deepEqual(JSON.parse((await reader.nextOf(7)).body.toString()),
      { node: stranger.peerId.toString(), local: false })

    stream.send(callFrame(9, 'lab.wait', {}))
    const { ended } = await lab.waiting()
    stream.send(frame(TYPE.cancel, 0, 9, json({ reason: 'never mind' })))
    assert.deepEqual([(await ended).name, (await ended).message], ['CANCELLED', 'never mind'])
    await stream.close()
  })

  it('a stranger that breaks the protocol is told the rule, and only its own link ends', async () => {
    const steady = host.call('lab.wait', {}, { timeoutMs: 60_000 })
    const failed = steady.catch((error: Error) => error.name)
    const { ended } = await lab.waiting()
    for (const [bytes, rule] of [
      [frame(TYPE.hello, 0, 0, json({ ...HELLO, v: 2 })), /version 2/],
      [callFrame(1, 'lab.say', {}), /before HELLO/],
      [Buffer.from([9, 0, 0, 0, 0, 0, 0, 0]), /frame type 9 is unknown/],
      [Buffer.from([2, 0, 0xff, 0xff, 0, 0, 0, 1]), /65535 bytes is over the limit/],
    ] as const) {
      const stream = await stranger.dialProtocol(multiaddr(host.addresses[0]!), '/warren/rpc/1/json')
      const reader = readStream(stream)
      stream.send(bytes)
      let received = await reader.next()
      if (received.type === TYPE.hello) received = await reader.next()
      assert.deepEqual([received.type, received.callId], [TYPE.error, 0])
      assert.match(JSON.parse(received.body.toString()).message, rule)
      stream.abort(new Error('done'))
    }
    steady.cancel()
    assert.equal(await failed, 'CANCELLED')
    await ended
  })

  it('a program without libp2p calls an app through the local socket in JSON', async () => {
    const socket = connectSocket(host.socket)
    const reader = new FrameReader()
    socket.on('data', (bytes: Buffer) => { reader.push(bytes) })
    socket.write(Buffer.concat([
      Buffer.from('/warren/rpc/1/json\n'), frame(TYPE.hello, 0, 0, json(HELLO)),
      callFrame(1, 'lab.say', { text: 'hi' }),
    ]))
    assert.equal((await reader.nextOf(1)).body.toString(), '{"text":"hi"}')
    socket.write(callFrame(3, 'lab.reverse', [1, 2, 3]))
    const bytes = await reader.nextOf(3)
    assert.deepEqual([bytes.flags, [...bytes.body]], [END | RAW, [3, 2, 1]])
    socket.destroy()
    await once(socket, 'close')
  })
})

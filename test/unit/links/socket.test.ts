/** The Unix socket's carrier: its first line, who is refused and how, and links of both codecs over it. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect as connectSocket, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defineApp, method } from '../../../protocols/app.ts'
import { json } from '../../../protocols/rpc/codec.ts'
import { encodeFrame, FLAG, FRAME, FrameReader, RPC_CBOR, RPC_JSON,
  type Frame } from '../../../protocols/rpc/messages.ts'
import { Link } from '../../../node/links/link.ts'
import { LinkNet } from '../../../node/links/net.ts'
import { serveCall } from '../../../node/links/serve.ts'
import { acceptSocket, dialSocket } from '../../../node/links/socket.ts'
import type { Carrier } from '../../../node/links/carrier.ts'

const echo = defineApp('echo', { say: method({}, async (value) => value) })

/** A client that keeps its own half open, so that whatever it sees was the node's doing. */
function rawClient(path: string): { socket: Socket, text: () => string, closed: Promise<void> } {
  const chunks: Buffer[] = []
  const socket = connectSocket({ path, allowHalfOpen: true })
  socket.on('data', (bytes: Buffer) => { chunks.push(bytes) })
  socket.on('error', () => { socket.destroy() })
  const closed = new Promise<void>((resolve) => { for (const end of ['end', 'close']) socket.once(end, resolve) })
  return { socket, text: () => Buffer.concat(chunks).toString(), closed }
}

describe('the local socket', () => {
  let folder: string
  let path: string
  let server: Server
  let timeoutMs: number | undefined
  let accepted: ReturnType<typeof acceptSocket>[]
  let sockets: Socket[]
  let links: Link[]

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'warren-links-'))
    path = join(folder, 's')
    timeoutMs = undefined
    accepted = []
    sockets = []
    links = []
    server = createServer((socket) => {
      sockets.push(socket)
      const taking = acceptSocket(socket, timeoutMs)
      accepted.push(taking)
      void taking.then((taken) => { if (taken !== undefined) links.push(serve(taken.carrier, taken.codec)) })
    })
    await new Promise<void>((resolve) => { server.listen(path, resolve) })
  })

  afterEach(async () => {
    for (const link of links) link.close('over')
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => { server.close(resolve) })
    rmSync(folder, { recursive: true })
  })

  function serve(carrier: Carrier, codec: 'cbor' | 'json'): Link {
    return new Link(carrier, { role: 'acceptor', codec, liveness: 'local', epoch: 'node' }, {
      call: (incoming) => serveCall(incoming, {
        app: (name) => name === 'echo' ? echo : undefined,
        net: () => assert.fail('no calls from here'),
        caller: () => ({ node: '', local: true }),
        folder: () => '', log: () => assert.fail('no log here'),
      }),
      closed: () => {},
    })
  }

  const refusals: Record<string, [string, RegExp]> = {
    'an unknown id': ['/warren/rpc/9/cbor\n', /^unknown protocol "\/warren\/rpc\/9\/cbor"; this node speaks/],
    'a greeting of another world': ['GET / HTTP/1.1\r\nHost: x\r\n\r\n', /^unknown protocol "GET \/ HTTP\/1.1\\r"/],
    'an endless first line': ['x'.repeat(129), /^the first line is too long/],
    'frames without a greeting': ['\0\0\0\x01\0\0\0\0\x01\n', /^unknown protocol/],
  }
  for (const [title, [greeting, answer]] of Object.entries(refusals)) {
    it(`answers ${title} with one line of text and closes`, async () => {
      const client = rawClient(path)
      client.socket.write(greeting)
      await client.closed
      assert.match(client.text(), answer)
      assert.match(client.text(), /speaks \S+\/cbor and \S+\/json, each followed by a newline\n$/)
      assert.equal(await accepted[0], undefined)
      assert.equal(sockets[0]?.destroyed, true)
      client.socket.destroy()
    })
  }

  it('closes on a process that says nothing', async () => {
    timeoutMs = 1
    const client = rawClient(path)
    await client.closed
    assert.match(client.text(), /^no protocol id came; /)
    client.socket.destroy()
  })

  it('forgets a process that leaves before its first line', async () => {
    const client = rawClient(path)
    client.socket.write('/warren')
    client.socket.end()
    await client.closed
    assert.equal(await accepted[0], undefined)
  })

  it('takes the id in any chunks, and frames that come in the same chunk', async () => {
    const frames: Frame[] = []
    const { socket } = rawClient(path)
    const reader = new FrameReader()
    const answered = new Promise<void>((resolve) => {
      socket.on('data', (bytes: Buffer) => {
        assert.equal(reader.push(bytes, (frame) => frames.push(frame) > 0), undefined)
        if (frames.some(({ type }) => type === FRAME.DATA)) resolve()
      })
    })
    const hello = { v: 1, maxFrame: 32_768, window: 65_536, features: [], epoch: 'raw' }
    const meta = json.encode({ m: 'echo.say', e: 'json' })
    const call = Buffer.concat([Uint8Array.of(0, meta.length), meta, json.encode({ text: 'hi' })])
    for (const byte of RPC_JSON.slice(0, 9)) socket.write(byte)
    socket.write(Buffer.concat([
      Buffer.from(`${RPC_JSON.slice(9)}\n`), encodeFrame(FRAME.HELLO, 0, 0, json.encode(hello)),
      encodeFrame(FRAME.CALL, FLAG.END, 1, call),
    ]))
    await answered
    assert.equal((await accepted[0])?.codec, 'json')
    assert.deepEqual(frames.map(({ type, flags, callId }) => [type, flags, callId]),
      [[FRAME.HELLO, 0, 0], [FRAME.DATA, FLAG.END, 1]])
    assert.deepEqual(json.decode(frames[1]!.body), { text: 'hi' })
    socket.destroy()
  })

  it('carries calls, large ones too, and both ends notice the end of the other', async () => {
    const carrier = await dialSocket(path, folder)
    const link = new Link(carrier, { role: 'dialler', codec: 'cbor', liveness: 'local', epoch: 'app' }, {
      call: () => assert.fail('nobody calls'), closed: () => {},
    })
    const net = new LinkNet(() => link)
    const large = Buffer.alloc(3_000_000, 'warren')
    assert.ok(Buffer.from(await net.call<Uint8Array>('echo.say', new Uint8Array(large))).equals(large))
    assert.equal((await accepted[0])?.codec, 'cbor')
    assert.equal(link.callCount, 0)
    link.close('done')
    await links[0]!.drained()
    assert.deepEqual([link.timerCount, links[0]!.timerCount], [0, 0])
  })

  it('that nobody listens on is NODE_NOT_RUNNING, and connecting can be given up', async () => {
    await assert.rejects(dialSocket(join(folder, 'none'), folder), (error: Error) =>
      error.name === 'NODE_NOT_RUNNING' && error.message.includes(folder))
    await assert.rejects(dialSocket(path, folder, { signal: AbortSignal.abort(new Error('enough')) }), /enough/)
    const controller = new AbortController()
    const dialling = dialSocket(path, folder, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await assert.rejects(dialling, /enough/)
  })

  it(`speaks ${RPC_CBOR} with a process that crashes: its calls are over`, async () => {
    const carrier = await dialSocket(path, folder)
    const link = new Link(carrier, { role: 'dialler', codec: 'cbor', liveness: 'local', epoch: 'app' }, {
      call: () => assert.fail('nobody calls'), closed: () => {},
    })
    await accepted[0]
    const ended = new Promise<string>((resolve) => {
      link.open({ m: 'echo.say', e: 'cbor' }, new Uint8Array(0), FLAG.RAW, {
        data: () => {}, failed: (error) => { resolve(error.name) },
      })
    })
    sockets[0]!.destroy()
    assert.equal(await ended, 'LINK_LOST')
    assert.equal(link.isClosed, true)
  })
})

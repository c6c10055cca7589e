/** What callers hear when apps, processes and nodes end under their calls: a named error, at once. */
import assert from 'node:assert/strict'
import { connect as connectSocket, createServer, type Server } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Connection, EmbeddedNode } from '../../node/index.ts'
import { eventually, failure, found, joinTo, makeLab, openField, type Field } from './nodes.ts'

const SLEEPER = join(import.meta.dirname, 'sleeper.ts')
const INDEXER = join(import.meta.dirname, '../../indexer/index.ts')
/** Long enough that a call which waits for it runs into the test's own limit. */
const NEVER_MS = 600_000

describe('net: failures', () => {
  let field: Field
  beforeEach(async () => { field = await openField() })
  afterEach(() => field.end())

  /** Two nodes that know each other; the second one's app is found by the first. */
  const pair = async (app: string, options: { apps?: Record<string, string> } = {}): Promise<EmbeddedNode[]> => {
    const [a, b] = [await field.node('a'), await field.node('b', options)]
    await joinTo(a, b)
    if (options.apps !== undefined) await found(a, app, b)
    return [a, b]
  }

  it('when an app\'s process is killed its calls fail with APP_CRASHED, and it is started again', async () => {
    const [a, b] = await pair('sleeper', { apps: { sleeper: SLEEPER } })
    const call = a!.call<number>('sleeper.sleep', {}, { timeoutMs: NEVER_MS, idleMs: NEVER_MS })
    const items = call[Symbol.asyncIterator]()
    const { value: pid } = await items.next()
    process.kill(pid as number, 'SIGKILL')
    const { name, code, started } = await failure(items.next())
    assert.deepEqual({ name, code, started }, { name: 'APP_CRASHED', code: 'UNAVAILABLE', started: 'unknown' })
    assert.notEqual(await a!.call('sleeper.pid'), pid)
    // Its own node misses it before it hears that the process has ended.
    const second = await b!.call<number>('sleeper.pid')
    const last = b!.call<number>('sleeper.sleep', {}, { idleMs: NEVER_MS })[Symbol.asyncIterator]()
    await last.next()
    process.kill(second, 'SIGKILL')
    assert.equal((await failure(last.next())).name, 'APP_CRASHED')
    assert.notEqual(await b!.call('sleeper.pid'), second)
  })

  it('when the node of an app stops, the calls to it fail at once and not at their deadline', async () => {
    const [a, b] = await pair('lab')
    const lab = makeLab()
    await b!.serve(lab.app)
    await found(a!, 'lab', b!)
    const failed = failure(a!.call('lab.wait', {}, { timeoutMs: NEVER_MS }))
    const { ended } = await lab.waiting()
    await b!.stop()
    const { code, name } = await failed
    assert.equal(code, 'UNAVAILABLE', name)
    await ended
  })

  it('when the caller\'s own node stops, its calls fail at once and the callee hears of it', async () => {
    const [a, b] = await pair('lab')
    const lab = makeLab()
    await b!.serve(lab.app)
    await found(a!, 'lab', b!)
    const process = await field.connect('a')
    const failed = failure(process.call('lab.wait', {}, { timeoutMs: NEVER_MS }))
    const { ended } = await lab.waiting()
    await a!.call('node.stop', { graceMs: 50 })
    assert.equal((await failed).code, 'UNAVAILABLE')
    await process.closed
    await ended
  })

  it('a call to a node that is gone says NODE_UNREACHABLE and that nothing has started', async () => {
    const [a, b] = await pair('lab')
    const { peerId } = b!
    await b!.stop()
    assert.deepEqual(await failure(a!.call('lab.say', {}, { node: peerId })),
      { name: 'NODE_UNREACHABLE', code: 'UNAVAILABLE', started: false })
    const stranger = '12D3KooWHFrmLWTTDD4NodngtRMEVYgxrsDMp4F9iSwYntZ9WjHa'
    assert.deepEqual(await failure(a!.call('lab.say', {}, { node: stranger })),
      { name: 'NODE_UNREACHABLE', code: 'UNAVAILABLE', started: false })
  })

  it('an address that does not answer, one that says nothing and one that is none are told apart', async () => {
    const [a] = await pair('lab')
    const connectTo = (address: string): Promise<unknown> => a!.call('node.connect', { address })
    await assert.rejects(connectTo('/ip4/127.0.0.1/tcp/1'),
      { name: 'NODE_UNREACHABLE', message: /^\/ip4\/127\.0\.0\.1\/tcp\/1 does not answer: / })
    await assert.rejects(connectTo('box:4001'), { name: 'BAD_ARGUMENT', message: /"box:4001" is not an address/ })
    const silent = createServer(() => {})
    await once(silent.listen(0, '127.0.0.1'), 'listening')
    try {
      await assert.rejects(connectTo(`/ip4/127.0.0.1/tcp/${portOf(silent)}`), { name: 'NODE_UNREACHABLE' })
    } finally {
      silent.close()
    }
  })

  it('addresses beyond this machine are neither dialled nor listened on', async () => {
    const [a] = await pair('lab')
    for (const address of ['/ip4/192.0.2.1/tcp/4001', '/dns4/example.org/tcp/4001', '/ip6/2001:db8::1/tcp/1']) {
      await assert.rejects(a!.call('node.connect', { address }), { name: 'DENIED', message: /loopback only/ })
    }
    for (const address of ['/ip4/0.0.0.0/tcp/0', '/ip4/192.0.2.1/tcp/0', '/ip6/::/tcp/0']) {
      await assert.rejects(field.node('c', { listen: [address] }),
        { name: 'BAD_ARGUMENT', message: /is refused: until machines are admitted.*loopback only/ })
    }
  })

  it('a port that is taken is named, and what had begun is taken back', async () => {
    const taken = createServer(() => {})
    await once(taken.listen(0, '127.0.0.1'), 'listening')
    const address = `/ip4/127.0.0.1/tcp/${portOf(taken)}`
    await assert.rejects(field.node('c', { listen: [address] }),
      (error: Error) => error.name === 'NODE_UNREACHABLE' && error.message.startsWith(`cannot listen on ${address}: `))
    taken.close()
    await once(taken, 'close')
    await field.node('c', { listen: [address] })
  })

  it('peers may not use what is for processes of the same machine', async () => {
    const [a, b] = await pair('indexer', { apps: { indexer: INDEXER } })
    await field.serve('b', makeLab().app)
    await found(a!, 'lab', b!)
    const denied = { name: 'DENIED', code: 'PERMISSION_DENIED', started: false }
    const registration = { app: 'trojan', methods: [], pid: 1 }
    for (const [method, input] of [
      ['node.stop', {}], ['node.register', registration], ['node.deregister', { app: 'lab' }], ['node.nodes', {}],
      ['node.connect', { address: a!.addresses[0] }], ['node.hosts', { app: 'lab' }], ['lab.onlyHere', {}],
      ['indexer.add', { path: field.folder }], ['indexer.remove', { root: 'x' }], ['indexer.rescan', {}],
    ] as const) {
      assert.deepEqual(await failure(a!.call(method, input, { node: b!.peerId })), denied, method)
    }
    assert.equal(await b!.call('lab.onlyHere'), 'a secret of this machine')
    const apps = await a!.call<{ local: boolean, app: string }[]>('node.apps', { all: true }, { node: b!.peerId })
    assert.ok(apps.every(({ app }) => app !== 'trojan'))
  })

  it('a process that has not registered an app cannot deregister another\'s', async () => {
    await field.node('a')
    await field.serve('a', makeLab().app)
    const other = await field.connect('a')
    assert.deepEqual(await other.call('node.deregister', { app: 'lab' }), { removed: false })
    assert.deepEqual(await other.call('node.deregister', { app: 'node' }), { removed: false })
    assert.deepEqual(await other.call('lab.say', { text: 'still here' }), { text: 'still here' })
  })

  it('of 200 calls in flight while the node stops each succeeds or fails by name', async () => {
    const [a, b] = await pair('lab')
    const lab = makeLab()
    await field.serve('b', lab.app)
    await found(a!, 'lab', b!)
    const outcomes = Promise.allSettled([a!, await field.connect('b')].flatMap((from: Connection) =>
      Array.from({ length: 100 }, (_, at) => at % 2 === 0 ? from.call('lab.wait', {}, { timeoutMs: NEVER_MS })
        : from.call('lab.say', { text: 'x' }, { timeoutMs: NEVER_MS }))))
    for (let waiting = 0; waiting < 100; waiting++) await lab.waiting()
    await b!.call('node.stop', { graceMs: 200 })
    for (const outcome of await outcomes) {
      if (outcome.status === 'fulfilled') assert.deepEqual(outcome.value, { text: 'x' })
      else assert.match((outcome.reason as Error).name, /^(LINK_LOST|APP_CRASHED|DEREGISTERED|GOING_AWAY|CANCELLED)$/)
    }
  })

  it('whoever is silent on the socket, or was refused and holds on, does not keep a node up', async () => {
    const [a] = await pair('lab')
    const silent = connectSocket(a!.socket)
    const refused = connectSocket({ path: a!.socket, allowHalfOpen: true })
    refused.write('GET / HTTP/1.1\n\n')
    await once(refused, 'data')
    const flooding = connectSocket({ path: a!.socket, allowHalfOpen: true })
    flooding.write('/warren/rpc/1/cbor\nGET')
    for (const socket of [silent, refused, flooding]) socket.on('error', () => socket.destroy())
    await a!.stop()
    for (const socket of [silent, refused, flooding]) socket.destroy()
  })

  it('a node that restarts is met again by those that remember it, on the same port', async () => {
    const [a, b] = await pair('lab')
    const [address] = b!.addresses
    await b!.stop()
    const again = await field.node('b')
    assert.deepEqual([again.peerId, again.addresses[0]], [b!.peerId, address])
    await field.serve('b', makeLab().app)
    // The first try may meet the connection that has just been cut.
    assert.deepEqual(await eventually(() => a!.call('lab.say', { text: 'hi' }, { node: again.peerId })
      .catch((error: { code: string }) => {
        assert.equal(error.code, 'UNAVAILABLE')
        return undefined
      })), { text: 'hi' })
  })
})

function portOf(server: Server): number {
  const address = server.address()
  assert.ok(typeof address === 'object' && address !== null)
  return address.port
}

/** What a node keeps in its home, and how processes find the node of a home. */
import assert from 'node:assert/strict'
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { multiaddr } from '@multiformats/multiaddr'
import { connect } from '../../node/index.ts'
import { resolveHome } from '../../node/home.ts'
import { createHost } from '../../node/overlay/host.ts'
import { defineApp, method } from '../../protocols/app.ts'
import { eventually, failure, joinTo, openField, type Field } from './nodes.ts'

describe('net: homes', () => {
  let field: Field
  const environment = { ...process.env }
  beforeEach(async () => { field = await openField() })
  afterEach(async () => {
    process.env = { ...environment }
    await field.end()
  })

  it('a node keeps its identity, its port and the peers it has met over a restart', async () => {
    const a = await field.node('a')
    const b = await field.node('b')
    await joinTo(a, b)
    await b.serve(defineApp('lamp', { on: method({}, async () => 'on') }))
    await a.stop()
    const again = await field.node('a')
    assert.deepEqual([again.peerId, again.addresses], [a.peerId, a.addresses])
    assert.equal(statSync(join(field.home('a'), 'data', 'identity.key')).mode & 0o777, 0o600)
    // Its address was in the peer store; nobody has told the new run.
    assert.equal(await again.call('lamp.on', {}, { node: b.peerId }), 'on')
  })

  it('a port that somebody else has taken meanwhile is given up for another', async () => {
    const a = await field.node('a')
    const port = Number(/\/tcp\/(\d+)/.exec(a.addresses[0]!)![1])
    await a.stop()
    const thief = createServer().listen(port, '127.0.0.1')
    try {
      const again = await field.node('a')
      assert.equal(again.peerId, a.peerId)
      assert.notDeepEqual(again.addresses, a.addresses)
    } finally {
      thief.close()
    }
  })

  it('a second node for the same home is refused and the first goes on', async () => {
    const a = await field.node('a')
    await assert.rejects(field.node('a'), {
      name: 'HOME_IN_USE', message: new RegExp(`${field.home('a')} already \\(process ${process.pid}\\).*warren down`),
    })
    const other = await connect({ home: field.home('a') })
    assert.equal((await other.call<{ peerId: string }>('node.status')).peerId, a.peerId)
    await other.close()
  })

  it('a socket file that was left behind is replaced', async () => {
    const home = resolveHome({ ...process.env, WARREN_HOME: field.home('a') })
    mkdirSync(dirname(home.socket), { recursive: true, mode: 0o700 })
    writeFileSync(home.socket, 'left behind')
    assert.deepEqual(await failure(connect({ home: field.home('a') })),
      { name: 'NODE_NOT_RUNNING', code: 'UNAVAILABLE', started: false })
    const a = await field.node('a')
    assert.equal(a.socket, home.socket)
    assert.equal(statSync(home.socket).mode & 0o777, 0o600)
    await a.stop()
    assert.ok(!existsSync(home.socket))
  })

  it('a node runs in a home whose path has 200 characters', async () => {
    const rest = 200 - field.folder.length - 2
    const name = join('h'.repeat(Math.floor(rest / 2)), 'h'.repeat(Math.ceil(rest / 2)))
    assert.equal(field.home(name).length, 200)
    const a = await field.node(name, { name: 'long' })
    const other = await connect({ home: field.home(name) })
    assert.equal((await other.call<{ home: string }>('node.status')).home, field.home(name))
    assert.ok(Buffer.byteLength(a.socket) <= 100)
    await other.close()
  })

  it('a key file that is no key is named, and nothing is overwritten', async () => {
    mkdirSync(join(field.home('a'), 'data'), { recursive: true })
    const file = join(field.home('a'), 'data', 'identity.key')
    writeFileSync(file, 'not a key')
    await assert.rejects(field.node('a'), { name: 'UNREADABLE', message: new RegExp(`${file} is not a node's key`) })
    assert.equal(readFileSync(file, 'utf8'), 'not a key')
  })

  it('a process finds the node though its runtime folder is another', async () => {
    const one = join(field.folder, 'run1')
    const two = join(field.folder, 'run2')
    for (const folder of [one, two]) mkdirSync(folder, { mode: 0o700 })
    process.env['XDG_RUNTIME_DIR'] = one
    const a = await field.node('a')
    assert.ok(a.socket.startsWith(one))
    assert.equal(statSync(join(field.home('a'), 'node.socket')).mode & 0o777, 0o600)
    process.env['XDG_RUNTIME_DIR'] = two
    const other = await connect({ home: field.home('a') })
    assert.equal((await other.call<{ socket: string }>('node.status')).socket, a.socket)
    await other.close()
    await a.stop()
    assert.ok(!existsSync(join(field.home('a'), 'node.socket')))
    assert.equal((await failure(connect({ home: field.home('a') }))).name, 'NODE_NOT_RUNNING')
  })

  it('a process does not speak to a socket in a folder that others may write to', async () => {
    process.env['XDG_RUNTIME_DIR'] = field.folder
    const a = await field.node('a')
    chmodSync(dirname(a.socket), 0o777)
    await assert.rejects(connect({ home: field.home('a') }), { name: 'DENIED', message: /others may enter it/ })
    // Neither does it go where a text in the home leads, if that is not safe.
    const trap = join(field.folder, 'trap')
    mkdirSync(trap, { mode: 0o777 })
    chmodSync(trap, 0o777)
    writeFileSync(join(field.home('a'), 'node.socket'), join(trap, 'x.sock'))
    await assert.rejects(connect({ home: field.home('a') }), { name: 'DENIED', message: new RegExp(trap) })
    for (const nonsense of ['', 'relative/x.sock', `/${'x'.repeat(200)}`, '/tmp/\0']) {
      writeFileSync(join(field.home('a'), 'node.socket'), nonsense)
      chmodSync(dirname(a.socket), 0o700)
      await (await connect({ home: field.home('a') })).close()
    }
  })

  it('a node\'s home is marked, so that no indexer serves it', async () => {
    await field.node('a')
    assert.ok(existsSync(join(field.home('a'), '.warren-home')))
  })

  it('a host that has stopped writes nothing more, so that its folder can be removed', async () => {
    const dataFolder = join(field.folder, 'data')
    mkdirSync(dataFolder)
    const host = await createHost({ dataFolder, listen: ['/ip4/127.0.0.1/tcp/0'], join: [], mdns: false })
    await host.start()
    await host.stop()
    rmSync(dataFolder, { recursive: true })
    // libp2p does this by itself a second later.
    await host.peerStore.patch(host.peerId, { multiaddrs: [multiaddr('/ip4/127.0.0.1/tcp/4001')] })
    assert.ok(!existsSync(dataFolder))
  })

  it('a home that vanished under its node does not keep it from stopping', async () => {
    const a = await field.node('a')
    rmSync(field.home('a'), { recursive: true, force: true })
    await a.stop()
    assert.equal(await eventually(async () => existsSync(a.socket) ? undefined : 'gone'), 'gone')
  })
})

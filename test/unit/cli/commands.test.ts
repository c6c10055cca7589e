/** Tests of the commands that ask the node something and print the answer. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { Writable } from 'node:stream'
import { setImmediate as turn } from 'node:timers/promises'
import { FAKE_PEER, FAKE_STATUS, plain, runFake, type FakeOptions } from './fake.ts'

const URI = `warren://${FAKE_PEER}/docs/trip.txt`
const lines = (text: string): string[] => text.trimEnd().split('\n')

describe('cli/commands', () => {
  it('status is shown to people in words and to programs as it is', async () => {
    const { stdout } = await runFake(['status'])
    assert.match(stdout, /^node +laptop \(12D3KooW/m)
    assert.match(stdout, /^up +1 h 2 min, since 2026-11-0/m)
    assert.match(stdout, /^now +1 peer, 3 apps, 0 calls in flight, 81 MB of memory$/m)
    assert.ok(!stdout.includes('\u001b'))
    assert.deepEqual(JSON.parse((await runFake(['status', '--json'])).stdout), FAKE_STATUS)
  })

  it('colours are for terminals only, and NO_COLOR is obeyed', async () => {
    const isColoured = async (argv: string[], options: FakeOptions): Promise<boolean> =>
      (await runFake(argv, options)).stdout.includes('\u001b[')
    assert.ok(await isColoured(['status'], { columns: 80 }))
    assert.ok(!await isColoured(['status'], { columns: 80, env: { NO_COLOR: '1' } }))
    assert.ok(!await isColoured(['status', '--json'], { columns: 80 }))
    assert.ok(await isColoured(['status'], { env: { FORCE_COLOR: '1' } }))
  })

  const nodes = [
    { peerId: FAKE_PEER, name: 'laptop', local: true, addresses: ['/ip4/127.0.0.1/tcp/1'], rttMs: null,
      apps: ['node'], state: 'up' },
    { peerId: '12D3x', name: 'evil\nname', local: false, addresses: [], rttMs: 1.25, apps: [], state: 'unreachable' },
  ]

  it('nodes are a table for people and a line each for programs; a name cannot forge a line', async () => {
    const handlers = { 'node.nodes': () => nodes }
    const table = lines((await runFake(['nodes'], { handlers })).stdout)
    assert.equal(table.length, 3)
    assert.match(table[1] ?? '', /^laptop +up +here +node +12D3KooW\S+ +\/ip4\/127/)
    assert.match(table[2] ?? '', /^evil\\nname +unreachable +1\.3 ms +- +12D3x$/)
    const json = lines((await runFake(['nodes', '--json'], { handlers })).stdout)
    assert.deepEqual(json.map((line) => JSON.parse(line)), nodes)
    const wide = plain((await runFake(['nodes'], { handlers, columns: 80 })).stdout)
    assert.ok(wide.includes(FAKE_PEER) && !wide.includes('addresses'))
  })

  it('apps are asked of all machines, or of this one with --local', async () => {
    const app = {
      app: 'speaker', node: FAKE_PEER, nodeName: 'laptop', local: true, pid: 7, since: '2026-11-03T09:05:00Z',
      methods: [{ name: 'play', kind: 'unary' }, { name: 'levels', kind: 'stream' }],
      device: { name: 'kitchen', kind: 'speaker' },
    }
    const handlers = { 'node.apps': () => [app] }
    const { stdout, net } = await runFake(['apps'], { handlers })
    assert.match(stdout, /^speaker +laptop \(here\) +play levels… +kitchen \(speaker\) +2026-11-0/m)
    assert.deepEqual(net.calls[0]?.input, { all: true })
    assert.deepEqual((await runFake(['apps', '--local'], { handlers })).net.calls[0]?.input, { all: false })
    assert.deepEqual(JSON.parse((await runFake(['apps', '--json'], { handlers })).stdout), app)
  })

  it('connect hands the address to the node and names whom it found', async () => {
    const address = `/ip4/127.0.0.1/tcp/4001/p2p/${FAKE_PEER}`
    const handlers = { 'node.connect': () => ({ peerId: FAKE_PEER, name: 'attic' }) }
    const { code, stdout, net } = await runFake(['connect', address], { handlers })
    assert.deepEqual([code, stdout], [0, `connected to attic (${FAKE_PEER})\n`])
    assert.deepEqual(net.calls[0]?.input, { address })
  })

  it('a reply is one line of JSON in a pipe, and indented on a terminal where it does not fit', async () => {
    const handlers = { 'echo.say': (input: { text: string }) => ({ text: input.text, n: 1n }) }
    const argv = ['call', 'echo.say', '{"text":"hello"}']
    assert.equal((await runFake(argv, { handlers })).stdout, '{"text":"hello","n":"1"}\n')
    assert.equal((await runFake(argv, { handlers, columns: 80 })).stdout, '{"text":"hello","n":"1"}\n')
    assert.equal((await runFake(argv, { handlers, columns: 20 })).stdout, '{\n  "text": "hello",\n  "n": "1"\n}\n')
    assert.equal((await runFake([...argv, '--json'], { handlers, columns: 20 })).stdout, '{"text":"hello","n":"1"}\n')
  })

  it('options of a call are handed on, and none counts for both deadlines', async () => {
    const handlers = { 'a.b': () => null }
    const { net } = await runFake(['call', 'a.b', '--node', 'attic', '--timeout', '250'], { handlers })
    const { signal, ...options } = net.calls[0]?.options ?? {}
    assert.deepEqual([options, net.calls[0]?.input], [{ node: 'attic', timeoutMs: 250, idleMs: 250 }, undefined])
    assert.ok(signal instanceof AbortSignal)
    const forever = await runFake(['call', 'a.b', '--timeout', 'none'], { handlers })
    assert.equal(forever.net.calls[0]?.options.idleMs, Infinity)
  })

  it('each item of a stream is a line, printed before the next one is asked for', async () => {
    const written: string[] = []
    const stdout = new Writable({ write(chunk, _encoding, done) { written.push(String(chunk)); done() } })
    const seen: number[] = []
    await runFake(['call', 'a.count'], { stdout, handlers: { 'a.count': async function* () {
      for (let at = 0; at < 3; at++) {
        seen.push(written.length)
        yield at
      }
    } } })
    assert.deepEqual([seen, written.join('')], [[0, 1, 2], '0\n1\n2\n'])
  })

  it('bytes go to a pipe as they are, to a terminal and under --json as base64', async () => {
    const handlers = { 'a.bytes': () => Uint8Array.of(0, 255) }
    assert.deepEqual([...(await runFake(['call', 'a.bytes'], { handlers })).stdoutBytes], [0, 255])
    assert.equal((await runFake(['call', 'a.bytes'], { handlers, columns: 80 })).stdout, '{"base64":"AP8="}\n')
    assert.equal((await runFake(['call', 'a.bytes', '--json'], { handlers })).stdout, '{"base64":"AP8="}\n')
  })

  const sum = { 'a.sum': async (_input: never, { upload }: { upload?: AsyncIterable<unknown> | Iterable<unknown> }) => {
    const items: unknown[] = []
    for await (const item of upload ?? []) items.push(item instanceof Uint8Array ? [...item] : item)
    return items
  } }

  it('stdin is the argument, a stream of JSON lines, or bytes', async () => {
    const echo = { 'a.b': (input: unknown) => input }
    const argument = await runFake(['call', 'a.b', '-'], { handlers: echo, stdin: ['{"a":', '1}\n'] })
    assert.equal(argument.stdout, '{"a":1}\n')
    const items = await runFake(['call', 'a.sum', '--stdin'], { handlers: sum, stdin: ['1\n{"a":2}\n\n', '3'] })
    assert.equal(items.stdout, '[1,{"a":2},3]\n')
    const bytes = await runFake(['call', 'a.sum', '--stdin-bytes'], { handlers: sum, stdin: [Uint8Array.of(7, 0)] })
    assert.equal(bytes.stdout, '[[7,0]]\n')
  })

  it('a line of stdin that is not JSON is named by its number', async () => {
    const { code, stderr } = await runFake(['call', 'a.sum', '--stdin'], { handlers: sum, stdin: ['1\nx\n'] })
    assert.equal(code, 2)
    assert.match(stderr, /line 2 of stdin is not JSON from character 1 on: "x"/)
    const twice = await runFake(['call', 'a.sum', '-', '--stdin'], { handlers: sum })
    assert.equal(twice.code, 2)
    assert.match(twice.stderr, /stdin can be read once only/)
  })

  it('cat asks the machine that the uri names and prints the very bytes', async () => {
    const bytes = randomBytes(300_000)
    const { code, stdoutBytes, net } = await runFake(['cat', URI, '--offset', '5', '--length', '9'], {
      handlers: { 'indexer.read': async function* () {
        for (let at = 0; at < bytes.length; at += 65_536) yield new Uint8Array(bytes.subarray(at, at + 65_536))
      } },
    })
    const hash = (data: Uint8Array): string => createHash('sha256').update(data).digest('hex')
    assert.deepEqual([code, hash(stdoutBytes)], [0, hash(bytes)])
    assert.deepEqual(net.calls[0]?.input, { uri: URI, offset: 5, length: 9 })
    assert.equal(net.calls[0]?.options.node, FAKE_PEER)
  })

  it('cat reads no further than stdout takes', async () => {
    let release = (): void => {}
    const produced: number[] = []
    const stdout = new Writable({ highWaterMark: 1, write(_chunk, _encoding, done) { release = done } })
    const done = runFake(['cat', URI], { stdout, handlers: { 'indexer.read': async function* () {
      while (produced.length < 10) {
        produced.push(1000)
        yield new Uint8Array(1000)
      }
    } } })
    // Enough turns for everything that could run on without the output.
    for (let at = 0; at < 200; at++) await turn()
    assert.ok(produced.length <= 2, `${produced.length} chunks were read`)
    for (let at = 0; at < 200; at++) {
      release()
      await turn()
    }
    assert.equal((await done).code, 0)
    assert.equal(produced.length, 10)
  })

  it('cat refuses a machine that sends anything but bytes', async () => {
    const { code, stdout, stderr } = await runFake(['cat', URI], { handlers: { 'indexer.read': () => 'text' } })
    assert.deepEqual([code, stdout], [1, ''])
    assert.match(stderr, /^warren: INTERNAL: indexer\.read answered string where bytes were expected\n$/)
  })

  const root = { root: 'docs', path: '/home/ann/docs', files: 2, bytes: 1500 }

  it('index commands go to this machine\'s own indexer, with absolute paths', async () => {
    const handlers = {
      'indexer.add': () => root, 'indexer.remove': () => root, 'indexer.rescan': () => [root],
      'indexer.roots': () => [root],
    }
    const add = await runFake(['index', 'add', 'docs', '--name', 'd'], { handlers })
    assert.equal(add.stdout, 'docs: 2 files (1.5 kB) in /home/ann/docs can be found by name\n')
    assert.deepEqual(add.net.calls[1]?.input, { path: '/home/ann/docs', name: 'd' })
    assert.equal(add.net.calls[1]?.options.node, FAKE_PEER)
    assert.match((await runFake(['index', 'rm', 'docs'], { handlers })).stdout, /^docs is forgotten; the files in/)
    assert.equal((await runFake(['index', 'rescan'], { handlers })).stdout,
      'docs: 2 files (1.5 kB) in /home/ann/docs\n')
    assert.match((await runFake(['index', 'ls'], { handlers })).stdout, /^docs +2 +1\.5 kB +\/home\/ann\/docs$/m)
    for (const argv of [['add', 'x'], ['rm', 'x'], ['rescan'], ['ls']]) {
      assert.deepEqual(JSON.parse((await runFake(['index', ...argv, '--json'], { handlers })).stdout), root)
    }
  })

  it('index status tells what could not be read on stderr', async () => {
    const status = { ...root, state: 'reading', contents: 1, pending: 1, scanned: null,
      unreadable: { count: 1, first: [{ path: 'a\tb', reason: 'EACCES' }] } }
    const handlers = { 'indexer.status': () => [status] }
    const { stdout, stderr } = await runFake(['index', 'status'], { handlers })
    assert.match(stdout, /^docs +reading +2 +1\.5 kB +1 +1 +1 +- +\/home/m)
    assert.equal(stderr, 'unreadable: docs/a\\tb: EACCES\n')
    const json = await runFake(['index', 'status', '--json'], { handlers })
    assert.deepEqual([JSON.parse(json.stdout), json.stderr], [status, ''])
  })

  it('an empty list is only its titles, and on a terminal the next step', async () => {
    const handlers = { 'indexer.roots': () => [] }
    assert.equal(lines((await runFake(['index', 'ls'], { handlers })).stdout).length, 1)
    assert.match((await runFake(['index', 'ls'], { handlers, columns: 80 })).stderr, /warren index add/)
    assert.equal((await runFake(['index', 'ls', '--json'], { handlers })).stdout, '')
    assert.match(plain((await runFake(['index', 'ls'], { handlers, columns: 80 })).stdout), /^root +files/)
  })
})

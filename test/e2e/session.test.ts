/** The session that a reader of the README types, line by line, on two nodes. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import {
  ECHO, errorOf, eventually, openShell, type Ready, type Running, type Shell, SLOW_MACHINE_MS,
} from './shell.ts'

interface Hit {
  uri: string, name: string, host: string, path: string, size: number, modified: string, score: number, snippet: string
}

describe('e2e: a session on two nodes', function () {
  this.timeout(SLOW_MACHINE_MS)
  let shell: Shell
  let a: Running & { ready: Ready }
  let b: Running & { ready: Ready }
  let app: Running
  const film = randomBytes(5 * 1024 * 1024)
  before(async () => {
    shell = await openShell()
    a = await shell.up('a')
    b = await shell.up('b', ['--join', a.ready.addresses[0]!])
    app = shell.start(['run', shell.write('apps/echo.ts', ECHO)])
    await app.line(/^echo: serving say, count, wait, soon on node 12D3Koo/)
    await eventually(async () => (await shell.json<{ app: string }>(['apps'], { home: 'b' }))
      .some((each) => each.app === 'echo') || undefined)
    shell.write('docs/trip to the sea.txt', 'We packed three words and a kettle,\nthen the sea was closed.\n')
    shell.write('docs/film.bin', film)
    mkdirSync(join(shell.folder, 'docs/deeper'))
    shell.write('docs/deeper/empty.txt', '')
  })
  after(() => shell.end())

  /** The URI of a file on `a`, found from `b`. */
  const uriOf = async (words: string): Promise<string> => (await eventually(async () =>
    (await shell.json<Hit>(['find', words], { home: 'b' }))[0])).uri

  it('up --json prints who is ready, where, and how long it took', () => {
    assert.deepEqual(Object.keys(a.ready), ['event', 'peerId', 'socket', 'addresses', 'milliseconds'])
    assert.equal(a.ready.event, 'ready')
    assert.match(a.ready.peerId, /^12D3Koo\w+$/)
    assert.match(a.ready.addresses[0]!, new RegExp(`^/ip4/127\\.0\\.0\\.1/tcp/\\d+/p2p/${a.ready.peerId}$`))
    assert.ok(a.ready.socket.startsWith(shell.folder))
    assert.ok(a.ready.milliseconds > 0)
  })

  it('status, nodes and apps show both machines', async () => {
    const [status] = await shell.json<{ peerId: string, name: string, pid: number, peers: number }>(['status'])
    assert.deepEqual([status?.peerId, status?.name, status?.pid, status?.peers], [a.ready.peerId, 'a', a.pid, 1])
    const nodes = await shell.json<{ name: string, state: string }>(['nodes'], { home: 'b' })
    assert.deepEqual(nodes.map(({ name, state }) => `${name} ${state}`), ['b up', 'a up'])
    const apps = await shell.json<{ app: string, nodeName: string }>(['apps'], { home: 'b' })
    assert.ok(apps.some(({ app: name, nodeName }) => name === 'echo' && nodeName === 'a'))
  })

  it('an app in an empty folder, which imports warren and zod, is called from the other machine', async () => {
    const said = await shell.run(['call', 'echo.say', '{"text":"hi"}'], { home: 'b' })
    assert.deepEqual([said.code, said.stdout.toString(), said.stderr], [0, '{"text":"hi"}\n', ''])
    const counted = await shell.run(['call', 'echo.count', '{"to":3}'], { home: 'b' })
    assert.deepEqual([counted.code, counted.stdout.toString()], [0, '0\n1\n2\n'])
    const lines = await shell.run(['call', 'echo.say', '-', '--json'], { home: 'b', stdin: '{"text":"from stdin"}' })
    assert.equal(lines.stdout.toString(), '{"text":"from stdin"}\n')
  })

  it('a folder is indexed on one machine and a file in it found from the other, with a snippet', async () => {
    const [added] = await shell.json<{ root: string, files: number }>(['index', 'add', join(shell.folder, 'docs')])
    assert.deepEqual([added?.root, added?.files], ['docs', 3])
    const [hit] = await eventually(async () => {
      const hits = await shell.json<Hit>(['find', 'three words'], { home: 'b' })
      return hits[0]?.snippet ? hits : undefined
    })
    const keys = ['uri', 'name', 'host', 'path', 'size', 'modified', 'score', 'snippet']
    for (const key of keys) assert.ok(key in hit!, key)
    assert.deepEqual([hit!.name, hit!.host, hit!.size], ['trip to the sea.txt', 'a', 61])
    assert.match(hit!.uri, new RegExp(`^warren://${a.ready.peerId}/docs/`))
    assert.match(hit!.snippet, /three words/)
    const none = await shell.run(['find', 'nothing-has-this-word', '--json'], { home: 'b' })
    assert.deepEqual([none.code, none.stdout.toString()], [0, ''])
    const [root] = await shell.json<{ root: string, state: string }>(['index', 'status'])
    assert.equal(root?.root, 'docs')
  })

  it('a 5 MiB binary file comes byte for byte, and so does each range of it', async () => {
    const uri = await uriOf('film')
    const whole = await shell.run(['cat', uri], { home: 'b' })
    assert.equal(whole.code, 0, whole.stderr)
    assert.ok(whole.stdout.equals(film))
    const ranges = [[0, 0], [0, 1], [65_535, 2], [1_000_000, 3_000_000], [film.length - 7, 7]] as const
    for (const [offset, length] of ranges) {
      const range = await shell.run(['cat', uri, '--offset', `${offset}`, '--length', `${length}`], { home: 'b' })
      assert.ok(range.stdout.equals(film.subarray(offset, offset + length)), `${offset} ${length}`)
    }
    const rest = await shell.run(['cat', uri, '--offset', `${film.length - 5}`], { home: 'b' })
    assert.ok(rest.stdout.equals(film.subarray(-5)))
    const beyond = await shell.run(['cat', uri, '--offset', `${film.length + 1}`, '--json'], { home: 'b' })
    assert.deepEqual([beyond.code, errorOf(beyond).code], [1, 'OUT_OF_RANGE'])
    const empty = await shell.run(['cat', await uriOf('empty')], { home: 'b' })
    assert.deepEqual([empty.code, empty.stdout.length], [0, 0])
  })

  it('each mistake gets one clear line, its exit code, and a JSON object under --json', async () => {
    const cases: [string[], number, string, RegExp][] = [
      [['call', 'ecko.say', '{}'], 1, 'APP_NOT_FOUND', /no app 'ecko'; did you mean 'echo'\?/],
      [['call', 'echo.shout'], 1, 'METHOD_NOT_FOUND', /has no method 'shout'; it has say, count/],
      [['call', 'echo.say', '{"text":7}'], 1, 'SCHEMA', /'text' in the input of echo\.say/],
      [['call', 'echo.say', '{text}'], 2, 'BAD_ARGUMENT', /not JSON/],
      [['call', 'echo.say', '{}', '--node', 'nobody'], 1, 'NODE_NOT_FOUND', /no node 'nobody'/],
      [['connect', '/ip4/127.0.0.1/tcp/1'], 1, 'NODE_UNREACHABLE', /does not answer/],
      [['connect', '/ip4/192.0.2.1/tcp/1'], 1, 'DENIED', /loopback only/],
      [['index', 'add', './no such folder'], 1, 'FILE_NOT_FOUND', /no folder '.*no such folder'/],
      [['cat', `warren://${a.ready.peerId}/docs/none.txt`], 1, 'FILE_NOT_FOUND', /docs\/none\.txt/],
      [['cat', `warren://${a.ready.peerId}/other/none.txt`], 1, 'FILE_NOT_FOUND', /no root "other"/],
      [['cat', 'none.txt'], 2, 'BAD_ARGUMENT', /warren:\/\//],
      [['run', './none.ts'], 1, 'FILE_NOT_FOUND', /there is no file .*none\.ts/],
      [['statsu'], 2, 'USAGE', /did you mean 'status'\?/],
    ]
    await Promise.all(cases.map(async ([args, code, name, message]) => {
      const ended = await shell.run([...args, '--json'], { home: 'b' })
      assert.equal(ended.code, code, args.join(' '))
      assert.equal(ended.stdout.length, 0)
      const error = errorOf(ended)
      assert.deepEqual(Object.keys(error), ['code', 'name', 'message'])
      assert.equal(error.name, name)
      assert.match(error.message, message)
    }))
    const text = await shell.run(['call', 'ecko.say', '{}'], { home: 'b' })
    assert.equal(text.stderr, 'warren: NOT_FOUND: no app \'ecko\'; did you mean \'echo\'?\n')
  })

  it('a second node for a home, and a second app of a name, are refused with a sentence', async () => {
    const second = await shell.run(['up', '--json'])
    assert.deepEqual([second.code, errorOf(second).name], [1, 'HOME_IN_USE'])
    assert.match(errorOf(second).message, new RegExp(`process ${a.pid}.*warren down`))
    const again = await shell.run(['run', join(shell.folder, 'apps/echo.ts')])
    assert.equal(again.code, 1)
    assert.match(again.stderr, /app 'echo' is served by process \d+ on this node already/)
  })

  it('down ends the node, its apps and whoever runs one beside it', async () => {
    const down = await shell.run(['down', '--json'], { home: 'b' })
    assert.deepEqual([down.code, JSON.parse(down.stdout.toString())], [0, { event: 'down', pid: b.pid }])
    assert.equal((await b.ended).code, 0)
    // From a terminal whose runtime folder is another.
    const elsewhere = { env: { XDG_RUNTIME_DIR: join(shell.folder, 'empty') } }
    assert.equal((await shell.run(['down'], elsewhere)).stdout.toString(), 'warren is down\n')
    assert.deepEqual([(await a.ended).code, (await a.ended).stderr], [0, ''])
    assert.equal((await app.ended).code, 0)
    const none = await shell.run(['down', '--json'])
    assert.deepEqual([none.code, errorOf(none).name], [1, 'NODE_NOT_RUNNING'])
  })
})

/** Tests of starting, stopping and running: `up`, `down` and `run` against a node that is only pretended. */
import assert from 'node:assert/strict'
import type { EventEmitter } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { mock } from 'node:test'
import { pathToFileURL } from 'node:url'
import { WarrenError } from '../../../protocols/errors.ts'
import { prepareSocketFolder, resolveHome } from '../../../node/home.ts'
import type { NodeOptions, RunningNode, RunOptions } from '../../../node/cli/session.ts'
import { FAKE_PEER, plain, runFake, type FakeOptions, type FakeResult } from './fake.ts'

describe('cli/up', () => {
  let folder = ''
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'warren-up-')) })
  afterEach(() => { rmSync(folder, { recursive: true, force: true }) })

  /** Runs `up` with a node that starts at once; `then` is called when it has started. */
  const up = async (
    argv: readonly string[], then: (node: { stop(): void, signals: EventEmitter }) => void, options: FakeOptions = {},
  ): Promise<FakeResult & { given: NodeOptions | undefined, stops: (string | undefined)[] }> => {
    let signals: EventEmitter | undefined
    let given: NodeOptions | undefined
    const stops: (string | undefined)[] = []
    const createNode = async (nodeOptions: NodeOptions): Promise<RunningNode> => {
      given = nodeOptions
      const { promise, resolve } = Promise.withResolvers<void>()
      nodeOptions.logger.info({ port: 7 }, 'started')
      setImmediate(() => { if (signals !== undefined) then({ stop: resolve, signals }) })
      return {
        peerId: FAKE_PEER, name: nodeOptions.config.name, socket: nodeOptions.home.socket, milliseconds: 321,
        addresses: ['/ip4/127.0.0.1/tcp/4001', `/ip4/127.0.0.1/tcp/4002/p2p/${FAKE_PEER}`],
        stopped: promise,
        async stop(reason) {
          stops.push(reason)
          resolve()
        },
      }
    }
    const result = await runFake(['up', ...argv], {
      createNode, ...options, env: { WARREN_HOME: join(folder, 'home'), ...options.env },
      onStart: (emitter) => { signals = emitter },
    })
    return { ...result, given, stops }
  }

  it('the ready line under --json is one object', async () => {
    const { code, stdout, given } = await up(['--json'], ({ stop }) => { stop() })
    assert.equal(code, 0)
    assert.deepEqual(JSON.parse(stdout), {
      event: 'ready', peerId: FAKE_PEER, socket: given?.home.socket, milliseconds: 321,
      addresses: [`/ip4/127.0.0.1/tcp/4001/p2p/${FAKE_PEER}`, `/ip4/127.0.0.1/tcp/4002/p2p/${FAKE_PEER}`],
    })
  })

  it('people read who it is, where to join it, and what to type next', async () => {
    const { stdout } = await up(['--name', 'attic'], ({ stop }) => { stop() }, { columns: 80 })
    const text = plain(stdout)
    assert.match(text, /^warren is up: attic, ready in 321 ms$/m)
    assert.match(text, new RegExp(`^ {2}join it at {2}/ip4/127\\.0\\.0\\.1/tcp/4001/p2p/${FAKE_PEER}$`, 'm'))
    assert.ok(text.includes(`\nopen a second terminal here and type: WARREN_HOME=${folder}/home warren status\n`))
  })

  it('from the repository the command to type is npm\'s, and a home with a space is quoted', async () => {
    const { stdout } = await up([], ({ stop }) => { stop() }, {
      env: { npm_lifecycle_event: 'start', npm_package_name: 'warren', WARREN_HOME: join(folder, 'my home') },
    })
    assert.ok(stdout.includes(`type: WARREN_HOME='${folder}/my home' npm run -s warren -- status\n`))
  })

  it('Ctrl-C and SIGTERM stop the node in order, and that is done, not failed', async () => {
    for (const name of ['SIGINT', 'SIGTERM']) {
      const { code, stops, stderr, exits } = await up([], ({ signals }) => { signals.emit(name) })
      assert.deepEqual([code, stops, stderr, exits], [0, ['it was interrupted'], '', []])
    }
  })

  it('a second Ctrl-C ends the process at once, and one that npm passes on again does not', async () => {
    const laterMs = async (pauseMs: number): Promise<readonly number[]> => {
      let aheadMs = 0
      const now = performance.now.bind(performance)
      const clock = mock.method(performance, 'now', () => now() + aheadMs)
      const { exits } = await up([], ({ signals }) => {
        signals.emit('SIGINT')
        aheadMs = pauseMs
        signals.emit('SIGINT')
      }).finally(() => { clock.mock.restore() })
      return exits
    }
    assert.deepEqual(await laterMs(500), [130])
    assert.deepEqual(await laterMs(3), [])
  })

  it('flags, the file and the default apps come together in what the node is made from', async () => {
    mkdirSync(join(folder, 'home'))
    writeFileSync(join(folder, 'home/config.toml'), '[apps.echo]\npath = "echo.ts"')
    writeFileSync(join(folder, 'home/echo.ts'), '')
    const indexer = { name: 'indexer', path: new URL('file:///indexer.ts') }
    const { given } = await up(
      ['--join', '/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2', '--listen', '/ip4/127.0.0.1/tcp/3',
        '--log-level', 'warn'],
      ({ stop }) => { stop() }, { defaultApps: [indexer] },
    )
    assert.deepEqual(given?.config.join, ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2'])
    assert.deepEqual(given?.config.listen, ['/ip4/127.0.0.1/tcp/3'])
    assert.deepEqual(given?.apps, [indexer, { name: 'echo', path: pathToFileURL(join(folder, 'home/echo.ts')) }])
    assert.equal(given?.logger.level, 'warn')
  })

  it('an app of the file may not take the name of a default one', async () => {
    mkdirSync(join(folder, 'home'))
    writeFileSync(join(folder, 'home/config.toml'), '[apps.search]\npath = "config.toml"')
    const defaultApps = [{ name: 'search', path: new URL('file:///s.ts') }]
    const { code, stderr } = await up([], () => {}, { defaultApps })
    assert.equal(code, 1)
    assert.match(stderr, /config\.toml: apps\.search is taken by an app that every node starts\n$/)
  })

  it('a bad file fails, a bad flag is wrong usage', async () => {
    mkdirSync(join(folder, 'home'))
    writeFileSync(join(folder, 'home/config.toml'), 'nmae = "x"')
    const file = await up([], () => {})
    assert.equal(file.code, 1)
    assert.match(file.stderr, /unknown key 'nmae'; did you mean 'name'\?\n$/)
    rmSync(join(folder, 'home/config.toml'))
    const flag = await up(['--listen', '/ip4/0.0.0.0/tcp/0'], () => {})
    assert.equal(flag.code, 2)
    assert.match(flag.stderr, /^warren: INVALID_ARGUMENT: --listen "\/ip4\/0\.0\.0\.0\/tcp\/0" is refused: until/)
    const peer = await up(['--join', 'attic'], () => {})
    assert.equal(peer.code, 2)
    assert.match(peer.stderr, /--join "attic" is not an address.*\/ip4\/127\.0\.0\.1\/tcp\/4001\/p2p\/12D3KooW…/)
  })

  it('where stderr is no terminal the log is JSON lines in the logs folder, for its owner alone', async () => {
    const { stderr } = await up([], ({ stop }) => { stop() })
    const [line = ''] = readFileSync(join(folder, 'home/logs/node.log'), 'utf8').split('\n')
    const { level, port, msg } = JSON.parse(line) as Record<string, unknown>
    assert.deepEqual([level, port, msg, stderr], [30, 7, 'started', ''])
  })

  it('a node that does not start is an error', async () => {
    const { code, stderr, stdout } = await up(['--json'], () => {}, {
      createNode: async () => { throw new WarrenError('HOME_IN_USE', 'a node runs for this home already') },
    })
    assert.deepEqual([code, stdout], [1, ''])
    assert.equal(JSON.parse(stderr).error.name, 'HOME_IN_USE')
  })

  it('down waits until the process is gone', async () => {
    let looks = 0
    const { code, stdout, net } = await runFake(['down'], {
      handlers: { 'node.stop': () => ({}) }, env: { WARREN_HOME: folder },
      isAlive: (pid) => pid === 4242 && ++looks < 3,
    })
    assert.deepEqual([code, stdout, looks], [0, 'warren is down\n', 3])
    assert.deepEqual(net.calls.map(({ method }) => method), ['node.status', 'node.stop'])
  })

  it('down does not mind if the node is gone before it answers', async () => {
    const { code, stdout } = await runFake(['down', '--json'], {
      handlers: { 'node.stop': () => { throw new WarrenError('LINK_LOST', 'the link was lost') } },
    })
    assert.deepEqual([code, JSON.parse(stdout)], [0, { event: 'down', pid: 4242 }])
    const handlers = { 'node.stop': () => { throw new WarrenError('DENIED', 'no') } }
    assert.equal((await runFake(['down'], { handlers })).code, 1)
  })

  it('Ctrl-C ends the wait for a node that does not go', async () => {
    const home = resolveHome({ WARREN_HOME: folder, XDG_RUNTIME_DIR: folder })
    prepareSocketFolder(home)
    writeFileSync(home.socket, '')
    let signals: EventEmitter | undefined
    const { code } = await runFake(['down'], {
      handlers: { 'node.stop': () => ({}) }, env: { WARREN_HOME: folder, XDG_RUNTIME_DIR: folder },
      onStart: (emitter) => { signals = emitter },
      isAlive: () => {
        signals?.emit('SIGINT')
        return true
      },
    })
    assert.equal(code, 130)
    assert.ok(existsSync(dirname(home.socket)))
  })

  it('run hands an absolute path to the runner and ends with the app\'s exit code', async () => {
    let given: RunOptions | undefined
    const file = join(folder, 'app.ts')
    writeFileSync(file, '')
    const { code } = await runFake(['run', file], { runApp: async (options) => {
      given = options
      return 7
    } })
    assert.deepEqual([code, given?.file, given?.home.folder], [7, file, '/tmp/warren-test-home'])
  })

  it('run names a file that is not there', async () => {
    const { code, stderr } = await runFake(['run', 'none.ts'])
    assert.deepEqual([code, stderr], [1, 'warren: NOT_FOUND: there is no file /home/ann/none.ts\n'])
  })

  it('run ends with 130 after Ctrl-C, when the app has ended', async () => {
    const file = join(folder, 'app.ts')
    writeFileSync(file, '')
    let signals: EventEmitter | undefined
    const { code } = await runFake(['run', file], {
      onStart: (emitter) => { signals = emitter },
      runApp: ({ signal }) => new Promise((resolve) => {
        signal.addEventListener('abort', () => { resolve(0) })
        signals?.emit('SIGINT')
      }),
    })
    assert.equal(code, 130)
  })
})

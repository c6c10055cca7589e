/** Tests of the command line as a whole: usage, exit codes, errors as text and JSON, signals, a lost reader. */
import assert from 'node:assert/strict'
import type { EventEmitter } from 'node:events'
import { Writable } from 'node:stream'
import { mock } from 'node:test'
import { WarrenError } from '../../../protocols/errors.ts'
import { runFake } from './fake.ts'

const COMMANDS = [
  'up', 'down', 'status', 'nodes', 'apps', 'connect', 'call', 'run', 'find', 'cat', 'index', 'completion',
]

describe('cli', () => {
  it('the version is printed alone on a line', async () => {
    const { code, stdout, stderr } = await runFake(['--version'])
    assert.deepEqual([code, stdout, stderr], [0, '0.1.0\n', ''])
  })

  it('help lists every command and needs no home that can be', async () => {
    const { code, stdout } = await runFake(['--help'], { env: { WARREN_HOME: 'a\0' } })
    assert.equal(code, 0)
    for (const command of COMMANDS) assert.match(stdout, new RegExp(`^ {2}${command}\\b`, 'm'))
  })

  it('every command has a help with an example and --json', async () => {
    const subcommands = ['add', 'rm', 'ls', 'status', 'rescan'].map((name) => ['index', name])
    for (const words of [...COMMANDS.map((name) => [name]), ...subcommands]) {
      const { code, stdout, stderr } = await runFake([...words, '--help'])
      assert.equal(code, 0, words.join(' '))
      assert.match(stdout, /\nExample:\n {2}\$ (source <\()?warren /, words.join(' '))
      assert.match(stdout, / --json /, words.join(' '))
      assert.equal(stderr, '')
    }
  })

  it('no command at all is wrong usage, and shows the help on stderr', async () => {
    const { code, stdout, stderr } = await runFake([])
    assert.deepEqual([code, stdout], [2, ''])
    assert.match(stderr, /^Usage: warren /)
    const json = await runFake(['--json'])
    assert.equal(json.code, 2)
    assert.equal(JSON.parse(json.stderr).error.name, 'USAGE')
  })

  it('wrong usage is one line on stderr, names the thing, and ends with 2', async () => {
    const cases: [string[], RegExp][] = [
      [['stauts'], /unknown command 'stauts'; did you mean 'status'\?/],
      [['index', 'ad', 'x'], /unknown command 'ad'; did you mean 'add'\?/],
      [['up', '--lisen', 'x'], /unknown option '--lisen'; did you mean '--listen'\?/],
      [['cat'], /missing required argument 'uri'/],
      [['status', 'now'], /too many arguments for 'status'/],
      [['find', 'x', '--limit', '0'], /'0' is invalid\. It must be a whole number from 1 to 1000/],
      [['cat', 'warren://x/y', '--offset', '-1'], /'-1' is invalid/],
      [['call', 'a.b', '--timeout', 'soon'], /'soon' is invalid/],
      [['completion', 'tcsh'], /'tcsh' is invalid.*bash, zsh, fish/],
      [['call', 'nodot'], /"nodot" is not app\.method/],
      [['call', 'a.b', '{x}'], /not JSON from character 2/],
      [['cat', 'file:///etc/passwd'], /does not begin with warren:\/\//],
      [['connect', 'box:4001'], /"box:4001" is not an address.*\/ip4\/127\.0\.0\.1\/tcp\/4001\/p2p\//],
    ]
    for (const [argv, message] of cases) {
      const { code, stdout, stderr } = await runFake(argv)
      assert.deepEqual([code, stdout], [2, ''], argv.join(' '))
      assert.match(stderr, /^warren: INVALID_ARGUMENT: [^\n]+\n$/)
      assert.match(stderr, message)
      const json = await runFake([...argv, '--json'])
      assert.equal(json.code, 2)
      const { error } = JSON.parse(json.stderr) as { error: { code: string, name: string, message: string } }
      assert.deepEqual(Object.keys(error), ['code', 'name', 'message'])
      assert.match(error.name, /^(USAGE|BAD_ARGUMENT)$/)
      assert.match(error.message, message)
    }
  })

  it('an error is one line on stderr with its code, and its name under --json', async () => {
    const options = { handlers: { 'ecko.say': () => {
      throw new WarrenError('APP_NOT_FOUND', 'no app \'ecko\'; did you mean \'echo\'?\n\u001b[31m')
    } } }
    const text = await runFake(['call', 'ecko.say'], options)
    assert.equal(text.code, 1)
    assert.equal(text.stderr, 'warren: NOT_FOUND: no app \'ecko\'; did you mean \'echo\'?\\n\\x1b[31m\n')
    const json = await runFake(['--json', 'call', 'ecko.say'], options)
    assert.deepEqual(JSON.parse(json.stderr), { error: {
      code: 'NOT_FOUND', name: 'APP_NOT_FOUND', message: 'no app \'ecko\'; did you mean \'echo\'?\n\u001b[31m',
    } })
    assert.ok(text.net.isClosed)
  })

  it('a callee that answers BAD_ARGUMENT has failed; the command line was not wrong', async () => {
    const handlers = { 'a.b': () => { throw new WarrenError('BAD_ARGUMENT', 'no') } }
    assert.equal((await runFake(['call', 'a.b'], { handlers })).code, 1)
  })

  it('--json after two dashes does not turn errors into JSON', async () => {
    const { code, stderr } = await runFake(['call', '--', 'nodot', '--json'])
    assert.equal(code, 2)
    assert.match(stderr, /^warren: /)
  })

  it('without a node it says how to start one', async () => {
    const { code, stderr } = await runFake(['status'], {
      connect: async ({ home }) => {
        throw new WarrenError('NODE_NOT_RUNNING', `no node runs for ${home}; start one with: warren up`)
      },
    })
    assert.equal(code, 1)
    assert.equal(stderr, 'warren: UNAVAILABLE: no node runs for /tmp/warren-test-home; start one with: warren up\n')
  })

  /** A call that ends only when its signal fires, or never. */
  const waiting = (signalName: string, ignoresSignal = false, beforeSecond = (): void => {}) => {
    let signals: EventEmitter | undefined
    return {
      onStart: (given: EventEmitter) => { signals = given },
      handlers: {
        'a.b': (_input: never, { signal }: { signal?: AbortSignal }) => new Promise((resolve, reject) => {
          signal?.addEventListener('abort', () => {
            if (!ignoresSignal) reject(new WarrenError('CANCELLED', 'given up'))
            else {
              beforeSecond()
              signals?.emit(signalName)
              resolve('done at last')
            }
          })
          signals?.emit(signalName)
        }),
      },
    }
  }

  it('Ctrl-C cancels the call and ends with 130, SIGTERM with 143, without a word', async () => {
    for (const [name, expected] of [['SIGINT', 130], ['SIGTERM', 143]] as const) {
      const { code, stderr, exits, net } = await runFake(['call', 'a.b'], waiting(name))
      assert.deepEqual([code, stderr, exits], [expected, '', []])
      assert.ok(net.isClosed)
    }
  })

  it('a second Ctrl-C ends the process at once', async () => {
    let aheadMs = 0
    const now = performance.now.bind(performance)
    const clock = mock.method(performance, 'now', () => now() + aheadMs)
    const { exits } = await runFake(['call', 'a.b'], waiting('SIGINT', true, () => { aheadMs = 500 }))
      .finally(() => { clock.mock.restore() })
    assert.deepEqual(exits, [130])
  })

  it('when the reader of the output leaves, the stream is given up and the end is quiet', async () => {
    const stdout = new Writable({
      write(_chunk, _encoding, done) { done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' })) },
    })
    let ended = false
    const { code, stderr } = await runFake(['call', 'a.b'], { stdout, handlers: { 'a.b': async function* () {
      try {
        for (;;) yield await new Promise((resolve) => { setImmediate(resolve, 'x') })
      } finally {
        ended = true
      }
    } } })
    assert.deepEqual([code, stderr, ended], [0, '', true])
  })

  it('an output that cannot be written for another reason is an error', async () => {
    const stdout = new Writable({
      write(_chunk, _encoding, done) { done(Object.assign(new Error('no space left'), { code: 'ENOSPC' })) },
    })
    const { code, stderr } = await runFake(['status'], { stdout })
    assert.equal(code, 1)
    assert.equal(stderr, 'warren: ABORTED: the output cannot be written: no space left\n')
  })
})

/** Ctrl-C, and other ends of processes that nobody planned: each command ends, and what it started ends with it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  ECHO, eventually, gone, openShell, type Running, type Shell, SLOW_MACHINE_MS,
} from './shell.ts'

interface AppLine { readonly app: string, readonly pid: number, readonly local: boolean }

describe('e2e: signals and crashes', function () {
  this.timeout(SLOW_MACHINE_MS)
  let shell: Shell
  beforeEach(async () => { shell = await openShell() })
  afterEach(() => shell.end())

  const log = (home = 'a'): string => readFileSync(join(shell.home(home), 'logs', 'node.log'), 'utf8')

  /** Process ids of this node's apps, once all of `names` are there. */
  const pids = (names: readonly string[], home = 'a'): Promise<number[]> => eventually(async () => {
    const apps = await shell.json<AppLine>(['apps', '--local'], { home })
    const found = names.map((name) => apps.find(({ app }) => app === name)?.pid)
    return found.every((pid) => pid !== undefined) ? found : undefined
  })

  const runEcho = async (): Promise<Running> => {
    const app = shell.start(['run', shell.write('apps/echo.ts', ECHO)])
    await app.line(/^echo: serving/)
    return app
  }

  it('Ctrl-C ends up in order, its apps are neither killed nor started again before', async () => {
    shell.write('homes/a/config.toml', '[apps.echo]\npath = "../../apps/echo.ts"\n')
    shell.write('apps/echo.ts', `${ECHO}\nprocess.on('SIGINT', () => console.log('SIGINT reached the app'))`)
    const a = await shell.up('a')
    await shell.up('b', ['--join', a.ready.addresses[0]!])
    const apps = await pids(['indexer', 'search', 'echo'])
    const call = shell.start(['call', 'echo.soon'], { home: 'b' })
    await call.line(/"begun"/)
    // A terminal signals the whole process group, and npm passes it on once more.
    a.ctrlC()
    a.ctrlC()
    assert.deepEqual((await call.ended).stdout.toString(), '"begun"\n"finished"\n', (await call.ended).stderr)
    assert.deepEqual([(await a.ended).code, (await a.ended).signal], [0, null])
    await Promise.all(apps.map(gone))
    assert.match(log(), /"msg":"stopped"/)
    assert.doesNotMatch(log(), /app-ended|app-killed|SIGINT reached the app/)
  })

  it('a second Ctrl-C half a second later ends up at once, with the apps that do not want to', async () => {
    const a = await shell.up('a')
    const apps = await pids(['indexer', 'search'])
    for (const pid of apps) process.kill(pid, 'SIGSTOP')
    const first = performance.now()
    a.ctrlC()
    await eventually(() => performance.now() - first > 550 || undefined)
    a.ctrlC()
    assert.equal((await a.ended).code, 130)
    await Promise.all(apps.map(gone))
    assert.equal((await shell.run(['status'])).code, 1)
    await shell.up('a')
  })

  it('Ctrl-C ends call and run, and the handler hears that its caller is gone', async () => {
    const a = await shell.up('a')
    const app = await runEcho()
    const call = shell.start(['call', 'echo.wait'])
    await call.line(/"pid"/)
    call.ctrlC()
    assert.deepEqual([(await call.ended).code, (await call.ended).stderr], [130, ''])
    await app.line(/the caller of wait is gone/)
    app.ctrlC()
    assert.deepEqual([(await app.ended).code, (await app.ended).stderr], [130, ''])
    const after = await shell.run(['call', 'echo.say', '{"text":"x"}', '--json'])
    assert.match(after.stderr, /APP_NOT_FOUND/)
    assert.equal(a.child.exitCode, null)
  })

  it('Ctrl-C ends cat, find and index while the other side is stuck', async () => {
    const a = await shell.up('a')
    shell.write('docs/a.txt', 'needle')
    await shell.json(['index', 'add', join(shell.folder, 'docs')])
    const stuck = await pids(['indexer', 'search'])
    for (const pid of stuck) process.kill(pid, 'SIGSTOP')
    const watcher = await shell.connect('a')
    for (const args of [['cat', `warren://${a.ready.peerId}/docs/a.txt`], ['find', 'needle'], ['index', 'ls']]) {
      const command = shell.start(args)
      await eventually(async () => (await watcher.call<{ callsInFlight: number }>('node.status')).callsInFlight > 0
        || undefined)
      command.ctrlC()
      assert.deepEqual([(await command.ended).code, (await command.ended).stderr], [130, ''], args.join(' '))
    }
    for (const pid of stuck) process.kill(pid, 'SIGCONT')
    assert.equal((await shell.run(['cat', `warren://${a.ready.peerId}/docs/a.txt`])).stdout.toString(), 'needle')
  })

  it('an indexer that is killed is started again by its node, and finds what it found before', async () => {
    await shell.up('a')
    shell.write('docs/a.txt', 'needle')
    await shell.json(['index', 'add', join(shell.folder, 'docs')])
    const find = (): Promise<string> => eventually(async () =>
      (await shell.json<{ name: string }>(['find', 'needle']))[0]?.name)
    assert.equal(await find(), 'a.txt')
    const [pid] = await pids(['indexer'])
    process.kill(pid!, 'SIGKILL')
    assert.equal(await find(), 'a.txt')
    assert.notDeepEqual(await pids(['indexer']), [pid])
    assert.match(log(), /app-ended/)
  })

  it('a node that is killed does not keep the next from starting, and its apps end by themselves', async () => {
    const first = await shell.up('a')
    shell.write('docs/a.txt', 'needle')
    await shell.json(['index', 'add', join(shell.folder, 'docs')])
    const app = await runEcho()
    const old = await pids(['indexer', 'search'])
    process.kill(first.pid, 'SIGKILL')
    await first.ended
    const second = await shell.up('a')
    assert.deepEqual([second.ready.peerId, second.ready.socket, second.ready.addresses],
      [first.ready.peerId, first.ready.socket, first.ready.addresses])
    await Promise.all(old.map(gone))
    assert.equal((await app.ended).code, 0)
    await pids(['indexer', 'search'])
    assert.equal(await eventually(async () =>
      (await shell.json<{ name: string }>(['find', 'needle']))[0]?.name), 'a.txt')
    const apps = await shell.json<AppLine>(['apps', '--local'])
    assert.deepEqual(apps.map(({ app: name }) => name), ['indexer', 'search'])
  })

  it('a call to an app whose process is stopped ends at its deadline, and the app goes on afterwards', async () => {
    await shell.up('a')
    await runEcho()
    const [pid] = await pids(['echo'])
    process.kill(pid!, 'SIGSTOP')
    try {
      const call = await shell.run(['call', 'echo.say', '{"text":"hi"}', '--timeout', '700', '--json'])
      assert.equal(call.code, 1)
      assert.equal((JSON.parse(call.stderr) as { error: { name: string } }).error.name, 'DEADLINE')
    } finally {
      process.kill(pid!, 'SIGCONT')
    }
    assert.equal((await shell.run(['call', 'echo.say', '{"text":"hi"}'])).stdout.toString(), '{"text":"hi"}\n')
  })

  it('an app that throws while it is loaded, and one that exports none, are told of and end with 1', async () => {
    await shell.up('a')
    const broken = await shell.run(['run', shell.write('apps/broken.ts', 'throw new Error("no luck today")')])
    assert.equal(broken.code, 1)
    assert.match(broken.stderr, /^warren: INVALID_ARGUMENT: .*broken\.ts cannot be loaded: no luck today\n$/)
    const none = await shell.run(['run', shell.write('apps/none.ts', 'export const x = 1')])
    assert.equal(none.code, 1)
    assert.match(none.stderr, /none\.ts has no app: end it with/)
  })
})

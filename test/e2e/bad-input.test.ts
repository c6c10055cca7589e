/** Files that cannot be read, a wrong configuration, nonsense on the socket: each is a sentence, never an end. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, renameSync } from 'node:fs'
import { connect as connectSocket, type Socket } from 'node:net'
import { join } from 'node:path'
import {
  ECHO, errorOf, eventually, openShell, type Ready, ROOT, type Running, type Shell, SLOW_MACHINE_MS,
} from './shell.ts'

describe('e2e: bad input', function () {
  this.timeout(SLOW_MACHINE_MS)
  let shell: Shell
  let a: Running & { ready: Ready }
  const sockets: Socket[] = []
  before(async () => {
    shell = await openShell()
    a = await shell.up('a')
    const app = shell.start(['run', shell.write('apps/echo.ts', ECHO)])
    await app.line(/^echo: serving/)
  })
  after(async () => {
    for (const socket of sockets) socket.destroy()
    await shell.end()
  })

  const dial = (): Socket => {
    const socket = connectSocket(a.ready.socket)
    socket.on('error', () => socket.destroy())
    sockets.push(socket)
    return socket
  }

  it('nonsense on the socket, a frame that is too long, and half a frame disturb nobody else', async () => {
    const steady = shell.start(['call', 'echo.wait'])
    await steady.line(/"pid"/)
    const silent = dial()
    silent.write('/warren/rpc/1/cbor\n\0')
    const half = dial()
    half.write(Buffer.concat([Buffer.from('/warren/rpc/1/cbor\n'), Buffer.from([0, 0, 0x7f])]))
    for (const bytes of [
      randomBytes(100_000), Buffer.from('GET / HTTP/1.1\r\n\r\n'), Buffer.from('\n'), Buffer.from('x'.repeat(10_000)),
      Buffer.concat([Buffer.from('/warren/rpc/1/cbor\n'), Buffer.from([2, 0, 0xff, 0xff, 0, 0, 0, 1])]),
      Buffer.concat([Buffer.from('/warren/rpc/1/json\n'), Buffer.from([0, 0, 0, 3, 0, 0, 0, 0]), Buffer.from('{"v')]),
      Buffer.concat([Buffer.from('/warren/rpc/1/cbor\n'), randomBytes(50_000)]),
    ]) {
      const socket = dial()
      socket.resume()
      const closed = once(socket, 'close')
      socket.write(bytes)
      await closed
    }
    const said = await shell.run(['call', 'echo.say', '{"text":"undisturbed"}'])
    assert.equal(said.stdout.toString(), '{"text":"undisturbed"}\n')
    assert.equal(steady.child.exitCode, null)
    // Half a frame, or none, is given up after a while; nobody has to wait for that.
    steady.ctrlC()
    assert.equal((await steady.ended).code, 130)
    assert.equal(a.child.exitCode, null)
  })

  it('a folder that does not exist, a file in its place, and a home are no roots', async () => {
    for (const [path, name, message] of [
      [join(shell.folder, 'none'), 'FILE_NOT_FOUND', /no folder/],
      [join(shell.folder, 'apps/echo.ts'), 'BAD_ARGUMENT', /is not a folder/],
      [shell.home('a'), 'DENIED', /home of a node/],
      [join(shell.home('a'), 'data'), 'DENIED', /home of a node/],
    ] as const) {
      const ended = await shell.run(['index', 'add', path, '--json'])
      assert.deepEqual([ended.code, errorOf(ended).name], [1, name])
      assert.match(errorOf(ended).message, message)
    }
  })

  it('a root that holds the node\'s own home gives away nothing of it', async () => {
    shell.write('letter.txt', 'needle')
    const [root] = await shell.json<{ root: string }>(['index', 'add', shell.folder, '--name', 'all'])
    assert.equal(root?.root, 'all')
    const names = async (word: string): Promise<string[]> =>
      (await shell.json<{ name: string }>(['find', word])).map(({ name }) => name)
    assert.deepEqual(await eventually(async () => {
      const found = await names('needle')
      return found.length > 0 ? found : undefined
    }), ['letter.txt'])
    for (const word of ['identity', 'node', 'index']) assert.deepEqual(await names(word), [])
    for (const path of ['data/identity.key', 'logs/node.log', 'node.socket']) {
      const read = await shell.run(['cat', `warren://${a.ready.peerId}/all/homes/a/${path}`, '--json'])
      assert.deepEqual([read.code, read.stdout.length, errorOf(read).name], [1, 0, 'DENIED'], path)
    }
    await shell.json(['index', 'rm', 'all'])
  })

  it('a root that vanished stays known and says so, and a file that cannot be read is listed', async () => {
    shell.write('docs/a.txt', 'needle')
    shell.write('docs/secret.txt', 'needle')
    // Root reads everything: then a folder that is gone must do.
    chmodSync(join(shell.folder, 'docs/secret.txt'), 0o000)
    await shell.json(['index', 'add', join(shell.folder, 'docs')])
    const status = (): Promise<{ state: string, unreadable: { count: number } }> => eventually(async () => {
      const [root] = await shell.json<{ state: string, unreadable: { count: number } }>(['index', 'status'])
      return root !== undefined && ['idle', 'missing'].includes(root.state) ? root : undefined
    })
    assert.equal((await status()).unreadable.count, process.getuid?.() === 0 ? 0 : 1)
    renameSync(join(shell.folder, 'docs'), join(shell.folder, 'away'))
    const rescan = await shell.run(['index', 'rescan', 'docs', '--json'])
    assert.deepEqual([rescan.code, errorOf(rescan).name], [1, 'FILE_NOT_FOUND'])
    assert.match(errorOf(rescan).message, /is not there just now/)
    assert.equal((await status()).state, 'missing')
    const read = await shell.run(['cat', `warren://${a.ready.peerId}/docs/a.txt`, '--json'])
    assert.deepEqual([read.code, errorOf(read).name], [1, 'FILE_NOT_FOUND'])
  })

  it('an unknown key in config.toml, and an address beyond this machine, keep a node from starting', async () => {
    const file = shell.write('homes/bad/config.toml', 'lisen = []\n')
    const unknown = await shell.run(['up', '--json'], { home: 'bad' })
    assert.deepEqual([unknown.code, errorOf(unknown).name], [1, 'BAD_CONFIG'])
    assert.equal(errorOf(unknown).message, `${file}: unknown key 'lisen'; did you mean 'listen'?`)
    const wide = await shell.run(['up', '--listen', '/ip4/0.0.0.0/tcp/0', '--json'], { home: 'wide' })
    assert.deepEqual([wide.code, errorOf(wide).name], [2, 'BAD_ARGUMENT'])
    assert.match(errorOf(wide).message, /loopback only/)
  })

  it('a home whose path has 200 characters works from end to end', async () => {
    const name = 'h'.repeat(80) + '/'.padEnd(200 - shell.home('').length - 81, 'h')
    assert.equal(shell.home(name).length, 200)
    const long = await shell.up(name, ['--name', 'long'])
    const [status] = await shell.json<{ peerId: string }>(['status'], { home: name })
    assert.equal(status?.peerId, long.ready.peerId)
    assert.equal((await shell.run(['down'], { home: name })).code, 0)
  })

  it('the completion script, sourced in a real bash, completes commands', async () => {
    const warren = shell.write('bin/warren', `#!/bin/sh\nexec '${process.execPath}' '${ROOT}/node/main.ts' "$@"\n`)
    chmodSync(warren, 0o755)
    const script = `
      source <(warren completion bash) || exit 3
      complete_word() {
        COMP_WORDS=(warren "$@") COMP_CWORD=$# COMPREPLY=() COMP_LINE="warren $*" COMP_POINT=\${#COMP_LINE}
        "$(complete -p warren | sed -E 's/.*-F ([^ ]+).*/\\1/')" warren "\${@: -1}" "\${COMP_WORDS[$#-1]}"
        echo "\${COMPREPLY[@]}"
      }
      complete_word sta; complete_word index res; complete_word up --jo; complete_word completion z`
    const ended = await shell.run(['-c', script], {
      command: ['bash'], env: { PATH: `${join(shell.folder, 'bin')}:${process.env['PATH']}` },
    })
    assert.deepEqual([ended.code, ended.stderr], [0, ''])
    assert.deepEqual(ended.stdout.toString().split('\n').map((line) => line.trim()),
      ['status', 'rescan', '--join', 'zsh', ''])
  })
})

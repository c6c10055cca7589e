/** Tests of where a node keeps its things. */
import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import * as fc from 'fast-check'
import {
  checkSocketFolder, prepareHome, prepareSocketFolder, resolveHome, SOCKET_PATH_BYTES_MAX,
} from '../../node/home.ts'

describe('home', () => {
  let scratch = ''
  beforeEach(() => { scratch = realpathSync(mkdtempSync(join(tmpdir(), 'warren-home-'))) })
  afterEach(() => { rmSync(scratch, { recursive: true, force: true }) })
  const mode = (path: string): number => statSync(path).mode & 0o777

  it('WARREN_HOME names the folder, and everything lies in it but the socket', () => {
    const home = resolveHome({ WARREN_HOME: join(scratch, 'a') })
    assert.equal(home.folder, join(scratch, 'a'))
    assert.equal(home.configFile, join(scratch, 'a/config.toml'))
    assert.equal(home.isDefault, false)
    assert.ok(Object.isFrozen(home))
  })

  it('a home that is relative, or begins with a tilde, becomes absolute', () => {
    assert.equal(resolveHome({ WARREN_HOME: 'x/y' }).folder, join(process.cwd(), 'x/y'))
    assert.equal(resolveHome({ WARREN_HOME: '~/w', HOME: '/home/ann' }).folder, '/home/ann/w')
    assert.equal(resolveHome({ WARREN_HOME: '~' }).folder, homedir())
    assert.equal(resolveHome({ WARREN_HOME: '/h/~/w/' }).folder, '/h/~/w')
  })

  it('without WARREN_HOME, or with an empty one, it is the folder of the system for application data', () => {
    for (const env of [{}, { WARREN_HOME: '' }]) {
      const home = resolveHome(env)
      assert.ok(home.isDefault)
      assert.match(home.folder, /\/warren$/)
    }
  })

  it('a home with a zero byte is refused', () => {
    assert.throws(() => resolveHome({ WARREN_HOME: 'a\0b' }), { name: 'BAD_ARGUMENT', message: /zero byte/ })
  })

  it('the socket lies in XDG_RUNTIME_DIR under a hash of the home', () => {
    const home = resolveHome({ WARREN_HOME: '/somewhere/else', XDG_RUNTIME_DIR: scratch })
    assert.equal(dirname(home.socket), join(scratch, 'warren'))
    assert.match(home.socket, /\/[0-9a-f]{16}\.sock$/)
  })

  it('an XDG_RUNTIME_DIR that is missing, relative or too long is passed over', () => {
    const long = join(scratch, 'x'.repeat(90))
    mkdirSync(long)
    for (const runtime of [join(scratch, 'none'), 'relative', '', long]) {
      const { socket } = resolveHome({ WARREN_HOME: '/h', XDG_RUNTIME_DIR: runtime, TMPDIR: '/tmp' })
      assert.equal(dirname(socket), `/tmp/warren-${process.getuid?.()}`)
    }
  })

  it('a long TMPDIR is passed over, too', () => {
    const { socket } = resolveHome({ WARREN_HOME: '/h', TMPDIR: `/${'t'.repeat(120)}` })
    assert.equal(dirname(socket), `/tmp/warren-${process.getuid?.()}`)
  })

  it('no home, however long, makes a socket path of more than 100 bytes, and no two homes share one', () => {
    const seen = new Map<string, string>()
    fc.assert(fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }), (name) => {
      fc.pre(!name.includes('\0'))
      const home = resolveHome({ WARREN_HOME: `/nowhere/${name}`, XDG_RUNTIME_DIR: scratch })
      assert.ok(Buffer.byteLength(home.socket) <= SOCKET_PATH_BYTES_MAX)
      assert.equal(seen.get(home.socket) ?? home.folder, home.folder)
      seen.set(home.socket, home.folder)
    }))
  })

  it('two ways to one folder, one through a link, lead to one socket, before and after it is made', () => {
    symlinkSync(scratch, join(scratch, 'link'))
    const env = { XDG_RUNTIME_DIR: scratch }
    const direct = resolveHome({ ...env, WARREN_HOME: join(scratch, 'h') })
    const linked = resolveHome({ ...env, WARREN_HOME: join(scratch, 'link/h') })
    assert.equal(direct.socket, linked.socket)
    prepareHome(direct)
    assert.equal(resolveHome({ ...env, WARREN_HOME: join(scratch, 'link/h') }).socket, direct.socket)
  })

  it('a home whose path has 200 characters gets its folders and a socket that can be listened on', async () => {
    const folder = join(scratch, 'h'.repeat(99), 'h'.repeat(199 - scratch.length - 100 - 1))
    assert.ok(folder.length >= 198 && folder.length <= 200)
    const home = resolveHome({ WARREN_HOME: folder, XDG_RUNTIME_DIR: scratch })
    prepareHome(home)
    prepareSocketFolder(home)
    const server = createServer()
    await new Promise<void>((resolve, reject) => { server.on('error', reject).listen(home.socket, resolve) })
    await new Promise((resolve) => { server.close(resolve) })
  })

  it('the folders of a home are their owner\'s alone, and making them twice is no error', () => {
    const home = resolveHome({ WARREN_HOME: join(scratch, 'h') })
    prepareHome(home)
    prepareHome(home)
    for (const folder of [home.folder, home.dataFolder, home.logsFolder, home.appsFolder]) {
      assert.equal(mode(folder), 0o700)
    }
  })

  it('a home that is a file is refused by name', () => {
    writeFileSync(join(scratch, 'h'), '')
    const home = resolveHome({ WARREN_HOME: join(scratch, 'h') })
    assert.throws(() => { prepareHome(home) }, { name: 'UNREADABLE', message: /folder .*\/h .*WARREN_HOME/ })
  })

  it('the socket folder is made with mode 0700, and missing until then', () => {
    const home = resolveHome({ WARREN_HOME: join(scratch, 'h'), XDG_RUNTIME_DIR: scratch })
    assert.equal(checkSocketFolder(home), false)
    prepareSocketFolder(home)
    assert.equal(mode(dirname(home.socket)), 0o700)
    assert.equal(checkSocketFolder(home), true)
  })

  it('a socket folder that others may enter, a link or a file is refused by node and client alike', () => {
    const home = resolveHome({ WARREN_HOME: join(scratch, 'h'), XDG_RUNTIME_DIR: scratch })
    const folder = dirname(home.socket)
    const refused = (message: RegExp): void => {
      assert.throws(() => { prepareSocketFolder(home) }, { name: 'DENIED', message })
      assert.throws(() => checkSocketFolder(home), { name: 'DENIED', message })
    }
    mkdirSync(folder)
    chmodSync(folder, 0o755)
    refused(/others may enter it; run: chmod 700/)
    rmSync(folder, { recursive: true })
    symlinkSync(scratch, folder)
    refused(/not a folder/)
    rmSync(folder)
    writeFileSync(folder, '')
    refused(/not a folder/)
  })
})

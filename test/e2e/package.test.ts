/** The published package: packed, installed for a user, and used with nothing of this checkout in reach. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, realpathSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import {
  ECHO, type Ended, eventually, openShell, type Ready, ROOT, type Running, type Shell, SLOW_MACHINE_MS,
} from './shell.ts'

/** Packing compiles everything, and installing fetches what npm has not kept. */
const INSTALL_TIMEOUT_MS = 300_000

/** Pretends an old Node, on machines that have none. */
const PRETEND_OLD = `data:text/javascript,${encodeURIComponent(`
  Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '20.20.2' } })
  Object.defineProperty(process, 'version', { value: 'v20.20.2' })`)}`

describe('e2e: the installed package', function () {
  this.timeout(SLOW_MACHINE_MS)
  let shell: Shell
  let bin = ''
  before(async function () {
    this.timeout(INSTALL_TIMEOUT_MS)
    shell = await openShell()
    const npm = async (...args: string[]): Promise<Ended> => {
      const ended = await shell.run(args, { command: ['npm'], folder: ROOT })
      assert.equal(ended.code, 0, `${ended.stdout}${ended.stderr}`)
      return ended
    }
    await npm('pack', '--pack-destination', shell.folder)
    const tarball = readdirSync(shell.folder).find((name) => /^warren-.*\.tgz$/.test(name))
    assert.ok(tarball)
    await npm('install', '-g', '--prefix', join(shell.folder, 'prefix'), join(shell.folder, tarball),
      '--prefer-offline', '--no-audit', '--no-fund')
    bin = join(shell.folder, 'prefix', 'bin')
  })
  after(() => shell.end())

  /** Only the installed command and a Node that can run it, for a user with an empty home. */
  const installed = () => {
    const user = join(shell.folder, 'user')
    mkdirSync(user, { recursive: true })
    const path = [bin, dirname(realpathSync(process.execPath))].join(delimiter)
    return {
      command: [join(bin, 'warren')],
      env: { PATH: path, HOME: user, WARREN_HOME: '', XDG_DATA_HOME: '', XDG_CACHE_HOME: '', NODE_PATH: '' },
    }
  }
  const warren = (args: readonly string[]): Promise<Ended> => shell.run(args, installed())

  it('starts a node, runs an app from an empty folder, calls it, finds a file, prints it and stops', async () => {
    const up = shell.start(['up', '--json'], installed())
    const ready = JSON.parse(await up.line(/"ready"/)) as Ready
    assert.equal(ready.event, 'ready')
    const app: Running = shell.start(['run', './some-app.ts'], {
      ...installed(), folder: dirname(shell.write('apps/some-app.ts', ECHO)),
    })
    await app.line(/^echo: serving say/)
    const said = await warren(['call', 'echo.say', '{"text":"hi"}'])
    assert.deepEqual([said.code, said.stdout.toString(), said.stderr], [0, '{"text":"hi"}\n', ''])
    shell.write('docs/letter.txt', 'three words here')
    const added = await warren(['index', 'add', join(shell.folder, 'docs')])
    assert.deepEqual([added.code, added.stderr], [0, ''])
    const uri = await eventually(async () => {
      const found = (await warren(['find', 'three words', '--json'])).stdout.toString()
      return found === '' ? undefined : (JSON.parse(found) as { uri: string }).uri
    })
    assert.equal((await warren(['cat', uri])).stdout.toString(), 'three words here')
    assert.equal((await warren(['down'])).code, 0)
    assert.deepEqual([(await up.ended).code, (await up.ended).stderr, (await app.ended).code], [0, '', 0])
  })

  it('prints its version and brings what it needs, and none of the tests', async () => {
    assert.equal((await warren(['--version'])).stdout.toString(), '0.1.0\n')
    const folder = join(shell.folder, 'prefix', 'lib', 'node_modules', 'warren')
    assert.deepEqual(readdirSync(folder).filter((name) => !['README.md', 'LICENSE'].includes(name)).sort(),
      ['dist', 'node_modules', 'package.json'])
    assert.deepEqual(readdirSync(join(folder, 'dist')).sort(), ['indexer', 'node', 'protocols', 'search'])
  })

  it('says in one sentence that a Node is too old, and ends with 1', async () => {
    const script = realpathSync(join(bin, 'warren'))
    const isOld = (node: string): boolean => {
      const { stdout } = spawnSync(node, ['--version'], { encoding: 'utf8' })
      const [major = 0, minor = 0] = stdout.slice(1).split('.').map(Number)
      return major < 22 || (major === 22 && minor < 22)
    }
    const old = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/local/bin', '/usr/bin']
      .map((folder) => join(folder, 'node')).filter((node) => existsSync(node) && isOld(node))
    const commands = [[process.execPath, '--import', PRETEND_OLD, script], ...old.map((node) => [node, script])]
    for (const command of commands) {
      for (const args of [['up'], ['--version']]) {
        const ended = await shell.run(args, { ...installed(), command })
        assert.equal(ended.code, 1)
        assert.equal(ended.stdout.length, 0)
        assert.match(ended.stderr,
          /^warren: FAILED_PRECONDITION: Warren needs Node 22\.22 or newer, this is v\d+\.\d+\.\d+\n$/)
      }
    }
  })
})

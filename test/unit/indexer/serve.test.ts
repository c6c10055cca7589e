/** Which bytes of this machine others get, and which they never do. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { mkdir, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openError } from '../../../indexer/serve.ts'
import { PEERS } from '../search/net-double.ts'
import { startMachine, uriOf, type Machine } from './machine.ts'

describe('reading a file of a root', () => {
  let machine: Machine
  const bytes = Buffer.from(Uint8Array.from({ length: 200_000 }, (_, n) => n * 7 + (n >> 8)))
  beforeEach(async () => {
    machine = await startMachine()
    await machine.write({ 'song.bin': bytes, 'empty.bin': '' })
    await machine.add()
    await machine.idle()
  })
  afterEach(() => machine.stop())

  it('gives its bytes in chunks of 64 KiB', async () => {
    const sizes = []
    for await (const chunk of machine.stream('read', { uri: uriOf('song.bin') })) sizes.push(chunk.length)
    assert.deepEqual(sizes, [65_536, 65_536, 65_536, 3_392])
    assert.ok((await machine.read('song.bin')).equals(bytes))
    assert.equal((await machine.read('empty.bin')).length, 0)
  })

  it('gives any range within it', async () => {
    for (const [offset, length] of [[0, 1], [65_535, 2], [70_000, 130_000], [200_000, 0], [5, 0]] as const) {
      assert.ok((await machine.read('song.bin', { offset, length })).equals(bytes.subarray(offset, offset + length)))
    }
    assert.ok((await machine.read('song.bin', { offset: 199_990 })).equals(bytes.subarray(199_990)))
  })

  it('refuses a range beyond its end and says how long it is', async () => {
    for (const range of [{ offset: 200_001 }, { offset: 199_999, length: 2 }, { length: 200_001 }]) {
      await assert.rejects(machine.read('song.bin', range), {
        name: 'BAD_ARGUMENT', code: 'OUT_OF_RANGE', details: { size: 200_000 }, message: /has 200000 bytes/,
      })
    }
    for (const range of [{ offset: -1 }, { offset: 0.5 }, { length: -1 }, { offset: NaN }]) {
      await assert.rejects(machine.read('song.bin', range), { name: 'SCHEMA' })
    }
  })

  it('reads files that came after the last scan, and not those that went', async () => {
    await machine.write({ 'new.txt': 'new' })
    assert.equal((await machine.read('new.txt')).toString(), 'new')
    await rm(join(machine.files, 'song.bin'))
    await assert.rejects(machine.read('song.bin'), { name: 'FILE_NOT_FOUND', message: "no file 'docs/song.bin'" })
    await assert.rejects(machine.read('song.bin/x'), { name: 'FILE_NOT_FOUND' })
    await assert.rejects(machine.read('n'.repeat(300)), { name: 'FILE_NOT_FOUND' })
  })

  it('refuses what is hidden', async () => {
    await machine.write({ '.ssh/key': 'secret', '.env': 'secret', 'a/.b/c': 'secret' })
    for (const path of ['.ssh/key', '.env', 'a/.b/c']) {
      await assert.rejects(machine.read(path), { name: 'DENIED', message: /is hidden/ })
    }
    await symlink('.ssh', join(machine.files, 'keys'))
    await assert.rejects(machine.read('keys/key'), { name: 'DENIED', message: /is hidden/ })
  })

  it('refuses symbolic links, and folders that lead out of the root', async () => {
    await writeFile(join(machine.state, 'secret.txt'), 'secret')
    await symlink(join(machine.state, 'secret.txt'), join(machine.files, 'link.txt'))
    await symlink(machine.state, join(machine.files, 'out'))
    await assert.rejects(machine.read('link.txt'), { name: 'DENIED', message: /is a symbolic link/ })
    await assert.rejects(machine.read('out/secret.txt'), { name: 'DENIED', message: /lies outside its root/ })
  })

  it('does not take a folder beside the root for one in it', async () => {
    await mkdir(`${machine.files}-private`)
    await writeFile(`${machine.files}-private/a.txt`, 'secret')
    await symlink(`${machine.files}-private`, join(machine.files, 'beside'))
    await assert.rejects(machine.read('beside/a.txt'), { name: 'DENIED', message: /lies outside its root/ })
  })

  it('refuses a file whose folder was swapped for a link after it was indexed', async () => {
    await machine.write({ 'album/song.txt': 'public' })
    await machine.call('rescan', {})
    await machine.idle()
    assert.equal((await machine.read('album/song.txt')).toString(), 'public')
    await writeFile(join(machine.state, 'song.txt'), 'secret')
    await rename(join(machine.files, 'album'), join(machine.files, 'moved'))
    await symlink(machine.state, join(machine.files, 'album'))
    await assert.rejects(machine.read('album/song.txt'), { name: 'DENIED' })
    await assert.rejects(machine.call('stat', { uri: uriOf('album/song.txt') }), { name: 'DENIED' })
  })

  it('never gives a byte from outside while a folder is swapped to and fro', async () => {
    await machine.write({ 'real/a.txt': 'public' })
    await writeFile(join(machine.state, 'a.txt'), 'secret')
    const real = join(machine.files, 'real')
    const path = join(machine.files, 'path')
    const done = new AbortController()
    const swapping = (async () => {
      await symlink(real, path)
      for (let out = true; !done.signal.aborted; out = !out) {
        await symlink(out ? machine.state : real, `${path}-next`)
        await rename(`${path}-next`, path)
      }
    })()
    const seen = new Set<string>()
    for (let n = 0; n < 500; n += 1) {
      seen.add(await machine.read('path/a.txt').then(String, (error: Error) => error.name))
    }
    done.abort()
    await swapping
    for (const outcome of seen) assert.ok(['public', 'DENIED', 'FILE_NOT_FOUND'].includes(outcome), outcome)
  })

  it('refuses folders and FIFOs without waiting for them', async () => {
    await mkdir(join(machine.files, 'folder'))
    execFileSync('mkfifo', [join(machine.files, 'pipe')])
    await assert.rejects(machine.read('folder'), { name: 'DENIED', message: /is not a regular file/ })
    await assert.rejects(machine.read('pipe'), { name: 'DENIED', message: /is not a regular file/ })
  })

  it('refuses URIs that climb, that belong to other nodes and that name unknown roots', async () => {
    const read = async (uri: string): Promise<void> => {
      for await (const chunk of machine.stream('read', { uri })) assert.fail(String(chunk.length))
    }
    await assert.rejects(read(`warren://${PEERS[0]}/docs/../state/index.sqlite`),
      { name: 'BAD_ARGUMENT', message: /'\.\.'/ })
    await assert.rejects(read(`warren://${PEERS[0]}/docs/%2e%2e/state/index.sqlite`), { name: 'BAD_ARGUMENT' })
    await assert.rejects(read(`warren://${PEERS[0]}/docs/..%2fstate`), { name: 'BAD_ARGUMENT' })
    await assert.rejects(read(`warren://${PEERS[1]}/docs/song.bin`), { name: 'BAD_ARGUMENT', message: /lies on node/ })
    await assert.rejects(read(uriOf('song.bin', 'none')), { name: 'FILE_NOT_FOUND', message: /there are docs/ })
  })

  it('fails rather than end early when the file becomes shorter', async () => {
    const stream = machine.stream('read', { uri: uriOf('song.bin') })
    await stream.next()
    await truncate(join(machine.files, 'song.bin'), 100_000)
    await assert.rejects(async () => { for await (const chunk of stream) assert.ok(chunk.length > 0) },
      { name: 'FILE_CHANGED', code: 'DATA_LOSS' })
  })

  it('closes the file at the end, when the caller leaves early, and when it fails', async function () {
    if (process.platform !== 'linux') return
    const open = (): number => readdirSync('/proc/self/fd').length
    const before = open()
    await machine.read('song.bin')
    for await (const chunk of machine.stream('read', { uri: uriOf('song.bin') })) {
      assert.equal(open(), before + 1)
      assert.equal(chunk.length, 65_536)
      break
    }
    await assert.rejects(machine.read('song.bin', { offset: 300_000 }))
    await assert.rejects(machine.read('.hidden'))
    await mkdir(join(machine.files, 'folder'))
    await assert.rejects(machine.read('folder'))
    await machine.call('stat', { uri: uriOf('song.bin') })
    assert.equal(open(), before)
  })

  it('ends when the call is given up', async () => {
    const abort = new AbortController()
    const stream = machine.stream('read', { uri: uriOf('song.bin') }, abort.signal)
    await stream.next()
    abort.abort(new Error('given up'))
    await assert.rejects(stream.next(), { message: 'given up' })
  })

  it('tells size and time as they are on the disk just now', async () => {
    await machine.write({ 'song.bin': 'shorter' })
    const stat = await machine.call<{ size: number, name: string }>('stat', { uri: uriOf('song.bin') })
    assert.equal(stat.size, 7)
    assert.equal(stat.name, 'song.bin')
  })

  it('tells other machines nothing of this one\'s disk when it fails', () => {
    const system = Object.assign(new Error("EIO: i/o error, open '/home/anna/x'"), { code: 'EIO' })
    const error = openError(system, 'docs/x')
    assert.deepEqual([error.name, error.message], ['UNREADABLE', "'docs/x' cannot be read: EIO"])
  })
})

/** The starter installs what is missing exactly once, whoever runs it, and hands over to the script. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

/** Notes that it was called, waits while there is a file `hold`, and fails while there is a file `offline`. */
const NPM = `#!/bin/sh
echo "$1" >> npm-calls
while [ -f hold ]; do sleep 0.02; done
if [ -f offline ]; then echo 'npm error code ENOTFOUND' >&2; exit 1; fi
mkdir -p node_modules
`

const SCRIPT = `/** Tells what it was given. */
console.log(JSON.stringify({ argv: process.argv.slice(1), path: process.env.PATH.split(':')[0] }))
process.exitCode = 7
`

interface Ended { readonly code: number | null, readonly out: string, readonly err: string }

describe('the starter', () => {
  let root: string
  const at = (...path: string[]): string => join(root, ...path)
  const calls = async (): Promise<string[]> => (await readFile(at('npm-calls'), 'utf8')).trim().split('\n')

  beforeEach(async () => {
    root = await mkdtemp(join(tmpdir(), 'warren-setup-'))
    await mkdir(at('node'))
    await mkdir(at('bin'))
    await copyFile(new URL('../../node/setup.mjs', import.meta.url), at('node', 'setup.mjs'))
    await writeFile(at('package.json'), '{"type":"module","dependencies":{"a":"1.0.0"}}')
    await writeFile(at('package-lock.json'), '{"packages":{"":{},"node_modules/a":{"version":"1.0.0"}}}')
    await writeFile(at('script.ts'), SCRIPT)
    await writeFile(at('npm-calls'), '')
    await writeFile(at('bin', 'npm'), NPM)
    await chmod(at('bin', 'npm'), 0o755)
  })

  afterEach(async () => { await rm(root, { recursive: true, force: true }) })

  function start(...words: string[]): { ended: Promise<Ended>, said: (text: string) => Promise<void> } {
    const child = spawn(process.execPath, [at('node', 'setup.mjs'), ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, PATH: [at('bin'), process.env.PATH].join(delimiter) },
    })
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => { out += text })
    child.stderr.setEncoding('utf8').on('data', (text: string) => { err += text })
    return {
      ended: once(child, 'close').then(([code]) => ({ code: code as number | null, out, err })),
      said: async (text) => { while (!err.includes(text)) await once(child.stderr, 'data') },
    }
  }

  it('gives the script its arguments, its output and its exit code, and our tools first on PATH', async () => {
    const { code, out } = await start('script.ts', 'one', '--two').ended
    assert.equal(code, 7)
    assert.deepEqual(JSON.parse(out), {
      argv: [at('script.ts'), 'one', '--two'], path: at('node_modules', '.bin'),
    })
  })

  it('installs once, says so in one line, and is silent afterwards', async () => {
    const first = await start('script.ts').ended
    assert.equal(first.err, 'warren: installing what is missing (once) …\n')
    const second = await start('script.ts').ended
    assert.equal(second.err, '')
    assert.deepEqual(await calls(), ['ci'])
  })

  it('installs again when the lock file or the dependencies change, and not for anything else', async () => {
    await start('script.ts').ended
    await writeFile(at('package.json'), '{"type":"module","dependencies":{"a":"1.0.0"},"version":"2.0.0"}')
    await start('script.ts').ended
    assert.deepEqual(await calls(), ['ci'])
    await writeFile(at('package-lock.json'), '{"packages":{"node_modules/a":{"version":"1.0.1"}}}')
    await start('script.ts').ended
    assert.deepEqual(await calls(), ['ci', 'ci'])
  })

  it('believes what npm, run by hand, has installed from the same lock file', async () => {
    await mkdir(at('node_modules'))
    await writeFile(at('node_modules', '.package-lock.json'), '{"packages":{"node_modules/a":{"version":"1.0.0"}}}')
    assert.equal((await start('script.ts').ended).err, '')
    assert.deepEqual(await calls(), [''])
  })

  it('lets one of two terminals install while the other waits', async () => {
    await writeFile(at('hold'), '')
    const both = [start('script.ts'), start('script.ts')]
    await Promise.race(both.map(({ said }) => said('waiting for another terminal')))
    await rm(at('hold'))
    const ended = await Promise.all(both.map((one) => one.ended))
    assert.deepEqual(ended.map(({ code }) => code), [7, 7])
    assert.deepEqual(await calls(), ['ci'])
  })

  it('takes over from a process that died while it installed', async () => {
    const dead = spawn(process.execPath, ['--version'], { stdio: 'ignore' })
    await once(dead, 'exit')
    await mkdir(at('.setup-lock'))
    await writeFile(at('.setup-lock', 'pid'), String(dead.pid))
    const { code } = await start('script.ts').ended
    assert.equal(code, 7)
    assert.ok(!(await readdir(root)).includes('.setup-lock'))
  })

  it('says in one line on stderr that the registry is out of reach, and leaves no lock behind', async () => {
    await writeFile(at('offline'), '')
    const { code, out, err } = await start('script.ts').ended
    assert.equal(code, 1)
    assert.equal(out, '')
    assert.match(err, /^warren: inst.*\nwarren: the package registry cannot be reached \(ENOTFOUND\): conn.*\n$/)
    assert.ok(!(await readdir(root)).includes('.setup-lock'))
    await rm(at('offline'))
    assert.equal((await start('script.ts').ended).code, 7)
  })
})

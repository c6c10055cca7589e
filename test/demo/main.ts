/** `npm run demo`: two nodes on this machine, a call across, a file found and streamed; ends with 0 or 1. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { styleText } from 'node:util'
import { version } from '../../node/version.ts'

/** A step that takes longer has failed. */
const STEP_MS = 30_000
const MAIN = fileURLToPath(new URL('../../node/main.ts', import.meta.url))
const ECHO = fileURLToPath(new URL('echo.ts', import.meta.url))
const SAMPLES = fileURLToPath(new URL('files', import.meta.url))

interface Output { code: number | null, stdout: Buffer, stderr: string }

const children = new Set<ChildProcess>()

function start(home: string, words: readonly string[]): ChildProcess {
  const child = spawn(process.execPath, [MAIN, ...words], {
    env: { ...process.env, WARREN_HOME: home, NO_COLOR: '1' }, stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

/** Runs a command to its end. */
async function run(home: string, ...words: string[]): Promise<Output> {
  const child = start(home, words)
  const stdout: Buffer[] = []
  const stderr: Buffer[] = []
  child.stdout!.on('data', (bytes: Buffer) => stdout.push(bytes))
  child.stderr!.on('data', (bytes: Buffer) => stderr.push(bytes))
  const timer = setTimeout(() => child.kill('SIGKILL'), STEP_MS)
  const [code] = await once(child, 'close') as [number | null]
  clearTimeout(timer)
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() }
}

/** Starts a command that stays, and waits for the first line that says it is ready. */
async function stay(home: string, ready: RegExp, ...words: string[]): Promise<string> {
  const child = start(home, words)
  const errors: string[] = []
  child.stderr!.on('data', (bytes: Buffer) => errors.push(bytes.toString()))
  const lines = createInterface({ input: child.stdout! })
  return await new Promise((resolve, reject) => {
    const fail = (why: string): void => reject(new Error(`${words.join(' ')}: ${why} ${errors.join('')}`))
    const timer = setTimeout(() => fail('it was not ready in time'), STEP_MS)
    child.once('exit', (code) => { clearTimeout(timer); fail(`it ended with ${code}`) })
    lines.on('line', (line) => {
      if (!ready.test(line)) return
      clearTimeout(timer)
      resolve(line)
    })
  })
}

const tell = (text: string): void => { process.stdout.write(`${text}\n`) }
const step = (text: string): void => tell(`${styleText('bold', '•')} ${text}`)
const shown = (machine: string, command: string, answer: string): void => {
  tell(styleText('dim', `    ${machine}$ ${command}`))
  for (const line of answer.trimEnd().split('\n')) tell(`    ${line}`)
}

/** @throws if the command failed, or printed something else than what `expected` finds. */
function check(output: Output, expected: RegExp): string {
  const text = output.stdout.toString()
  if (output.code === 0 && expected.test(text)) return text
  throw new Error(`expected ${expected}, got exit code ${output.code} and: ${text}${output.stderr}`)
}

async function story(folder: string): Promise<void> {
  const attic = join(folder, 'attic')
  const desk = join(folder, 'desk')
  const files = join(folder, 'files')
  await cp(SAMPLES, files, { recursive: true })

  step('Two machines: a node with a home of its own on each. (Here both are on this one.)')
  const { addresses } = JSON.parse(await stay(attic, /"ready"/, 'up', '--json')) as { addresses: string[] }
  await stay(desk, /"ready"/, 'up', '--json', '--join', addresses[0]!)
  shown('desk', 'warren nodes', firstColumns(await untilBothAreThere(desk), /peer id/))

  step('An app on the attic is called by its name from the desk.')
  await stay(attic, /serving/, 'run', ECHO)
  shown('desk', `warren call echo.say '{"text":"hi"}'`,
    check(await run(desk, 'call', 'echo.say', '{"text":"hi"}'), /^\{"text":"hi"\}\n$/))
  shown('desk', `warren call echo.count '{"to":3}'`,
    check(await run(desk, 'call', 'echo.count', '{"to":3}'), /^1\n2\n3\n$/))

  step('A folder on the attic is made findable, and found from the desk by words inside its files.')
  shown('attic', 'warren index add files', check(await run(attic, 'index', 'add', files), /3 files/))
  const found = await untilFound(desk)
  shown('desk', 'warren find bitter orange marmalade', found.map(({ host, name, snippet }) =>
    `${name} on ${host}: ${snippet.slice(0, 80)}`).join('\n'))

  step('One of the files is streamed to the desk; the bytes are the same.')
  const hit = found.find(({ name }) => name === 'letter.txt')!
  const copy = await run(desk, 'cat', hit.uri)
  check(copy, /./)
  const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
  const [original, streamed] = [sha256(await readFile(join(files, 'letter.txt'))), sha256(copy.stdout)]
  if (original !== streamed) throw new Error('the copy differs from the original')
  shown('desk', 'warren cat warren://…/files/letter.txt | sha256sum', streamed)
  shown('attic', 'sha256sum files/letter.txt', original)

  step('Both nodes stop.')
  for (const home of [desk, attic]) check(await run(home, 'down'), /down/)
}

/** A table without the columns from the one that `title` names. */
function firstColumns(table: string, title: RegExp): string {
  const lines = table.split('\n')
  const end = lines[0]!.search(title)
  return lines.map((line) => line.slice(0, end).trimEnd()).join('\n')
}

async function untilBothAreThere(home: string): Promise<string> {
  for (const untilMs = Date.now() + STEP_MS; ;) {
    const text = check(await run(home, 'nodes'), /desk/)
    if (/attic .*indexer search/.test(text)) return text
    if (Date.now() > untilMs) throw new Error(`the nodes did not meet: ${text}`)
  }
}

interface Found { uri: string, name: string, host: string, snippet: string }

/** Contents follow names in the background, so the first answers may not have all. */
async function untilFound(home: string): Promise<Found[]> {
  for (const untilMs = Date.now() + STEP_MS; ;) {
    const { stdout } = await run(home, 'find', 'bitter orange marmalade', '--json')
    const hits = stdout.toString().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as Found)
    if (hits.length === 2 && hits.every(({ snippet }) => snippet !== '')) return hits
    if (Date.now() > untilMs) throw new Error(`found ${hits.length} files instead of 2`)
  }
}

async function endAll(): Promise<void> {
  await Promise.all([...children].map(async (child) => {
    const ended = once(child, 'exit')
    child.kill('SIGTERM')
    const force = setTimeout(() => child.kill('SIGKILL'), 5_000)
    await ended
    clearTimeout(force)
  }))
}

const folder = await mkdtemp(join(tmpdir(), 'warren-demo-'))
tell(styleText('bold', `Warren ${version}: every machine you own, one warren`))
try {
  await story(folder)
  tell(styleText('green', 'All of it worked.'))
} catch (thrown) {
  process.exitCode = 1
  tell(styleText('red', `It failed: ${thrown instanceof Error ? thrown.message : String(thrown)}`))
} finally {
  await endAll()
  await rm(folder, { recursive: true, force: true })
}

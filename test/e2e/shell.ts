/** What the end-to-end tests share: real `warren` processes with homes in a temporary folder, all of them ended. */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { connect, type Connection } from '../../node/index.ts'

/** The repository. */
export const ROOT = dirname(dirname(import.meta.dirname))

/** Most time for one test: whole processes start in each, on machines that do other things as well. */
export const SLOW_MACHINE_MS = 90_000

/** How often is looked for what no event tells of: the end of a process that is not a child, a state elsewhere. */
const LOOK_EVERY_MS = 20

/** How a command ended. */
export interface Ended {
  /** Exit code; 128 + n stands for no signal here: then it is `null`. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: Buffer
  readonly stderr: string
}

/** A command that runs. */
export interface Running {
  readonly pid: number
  readonly child: ChildProcess
  readonly ended: Promise<Ended>
  /** Settles with the first line of stdout that matches; rejects if the command ends before. */
  line(pattern: RegExp): Promise<string>
  /** As a terminal does it: the signal goes to the whole process group. */
  ctrlC(): void
}

/** The line that `warren up --json` prints. */
export interface Ready { event: string, peerId: string, socket: string, addresses: string[], milliseconds: number }

/** How a command is started. */
export interface StartOptions {
  /** Name of the home. Default `a`. */
  readonly home?: string
  /** Default: an empty folder. */
  readonly folder?: string
  readonly stdin?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  /** What is run instead of this checkout's `warren`. */
  readonly command?: readonly string[]
}

/** A person's shell on machines of their own, each a home under `folder`. */
export interface Shell {
  readonly folder: string
  home(name: string): string
  /** Writes a file below `folder`; gives its absolute path. */
  write(path: string, content: string | Uint8Array): string
  start(args: readonly string[], options?: StartOptions): Running
  run(args: readonly string[], options?: StartOptions): Promise<Ended>
  /** What a command prints under `--json`, one value a line. @throws if it failed. */
  json<T>(args: readonly string[], options?: StartOptions): Promise<T[]>
  /** `warren up --json`, once it is ready. */
  up(home: string, args?: readonly string[], options?: StartOptions): Promise<Running & { readonly ready: Ready }>
  /** A program's own link to the node of a home. */
  connect(home: string): Promise<Connection>
  end(): Promise<void>
}

/** Opens a shell. */
export async function openShell(): Promise<Shell> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'warren-e2e-')))
  const empty = join(folder, 'empty')
  mkdirSync(empty)
  const running = new Set<Running>()
  const connections: Connection[] = []
  const shell: Shell = {
    folder,
    home: (name) => join(folder, 'homes', name),
    write(path, content) {
      const file = join(folder, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, content)
      return file
    },
    start(args, { home = 'a', folder: cwd = empty, stdin, env = {}, command } = {}) {
      const [program = '', ...first] = command ?? [process.execPath, join(ROOT, 'node/main.ts')]
      const child = spawn(program, [...first, ...args], {
        cwd, detached: true, stdio: ['pipe', 'pipe', 'pipe'],
        env: { ...process.env, WARREN_HOME: shell.home(home), XDG_RUNTIME_DIR: folder, ...env },
      })
      child.stdin.on('error', () => { /* It may end without having read all of it. */ })
      child.stdin.end(stdin)
      const started = watch(child)
      running.add(started)
      return started
    },
    run: (args, options) => shell.start(args, options).ended,
    async json<T>(args: readonly string[], options?: StartOptions) {
      const { code, stdout, stderr } = await shell.run([...args, '--json'], options)
      if (code !== 0) throw new Error(`warren ${args.join(' ')} ended with ${code}: ${stderr}`)
      return stdout.toString().split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as T)
    },
    async up(home, args = [], options = {}) {
      const started = shell.start(['up', '--json', ...args], { home, ...options })
      return Object.assign(started, { ready: JSON.parse(await started.line(/"ready"/)) as Ready })
    },
    async connect(home) {
      const connection = await connect({ home: shell.home(home) })
      connections.push(connection)
      return connection
    },
    async end() {
      await Promise.all(connections.map((connection) => connection.close()))
      for (const { pid, child } of running) {
        if (child.exitCode === null && child.signalCode === null) process.kill(-pid, 'SIGKILL')
      }
      await Promise.all([...running].map(({ ended }) => ended))
      await rm(folder, { recursive: true, force: true, maxRetries: 20 })
    },
  }
  return shell
}

function watch(child: ChildProcess): Running {
  const out: Buffer[] = []
  const error: Buffer[] = []
  const waiting = new Set<() => void>()
  let isOver = false
  const wake = (): void => { for (const each of waiting) each() }
  child.stdout!.on('data', (bytes: Buffer) => { out.push(bytes); wake() })
  child.stderr!.on('data', (bytes: Buffer) => { error.push(bytes) })
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      isOver = true
      wake()
      resolve({ code, signal, stdout: Buffer.concat(out), stderr: Buffer.concat(error).toString() })
    })
  })
  return {
    pid: child.pid!, child, ended,
    line: (pattern) => new Promise((resolve, reject) => {
      const look = (): void => {
        const whole = Buffer.concat(out).toString().split('\n').slice(0, -1).find((line) => pattern.test(line))
        if (whole === undefined && !isOver) return
        waiting.delete(look)
        if (whole !== undefined) resolve(whole)
        else reject(new Error(`it ended without a line like ${pattern}: ${Buffer.concat(error).toString()}`))
      }
      waiting.add(look)
      look()
    }),
    ctrlC: () => { process.kill(-child.pid!, 'SIGINT') },
  }
}

/** Looks again until there is something. */
export async function eventually<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
  for (;;) {
    const found = await look()
    if (found !== undefined) return found
    await pause(LOOK_EVERY_MS)
  }
}

/** Settles when the process is gone. */
export async function gone(pid: number): Promise<void> {
  await eventually(() => {
    try {
      process.kill(pid, 0)
      return undefined
    } catch {
      return true
    }
  })
}

/** What stands in the error that a command prints under `--json`. */
export function errorOf({ stderr }: Ended): { code: string, name: string, message: string } {
  return (JSON.parse(stderr) as { error: { code: string, name: string, message: string } }).error
}

/** An app to run; it imports what no folder around it holds. */
export const ECHO = `
import { defineApp, method } from 'warren'
import { z } from 'zod'
export default defineApp('echo', {
  say: method({ input: z.object({ text: z.string() }), output: z.object({ text: z.string() }) },
    async ({ text }: { text: string }) => ({ text })),
  count: method({ input: z.object({ to: z.number() }) },
    async function* ({ to }) { for (let i = 0; i < to; i++) yield i }),
  wait: method({}, async function* (_input, { signal }) {
    yield { pid: process.pid }
    await new Promise((resolve) => { signal.addEventListener('abort', resolve, { once: true }) })
    console.log('the caller of wait is gone')
  }),
  soon: method({}, async function* () {
    yield 'begun'
    await new Promise((resolve) => { setTimeout(resolve, 300) })
    yield 'finished'
  }),
})
`

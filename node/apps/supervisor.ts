/** Keeps app processes alive: starts them with the node, again when they crash, and stops them with it. */
import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Logger } from 'pino'
import type { AppEntry } from '../cli/session.ts'
import { nowMs } from '../clock.ts'
import type { Home } from '../home.ts'
import type { AppTable } from './app-table.ts'
import { childArguments, childEnvironment } from './spawn.ts'

/** Pause before a crashed app is started again; doubles up to the last. */
const RESTART_FIRST_MS = 500
const RESTART_LAST_MS = 30_000
/** An app that lived this long starts afresh with the shortest pause. */
const HEALTHY_MS = 60_000
/** Crashes in a row after which calls are no longer told to wait for it. */
const HOPELESS_CRASHES = 3

interface Supervised {
  readonly entry: AppEntry
  child: ChildProcess | undefined
  startedMs: number
  crashes: number
  timer: NodeJS.Timeout | undefined
}

/** The apps that live and end with a node. */
export class Supervisor {
  readonly #home: Home
  readonly #logger: Logger
  readonly #apps: AppTable
  readonly #supervised: Supervised[] = []
  #stopping = false
  readonly #onExit = (): void => {
    for (const { child } of this.#supervised) killGroup(child)
  }

  constructor(home: Home, logger: Logger, apps: AppTable) {
    this.#home = home
    this.#logger = logger
    this.#apps = apps
    // A crash is told twice, by the end of the link and of the process, in either order: calls wait from the
    // moment on at which the app is missing.
    apps.watch({
      added: () => {},
      removed: ({ name }) => {
        const returns = this.#supervised.some(({ entry, crashes }) =>
          entry.name === name && crashes < HOPELESS_CRASHES)
        if (returns && !this.#stopping) apps.expect(name)
      },
    })
  }

  /** Starts an app in a process of its own; calls to it wait until it serves. */
  start(entry: AppEntry): void {
    const supervised: Supervised = { entry, child: undefined, startedMs: 0, crashes: 0, timer: undefined }
    // A node that ends without `stop`, as after a second Ctrl-C, takes its apps with it, stuck ones too.
    if (this.#supervised.push(supervised) === 1) process.once('exit', this.#onExit)
    this.#spawn(supervised)
  }

  #spawn(supervised: Supervised): void {
    const { entry } = supervised
    const logger = this.#logger.child({ name: entry.name })
    this.#apps.expect(entry.name)
    supervised.startedMs = nowMs()
    const child = spawn(process.execPath, childArguments(entry.path), {
      env: childEnvironment(this.#home), stdio: ['ignore', 'pipe', 'pipe'],
      // In a process group of its own: a terminal's Ctrl-C is for the node, which ends its apps when their
      // calls are through.
      detached: true,
    })
    supervised.child = child
    createInterface({ input: child.stdout }).on('line', (line) => logger.info({ line }, 'output'))
    createInterface({ input: child.stderr }).on('line', (line) => logger.info({ line }, 'output'))
    let ended = false
    const onEnd = (why: string): void => {
      if (ended) return
      ended = true
      supervised.child = undefined
      if (!this.#stopping) this.#restart(supervised, why)
    }
    child.on('error', (error) => onEnd(error.message))
    child.on('exit', (code, signal) => onEnd(signal === null ? `exit code ${code}` : signal))
  }

  #restart(supervised: Supervised, why: string): void {
    const { name } = supervised.entry
    if (nowMs() - supervised.startedMs > HEALTHY_MS) supervised.crashes = 0
    const waitMs = Math.min(RESTART_FIRST_MS * 2 ** supervised.crashes, RESTART_LAST_MS)
    supervised.crashes++
    this.#logger.warn({ app: name, why, crashes: supervised.crashes, restartMs: waitMs }, 'app-ended')
    if (supervised.crashes < HOPELESS_CRASHES) this.#apps.expect(name)
    else this.#apps.unexpect(name)
    supervised.timer = setTimeout(() => this.#spawn(supervised), waitMs)
  }

  /** Asks every app to stop and ends by force what has not within `graceMs`. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    await Promise.all(this.#supervised.map(async ({ child, timer, entry }) => {
      clearTimeout(timer)
      this.#apps.unexpect(entry.name)
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
      const gone = new Promise<void>((resolve) => { child.once('exit', () => resolve()) })
      child.kill('SIGTERM')
      const force = setTimeout(() => {
        this.#logger.warn({ app: entry.name, graceMs }, 'app-killed')
        killGroup(child)
      }, graceMs)
      await gone
      clearTimeout(force)
    }))
    process.off('exit', this.#onExit)
  }
}

/** Ends an app's process and whatever that has started in its group. */
function killGroup(child: ChildProcess | undefined): void {
  if (child?.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    child.kill('SIGKILL') // The group is gone, or was never made.
  }
}

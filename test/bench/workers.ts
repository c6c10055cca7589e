/** Processes of a bench: started by it, asked over IPC, and ended with it in every case. */
import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Time that a process gets to close what it opened before it is ended by force. */
const CLOSE_MS = 2_000

interface Answer { readonly id: number, readonly value?: unknown, readonly error?: string }

/** One process of the bench. */
export class Worker {
  readonly #child: ChildProcess
  readonly #name: string
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #nextId = 1
  #ended: string | undefined

  /** @param url the module to run; it calls `answerParent`. */
  constructor(url: URL, args: readonly string[], name: string, execArgv: readonly string[] = []) {
    this.#name = name
    // A group of its own would outlive Ctrl-C; in ours it hears it too, and ignores it.
    this.#child = fork(url, args, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'], execArgv: [...process.execArgv, ...execArgv],
    })
    this.#child.on('message', (answer: Answer) => {
      this.#waiting.get(answer.id)?.(answer)
      this.#waiting.delete(answer.id)
    })
    this.#child.once('exit', (code, signal) => this.#end(`process ${name} ended with ${signal ?? `code ${code}`}`))
    this.#child.once('error', (error) => this.#end(`process ${name}: ${error.message}`))
  }

  #end(why: string): void {
    this.#ended ??= why
    for (const [id, settle] of this.#waiting) settle({ id, error: why })
    this.#waiting.clear()
  }

  /** Asks the process for something. @throws if it fails there, or the process ends before it answers. */
  ask<T>(operation: string, argument: unknown = {}): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) return reject(new Error(this.#ended))
      const id = this.#nextId++
      this.#waiting.set(id, ({ value, error }) => {
        if (error === undefined) resolve(value as T)
        else reject(new Error(`${this.#name}: ${error}`))
      })
      this.#child.send({ id, operation, argument })
    })
  }

  /** Asks it to close, then ends it. */
  async stop(): Promise<void> {
    if (this.#ended !== undefined) return
    const gone = once(this.#child, 'exit')
    const force = setTimeout(() => this.kill(), CLOSE_MS)
    this.#child.send({ id: 0, operation: 'close', argument: {} })
    await gone
    clearTimeout(force)
  }

  /** Ends it at once. */
  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** All processes and the folder of one bench. */
export class Workshop {
  readonly folder: string
  readonly #workers = new Set<Worker>()
  readonly #onExit = (): void => this.#raze()

  constructor() {
    this.folder = mkdtempSync(join(tmpdir(), 'wb-'))
    process.once('exit', this.#onExit)
  }

  /** Starts a process. */
  start(url: URL, args: readonly string[], name: string, execArgv?: readonly string[]): Worker {
    const worker = new Worker(url, args, name, execArgv)
    this.#workers.add(worker)
    return worker
  }

  /** Ends every process, removes the folder. */
  async close(): Promise<void> {
    await Promise.all([...this.#workers].map((worker) => worker.stop()))
    this.#raze()
    process.off('exit', this.#onExit)
  }

  #raze(): void {
    for (const worker of this.#workers) worker.kill()
    this.#workers.clear()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Runs `work` with a workshop that is gone afterwards; the signal ends it early. */
export async function inWorkshop<T>(signal: AbortSignal, work: (workshop: Workshop) => Promise<T>): Promise<T> {
  const workshop = new Workshop()
  const aborted = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
  })
  try {
    return await Promise.race([work(workshop), aborted])
  } finally {
    await workshop.close()
  }
}

/** What a process can be asked for, by name; `close` comes last. */
export type Operations = Readonly<Record<string, (argument: never) => unknown>>

/** Answers the bench until it asks to close, or is gone. */
export function answerParent(operations: Operations): void {
  // Ctrl-C reaches the whole group; the bench ends us in order.
  process.on('SIGINT', () => {})
  process.once('disconnect', () => process.exit(1))
  const answer = async (id: number, operation: string, argument: unknown): Promise<void> => {
    try {
      const run = operations[operation]
      if (run === undefined) throw new Error(`there is no operation '${operation}'`)
      const value = await run(argument as never)
      process.send?.({ id, value })
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? error.message : String(error) })
    }
    if (operation === 'close') process.exit(0)
  }
  process.on('message', ({ id, operation, argument }: { id: number, operation: string, argument: unknown }) => {
    void answer(id, operation, argument)
  })
}

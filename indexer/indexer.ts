/** The indexer's life: its roots, the scans and the reading behind the calls, and their end. */
import { realpath, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import type { Log } from '../protocols/app.ts'
import { WarrenError } from '../protocols/errors.ts'
import { printable } from '../protocols/names.ts'
import {
  clipReason, UNREADABLE_LISTED_MAX, type RootStatus, type RootSummary,
} from '../protocols/search/messages.ts'
import { readContent } from './contents.ts'
import { checkFolder, checkOverlap, nameRoot, showPath } from './roots.ts'
import { FILE_STATE, IndexStore, type Outcome, type PendingFile, type Root } from './store.ts'
import { describe, walk, type Problem } from './walk.ts'

/** Files that are read at once: enough to keep a disk busy. */
const READ_FILES = 32
/** Bytes that are read at once; a single file may have more. */
const READ_BYTES = 1024 * 1024
/** Bytes of content in one transaction: some milliseconds in which no call is answered. */
const TRANSACTION_BYTES = 128 * 1024
/** Files deleted in one transaction. */
const DELETE_FILES = 200

/** What goes on with a root besides what the store knows. */
interface Progress {
  readonly abort: AbortController
  running: Promise<RootSummary> | undefined
  queued: Promise<RootSummary> | undefined
  missing: boolean
  problems: readonly Problem[]
}

/** One indexer over one state folder. Whoever makes it calls `close`. */
export class Indexer {
  /** What is stored; for reading only. */
  readonly store: IndexStore
  readonly #folder: string
  readonly #log: Log
  readonly #closing = new AbortController()
  readonly #progress = new Map<number, Progress>()
  readonly #tasks = new Set<Promise<unknown>>()
  #reading = false

  /** Opens the index in `folder`, or begins a new one there. */
  constructor(folder: string, log: Log) {
    this.store = new IndexStore(join(folder, 'index.sqlite'))
    this.#folder = folder
    this.#log = log
  }

  /** Begins to look what has changed in all roots, behind the calls. */
  start(): void {
    void this.#track(this.#erase())
    for (const root of this.store.roots()) void this.#track(this.#scan(root))
  }

  /** Ends all that goes on and closes the index. */
  async close(): Promise<void> {
    const ended = new WarrenError('DEREGISTERED', 'the indexer has ended')
    this.#closing.abort(ended)
    for (const { abort } of this.#progress.values()) abort.abort(ended)
    while (this.#tasks.size > 0) await Promise.allSettled(this.#tasks)
    this.store.close()
  }

  /**
   * Makes a folder a root, or looks again at one that is; answers once its names are recorded.
   * Whoever stops waiting stops nothing: the scan goes on.
   * @throws {WarrenError} see `checkFolder`, `checkOverlap` and `nameRoot`.
   */
  async add(path: string, name: string | undefined): Promise<RootSummary> {
    const folder = await checkFolder(path)
    this.#closing.signal.throwIfAborted()
    // No waiting from here to `addRoot`: two calls for one folder must not both find it free.
    const roots = this.store.roots()
    const same = roots.find((root) => root.path === folder.path)
    if (same !== undefined) {
      if (name === undefined || name === same.name) return this.#track(this.#scan(same))
      throw new WarrenError('BAD_ARGUMENT', `${showPath(path)} is root '${same.name}' already: `
        + 'remove it first to give it another name', { started: false })
    }
    checkOverlap(folder.path, roots)
    const root = this.store.addRoot(nameRoot(folder.path, name, roots), folder.path, folder.device)
    this.#log.info('root.added', { root: root.name })
    return this.#track(this.#scan(root))
  }

  /**
   * Forgets a root at once; what was indexed of it is erased behind the calls, after a restart too.
   * The files themselves stay untouched.
   */
  remove(name: string): RootSummary {
    const root = this.root(name)
    const summary = this.#summary(root)
    const { abort, running } = this.#progressOf(root)
    this.store.forgetRoot(root.id)
    this.#progress.delete(root.id)
    abort.abort(new WarrenError('FILE_NOT_FOUND', `root '${name}' was removed meanwhile`))
    this.#log.info('root.removed', { root: name })
    void this.#track(Promise.allSettled([running]).then(() => this.#erase()))
    return summary
  }

  /**
   * Looks what has changed in one root or in all; answers once names are recorded.
   * @throws {WarrenError} `FILE_NOT_FOUND` for a root that is unknown or just now not there.
   */
  async rescan(name: string | undefined): Promise<RootSummary[]> {
    const roots = name === undefined ? this.store.roots() : [this.root(name)]
    const summaries = await Promise.all(roots.map((root) => this.#track(this.#scan(root))))
    const only = name === undefined ? undefined : roots[0]
    if (only !== undefined && this.#progressOf(only).missing) {
      throw new WarrenError('FILE_NOT_FOUND', `root '${only.name}' is not there just now: `
        + `no folder ${showPath(only.path)}; what was found in it stays known`, { started: false })
    }
    return summaries
  }

  /** All roots with their numbers. */
  roots(): RootSummary[] {
    return this.store.roots().map((root) => this.#summary(root))
  }

  /** @throws {WarrenError} `FILE_NOT_FOUND` that names the roots that there are. */
  root(name: string): Root {
    const roots = this.store.roots()
    const found = roots.find((root) => root.name === name)
    if (found !== undefined) return found
    const names = roots.map((root) => root.name).join(', ')
    throw new WarrenError('FILE_NOT_FOUND', `no root ${printable(name)}: there are `
      + (names === '' ? 'none' : names), { started: false })
  }

  /** How far each root is. */
  status(): RootStatus[] {
    return this.store.roots().map((root) => {
      const counts = this.store.counts(root.id)
      const inState = (state: number): number =>
        counts.find((row) => row.state === state)?.files ?? 0
      const { running, queued, missing, problems } = this.#progressOf(root)
      const pending = inState(FILE_STATE.pending)
      const scanning = running !== undefined || queued !== undefined
      const files = this.store.unreadable(root.id, UNREADABLE_LISTED_MAX)
      const folders = problems.slice(0, UNREADABLE_LISTED_MAX)
      const first = [...folders, ...files].slice(0, UNREADABLE_LISTED_MAX)
      return {
        ...this.#summary(root),
        state: missing ? 'missing' : scanning ? 'scanning' : pending > 0 ? 'reading' : 'idle',
        contents: inState(FILE_STATE.text),
        pending,
        unreadable: {
          count: inState(FILE_STATE.unreadable) + problems.length,
          first: first.map(({ path, reason }) => ({ path, reason: clipReason(reason) })),
        },
        scanned: root.scanned === null ? null : new Date(root.scanned).toISOString(),
      }
    })
  }

  #summary(root: Root): RootSummary {
    const counts = this.store.counts(root.id)
    const bytes = counts.reduce((sum, row) => sum + row.bytes, 0)
    return {
      root: root.name, path: root.path,
      files: counts.reduce((sum, row) => sum + row.files, 0),
      bytes: Math.min(bytes, Number.MAX_SAFE_INTEGER),
    }
  }

  /** A scan that begins now, or behind the one that runs: that one may be past what has changed. */
  #scan(root: Root): Promise<RootSummary> {
    const progress = this.#progressOf(root)
    if (progress.queued !== undefined) return progress.queued
    const { running } = progress
    progress.queued = Promise.allSettled([running]).then(async () => {
      progress.queued = undefined
      progress.running = this.#scanOnce(root, progress)
      try {
        return await progress.running
      } finally {
        progress.running = undefined
      }
    })
    return progress.queued
  }

  async #scanOnce(root: Root, progress: Progress): Promise<RootSummary> {
    const { signal } = progress.abort
    signal.throwIfAborted()
    const device = await deviceOf(root.path)
    signal.throwIfAborted()
    progress.missing = device === undefined
    if (device === undefined) return this.#summary(root)
    const found = await walk(root.path, { signal, skip: [this.#folder] })
    // An empty folder on another disk is the place where the root's own is to be mounted.
    progress.missing = found.paths.length === 0 && device !== root.device
    if (progress.missing) return this.#summary(root)
    const seen = new Set<number>()
    for await (const entries of describe(root.path, found.paths, found.problems, signal)) {
      signal.throwIfAborted()
      for (const id of this.store.recordNames(root.id, entries)) seen.add(id)
    }
    progress.problems = found.problems
    // A disk that went away meanwhile makes all its files look deleted.
    if (await deviceOf(root.path) !== device) progress.missing = true
    else await this.#sweep(root, seen, found.problems, signal)
    signal.throwIfAborted()
    if (!progress.missing) this.store.markScanned(root.id, device, Date.now())
    this.#read()
    return this.#summary(root)
  }

  /** Deletes the files that a scan did not see, except those it could not get to. */
  async #sweep(
    root: Root, seen: ReadonlySet<number>, problems: readonly Problem[], signal: AbortSignal,
  ): Promise<void> {
    const kept = problems.filter((problem) => problem.keep).map(({ path }) => path)
    const isKept = (path: string): boolean =>
      kept.some((folder) => folder === '' || path === folder || path.startsWith(`${folder}/`))
    let after = 0
    for (;;) {
      signal.throwIfAborted()
      const rows = this.store.filesAfter(root.id, after, DELETE_FILES)
      const last = rows.at(-1)
      if (last === undefined) return
      after = last.id
      const gone = rows.filter((row) => !seen.has(row.id) && !isKept(row.path))
      this.store.deleteFiles(gone.map((row) => row.id))
      await setImmediate()
    }
  }

  /** Reads contents until none is left, unless it does so already. */
  #read(): void {
    if (this.#reading) return
    this.#reading = true
    void this.#track(this.#readAll().finally(() => {
      this.#reading = false
    }))
  }

  async #readAll(): Promise<void> {
    const { signal } = this.#closing
    for (;;) {
      await setImmediate()
      if (signal.aborted) return
      const files = firstBytes(this.store.pending(READ_FILES))
      if (files.length === 0) return
      const outcomes = await Promise.all(files.map(async (file) =>
        [file.id, await readContent(file)] as const))
      for (const batch of batches(outcomes)) {
        if (signal.aborted) return
        this.store.recordContents(batch)
        await setImmediate()
      }
    }
  }

  async #erase(): Promise<void> {
    while (!this.#closing.signal.aborted && this.store.eraseSome(DELETE_FILES)) await setImmediate()
  }

  #progressOf(root: Root): Progress {
    let progress = this.#progress.get(root.id)
    if (progress === undefined) {
      progress = {
        abort: new AbortController(), running: undefined, queued: undefined,
        missing: false, problems: [],
      }
      this.#progress.set(root.id, progress)
    }
    return progress
  }

  /** Keeps a task until it ends, so that `close` waits for it and no failure goes unheard. */
  #track<T>(task: Promise<T>): Promise<T> {
    const heard = task.catch((error: unknown) => {
      // A WarrenError is an answer to the callers that wait; others are faults of the disk or ours.
      if (error instanceof WarrenError) return
      this.#log.warn('index.failed', { reason: String(error) })
    }).finally(() => this.#tasks.delete(heard))
    this.#tasks.add(heard)
    return task
  }
}

/** The device that a root lies on; `undefined` if it is gone, or a link that leads elsewhere now. */
async function deviceOf(path: string): Promise<string | undefined> {
  try {
    const stats = await stat(path, { bigint: true })
    return stats.isDirectory() && await realpath(path) === path ? String(stats.dev) : undefined
  } catch {
    return undefined
  }
}

/** As many files as may be read at once; at least one. */
function firstBytes(files: readonly PendingFile[]): PendingFile[] {
  let bytes = 0
  return files.filter((file, index) => {
    bytes += file.size
    return index === 0 || bytes <= READ_BYTES
  })
}

/** Outcomes in groups of one transaction's size; a large file has one to itself. */
function* batches<T extends readonly [number, Outcome]>(outcomes: readonly T[]): Generator<T[]> {
  let batch: T[] = []
  let bytes = 0
  for (const outcome of outcomes) {
    const size = outcome[1].state === FILE_STATE.text ? outcome[1].text.length : 0
    if (batch.length > 0 && bytes + size > TRANSACTION_BYTES) {
      yield batch
      batch = []
      bytes = 0
    }
    batch.push(outcome)
    bytes += size
  }
  if (batch.length > 0) yield batch
}

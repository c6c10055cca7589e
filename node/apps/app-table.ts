/** The apps that this node's processes serve, and those that it expects soon. */
import { WarrenError } from '../../protocols/errors.ts'
import { APPS_PER_NODE_MAX } from '../../protocols/limits.ts'
import type { CallListener, IncomingCall, Link } from '../links/link.ts'
import type { MethodInfo, Registration } from './registration.ts'

/** An app on this node. Built-in apps have no link: they are served in the node's own process. */
export interface LocalApp {
  readonly name: string
  readonly methods: readonly MethodInfo[]
  readonly pid: number
  readonly sinceMs: number
  readonly device?: Registration['device']
  readonly link?: Link
  readonly serve?: (incoming: IncomingCall, caller: { node: string, local: boolean }) => CallListener
}

/** Told when apps come and go. */
export interface AppWatcher {
  added(app: LocalApp): void
  removed(app: LocalApp): void
}

/** Apps by name; one process per name. */
export class AppTable {
  readonly #apps = new Map<string, LocalApp>()
  readonly #expected = new Map<string, Set<() => void>>()
  readonly #watchers = new Set<AppWatcher>()

  get size(): number { return this.#apps.size }

  /** The app of this name. */
  get(name: string): LocalApp | undefined { return this.#apps.get(name) }

  /** All apps in the order of their names. */
  list(): LocalApp[] {
    return [...this.#apps.values()].sort((a, b) => a.name < b.name ? -1 : 1)
  }

  /** Adds a watcher. */
  watch(watcher: AppWatcher): void {
    this.#watchers.add(watcher)
  }

  /** @throws {WarrenError} `NAME_TAKEN` while another process serves the name; `LIMIT` when there are too many. */
  add(app: LocalApp): void {
    const holder = this.#apps.get(app.name)
    if (holder !== undefined) {
      throw new WarrenError('NAME_TAKEN',
        `app '${app.name}' is served by process ${holder.pid} on this node already; stop that one first`,
        { started: false })
    }
    if (this.#apps.size >= APPS_PER_NODE_MAX) {
      throw new WarrenError('LIMIT', `this node serves ${APPS_PER_NODE_MAX} apps, which is the most it can`)
    }
    this.#apps.set(app.name, app)
    for (const wake of this.#expected.get(app.name) ?? []) wake()
    this.#expected.delete(app.name)
    for (const watcher of this.#watchers) watcher.added(app)
  }

  /** Removes `app` if it still holds its name. */
  remove(app: LocalApp): boolean {
    if (this.#apps.get(app.name) !== app) return false
    this.#apps.delete(app.name)
    for (const watcher of this.#watchers) watcher.removed(app)
    return true
  }

  /** A process that will serve `name` is starting: calls wait for it. */
  expect(name: string): void {
    if (!this.#apps.has(name) && !this.#expected.has(name)) this.#expected.set(name, new Set())
  }

  /** It will not come: whoever waits goes on without. */
  unexpect(name: string): void {
    for (const wake of this.#expected.get(name) ?? []) wake()
    this.#expected.delete(name)
  }

  /** Whether a process that will serve `name` is starting. */
  isExpected(name: string): boolean { return this.#expected.has(name) }

  /** Settles when an expected app has come, or will not. */
  arrival(name: string): Promise<void> {
    const waiting = this.#expected.get(name)
    if (waiting === undefined) return Promise.resolve()
    return new Promise((resolve) => { waiting.add(resolve) })
  }
}

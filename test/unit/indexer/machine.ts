/** A machine for the indexer's tests: a real folder with real files, and the app run over it in this process. */
import { chmod, chown, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { createIndexer } from '../../../indexer/index.ts'
import type { Log, Net } from '../../../protocols/app.ts'
import { formatFileUri } from '../../../protocols/search/uri.ts'
import type { QueryOutput, RootStatus, RootSummary } from '../../../protocols/search/messages.ts'
import { callOnce, callStream, contextOf, netOfNode, PEERS, silentLog } from '../search/net-double.ts'

/**
 * Uid of `nobody` on Linux and of an ordinary user elsewhere: what matters is that it is not root.
 */
const ORDINARY_UID = 65_534

/** A machine with an indexer that runs. */
export interface Machine {
  /** The folder that tests put files into. */
  readonly files: string
  /** The app's state folder. */
  readonly state: string
  /** Writes files, by path within `files`. */
  write(files: Record<string, string | Uint8Array>): Promise<void>
  call<T>(method: string, input?: unknown): Promise<T>
  /** All bytes of a file, or a range of it. */
  read(path: string, range?: { offset?: number, length?: number }): Promise<Buffer>
  stream(method: string, input: unknown, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined>
  /** Adds `files` as root `docs`. */
  add(): Promise<RootSummary>
  /** Names of the files that a query finds, best first. */
  find(query: string): Promise<string[]>
  query(query: string, limit?: number): Promise<QueryOutput>
  /** Waits until nothing is scanned or read any more. */
  idle(): Promise<RootStatus[]>
  /** Ends the app and begins it anew over the same folder. */
  restart(): Promise<void>
  stop(): Promise<void>
}

/** The URI of a file in root `docs` of the test machine. */
export function uriOf(path: string, root = 'docs'): string {
  return formatFileUri({ node: PEERS[0], root, path })
}

/** Starts a machine of its own in a temporary folder. */
export async function startMachine(net: Net = netOfNode(), log: Log = silentLog): Promise<Machine> {
  const base = await realpath(await mkdtemp(join(tmpdir(), 'warren-indexer-')))
  const [files, state] = [join(base, 'files'), join(base, 'state')]
  await mkdir(files)
  await mkdir(state, { mode: 0o700 })
  let running = run(state, net, log)
  const context = (signal?: AbortSignal) =>
    contextOf({ net, folder: state, log, ...(signal === undefined ? {} : { signal }) })
  const machine: Machine = {
    files, state,
    async write(contents) {
      for (const [path, content] of Object.entries(contents)) {
        await mkdir(dirname(join(files, path)), { recursive: true })
        await writeFile(join(files, path), content)
      }
    },
    call: (method, input) => callOnce(running.app, method, input, context()),
    stream: (method, input, signal) => callStream(running.app, method, input, context(signal)),
    async read(path, range = {}) {
      const chunks: Uint8Array[] = []
      for await (const chunk of machine.stream('read', { uri: uriOf(path), ...range })) chunks.push(chunk)
      return Buffer.concat(chunks)
    },
    add: () => machine.call('add', { path: files, name: 'docs' }),
    query: (query, limit) => machine.call('query', { query, ...(limit === undefined ? {} : { limit }) }),
    async find(query) {
      return (await machine.query(query)).hits.map((hit) => hit.name)
    },
    async idle() {
      for (;;) {
        const roots = await machine.call<RootStatus[]>('status')
        if (roots.every((root) => root.state === 'idle' || root.state === 'missing')) return roots
        await setImmediate()
      }
    },
    async restart() {
      await running.stop()
      running = run(state, net, log)
    },
    async stop() {
      await running.stop()
      await rm(base, { recursive: true, force: true })
    },
  }
  return machine
}

function run(folder: string, net: Net, log: Log) {
  const app = createIndexer()
  const end = Promise.withResolvers<void>()
  const signal = new AbortController().signal
  const ended = app.main?.({ stopped: end.promise, signal, net, folder, log })
  return {
    app,
    async stop() {
      end.resolve()
      await ended
    },
  }
}

/**
 * Runs `work` as somebody who may not read everything, because root may; `open` lists what it still
 * needs.
 */
export async function asOrdinaryUser<T>(open: readonly string[], work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0 || process.seteuid === undefined) return work()
  for (const path of open) {
    await chmod(path, 0o755)
    await chown(path, ORDINARY_UID, ORDINARY_UID)
  }
  process.seteuid(ORDINARY_UID)
  try {
    return await work()
  } finally {
    process.seteuid(0)
  }
}

/** What the tests on real nodes share: nodes in a temporary folder, all of them stopped, and an app to call. */
import { mkdtemp, realpath, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { z } from 'zod'
import {
  connect, createNode, defineApp, method, type App, type Connection, type CreateNodeOptions, type EmbeddedNode,
} from '../../node/index.ts'

/** Nodes and processes of one test, each node in a home of its own. */
export interface Field {
  /** Temporary; the homes lie in it under their nodes' names. */
  readonly folder: string
  home(name: string): string
  /** Starts a node. */
  node(name: string, options?: CreateNodeOptions): Promise<EmbeddedNode>
  /** Another process's link to the node of this name. */
  connect(name: string): Promise<Connection>
  /** Serves an app on the node of this name, over a link of its own. */
  serve(name: string, app: App): Promise<Connection>
  /** Ends everything and removes the folder. */
  end(): Promise<void>
}

/** Makes an empty field. */
export async function openField(): Promise<Field> {
  const folder = await realpath(await mkdtemp(join(tmpdir(), 'warren-net-')))
  const connections: Connection[] = []
  const nodes: EmbeddedNode[] = []
  const field: Field = {
    folder,
    home: (name) => join(folder, name),
    async node(name, options = {}) {
      const node = await createNode({ home: field.home(name), name, ...options })
      nodes.push(node)
      return node
    },
    async connect(name) {
      const connection = await connect({ home: field.home(name), log: () => silent })
      connections.push(connection)
      return connection
    },
    async serve(name, app) {
      const connection = await field.connect(name)
      await connection.serve(app)
      return connection
    },
    async end() {
      await Promise.all(connections.map((connection) => connection.close()))
      await Promise.all(nodes.map((node) => node.stop()))
      await rm(folder, { recursive: true, force: true })
    },
  }
  return field
}

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Connects `from` to `to`. */
export async function joinTo(from: Connection, to: EmbeddedNode): Promise<void> {
  await from.call('node.connect', { address: to.addresses[0] })
}

/** Asks again until there is an answer: for what spreads through a warren without telling that it has. */
export async function eventually<T>(ask: () => Promise<T | undefined>): Promise<T> {
  for (;;) {
    const answer = await ask()
    if (answer !== undefined) return answer
    await setImmediate()
  }
}

/** Settles when `from` finds the app on the node of this id. */
export async function found(from: Connection, app: string, host: EmbeddedNode): Promise<void> {
  await eventually(async () => (await from.hosts(app)).some(({ node }) => node === host.peerId) || undefined)
}

/** The names that matter of an error. */
export async function failure(call: PromiseLike<unknown>): Promise<{ name: string, code: string, started: unknown }> {
  try {
    await call
  } catch (thrown) {
    const { name, code, started } = thrown as { name: string, code: string, started: unknown }
    return { name, code, started }
  }
  throw new Error('the call succeeded')
}

/** Ends of calls to `lab.wait` as their handlers saw them. */
export interface Lab {
  readonly app: ReturnType<typeof makeApp>
  /** Settles when the next call of `wait` has begun; its result settles with the reason of its signal. */
  waiting(): Promise<{ readonly timeoutMs: number | undefined, readonly ended: Promise<Error> }>
}

type Waiting = Awaited<ReturnType<Lab['waiting']>>

/** An app that does everything that a method can do, and lets a test look at its handlers. */
export function makeLab(name = 'lab'): Lab {
  const begun: Waiting[] = []
  const asked: ((waiting: Waiting) => void)[] = []
  const app = makeApp(name, (waiting) => {
    const next = asked.shift()
    if (next === undefined) begun.push(waiting)
    else next(waiting)
  })
  return {
    app,
    waiting: () => {
      const first = begun.shift()
      return first === undefined ? new Promise((resolve) => { asked.push(resolve) }) : Promise.resolve(first)
    },
  }
}

function makeApp(name: string, tell: (waiting: Waiting) => void) {
  const wait = async (signal: AbortSignal, timeoutMs: number | undefined): Promise<void> => {
    const ended = new Promise<Error>((resolve) => {
      signal.addEventListener('abort', () => { resolve(signal.reason as Error) }, { once: true })
    })
    tell({ timeoutMs, ended })
    await ended
  }
  return defineApp(name, {
    say: method({ input: z.object({ text: z.string() }), output: z.object({ text: z.string() }) },
      async ({ text }) => ({ text })),
    count: method({ input: z.object({ to: z.number() }), output: z.number() }, async function* ({ to }) {
      for (let i = 0; i < to; i++) yield i
    }),
    sum: method({ upload: z.number(), output: z.number() }, async (_input, { upload }) => {
      let sum = 0
      for await (const number of upload) sum += number
      return sum
    }),
    reverse: method({}, async (bytes) => Uint8Array.from(bytes as Uint8Array).reverse()),
    pump: method({ upload: z.instanceof(Uint8Array) }, async function* (_input, { upload }) {
      for await (const chunk of upload) yield chunk
    }),
    caller: method({}, async (_input, { caller }) => caller),
    timeLeft: method({}, async (_input, { timeoutMs }) => timeoutMs ?? null),
    wait: method({}, async (_input, { signal, timeoutMs }) => {
      await wait(signal, timeoutMs)
      throw signal.reason
    }),
    drip: method({}, async function* (_input, { signal, timeoutMs }) {
      yield 'first'
      await wait(signal, timeoutMs)
    }),
    via: method({ input: z.object({ method: z.string() }) },
      async ({ method: next }, { net }) => await net.call(next, {})),
    viaSlowly: method({ input: z.object({ method: z.string(), timeoutMs: z.number() }) },
      async ({ method: next, timeoutMs }, { net }) => await net.call(next, {}, { timeoutMs })),
    onlyHere: method({ local: true }, async () => 'a secret of this machine'),
  })
}

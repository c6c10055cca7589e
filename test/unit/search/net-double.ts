/** A test double of the overlay and of the process that runs an app: no node, no link, no child process. */
import type { App, Call, CallOptions, Caller, Context, Host, Log, Net, Schema } from '../../../protocols/app.ts'
import { makeClient } from '../../../protocols/app.ts'
import { WarrenError } from '../../../protocols/errors.ts'

/** PeerIds of machines that do not exist. */
export const PEERS = [
  '12D3KooWAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1',
  '12D3KooWBbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb2',
  '12D3KooWCccccccccccccccccccccccccccccccccccccccccccc3',
] as const

/** What answers a call on the double: gets the arguments and options, gives or throws the reply. */
export type Reply = (input: unknown, options: CallOptions) => unknown

/** A log that nobody reads. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} }

/** An overlay whose methods are the functions in `replies` and whose hosts are those in `hosts`. */
export function netDouble(replies: Record<string, Reply>, hosts: readonly Host[] = []): Net {
  const call = <T>(name: string, input?: unknown, options: CallOptions = {}): Call<T> => {
    const promise = (async () => {
      const reply = replies[name]
      if (reply === undefined) throw new WarrenError('APP_NOT_FOUND', `the double has no '${name}'`)
      return await reply(input, options) as T
    })()
    return Object.assign(promise, {
      cancel() {},
      async *[Symbol.asyncIterator]() { yield await promise },
    })
  }
  return {
    call,
    client: (app, options) => makeClient(call, app, options),
    hosts: async () => [...hosts],
  }
}

/** The overlay as the indexer sees it: a node that says who it is. */
export function netOfNode(peerId: string = PEERS[0], name = 'attic'): Net {
  return netDouble({ 'node.status': () => ({ peerId, name, addresses: [] }) })
}

/** A context as a process would make it for a call. */
export function contextOf(parts: Partial<Context> & Pick<Context, 'net'>): Context {
  const caller: Caller = { node: PEERS[0], local: true }
  return {
    signal: new AbortController().signal, timeoutMs: 30_000, caller, upload: nothing(), folder: '/nonexistent',
    log: silentLog, ...parts,
  }
}

async function* nothing(): AsyncGenerator<never> {}

/**
 * Calls a method that answers once as a node would: arguments and reply are checked against its
 * schemas.
 */
export async function callOnce<T>(app: App, name: string, input: unknown, context: Context): Promise<T> {
  const { spec, handler } = methodOf(app, name)
  const reply = await (handler as Handler)(await check(spec.input, input), context)
  return await check(spec.output, reply) as T
}

/** Calls a method that answers with a stream. */
export async function* callStream<T>(
  app: App, name: string, input: unknown, context: Context,
): AsyncGenerator<T, void, undefined> {
  const { spec, handler } = methodOf(app, name)
  const items = (handler as Handler)(await check(spec.input, input), context) as AsyncIterable<unknown>
  for await (const item of items) yield await check(spec.output, item) as T
}

type Handler = (input: unknown, context: Context) => unknown

function methodOf(app: App, name: string) {
  const found = app.methods[name]
  if (found === undefined) throw new WarrenError('METHOD_NOT_FOUND', `no method '${app.name}.${name}'`)
  return found
}

async function check(schema: Schema | undefined, value: unknown): Promise<unknown> {
  if (schema === undefined) return value
  const result = await schema['~standard'].validate(value)
  if (result.issues === undefined) return result.value
  throw new WarrenError('SCHEMA', result.issues.map((issue) =>
    `${String(issue.path?.join('.'))}: ${issue.message}`).join('; '))
}

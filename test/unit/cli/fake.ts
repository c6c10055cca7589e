/** A hand-made process and node for tests of the command line: no socket, no terminal, no signals. */
import { EventEmitter } from 'node:events'
import { PassThrough, Writable } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import type { Call, CallOptions, Net } from '../../../protocols/app.ts'
import { WarrenError } from '../../../protocols/errors.ts'
import { runCli } from '../../../node/cli/index.ts'
import type { CliContext, Connection, Io, OutputStream } from '../../../node/cli/session.ts'

/** What a fake method does: gives one answer, a stream of items, or throws. */
export type Handler = (input: never, options: CallOptions) => unknown

/** A call as the node saw it. */
export interface SeenCall { readonly method: string, readonly input: unknown, readonly options: CallOptions }

/** A link to a node that knows only the given methods. */
export class FakeConnection implements Connection {
  readonly calls: SeenCall[] = []
  readonly closed: Promise<void>
  isClosed = false
  readonly #handlers: Readonly<Record<string, Handler>>
  readonly #settleClosed: () => void

  constructor(handlers: Readonly<Record<string, Handler>>) {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.closed = promise
    this.#settleClosed = resolve
    this.#handlers = { 'node.status': () => FAKE_STATUS, ...handlers }
  }

  call<T = unknown>(method: string, input?: unknown, options: CallOptions = {}): Call<T> {
    this.calls.push({ method, input, options })
    const handler = this.#handlers[method]
    const items = async function* (): AsyncGenerator<unknown> {
      if (handler === undefined) throw new WarrenError('APP_NOT_FOUND', `no app '${method.split('.')[0]}'`)
      const answer = await handler(input as never, options)
      if (isAsyncIterable(answer)) yield* answer
      else yield answer
    }
    let isIterated = false
    const answer = new Promise<unknown>((resolve, reject) => {
      // As with a real call, whoever iterates over it does so before the next tick.
      queueMicrotask(() => {
        if (!isIterated) items().next().then(({ value }) => { resolve(value) }, reject)
      })
    })
    const iterate = (): AsyncGenerator<unknown> => {
      isIterated = true
      return items()
    }
    return Object.assign(answer, { [Symbol.asyncIterator]: iterate, cancel() {} }) as Call<T>
  }

  client: Net['client'] = () => { throw new Error('the command line makes no clients') }
  hosts: Net['hosts'] = async () => []

  async close(): Promise<void> {
    this.isClosed = true
    this.#settleClosed()
  }
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

/** PeerId of the fake node. */
export const FAKE_PEER = '12D3KooWHFrmLWTTDD4NodngtRMEVYgxrsDMp4F9iSwYntZ9WjHa'

/** Status of the fake node. */
export const FAKE_STATUS = {
  peerId: FAKE_PEER, name: 'laptop', version: '0.1.0', home: '/home/ann/warren', pid: 4242,
  startedAt: '2026-11-03T09:05:00.000Z', uptimeMs: 3_720_000, addresses: ['/ip4/127.0.0.1/tcp/4001'],
  socket: '/run/user/1000/warren/0123456789abcdef.sock', peers: 1, apps: 3, callsInFlight: 0, memoryBytes: 81_000_000,
}

/** How a fake run is set up. */
export interface FakeOptions extends Partial<Omit<CliContext, 'io'>> {
  readonly handlers?: Readonly<Record<string, Handler>>
  /** Columns of the terminal that stdout is; without it stdout is a pipe. */
  readonly columns?: number
  readonly env?: Readonly<Record<string, string>>
  readonly stdin?: readonly (string | Uint8Array)[]
  readonly stdout?: OutputStream
  readonly isAlive?: (processId: number) => boolean
  /** Gets hold of the signals before the command starts. */
  readonly onStart?: (signals: EventEmitter) => void
}

/** What a fake run left behind. */
export interface FakeResult {
  readonly code: number
  readonly stdout: string
  readonly stdoutBytes: Buffer
  readonly stderr: string
  readonly net: FakeConnection
  /** Exit codes with which the process was ended at once. */
  readonly exits: readonly number[]
}

/** Runs the command line `argv` against the fakes. */
export async function runFake(argv: readonly string[], options: FakeOptions = {}): Promise<FakeResult> {
  const out: Buffer[] = []
  const error: Buffer[] = []
  const net = new FakeConnection(options.handlers ?? {})
  const signals = new EventEmitter()
  const exits: number[] = []
  const stdin = new PassThrough()
  for (const chunk of options.stdin ?? []) stdin.write(chunk)
  stdin.end()
  const terminal = options.columns === undefined ? {} : { isTTY: true, columns: options.columns }
  const io: Io = {
    stdin,
    stdout: options.stdout ?? Object.assign(collector(out), terminal),
    stderr: collector(error),
    env: { WARREN_HOME: '/tmp/warren-test-home', ...options.env },
    folder: '/home/ann',
    onSignal(name, listener) {
      signals.on(name, listener)
      return () => { signals.off(name, listener) }
    },
    exit: (code) => { exits.push(code) },
    isAlive: options.isAlive ?? (() => false),
  }
  options.onStart?.(signals)
  const code = await runCli(argv, { defaultApps: [], version: '0.1.0', connect: async () => net, ...options, io })
  const stdoutBytes = Buffer.concat(out)
  return {
    code, net, exits, stdoutBytes,
    stdout: stdoutBytes.toString('utf8'), stderr: Buffer.concat(error).toString('utf8'),
  }
}

function collector(chunks: Buffer[]): Writable {
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk)
      done()
    },
  })
}

/** Text without colours. */
export const plain = stripVTControlCharacters

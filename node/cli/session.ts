/** What a command of the CLI works with: streams, colours, the signal of Ctrl-C, and the connection to the node. */
import { styleText } from 'node:util'
import type { Readable, Writable } from 'node:stream'
import type { Logger } from 'pino'
import type { Net } from '../../protocols/app.ts'
import { WarrenError } from '../../protocols/errors.ts'
import type { Config } from '../config.ts'
import type { Environment, Home } from '../home.ts'
import { visible } from './format.ts'

/** An app that a node starts with itself. */
export interface AppEntry {
  readonly name: string
  /** The file that default-exports the app. */
  readonly path: URL
}

/** A link to the local node. */
export interface Connection extends Net {
  readonly closed: Promise<void>
  close(): Promise<void>
}

/** A node that runs in this process. */
export interface RunningNode {
  readonly peerId: string
  readonly name: string
  readonly socket: string
  readonly addresses: readonly string[]
  /** How long the start took. */
  readonly milliseconds: number
  /** Settled when the node has stopped, whoever asked it to. */
  readonly stopped: Promise<void>
  stop(reason?: string): Promise<void>
}

/** What a node is made from. */
export interface NodeOptions {
  readonly home: Home
  readonly config: Config
  readonly apps: readonly AppEntry[]
  readonly logger: Logger
}

/** What an app that is run in a process of its own is started from. */
export interface RunOptions {
  /** Absolute path. */
  readonly file: string
  readonly home: Home
  readonly signal: AbortSignal
  readonly stdio: 'inherit'
}

/** A stream to a terminal, a file or a pipe. */
export type OutputStream = Writable & { readonly isTTY?: boolean, readonly columns?: number }

/** The process around the CLI; tests put their own in its place. */
export interface Io {
  readonly stdin: Readable
  readonly stdout: OutputStream
  readonly stderr: OutputStream
  readonly env: Environment
  /** Where relative paths start. */
  readonly folder: string
  /** Calls `listener` at each signal of this name; returns what stops that. */
  onSignal(name: 'SIGINT' | 'SIGTERM', listener: () => void): () => void
  /** Ends the process at once. */
  exit(code: number): void
  isAlive(processId: number): boolean
}

/** What the composition root, or a test, gives to the CLI. */
export interface CliContext {
  readonly defaultApps: readonly AppEntry[]
  readonly version: string
  readonly io?: Io
  readonly connect?: (options: { home: string, signal: AbortSignal }) => Promise<Connection>
  readonly createNode?: (options: NodeOptions) => Promise<RunningNode>
  readonly runApp?: (options: RunOptions) => Promise<number>
}

/** A colour or another look of text, or several of them. */
export type TextStyle = Parameters<typeof styleText>[0]

/** What one run of the CLI gives to its command. */
export interface Session {
  readonly context: CliContext
  readonly io: Io
  /**
   * The home that the environment names. Late, so that one that cannot be does not stand in the way of
   * `--help`, and its code not in the way of `--version`.
   */
  home(): Promise<Home>
  /** Whether people or programs read: under `--json` every line is one JSON value. */
  readonly json: boolean
  /** Whether stdout is a terminal and is meant for a person. */
  readonly isTerminal: boolean
  /** Columns of the terminal; `Infinity` where stdout is none. */
  readonly width: number
  /** Aborted by Ctrl-C, SIGTERM, and when nobody reads stdout any more. */
  readonly signal: AbortSignal
  /** Writes to stdout and waits until it takes more. */
  write(chunk: string | Uint8Array): Promise<void>
  /** Writes a line to stdout. */
  print(line: string): Promise<void>
  /** A remark on stderr, which stays out of what is piped on. */
  note(line: string): void
  /** Colours text for stdout, where it has colours. */
  style(format: TextStyle, text: string): string
  /** Runs `use` with a link to the local node and closes it. */
  withNode<T>(use: (net: Connection) => Promise<T>): Promise<T>
}

/** The real process. */
export function processIo(): Io {
  return {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    folder: process.cwd(),
    onSignal(name, listener) {
      process.on(name, listener)
      return () => { process.off(name, listener) }
    },
    exit: (code) => { process.exit(code) },
    isAlive,
  }
}

function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0)
  } catch (thrown) {
    // EPERM: it lives, and is somebody else's.
    return thrown instanceof Error && 'code' in thrown && thrown.code === 'EPERM'
  }
}

/** Makes the session of one run. `json` is what the command line says. */
export function createSession(
  context: CliContext, io: Io, output: Output, settings: { json: boolean, signal: AbortSignal },
): Session {
  const { json, signal } = settings
  const isTerminal = io.stdout.isTTY === true && !json
  const colours = hasColours(io.stdout, io.env)
  let home: Home | undefined
  const session: Session = {
    context, io, json, isTerminal, signal,
    home: async () => home ??= (await import('../home.ts')).resolveHome(io.env),
    width: isTerminal ? io.stdout.columns || 80 : Infinity,
    write: output.write,
    print: (line) => output.write(`${line}\n`),
    note: (line) => { io.stderr.write(`${visible(line)}\n`) },
    style: (format, text) => colours && !json ? styleText(format, text, { validateStream: false }) : text,
    withNode: (use) => withNode(session, use),
  }
  return session
}

function hasColours(stream: OutputStream, env: Environment): boolean {
  if ((env['NO_COLOR'] ?? '') !== '') return false
  const forced = env['FORCE_COLOR']
  if (forced !== undefined) return forced !== '0' && forced !== 'false'
  return stream.isTTY === true && env['TERM'] !== 'dumb'
}

async function withNode<T>(session: Session, use: (net: Connection) => Promise<T>): Promise<T> {
  const { context, signal } = session
  const { folder } = await session.home()
  const connect = context.connect ?? (await import('../index.ts')).connect
  const net = await connect({ home: folder, signal })
  try {
    return await use(net)
  } finally {
    await net.close()
  }
}

/** Stdout with back-pressure, and with an end that is no accident when its reader leaves. */
export interface Output {
  /** What went wrong with stdout itself. */
  readonly failure: () => Error | undefined
  /** Whether the reader left: `warren find … | head -1`. */
  readonly isGone: () => boolean
  write(chunk: string | Uint8Array): Promise<void>
  /** Settled when everything written has left the process, or cannot any more. */
  flush(): Promise<void>
  release(): void
}

/** Guards stdout; `onLost` is called once if nothing more can be written to it. */
export function createOutput(stream: OutputStream, onLost: () => void): Output {
  let failure: (Error & { code?: string }) | undefined
  const onError = (error: Error): void => {
    if (failure !== undefined) return
    failure = error
    onLost()
  }
  const isGone = (): boolean => failure?.code === 'EPIPE' || failure?.code === 'ERR_STREAM_DESTROYED'
  stream.on('error', onError)
  const lost = (): WarrenError => new WarrenError('OUTPUT',
    `the output cannot be written: ${failure?.message ?? 'it was closed'}`, { code: 'ABORTED', cause: failure })
  return {
    failure: () => failure === undefined || isGone() ? undefined : lost(),
    isGone,
    async write(chunk) {
      if (failure !== undefined) throw lost()
      if (!stream.write(chunk)) await drained(stream)
      if (failure !== undefined) throw lost()
    },
    flush: () => new Promise((resolve) => {
      if (failure !== undefined) return resolve()
      stream.write('', () => { resolve() })
    }),
    // A late error must not become an uncaught one, so that the listener is replaced, not removed.
    release: () => {
      stream.on('error', () => {})
      stream.off('error', onError)
    },
  }
}

function drained(stream: OutputStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ['drain', 'error', 'close']) stream.off(event, done)
      resolve()
    }
    for (const event of ['drain', 'error', 'close']) stream.on(event, done)
  })
}

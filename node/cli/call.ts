/** `warren call`: one call from the command line; its reply, item by item, as JSON. */
import { createInterface } from 'node:readline'
import { WarrenError } from '../../protocols/errors.ts'
import { ITEM_BYTES_MAX } from '../../protocols/limits.ts'
import { parseMethodName } from '../../protocols/names.ts'
import { asUsage, usageError } from './failure.ts'
import { formatBytes, toJson } from './format.ts'
import { parseJsonArgument } from './json-argument.ts'
import { displayWidth } from './table.ts'
import type { Session } from './session.ts'

/** What `warren call` was told. */
export interface CallFlags {
  readonly node?: string
  /** Milliseconds or `Infinity`. */
  readonly timeout?: number
  readonly stdin?: boolean
  readonly stdinBytes?: boolean
}

/**
 * Calls a method and prints what it answers.
 * @param json the argument; `-` stands for all of stdin, `undefined` for none.
 */
export async function call(
  session: Session, method: string, json: string | undefined, flags: CallFlags,
): Promise<void> {
  asUsage(() => parseMethodName(method))
  const uses = [flags.stdin && '--stdin', flags.stdinBytes && '--stdin-bytes', json === '-' && 'the argument -']
    .filter((use) => typeof use === 'string')
  if (uses.length > 1) throw usageError(`stdin can be read once only: leave out ${uses.slice(1).join(' and ')}`)
  const letGo = releaseOnAbort(session, uses.length > 0)
  try {
    const input = json === undefined ? undefined
      : json === '-' ? parseJsonArgument(await readStdin(session), 'stdin') : parseJsonArgument(json, 'the argument')
    await session.withNode(async (net) => {
      const upload = new Upload(session, flags)
      const { timeout } = flags
      const items = net.call(method, input, {
        signal: session.signal,
        ...(flags.node === undefined ? {} : { node: flags.node }),
        ...(timeout === undefined ? {} : { timeoutMs: timeout, idleMs: timeout }),
        ...(upload.items === undefined ? {} : { upload: upload.items }),
      })
      try {
        for await (const item of items) await printItem(session, item)
      } catch (thrown) {
        throw upload.failure ?? thrown
      }
    })
  } finally {
    letGo()
  }
}

/** An open stdin would keep the process alive after its command. */
function releaseOnAbort({ io, signal }: Session, isUsed: boolean): () => void {
  if (!isUsed) return () => {}
  const destroy = (): void => { io.stdin.destroy() }
  signal.addEventListener('abort', destroy, { once: true })
  return () => {
    signal.removeEventListener('abort', destroy)
    destroy()
  }
}

async function readStdin({ io }: Session): Promise<string> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  for await (const chunk of io.stdin as AsyncIterable<Uint8Array | string>) {
    const piece = typeof chunk === 'string' ? Buffer.from(chunk) : chunk
    bytes += piece.length
    if (bytes > ITEM_BYTES_MAX) {
      throw new WarrenError('LIMIT',
        `an argument has at most ${formatBytes(ITEM_BYTES_MAX)}; stream the rest with --stdin`, { started: false })
    }
    chunks.push(piece)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** The request stream. What goes wrong while it is read matters more than the call that fails of it. */
class Upload {
  readonly items: AsyncIterable<unknown> | undefined
  #failure: unknown

  constructor({ io }: Session, flags: CallFlags) {
    this.items = flags.stdinBytes ? this.#watch(io.stdin) : flags.stdin ? this.#watch(readLines(io.stdin)) : undefined
  }

  get failure(): unknown {
    return this.#failure
  }

  async *#watch(items: AsyncIterable<unknown>): AsyncIterable<unknown> {
    try {
      yield* items
    } catch (thrown) {
      this.#failure = thrown
      throw thrown
    }
  }
}

async function* readLines(stdin: NodeJS.ReadableStream): AsyncIterable<unknown> {
  let number = 0
  for await (const line of createInterface({ input: stdin, crlfDelay: Infinity })) {
    number++
    if (line.trim() !== '') yield parseJsonArgument(line, `line ${number} of stdin`)
  }
}

/** Bytes go to a file or pipe as they are; a terminal, and `--json`, get a line of JSON. */
async function printItem(session: Session, item: unknown): Promise<void> {
  if (item instanceof Uint8Array && !session.json && session.io.stdout.isTTY !== true) return session.write(item)
  const line = toJson(item)
  const fits = !session.isTerminal || displayWidth(line) <= session.width
  await session.print(fits ? line : toJson(item, 2))
}

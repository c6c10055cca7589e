/** The carrier over a Unix socket: the protocol id, a newline, then frames. */
import { connect as connectSocket, type Socket } from 'node:net'
import { WarrenError } from '../../protocols/errors.ts'
import { RPC_CBOR, RPC_JSON } from '../../protocols/rpc/messages.ts'
import type { Carrier, CarrierHandlers } from './carrier.ts'

/** Longest first line that a process may send before it is refused. */
const GREETING_BYTES_MAX = 128
/** Time for the first line. */
const GREETING_TIMEOUT_MS = 5_000

/** Wraps a connected socket. */
export function socketCarrier(socket: Socket, remote: string): Carrier {
  let handlers: CarrierHandlers | undefined
  let reason = 'the other end closed the link'
  const finish = (): void => {
    handlers?.closed(reason)
    handlers = undefined
  }
  socket.on('error', (error) => { reason = error.message })
  return {
    remote,
    start(given: CarrierHandlers): void {
      handlers = given
      socket.on('data', (bytes: Buffer) => handlers?.data(bytes))
      socket.on('drain', () => handlers?.drain())
      // Half-open sockets are of no use to a link: the other end's end is the end.
      socket.on('end', () => socket.destroy())
      socket.on('close', finish)
      if (socket.destroyed) queueMicrotask(finish)
      socket.resume()
    },
    send: (bytes) => socket.writable ? socket.write(bytes) : true,
    pause: () => { socket.pause() },
    resume: () => { socket.resume() },
    close: () => { socket.destroySoon() },
    abort: (why) => {
      reason = why
      socket.destroy()
    },
  }
}

/** Codec of a link by the protocol id that opened it. */
export type LinkCodec = 'cbor' | 'json'

const CODEC_OF: ReadonlyMap<string, LinkCodec> = new Map([[RPC_CBOR, 'cbor'], [RPC_JSON, 'json']])

/**
 * Reads the first line of a connection to the local socket.
 * @returns the carrier and its codec; `undefined` if the process was refused: it is told why in a line of
 * text, then the socket is closed.
 * @param timeoutMs time for the line to come; shorter only in tests.
 */
export function acceptSocket(
  socket: Socket, timeoutMs: number = GREETING_TIMEOUT_MS,
): Promise<{ carrier: Carrier, codec: LinkCodec } | undefined> {
  return new Promise((resolve) => {
    let seen: Buffer = Buffer.alloc(0)
    const timer = setTimeout(() => refuse('no protocol id came'), timeoutMs)
    const finish = (result: { carrier: Carrier, codec: LinkCodec } | undefined): void => {
      clearTimeout(timer)
      socket.off('data', onData)
      socket.off('close', onClose)
      resolve(result)
    }
    const refuse = (why: string): void => {
      socket.write(`${why}; this node speaks ${RPC_CBOR} and ${RPC_JSON}, each followed by a newline\n`)
      socket.destroySoon()
      finish(undefined)
    }
    const onClose = (): void => finish(undefined)
    const onData = (bytes: Buffer): void => {
      seen = seen.length === 0 ? bytes : Buffer.concat([seen, bytes])
      const newline = seen.indexOf(10)
      if (newline === -1) {
        if (seen.length > GREETING_BYTES_MAX) refuse('the first line is too long')
        return
      }
      const id = seen.toString('latin1', 0, newline)
      const codec = CODEC_OF.get(id)
      if (codec === undefined) return refuse(`unknown protocol ${JSON.stringify(id.slice(0, 80))}`)
      socket.pause()
      // What came behind the line is read again, by the link.
      const rest = seen.subarray(newline + 1)
      if (rest.length > 0) socket.unshift(rest)
      finish({ codec, carrier: socketCarrier(socket, 'local process') })
    }
    socket.on('error', onClose)
    socket.on('close', onClose)
    socket.on('data', onData)
  })
}

/**
 * Connects to a node's local socket.
 * @throws {WarrenError} `NODE_NOT_RUNNING` if nobody listens there.
 */
export function dialSocket(
  path: string, home: string, options: { signal?: AbortSignal | undefined } = {},
): Promise<Carrier> {
  return new Promise((resolve, reject) => {
    const socket = connectSocket({ path })
    const onAbort = (): void => {
      socket.destroy()
      reject(options.signal?.reason)
    }
    const onError = (cause: Error): void => {
      options.signal?.removeEventListener('abort', onAbort)
      reject(new WarrenError('NODE_NOT_RUNNING', `no node runs for ${home}; start one with: warren up`,
        { started: false, cause }))
    }
    if (options.signal?.aborted === true) return onAbort()
    options.signal?.addEventListener('abort', onAbort, { once: true })
    socket.once('error', onError)
    socket.once('connect', () => {
      socket.off('error', onError)
      options.signal?.removeEventListener('abort', onAbort)
      socket.write(`${RPC_CBOR}\n`)
      resolve(socketCarrier(socket, 'the local node'))
    })
  })
}

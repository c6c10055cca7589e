/** Systems `bare-libp2p` and `stream-per-call`: what libp2p gives without Warren, on TCP, Noise and Yamux. */
import { noise } from '@chainsafe/libp2p-noise'
import type { Connection, Libp2p, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { frame, MessageReader, Pending } from './framing.ts'
import { ITEM_BYTES, type Client, type Part, type Roles, type Setting } from './system.ts'

const ECHO = '/bench/echo/1'
const SINK = '/bench/sink/1'
const POUR = '/bench/pour/1'
const ONCE = '/bench/once/1'
/** Most bytes per `send()`: below one Noise message. */
const SEND_BYTES_MAX = 60_000
/** Bytes that may wait in a stream's queue before a sender of bulk waits. */
const WAITING_BYTES_MAX = 256 * 1024
const MANY_STREAMS = { maxInboundStreams: 10_000, maxOutboundStreams: 10_000 }

/** A stream of messages: frames are joined per tick, cut into sends of 60 kB, and wait for drain. */
class JoinedStream {
  readonly #stream: Stream
  #queue: Uint8Array[] = []
  #waitingBytes = 0
  #planned = false
  #full = false
  #wake: (() => void) | undefined

  constructor(stream: Stream, onMessage: (message: Uint8Array) => void) {
    this.#stream = stream
    stream.maxReadBufferLength = 32 * 1024 * 1024
    const reader = new MessageReader(onMessage)
    stream.addEventListener('message', ({ data }) => {
      reader.push(data instanceof Uint8Array ? data : data.subarray())
    })
    stream.addEventListener('drain', () => {
      this.#full = false
      this.#flush()
    })
  }

  send(message: Uint8Array): void {
    const bytes = frame(message)
    this.#queue.push(bytes)
    this.#waitingBytes += bytes.length
    if (this.#planned || this.#full) return
    this.#planned = true
    queueMicrotask(() => process.nextTick(() => {
      this.#planned = false
      this.#flush()
    }))
  }

  /** Settles when more bulk may be queued. */
  async room(): Promise<void> {
    while (this.#waitingBytes > WAITING_BYTES_MAX) await new Promise<void>((resolve) => { this.#wake = resolve })
  }

  #flush(): void {
    while (!this.#full && this.#queue.length > 0) this.#full = !this.#stream.send(this.#take())
    if (this.#waitingBytes <= WAITING_BYTES_MAX) this.#wake?.()
  }

  #take(): Uint8Array {
    let bytes = 0
    let count = 0
    while (count < this.#queue.length && bytes + this.#queue[count]!.length <= SEND_BYTES_MAX) {
      bytes += this.#queue[count++]!.length
    }
    if (count === 0) {
      const first = this.#queue[0]!
      this.#queue[0] = first.subarray(SEND_BYTES_MAX)
      this.#waitingBytes -= SEND_BYTES_MAX
      return first.subarray(0, SEND_BYTES_MAX)
    }
    this.#waitingBytes -= bytes
    const [only] = this.#queue
    if (count === 1) {
      this.#queue.shift()
      return only!
    }
    const out = new Uint8Array(bytes)
    let offset = 0
    for (const part of this.#queue.splice(0, count)) {
      out.set(part, offset)
      offset += part.length
    }
    return out
  }
}

async function createHost(listen: string[]): Promise<Libp2p> {
  return await createLibp2p({
    addresses: { listen }, transports: [tcp()], connectionEncrypters: [noise()], streamMuxers: [yamux()],
    connectionManager: { inboundConnectionThreshold: 1_000 },
  })
}

async function pourInto(out: JoinedStream, items: number): Promise<void> {
  const item = new Uint8Array(ITEM_BYTES).fill(0x42)
  for (let i = 0; i < items; i++) {
    out.send(item)
    await out.room()
  }
}

/** Answers on a stream of its own for each call: the request's end is the sender's half-close. */
function answerOnce(stream: Stream): void {
  const reader = new MessageReader((message) => {
    stream.send(frame(message))
    void stream.close()
  })
  stream.addEventListener('message', ({ data }) => reader.push(data instanceof Uint8Array ? data : data.subarray()))
}

async function server(): Promise<Part> {
  const host = await createHost(['/ip4/127.0.0.1/tcp/0'])
  await host.handle(ECHO, (stream) => {
    const joined = new JoinedStream(stream, (message) => joined.send(message))
  })
  await host.handle(SINK, (stream) => {
    // An empty message ends the upload; it is answered, so that the sender knows that all came.
    const joined = new JoinedStream(stream, (message) => { if (message.length === 0) joined.send(message) })
  })
  await host.handle(POUR, (stream) => {
    const joined = new JoinedStream(stream, (wanted) => {
      void pourInto(joined, new DataView(wanted.buffer, wanted.byteOffset).getUint32(0))
    })
  })
  await host.handle(ONCE, answerOnce, MANY_STREAMS)
  return { address: host.getMultiaddrs()[0]!.toString(), close: async () => { await host.stop() } }
}

async function connected({ addresses }: Setting): Promise<{ host: Libp2p, connection: Connection }> {
  const host = await createHost([])
  return { host, connection: await host.dial(multiaddr(addresses['server'])) }
}

async function upload(connection: Connection, next: () => Uint8Array | undefined): Promise<void> {
  const done = new Pending()
  const joined = new JoinedStream(await connection.newStream(SINK), (message) => done.settle(message))
  for (let item = next(); item !== undefined; item = next()) {
    joined.send(item)
    await joined.room()
  }
  joined.send(new Uint8Array(0))
  await done.next()
}

async function download(connection: Connection, items: number): Promise<number> {
  const stream = await connection.newStream(POUR)
  return await new Promise<number>((resolve) => {
    let bytes = 0
    const joined = new JoinedStream(stream, (message) => {
      bytes += message.length
      if (bytes >= items * ITEM_BYTES) resolve(bytes)
    })
    const wanted = new Uint8Array(4)
    new DataView(wanted.buffer).setUint32(0, items)
    joined.send(wanted)
  })
}

async function echoOnce(connection: Connection, payload: Uint8Array): Promise<Uint8Array> {
  const stream = await connection.newStream(ONCE, MANY_STREAMS)
  return await new Promise((resolve, reject) => {
    const reader = new MessageReader(resolve)
    stream.addEventListener('message', ({ data }) => reader.push(data instanceof Uint8Array ? data : data.subarray()))
    stream.addEventListener('close', ({ error }) => reject(error ?? new Error('closed without a reply')))
    stream.send(frame(payload))
    stream.close().catch(reject)
  })
}

/** One long stream. */
export const roles: Roles = {
  server,
  client: async (setting) => {
    const { host, connection } = await connected(setting)
    const pending = new Pending()
    const joined = new JoinedStream(await connection.newStream(ECHO), (message) => pending.settle(message))
    const client: Client = {
      echo: (payload) => {
        joined.send(payload)
        return pending.next()
      },
      upload: (next) => upload(connection, next),
      download: (items) => download(connection, items),
    }
    return { client, close: async () => { await host.stop() } }
  },
}

/** A stream of its own for each call, on one connection. */
export const perCall: Roles = {
  server,
  client: async (setting) => {
    const { host, connection } = await connected(setting)
    return { client: { echo: (payload) => echoOnce(connection, payload) }, close: async () => { await host.stop() } }
  },
}

/** The carrier over a libp2p stream: the one place that reads such streams, whose own readers hang or hoard. */
import type { Stream } from '@libp2p/interface'
import type { Carrier, CarrierHandlers } from './carrier.ts'

/**
 * Unread bytes above which libp2p resets the stream. A paused reader is felt by the sender only after a
 * whole yamux window (16 MiB), so this lies above it.
 */
const READ_BUFFER_BYTES_MAX = 32 * 1024 * 1024

/** What yamux streams have beside the interface. */
interface WindowedStream { sendWindowUpdate?(): void, recvWindow?: number, recvWindowCapacity?: number }

/**
 * Yamux gives its window back after every message, which costs a packet of its own each time. Half a window
 * at a time is as good; the first update goes out as it is, since it may carry the stream's acknowledgement.
 */
function updateByHalves(stream: WindowedStream): void {
  const update = stream.sendWindowUpdate?.bind(stream)
  if (update === undefined) return
  let first = true
  stream.sendWindowUpdate = () => {
    const { recvWindow = 0, recvWindowCapacity = 0 } = stream
    if (!first && recvWindowCapacity > recvWindow / 2) return
    first = false
    update()
  }
}

/**
 * Wraps an open stream. Bytes are taken from `message` events and never from its iterator, which has no
 * back-pressure and hangs when it is started after the remote half-closed.
 */
export function streamCarrier(stream: Stream, remote: string): Carrier {
  let handlers: CarrierHandlers | undefined
  let ended = false
  updateByHalves(stream as WindowedStream)
  stream.maxReadBufferLength = READ_BUFFER_BYTES_MAX
  const finish = (reason: string): void => {
    if (ended) return
    ended = true
    // Both halves must end for the muxer to forget the stream.
    void stream.close().catch((error: unknown) => stream.abort(error as Error))
    handlers?.closed(reason)
  }
  const remoteEnded = (): void => {
    if (stream.remoteWriteStatus === 'closed' && stream.readBufferLength === 0) {
      finish('the other end closed the link')
    }
  }
  return {
    remote,
    start(given: CarrierHandlers): void {
      handlers = given
      stream.addEventListener('drain', () => given.drain())
      stream.addEventListener('remoteCloseWrite', remoteEnded)
      stream.addEventListener('end', remoteEnded)
      stream.addEventListener('close', (event) => finish(event.error?.message ?? 'the connection was closed'))
      stream.addEventListener('message', (event) => {
        const { data } = event
        // A list of chunks becomes one; a single chunk is passed on as it is.
        if (!ended) given.data(data instanceof Uint8Array ? data : data.subarray())
      })
      // All of this may have happened before anybody listened.
      if (stream.status !== 'open') queueMicrotask(() => finish('the connection was closed'))
      else queueMicrotask(remoteEnded)
    },
    send(bytes): boolean {
      if (ended || stream.writeStatus !== 'writable') return true
      return stream.send(bytes)
    },
    pause: () => { if (stream.readStatus === 'readable') stream.pause() },
    resume: () => { if (stream.readStatus === 'paused') stream.resume() },
    close: () => finish('closed'),
    abort(reason): void {
      stream.abort(new Error(reason))
      finish(reason)
    },
  }
}

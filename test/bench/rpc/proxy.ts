/** A TCP proxy on loopback that delays both directions by the same time, in order, with unlimited bandwidth. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Part } from './system.ts'

/** Bytes on their way in one direction above which the sender is not read. */
const UNDER_WAY_BYTES_MAX = 64 * 1024 * 1024

/** One direction: what comes from one socket goes to the other after `delayMs`. */
function delayLine(from: Socket, to: Socket, delayMs: number): void {
  const queue: { readonly dueMs: number, readonly chunk: Buffer | undefined }[] = []
  let head = 0
  let bytes = 0
  let timer: NodeJS.Timeout | undefined
  let blocked = false
  const deliver = (): void => {
    clearTimeout(timer)
    timer = undefined
    while (!blocked && head < queue.length) {
      const { dueMs, chunk } = queue[head]!
      const waitMs = dueMs - performance.now()
      if (waitMs > 0) {
        timer = setTimeout(deliver, Math.ceil(waitMs))
        return
      }
      head++
      if (chunk === undefined) {
        to.end()
        continue
      }
      bytes -= chunk.length
      blocked = !to.write(chunk)
      if (from.isPaused() && bytes < UNDER_WAY_BYTES_MAX / 2) from.resume()
    }
    if (head < queue.length) return
    queue.length = 0
    head = 0
  }
  const add = (chunk: Buffer | undefined): void => {
    queue.push({ dueMs: performance.now() + delayMs, chunk })
    if (timer === undefined && !blocked) timer = setTimeout(deliver, delayMs)
  }
  from.on('data', (chunk) => {
    bytes += chunk.length
    add(chunk)
    if (bytes > UNDER_WAY_BYTES_MAX) from.pause()
  })
  from.on('end', () => add(undefined))
  from.on('close', () => { if (from.errored !== null) to.destroy() })
  from.on('error', () => {})
  to.on('drain', () => {
    blocked = false
    deliver()
  })
  to.on('close', () => clearTimeout(timer))
}

/**
 * Starts it in front of a port of this machine.
 * @param delayMs added to each direction; a round trip takes twice as much longer.
 */
export async function startProxy(port: number, delayMs: number): Promise<Part & { readonly port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
    const far = connect({ port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
    for (const socket of [near, far]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    }
    delayLine(near, far, delayMs)
    delayLine(far, near, delayMs)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}

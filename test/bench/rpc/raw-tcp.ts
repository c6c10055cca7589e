/** System `raw-tcp`: length-prefixed echo over plain `node:net`, pipelined, one write per message. */
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { frame, MessageReader, Pending } from './framing.ts'
import type { Roles } from './system.ts'

/** A server that sends every message back, and its client. */
export const roles: Roles = {
  server: async () => {
    const sockets = new Set<Socket>()
    const server = createServer({ noDelay: true }, (socket) => {
      sockets.add(socket)
      const reader = new MessageReader((message) => { socket.write(frame(message)) })
      socket.on('data', (chunk) => reader.push(chunk))
      socket.on('error', () => socket.destroy())
      socket.on('close', () => sockets.delete(socket))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return {
      address: String((server.address() as AddressInfo).port),
      close: async () => {
        server.close()
        for (const socket of sockets) socket.destroy()
      },
    }
  },

  client: async ({ addresses }) => {
    const socket = connect({ port: Number(addresses['server']), host: '127.0.0.1', noDelay: true })
    await once(socket, 'connect')
    const pending = new Pending()
    const reader = new MessageReader((message) => pending.settle(message))
    socket.on('data', (chunk) => reader.push(chunk))
    return {
      client: {
        echo: (payload) => {
          socket.write(frame(payload))
          return pending.next()
        },
      },
      close: async () => { socket.destroy() },
    }
  },
}

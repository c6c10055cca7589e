/** System `unix`: our link over a Unix socket between two processes, with the whole app layer on both ends. */
import { once } from 'node:events'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Link } from '../../../node/links/link.ts'
import { LinkNet } from '../../../node/links/net.ts'
import { acceptSocket, dialSocket } from '../../../node/links/socket.ts'
import { echoClient, serveEcho } from './echo-app.ts'
import type { Roles } from './system.ts'

/** A process that serves the echo app, and one that calls it. */
export const roles: Roles = {
  server: async ({ folder }) => {
    const path = join(folder, 'socket')
    const links = new Set<Link>()
    const server = createServer((socket) => {
      void acceptSocket(socket).then((accepted) => {
        if (accepted === undefined) return
        links.add(new Link(accepted.carrier,
          { role: 'acceptor', codec: accepted.codec, liveness: 'local', epoch: 'bench-server' },
          { call: serveEcho, closed: () => {} }))
      })
    })
    server.listen(path)
    await once(server, 'listening')
    return {
      address: path,
      close: async () => {
        server.close()
        for (const link of links) link.close('the bench is over')
      },
    }
  },

  client: async ({ folder, addresses }) => {
    const carrier = await dialSocket(addresses['server']!, folder)
    const link = new Link(carrier, { role: 'dialler', codec: 'cbor', liveness: 'local', epoch: 'bench-client' },
      { call: serveEcho, closed: () => {} })
    return { client: echoClient(new LinkNet(() => link)), close: async () => link.close('the bench is over') }
  },
}

/** System `libp2p`: our link over the node's own libp2p host, process to process, with the whole app layer. */
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { createHost, type OverlayHost } from '../../../node/overlay/host.ts'
import { PeerLinks } from '../../../node/overlay/peer-links.ts'
import { LinkNet } from '../../../node/links/net.ts'
import { echoClient, serveEcho } from './echo-app.ts'
import type { Roles } from './system.ts'

async function startHost(dataFolder: string, epoch: string): Promise<{ host: OverlayHost, links: PeerLinks }> {
  const host = await createHost({ dataFolder, listen: ['/ip4/127.0.0.1/tcp/0'], join: [], mdns: false })
  const links = new PeerLinks(host, epoch, serveEcho)
  await links.start()
  await host.start()
  return { host, links }
}

/** A process that serves the echo app, and one that calls it. */
export const roles: Roles = {
  server: async ({ folder }) => {
    const { host, links } = await startHost(folder, 'bench-server')
    return {
      address: host.getMultiaddrs()[0]!.toString(),
      close: async () => {
        await links.stop(0)
        await host.stop()
      },
    }
  },

  client: async ({ folder, addresses }) => {
    const { host, links } = await startHost(folder, 'bench-client')
    const address = addresses['server']!
    await host.dial(multiaddr(address))
    const link = await links.get(peerIdFromString(address.slice(address.lastIndexOf('/') + 1)))
    return {
      client: echoClient(new LinkNet(() => link)),
      close: async () => {
        await links.stop(0)
        await host.stop()
      },
    }
  },
}

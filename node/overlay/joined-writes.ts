/** TCP whose writes of one tick leave in one system call: libp2p hands each message over in four or five pieces. */
import type { Listener, MultiaddrConnection, Transport, Upgrader } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { Socket } from 'node:net'

type MakeTransport<Components> = (components: Components) => Transport

/** Holds the first write of a tick back until the tick is over, so that what follows goes with it. */
function joinWrites(socket: Socket): void {
  const write = socket.write.bind(socket) as (...given: unknown[]) => boolean
  let corked = false
  const uncork = (): void => {
    corked = false
    socket.uncork()
  }
  socket.write = (...given: unknown[]): boolean => {
    if (!corked) {
      corked = true
      socket.cork()
      process.nextTick(uncork)
    }
    return write(...given)
  }
}

/** The upgrader as the transport sees it: it is given connections on their way in and out. */
function joining(upgrader: Upgrader): Upgrader {
  const joined = <C extends MultiaddrConnection>(connection: C): C => {
    const { socket } = connection as { readonly socket?: Socket }
    if (socket !== undefined) joinWrites(socket)
    return connection
  }
  return {
    upgradeInbound: (connection, options) => upgrader.upgradeInbound(joined(connection), options),
    upgradeOutbound: (connection, options) => upgrader.upgradeOutbound(joined(connection), options),
    createInboundAbortSignal: (signal) => upgrader.createInboundAbortSignal(signal),
    getConnectionEncrypters: () => upgrader.getConnectionEncrypters(),
    getStreamMuxers: () => upgrader.getStreamMuxers(),
  }
}

/** The same transport with joined writes. */
export function joinedWrites<Components>(make: MakeTransport<Components>): MakeTransport<Components> {
  return (components) => {
    const transport = make(components)
    const dial = transport.dial.bind(transport)
    const createListener = transport.createListener.bind(transport)
    transport.dial = (address: Multiaddr, options) =>
      dial(address, { ...options, upgrader: joining(options.upgrader) })
    transport.createListener = (options): Listener =>
      createListener({ ...options, upgrader: joining(options.upgrader) })
    return transport
  }
}

/** What the built-in app `node` shows of its node, put together from the node's parts. */
import type { Host } from '../protocols/app.ts'
import { version } from './version.ts'
import type { AppTable, LocalApp } from './apps/app-table.ts'
import type { AppInfo, NodeInfo, NodeStatus, NodeView, PeerInfo } from './apps/node-app.ts'
import type { LocalProcesses } from './apps/processes.ts'
import type { Config } from './config.ts'
import type { Home } from './home.ts'
import { parsePeerId } from './overlay/addresses.ts'
import type { Directory } from './overlay/directory.ts'
import type { OverlayHost } from './overlay/host.ts'
import type { Neighbours } from './overlay/neighbours.ts'
import { findPath } from './overlay/pastry-path.ts'
import type { PeerLinks } from './overlay/peer-links.ts'

/** The parts that are looked at. */
export interface ViewParts {
  readonly home: Home
  readonly config: Config
  readonly host: OverlayHost
  readonly apps: AppTable
  readonly peers: PeerLinks
  readonly directory: Directory
  readonly neighbours: Neighbours
  readonly processes: LocalProcesses
  /** Wall time. */
  readonly startedAtMs: number
  stop(graceMs: number): void
}

/** Makes the view. */
export function createView(parts: ViewParts): NodeView {
  const { config, host, apps, peers, directory, neighbours, processes } = parts
  const self = host.peerId.toString()
  const localApps = (): AppInfo[] => apps.list().filter(({ name }) => name !== 'node').map(appInfo)

  const ringRtt = (peerId: string): number | undefined => {
    const peer = parsePeerId(peerId)
    return peer === undefined ? undefined : host.services.pastry.rttMs(peer)
  }

  function appInfo(app: LocalApp): AppInfo {
    return {
      app: app.name, node: self, nodeName: config.name, local: true, pid: app.pid,
      since: new Date(app.sinceMs).toISOString(), methods: app.methods,
      ...(app.device === undefined ? {} : { device: app.device }),
    }
  }

  return {
    status: () => status(parts, self),
    peers: () => neighbours.connections().map((connection): PeerInfo => {
      const peerId = connection.remotePeer.toString()
      return {
        peerId, addresses: [connection.remoteAddr.toString()], direction: connection.direction,
        rttMs: rtt(peers.rttMs(peerId) ?? connection.rtt),
      }
    }),
    nodes: async (signal) => {
      const asked = await neighbours.ask(signal)
      const addresses = new Map(neighbours.connections().map(({ remotePeer, remoteAddr, rtt: connectionRtt }) =>
        [remotePeer.toString(), { address: remoteAddr.toString(), connectionRtt }]))
      const others = asked.map(({ peerId, status: said, apps: names }): NodeInfo => ({
        peerId, name: said?.name ?? '', local: false, apps: names,
        addresses: said?.addresses ?? [addresses.get(peerId)?.address ?? ''],
        rttMs: rtt(peers.rttMs(peerId) ?? ringRtt(peerId) ?? addresses.get(peerId)?.connectionRtt),
        state: said === undefined ? 'unreachable' : 'up',
      }))
      const here: NodeInfo = {
        peerId: self, name: config.name, local: true, addresses: host.getMultiaddrs().map(String), rttMs: null,
        apps: localApps().map(({ app }) => app), state: 'up',
      }
      return [here, ...others.sort((a, b) => a.name < b.name ? -1 : 1)]
    },
    localApps,
    allApps: async (signal) => {
      const remote = await Promise.all((await neighbours.peers()).map((peer) =>
        neighbours.appsOf(peer.toString(), signal)))
      return [...localApps(), ...remote.flat()]
    },
    hosts: async (app, signal) => {
      const here: Host[] = apps.get(app) === undefined && !apps.isExpected(app) ? []
        : [{ node: self, name: config.name, local: true }]
      const others = await directory.list(app, signal)
      return [...here, ...others.map((peer): Host => ({ node: peer.toString(), name: '', local: false }))]
    },
    ring: () => host.services.pastry.ring(),
    route: (key, signal) => findPath(host.services.pastry, key, signal),
    connect: (address, signal) => neighbours.connect(address, signal),
    register: (registration, link) => processes.register(registration, link),
    deregister: (app, link) => processes.deregister(app, link),
    stop: (graceMs) => parts.stop(graceMs),
    linkOf: (caller) => processes.linkOf(caller),
  }
}

function rtt(measured: number | undefined): number | null {
  return measured === undefined ? null : Math.round(measured * 1_000) / 1_000
}

function status(parts: ViewParts, self: string): NodeStatus {
  const { home, config, host, apps, peers, neighbours, processes, startedAtMs } = parts
  return {
    peerId: self, name: config.name, version, home: home.folder, pid: process.pid,
    startedAt: new Date(startedAtMs).toISOString(), uptimeMs: Math.round(Date.now() - startedAtMs),
    addresses: host.getMultiaddrs().map(String), socket: home.socket,
    peers: neighbours.connections().length, apps: apps.size - 1,
    // The question itself is a call in flight.
    callsInFlight: Math.max(0, peers.callCount + processes.callCount - 1),
    memoryBytes: process.memoryUsage.rss(),
  }
}

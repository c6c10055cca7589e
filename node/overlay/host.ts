/** The libp2p host: its identity, its transports, and the limits that its defaults lack. */
import { noise } from '@chainsafe/libp2p-noise'
import { bootstrap } from '@libp2p/bootstrap'
import { generateKeyPair, privateKeyFromProtobuf, privateKeyToProtobuf } from '@libp2p/crypto/keys'
import { identify, type Identify } from '@libp2p/identify'
import type { Libp2p, PrivateKey } from '@libp2p/interface'
import { kadDHT, passthroughMapper, type KadDHT } from '@libp2p/kad-dht'
import { mdns } from '@libp2p/mdns'
import { ping, type Ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import type { Multiaddr } from '@multiformats/multiaddr'
import { FsDatastore } from 'datastore-fs'
import { createLibp2p } from 'libp2p'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { WarrenError } from '../../protocols/errors.ts'
import { isLoopback } from './addresses.ts'
import { joinedWrites } from './joined-writes.ts'
import { pastry, type Pastry } from './pastry.ts'

/** The Kademlia table of the warren, which stock libp2p clients can query. */
export const KAD_PROTOCOL = '/warren/kad/1'

/** The network of all nodes, until each warren's certificates name its own. */
const NETWORK = 'warren'

/** Connections of one node: at most 256, by the design; libp2p's default is 300. */
const CONNECTIONS_MAX = 256
/** Connections that may be half open at once; libp2p's 10 refuses a warren that wakes up together. */
const PENDING_CONNECTIONS_MAX = 512
/** New connections per second and address; libp2p's 5 refuses several nodes on one machine. */
const CONNECTIONS_PER_SECOND_MAX = 1_000
/** Time for one dial. */
const DIAL_TIMEOUT_MS = 5_000

/** The services that the rest of the node uses. */
export interface HostServices extends Record<string, unknown> {
  identify: Identify
  ping: Ping
  dht: KadDHT
  pastry: Pastry
}

/** A libp2p node with Warren's services. */
export type OverlayHost = Libp2p<HostServices>

/** What the host is made from. */
export interface HostOptions {
  readonly dataFolder: string
  readonly listen: readonly string[]
  readonly join: readonly string[]
  readonly mdns: boolean
}

/**
 * Reads the node's key, or makes one on the first start.
 * @throws {WarrenError} `UNREADABLE` if the file is there and is not a key.
 */
export async function loadIdentity(dataFolder: string): Promise<PrivateKey> {
  const file = join(dataFolder, 'identity.key')
  let bytes: Buffer
  try {
    bytes = await readFile(file)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
      throw new WarrenError('UNREADABLE', `cannot read this node's key in ${file}`, { cause })
    }
    const key = await generateKeyPair('Ed25519')
    await writeFile(file, privateKeyToProtobuf(key), { mode: 0o600, flag: 'wx' })
    return key
  }
  try {
    return privateKeyFromProtobuf(bytes)
  } catch (cause) {
    throw new WarrenError('UNREADABLE',
      `${file} is not a node's key; put the right file back, or remove it to become a new node`, { cause })
  }
}

/** Until machines are admitted by certificate, bytes leave this machine neither way. */
const loopbackOnly = {
  denyDialMultiaddr: (address: Multiaddr): boolean => !isLoopback(address),
}

/**
 * Makes libp2p's writes end with it: some go on for a moment after it has stopped, into a folder that may be
 * another run's by then, or removed.
 * @returns what waits for the writes under way; later ones are dropped.
 */
function trackWrites(datastore: FsDatastore): () => Promise<void> {
  const put = datastore.put.bind(datastore)
  const underWay = new Set<Promise<unknown>>()
  let ended = false
  datastore.put = async (key, value) => {
    if (ended) return key
    const write = Promise.resolve(put(key, value))
    underWay.add(write)
    return await write.finally(() => underWay.delete(write))
  }
  return async () => {
    ended = true
    await Promise.allSettled(underWay)
  }
}

/** Makes the host; it is not started yet. */
export async function createHost(options: HostOptions): Promise<OverlayHost> {
  const privateKey = await loadIdentity(options.dataFolder)
  const datastore = new FsDatastore(join(options.dataFolder, 'peers'))
  await datastore.open()
  const written = trackWrites(datastore)
  const discovery = [
    ...(options.join.length > 0 ? [bootstrap({ list: [...options.join], timeout: 0 })] : []),
    ...(options.mdns ? [mdns()] : []),
  ]
  const host = await createLibp2p<HostServices>({
    start: false,
    privateKey,
    datastore,
    addresses: { listen: [...options.listen] },
    transports: [joinedWrites(tcp())],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    peerDiscovery: discovery,
    connectionGater: loopbackOnly,
    connectionManager: {
      maxConnections: CONNECTIONS_MAX,
      maxIncomingPendingConnections: PENDING_CONNECTIONS_MAX,
      inboundConnectionThreshold: CONNECTIONS_PER_SECOND_MAX,
      dialTimeout: DIAL_TIMEOUT_MS,
    },
    // A machine that computes hard answers pings late; links have a rule of their own for silence.
    connectionMonitor: { abortConnectionOnPingFailure: false },
    services: {
      identify: identify(),
      ping: ping(),
      dht: kadDHT({
        protocol: KAD_PROTOCOL,
        clientMode: false,
        peerInfoMapper: passthroughMapper,
        allowQueryWithZeroPeers: true,
      }),
      // Apps are found through Kademlia alone until the ring stores their registrations.
      pastry: pastry({
        network: NETWORK, contentRouting: false,
        bootstraps: options.join.filter((address) => /\/p2p\/[^/]+$/.test(address)),
      }),
    },
  })
  const stop = host.stop.bind(host)
  return Object.assign(host, {
    stop: async () => {
      try {
        await stop()
      } finally {
        await written()
      }
    },
  })
}

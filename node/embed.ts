/** A node inside another program: the same node as `warren up` runs, with the connection to it. */
import pino from 'pino'
import { pathToFileURL } from 'node:url'
import { connect, type Connection } from './connection.ts'
import { loadConfig } from './config.ts'
import { prepareHome, resolveHome } from './home.ts'

/** What an embedded node is made from. */
export interface CreateNodeOptions {
  /** Its home. Default `$WARREN_HOME`, else the system's folder for the user's application data. */
  readonly home?: string
  readonly name?: string
  /** Addresses to listen on; loopback only for now. Default `/ip4/127.0.0.1/tcp/0`. */
  readonly listen?: readonly string[]
  /** Addresses of nodes to connect to. */
  readonly join?: readonly string[]
  /** Files of apps to run beside it, by name, each in a process of its own. Default none. */
  readonly apps?: Readonly<Record<string, string | URL>>
  /** Level of its log on stderr. Default `silent`. */
  readonly logLevel?: string
}

/** A node that runs in this process. It is a connection too: call and serve through it. */
export interface EmbeddedNode extends Connection {
  readonly peerId: string
  readonly name: string
  readonly socket: string
  readonly addresses: readonly string[]
  /** Stops the node and everything that it started. */
  stop(): Promise<void>
}

/** Starts it. */
export async function embed(options: CreateNodeOptions): Promise<EmbeddedNode> {
  const home = await resolveHome(options.home === undefined ? process.env
    : { ...process.env, WARREN_HOME: options.home })
  prepareHome(home)
  const config = await loadConfig(home, {
    name: options.name, listen: options.listen, join: options.join, logLevel: options.logLevel ?? 'silent',
  })
  const apps = Object.entries(options.apps ?? {}).map(([name, path]) =>
    ({ name, path: path instanceof URL ? path : pathToFileURL(path) }))
  const { createNode } = await import('./node.ts')
  const node = await createNode({ home, config, apps, logger: pino({ level: config.log.level }, pino.destination(2)) })
  const connection = await connect({ home: home.folder }).catch(async (thrown: unknown) => {
    await node.stop('its program cannot reach it')
    throw thrown
  })
  return Object.assign(connection, {
    peerId: node.peerId, name: node.name, socket: node.socket, addresses: node.addresses,
    stop: async () => {
      await connection.close()
      await node.stop('its program stops it')
    },
  })
}

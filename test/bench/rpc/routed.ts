/** Systems `unix-routed` and `libp2p-routed`: real nodes between the caller and the app, found by name. */
import { join } from 'node:path'
import { connect, createNode } from '../../../node/index.ts'
import { echo, echoClient } from './echo-app.ts'
import type { Part, Roles, Setting } from './system.ts'

/** Time that the overlay gets to make the app known. */
const FOUND_WITHIN_MS = 20_000

async function node({ folder }: Setting, join: readonly string[] = []): Promise<Part> {
  const running = await createNode({ home: folder, name: 'bench', join })
  // The home is all that a process needs to attach; another node needs the address.
  return { address: `${folder} ${running.addresses[0]}`, close: () => running.stop() }
}

const homeOf = (address: string | undefined): string => address!.split(' ')[0]!
const addressOf = (address: string | undefined): string => address!.split(' ')[1]!

async function app(home: string): Promise<Part> {
  const connection = await connect({ home })
  await connection.serve(echo)
  return { close: () => connection.close() }
}

async function client(home: string): Promise<Part> {
  const connection = await connect({ home })
  const untilMs = performance.now() + FOUND_WITHIN_MS
  for (;;) {
    try {
      await connection.call('echo.say', new Uint8Array(1), { timeoutMs: FOUND_WITHIN_MS })
      break
    } catch (error) {
      if (performance.now() > untilMs) throw error
      await new Promise((resolve) => { setTimeout(resolve, 100) })
    }
  }
  return { client: echoClient(connection), close: () => connection.close() }
}

/** Caller, node and app, joined by Unix sockets. */
export const oneNode: Roles = {
  node: (setting) => node({ ...setting, folder: join(setting.folder, 'home') }),
  app: ({ addresses }) => app(homeOf(addresses['node'])),
  client: ({ addresses }) => client(homeOf(addresses['node'])),
}

/** Caller, its node, the app's node and the app: the whole way of a call. */
export const twoNodes: Roles = {
  far: (setting) => node({ ...setting, folder: join(setting.folder, 'home') }),
  app: ({ addresses }) => app(homeOf(addresses['far'])),
  node: (setting) => node({ ...setting, folder: join(setting.folder, 'home') }, [addressOf(setting.addresses['far'])]),
  client: ({ addresses }) => client(homeOf(addresses['node'])),
}

/** What `import … from 'warren'` gives: defining apps, calling them, and embedding a node. */
import type { CreateNodeOptions, EmbeddedNode } from './embed.ts'

export {
  defineApp, method,
  type App, type Call, type Caller, type CallOptions, type Client, type Context, type Host, type Log, type Method,
  type MethodSpec, type Net, type Schema, type ServiceContext,
} from '../protocols/app.ts'
export { WarrenError, type ErrorCode, type ErrorName } from '../protocols/errors.ts'
export { connect, type Connection, type ConnectOptions, type Served } from './connection.ts'
export type { CreateNodeOptions, EmbeddedNode } from './embed.ts'

/**
 * Starts a node inside this process. Everything that a node needs is loaded only here, so that programs
 * which just call or serve stay small.
 * @throws {WarrenError} `HOME_IN_USE`, `BAD_CONFIG`, `NODE_UNREACHABLE` for an address that cannot be listened on.
 */
export async function createNode(options: CreateNodeOptions = {}): Promise<EmbeddedNode> {
  const { embed } = await import('./embed.ts')
  return await embed(options)
}

/** Two links joined in memory, one of them serving an app, for tests of the drivers. */
import type { App, Log } from '../../../protocols/app.ts'
import type { CallScope } from '../../../node/links/call.ts'
import type { Carrier } from '../../../node/links/carrier.ts'
import { Link } from '../../../node/links/link.ts'
import { memoryPair } from '../../../node/links/memory.ts'
import { LinkNet } from '../../../node/links/net.ts'
import { serveCall, type Services } from '../../../node/links/serve.ts'

/** A pair of links: `net` calls what the other side serves. */
export interface Pair {
  readonly net: LinkNet
  readonly caller: Link
  readonly callee: Link
  /** The errors that the two links ended with. */
  readonly closed: string[]
}

const QUIET: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Joins a caller and a process that serves `apps`; the caller is on another machine unless `local`. */
export function pairOf(
  apps: readonly App[], options: { local?: boolean, carriers?: [Carrier, Carrier], scope?: CallScope } = {},
): Pair {
  const [left, right] = options.carriers ?? memoryPair()
  const closed: string[] = []
  const services: Services = {
    app: (name) => apps.find((app) => app.name === name),
    net: (scope) => net.within(scope),
    caller: () => ({ node: 'far', local: options.local ?? false }),
    folder: () => '/nowhere',
    log: () => QUIET,
  }
  const common = { codec: 'cbor', liveness: 'peer', epoch: 'test' } as const
  const refuse = { data: () => {}, failed: () => {} }
  const caller = new Link(left, { ...common, role: 'dialler' }, {
    call: () => refuse, closed: (error) => { closed.push(error.name) },
  })
  const callee = new Link(right, { ...common, role: 'acceptor' }, {
    call: (incoming) => serveCall(incoming, services), closed: (error) => { closed.push(error.name) },
  })
  const net = new LinkNet(() => caller, options.scope)
  return { net, caller, callee, closed }
}

/** Lets everything happen that needs no time: until both links have been quiet for a few turns. */
export async function quiet(pair: Pair, turns = 20): Promise<void> {
  for (let i = 0; i < turns; i++) await new Promise((resolve) => { setImmediate(resolve) })
  void pair
}

/** A promise and its end. */
export function gate<T = void>(): { readonly promise: Promise<T>, readonly open: (value: T) => void } {
  const { promise, resolve } = Promise.withResolvers<T>()
  return { promise, open: resolve }
}

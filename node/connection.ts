/** A process's link to its node: calling through it, and serving apps over it. */
import { randomUUID } from 'node:crypto'
import type { App, Caller, Log, Net } from '../protocols/app.ts'
import { toWireError, WarrenError } from '../protocols/errors.ts'
import { GRACE_MS } from '../protocols/limits.ts'
import { describeApp } from './apps/registration.ts'
import { appFolder, checkSocketFolder, resolveHome, withRunningSocket, type Home } from './home.ts'
import { Link, UNHEARD, type CallListener, type IncomingCall } from './links/link.ts'
import { LinkNet } from './links/net.ts'
import { serveCall, type Services } from './links/serve.ts'
import { dialSocket } from './links/socket.ts'

/** An app that this process serves. */
export interface Served {
  readonly app: string
  /** PeerId of the node that it is served on. */
  readonly node: string
  /** Deregisters it: new calls are refused, calls in flight go on. */
  stop(): Promise<void>
}

/** A link to the local node. */
export interface Connection extends Net {
  /** Settles when the link has ended, from either side. */
  readonly closed: Promise<void>
  /** Settles when the node asks this process to finish. */
  readonly leaving: Promise<void>
  /**
   * Serves an app from this process until the connection ends.
   * @throws {WarrenError} `NAME_TAKEN` if another process on this node serves one of that name.
   */
  serve(app: App): Promise<Served>
  /** Lets the calls that this process serves finish within `graceMs` (default 0), then ends the link. */
  close(graceMs?: number): Promise<void>
}

/** How to connect. */
export interface ConnectOptions {
  /** The node's home. Default `$WARREN_HOME`, else the system's folder for the user's application data. */
  readonly home?: string
  /** Gives up connecting. */
  readonly signal?: AbortSignal
  /** Where handlers' logs go. Default: one JSON line each on stderr. */
  readonly log?: (app: string) => Log
}

/**
 * Connects to the node of this machine.
 * @throws {WarrenError} `NODE_NOT_RUNNING` if none runs for the home; `DENIED` if others could pose as it.
 */
export async function connect(options: ConnectOptions = {}): Promise<Connection> {
  const home = withRunningSocket(resolveHome(options.home === undefined ? process.env
    : { ...process.env, WARREN_HOME: options.home }))
  checkSocketFolder(home)
  const carrier = await dialSocket(home.socket, home.folder, { signal: options.signal })
  return new NodeConnection(home, carrier, options.log ?? lineLog)
}

class NodeConnection implements Connection {
  readonly #link: Link
  readonly #net: LinkNet
  readonly #apps = new Map<string, App>()
  readonly #services: Services
  readonly closed: Promise<void>
  readonly leaving: Promise<void>
  readonly call: Net['call']
  readonly client: Net['client']
  readonly hosts: Net['hosts']

  constructor(home: Home, carrier: ConstructorParameters<typeof Link>[0], log: (app: string) => Log) {
    let leave: () => void = () => {}
    this.leaving = new Promise((resolve) => { leave = resolve })
    const config = { role: 'dialler', codec: 'cbor', liveness: 'local', epoch: randomUUID() } as const
    this.#link = new Link(carrier, config, {
      call: (incoming) => this.#serve(incoming), closed: () => leave(), goingAway: () => leave(),
    })
    this.closed = this.#link.drained()
    this.#net = new LinkNet(() => this.#link)
    this.call = this.#net.call.bind(this.#net)
    this.client = this.#net.client.bind(this.#net)
    this.hosts = this.#net.hosts.bind(this.#net)
    this.#services = {
      app: (name) => this.#apps.get(name),
      net: (scope) => this.#net.within(scope),
      caller: (incoming) => callerOf(incoming),
      folder: (app) => appFolder(home, app),
      log,
    }
  }

  #serve(incoming: IncomingCall): CallListener {
    try {
      return serveCall(incoming, this.#services)
    } catch (thrown) {
      incoming.handle.fail(toWireError(thrown))
      return UNHEARD
    }
  }

  async serve(app: App): Promise<Served> {
    if (this.#apps.has(app.name)) {
      throw new WarrenError('NAME_TAKEN', `this process serves app '${app.name}' already`, { started: false })
    }
    this.#apps.set(app.name, app)
    try {
      const { node } = await this.call<{ node: string }>('node.register', describeApp(app, process.pid))
      return { app: app.name, node, stop: () => this.#withdraw(app) }
    } catch (thrown) {
      this.#apps.delete(app.name)
      throw thrown
    }
  }

  async #withdraw(app: App): Promise<void> {
    if (!this.#link.isClosed) await this.call('node.deregister', { app: app.name })
    if (this.#apps.get(app.name) === app) this.#apps.delete(app.name)
  }

  async close(graceMs = 0): Promise<void> {
    if (graceMs > 0) this.#link.goAway(Math.min(graceMs, GRACE_MS))
    else this.#link.close('this process closed the link')
    await this.closed
  }
}

const HERE: Caller = Object.freeze({ node: '', local: true })

/** The node says on whose behalf a call comes; of a local process it says nothing. */
function callerOf(incoming: IncomingCall): Caller {
  const [subject] = incoming.meta.ob ?? []
  return subject === undefined ? HERE : { node: subject, local: false }
}

/** One JSON line per event, on stderr. */
export function lineLog(app: string): Log {
  const write = (level: string) => (event: string, fields: Record<string, unknown> = {}): void => {
    process.stderr.write(`${JSON.stringify({ level, app, event, ...fields })}\n`)
  }
  return { debug: () => {}, info: write('info'), warn: write('warn'), error: write('error') }
}

/** The processes on this node's socket: their links, the apps they serve, and the node's own built-in one. */
import type { Caller, Log } from '../../protocols/app.ts'
import { toWireError, WarrenError } from '../../protocols/errors.ts'
import { nowMs } from '../clock.ts'
import { appFolder, type Home } from '../home.ts'
import type { Carrier } from '../links/carrier.ts'
import { Link, UNHEARD } from '../links/link.ts'
import { memoryPair } from '../links/memory.ts'
import type { LinkNet } from '../links/net.ts'
import { serveCall, type Services } from '../links/serve.ts'
import type { Origin, Router } from '../router.ts'
import type { AppTable, LocalApp } from './app-table.ts'
import { createNodeApp, type NodeView } from './node-app.ts'
import { describeMethods, type Registration } from './registration.ts'

/** An origin that remembers the link it stands for. */
interface ProcessOrigin extends Origin { readonly link?: Link }

/** Local links and what is served over them. */
export class LocalProcesses {
  readonly #self: string
  readonly #epoch: string
  readonly #apps: AppTable
  readonly #router: Router
  readonly #links = new Map<Link, Set<LocalApp>>()
  #internal: Link | undefined

  constructor(self: string, epoch: string, apps: AppTable, router: Router) {
    this.#self = self
    this.#epoch = epoch
    this.#apps = apps
    this.#router = router
  }

  /** Calls in flight on local links, the node's own not counted. */
  get callCount(): number {
    let count = 0
    for (const link of this.#links.keys()) count += link.callCount
    return count
  }

  /** The node's own way into its router, like that of any process. */
  internalLink(): () => Link {
    const [near, far] = memoryPair()
    const origin: Origin = { node: this.#self, local: true }
    const config = { codec: 'cbor', liveness: 'local', epoch: this.#epoch } as const
    const inner = new Link(far, { ...config, role: 'acceptor' }, {
      call: (incoming) => this.#router.route(incoming, origin), closed: () => {},
    })
    this.#internal = new Link(near, { ...config, role: 'dialler' }, {
      call: (incoming) => {
        const nothing = new WarrenError('UNSUPPORTED', 'nothing is served here', { started: false })
        incoming.handle.fail(toWireError(nothing))
        return UNHEARD
      },
      closed: () => inner.close('the node has stopped'),
    })
    return () => this.#internal!
  }

  /** A process has connected to the socket. */
  attach(carrier: Carrier, codec: 'cbor' | 'json'): void {
    const link = new Link(carrier, { role: 'acceptor', codec, liveness: 'local', epoch: this.#epoch }, {
      call: (incoming) => this.#router.route(incoming, origin),
      closed: () => {
        for (const app of this.#links.get(link) ?? []) this.#apps.remove(app)
        this.#links.delete(link)
      },
    })
    const origin: ProcessOrigin = { node: this.#self, local: true, link }
    this.#links.set(link, new Set())
  }

  /** Serves the built-in app `node` in this process. */
  serveNodeApp(view: NodeView, net: LinkNet, home: Home, log: (app: string) => Log): void {
    const app = createNodeApp(view)
    this.#apps.add({
      name: app.name, methods: describeMethods(app.methods), pid: process.pid, sinceMs: Date.now(),
      serve: (incoming, origin) => serveCall(incoming, {
        app: () => app,
        net: (scope) => net.within(scope),
        caller: () => origin,
        folder: (name) => appFolder(home, name),
        log,
      } satisfies Services),
    })
  }

  /** @throws {WarrenError} `NAME_TAKEN`, `LIMIT`, or `LINK_LOST` for a process that has just gone. */
  register(registration: Registration, link: Link): void {
    const served = this.#links.get(link)
    if (served === undefined) throw new WarrenError('LINK_LOST', 'the process has gone', { started: false })
    const { app: name, methods, pid, device } = registration
    const app: LocalApp = {
      name, methods, pid, link, sinceMs: Date.now(), ...(device === undefined ? {} : { device }),
    }
    this.#apps.add(app)
    served.add(app)
  }

  /** @returns false if the process does not serve the app. */
  deregister(name: string, link: Link): boolean {
    const served = this.#links.get(link)
    for (const app of served ?? []) {
      if (app.name !== name) continue
      served?.delete(app)
      return this.#apps.remove(app)
    }
    return false
  }

  /** The link that an origin of `attach` stands for. */
  linkOf(caller: Caller): Link | undefined {
    return (caller as ProcessOrigin).link
  }

  /** Lets calls in flight finish within `graceMs`, then ends every link. */
  async stop(graceMs: number): Promise<void> {
    const links = [...this.#links.keys()]
    const untilMs = nowMs() + graceMs
    const drained = links.map((link) => link.drained())
    for (const link of links) link.goAway(Math.max(0, untilMs - nowMs()))
    await Promise.all(drained)
    this.#internal?.close('the node has stopped')
  }
}

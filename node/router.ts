/** Where a call goes: an app on this node, else a host that is known or found, over its link. */
import type { PeerId } from '@libp2p/interface'
import { distance } from 'fastest-levenshtein'
import { toWireError, WarrenError } from '../protocols/errors.ts'
import { parseMethodName } from '../protocols/names.ts'
import type { CallMeta } from '../protocols/rpc/messages.ts'
import type { AppTable, LocalApp } from './apps/app-table.ts'
import { Forwarding, type Candidate } from './forward.ts'
import { UNHEARD, type CallListener, type IncomingCall } from './links/link.ts'
import type { Directory } from './overlay/directory.ts'
import type { PeerLinks } from './overlay/peer-links.ts'

/** Longest wait for an app of this node that is starting. */
const STARTING_MS = 10_000
/** Edits between a name and the one that was probably meant. */
const TYPO_EDITS_MAX = 2

/** Who a call comes from. Calls of local processes may go on to other machines, calls of peers may not. */
export interface Origin { readonly node: string, readonly local: boolean }

/** What the router asks of the rest of the node. */
export interface Surroundings {
  readonly self: string
  readonly apps: AppTable
  readonly peers: PeerLinks
  readonly directory: Directory
  /** PeerId of a node by its PeerId or name; throws NODE_NOT_FOUND or AMBIGUOUS. */
  resolveNode(name: string, signal: AbortSignal): Promise<PeerId>
  /** Names of apps that somebody in reach serves, for "did you mean". */
  knownApps(signal: AbortSignal): Promise<string[]>
}

/** Routes calls of processes and peers. */
export class Router {
  readonly #around: Surroundings

  constructor(around: Surroundings) {
    this.#around = around
  }

  /** Takes a call in; the returned listener is the incoming link's. */
  route(incoming: IncomingCall, origin: Origin): CallListener {
    try {
      return this.#route(incoming, origin)
    } catch (thrown) {
      incoming.handle.fail(toWireError(thrown))
      return UNHEARD
    }
  }

  #route(incoming: IncomingCall, origin: Origin): CallListener {
    const { m, to } = incoming.meta
    const { app: name, method } = parseMethodName(m)
    const here = to?.node === undefined || to.node === this.#around.self
    const app = here ? this.#around.apps.get(name) : undefined
    if (app !== undefined) return this.#serveHere(app, method, incoming, origin)
    let candidates: AsyncGenerator<Candidate, void, undefined> | undefined
    let warm = this.#warm(incoming.meta, name, origin)
    const search = async (signal: () => AbortSignal): Promise<Candidate | undefined> => {
      candidates ??= this.#candidates(incoming.meta, name, origin, signal())
      const { value, done } = await candidates.next()
      return done === true ? undefined : value
    }
    return new Forwarding(incoming, (signal) => {
      if (warm === undefined) return search(signal)
      const first = warm
      warm = undefined
      return first
    })
  }

  #serveHere(app: LocalApp, method: string, incoming: IncomingCall, origin: Origin): CallListener {
    if (!origin.local && app.methods.some((known) => known.name === method && known.local)) {
      throw new WarrenError('DENIED', `${incoming.meta.m} can be called only on its own machine`, { started: false })
    }
    if (app.serve !== undefined) return app.serve(incoming, origin)
    let candidate: Candidate | undefined = toProcess(app, origin)
    return new Forwarding(incoming, () => {
      const only = candidate
      candidate = undefined
      return only
    })
  }

  /** The host that the last call went to: most calls need no search and no promise. */
  #warm({ to }: CallMeta, app: string, origin: Origin): Candidate | undefined {
    const { apps, directory } = this.#around
    if (!origin.local || to?.node !== undefined || apps.isExpected(app)) return undefined
    const peer = directory.known(app)
    return peer === undefined ? undefined : this.#toPeer(app, peer)
  }

  /** @param signal fires when no more candidates are wanted: the call is over, or its host has answered. */
  async* #candidates(
    meta: CallMeta, app: string, origin: Origin, signal: AbortSignal,
  ): AsyncGenerator<Candidate, void, undefined> {
    const { self, apps, directory, resolveNode } = this.#around
    const named = meta.to?.node
    if (named !== undefined && named !== self) {
      const peer = origin.local ? await resolveNode(named, signal) : undefined
      if (peer === undefined) throw notServed(app, 'this machine, which passes no calls of others on')
      if (peer.toString() !== self) return yield this.#toPeer(app, peer)
    }
    const local = apps.get(app) ?? await this.#starting(app, signal)
    if (local !== undefined) return yield toProcess(local, origin)
    if (named !== undefined) throw notServed(app, `node '${named}'`)
    if (!origin.local) throw notServed(app, `node ${self}`)
    let found = false
    for await (const peer of directory.find(app, signal)) {
      found = true
      yield this.#toPeer(app, peer)
    }
    if (!found) throw await this.#unknown(app)
  }

  async #starting(app: string, signal: AbortSignal): Promise<LocalApp | undefined> {
    const { apps } = this.#around
    if (!apps.isExpected(app)) return undefined
    const bound = AbortSignal.any([signal, AbortSignal.timeout(STARTING_MS)])
    await Promise.race([
      apps.arrival(app),
      new Promise<void>((resolve) => { bound.addEventListener('abort', () => resolve(), { once: true }) }),
    ])
    return apps.get(app)
  }

  #toPeer(app: string, peer: PeerId): Candidate {
    return {
      link: () => this.#around.peers.get(peer),
      explain: (error) => {
        if (error.started === false) this.#around.directory.forget(app, peer)
        return error
      },
      meta: ({ to: _to, ob: _ob, ...rest }) => rest,
    }
  }

  async #unknown(app: string): Promise<WarrenError> {
    const names = await this.#around.knownApps(AbortSignal.timeout(1_000))
    const nearest = names.map((name) => ({ name, edits: distance(app, name) }))
      .filter(({ name, edits }) => edits <= TYPO_EDITS_MAX && edits < name.length)
      .sort((a, b) => a.edits - b.edits)[0]
    const hint = nearest === undefined ? '; list what there is with: warren apps' : `; did you mean '${nearest.name}'?`
    return new WarrenError('APP_NOT_FOUND', `no app '${app}'${hint}`, { started: false })
  }
}

function notServed(app: string, where: string): WarrenError {
  return new WarrenError('APP_NOT_FOUND', `no app '${app}' on ${where}`, { started: false })
}

/** The process that serves `app`; a lost link to it means that it crashed. */
function toProcess(app: LocalApp, origin: Origin): Candidate {
  return {
    link: () => {
      if (app.link !== undefined) return app.link
      throw new WarrenError('INTERNAL', `app '${app.name}' has no process`, { started: false })
    },
    explain: (error) => error.name !== 'LINK_LOST' ? error : new WarrenError('APP_CRASHED',
      `app '${app.name}' (process ${app.pid}) ended before it answered`, { started: error.started, cause: error }),
    meta: ({ to: _to, ob: _ob, ...rest }) => origin.local ? rest : { ...rest, ob: [origin.node] },
  }
}

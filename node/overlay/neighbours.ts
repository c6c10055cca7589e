/** The nodes in reach: who they are, what they are called, and how to get to them. */
import type { Connection, PeerId } from '@libp2p/interface'
import { WarrenError } from '../../protocols/errors.ts'
import type { Log, Net } from '../../protocols/app.ts'
import { RPC_CBOR } from '../../protocols/rpc/messages.ts'
import type { AppInfo, NodeStatus } from '../apps/node-app.ts'
import type { OverlayHost } from './host.ts'
import { isLoopback, parseAddress, parsePeerId } from './addresses.ts'

/** Time that a neighbour gets to say who it is. */
const ASK_MS = 2_000
/** Times between two tries at an address that does not answer. */
const REJOIN_FIRST_MS = 2_000
const REJOIN_LAST_MS = 60_000

/** A neighbour and what it said; `status` is missing if it did not answer. */
export interface Neighbour { readonly peerId: string, readonly status?: NodeStatus, readonly apps: string[] }

/** Asks neighbours, dials addresses. */
export class Neighbours {
  readonly #host: OverlayHost
  readonly #net: Net
  readonly #self: { peerId: string, name: string }
  readonly #log: Log
  readonly #stop = new AbortController()
  readonly #joining = new Map<string, NodeJS.Timeout | undefined>()

  constructor(host: OverlayHost, net: Net, self: { peerId: string, name: string }, log: Log) {
    this.#host = host
    this.#net = net
    this.#self = self
    this.#log = log
  }

  /** Gives up every address that has not answered. */
  stop(): void {
    this.#stop.abort()
    for (const timer of this.#joining.values()) clearTimeout(timer)
    this.#joining.clear()
  }

  /** One open connection for each connected node of a warren. */
  connections(): Connection[] {
    const byPeer = new Map<string, Connection>()
    for (const connection of this.#host.getConnections()) {
      if (connection.status === 'open') byPeer.set(connection.remotePeer.toString(), connection)
    }
    return [...byPeer.values()]
  }

  /** Connected peers that speak our protocol. */
  async peers(): Promise<PeerId[]> {
    const peers = await Promise.all(this.connections().map(async ({ remotePeer }) => {
      const known = await this.#host.peerStore.get(remotePeer).catch(() => undefined)
      return known?.protocols.includes(RPC_CBOR) === true ? remotePeer : undefined
    }))
    return peers.filter((peer) => peer !== undefined)
  }

  /** Every connected node, asked at once; one that is silent for 2 s is given without status. */
  async ask(signal: AbortSignal): Promise<Neighbour[]> {
    const options = { timeoutMs: ASK_MS, signal }
    return await Promise.all((await this.peers()).map(async (peer) => {
      const node = peer.toString()
      try {
        const [status, apps] = await Promise.all([
          this.#net.call<NodeStatus>('node.status', {}, { ...options, node }),
          this.#net.call<AppInfo[]>('node.apps', { all: false }, { ...options, node }),
        ])
        return { peerId: node, status, apps: apps.map(({ app }) => app) }
      } catch (error) {
        this.#log.debug('neighbour-silent', { node, error: String(error) })
        return { peerId: node, apps: [] }
      }
    }))
  }

  /** The apps of one node; none if it is silent. */
  async appsOf(node: string, signal: AbortSignal): Promise<AppInfo[]> {
    try {
      const apps = await this.#net.call<AppInfo[]>('node.apps', { all: false }, { node, timeoutMs: ASK_MS, signal })
      return apps.map((app) => ({ ...app, node, local: false }))
    } catch (error) {
      this.#log.debug('neighbour-silent', { node, error: String(error) })
      return []
    }
  }

  /**
   * The PeerId of a node by its PeerId or its name.
   * @throws {WarrenError} `NODE_NOT_FOUND`, or `AMBIGUOUS` that lists who has the name.
   */
  async resolve(name: string, signal: AbortSignal): Promise<PeerId> {
    const direct = parsePeerId(name)
    if (direct !== undefined) return direct
    const found = (await this.ask(signal)).filter(({ status }) => status?.name === name).map(({ peerId }) => peerId)
    if (name === this.#self.name) found.unshift(this.#self.peerId)
    if (found.length > 1) {
      throw new WarrenError('AMBIGUOUS',
        `${found.length} nodes are called '${name}': ${found.join(', ')}; say which by its PeerId`,
        { started: false })
    }
    const [peerId] = found
    if (peerId !== undefined) return parsePeerId(peerId)!
    throw new WarrenError('NODE_NOT_FOUND', `no node '${name}' is connected; list them with: warren nodes`,
      { started: false })
  }

  /**
   * Connects to an address.
   * @throws {WarrenError} `BAD_ARGUMENT`, `DENIED` for an address beyond loopback, `NODE_UNREACHABLE`.
   */
  async connect(text: string, signal: AbortSignal): Promise<{ peerId: string, name: string }> {
    const address = parseAddress(text)
    if (!isLoopback(address)) {
      throw new WarrenError('DENIED',
        `${text} is not on this machine: until machines are admitted by certificate, nodes speak over loopback only`,
        { started: false })
    }
    let peer: PeerId
    try {
      peer = (await this.#host.dial(address, { signal: AbortSignal.any([signal, this.#stop.signal]) })).remotePeer
    } catch (cause) {
      throw new WarrenError('NODE_UNREACHABLE', `${text} does not answer: ${reason(cause)}`, { started: false, cause })
    }
    const node = peer.toString()
    const status = await this.#net.call<NodeStatus>('node.status', {}, { node, timeoutMs: ASK_MS, signal })
    return { peerId: node, name: status.name }
  }

  /** Connects to an address, again and again with growing pauses until it answers. */
  join(text: string, waitMs = REJOIN_FIRST_MS): void {
    this.#joining.set(text, undefined)
    this.connect(text, AbortSignal.timeout(10_000)).then(
      ({ peerId, name }) => {
        this.#joining.delete(text)
        this.#log.info('joined', { address: text, peerId, name })
      },
      (error: unknown) => {
        if (this.#stop.signal.aborted) return
        this.#log.warn('join-failed', { address: text, error: reason(error), retryMs: waitMs })
        this.#joining.set(text, setTimeout(() => this.join(text, Math.min(waitMs * 2, REJOIN_LAST_MS)), waitMs))
      },
    )
  }
}

function reason(thrown: unknown): string {
  if (thrown instanceof AggregateError && thrown.errors.length > 0) return reason(thrown.errors[0])
  return thrown instanceof Error ? thrown.message : String(thrown)
}

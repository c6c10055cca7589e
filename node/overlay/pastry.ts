/** The overlay as a libp2p service: `createLibp2p({ services: { identify: identify(), pastry: pastry() } })`. */
import {
  contentRoutingSymbol, peerRoutingSymbol, serviceCapabilities, serviceDependencies,
  type Libp2pEvents, type Logger, type PeerId, type PeerRouting, type PeerStore, type PrivateKey,
  type Startable, type StreamHandler, type StreamHandlerOptions, type Topology, type TypedEventTarget,
} from '@libp2p/interface'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { peerIdFromString } from '@libp2p/peer-id'
import { randomBytes } from 'node:crypto'
import { WarrenError } from '../../protocols/errors.ts'
import type { Key, OverlayId } from '../../protocols/ids.ts'
import type { PastryConfig } from '../../protocols/pastry/config.ts'
import { pastryConfig } from '../../protocols/pastry/config.ts'
import type { PastryCommand, PastryEvent } from '../../protocols/pastry/core.ts'
import { makePastry, type PastryMachine } from '../../protocols/pastry/machine.ts'
import { PASTRY_PROTOCOL, type Message, type NodeRef } from '../../protocols/pastry/messages.ts'
import { Driver } from '../driver.ts'
import { Content, type ContentParts, type ProviderRouting } from './pastry-content.ts'
import { ControlLinks, type Dialler } from './pastry-links.ts'
import { PendingLookups, type Answered, type LookupOptions } from './pastry-lookups.ts'
import { placeOf, refOf } from './pastry-peers.ts'
import { describeRing, type RingInfo } from './pastry-ring.ts'
import { createPeerRouting, serveRequest } from './pastry-routing.ts'
import { KEEP_ALIVE_TAG, KeepAliveTags } from './pastry-tags.ts'

/** Silence after which a stream that neither side wants to keep is closed; the simulator's links have the same. */
const IDLE_MS = 120_000
/** Bootstraps that are used: configured ones first, then leaves of the last run. */
const BOOTSTRAPS_MAX = 16
/** Time that the last words to the leaves, and what was just learnt of peers, get before libp2p stops. */
const LEAVE_MS = 100

/** After these, this node may have other addresses than before. */
const ADDRESS_EVENTS = ['transport:listening', 'transport:close', 'self:peer:update'] as const

/** How the service is made; everything has a default. */
export interface PastryInit {
  /** Nodes of different networks do not mix. Default `warren`. */
  readonly network?: string
  /**
   * Addresses, with PeerIds, of nodes to join through. Without any, and without leaves from the last run, the
   * node founds a ring at once; rings become one when their nodes meet.
   */
  readonly bootstraps?: readonly (string | Multiaddr)[]
  /** Parameters of the machine that differ from their defaults. */
  readonly config?: Partial<PastryConfig>
  /** Whether libp2p's content routing asks the ring, too. Default true. The records of others are held either way. */
  readonly contentRouting?: boolean
  /** Silence after which an unneeded control stream is closed. Default 120 000. */
  readonly idleMs?: number
}

/** The parts of libp2p that the service uses. */
export interface PastryComponents {
  readonly peerId: PeerId
  readonly privateKey: PrivateKey
  readonly registrar: {
    handle(protocol: string, handler: StreamHandler, options?: StreamHandlerOptions): Promise<void>
    unhandle(protocol: string): Promise<void>
    register(protocol: string, topology: Topology): Promise<string>
    unregister(id: string): void
  }
  readonly connectionManager: Dialler
  readonly addressManager: { getAddresses(): Multiaddr[], getListenAddrs(): Multiaddr[] }
  readonly peerStore: PeerStore
  readonly events: TypedEventTarget<Libp2pEvents>
  readonly logger: { forComponent(name: string): Logger }
}

/** The service. */
export interface Pastry extends Startable {
  /** This node's place on the ring. */
  readonly id: OverlayId
  readonly network: string
  /** What can be seen of the ring from here. */
  ring(): RingInfo
  /** Round trip to a node of the leaf set or the table as the overlay measured it, milliseconds. */
  rttMs(peer: PeerId): number | undefined
  /** Finds the owner of a key. Throws as `PendingLookups.ask` does. */
  lookup(key: Key, options?: LookupOptions): Promise<Answered>
  /** Calls `listener` at each event of the machine, and when the driver refuses something; returns what stops that. */
  watch(listener: (event: PastryEvent) => void): () => void
  /** Stops at once and without a word to anybody, as after a power cut. */
  halt(): void
  readonly [peerRoutingSymbol]: PeerRouting
  readonly [contentRoutingSymbol]: ProviderRouting | undefined
}

/**
 * Makes the service, exactly as `kadDHT()` is made.
 * @throws {WarrenError} `BAD_CONFIG` that names the parameter, or the bootstrap without PeerId.
 */
export function pastry(init: PastryInit = {}): (components: PastryComponents) => Pastry {
  pastryConfig(init.config)
  return (components) => new PastryService(components, init)
}

class PastryService implements Pastry {
  readonly [Symbol.toStringTag] = '@warren/pastry'
  readonly [serviceCapabilities]: readonly string[] = ['@libp2p/peer-routing', '@libp2p/content-routing']
  readonly [serviceDependencies]: readonly string[] = ['@libp2p/identify']
  readonly id: OverlayId
  readonly network: string
  readonly #components: PastryComponents
  readonly #init: PastryInit
  readonly #config: PastryConfig
  readonly #log: Logger
  readonly #refused = new Map<string, number>()
  readonly #lookups = new PendingLookups()
  readonly #watchers = new Set<(event: PastryEvent) => void>()
  readonly #tags: KeepAliveTags
  readonly #content: Content
  readonly #peerRouting: PeerRouting
  readonly #configured: readonly NodeRef[]
  #ref: NodeRef
  #machine: PastryMachine | undefined
  #driver: Driver<PastryCommand, Message, PastryEvent, NodeRef> | undefined
  #links: ControlLinks | undefined
  #topology: string | undefined

  constructor(components: PastryComponents, init: PastryInit) {
    this.#components = components
    this.#init = init
    this.#config = pastryConfig(init.config)
    this.network = init.network ?? 'warren'
    this.id = placeOf(this.network, components.peerId)
    this.#ref = refOf(this.network, components.peerId, [])
    this.#configured = bootstrapRefs(this.network, init.bootstraps ?? [])
    this.#log = components.logger.forComponent('warren:pastry')
    this.#tags = new KeepAliveTags(components.peerStore, (error) => { this.#log.error('tag failed - %e', error) })
    const parts: ContentParts = {
      network: this.network, self: () => this.#ref, privateKey: components.privateKey,
      lookup: (key, options) => this.lookup(key, options),
      leaves: () => this.#machine?.view(this.#driver?.nowMs ?? 0),
      sendRecords: (to, bytes) => { this.#links?.sendRecords(to, bytes) },
      refused: (reason) => { this.#refuse(reason) },
    }
    this.#content = new Content(parts)
    this.#peerRouting = createPeerRouting(parts)
  }

  get [peerRoutingSymbol](): PeerRouting { return this.#peerRouting }
  get [contentRoutingSymbol](): ProviderRouting | undefined {
    return this.#init.contentRouting === false ? undefined : this.#content
  }

  /** Handlers are there before the first connection can come. */
  async beforeStart(): Promise<void> {
    const { registrar, connectionManager } = this.#components
    this.#links = new ControlLinks({
      network: this.network, ref: this.#ref, dialler: connectionManager, idleMs: this.#init.idleMs ?? IDLE_MS,
      hooks: {
        up: (peer) => { this.#driver?.input({ type: 'linkUp', peer }) },
        down: (peer, reason) => { this.#driver?.input({ type: 'linkDown', peer, reason }) },
        message: (from, message) => { this.#driver?.input({ type: 'message', from, message }) },
        records: (_from, bytes) => { this.#content.onRecords(bytes) },
        refused: (reason) => { this.#refuse(reason) },
      },
    })
    await registrar.handle(PASTRY_PROTOCOL, (stream, connection) => { this.#links?.accept(stream, connection) },
      { maxInboundStreams: 4, maxOutboundStreams: 4 })
    this.#topology = await registrar.register(PASTRY_PROTOCOL, {
      onConnect: (peer, connection) => { if (connection.direction === 'outbound') void this.#meet(peer) },
    })
  }

  start(): void {
    for (const event of ADDRESS_EVENTS) this.#components.events.addEventListener(event, this.#onAddresses)
  }

  /** The machine begins when libp2p listens, which it does at this same time, so that its contact has addresses. */
  afterStart(): void {
    this.#onAddresses()
    if (this.#components.addressManager.getListenAddrs().length === 0) this.#begin()
  }

  #begin(): void {
    if (this.#machine !== undefined || this.#links === undefined) return
    this.#makeMachine()
    this.#content.start()
    void this.#bootstraps().then((bootstraps) => { this.#command({ kind: 'start', bootstraps }) },
      (error: unknown) => {
        this.#log.error('cannot read the leaves of the last run - %e', error)
        this.#command({ kind: 'start', bootstraps: this.#configured })
      })
  }

  #makeMachine(): void {
    const machine = makePastry({ ref: this.#ref, seed: randomBytes(16).toString('hex'), config: this.#config })
    this.#machine = machine
    this.#driver?.stop()
    this.#driver = new Driver(machine, {
      send: (to, message) => { this.#links?.send(to, message) },
      event: (event) => { this.#onEvent(event) },
      failed: (error) => {
        this.#log.error('the overlay has stopped, for a rule of its own did not hold - %e', error)
        this.#count('invariantBroken')
        this.halt()
      },
    })
    for (const peer of this.#links?.linked() ?? []) this.#driver.input({ type: 'linkUp', peer })
  }

  async beforeStop(): Promise<void> {
    if (this.#topology !== undefined) this.#components.registrar.unregister(this.#topology)
    await this.#components.registrar.unhandle(PASTRY_PROTOCOL)
    if (this.#driver === undefined) return
    this.#command({ kind: 'leave' })
    this.#links?.close()
    // libp2p flushes closed streams, and writes whom it has identified to disk, unless it is stopped before.
    await new Promise((resolve) => { setTimeout(resolve, LEAVE_MS) })
  }

  async stop(): Promise<void> {
    this.halt()
    this.#machine = undefined
    await this.#tags.stop()
  }

  halt(): void {
    this.#driver?.stop()
    this.#links?.abort()
    this.#content.stop()
    this.#lookups.stop()
    for (const event of ADDRESS_EVENTS) this.#components.events.removeEventListener(event, this.#onAddresses)
    this.#driver = undefined
    this.#links = undefined
  }

  ring(): RingInfo {
    if (this.#machine === undefined) {
      throw new WarrenError('NODE_UNREACHABLE', 'this node has not begun to join the ring', { started: false })
    }
    return describeRing(this.#machine.view(this.#driver?.nowMs ?? 0), {
      network: this.network, id: this.id, peerId: this.#components.peerId.toString(),
      leafSetCountMax: this.#config.leafSetCountMax, links: this.#links?.size ?? 0, refused: this.#refused,
    })
  }

  rttMs(peer: PeerId): number | undefined {
    const id = placeOf(this.network, peer)
    const view = this.#machine?.view(this.#driver?.nowMs ?? 0)
    for (const known of [...view?.left ?? [], ...view?.right ?? [], ...view?.table.all() ?? []]) {
      if (known.id === id) return known.rttMs === 0 ? undefined : known.rttMs
    }
    return undefined
  }

  async lookup(key: Key, options: LookupOptions = {}): Promise<Answered> {
    if (this.#driver === undefined) {
      throw new WarrenError('NODE_UNREACHABLE', 'this node is not on the ring', { started: false })
    }
    return await this.#lookups.ask((command) => { this.#command(command) }, key, options)
  }

  watch(listener: (event: PastryEvent) => void): () => void {
    this.#watchers.add(listener)
    return () => { this.#watchers.delete(listener) }
  }

  #command(command: PastryCommand): void {
    this.#driver?.input({ type: 'command', command })
  }

  #count(reason: string): void {
    // Names are our own; the cap is for what we have not thought of.
    const name = this.#refused.has(reason) || this.#refused.size < 256 ? reason : 'other'
    this.#refused.set(name, (this.#refused.get(name) ?? 0) + 1)
  }

  /** Something was refused before the machine saw it. */
  #refuse(reason: string): void {
    this.#count(reason)
    this.#tell({ kind: 'dropped', reason, from: undefined })
  }

  #tell(event: PastryEvent): void {
    for (const watcher of this.#watchers) watcher(event)
  }

  #onEvent(event: PastryEvent): void {
    switch (event.kind) {
      case 'answered': case 'lookupFailed': this.#lookups.settle(event); break
      case 'deliver': this.#deliver(event); break
      case 'warm': case 'cold':
        this.#links?.keep(event.node, event.kind === 'warm')
        this.#tags.set(event.node, event.kind === 'warm')
        break
      case 'dropped':
        this.#count(event.reason)
        if (event.reason === 'flood' && event.from !== undefined) this.#links?.rest(event.from)
        break
      case 'leafAdded': case 'leafRemoved': this.#content.onLeaves(); break
      case 'state': case 'ringFound': break
    }
    this.#tell(event)
  }

  #deliver({ key, token, payload }: Extract<PastryEvent, { kind: 'deliver' }>): void {
    if (payload.length === 0) return
    void serveRequest(this.#content, key, payload, (reason) => { this.#refuse(reason) }).then((answer) => {
      this.#command({ kind: 'reply', token, payload: answer })
    })
  }

  /**
   * This node has connected to a peer that speaks our protocol: their rings are to be one. A ring of one node is given
   * up, and the node joins in order, because two rings take the life of a lease to become one; larger rings merge.
   */
  async #meet(peer: PeerId): Promise<void> {
    try {
      const id = placeOf(this.network, peer)
      if (this.#links === undefined || this.#links.has(id) || this.#links.isRefused(id)) return
      const known = await this.#components.peerStore.get(peer)
      const ref = refOf(this.network, peer, known.addresses.map(({ multiaddr: address }) => address))
      const isMutual = this.#components.connectionManager.getConnections(peer)
        .some(({ direction }) => direction === 'inbound')
      if (this.#isAlone() && (!isMutual || this.id > id)) {
        this.#makeMachine()
        this.#command({ kind: 'start', bootstraps: [ref] })
        this.#lookups.askAgain((command) => { this.#command(command) })
      } else this.#command({ kind: 'meet', nodes: [ref] })
    } catch (error) {
      this.#count('notMet')
      this.#log.trace('cannot meet %p - %e', peer, error)
    }
  }

  /** Whether this node is a ring of its own that nobody has joined, or is about to. */
  #isAlone(): boolean {
    const view = this.#machine?.view(this.#driver?.nowMs ?? 0)
    if (view === undefined || view.state === 'waiting' || view.state === 'dead') return false
    return view.left.length === 0 && ['granted', 'probes', 'hints'].every((what) => view.sizes[what] === 0)
  }

  /** The configured bootstraps, and those that were worth a tag in the last run. */
  async #bootstraps(): Promise<NodeRef[]> {
    const refs = new Map(this.#configured.map((ref) => [ref.id, ref]))
    const kept = await this.#components.peerStore.all({
      filters: [({ tags }) => tags.has(KEEP_ALIVE_TAG)], limit: BOOTSTRAPS_MAX,
    })
    for (const { id: peer, addresses } of kept) {
      const ref = refOf(this.network, peer, addresses.map(({ multiaddr: address }) => address))
      // Who is worth a tag in this run is yet to be seen.
      this.#tags.set(ref, false, true)
      if (!refs.has(ref.id) && refs.size < BOOTSTRAPS_MAX) refs.set(ref.id, ref)
    }
    refs.delete(this.id)
    return [...refs.values()]
  }

  readonly #onAddresses = (): void => {
    const addresses = this.#components.addressManager.getAddresses()
    const ref = refOf(this.network, this.#components.peerId, addresses)
    if (Buffer.compare(ref.contact, this.#ref.contact) !== 0) {
      this.#ref = ref
      this.#links?.setSelf(ref)
      this.#command({ kind: 'contact', contact: ref.contact })
    }
    if (addresses.length > 0) this.#begin()
  }
}

function bootstrapRefs(network: string, bootstraps: readonly (string | Multiaddr)[]): NodeRef[] {
  return bootstraps.slice(0, BOOTSTRAPS_MAX).map((given) => {
    const address = typeof given === 'string' ? multiaddr(given) : given
    const peer = address.getComponents().findLast(({ name }) => name === 'p2p')?.value
    if (peer !== undefined) return refOf(network, peerIdFromString(peer), [address])
    throw new WarrenError('BAD_CONFIG',
      `the bootstrap ${address.toString()} does not end with a PeerId, as /ip4/127.0.0.1/tcp/4001/p2p/12D3Koo… does`)
  })
}

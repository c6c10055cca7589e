/** Control streams to other nodes of the overlay: dialled when there is something to say, kept while needed. */
import type { AbortOptions, Connection, PeerId, Stream } from '@libp2p/interface'
import type { Multiaddr } from '@multiformats/multiaddr'
import type { OverlayId } from '../../protocols/ids.ts'
import { isGenuine, referencesOf } from '../../protocols/pastry/contact.ts'
import { decodeControl, encodeControl, isControl, networkTagOf } from '../../protocols/pastry/control.ts'
import { decode, encode, PASTRY_PROTOCOL } from '../../protocols/pastry/messages.ts'
import type { Message, NodeRef } from '../../protocols/pastry/messages.ts'
import { nowMs } from '../clock.ts'
import { peerInfoOf, placeOf } from './pastry-peers.ts'
import { ControlStream, QUEUE_BYTES_MAX, QUEUE_MESSAGES_MAX } from './pastry-stream.ts'

/** Time for a connection and its control stream; what waits for it is dropped then. */
const DIAL_TIMEOUT_MS = 5_000
/** Dials under way at once; others wait. */
const DIALS_MAX = 32
/** Pause before a node that could not be reached is dialled again. */
const REDIAL_MS = 250
/** How long a peer that broke a rule is refused. */
const REFUSED_MS = 10_000
/** A second stream to one peer, opened at the same time, may still bring messages this long. */
const LINGER_MS = 5_000
/** Streams of one peer: two opened at once and their successors. */
const STREAMS_PER_PEER_MAX = 4
/** How often times are looked at. */
const SWEEP_MS = 1_000
/** Nodes that streams are kept to, or have just been; above libp2p's own limit of connections. */
const PEERS_MAX = 1_024
/** Messages about the stream itself, records among them, that a peer may send per second, and in a burst. */
const CONTROLS_PER_SECOND_MAX = 100
const CONTROLS_BURST_MAX = 400
/** Pause that a peer which floods is given. */
const REST_MS = 250

/** The parts of libp2p that dial. */
export interface Dialler {
  openConnection(peer: PeerId | Multiaddr[], options?: AbortOptions): Promise<Connection>
  getConnections(peer?: PeerId): Connection[]
}

/** What the links tell their owner. */
export interface LinkHooks {
  up(ref: NodeRef): void
  down(ref: NodeRef, reason: string): void
  message(from: NodeRef, message: Message): void
  records(from: NodeRef, bytes: Uint8Array): void
  /** Something was not done; the names are stable, to be counted. */
  refused(reason: string): void
}

/** How links are made. */
export interface LinksInit {
  readonly network: string
  readonly ref: NodeRef
  readonly dialler: Dialler
  /** Silence after which a stream that neither side wants to keep is closed, milliseconds. */
  readonly idleMs: number
  readonly hooks: LinkHooks
}

interface PeerLink {
  ref: NodeRef
  readonly streams: ControlStream[]
  waiting: { readonly bytes: Uint8Array, readonly untilMs: number }[]
  waitingBytes: number
  isDialling: boolean
  dialAfterMs: number
  refusedUntilMs: number
  usedMs: number
  /** Whether we, and the peer, want the stream to stay when it is silent. */
  isWarm: boolean
  isWantedThere: boolean
  isUp: boolean
  /** Messages about the stream that the peer may still send, and when they were counted. */
  allowance: number
  allowanceMs: number
  /** The connection that was made for the stream alone, if one was. */
  ownConnection: Connection | undefined
}

/** All control streams of one node. */
export class ControlLinks {
  readonly #init: LinksInit
  readonly #tag: string
  readonly #links = new Map<OverlayId, PeerLink>()
  readonly #toDial = new Set<PeerLink>()
  readonly #stop = new AbortController()
  readonly #sweeps: NodeJS.Timeout
  #ref: NodeRef
  #dialCount = 0

  constructor(init: LinksInit) {
    this.#init = init
    this.#ref = init.ref
    this.#tag = networkTagOf(init.network)
    this.#sweeps = setInterval(() => { this.#sweep() }, SWEEP_MS).unref()
  }

  /** Peers with a stream. */
  get size(): number {
    let count = 0
    for (const link of this.#links.values()) if (link.isUp) count++
    return count
  }

  /** The peers whose streams are up. */
  linked(): NodeRef[] {
    return [...this.#links.values()].filter(({ isUp }) => isUp).map(({ ref }) => ref)
  }

  /** Whether a stream to the node is open or being opened. */
  has(id: OverlayId): boolean {
    const link = this.#links.get(id)
    return link !== undefined && (link.streams.length > 0 || link.isDialling)
  }

  /** Whether the node could not be reached, or broke a rule, a moment ago. */
  isRefused(id: OverlayId): boolean {
    return (this.#links.get(id)?.refusedUntilMs ?? 0) > nowMs()
  }

  /** Our addresses changed: whoever is linked is told. */
  setSelf(ref: NodeRef): void {
    this.#ref = ref
    for (const { streams } of this.#links.values()) for (const stream of streams) this.#hello(stream)
  }

  /** Sends a message; without a stream it waits, at most 5 s, while one is opened in the background. */
  send(to: NodeRef, message: Message): void {
    this.#send(to, encode(message))
  }

  /** Sends provider records. */
  sendRecords(to: NodeRef, bytes: Uint8Array): void {
    this.#send(to, encodeControl({ type: 'records', bytes }))
  }

  /** Opens a stream to the node if there is none. */
  open(ref: NodeRef): void {
    const link = this.#link(ref)
    if (link !== undefined && link.streams.length === 0) this.#dial(link)
  }

  /** Whether the stream to the node is to stay when it is silent. */
  keep(ref: NodeRef, isWarm: boolean): void {
    const link = isWarm ? this.#link(ref) : this.#links.get(ref.id)
    if (link === undefined || link.isWarm === isWarm) return
    link.isWarm = isWarm
    link.usedMs = nowMs()
    this.#sayKeep(link)
  }

  /** The peer floods: its streams are not read for a moment. */
  rest(id: OverlayId): void {
    for (const stream of this.#links.get(id)?.streams ?? []) stream.rest(REST_MS)
  }

  /** Takes a stream that a peer opened. */
  accept(stream: Stream, connection: Connection): void {
    const id = this.#placeOf(connection.remotePeer)
    const known = id === undefined ? undefined : this.#links.get(id)
    const reason = id === undefined ? 'keyNotInPeerId' : this.#stop.signal.aborted ? 'stopping'
      : (known?.refusedUntilMs ?? 0) > nowMs() && known?.isUp !== true && !known!.isDialling ? 'refusedLately'
        : (known?.streams.length ?? 0) >= STREAMS_PER_PEER_MAX ? 'tooManyStreams'
          : known === undefined && this.#links.size >= PEERS_MAX ? 'tooManyPeers' : undefined
    if (reason !== undefined || id === undefined) {
      this.#init.hooks.refused(reason ?? 'keyNotInPeerId')
      return stream.abort(new Error(`refused: ${reason}`))
    }
    // Its contact is not known before its hello.
    const link = known ?? this.#make({ id, contact: new Uint8Array(0) })
    this.#add(link, stream, connection, 'peer')
  }

  /** Says what is left to say, then ends all streams. */
  close(): void {
    this.#end((stream) => { stream.close() })
  }

  /** Ends all streams without a word. */
  abort(): void {
    this.#end((stream) => { stream.abort() })
  }

  #end(finish: (stream: ControlStream) => void): void {
    this.#stop.abort()
    clearInterval(this.#sweeps)
    this.#toDial.clear()
    for (const link of this.#links.values()) for (const stream of [...link.streams]) finish(stream)
    this.#links.clear()
  }

  #placeOf(peer: PeerId): OverlayId | undefined {
    try {
      return placeOf(this.#init.network, peer)
    } catch {
      return undefined // The caller counts it.
    }
  }

  #link(ref: NodeRef): PeerLink | undefined {
    const known = this.#links.get(ref.id)
    if (known !== undefined) return known
    if (this.#links.size < PEERS_MAX && !this.#stop.signal.aborted) return this.#make(ref)
    this.#init.hooks.refused('tooManyPeers')
    return undefined
  }

  #make(ref: NodeRef): PeerLink {
    const link: PeerLink = {
      ref, streams: [], waiting: [], waitingBytes: 0, isDialling: false, dialAfterMs: 0, refusedUntilMs: 0,
      usedMs: nowMs(), isWarm: false, isWantedThere: false, isUp: false,
      allowance: CONTROLS_BURST_MAX, allowanceMs: nowMs(), ownConnection: undefined,
    }
    this.#links.set(ref.id, link)
    return link
  }

  #send(to: NodeRef, bytes: Uint8Array): void {
    const link = this.#link(to)
    if (link === undefined) return
    link.usedMs = nowMs()
    const stream = this.#preferred(link)
    if (stream !== undefined) {
      if (!stream.send(bytes)) this.#init.hooks.refused('queueFull')
      return
    }
    if (link.ref.contact.length === 0) link.ref = to
    if (link.waiting.length >= QUEUE_MESSAGES_MAX || link.waitingBytes + bytes.length > QUEUE_BYTES_MAX) {
      return this.#init.hooks.refused('queueFull')
    }
    link.waiting.push({ bytes, untilMs: nowMs() + DIAL_TIMEOUT_MS })
    link.waitingBytes += bytes.length
    this.#dial(link, to)
  }

  #dial(link: PeerLink, hint: NodeRef = link.ref): void {
    if (link.isDialling || this.#stop.signal.aborted) return
    if (nowMs() < Math.max(link.dialAfterMs, link.refusedUntilMs)) return this.#dropWaiting(link, 'unreachable')
    link.isDialling = true
    link.ref = hint.contact.length > 0 ? hint : link.ref
    if (this.#dialCount < DIALS_MAX) void this.#connect(link)
    else this.#toDial.add(link)
  }

  async #connect(link: PeerLink): Promise<void> {
    this.#dialCount++
    try {
      // The peer may have been faster while this dial waited for its turn.
      if (link.streams.length > 0) return
      const peer = peerInfoOf(link.ref)
      if (peer === undefined) throw new Error('the reference has no key that can be dialled')
      const { dialler } = this.#init
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(DIAL_TIMEOUT_MS)])
      const hadConnection = dialler.getConnections(peer.id).length > 0
      const addresses = peer.multiaddrs.map((address) => address.encapsulate(`/p2p/${peer.id.toString()}`))
      const connection = await dialler.openConnection(hadConnection || addresses.length === 0 ? peer.id : addresses,
        { signal })
      const stream = await connection.newStream(PASTRY_PROTOCOL, { signal, maxOutboundStreams: STREAMS_PER_PEER_MAX })
      if (!hadConnection) link.ownConnection = connection
      this.#add(link, stream, connection, 'us')
    } catch {
      if (this.#stop.signal.aborted) return
      link.dialAfterMs = nowMs() + REDIAL_MS
      this.#init.hooks.refused('dialFailed')
      if (link.streams.length === 0) this.#dropWaiting(link, 'unreachable')
    } finally {
      link.isDialling = false
      this.#dialCount--
      const [next] = this.#toDial
      if (next !== undefined) {
        this.#toDial.delete(next)
        void this.#connect(next)
      }
    }
  }

  #dropWaiting(link: PeerLink, reason: string): void {
    for (let left = link.waiting.length; left > 0; left--) this.#init.hooks.refused(reason)
    link.waiting = []
    link.waitingBytes = 0
  }

  #add(link: PeerLink, stream: Stream, connection: Connection, dialledBy: 'us' | 'peer'): void {
    const added: ControlStream = new ControlStream(stream, connection, dialledBy, {
      message: (bytes) => { this.#onMessage(link, added, bytes) },
      violated: (reason) => {
        link.refusedUntilMs = nowMs() + REFUSED_MS
        this.#init.hooks.refused(reason)
      },
      closed: (reason) => { this.#onClosed(link, added, reason) },
    })
    if (this.#stop.signal.aborted) return added.abort()
    link.streams.push(added)
    added.start()
    this.#hello(added)
    if (link.isWarm) added.send(encodeControl({ type: 'keep', isWanted: true }))
    const now = nowMs()
    for (const { bytes, untilMs } of link.waiting) {
      if (untilMs < now) this.#init.hooks.refused('late')
      else if (!added.send(bytes)) this.#init.hooks.refused('queueFull')
    }
    link.waiting = []
    link.waitingBytes = 0
  }

  #hello(stream: ControlStream): void {
    stream.send(encodeControl({ type: 'hello', networkTag: this.#tag, ref: this.#ref }))
  }

  #sayKeep(link: PeerLink): void {
    for (const stream of link.streams) stream.send(encodeControl({ type: 'keep', isWanted: link.isWarm }))
  }

  /** Of several streams the one that the node with the lower id dialled, so that both ends choose the same. */
  #preferred(link: PeerLink): ControlStream | undefined {
    const dialler = this.#ref.id < link.ref.id ? 'us' : 'peer'
    return link.streams.findLast((stream) => stream.dialledBy === dialler) ?? link.streams.at(-1)
  }

  #onClosed(link: PeerLink, stream: ControlStream, reason: string): void {
    const at = link.streams.indexOf(stream)
    if (at >= 0) link.streams.splice(at, 1)
    if (!link.isUp || link.streams.some((other) => other.isProven)) return
    link.isUp = false
    link.isWantedThere = false
    this.#init.hooks.down(link.ref, reason)
  }

  #onMessage(link: PeerLink, stream: ControlStream, bytes: Uint8Array): void {
    if (isControl(bytes)) return this.#onControl(link, stream, bytes)
    if (!stream.isProven) return stream.refuse('noHello')
    const decoded = decode(bytes)
    if (!decoded.ok) return stream.refuse(`malformed.${decoded.reason}`)
    for (const ref of referencesOf(decoded.message)) {
      if (!isGenuine(this.#init.network, ref)) return stream.refuse('falseReference')
    }
    link.usedMs = nowMs()
    this.#init.hooks.message(link.ref, decoded.message)
  }

  #onControl(link: PeerLink, stream: ControlStream, bytes: Uint8Array): void {
    const now = nowMs()
    link.allowance = Math.min(CONTROLS_BURST_MAX,
      link.allowance + (now - link.allowanceMs) / 1_000 * CONTROLS_PER_SECOND_MAX)
    link.allowanceMs = now
    if (link.allowance < 1) {
      stream.rest(REST_MS)
      return this.#init.hooks.refused('flood.control')
    }
    link.allowance--
    const control = decodeControl(bytes)
    if (control === undefined) return stream.refuse('malformed.control')
    if (control.type === 'hello') return this.#onHello(link, stream, control.networkTag, control.ref)
    if (!stream.isProven) return stream.refuse('noHello')
    if (control.type === 'keep') link.isWantedThere = control.isWanted
    else this.#init.hooks.records(link.ref, control.bytes)
  }

  /** The id that a peer claims must be the one that its key, which the connection has proven, gives it. */
  #onHello(link: PeerLink, stream: ControlStream, networkTag: string, ref: NodeRef): void {
    if (networkTag !== this.#tag) return stream.refuse('otherNetwork')
    if (ref.id !== link.ref.id || !isGenuine(this.#init.network, ref)) return stream.refuse('falseId')
    if (Buffer.compare(ref.contact, link.ref.contact) !== 0) link.ref = ref
    stream.isProven = true
    if (link.isUp) return
    link.isUp = true
    link.usedMs = nowMs()
    this.#init.hooks.up(link.ref)
  }

  #sweep(): void {
    const now = nowMs()
    for (const [id, link] of this.#links) {
      const preferred = this.#preferred(link)
      for (const stream of [...link.streams]) {
        stream.checkTimes()
        if (stream === preferred || stream.dialledBy === 'peer' || preferred?.isProven !== true) continue
        if (now - Math.max(stream.openedMs, preferred.openedMs) > LINGER_MS) stream.close()
      }
      if (link.isWarm || link.isDialling || now - link.usedMs < this.#init.idleMs) continue
      if (link.isWantedThere && link.streams.length > 0) continue
      if (link.streams.length > 0) this.#closeIdle(link)
      else if (now > link.refusedUntilMs) this.#links.delete(id)
    }
  }

  /** Nobody needs the streams; a connection that was made for them, and carries nothing else, goes too. */
  #closeIdle(link: PeerLink): void {
    for (const stream of [...link.streams]) stream.close()
    const connection = link.ownConnection
    link.ownConnection = undefined
    if (connection === undefined || connection.status !== 'open') return
    if (connection.streams.some(({ protocol, status }) => protocol !== PASTRY_PROTOCOL && status === 'open')) return
    void connection.close().catch((error: unknown) => { connection.abort(error as Error) })
  }
}

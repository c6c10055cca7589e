/** The one link to each peer: dialled when it is needed, shared by every call, replaced when it drains. */
import type { Libp2p, PeerId, Stream } from '@libp2p/interface'
import { WarrenError } from '../../protocols/errors.ts'
import { GRACE_MS } from '../../protocols/limits.ts'
import { RPC_CBOR, RPC_JSON } from '../../protocols/rpc/messages.ts'
import { streamCarrier } from '../links/libp2p.ts'
import { Link, type CallListener, type IncomingCall } from '../links/link.ts'

/** Time for a connection and its first stream. */
const DIAL_TIMEOUT_MS = 5_000

/** Who gets the calls that peers make. */
export type OnPeerCall = (incoming: IncomingCall, peerId: string) => CallListener

interface PeerLink { readonly link: Link, readonly dialledBy: 'us' | 'peer' }

/** Links to peers by PeerId. */
export class PeerLinks {
  readonly #libp2p: Libp2p
  readonly #epoch: string
  readonly #onCall: OnPeerCall
  readonly #links = new Map<string, PeerLink>()
  readonly #draining = new Set<Link>()
  readonly #dialling = new Map<string, Promise<Link>>()
  #stopped = false

  constructor(libp2p: Libp2p, epoch: string, onCall: OnPeerCall) {
    this.#libp2p = libp2p
    this.#epoch = epoch
    this.#onCall = onCall
  }

  /** Begins to accept links in both codecs. */
  async start(): Promise<void> {
    for (const protocol of [RPC_CBOR, RPC_JSON]) {
      await this.#libp2p.handle(protocol, (stream, connection) => {
        this.#accept(stream, connection.remotePeer)
      }, { maxInboundStreams: 4, maxOutboundStreams: 4 })
    }
  }

  /** Lets calls in flight finish within `graceMs`, then ends every link. */
  async stop(graceMs: number): Promise<void> {
    this.#stopped = true
    await this.#libp2p.unhandle([RPC_CBOR, RPC_JSON])
    const links = [...[...this.#links.values()].map(({ link }) => link), ...this.#draining]
    const drained = links.map((link) => link.drained())
    for (const link of links) link.goAway(graceMs)
    await Promise.all(drained)
  }

  /** Calls in flight on all links. */
  get callCount(): number {
    let count = 0
    for (const { link } of this.#links.values()) count += link.callCount
    return count
  }

  /** Round trip to a peer as its link measured it, milliseconds. */
  rttMs(peerId: string): number | undefined {
    return this.#links.get(peerId)?.link.rttMs
  }

  /**
   * The link to `peer`; there at once if it is warm.
   * @throws {WarrenError} `NODE_UNREACHABLE`, with `started: false`.
   */
  get(peer: PeerId): Link | Promise<Link> {
    const id = peer.toString()
    const known = this.#links.get(id)
    if (known?.link.acceptsCalls === true) return known.link
    const under = this.#dialling.get(id)
    if (under !== undefined) return under
    const dial = this.#dial(peer).finally(() => this.#dialling.delete(id))
    this.#dialling.set(id, dial)
    return dial
  }

  async #dial(peer: PeerId): Promise<Link> {
    const id = peer.toString()
    if (this.#stopped) throw new WarrenError('GOING_AWAY', 'this node is stopping', { started: false })
    try {
      const signal = AbortSignal.timeout(DIAL_TIMEOUT_MS)
      const stream = await this.#libp2p.dialProtocol(peer, RPC_CBOR, { signal, maxOutboundStreams: 4 })
      const link = this.#add(stream, peer, 'us', 'cbor')
      // The peer may have dialled at the same time, and its link may be the one that stays.
      return this.#links.get(id)?.link ?? link
    } catch (cause) {
      const why = cause instanceof Error && cause.name !== 'AbortError' && cause.name !== 'TimeoutError'
        ? cause.message : `it did not answer within ${DIAL_TIMEOUT_MS} ms`
      throw new WarrenError('NODE_UNREACHABLE', `cannot reach node ${id}: ${why}`, { started: false, cause })
    }
  }

  #accept(stream: Stream, peer: PeerId): void {
    if (this.#stopped) return stream.abort(new Error('this node is stopping'))
    this.#add(stream, peer, 'peer', stream.protocol === RPC_JSON ? 'json' : 'cbor')
  }

  #add(stream: Stream, peer: PeerId, dialledBy: 'us' | 'peer', codec: 'cbor' | 'json'): Link {
    const id = peer.toString()
    const role = dialledBy === 'us' ? 'dialler' : 'acceptor'
    const link = new Link(streamCarrier(stream, id), { role, codec, liveness: 'peer', epoch: this.#epoch }, {
      call: (incoming) => this.#onCall(incoming, id),
      closed: () => {
        this.#draining.delete(link)
        if (this.#links.get(id)?.link === link) this.#links.delete(id)
      },
    })
    this.#keepOne(id, { link, dialledBy })
    return link
  }

  /** Of two links opened at once the lower PeerId's stays; of two by the same side the newer. */
  #keepOne(id: string, fresh: PeerLink): void {
    const old = this.#links.get(id)
    if (old === undefined || !old.link.acceptsCalls) {
      this.#links.set(id, fresh)
      if (old?.link.isClosed === false) this.#draining.add(old.link)
      return
    }
    const weAreLower = this.#libp2p.peerId.toString() < id
    const stays = old.dialledBy === fresh.dialledBy ? fresh
      : (fresh.dialledBy === 'us') === weAreLower ? fresh : old
    const drains = stays === fresh ? old : fresh
    this.#links.set(id, stays)
    this.#draining.add(drains.link)
    drains.link.goAway(GRACE_MS)
  }
}

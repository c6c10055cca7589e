/** Where apps are: provider records of an app's key in the warren's own Kademlia table. */
import type { PeerId } from '@libp2p/interface'
import type { SingleKadDHT } from '@libp2p/kad-dht'
import { CID } from 'multiformats/cid'
import { create as createDigest } from 'multiformats/hashes/digest'
import { createHash } from 'node:crypto'
import type { Log } from '../../protocols/app.ts'
import { HOSTS_PER_APP_MAX } from '../../protocols/limits.ts'
import { nowMs } from '../clock.ts'
import type { OverlayHost } from './host.ts'

/** Multicodec of raw bytes and of SHA-256: the key is the hash of a label and the app's name. */
const RAW = 0x55
const SHA2_256 = 0x12
/** How long a host that was found is used before the table is asked again. */
const CACHE_MS = 30_000
/** How long a list of all hosts is used: shorter, because nobody tells of a host that is missing in it. */
const LIST_MS = 2_000
/** Longest time that one lookup takes. */
const LOOKUP_MS = 3_000
/** Newly met peers within this time are told of our apps together. */
const SETTLE_MS = 100

/** The key under which the hosts of an app are found; any libp2p stack can compute it. */
export function appKey(app: string): CID {
  const digest = createHash('sha256').update(`warren/app/1:${app}`).digest()
  return CID.createV1(RAW, createDigest(SHA2_256, new Uint8Array(digest)))
}

/** The Kademlia table tells of its new peers, though its type does not say so. */
function tableOf(host: OverlayHost): EventTarget {
  const { routingTable } = host.services.dht as SingleKadDHT
  return routingTable as SingleKadDHT['routingTable'] & EventTarget
}

interface CachedHosts { readonly hosts: PeerId[], readonly atMs: number, readonly complete: boolean }

/** Publishes the apps of this node, and finds the hosts of others'. */
export class Directory {
  readonly #host: OverlayHost
  readonly #log: Log
  readonly #published = new Set<string>()
  readonly #cache = new Map<string, CachedHosts>()
  readonly #stop = new AbortController()
  #settling: NodeJS.Timeout | undefined

  constructor(host: OverlayHost, log: Log) {
    this.#host = host
    this.#log = log
    host.addEventListener('peer:identify', this.#onPeer)
    // Records go only to peers that are in the table, which a new one enters some time after it is met.
    tableOf(host).addEventListener('peer:add', this.#onPeer)
  }

  /** Stops publishing and looking up. */
  stop(): void {
    this.#host.removeEventListener('peer:identify', this.#onPeer)
    tableOf(this.#host).removeEventListener('peer:add', this.#onPeer)
    clearTimeout(this.#settling)
    this.#stop.abort()
  }

  /** This node serves `app` from now on; peers that join later are told too. */
  publish(app: string): void {
    this.#published.add(app)
    this.#cache.delete(app)
    void this.#provide(app)
  }

  /** This node serves `app` no more. Records that others hold run out; whoever follows one is told. */
  withdraw(app: string): void {
    this.#published.delete(app)
    void this.#host.contentRouting.cancelReprovide(appKey(app)).catch((error: unknown) => {
      this.#log.debug('withdraw-failed', { app, error: String(error) })
    })
  }

  /** A host turned out not to serve `app`: it is not offered again before the next lookup. */
  forget(app: string, host: PeerId): void {
    const cached = this.#cache.get(app)
    if (cached === undefined) return
    const hosts = cached.hosts.filter((other) => !other.equals(host))
    if (hosts.length === 0) this.#cache.delete(app)
    else this.#cache.set(app, { ...cached, hosts })
  }

  /** All other nodes that serve `app`, as far as a lookup of at most 3 s finds them. */
  async list(app: string, signal: AbortSignal): Promise<PeerId[]> {
    const cached = this.#cache.get(app)
    if (cached?.complete === true && nowMs() - cached.atMs < LIST_MS) return cached.hosts
    const hosts: PeerId[] = []
    for await (const host of this.#lookUp(app, signal)) hosts.push(host)
    return hosts
  }

  /** A node that is known to serve `app`, without asking anybody. */
  known(app: string): PeerId | undefined {
    const cached = this.#cache.get(app)
    return cached !== undefined && nowMs() - cached.atMs < CACHE_MS ? cached.hosts[0] : undefined
  }

  /** Other nodes that serve `app`: those known already, then, if more are asked for, those that a lookup finds. */
  async* find(app: string, signal: AbortSignal): AsyncGenerator<PeerId, void, undefined> {
    const cached = this.#cache.get(app)
    const known = cached !== undefined && nowMs() - cached.atMs < CACHE_MS ? cached.hosts : []
    yield* known
    for await (const host of this.#lookUp(app, signal)) {
      if (!known.some((other) => other.equals(host))) yield host
    }
  }

  async* #lookUp(app: string, signal: AbortSignal): AsyncGenerator<PeerId, void, undefined> {
    const hosts: PeerId[] = []
    const bound = AbortSignal.any([signal, this.#stop.signal, AbortSignal.timeout(LOOKUP_MS)])
    const remember = (complete: boolean): void => {
      if (hosts.length > 0) this.#cache.set(app, { hosts: [...hosts], atMs: nowMs(), complete })
    }
    try {
      for await (const provider of this.#host.contentRouting.findProviders(appKey(app), { signal: bound })) {
        if (provider.id.equals(this.#host.peerId) || hosts.some((known) => known.equals(provider.id))) continue
        if (provider.multiaddrs.length > 0) {
          await this.#host.peerStore.merge(provider.id, { multiaddrs: provider.multiaddrs })
        }
        hosts.push(provider.id)
        remember(false)
        yield provider.id
        if (hosts.length >= HOSTS_PER_APP_MAX) break
      }
      remember(true)
    } catch (error) {
      // What was found so far stays remembered.
      if (signal.aborted) throw error
      // A lookup that ran out of time, or found nobody to ask, has found what it has found.
      this.#log.debug('lookup-ended', { app, found: hosts.length, error: String(error) })
    }
  }

  readonly #onPeer = (): void => {
    // Whoever is new may be looking for what we serve, and may serve what we looked for in vain.
    this.#cache.clear()
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined
      for (const app of this.#published) void this.#provide(app)
    }, SETTLE_MS)
  }

  async #provide(app: string): Promise<void> {
    try {
      await this.#host.contentRouting.provide(appKey(app), { signal: this.#stop.signal })
    } catch (error) {
      this.#log.debug('provide-failed', { app, error: String(error) })
    }
  }
}

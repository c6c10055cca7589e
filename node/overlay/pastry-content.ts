/** Content routing on the ring: signed provider records that their providers renew, at the owners of keys. */
import type { ContentRouting, PrivateKey, Provider, RoutingOptions } from '@libp2p/interface'
import type { CID } from 'multiformats/cid'
import { WarrenError } from '../../protocols/errors.ts'
import { keyOf, type Key } from '../../protocols/ids.ts'
import type { NodeRef } from '../../protocols/pastry/messages.ts'
import * as records from '../../protocols/pastry/records.ts'
import type { Outcome, ProviderRecord } from '../../protocols/pastry/records.ts'
import { nowMs } from '../clock.ts'
import type { Answered, LookupOptions } from './pastry-lookups.ts'
import { contactInfoOf } from './pastry-peers.ts'
import { isSigned, ProviderStore } from './pastry-providers.ts'
import { Replicas, type ReplicaParts } from './pastry-replicas.ts'

/** How often a provider renews its records: three times in their life. */
const REPUBLISH_MS = records.RECORD_TTL_MS_MAX / 3
/** How often renewals and ends of life are looked at. */
const TICK_MS = 30_000
/** Keys that one node provides. */
const PROVIDED_MAX = 1_024

/** What content routing needs of the service. */
export interface ContentParts extends ReplicaParts {
  readonly network: string
  readonly privateKey: PrivateKey
  lookup(key: Key, options: LookupOptions): Promise<Answered>
  refused(reason: string): void
}

/** The key of the content behind a CID. */
export function contentKey(cid: CID): Key {
  return keyOf('record', `provider:${Buffer.from(cid.multihash.bytes).toString('hex')}`)
}

/** What libp2p's content routing can be asked on the ring; values of other kinds are not stored. */
export type ProviderRouting = Pick<ContentRouting, 'provide' | 'cancelReprovide' | 'findProviders'>

/** Provides, finds providers, and holds the records of keys that are near to this node. */
export class Content implements ProviderRouting {
  readonly #parts: ContentParts
  readonly #store: ProviderStore
  readonly #replicas: Replicas
  readonly #provided = new Map<Key, { renewAtMs: number }>()
  #ticks: NodeJS.Timeout | undefined

  constructor(parts: ContentParts) {
    this.#parts = parts
    this.#store = new ProviderStore(parts.network)
    this.#replicas = new Replicas(parts, this.#store)
  }

  /** Begins to renew and to forget. */
  start(): void {
    this.#ticks = setInterval(() => { this.#renew() }, TICK_MS).unref()
  }

  /** Ends both. */
  stop(): void {
    clearInterval(this.#ticks)
    this.#replicas.stop()
  }

  /** This node and its leaves, the nearest to the key first. */
  closest(key: Key, count: number): NodeRef[] {
    return this.#replicas.closest(key, count)
  }

  /** The leaf set changed: records may have to go to others. */
  onLeaves(): void {
    this.#replicas.settle()
  }

  /** Says that this node provides the content; renewed until `cancelReprovide`. Throws as a lookup does. */
  async provide(cid: CID, options: RoutingOptions = {}): Promise<void> {
    const key = contentKey(cid)
    if (!this.#provided.has(key) && this.#provided.size >= PROVIDED_MAX) {
      throw new WarrenError('LIMIT', `this node provides ${PROVIDED_MAX} keys already`, { started: false })
    }
    // Should it fail now, the next renewal makes up for it.
    const entry = { renewAtMs: nowMs() + TICK_MS }
    this.#provided.set(key, entry)
    await this.#publish(key, records.RECORD_TTL_MS_MAX, { signal: options.signal })
    entry.renewAtMs = nowMs() + REPUBLISH_MS
  }

  /** This node does not provide it any more; the holders are told. */
  async cancelReprovide(cid: CID, options: RoutingOptions = {}): Promise<void> {
    const key = contentKey(cid)
    if (this.#provided.delete(key)) await this.#publish(key, 0, { signal: options.signal })
  }

  /** Providers, with their addresses; only what they signed themselves. */
  async* findProviders(cid: CID, options: RoutingOptions = {}): AsyncGenerator<Provider, void, undefined> {
    const key = contentKey(cid)
    const payload = records.encodeRequest({ type: 'get' })
    const answered = await this.#parts.lookup(key, { signal: options.signal, payload })
    for (const record of records.decodeRecords(answered.payload) ?? []) {
      const isTrue = record.key === key && record.ttlMs > 0 && await isSigned(this.#parts.network, record)
      const info = isTrue ? contactInfoOf(record.contact) : undefined
      if (info === undefined) this.#parts.refused('record.forged')
      else yield { ...info, routing: 'pastry' }
    }
  }

  /** Answers whoever looks for providers of `key`. */
  serveGet(key: Key): Uint8Array {
    return records.encodeRecords(this.#store.list(key))
  }

  /** Takes a record as the owner of `key`, and passes it on to the other holders. */
  async servePut(key: Key, record: ProviderRecord): Promise<Uint8Array> {
    const outcome: Outcome = record.key === key ? await this.#store.put(record) : 'notOurs'
    if (outcome === 'stored') this.#replicas.push(key, [record])
    else this.#parts.refused(`record.${outcome}`)
    return records.encodeOutcome(outcome)
  }

  /** Takes records that another holder sent. */
  onRecords(bytes: Uint8Array): void {
    const given = records.decodeRecords(bytes)
    if (given === undefined) return this.#parts.refused('malformed.records')
    for (const record of given) {
      if (!this.#replicas.isOurs(record.key)) {
        this.#parts.refused('record.notOurs')
        continue
      }
      void this.#store.put(record).then((outcome) => {
        if (outcome !== 'stored') this.#parts.refused(`record.${outcome}`)
      })
    }
  }

  async #publish(key: Key, ttlMs: number, options: LookupOptions): Promise<void> {
    const { network, privateKey } = this.#parts
    const unsigned = { key, contact: this.#parts.self().contact, sequence: Date.now(), ttlMs }
    const signature = await privateKey.sign(records.signedBytes(network, unsigned))
    const record: ProviderRecord = { ...unsigned, signature, remainingMs: ttlMs }
    const answered = await this.#parts.lookup(key, {
      ...options, payload: records.encodeRequest({ type: 'put', record }),
    })
    const outcome = records.decodeOutcome(answered.payload)
    if (outcome === 'stored') return
    throw new WarrenError(outcome === 'full' ? 'LIMIT' : 'PROTOCOL',
      `the owner of ${key} did not take this node's provider record: ${outcome}`, { started: true })
  }

  #renew(): void {
    this.#store.sweep((key) => this.#replicas.isOurs(key))
    for (const [key, entry] of this.#provided) {
      if (entry.renewAtMs > nowMs()) continue
      entry.renewAtMs = nowMs() + REPUBLISH_MS
      this.#publish(key, records.RECORD_TTL_MS_MAX, {}).catch(() => {
        entry.renewAtMs = nowMs() + TICK_MS
        this.#parts.refused('notRenewed')
      })
    }
  }
}

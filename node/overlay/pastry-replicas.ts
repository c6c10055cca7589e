/** Who holds a key's records: its owner and the nodes next to it; what they lack is sent to them. */
import { isNearer, placed, type Key } from '../../protocols/ids.ts'
import type { PastryView } from '../../protocols/pastry/machine.ts'
import type { NodeRef } from '../../protocols/pastry/messages.ts'
import { encodeRecords, type ProviderRecord } from '../../protocols/pastry/records.ts'
import type { ProviderStore } from './pastry-providers.ts'

/** Nodes that hold a key's records: its owner and the next ones (DESIGN section 4). */
export const REPLICAS = 5
/** Leaves that come and go within this time are looked at together. */
const SETTLE_MS = 500

/** What the replicas need of the service. */
export interface ReplicaParts {
  self(): NodeRef
  /** The machine's view; `undefined` before it started. */
  leaves(): PastryView | undefined
  sendRecords(to: NodeRef, bytes: Uint8Array): void
}

/** Whom each key's records are sent to. */
export class Replicas {
  readonly #parts: ReplicaParts
  readonly #store: ProviderStore
  /** Whom each key's records were sent to. */
  readonly #sentTo = new Map<Key, Set<string>>()
  #settling: NodeJS.Timeout | undefined

  constructor(parts: ReplicaParts, store: ProviderStore) {
    this.#parts = parts
    this.#store = store
  }

  /** Sends nothing more. */
  stop(): void {
    clearTimeout(this.#settling)
  }

  /** This node and its leaves, the nearest to the key first. */
  closest(key: Key, count: number): NodeRef[] {
    const view = this.#parts.leaves()
    const target = placed(key)
    const self = this.#parts.self()
    const nodes = new Map([[self.id, { ...placed(self.id), ref: self }]])
    for (const leaf of [...view?.left ?? [], ...view?.right ?? []]) nodes.set(leaf.id, leaf)
    return [...nodes.values()].sort((a, b) => isNearer(target, a, b) ? -1 : 1).slice(0, count).map(({ ref }) => ref)
  }

  /** Whether so few nodes are nearer to the key that its records may belong here, now or soon. */
  isOurs(key: Key): boolean {
    const { id } = this.#parts.self()
    return this.closest(key, 2 * REPLICAS).some((node) => node.id === id)
  }

  /** Sends records of the key to the other nodes that must hold them. */
  push(key: Key, given: readonly ProviderRecord[]): void {
    const { id } = this.#parts.self()
    const targets = this.closest(key, REPLICAS).filter((node) => node.id !== id)
    for (const node of targets) this.#send(node, given)
    this.#sentTo.set(key, new Set(targets.map((node) => node.id)))
  }

  #send(to: NodeRef, given: readonly ProviderRecord[]): void {
    for (let left = given; left.length > 0;) {
      const bytes = encodeRecords(left)
      this.#parts.sendRecords(to, bytes)
      // The first byte says how many of them fitted.
      left = left.slice(Math.max(1, bytes[0]!))
    }
  }

  /** Soon, when no more leaves come or go, sends what the present ones lack. */
  settle(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined
      const keys = new Set(this.#store.keys())
      const parcels = new Map<NodeRef, ProviderRecord[]>()
      for (const key of keys) this.#settleKey(key, parcels)
      for (const [node, records] of parcels) this.#send(node, records)
      for (const key of this.#sentTo.keys()) if (!keys.has(key)) this.#sentTo.delete(key)
    }, SETTLE_MS).unref()
  }

  /** Adds what the nodes that must hold the key lack to their parcels. */
  #settleKey(key: Key, parcels: Map<NodeRef, ProviderRecord[]>): void {
    const { id } = this.#parts.self()
    const nodes = this.closest(key, REPLICAS)
    const isOwner = nodes[0]?.id === id
    // The owner tells the holders; a holder tells an owner that is new to it.
    const must = isOwner ? nodes.slice(1) : nodes.slice(0, 1)
    const known = this.#sentTo.get(key)
    const lacking = must.filter((node) => known?.has(node.id) !== true)
    if (lacking.length === 0) return
    const given = this.#store.list(key, true)
    for (const node of lacking) parcels.set(node, [...parcels.get(node) ?? [], ...given])
    this.#sentTo.set(key, new Set(nodes.filter((node) => node.id !== id).map((node) => node.id)))
  }
}

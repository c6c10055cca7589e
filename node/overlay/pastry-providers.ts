/** Provider records that this node holds for others: checked, bounded, and gone when their time is over. */
import { publicKeyFromProtobuf } from '@libp2p/crypto/keys'
import type { Key } from '../../protocols/ids.ts'
import { HOSTS_PER_APP_MAX } from '../../protocols/limits.ts'
import { decodeContact } from '../../protocols/pastry/contact.ts'
import { RECORD_TTL_MS_MAX, RECORDS_MAX, signedBytes } from '../../protocols/pastry/records.ts'
import type { Outcome, ProviderRecord } from '../../protocols/pastry/records.ts'
import { nowMs } from '../clock.ts'

/** Keys, and records of all keys together: a few megabytes. */
const KEYS_MAX = 4_096
const HELD_MAX = 16_384
/** Records of one provider: as many as an honest one publishes. */
const HELD_PER_PROVIDER_MAX = 1_024
/** Wall clocks that differ by less do no harm (DESIGN section 4). */
const SKEW_MS_MAX = 600_000

interface Held { readonly record: ProviderRecord, readonly untilMs: number }

/** Whether the provider itself signed the record; never throws. */
export async function isSigned(network: string, record: ProviderRecord): Promise<boolean> {
  const contact = decodeContact(record.contact)
  if (contact === undefined) return false
  try {
    return await publicKeyFromProtobuf(contact.publicKey).verify(signedBytes(network, record), record.signature)
  } catch {
    return false // A key or a signature that its algorithm cannot read.
  }
}

/** The records. */
export class ProviderStore {
  readonly #network: string
  readonly #keys = new Map<Key, Map<string, Held>>()
  readonly #counts = new Map<string, number>()
  #count = 0

  constructor(network: string) {
    this.#network = network
  }

  /** Records held. */
  get size(): number {
    return this.#count
  }

  /** Keys that there are records of. */
  keys(): Key[] {
    return [...this.#keys.keys()]
  }

  /** Takes a record if its provider signed it, its time is not over, and none that is newer is held. */
  async put(record: ProviderRecord): Promise<Outcome> {
    const now = Date.now()
    if (record.sequence > now + SKEW_MS_MAX) return 'expired'
    if (record.sequence + record.ttlMs + SKEW_MS_MAX < now) return 'expired'
    if (!await isSigned(this.#network, record)) return 'forged'
    const provider = Buffer.from(decodeContact(record.contact)!.publicKey).toString('hex')
    const held = this.#keys.get(record.key)?.get(provider)
    if (held !== undefined && held.untilMs > nowMs() && held.record.sequence >= record.sequence) {
      return held.record.sequence === record.sequence ? 'stored' : 'stale'
    }
    if (held === undefined && !this.#hasRoom(record.key, provider)) return 'full'
    // A withdrawal is remembered as long as what it withdraws could come back.
    const livesMs = record.ttlMs === 0 ? RECORD_TTL_MS_MAX : Math.min(record.ttlMs, record.remainingMs)
    const records = this.#keys.get(record.key) ?? new Map<string, Held>()
    this.#keys.set(record.key, records)
    if (held === undefined) this.#add(provider, 1)
    records.set(provider, { record, untilMs: nowMs() + livesMs })
    return 'stored'
  }

  /** Records of the key that are alive, withdrawals among them where asked for; at most as many as one answer takes. */
  list(key: Key, withWithdrawals = false): ProviderRecord[] {
    const now = nowMs()
    const alive = [...this.#keys.get(key)?.values() ?? []]
      .filter(({ record, untilMs }) => untilMs > now && (withWithdrawals || record.ttlMs > 0))
      .map(({ record, untilMs }) => ({ ...record, remainingMs: Math.round(untilMs - now) }))
    // Where there are more than an answer takes, the latest are the likeliest to be there.
    return alive.sort((a, b) => b.sequence - a.sequence).slice(0, RECORDS_MAX)
  }

  /** Forgets what is over, and the keys that `isOurs` does not name. */
  sweep(isOurs: (key: Key) => boolean): void {
    const now = nowMs()
    for (const [key, records] of this.#keys) {
      const goes = !isOurs(key)
      for (const [provider, { untilMs }] of records) {
        if (!goes && untilMs > now) continue
        records.delete(provider)
        this.#add(provider, -1)
      }
      if (records.size === 0) this.#keys.delete(key)
    }
  }

  #add(provider: string, change: 1 | -1): void {
    this.#count += change
    const count = (this.#counts.get(provider) ?? 0) + change
    if (count === 0) this.#counts.delete(provider)
    else this.#counts.set(provider, count)
  }

  #hasRoom(key: Key, provider: string): boolean {
    const records = this.#keys.get(key)
    if (this.#count >= HELD_MAX || (this.#counts.get(provider) ?? 0) >= HELD_PER_PROVIDER_MAX) return false
    return records === undefined ? this.#keys.size < KEYS_MAX : records.size < HOSTS_PER_APP_MAX
  }
}

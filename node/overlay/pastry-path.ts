/** Where a name lies on the ring, and the way there hop by hop. */
import type { PeerId } from '@libp2p/interface'
import { WarrenError } from '../../protocols/errors.ts'
import { isPlace, keyAt, keyOf, parseKey, type Key, type KeyDomain, type OverlayId } from '../../protocols/ids.ts'
import { printable } from '../../protocols/names.ts'
import { parsePeerId } from './addresses.ts'
import { placeOf } from './pastry-peers.ts'
import { describeNode } from './pastry-ring.ts'
import type { Pastry } from './pastry.ts'

/** One node on the way. */
export interface PathHop {
  readonly id: OverlayId
  /** Empty for nodes that this one does not know. */
  readonly peerId: string
  /**
   * Round trip to the next hop as this hop measured it, whole milliseconds from the second hop on; `null` for the
   * last one, and while it was not measured.
   */
  readonly rttMs: number | null
}

/** The way to the owner of a key. */
export interface PathInfo {
  readonly key: Key
  /** What the key was made from, as it was typed. */
  readonly of: string
  /** This node first, the owner last. */
  readonly path: readonly PathHop[]
  readonly owner: { readonly id: OverlayId, readonly peerId: string, readonly addresses: readonly string[] }
  /** From the question to the answer. */
  readonly elapsedMs: number
  /** 1 unless a message had to be sent again. */
  readonly attempts: number
}

const DOMAINS: readonly KeyDomain[] = ['app', 'device', 'topic', 'record']

/**
 * The key of what somebody typed: 32 hex digits, `app:echo` or another labelled name, or a PeerId.
 * @throws {WarrenError} `BAD_ARGUMENT` for anything else.
 */
export function keyOfText(network: string, text: string): Key {
  const isKey: boolean = isPlace(text)
  if (isKey) return parseKey(text)
  const [label, ...name] = text.split(':')
  const domain = DOMAINS.find((known) => known === label)
  if (domain !== undefined && name.join(':') !== '') return keyOf(domain, name.join(':'))
  const peer: PeerId | undefined = parsePeerId(text)
  if (peer !== undefined) return keyAt(placeOf(network, peer))
  throw new WarrenError('BAD_ARGUMENT',
    `${printable(text)} is not a key: use 32 hex digits, a name such as app:echo, or a PeerId`, { started: false })
}

/** Routes to the owner of what `text` names. Throws as `keyOfText` and lookups do. */
export async function findPath(pastry: Pastry, text: string, signal: AbortSignal): Promise<PathInfo> {
  const key = keyOfText(pastry.network, text)
  const { root, trace, elapsedMs, attempts } = await pastry.lookup(key, { trace: true, signal })
  const ring = pastry.ring()
  const known = new Map([...ring.left, ...ring.right, ...ring.rows.flatMap(({ slots }) => slots.flat())]
    .map((node) => [node.id, node]))
  const owner = describeNode({ ref: root, rttMs: 0, state: undefined })
  const peerOf = (id: OverlayId): string => id === ring.id ? ring.peerId
    : id === owner.id ? owner.peerId : known.get(id)?.peerId ?? ''
  const hops = trace.filter(({ id }) => id !== ring.id)
  const first = known.get(hops[0]?.id ?? ring.id)?.rttMs ?? null
  const path = [{ id: ring.id, rttMs: first }, ...hops]
    .map(({ id, rttMs }, at): PathHop => ({ id, peerId: peerOf(id), rttMs: at === hops.length ? null : rttMs }))
  return {
    key, of: text, path, owner: { id: owner.id, peerId: owner.peerId, addresses: owner.addresses },
    elapsedMs: Math.round(elapsedMs * 1_000) / 1_000, attempts,
  }
}

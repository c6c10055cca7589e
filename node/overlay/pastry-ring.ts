/** What can be seen of a node's place on the ring: its leaf set, table, leases, and what it refused. */
import { DIGIT_VALUES, type OverlayId } from '../../protocols/ids.ts'
import type { PastryView } from '../../protocols/pastry/machine.ts'
import type { NodeRef } from '../../protocols/pastry/messages.ts'
import { peerInfoOf } from './pastry-peers.ts'

/** Another node as this one knows it. */
export interface RingNode {
  readonly id: OverlayId
  /** Empty if its key cannot be read. */
  readonly peerId: string
  readonly addresses: readonly string[]
  /** `null` while it was not measured. */
  readonly rttMs: number | null
  /** How far it has come, as it last said; `unknown` before. */
  readonly state: string
}

/** One row of the routing table; row r holds nodes that share r digits with this one. */
export interface RingRow {
  readonly row: number
  /** For each next digit the slot's nodes, nearest first; the first is kept linked. */
  readonly slots: readonly (readonly RingNode[])[]
}

/** This node's place on the ring. */
export interface RingInfo {
  readonly network: string
  readonly id: OverlayId
  readonly peerId: string
  /** `dead` before it started, then `waiting`, `ok`, `ready`; `lapsed` when it lost a lease. */
  readonly state: string
  /** Whether it holds its leases, so that it answers for keys. */
  readonly isLeased: boolean
  /** Leaves towards lower and higher ids, nearest first. In a small ring the same node is on both sides. */
  readonly left: readonly RingNode[]
  readonly right: readonly RingNode[]
  readonly leafSetCountMax: number
  readonly rows: readonly RingRow[]
  readonly leases: readonly string[]
  /** Open control streams. */
  readonly links: number
  /** How often something was not followed or not done, by reason. */
  readonly refused: Readonly<Record<string, number>>
  readonly sizes: Readonly<Record<string, number>>
}

/** What the machine does not know. */
export interface RingContext {
  readonly network: string
  readonly id: OverlayId
  readonly peerId: string
  readonly leafSetCountMax: number
  readonly links: number
  readonly refused: ReadonlyMap<string, number>
}

interface Known { readonly ref: NodeRef, readonly rttMs: number, readonly state: string | undefined }

/** A node as the machine knows it, for others to read. */
export function describeNode({ ref, rttMs, state }: Known): RingNode {
  const info = peerInfoOf(ref)
  return {
    id: ref.id, peerId: info?.id.toString() ?? '', addresses: info?.multiaddrs.map(String) ?? [],
    rttMs: rttMs === 0 ? null : Math.round(rttMs * 1_000) / 1_000, state: state ?? 'unknown',
  }
}

/** The whole place. */
export function describeRing(view: PastryView, context: RingContext): RingInfo {
  const rows = Array.from({ length: view.table.rowCount }, (_row, row): RingRow => ({
    row,
    slots: Array.from({ length: DIGIT_VALUES }, (_slot, column) =>
      view.table.slot(row, column).map(describeNode)),
  }))
  const { refused, ...rest } = context
  return {
    ...rest, state: view.state, isLeased: view.isLeased,
    left: view.left.map(describeNode), right: view.right.map(describeNode), rows,
    leases: [...view.leases], sizes: { ...view.sizes },
    refused: Object.fromEntries([...refused].sort(([a], [b]) => a < b ? -1 : 1)),
  }
}

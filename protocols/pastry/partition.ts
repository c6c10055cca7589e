/**
 * Healing partitions, as FreePastry's PartitionHandler does: lost peers are remembered, and from time to
 * time one of them is asked who is next to us on its ring. If that is news, the two rings merge leaf by leaf.
 */
import type { OverlayId } from '../ids.ts'
import type { Core } from './core.ts'
import { tellRing } from './join.ts'
import { know } from './core.ts'
import type { Answer, NodeRef } from './messages.ts'
import { isMember } from './peers.ts'
import type { Peer } from './peers.ts'
import { hint } from './probing.ts'
import type { Probing } from './probing.ts'

interface Gone { readonly ref: NodeRef, readonly sinceMs: number, readonly isBootstrap: boolean, isFresh?: boolean }

/** The peers through which another ring may be found. */
export interface Partition {
  readonly gone: Map<OverlayId, Gone>
  isAsking: boolean
}

/** None lost. */
export function makePartition(): Partition {
  return { gone: new Map(), isAsking: false }
}

/** Bootstraps that could not be reached are asked again later. */
export function rememberBootstraps(core: Core, partition: Partition, bootstraps: readonly NodeRef[]): void {
  partition.isAsking = false
  for (const ref of bootstraps.slice(0, core.config.gonePeersMax / 2)) {
    if (ref.id !== core.self.id) partition.gone.set(ref.id, { ref, sinceMs: core.nowMs, isBootstrap: true })
  }
}

/** Nodes of our network that may be of another ring: remembered as bootstraps are, and asked first. */
export function meet(core: Core, partition: Partition, nodes: readonly NodeRef[]): void {
  for (const ref of nodes.slice(0, core.config.gonePeersMax / 2)) {
    if (ref.id === core.self.id || core.leafSet.members.has(ref.id)) continue
    partition.gone.delete(ref.id)
    partition.gone.set(ref.id, { ref, sinceMs: core.nowMs, isBootstrap: true, isFresh: true })
  }
  const bootstraps = [...partition.gone].filter(([, gone]) => gone.isBootstrap)
  for (const [id] of bootstraps.slice(0, -core.config.gonePeersMax / 2)) partition.gone.delete(id)
}

/** Whether somebody was met whose ring was not asked for yet. */
export function hasFresh(core: Core, partition: Partition): boolean {
  for (const [id, gone] of partition.gone) if (gone.isFresh === true && !core.leafSet.members.has(id)) return true
  return false
}

/** A peer that was lost without a word, and had been part of the ring. */
export function rememberGone(core: Core, partition: Partition, peer: Peer): void {
  if (!isMember(peer) || partition.gone.has(peer.id)) return
  partition.gone.set(peer.id, { ref: peer.ref, sinceMs: core.nowMs, isBootstrap: false })
  if (partition.gone.size <= core.config.gonePeersMax) return
  // A random one goes, so that the first and the last to be lost are both known for long.
  const candidates = [...partition.gone].filter(([id, gone]) => !gone.isBootstrap && id !== peer.id)
  const out = candidates[core.random.below(Math.max(1, candidates.length))]
  if (out !== undefined) partition.gone.delete(out[0])
}

/** A lost peer was heard again. */
export function forgetGone(partition: Partition, id: OverlayId): void {
  const gone = partition.gone.get(id)
  if (gone !== undefined && !gone.isBootstrap) partition.gone.delete(id)
}

/** The lost peer through which to look for another ring now. */
export function healThrough(core: Core, partition: Partition): Peer | undefined {
  if (core.state === 'dead' || core.state === 'waiting' || partition.isAsking) return undefined
  const candidates: Gone[] = []
  for (const [id, gone] of partition.gone) {
    if (!gone.isBootstrap && core.nowMs - gone.sinceMs > core.config.goneMemoryMs) partition.gone.delete(id)
    else if (!core.leafSet.members.has(id)) candidates.push(gone)
  }
  const fresh = candidates.find((gone) => gone.isFresh === true)
  if (fresh !== undefined) {
    fresh.isFresh = false
    return know(core, fresh.ref)
  }
  // Bootstraps are mostly on our own ring: they are asked less often, but by a small ring always.
  if (candidates.every((gone) => gone.isBootstrap) && core.leafSet.isFull && core.random.below(5) > 0) return undefined
  const gone = candidates[core.random.below(Math.max(1, candidates.length))]
  return gone === undefined ? undefined : know(core, gone.ref)
}

/** Who is next to us on the ring of a lost peer. */
export function onHealAnswer(core: Core, partition: Partition, probing: Probing, answer: Answer): void {
  partition.isAsking = false
  const references = [answer.root, ...answer.references].filter((ref) => ref.id !== core.self.id)
  const isNew = references.some((ref) => !core.leafSet.members.has(ref.id)
    && core.leafSet.wouldTake({ id: ref.id, position: Number.parseInt(ref.id.slice(0, 13), 16) }))
  if (!isNew) return
  for (const ref of references) core.failedMs.delete(ref.id)
  tellRing(core, answer.root)
  hint(core, probing, references)
}

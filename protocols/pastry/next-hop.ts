/** Where a message goes next, and the rule that every hop must improve. */
import { isNearer, digitAt, sharedPrefix } from '../ids.ts'
import type { OverlayId, Placed } from '../ids.ts'
import type { Core } from './core.ts'
import type { Peer } from './peers.ts'

/** The next node, and whether from there on only nearer nodes may follow. */
export interface NextHop { readonly peer: Peer, readonly near: boolean }

/**
 * The next hop for `key`: the nearest leaf if the leaf set covers the key, else the table's slot for the
 * key's next digit, else any known node that is better (Rowstron & Druschel 2001, 2.3).
 * @param near whether some hop had the key in its leaf set: then only the distance counts.
 * @param may which nodes may be used: not those that were silent or refused, nor who joins.
 * @returns `undefined` if this node is the best one.
 */
export function nextHop(core: Core, key: Placed, near: boolean, may: (peer: Peer) => boolean): NextHop | undefined {
  if (core.leafSet.covers(key)) {
    const leaf = core.leafSet.nearest(key, may)
    return leaf === undefined ? undefined : { peer: leaf, near: true }
  }
  if (near) return nearestKnown(core, key, may)
  const prefix = sharedPrefix(core.self.id, key.id)
  for (const peer of core.table.slot(prefix, digitAt(key.id, prefix))) {
    if (may(peer)) return { peer, near: false }
  }
  const better = bestKnown(core, key, may, prefix)
  return better === undefined ? nearestKnown(core, key, may) : { peer: better, near: false }
}

/** The rare case: a node that shares as much of the key and is nearer to it. */
function bestKnown(core: Core, key: Placed, may: (peer: Peer) => boolean, prefix: number): Peer | undefined {
  let best: Peer | undefined
  const consider = (peer: Peer): void => {
    if (!isNearer(key, peer, best ?? core.self) || sharedPrefix(peer.id, key.id) < prefix) return
    if (may(peer)) best = peer
  }
  for (const leaf of core.leafSet.members.values()) consider(leaf)
  for (let row = prefix; row < core.table.rowCount; row++) for (const peer of core.table.row(row)) consider(peer)
  return best
}

function nearestKnown(core: Core, key: Placed, may: (peer: Peer) => boolean): NextHop | undefined {
  let best = core.leafSet.nearest(key, may)
  for (const peer of core.table.all()) {
    if (isNearer(key, peer, best ?? core.self) && may(peer)) best = peer
  }
  return best === undefined ? undefined : { peer: best, near: true }
}

/**
 * Whether going from `from` to `to` brings a message for `key` strictly nearer: in the near phase by
 * distance; before it by a longer shared prefix, or the same one and less distance. The near phase never
 * ends, so no route can loop.
 */
export function improves(key: Placed, from: Placed<OverlayId>, to: Placed<OverlayId>, near: boolean): boolean {
  if (from.id === to.id) return false
  if (near) return isNearer(key, to, from)
  const [before, after] = [sharedPrefix(from.id, key.id), sharedPrefix(to.id, key.id)]
  return after > before || after === before && isNearer(key, to, from)
}

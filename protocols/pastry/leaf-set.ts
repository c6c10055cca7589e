/** The leaf set: the nodes next to us on both sides of the ring (Rowstron & Druschel 2001, 2.1). */
import { RING_POSITIONS, clockwise, isClockwiseBefore, isNearer } from '../ids.ts'
import type { OverlayId, Placed } from '../ids.ts'

/** Which way round: `right` is clockwise, towards larger ids. */
export type Side = 'left' | 'right'

const SIDES: readonly Side[] = ['left', 'right']

/**
 * The nearest nodes on each side of `self`, nearest first. On a ring of fewer nodes than there are
 * places the two sides overlap: then it holds everybody, some of them twice.
 */
export class LeafSet<N extends Placed<OverlayId>> {
  readonly #self: Placed<OverlayId>
  readonly #perSide: number
  readonly #members = new Map<OverlayId, N>()
  #left: N[] = []
  #right: N[] = []

  /** @param countMax leaves on both sides together; even. */
  constructor(self: Placed<OverlayId>, countMax: number) {
    this.#self = self
    this.#perSide = countMax / 2
  }

  /** Everybody in it, once. */
  get members(): ReadonlyMap<OverlayId, N> {
    return this.#members
  }

  /** Nearest first, against the clock. */
  get left(): readonly N[] {
    return this.#left
  }

  /** Nearest first, with the clock. */
  get right(): readonly N[] {
    return this.#right
  }

  /** Whether some node stands on both sides, so that nobody on the ring is missing. */
  get overlaps(): boolean {
    return this.#members.size < this.#left.length + this.#right.length
  }

  /** Whether both sides are full and apart, so that there may be nodes beyond them. */
  get isFull(): boolean {
    return this.#left.length === this.#perSide && this.#right.length === this.#perSide && !this.overlaps
  }

  /** Whether `node` would be a member if it were added. */
  wouldTake(node: Placed<OverlayId>): boolean {
    if (node.id === this.#self.id || this.#members.has(node.id)) return false
    return this.#fits('left', node) || this.#fits('right', node)
  }

  /** Adds `node` where it belongs and returns whom it pushed out; nothing if it does not belong. */
  add(node: N): N[] {
    if (!this.wouldTake(node)) return []
    this.#members.set(node.id, node)
    const removed: N[] = []
    for (const side of SIDES) {
      if (!this.#fits(side, node)) continue
      const nodes = side === 'left' ? this.#left : this.#right
      nodes.splice(this.#indexFor(side, node), 0, node)
      const last = nodes.length > this.#perSide ? nodes.pop() : undefined
      if (last !== undefined && !this.#left.includes(last) && !this.#right.includes(last)) {
        this.#members.delete(last.id)
        removed.push(last)
      }
    }
    return removed
  }

  /** Removes the node; the other side's members fill its place where the sides overlap. */
  remove(id: OverlayId): boolean {
    if (!this.#members.delete(id)) return false
    const ordered = [...this.#members.values()]
      .sort((a, b) => isClockwiseBefore(this.#self, a, b) ? -1 : 1)
    this.#right = ordered.slice(0, this.#perSide)
    this.#left = ordered.reverse().slice(0, this.#perSide)
    return true
  }

  /** Whether `key` lies between the furthest leaves, so that the nearest node is one of us. */
  covers(key: Placed): boolean {
    const ends = this.ends()
    if (ends === undefined) return true
    return clockwise(ends.lowest, key.position) <= clockwise(ends.lowest, ends.highest)
  }

  /** Positions of the furthest leaves on both sides, or `undefined` if the leaf set is everybody. */
  ends(): { lowest: number, highest: number } | undefined {
    if (this.overlaps) return this.#endsByGap()
    const [lowest, highest] = [this.#left.at(-1), this.#right.at(-1)]
    if (lowest === undefined || highest === undefined) return undefined
    return { lowest: lowest.position, highest: highest.position }
  }

  /**
   * While joining, or when most leaves died at once, those of one side are taken for the other's, the long
   * way round. Then nearly the whole ring lies between two of them; among eight that are everybody that is
   * next to impossible.
   */
  #endsByGap(): { lowest: number, highest: number } | undefined {
    if (this.#members.size < 8) return undefined
    const nodes = [this.#self, ...this.#right]
    for (const node of this.#left.toReversed()) if (!this.#right.includes(node)) nodes.push(node)
    for (let at = 0; at < nodes.length; at++) {
      const [highest, lowest] = [nodes[at]!.position, nodes[(at + 1) % nodes.length]!.position]
      if (clockwise(highest, lowest) > RING_POSITIONS / 2) return { lowest, highest }
    }
    return undefined
  }

  /** The member nearest to `key` that `may` be used; `undefined` if we ourselves are nearer than all. */
  nearest(key: Placed, may: (node: N) => boolean): N | undefined {
    let best: N | undefined
    for (const node of this.#members.values()) {
      if (isNearer(key, node, best ?? this.#self) && may(node)) best = node
    }
    return best
  }

  /** All members once, from the furthest on the left to the furthest on the right. */
  inOrder(): N[] {
    const seen = new Set<N>(this.#left)
    return [...this.#left.toReversed(), ...this.#right.filter((node) => !seen.has(node))]
  }

  #fits(side: Side, node: Placed<OverlayId>): boolean {
    const nodes = side === 'left' ? this.#left : this.#right
    return nodes.length < this.#perSide || this.#isBefore(side, node, nodes.at(-1)!)
  }

  #indexFor(side: Side, node: N): number {
    const nodes = side === 'left' ? this.#left : this.#right
    let at = nodes.length
    while (at > 0 && this.#isBefore(side, node, nodes[at - 1]!)) at--
    return at
  }

  #isBefore(side: Side, a: Placed<OverlayId>, b: Placed<OverlayId>): boolean {
    if (a.id === b.id) return false
    return side === 'right' ? isClockwiseBefore(this.#self, a, b) : isClockwiseBefore(this.#self, b, a)
  }
}

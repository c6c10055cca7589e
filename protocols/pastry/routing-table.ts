/** The routing table: one row per shared digit, one slot per next digit, the nearest few nodes in each. */
import { DIGIT_VALUES, PLACE_DIGITS } from '../ids.ts'
import type { Peer } from './peers.ts'

/**
 * Up to three candidates per slot by measured round trip (proximity neighbour selection); the first is
 * the slot's primary and kept warm. A rough measure never replaces a fine one that is better.
 */
export class RoutingTable {
  readonly #candidatesMax: number
  readonly #rows: (Peer[] | undefined)[][] = []
  #size = 0

  constructor(candidatesMax: number) {
    this.#candidatesMax = candidatesMax
  }

  /** Nodes in it. */
  get size(): number {
    return this.#size
  }

  /** Rows that hold somebody, counted from the first. */
  get rowCount(): number {
    return this.#rows.length
  }

  /** The slot's candidates, nearest first. */
  slot(row: number, column: number): readonly Peer[] {
    return this.#rows[row]?.[column] ?? []
  }

  /** Everybody in the row, slot by slot. */
  * row(row: number): Generator<Peer> {
    for (const slot of this.#rows[row] ?? []) if (slot !== undefined) yield* slot
  }

  /** Gives `visit` the nodes to keep warm: the first of every slot. */
  eachPrimary(visit: (peer: Peer) => void): void {
    for (const row of this.#rows) {
      for (let column = 0; column < DIGIT_VALUES; column++) {
        const first = row[column]?.[0]
        if (first !== undefined) visit(first)
      }
    }
  }

  /** Everybody in it. */
  * all(): Generator<Peer> {
    for (let row = 0; row < this.#rows.length; row++) yield* this.row(row)
  }

  /** Adds a peer if there is room or it is nearer than the furthest candidate, which is then removed and returned. */
  add(peer: Peer): Peer | undefined {
    if (peer.inTable || peer.row >= PLACE_DIGITS) return undefined
    while (this.#rows.length <= peer.row) this.#rows.push(Array.from({ length: DIGIT_VALUES }))
    const row = this.#rows[peer.row]!
    const slot = row[peer.column] ?? []
    if (slot.length >= this.#candidatesMax && cost(peer) >= cost(slot.at(-1)!)) return undefined
    // A new array of the exact length: one that grew by push keeps room for seventeen.
    const grown = [...slot, peer]
    sort(grown)
    const last = grown.length > this.#candidatesMax ? grown.pop() : undefined
    row[peer.column] = grown
    peer.inTable = true
    this.#size++
    if (last !== undefined) {
      last.inTable = false
      this.#size--
    }
    return last
  }

  /** Puts the peer's slot in order again after a measurement. */
  reorder(peer: Peer): void {
    const slot = this.#rows[peer.row]?.[peer.column]
    if (peer.inTable && slot !== undefined && slot.length > 1) sort(slot)
  }

  /** Removes a peer. */
  remove(peer: Peer): void {
    if (!peer.inTable) return
    const slot = this.#rows[peer.row]![peer.column]!
    slot.splice(slot.indexOf(peer), 1)
    peer.inTable = false
    this.#size--
    while (this.#rows.length > 0 && this.#rows.at(-1)!.every((last) => last === undefined || last.length === 0)) {
      this.#rows.pop()
    }
  }
}

function cost(peer: Peer): number {
  return peer.rttMs === 0 ? 1e9 : peer.rttMs
}

function sort(slot: Peer[]): void {
  slot.sort((a, b) => cost(a) - cost(b))
}

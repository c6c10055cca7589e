/** Knows what no node can know, everybody at once, and checks every rule of the overlay against it. */
import { isNearer, placed } from '../../protocols/ids.ts'
import type { Key, OverlayId } from '../../protocols/ids.ts'
import { PASTRY_DEFAULTS } from '../../protocols/pastry/config.ts'
import type { PastryEvent } from '../../protocols/pastry/core.ts'
import { name } from './world.ts'
import type { SimNode, World } from './world.ts'

/** A rule that did not hold. */
export interface Violation { readonly atMs: number, readonly rule: string, readonly text: string }

/** Nodes on each side of a key that are asked whether they own it. */
const NEIGHBOURHOOD = 4

/** Watches a world. */
export class Oracle {
  readonly violations: Violation[] = []
  deliveries = 0
  wrongRoots = 0
  /** Answers that were believed though they named a crook that is not the nearest node. */
  liesBelieved = 0
  /** Two rings are growing together: until they have, each has an owner for every key. */
  isMerging = false
  /** Nodes that do not play by the rules; what they say of themselves is not checked. */
  readonly crooks = new Set<SimNode>()
  readonly #world: World
  #ring: SimNode[] = []
  #version = -1

  constructor(world: World) {
    this.#world = world
    world.watchers.push({ event: (node, event) => { this.#onEvent(node, event) } })
  }

  #onEvent(node: SimNode, event: PastryEvent): void {
    if (this.crooks.has(node)) return
    if (event.kind === 'deliver') this.#checkDelivery(node, event.key)
    if (event.kind === 'answered') this.#checkAnswer(node, event.key, event.root.id)
    if (event.kind === 'dropped' && event.reason === 'noProgress' && this.crooks.size === 0) {
      this.#violate('progress', `${name(node)} got a message that it is no nearer to than its sender`)
    }
  }

  #checkAnswer(asker: SimNode, key: Key, root: OverlayId): void {
    const named = this.#world.byId.get(root)
    if (named === undefined) this.#violate('forged', `${name(asker)} believed in ${root}, which does not exist`)
    if (named === undefined || !this.crooks.has(named)) return
    const [target, claimed] = [placed(key), placed(root)]
    if (this.around(key).some((node) => node !== named && isNearer(target, placed(node.ref.id), claimed))) {
      this.liesBelieved++
    }
  }

  #checkDelivery(node: SimNode, key: Key): void {
    this.deliveries++
    if (this.isMerging) return
    const closest = this.closestReady(key, node.part)
    if (closest !== undefined && closest !== node) {
      this.wrongRoots++
      this.#violate('delivery', `${name(node)} answered for ${key.slice(0, 8)}, which is ${name(closest)}'s`)
    }
    this.checkOwners(key)
  }

  /** At most one node of each part owns the key. */
  checkOwners(key: Key): void {
    if (this.isMerging) return
    const owners: SimNode[] = []
    for (const node of this.around(key)) {
      if (node.frozenUntilMs > this.#world.nowMs || this.crooks.has(node)) continue
      if (node.machine.view(this.#world.clock(node)).owns(key)) owners.push(node)
    }
    for (const owner of owners) {
      const rival = owners.find((other) => other !== owner && other.part === owner.part)
      if (rival === undefined) continue
      this.#violate('owner', `${name(owner)} and ${name(rival)} both own ${key.slice(0, 8)}`)
      return
    }
  }

  /** Checks some keys next to places where two nodes meet, which is where owners would clash. */
  sample(count: number): void {
    const ring = this.ring()
    for (let left = count; left > 0 && ring.length > 0; left--) {
      this.checkOwners(this.#world.randomKey())
      const node = ring[this.#world.random.below(ring.length)]!
      this.checkOwners(node.ref.id as string as Key)
    }
  }

  /** All nodes that run, in the order of their ids. */
  ring(): readonly SimNode[] {
    if (this.#version !== this.#world.version) {
      this.#version = this.#world.version
      this.#ring = this.#world.living.filter((node) => node.isUp)
        .sort((a, b) => a.ref.id < b.ref.id ? -1 : 1)
    }
    return this.#ring
  }

  /** The nodes next to the key on both sides. */
  around(key: Key): SimNode[] {
    const ring = this.ring()
    if (ring.length <= 2 * NEIGHBOURHOOD) return [...ring]
    const at = this.#indexOf(key)
    const nodes: SimNode[] = []
    for (let offset = -NEIGHBOURHOOD; offset < NEIGHBOURHOOD; offset++) {
      nodes.push(ring[(at + offset + ring.length) % ring.length]!)
    }
    return nodes
  }

  /** Whether the node nearest to the key does not play by the rules. */
  isCrooked(key: Key): boolean {
    const target = placed(key)
    const near = this.around(key)
    return this.crooks.has(near.reduce((a, b) => isNearer(target, placed(b.ref.id), placed(a.ref.id)) ? b : a))
  }

  /** The node of the part that owns the key by right: the nearest of those that are ready and leased. */
  closestReady(key: Key, part: number): SimNode | undefined {
    const ring = this.ring()
    const target = placed(key)
    const at = this.#indexOf(key)
    const isReady = (node: SimNode): boolean => node.part === part && !this.crooks.has(node)
      && node.machine.view(this.#world.clock(node)).isLeased
    const walk = (step: 1 | -1): SimNode | undefined => {
      for (let moved = 0; moved < ring.length; moved++) {
        const node = ring[((step > 0 ? at + moved : at - 1 - moved) + 2 * ring.length) % ring.length]!
        if (isReady(node)) return node
      }
      return undefined
    }
    const [right, left] = [walk(1), walk(-1)]
    if (right === undefined || left === undefined) return undefined
    return isNearer(target, placed(left.ref.id), placed(right.ref.id)) ? left : right
  }

  #indexOf(key: Key): number {
    const ring = this.ring()
    let [low, high] = [0, ring.length]
    while (low < high) {
      const middle = low + high >> 1
      if ((ring[middle]!.ref.id as string) < key) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Nodes whose leaf set is not what it should be: the next L/2 on each side, in their part. */
  wrongLeafSets(depth = PASTRY_DEFAULTS.leafSetCountMax / 2): SimNode[] {
    const wrong: SimNode[] = []
    for (const part of new Set(this.ring().map((node) => node.part))) {
      const ring = this.ring().filter((node) => node.part === part && !this.crooks.has(node))
      ring.forEach((node, index) => {
        const { left, right } = node.machine.view(this.#world.clock(node))
        const count = Math.min(depth, ring.length - 1)
        for (let far = 1; far <= count; far++) {
          const after = ring[(index + far) % ring.length]!.ref.id
          const before = ring[(index - far + ring.length) % ring.length]!.ref.id
          if (right[far - 1]?.id === after && left[far - 1]?.id === before) continue
          wrong.push(node)
          return
        }
      })
    }
    return wrong
  }

  /** Whether all nodes of each part form one ring, all of them ready. */
  isOneRing(): boolean {
    return this.notReady().length === 0 && this.wrongLeafSets(1).length === 0
  }

  /** Running nodes that are not ready. */
  notReady(): SimNode[] {
    return this.ring().filter((node) => !this.crooks.has(node)
      && !node.machine.view(this.#world.clock(node)).isLeased)
  }

  /** Checks that a world at rest is whole: everybody ready, every leaf set as it should be, everything bounded. */
  checkRest(): void {
    const [lazy, wrong] = [this.notReady(), this.wrongLeafSets()]
    if (lazy.length > 0) this.#violate('ready', `${lazy.length} nodes are not ready, such as ${name(lazy[0]!)}`)
    if (wrong.length > 0) {
      this.#violate('leafSet', `${wrong.length} leaf sets are wrong, such as that of ${name(wrong[0]!)}`)
    }
    this.checkBounds()
  }

  /** Nothing that a node keeps has grown past its limit. */
  checkBounds(): void {
    const limits: Record<string, number> = {
      peers: PASTRY_DEFAULTS.peersMax, leaves: PASTRY_DEFAULTS.leafSetCountMax, table: 16 * 3 * 12,
      agenda: 2 * PASTRY_DEFAULTS.forwardsMax, probes: PASTRY_DEFAULTS.probesMax + PASTRY_DEFAULTS.leafSetCountMax,
      hints: PASTRY_DEFAULTS.hintsMax, sent: PASTRY_DEFAULTS.forwardsMax, answers: PASTRY_DEFAULTS.forwardsMax,
      seen: PASTRY_DEFAULTS.forwardsMax, parked: PASTRY_DEFAULTS.parkedMax, lookups: PASTRY_DEFAULTS.forwardsMax,
      deliveries: 256, granted: 64, told: 64, requests: PASTRY_DEFAULTS.leafSetCountMax,
      gone: PASTRY_DEFAULTS.gonePeersMax + 1, failed: 4 * PASTRY_DEFAULTS.hintsMax + 1,
    }
    for (const node of this.ring()) {
      const { sizes } = node.machine.view(this.#world.clock(node))
      for (const [what, size] of Object.entries(sizes)) {
        if (size <= limits[what]!) continue
        this.#violate('bounds', `${name(node)} keeps ${size} ${what}, at most ${limits[what]!} are allowed`)
      }
    }
  }

  /** Ids in honest nodes' leaf sets that belong to no machine. */
  ghosts(): OverlayId[] {
    const ids: OverlayId[] = []
    for (const node of this.ring()) {
      if (this.crooks.has(node)) continue
      for (const leaf of node.machine.view(this.#world.clock(node)).left) {
        if (!this.#world.byId.has(leaf.id)) ids.push(leaf.id)
      }
    }
    return ids
  }

  #violate(rule: string, text: string): void {
    if (this.violations.length < 100) this.violations.push({ atMs: this.#world.nowMs, rule, text })
  }
}

/** What the simulated machines' owners do: look keys up, come and go; and what came of it. */
import type { Key } from '../../protocols/ids.ts'
import type { SimNode, World } from './world.ts'
import { delayMs } from './geography.ts'

/** Lookups at random times, from random ready nodes, for random keys, with their outcome. */
export class Lookups {
  issued = 0
  answered = 0
  failed = 0
  /** Lookups whose asker died before the answer came. */
  abandoned = 0
  hops = 0
  hopsMax = 0
  /** Lookups without an answer whose key belongs to a crook: nobody else may answer them. */
  crooked = 0
  /** Whether the key belongs to a node that does not play by the rules. */
  isCrooked: (key: Key) => boolean = () => false
  /** Summed delay of the paths taken and of the direct ways, both one way, in ms. */
  pathMs = 0
  directMs = 0
  readonly timesMs: number[] = []
  readonly failures = new Map<string, number>()
  readonly #world: World
  readonly #open = new Map<number, { origin: SimNode, issuedMs: number, isCrooked: boolean }>()
  readonly #paths = new Map<string, { origin: SimNode, reached: Map<number, number> }>()
  #isOn = false
  #nextId = 1

  constructor(world: World) {
    this.#world = world
    world.watchers.push({
      event: (node, event) => {
        if (event.kind === 'answered') this.#onAnswer(node, event.id, event.root.id, event.key, event.hops)
        else if (event.kind === 'lookupFailed') this.#onFailure(event.id, event.reason)
      },
      sent: (from, to, message) => {
        if (message.type !== 'route' || message.purpose !== 'lookup') return
        const path = this.#paths.get(message.key)
        if (path === undefined) return
        const soFarMs = path.reached.get(from.index) ?? 0
        if (!path.reached.has(to.index)) path.reached.set(to.index, soFarMs + delayMs(from.site, to.site))
      },
    })
  }

  /** Starts to issue `perSecond` lookups of the whole world. */
  start(perSecond: number): void {
    this.#isOn = true
    const next = (): void => {
      if (!this.#isOn) return
      this.#issue()
      this.#world.at(this.#world.nowMs - Math.log(1 - this.#world.random.next()) * 1_000 / perSecond, next)
    }
    next()
  }

  /** Stops to issue; what is open may still be answered. */
  stop(): void {
    this.#isOn = false
  }

  /** Gives up what is still open: its asker is dead, or it is lost. */
  close(): void {
    for (const { origin, isCrooked } of this.#open.values()) {
      if (isCrooked) this.crooked++
      else if (origin.isUp) this.failed++
      else this.abandoned++
    }
    this.#open.clear()
    this.#paths.clear()
  }

  #issue(): void {
    const { living: nodes, random } = this.#world
    let origin: SimNode | undefined
    for (let tries = 0; tries < 30 && origin === undefined && nodes.length > 0; tries++) {
      const node = nodes[random.below(nodes.length)]!
      if (node.isUp && node.readyMs >= 0 && node.treat === undefined) origin = node
    }
    if (origin === undefined) return
    const [id, key] = [this.#nextId++, this.#world.randomKey()]
    this.issued++
    this.#open.set(id, { origin, issuedMs: this.#world.nowMs, isCrooked: this.isCrooked(key) })
    this.#paths.set(key, { origin, reached: new Map() })
    this.#world.command(origin, { kind: 'lookup', id, key })
  }

  #onAnswer(node: SimNode, id: number, root: string, key: string, hops: number): void {
    const open = this.#open.get(id)
    if (open?.origin !== node) return
    this.#open.delete(id)
    this.answered++
    this.hops += hops
    this.hopsMax = Math.max(this.hopsMax, hops)
    this.timesMs.push(this.#world.nowMs - open.issuedMs)
    const path = this.#paths.get(key)
    this.#paths.delete(key)
    const owner = this.#world.byId.get(root as never)
    if (owner === undefined || owner === node || path === undefined) return
    this.pathMs += path.reached.get(owner.index) ?? 0
    this.directMs += delayMs(node.site, owner.site)
  }

  #onFailure(id: number, reason: string): void {
    const open = this.#open.get(id)
    if (open === undefined) return
    this.#open.delete(id)
    if (open.isCrooked) this.crooked++
    else this.failed++
    this.failures.set(reason, (this.failures.get(reason) ?? 0) + 1)
  }

  /** Share of the lookups, of askers who lived to see, that were answered. */
  get success(): number {
    return this.answered / Math.max(1, this.answered + this.failed)
  }

  /** The time within which the share `quantile` of the answers came, in ms. */
  timeMs(quantile: number): number {
    const sorted = Float64Array.from(this.timesMs).sort()
    return sorted[Math.min(sorted.length - 1, Math.floor(quantile * sorted.length))] ?? Number.NaN
  }
}

/** How long a machine stays, in ms. */
export type Session = (world: World) => number

/** Exponential sessions with a median in minutes. */
export function exponential(medianMin: number): Session {
  return (world) => -Math.log(1 - world.random.next()) / Math.LN2 * medianMin * 60_000
}

/** Weibull sessions with a median in minutes: below 1, `shape` makes many short ones and some very long ones. */
export function weibull(medianMin: number, shape: number): Session {
  return (world) => (-Math.log(1 - world.random.next()) / Math.LN2) ** (1 / shape) * medianMin * 60_000
}

/** A ready node to join through; any node while there is none. */
export function anyReady(world: World): SimNode {
  for (let tries = 0; tries < 200; tries++) {
    const node = world.living[world.random.below(world.living.length)]!
    if (node.isUp && node.readyMs >= 0 && node.treat === undefined) return node
  }
  return world.living.find((node) => node.isUp) ?? world.nodes[0]!
}

/** What a newcomer knows of the ring: five nodes that were ready when it came. */
export function bootstraps(world: World): SimNode[] {
  return [...new Set(Array.from({ length: 5 }, () => anyReady(world)))]
}

/** Lets the world grow to `count` nodes, the later ones faster, and waits until `isDone`. */
export function grow(world: World, count: number, isDone: () => boolean, withinMs = 600_000): boolean {
  if (world.nodes.length === 0) world.add([])
  let atMs = world.nowMs
  for (let index = world.nodes.length; index < count; index++) {
    // A ring can take about one joiner per gap at a time: a share of its size each second is safe.
    atMs += 1_000 / Math.max(1, index / 12)
    world.at(atMs, () => { world.add(bootstraps(world)) })
  }
  world.run(atMs - world.nowMs + 1)
  return world.runUntil(isDone, withinMs, 2_000)
}

/** Lets every node live for a session of its own and be followed by a new one, so that their number stays. */
export class Churn {
  deaths = 0
  readonly #world: World
  readonly #session: Session
  #isOn = true

  constructor(world: World, session: Session) {
    this.#world = world
    this.#session = session
    for (const node of world.living) this.#live(node)
  }

  /** From now on everybody stays. */
  stop(): void {
    this.#isOn = false
  }

  #live(node: SimNode): void {
    this.#world.at(this.#world.nowMs + this.#session(this.#world), () => {
      if (!this.#isOn || !node.isUp) return
      this.deaths++
      this.#world.kill(node)
      this.#live(this.#world.add(bootstraps(this.#world)))
    })
  }
}

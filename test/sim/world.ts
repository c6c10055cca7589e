/** A simulated network of the production machines: virtual time, one seed, and everything that can go wrong. */
import { overlayIdOf } from '../../protocols/ids.ts'
import type { Key, OverlayId } from '../../protocols/ids.ts'
import type { PastryConfig } from '../../protocols/pastry/config.ts'
import type { PastryCommand, PastryEffect, PastryEvent } from '../../protocols/pastry/core.ts'
import { makePastry } from '../../protocols/pastry/machine.ts'
import type { PastryInput, PastryMachine } from '../../protocols/pastry/machine.ts'
import { decode, encode, encodedBytes } from '../../protocols/pastry/messages.ts'
import type { Message, NodeRef } from '../../protocols/pastry/messages.ts'
import { randomFrom } from '../../protocols/pastry/random.ts'
import type { Random } from '../../protocols/pastry/random.ts'
import { delayMs, makeGeography } from './geography.ts'
import type { Site } from './geography.ts'
import { NO_FAULTS, arrivals, connects } from './network.ts'
import type { Faults } from './network.ts'
import { Queue } from './queue.ts'

/** Bytes that each message costs on the wire besides its own: frame 4, yamux 12, Noise 18, TCP and IP 40. */
export const OVERHEAD_BYTES = 74
/** Round trips before the first byte of ours travels over a new link: dial, Noise, admission (DESIGN section 4). */
export const DIAL_ROUND_TRIPS = 6.2
/** A link that neither side keeps is closed after this silence. */
const LINK_IDLE_MS = 120_000

/** How a world is made. */
export interface WorldOptions {
  readonly seed: number
  readonly config?: Partial<PastryConfig>
  readonly faults?: Partial<Faults>
  /** Clocks run fast or slow by up to this share. */
  readonly driftShare?: number
  /** Every message is encoded and decoded on its way: slower, and finds what the types hide. */
  readonly wire?: boolean
  /** Bytes of each node's contact: key, certificate hash and an address. Default 73. */
  readonly contactBytes?: number
}

/** A machine in the world. */
export interface SimNode {
  readonly index: number
  readonly ref: NodeRef
  readonly site: Site
  /** A killed node's is taken away, to free its memory. */
  machine: PastryMachine
  /** Its place among the living. */
  slot: number
  readonly clockRate: number
  /** Virtual time that the machine's clock missed while it was suspended. */
  missedMs: number
  isUp: boolean
  frozenUntilMs: number
  heldBack: PastryInput[]
  timer: number
  /** Nodes of different parts cannot reach each other. */
  part: number
  readonly links: Map<number, Link>
  readonly kept: Set<number>
  startedMs: number
  readyMs: number
  joinMessages: number
  /** Overrides what the node does with a message; for nodes that do not play by the rules. */
  treat: ((node: SimNode, from: SimNode, message: Message) => boolean) | undefined
}

interface Link { isUp: boolean, upMs: number, lastMs: number }

type SimEvent = { atMs: number, order: number } & (
  | { kind: 'message', from: SimNode, to: SimNode, message: Message }
  | { kind: 'timer', node: SimNode, timer: number }
  | { kind: 'link', a: SimNode, b: SimNode, link: Link }
  | { kind: 'act', act: () => void })

/** What a watcher is told. */
export interface Watcher {
  event?(node: SimNode, event: PastryEvent): void
  sent?(from: SimNode, to: SimNode, message: Message): void
}

/** The world. */
export class World {
  readonly seed: number
  readonly random: Random
  /** All that ever were. */
  readonly nodes: SimNode[] = []
  /** Those that were not killed, in no particular order. */
  readonly living: SimNode[] = []
  readonly byId = new Map<OverlayId, SimNode>()
  readonly watchers: Watcher[] = []
  nowMs = 0
  /** Goes up whenever a node comes, goes or changes sides, for those who keep an order of them. */
  version = 0
  faults: Faults
  events = 0
  messages = 0
  bytes = 0
  readonly messagesByType: Record<string, number> = {}
  readonly bytesByType: Record<string, number> = {}
  readonly dropped = new Map<string, number>()
  /** Is told everything that happens, when somebody wants to read it; else nothing is put into words. */
  static onNote: ((atMs: number, text: () => string) => void) | undefined
  #order = 0
  #hash = 0x811c9dc5
  readonly #queue = new Queue<SimEvent>()
  readonly #options: WorldOptions
  readonly #site: () => Site
  readonly #networkRandom: Random

  constructor(options: WorldOptions) {
    this.seed = options.seed
    this.#options = options
    this.random = randomFrom(`world:${options.seed}`)
    this.#networkRandom = randomFrom(`network:${options.seed}`)
    this.#site = makeGeography(randomFrom(`geography:${options.seed}`))
    this.faults = { ...NO_FAULTS, ...options.faults }
    const sweep = (): void => {
      this.#sweepLinks()
      this.at(this.nowMs + 30_000, sweep)
    }
    this.at(30_000, sweep)
  }

  /** A number that two runs share exactly if everything happened in the same way at the same times. */
  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  /** Events that wait. */
  get pending(): number {
    return this.#queue.size
  }

  /** Adds a machine, and starts it unless told otherwise. */
  add(bootstraps: readonly SimNode[] | undefined, id?: OverlayId): SimNode {
    const index = this.nodes.length
    const contact = new Uint8Array(this.#options.contactBytes ?? 73)
    new DataView(contact.buffer).setUint32(0, index)
    const ref: NodeRef = { id: id ?? overlayIdOf(`sim-${this.seed}`, contact), contact }
    const drift = (this.#options.driftShare ?? 0) * (2 * this.random.next() - 1)
    const node: SimNode = {
      index, ref, site: this.#site(), clockRate: 1 + drift, missedMs: 0, isUp: true, frozenUntilMs: 0, heldBack: [],
      machine: makePastry({ ref, seed: `${this.seed}:${index}`, config: this.#options.config ?? {} }),
      slot: this.living.length, timer: 0, part: 0, links: new Map(), kept: new Set(), startedMs: this.nowMs,
      readyMs: -1, joinMessages: 0, treat: undefined,
    }
    this.nodes.push(node)
    this.living.push(node)
    this.version++
    this.byId.set(ref.id, node)
    if (bootstraps !== undefined) {
      this.command(node, { kind: 'start', bootstraps: bootstraps.map((one) => one.ref) })
    }
    return node
  }

  /** Gives a node a command now. */
  command(node: SimNode, command: PastryCommand): void {
    this.#feed(node, { type: 'command', command })
  }

  /** Does something at a later time. */
  at(atMs: number, act: () => void): void {
    this.#queue.add({ kind: 'act', act, atMs: Math.max(atMs, this.nowMs), order: this.#order++ })
  }

  /** The machine stops without a word, as by a power cut. */
  kill(node: SimNode): void {
    this.#note(() => `${name(node)} is killed`)
    this.#mix(node.index ^ 0x5eed)
    this.version++
    node.isUp = false
    node.heldBack = []
    for (const index of node.links.keys()) this.nodes[index]!.links.delete(node.index)
    node.links.clear()
    node.kept.clear()
    node.machine = DEAD
    const last = this.living.pop()!
    if (last === node) return
    this.living[node.slot] = last
    last.slot = node.slot
  }

  /** The node leaves in good order. */
  leave(node: SimNode): void {
    this.command(node, { kind: 'leave' })
    this.kill(node)
  }

  /** Cuts the network: nodes of different parts cannot reach each other any more. */
  divide(partOf: (node: SimNode) => number): void {
    this.version++
    for (const node of this.living) {
      node.part = partOf(node)
      node.links.clear()
    }
  }

  /** The process does nothing for a while; its clock runs on, what arrives waits. */
  freeze(node: SimNode, ms: number): void {
    node.frozenUntilMs = this.nowMs + ms
    this.at(node.frozenUntilMs, () => { this.#thaw(node, false) })
  }

  /** The machine sleeps for a while: its monotonic clock stands still, what arrives is lost. */
  suspend(node: SimNode, ms: number): void {
    node.isUp = false
    this.version++
    this.at(this.nowMs + ms, () => {
      node.isUp = true
      this.version++
      node.missedMs += ms
      this.#thaw(node, true)
    })
  }

  #thaw(node: SimNode, resumed: boolean): void {
    if (!node.isUp) return
    const inputs = node.heldBack
    node.heldBack = []
    if (resumed) this.#feed(node, { type: 'resumed' })
    this.#feed(node, { type: 'timer', id: 'next' })
    for (const input of inputs) this.#feed(node, input)
  }

  /** The node's own clock. */
  clock(node: SimNode): number {
    return (this.nowMs - node.missedMs) * node.clockRate
  }

  /** Runs for `ms` of virtual time. */
  run(ms: number): void {
    const untilMs = this.nowMs + ms
    while (this.#queue.nextMs <= untilMs) this.#step()
    this.nowMs = untilMs
  }

  /** Runs until `isDone`, looked at every `everyMs`; false if it is not within `withinMs`. */
  runUntil(isDone: () => boolean, withinMs: number, everyMs = 500): boolean {
    const endMs = this.nowMs + withinMs
    while (!isDone()) {
      if (this.nowMs >= endMs) return false
      this.run(Math.min(everyMs, endMs - this.nowMs))
    }
    return true
  }

  #step(): void {
    const event = this.#queue.take()!
    this.nowMs = event.atMs
    this.events++
    switch (event.kind) {
      case 'act': return event.act()
      case 'timer':
        if (event.timer !== event.node.timer || !event.node.isUp) return
        return this.#feed(event.node, { type: 'timer', id: 'next' })
      case 'link': return this.#linked(event.a, event.b, event.link)
      case 'message': return this.#arrive(event.from, event.to, event.message)
    }
  }

  #arrive(from: SimNode, to: SimNode, message: Message): void {
    if (!to.isUp || from.part !== to.part) return
    this.#mix(to.index)
    this.#mix(Math.round(this.nowMs * 1_000) | 0)
    this.#note(() => `${name(from)} -> ${name(to)} ${describe(message)}`)
    const given = this.#options.wire === true ? overTheWire(message) : message
    if (to.treat?.(to, from, given) === true) return
    this.#feed(to, { type: 'message', from: from.ref, message: given })
  }

  #linked(a: SimNode, b: SimNode, link: Link): void {
    if (!a.isUp || !b.isUp || a.part !== b.part || a.links.get(b.index) !== link) return
    link.isUp = true
    this.#feed(a, { type: 'linkUp', peer: b.ref })
    this.#feed(b, { type: 'linkUp', peer: a.ref })
  }

  #feed(node: SimNode, input: PastryInput): void {
    if (!node.isUp) return
    if (node.frozenUntilMs > this.nowMs && input.type !== 'command') {
      if (node.heldBack.length < 2_000) node.heldBack.push(input)
      return
    }
    const effects = node.machine.handle(input, this.clock(node))
    for (let at = 0; at < effects.length; at++) this.#carryOut(node, effects[at]!)
  }

  #carryOut(node: SimNode, effect: PastryEffect): void {
    switch (effect.type) {
      case 'send': {
        const to = this.byId.get(effect.to.id)
        if (to !== undefined && node.isUp) this.send(node, to, effect.message)
        else this.#count(effect.message)
        return
      }
      case 'setTimer': {
        const atMs = effect.atMs / node.clockRate + node.missedMs
        this.#queue.add({
          kind: 'timer', node, timer: ++node.timer, atMs: Math.max(atMs + 0.001, this.nowMs), order: this.#order++,
        })
        return
      }
      case 'event': return this.#tell(node, effect.event)
      case 'clearTimer': case 'sign': return
    }
  }

  #tell(node: SimNode, event: PastryEvent): void {
    switch (event.kind) {
      case 'state':
        this.#note(() => `${name(node)} is ${event.state}`)
        if (event.state === 'ready' && node.readyMs < 0) node.readyMs = this.nowMs
        break
      case 'dropped': this.dropped.set(event.reason, (this.dropped.get(event.reason) ?? 0) + 1); break
      case 'warm': case 'cold': {
        const other = this.byId.get(event.node.id)
        if (other === undefined) break
        if (event.kind === 'warm') node.kept.add(other.index)
        else node.kept.delete(other.index)
        break
      }
      default: break
    }
    for (const watcher of this.watchers) watcher.event?.(node, event)
  }

  /** Sends a message over the network, dialling first where there is no link. */
  send(from: SimNode, to: SimNode, message: Message): void {
    this.#count(message)
    if (from.readyMs < 0) from.joinMessages++
    for (const watcher of this.watchers) watcher.sent?.(from, to, message)
    if (!to.isUp || from.part !== to.part || !connects(this.faults, this.seed, from.index, to.index)) return
    const oneWayMs = delayMs(from.site, to.site)
    const upMs = this.#link(from, to, oneWayMs).upMs
    for (const delay of arrivals(this.faults, this.#networkRandom, oneWayMs)) {
      const atMs = Math.max(this.nowMs, upMs) + delay
      this.#queue.add({ kind: 'message', from, to, message, atMs, order: this.#order++ })
    }
  }

  #link(from: SimNode, to: SimNode, oneWayMs: number): Link {
    let link = from.links.get(to.index)
    if (link === undefined) {
      link = { isUp: false, upMs: this.nowMs + DIAL_ROUND_TRIPS * 2 * oneWayMs, lastMs: this.nowMs }
      from.links.set(to.index, link)
      to.links.set(from.index, link)
      this.#queue.add({ kind: 'link', a: from, b: to, link, atMs: link.upMs, order: this.#order++ })
    }
    link.lastMs = this.nowMs
    return link
  }

  /** Closes links that nobody keeps and that are silent. */
  #sweepLinks(): void {
    for (const node of this.living) {
      for (const [index, link] of node.links) {
        const other = this.nodes[index]!
        if (this.nowMs - link.lastMs <= LINK_IDLE_MS || node.kept.has(index) || other.kept.has(node.index)) continue
        node.links.delete(index)
        other.links.delete(node.index)
        this.#feed(node, { type: 'linkDown', peer: other.ref, reason: 'idle' })
        this.#feed(other, { type: 'linkDown', peer: node.ref, reason: 'idle' })
      }
    }
  }

  #count(message: Message): void {
    const bytes = encodedBytes(message) + OVERHEAD_BYTES
    this.messages++
    this.bytes += bytes
    this.messagesByType[message.type] = (this.messagesByType[message.type] ?? 0) + 1
    this.bytesByType[message.type] = (this.bytesByType[message.type] ?? 0) + bytes
  }

  #mix(value: number): void {
    this.#hash = Math.imul(this.#hash ^ value, 0x01000193)
  }

  #note(text: () => string): void {
    World.onNote?.(this.nowMs, text)
  }

  /** A key from the world's chance. */
  randomKey(): Key {
    let text = ''
    for (let at = 0; at < 4; at++) text += this.random.u32().toString(16).padStart(8, '0')
    return text as Key
  }
}

/** Stands in for the machines of the dead. */
const DEAD = makePastry({ ref: { id: '0'.repeat(32) as OverlayId, contact: new Uint8Array(0) }, seed: 0 })

function overTheWire(message: Message): Message {
  const decoded = decode(encode(message))
  if (!decoded.ok) throw new Error(`${message.type} does not survive the wire: ${decoded.reason}`)
  return decoded.message
}

/** A node's name in traces. */
export function name(node: SimNode): string {
  return `n${node.index}(${node.ref.id.slice(0, 6)})`
}

function describe(message: Message): string {
  switch (message.type) {
    case 'route':
      return `route ${message.purpose} ${message.key.slice(0, 8)} hop ${message.hops}${message.near ? ' near' : ''}`
    case 'answer': return `answer from ${message.root.id.slice(0, 6)}`
    case 'lease': return `lease ${message.left ? 'left' : ''}${message.right ? 'right' : ''} (${message.state})`
    case 'grant':
      return `grant ${message.left ? 'left' : ''}${message.right ? 'right' : ''} told ${message.told.length}`
    case 'deny': return `deny ${message.reason} ${message.closer?.id.slice(0, 6) ?? ''}`
    default: return message.type
  }
}

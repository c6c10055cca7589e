/** Feeds a machine with inputs and time, and carries out what it wants done; knows nothing of what it is for. */
import type { Effect, Input, Machine } from '../protocols/machine.ts'
import { nowMs } from './clock.ts'

/** Wall time that outruns the monotonic clock by this much means that the machine was suspended. */
export const SUSPENDED_AFTER_MS = 2_000
/** How often the clocks are compared while nothing else happens. */
const CLOCKS_EVERY_MS = 1_000
/** Longest time that `setTimeout` takes; longer ones are asked for in pieces. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1

/** What a driver needs besides the machine. */
export interface DriverHooks<Message, Event, Peer> {
  /** Hands a message to the carrier; must not throw. */
  send(to: Peer, message: Message): void
  event(event: Event): void
  /** Signs, and gives the signature back to the machine as its command. */
  sign?(id: string, bytes: Uint8Array): void
  /** The machine broke an invariant of its own: the driver has stopped. */
  failed(error: unknown): void
  /** Monotonic milliseconds. Default the process's clock. */
  clock?(): number
  /** Wall time in milliseconds. Default the system's. */
  wallClock?(): number
}

/** The loop around one machine. */
export class Driver<Command, Message, Event, Peer> {
  readonly #machine: Machine<Command, Message, Event, Peer>
  readonly #hooks: DriverHooks<Message, Event, Peer>
  readonly #clock: () => number
  readonly #wallClock: () => number
  readonly #timers = new Map<string, NodeJS.Timeout>()
  readonly #waiting: Input<Command, Message, Peer>[] = []
  readonly #clocks: NodeJS.Timeout
  #aheadMs: number
  #isHandling = false
  #isStopped = false

  constructor(machine: Machine<Command, Message, Event, Peer>, hooks: DriverHooks<Message, Event, Peer>) {
    this.#machine = machine
    this.#hooks = hooks
    this.#clock = hooks.clock ?? nowMs
    this.#wallClock = hooks.wallClock ?? Date.now
    this.#aheadMs = this.#wallClock() - this.#clock()
    this.#clocks = setInterval(() => { this.compareClocks() }, CLOCKS_EVERY_MS).unref()
  }

  /** The time that the machine is given. */
  get nowMs(): number {
    return this.#clock()
  }

  /** Gives the machine an input; one that comes up while another is worked on waits for its turn. */
  input(input: Input<Command, Message, Peer>): void {
    if (this.#isStopped) return
    this.compareClocks()
    this.#waiting.push(input)
    this.#work()
  }

  /** Tells the machine if this computer slept since the last look. */
  compareClocks(): void {
    if (this.#isStopped) return
    const aheadMs = this.#wallClock() - this.#clock()
    const jumpedMs = aheadMs - this.#aheadMs
    this.#aheadMs = aheadMs
    if (jumpedMs < SUSPENDED_AFTER_MS) return
    // What waits was sent before the sleep: the machine must know before it reads it.
    this.#waiting.unshift({ type: 'resumed' })
    this.#work()
  }

  /** Nothing reaches the machine any more, and all its timers are gone. */
  stop(): void {
    this.#isStopped = true
    clearInterval(this.#clocks)
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    this.#waiting.length = 0
  }

  #work(): void {
    if (this.#isHandling) return
    this.#isHandling = true
    try {
      for (let input = this.#waiting.shift(); input !== undefined; input = this.#waiting.shift()) {
        for (const effect of this.#machine.handle(input, this.#clock())) this.#carryOut(effect)
        if (this.#isStopped) return
      }
    } catch (error) {
      this.stop()
      this.#hooks.failed(error)
    } finally {
      this.#isHandling = false
    }
  }

  #carryOut(effect: Effect<Message, Event, Peer>): void {
    if (this.#isStopped) return
    switch (effect.type) {
      case 'send': return this.#hooks.send(effect.to, effect.message)
      case 'event': return this.#hooks.event(effect.event)
      case 'setTimer': return this.#setTimer(effect.id, effect.atMs)
      case 'clearTimer':
        clearTimeout(this.#timers.get(effect.id))
        this.#timers.delete(effect.id)
        return
      case 'sign': return this.#hooks.sign?.(effect.id, effect.bytes)
    }
  }

  #setTimer(id: string, atMs: number): void {
    clearTimeout(this.#timers.get(id))
    const waitMs = Math.min(TIMEOUT_MS_MAX, Math.max(0, atMs - this.#clock()))
    const timer = setTimeout(() => {
      this.#timers.delete(id)
      // A timeout may fire up to a millisecond before its time.
      if (this.#clock() < atMs) this.#setTimer(id, atMs)
      else this.input({ type: 'timer', id })
    }, Math.ceil(waitMs))
    this.#timers.set(id, timer)
  }
}

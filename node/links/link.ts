/** Drives one link's machine: gives it bytes and time, carries out its effects, and hands calls to their owners. */
import type { WarrenError, WireError } from '../../protocols/errors.ts'
import type { Effect, Input } from '../../protocols/machine.ts'
import type { LinkCommand, LinkConfig, LinkEvent } from '../../protocols/rpc/contract.ts'
import { Assembler } from '../../protocols/rpc/items.ts'
import { LinkMachine } from '../../protocols/rpc/link.ts'
import type { CallMeta } from '../../protocols/rpc/messages.ts'
import { nowMs } from '../clock.ts'
import type { Carrier } from './carrier.ts'

/** Told what comes on one call. Payloads are views of received bytes. */
export interface CallListener {
  data(flags: number, payload: Uint8Array): void
  /** The call is over before its END: ERROR, CANCEL, deadline, lost link. Nothing follows. */
  failed(error: WarrenError): void
  /** A payload that was sent with `notify` has been handed to the carrier. */
  sent?(cost: number): void
}

/** One open call on a link, from either end. After its end every function does nothing. */
export interface CallHandle {
  readonly callId: number
  readonly link: Link
  send(payload: Uint8Array, flags: number, notify: boolean): void
  /** Gives `cost` bytes of credit back to the other end. */
  consume(cost: number): void
  /** The callee gives up. */
  fail(error: WireError): void
  /** The caller gives up. */
  cancel(reason: string): void
}

/** A call that the other end makes. */
export interface IncomingCall {
  readonly handle: CallHandle
  readonly meta: CallMeta
  readonly flags: number
  readonly payload: Uint8Array
}

/** Listens to a call that was refused, or has not found its listener yet. */
export const UNHEARD: CallListener = { data: () => {}, failed: () => {} }

/** What the owner of a link does about it. */
export interface LinkHandlers {
  /** A call came. @returns who listens to it. */
  call(incoming: IncomingCall): CallListener
  /** The link is over; called once. All its calls have failed before. */
  closed(error: WarrenError): void
  /** The other end takes no new calls. */
  goingAway?(graceMs: number): void
}

/** One end of a call; small, because every call makes one at each end. */
class Handle implements CallHandle {
  readonly link: Link
  readonly callId: number
  readonly #command: (command: LinkCommand) => void
  readonly #listeners: Map<number, CallListener>

  constructor(
    link: Link, callId: number, command: (command: LinkCommand) => void, listeners: Map<number, CallListener>,
  ) {
    this.link = link
    this.callId = callId
    this.#command = command
    this.#listeners = listeners
  }

  send(payload: Uint8Array, flags: number, notify: boolean): void {
    this.#command({ type: 'data', callId: this.callId, payload, flags, notify })
  }

  consume(cost: number): void {
    this.#command({ type: 'consume', callId: this.callId, cost })
  }

  fail(error: WireError): void {
    this.#listeners.delete(this.callId)
    this.#command({ type: 'fail', callId: this.callId, error })
  }

  cancel(reason: string): void {
    this.#listeners.delete(this.callId)
    this.#command({ type: 'cancel', callId: this.callId, reason })
  }
}

/** One link over one carrier. */
export class Link {
  readonly remote: string
  /** The budget that this link's unfinished items share. */
  readonly assembler = new Assembler()
  readonly #machine: LinkMachine
  readonly #carrier: Carrier
  readonly #handlers: LinkHandlers
  readonly #listeners = new Map<number, CallListener>()
  readonly #timers = new Map<string, NodeJS.Timeout>()
  #full = false
  #flushPlanned = false
  #closed = false
  #onClosed: (() => void)[] = []

  constructor(carrier: Carrier, config: LinkConfig, handlers: LinkHandlers) {
    this.remote = carrier.remote
    this.#carrier = carrier
    this.#handlers = handlers
    this.#machine = new LinkMachine(config)
    this.#input({ type: 'linkUp', peer: undefined })
    carrier.start({
      data: (bytes) => this.#input({ type: 'message', message: bytes, from: undefined }),
      drain: () => {
        this.#full = false
        this.#flush()
      },
      closed: (reason) => this.#input({ type: 'linkDown', peer: undefined, reason }),
    })
  }

  /** Calls open in both directions. */
  get callCount(): number { return this.#machine.callCount }
  /** Calls that somebody listens to; the same number, unless something was left behind. */
  get listenerCount(): number { return this.#listeners.size }
  /** Timers that are armed. */
  get timerCount(): number { return this.#timers.size }
  /** Whether new calls may be opened. */
  get acceptsCalls(): boolean { return !this.#closed && this.#machine.acceptsCalls }
  /** Smallest measured round trip of late, milliseconds; `undefined` if none was measured. */
  get rttMs(): number | undefined { return this.#machine.rttMs }
  /** Whether the link is over. */
  get isClosed(): boolean { return this.#closed }

  /**
   * Opens a call.
   * @throws {WarrenError} `GOING_AWAY`, `LIMIT` or `LINK_LOST`, all with `started: false`.
   */
  open(meta: CallMeta, payload: Uint8Array, flags: number, listener: CallListener): CallHandle {
    const effects = this.#machine.handle({ type: 'command', command: { type: 'call', meta, payload, flags } }, nowMs())
    let callId = 0
    for (const effect of effects) {
      if (effect.type !== 'event') continue
      if (effect.event.type === 'refused') throw effect.event.error
      if (effect.event.type === 'opened') {
        callId = effect.event.callId
        this.#listeners.set(callId, listener)
      }
    }
    this.#run(effects)
    return this.#handle(callId)
  }

  /** Refuses new calls; the link ends when those in flight have, or after `graceMs`. */
  goAway(graceMs: number): void {
    this.#command({ type: 'goAway', graceMs })
  }

  /** Settles when the link is over. */
  drained(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    return new Promise((resolve) => { this.#onClosed.push(resolve) })
  }

  /** Ends the link: everything in flight fails with LINK_LOST at both ends. */
  close(reason: string): void {
    this.#input({ type: 'linkDown', peer: undefined, reason })
  }

  #handle(callId: number): CallHandle {
    return new Handle(this, callId, this.#command, this.#listeners)
  }

  readonly #command = (command: LinkCommand): void => {
    this.#input({ type: 'command', command })
  }

  #input(input: Input<LinkCommand, Uint8Array>): void {
    this.#run(this.#machine.handle(input, nowMs()))
  }

  #run(effects: readonly Effect<Uint8Array, LinkEvent>[]): void {
    for (const effect of effects) {
      switch (effect.type) {
        case 'send': if (!this.#carrier.send(effect.message)) this.#full = true; break
        case 'setTimer': this.#setTimer(effect.id, effect.atMs); break
        case 'clearTimer': this.#clearTimer(effect.id); break
        case 'event': this.#event(effect.event); break
        case 'sign': break // A link signs nothing.
      }
    }
  }

  #event(event: LinkEvent): void {
    switch (event.type) {
      case 'data': {
        const listener = this.#listeners.get(event.callId)
        // END from the callee ends an own call; the callee's listener stays until its own END or failure.
        listener?.data(event.flags, event.payload)
        break
      }
      case 'call': {
        const handle = this.#handle(event.callId)
        const { meta, flags, payload } = event
        this.#listeners.set(event.callId, UNHEARD)
        const listener = this.#handlers.call({ handle, meta, flags, payload })
        // Whoever was asked may have refused the call already.
        if (this.#listeners.has(event.callId)) this.#listeners.set(event.callId, listener)
        break
      }
      case 'failed': {
        const listener = this.#listeners.get(event.callId)
        this.#listeners.delete(event.callId)
        listener?.failed(event.error)
        break
      }
      case 'ended': this.#listeners.delete(event.callId); break
      case 'sent': this.#listeners.get(event.callId)?.sent?.(event.cost); break
      case 'wantFlush': this.#planFlush(); break
      case 'reading': if (event.on) this.#carrier.resume(); else this.#carrier.pause(); break
      case 'goingAway': this.#handlers.goingAway?.(event.graceMs); break
      case 'down': this.#down(event.error); break
      case 'opened': case 'refused': case 'up': case 'unresponsive': break
    }
  }

  /**
   * Flushes once per tick, when every promise job of the tick has run: the replies to all calls of one
   * chunk then leave in one write.
   */
  #planFlush(): void {
    if (this.#flushPlanned || this.#full) return
    this.#flushPlanned = true
    queueMicrotask(() => process.nextTick(() => this.#flush()))
  }

  #flush(): void {
    this.#flushPlanned = false
    while (!this.#full && !this.#closed && this.#machine.hasOutput) {
      this.#command({ type: 'flush' })
    }
  }

  #down(error: WarrenError): void {
    this.#closed = true
    for (const timer of this.#timers.values()) clearTimeout(timer)
    this.#timers.clear()
    this.#carrier.close()
    this.#handlers.closed(error)
    for (const resolve of this.#onClosed) resolve()
    this.#onClosed = []
  }

  #setTimer(id: string, atMs: number): void {
    this.#clearTimer(id)
    // Timers count whole milliseconds: one more, so that none comes before its time.
    const delayMs = Math.ceil(Math.max(0, atMs - nowMs())) + 1
    const timer = setTimeout(() => {
      this.#timers.delete(id)
      this.#input({ type: 'timer', id })
    }, Math.min(delayMs, 0x7fff_ffff))
    this.#timers.set(id, timer)
  }

  #clearTimer(id: string): void {
    const timer = this.#timers.get(id)
    if (timer === undefined) return
    clearTimeout(timer)
    this.#timers.delete(id)
  }
}

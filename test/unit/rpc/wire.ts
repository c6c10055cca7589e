/** Two link machines joined by a wire in memory, under a clock that only the test moves. */
import assert from 'node:assert/strict'
import type { Input } from '../../../protocols/machine.ts'
import { cbor, json } from '../../../protocols/rpc/codec.ts'
import type { LinkCommand, LinkConfig, LinkEvent } from '../../../protocols/rpc/contract.ts'
import { LinkMachine } from '../../../protocols/rpc/link.ts'
import {
  encodeFrame, FLAG, FRAME, FrameReader, type CallMeta, type Frame, type Hello,
} from '../../../protocols/rpc/messages.ts'

/** The test's clock. */
export interface Clock { nowMs: number }

/** Bytes on their way. */
interface Delivery { readonly atMs: number, readonly bytes: Uint8Array }

/** One kind of event. */
export type EventOf<T extends LinkEvent['type']> = Extract<LinkEvent, { type: T }>

const DEFAULTS: LinkConfig = { role: 'dialler', codec: 'cbor', liveness: 'peer', epoch: 'test' }

/** Bytes of a text. */
export const text = (value: string): Uint8Array => new TextEncoder().encode(value)
/** Text of bytes. */
export const words = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

/** A payload of `bytes` bytes that differ by position and `seed`. */
export function filled(bytes: number, seed = 0): Uint8Array {
  const out = new Uint8Array(bytes)
  for (let i = 0; i < bytes; i++) out[i] = (i * 31 + seed * 7 + (i >>> 8)) & 0xff
  return out
}

/** One end of a link: a machine, its timers, what it told and what it sent. */
export class End {
  readonly machine: LinkMachine
  readonly codec: typeof cbor
  readonly clock: Clock
  readonly events: LinkEvent[] = []
  readonly timers = new Map<string, number>()
  readonly sent: Uint8Array[] = []
  readonly inbox: Delivery[] = []
  /** Called for every event, after it was kept. */
  on: (event: LinkEvent) => void = () => {}
  /** Cuts what this end sends into the chunks that the other end gets. */
  chunks: (bytes: Uint8Array) => Uint8Array[] = (bytes) => [bytes]
  other: End | undefined
  latencyMs = 0
  /** Nothing is flushed while the carrier is full. */
  full = false
  reading = true
  wantsFlush = false

  constructor(clock: Clock, config: Partial<LinkConfig> = {}) {
    this.clock = clock
    this.machine = new LinkMachine({ ...DEFAULTS, ...config })
    this.codec = config.codec === 'json' ? json : cbor
    this.input({ type: 'linkUp', peer: undefined })
  }

  input(input: Input<LinkCommand, Uint8Array>): LinkEvent[] {
    const told: LinkEvent[] = []
    for (const effect of this.machine.handle(input, this.clock.nowMs)) {
      switch (effect.type) {
        case 'send': this.#send(effect.message); break
        case 'setTimer': this.timers.set(effect.id, effect.atMs); break
        case 'clearTimer': this.timers.delete(effect.id); break
        case 'event':
          told.push(effect.event)
          this.#told(effect.event)
          break
        case 'sign': assert.fail('a link signs nothing')
      }
    }
    return told
  }

  #send(bytes: Uint8Array): void {
    this.sent.push(bytes)
    if (this.other === undefined) return
    for (const chunk of this.chunks(bytes)) {
      this.other.inbox.push({ atMs: this.clock.nowMs + this.latencyMs, bytes: chunk })
    }
  }

  #told(event: LinkEvent): void {
    this.events.push(event)
    if (event.type === 'wantFlush') this.wantsFlush = true
    if (event.type === 'reading') this.reading = event.on
    this.on(event)
  }

  command(command: LinkCommand): LinkEvent[] {
    return this.input({ type: 'command', command })
  }

  receive(bytes: Uint8Array): LinkEvent[] {
    return this.input({ type: 'message', message: bytes, from: undefined })
  }

  /** Frames, as if the other end had sent them in one chunk. */
  frame(type: number, callId: number, body: unknown, flags = 0): LinkEvent[] {
    const bytes = body instanceof Uint8Array ? body : this.codec.encode(body)
    return this.receive(encodeFrame(type, flags, callId, bytes))
  }

  /** A CALL frame from the other end. */
  callFrame(callId: number, meta: unknown, payload: Uint8Array, flags: number = FLAG.END): LinkEvent[] {
    const metaBytes = this.codec.encode(meta)
    const body = new Uint8Array(2 + metaBytes.length + payload.length)
    body[0] = metaBytes.length >>> 8
    body[1] = metaBytes.length & 0xff
    body.set(metaBytes, 2)
    body.set(payload, 2 + metaBytes.length)
    return this.frame(FRAME.CALL, callId, body, flags)
  }

  /** Opens a call. @returns its id. */
  call(payload: Uint8Array, flags: number = FLAG.END, meta: Partial<CallMeta> = {}): number {
    const [first] = this.command({ type: 'call', meta: { m: 'echo.say', e: 'cbor', ...meta }, payload, flags })
    if (first?.type === 'refused') throw first.error
    const opened = this.events.findLast((event) => event.type === 'opened')
    assert.ok(opened)
    return opened.callId
  }

  data(callId: number, payload: Uint8Array, flags = 0, notify = false): LinkEvent[] {
    return this.command({ type: 'data', callId, payload, flags, notify })
  }

  flush(): void {
    this.wantsFlush = false
    while (!this.full && this.machine.hasOutput) {
      const before = this.sent.length
      this.command({ type: 'flush' })
      // Turns without a word: calls that were dropped.
      if (this.sent.length === before && this.machine.hasOutput) assert.fail('a flush wrote nothing')
    }
  }

  /** Events of one type. */
  told<T extends LinkEvent['type']>(type: T): EventOf<T>[] {
    return this.events.filter((event): event is EventOf<T> => event.type === type)
  }

  /** The error that the link went down with. */
  downError(): EventOf<'down'>['error'] | undefined {
    return this.told('down')[0]?.error
  }

  /** The failures of one call. */
  failures(callId: number): string[] {
    return this.told('failed').filter((event) => event.callId === callId).map(({ error }) => error.name)
  }

  /** What this end has sent, as frames. */
  frames(type?: number): Frame[] {
    return framesOf(this.sent).filter((frame) => type === undefined || frame.type === type)
  }

  fire(id: string): LinkEvent[] {
    this.timers.delete(id)
    return this.input({ type: 'timer', id })
  }
}

/** Frames of joined bytes; fails on what is not frames. */
export function framesOf(sent: readonly Uint8Array[]): Frame[] {
  const frames: Frame[] = []
  const reader = new FrameReader()
  for (const bytes of sent) {
    assert.equal(reader.push(bytes, (frame) => frames.push(frame) > 0), undefined)
  }
  assert.equal(reader.pendingBytes, 0)
  return frames
}

/** A HELLO as a peer may send it. */
export const hello = (given: Partial<Hello> = {}): Hello => ({
  v: 1, maxFrame: 32_768, window: 65_536, features: [], epoch: 'peer', ...given,
})

/** One end whose peer is the test itself; HELLO has been exchanged. */
export function lone(config: Partial<LinkConfig> = {}, given: Partial<Hello> = {}): End {
  const end = new End({ nowMs: 0 }, config)
  end.frame(FRAME.HELLO, 0, hello(given))
  end.flush()
  end.sent.length = 0
  return end
}

/** How a wire is made. */
export interface WireOptions {
  readonly codec?: 'cbor' | 'json'
  readonly latencyMs?: number
  readonly dialler?: Partial<LinkConfig>
  readonly acceptor?: Partial<LinkConfig>
  readonly chunks?: (bytes: Uint8Array) => Uint8Array[]
}

/** Two ends and the bytes between them. */
export class Wire {
  readonly clock: Clock = { nowMs: 0 }
  readonly dialler: End
  readonly acceptor: End

  constructor(options: WireOptions = {}) {
    const codec = options.codec ?? 'cbor'
    this.dialler = new End(this.clock, { codec, role: 'dialler', epoch: 'dialler', ...options.dialler })
    this.acceptor = new End(this.clock, { codec, role: 'acceptor', epoch: 'acceptor', ...options.acceptor })
    this.dialler.other = this.acceptor
    this.acceptor.other = this.dialler
    for (const end of this.ends) {
      end.latencyMs = options.latencyMs ?? 0
      if (options.chunks !== undefined) end.chunks = options.chunks
    }
  }

  get ends(): [End, End] { return [this.dialler, this.acceptor] }

  /** Everything that can happen now; @returns whether anything did. */
  #step(): boolean {
    let moved = false
    for (const end of this.ends) {
      if (end.wantsFlush && !end.full) {
        end.flush()
        moved = true
      }
      while (end.reading && end.inbox[0] !== undefined && end.inbox[0].atMs <= this.clock.nowMs) {
        end.receive(end.inbox.shift()!.bytes)
        moved = true
      }
      for (const [id, atMs] of [...end.timers]) {
        if (atMs > this.clock.nowMs || end.timers.get(id) !== atMs) continue
        end.fire(id)
        moved = true
      }
    }
    return moved
  }

  /** Lets everything happen that needs no time beyond the wire's own delay. */
  settle(): this {
    for (;;) {
      while (this.#step()) { /* Until nothing moves. */ }
      const arrivals = this.ends.filter((end) => end.reading).flatMap((end) => end.inbox.slice(0, 1))
      if (arrivals.length === 0) return this
      this.clock.nowMs = Math.max(this.clock.nowMs, Math.min(...arrivals.map(({ atMs }) => atMs)))
    }
  }

  /** Lets `ms` pass, everything in its order. */
  pass(ms: number): this {
    const untilMs = this.clock.nowMs + ms
    for (;;) {
      while (this.#step()) { /* Until nothing moves. */ }
      const times = this.ends.flatMap((end) =>
        [...end.timers.values(), ...(end.reading && end.inbox[0] !== undefined ? [end.inbox[0].atMs] : [])])
      const nextAtMs = Math.min(untilMs, ...times)
      if (nextAtMs >= untilMs && this.clock.nowMs >= untilMs) return this
      this.clock.nowMs = Math.max(this.clock.nowMs, nextAtMs)
    }
  }
}

/** Answers every whole unary call with its own arguments, and gives credit for what comes. */
export function echo(end: End): void {
  const heard = new Map<number, Uint8Array[]>()
  end.on = (event) => {
    if (event.type !== 'call' && event.type !== 'data') return
    const parts = heard.get(event.callId) ?? []
    heard.set(event.callId, parts)
    parts.push(event.payload)
    if (event.payload.length > 0) {
      end.command({ type: 'consume', callId: event.callId, cost: event.payload.length + 8 })
    }
    if ((event.flags & FLAG.END) === 0) return
    heard.delete(event.callId)
    end.data(event.callId, Buffer.concat(parts), FLAG.END | (event.flags & FLAG.RAW))
  }
}
/** Cuts bytes into pieces of `size`. */
export const cutTo = (size: number) => (bytes: Uint8Array): Uint8Array[] => {
  const out: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += size) out.push(bytes.subarray(at, at + size))
  return out
}

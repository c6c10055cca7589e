/** The machine of a link: calls in both directions over one ordered byte stream between two processes. */
import { WarrenError, fromWireError, toWireError, type WireError } from '../errors.ts'
import {
  DEAD_AFTER_MS, FRAME_BODY_BYTES_MAX, FRAME_TIMEOUT_MS, GRACE_MS_MAX, HELLO_TIMEOUT_MS,
  LINK_CALLS_MAX, META_BYTES_MAX, WINDOW_BYTES_INITIAL,
} from '../limits.ts'
import type { Effect, Input, Machine } from '../machine.ts'
import { cancelBody, errorBody } from './bodies.ts'
import { CallTable, type CallState } from './call-table.ts'
import { cbor, json, type Codec } from './codec.ts'
import type { LinkCommand, LinkConfig, LinkEvent } from './contract.ts'
import { FrameClock, Liveness } from './liveness.ts'
import { MetaCache } from './meta-cache.ts'
import {
  checkCancel, checkGoAway, checkHello, decodeU32, encodeFrame, encodeU32, FLAG, FRAME,
  frameCost, FrameReader, isBareEnd, RPC_VERSION,
  type Cancel, type CallMeta, type Frame, type GoAway, type Hello,
} from './messages.ts'
import { createSender, Outbox } from './outbox.ts'

type LinkEffect = Effect<Uint8Array, LinkEvent>
type Effects = LinkEffect[]

/** Waiting control frames above which the peer is not read any more. */
const CONTROL_BYTES_HIGH = 1024 * 1024
/** A payload this large counts as bulk. */
const BULK_BYTES = 4_096

const event = (told: LinkEvent): LinkEffect => ({ type: 'event', event: told })

/** One link. Pure: bytes, commands and due timers in; bytes, timers and events out. */
export class LinkMachine implements Machine<LinkCommand, Uint8Array, LinkEvent> {
  readonly #config: LinkConfig
  readonly #codec: Codec
  readonly #reader = new FrameReader()
  readonly #outbox = new Outbox()
  readonly #calls: CallTable
  readonly #metas: MetaCache
  readonly #liveness = new Liveness()
  readonly #frameClock = new FrameClock()
  #state: 'new' | 'up' | 'down' = 'new'
  #peerHello: Hello | undefined
  #leaving = false
  #peerLeaving = false
  #armedDeadlineMs = Infinity
  #flushAsked = false
  #readingPaused = false

  constructor(config: LinkConfig) {
    this.#config = config
    this.#codec = config.codec === 'json' ? json : cbor
    this.#metas = new MetaCache(this.#codec)
    this.#calls = new CallTable(config.role, config.callIdMax)
  }

  /** Calls open in both directions. */
  get callCount(): number {
    return this.#calls.size
  }

  /** Smallest round trip of late, milliseconds; `undefined` before the first. */
  get rttMs(): number | undefined {
    return this.#liveness.roundTrip.minMs
  }

  /** Whether a flush would write something. */
  get hasOutput(): boolean {
    return this.#state !== 'down' && !this.#outbox.isEmpty
  }

  /** Whether a new call may be opened. */
  get acceptsCalls(): boolean {
    return this.#state !== 'down' && !this.#peerLeaving && !this.#leaving && !this.#calls.isExhausted
  }

  handle(input: Input<LinkCommand, Uint8Array>, nowMs: number): Effects {
    const effects: Effects = []
    if (this.#state === 'down') {
      if (input.type === 'command' && input.command.type === 'call') {
        effects.push(event({ type: 'refused', error: lost('the link is closed', false) }))
      }
      return effects
    }
    switch (input.type) {
      case 'linkUp': this.#start(effects, nowMs); break
      case 'linkDown': this.#down(effects, lost(input.reason)); break
      case 'message': this.#receive(effects, input.message, nowMs); break
      case 'timer': this.#timer(effects, input.id, nowMs); break
      case 'command': this.#command(effects, input.command, nowMs); break
      case 'resumed': this.#liveness.heard(nowMs); break
    }
    this.#settle(effects)
    return effects
  }

  /** What follows from whatever was done: flush, pause, leave. */
  #settle(effects: Effects): void {
    if (this.#state === 'down') return
    if (!this.#outbox.isEmpty && !this.#flushAsked) {
      this.#flushAsked = true
      effects.push(event({ type: 'wantFlush' }))
    }
    const congested = this.#outbox.controlBytes > CONTROL_BYTES_HIGH
    if (congested !== this.#readingPaused) {
      this.#readingPaused = congested
      effects.push(event({ type: 'reading', on: !congested }))
    }
    if (this.#leaving && this.#calls.size === 0 && this.#outbox.isEmpty) {
      this.#down(effects, new WarrenError('GOING_AWAY', 'the link has drained', { started: false }))
    }
  }

  #start(effects: Effects, nowMs: number): void {
    this.#state = 'up'
    this.#liveness.heard(nowMs)
    const hello: Hello = {
      v: RPC_VERSION, maxFrame: FRAME_BODY_BYTES_MAX, window: WINDOW_BYTES_INITIAL, features: [],
      epoch: this.#config.epoch,
    }
    this.#outbox.control(encodeFrame(FRAME.HELLO, 0, 0, this.#codec.encode(hello)))
    effects.push({ type: 'setTimer', id: 'hello', atMs: nowMs + HELLO_TIMEOUT_MS })
  }

  #command(effects: Effects, command: LinkCommand, nowMs: number): void {
    switch (command.type) {
      case 'call': this.#open(effects, command.meta, command.payload, command.flags, nowMs); break
      case 'data': {
        const call = this.#calls.get(command.callId)
        if (call === undefined || call.sender.ended) break
        this.#outbox.push(call.sender, command.payload, command.flags, command.notify)
        this.#touch(effects, call, command.flags, call.own, nowMs)
        break
      }
      case 'fail': {
        const call = this.#calls.get(command.callId)
        if (call !== undefined) this.#fail(call, command.error)
        break
      }
      case 'cancel': {
        const call = this.#calls.get(command.callId)
        if (call === undefined) break
        this.#sendCancel(call, { reason: command.reason })
        this.#close(call)
        break
      }
      case 'consume': this.#consume(effects, command.callId, command.cost, nowMs); break
      case 'flush': this.#flush(effects); break
      case 'goAway': this.#leave(effects, command.graceMs, nowMs); break
    }
  }

  #open(effects: Effects, meta: CallMeta, payload: Uint8Array, flags: number, nowMs: number): void {
    const refuse = (error: WarrenError): void => { effects.push(event({ type: 'refused', error })) }
    if (!this.acceptsCalls) {
      return refuse(new WarrenError('GOING_AWAY', 'the link takes no new calls', { started: false }))
    }
    if (this.#calls.ownCount >= LINK_CALLS_MAX) {
      return refuse(new WarrenError('LIMIT',
        `${LINK_CALLS_MAX} calls are open on this link already; wait for some to end`,
        { started: false, retryAfterMs: 100 }))
    }
    const metaBytes = this.#metas.encode(meta)
    if (metaBytes.length > META_BYTES_MAX) {
      return refuse(new WarrenError('LIMIT',
        `the call's meta is ${metaBytes.length} bytes, at most ${META_BYTES_MAX} are allowed`, { started: false }))
    }
    const callId = this.#calls.takeId()
    const sender = createSender(callId, this.#peerHello?.window ?? WINDOW_BYTES_INITIAL, metaBytes)
    this.#track(effects, this.#calls.open(callId, sender, meta, nowMs), nowMs)
    this.#outbox.push(sender, payload, flags, false)
    effects.push(event({ type: 'opened', callId }))
  }

  #track(effects: Effects, call: CallState, nowMs: number): void {
    this.#armDeadline(effects, call.deadlineAtMs)
    const atMs = this.#liveness.arm(nowMs)
    if (atMs !== undefined) effects.push({ type: 'setTimer', id: 'ping', atMs })
  }

  #armDeadline(effects: Effects, atMs: number): void {
    if (atMs >= this.#armedDeadlineMs) return
    // The bucket's end, so that what is due is in it when the timer comes.
    this.#armedDeadlineMs = atMs + 10
    effects.push({ type: 'setTimer', id: 'deadline', atMs: this.#armedDeadlineMs })
  }

  #consume(effects: Effects, callId: number, cost: number, nowMs: number): void {
    const call = this.#calls.get(callId)
    if (call === undefined) return
    const grant = this.#calls.consume(call, cost, nowMs, this.rttMs)
    if (grant === 0 || call.receivedEnd) return
    this.#outbox.control(encodeFrame(FRAME.CREDIT, 0, callId, encodeU32(grant)))
    // A reader that takes what came is not silent, however slowly it does.
    this.#touch(effects, call, FLAG.MORE, !call.own, nowMs)
  }

  #flush(effects: Effects): void {
    const bytes = this.#outbox.flush((callId, payloadBytes, flags, notify) => {
      const cost = isBareEnd(flags, payloadBytes) ? 0 : frameCost(payloadBytes)
      if (notify) effects.push(event({ type: 'sent', callId, cost }))
      // The callee's END is the call's end; what the caller still sends is discarded.
      if ((flags & FLAG.END) !== 0 && !this.#calls.isOwn(callId)) {
        const call = this.#calls.get(callId)
        if (call !== undefined) {
          this.#close(call)
          effects.push(event({ type: 'ended', callId }))
        }
      }
    })
    this.#flushAsked = false
    if (bytes !== undefined) effects.push({ type: 'send', to: undefined, message: bytes })
  }

  #leave(effects: Effects, graceMs: number, nowMs: number): void {
    if (this.#leaving) return
    this.#leaving = true
    const body: GoAway = {
      lastId: this.#calls.peerIdLast, graceMs: Math.ceil(Math.min(Math.max(graceMs, 0), GRACE_MS_MAX)),
    }
    this.#outbox.control(encodeFrame(FRAME.GOAWAY, 0, 0, this.#codec.encode(body)))
    effects.push({ type: 'setTimer', id: 'grace', atMs: nowMs + body.graceMs })
  }

  #receive(effects: Effects, bytes: Uint8Array, nowMs: number): void {
    this.#liveness.heard(nowMs)
    let frames = 0
    const fault = this.#reader.push(bytes, (frame) => {
      frames++
      this.#frame(effects, frame, nowMs)
      return this.#state !== 'down'
    })
    if (this.#state === 'down') return
    if (fault !== undefined) return this.#violated(effects, fault)
    const atMs = this.#frameClock.chunk(this.#reader.pendingBytes > 0, frames > 0, nowMs)
    if (atMs !== undefined) effects.push({ type: 'setTimer', id: 'frame', atMs })
  }

  #frame(effects: Effects, frame: Frame, nowMs: number): void {
    if (this.#peerHello === undefined && frame.type !== FRAME.HELLO && frame.type !== FRAME.ERROR) {
      return this.#violated(effects, `a frame of type ${frame.type} came before HELLO`)
    }
    switch (frame.type) {
      case FRAME.HELLO: return this.#hello(effects, frame)
      case FRAME.CALL: return this.#called(effects, frame, nowMs)
      case FRAME.DATA: return this.#data(effects, frame, nowMs)
      case FRAME.ERROR: return this.#failed(effects, frame)
      case FRAME.CANCEL: return this.#cancelled(effects, frame)
      case FRAME.CREDIT: return this.#credit(effects, frame, nowMs)
      case FRAME.PING: return this.#pinged(effects, frame)
      case FRAME.PONG: return this.#liveness.pong(frame.body, nowMs)
      default: return this.#goingAway(effects, frame)
    }
  }

  #hello(effects: Effects, frame: Frame): void {
    if (this.#peerHello !== undefined) return this.#violated(effects, 'HELLO came twice')
    const hello = checkHello(this.#decode(frame.body))
    if (typeof hello === 'string') return this.#violated(effects, hello)
    this.#peerHello = hello
    this.#outbox.limitBody(hello.maxFrame)
    // Calls that did not wait for HELLO began with the least that it can say.
    for (const { sender } of this.#calls.values()) {
      this.#outbox.credit(sender, hello.window - WINDOW_BYTES_INITIAL)
    }
    effects.push({ type: 'clearTimer', id: 'hello' }, event({ type: 'up', hello }))
  }

  #called(effects: Effects, frame: Frame, nowMs: number): void {
    const { callId, body, flags } = frame
    if (!this.#calls.usePeerId(callId)) return this.#violated(effects, `call ${callId} is not a new id of the caller's`)
    const metaEnd = body.length < 2 ? Infinity : 2 + ((body[0]! << 8) | body[1]!)
    if (metaEnd > Math.min(body.length, 2 + META_BYTES_MAX)) {
      return this.#violated(effects, `the meta of call ${callId} does not fit into its frame`)
    }
    const payload = body.subarray(metaEnd)
    const meta = this.#metas.decode(body.subarray(2, metaEnd))
    const refusal = typeof meta === 'string'
      ? new WarrenError('PROTOCOL', `call ${callId}: ${meta}`, { started: false })
      : this.#calls.refusal(meta, this.#leaving)
    if (refusal !== undefined) return this.#sendError(callId, toWireError(refusal))
    const call = this.#calls.open(callId, createSender(callId, this.#peerHello!.window), meta as CallMeta, nowMs)
    this.#track(effects, call, nowMs)
    call.receivedEnd = (flags & FLAG.END) !== 0
    this.#calls.receive(call, isBareEnd(flags, payload.length) ? 0 : frameCost(payload.length))
    effects.push(event({ type: 'call', callId, meta: meta as CallMeta, flags, payload }))
  }

  #data(effects: Effects, frame: Frame, nowMs: number): void {
    const { callId, body, flags } = frame
    const call = this.#known(effects, callId, 'DATA')
    if (call === undefined) return
    if (call.receivedEnd) return this.#violated(effects, `DATA after END on call ${callId}`)
    if (!isBareEnd(flags, body.length)) {
      const cost = frameCost(body.length)
      if (!this.#calls.receive(call, cost)) {
        return this.#violated(effects, `call ${callId} was sent ${cost} bytes beyond its credit`)
      }
      if (body.length >= BULK_BYTES && this.#liveness.wantsSample(nowMs)) this.#sendPing(nowMs)
    }
    this.#touch(effects, call, flags, !call.own, nowMs)
    effects.push(event({ type: 'data', callId, flags, payload: body }))
    if ((flags & FLAG.END) === 0) return
    call.receivedEnd = true
    if (!call.own) return
    // The callee has answered: whatever the caller still had to say is not wanted.
    this.#close(call)
    effects.push(event({ type: 'ended', callId }))
  }

  #touch(effects: Effects, call: CallState, flags: number, isRequest: boolean, nowMs: number): void {
    this.#calls.touch(call, flags, isRequest, nowMs)
    this.#armDeadline(effects, call.deadlineAtMs)
  }

  #failed(effects: Effects, frame: Frame): void {
    const error = fromWireError(this.#decode(frame.body))
    if (frame.callId === 0) return this.#down(effects, error)
    const call = this.#known(effects, frame.callId, 'ERROR')
    if (call === undefined) return
    this.#close(call)
    effects.push(event({ type: 'failed', callId: call.callId, error }))
  }

  #cancelled(effects: Effects, frame: Frame): void {
    const call = this.#known(effects, frame.callId, 'CANCEL')
    if (call === undefined) return
    if (call.own) return this.#violated(effects, `the callee cancelled call ${call.callId}`)
    const { reason, code } = checkCancel(this.#decode(frame.body))
    this.#close(call)
    const name = code === 'DEADLINE_EXCEEDED' ? 'DEADLINE' : 'CANCELLED'
    effects.push(event({ type: 'failed', callId: call.callId, error: new WarrenError(name, reason) }))
  }

  #credit(effects: Effects, frame: Frame, nowMs: number): void {
    const bytes = decodeU32(frame.body)
    if (bytes === undefined) return this.#violated(effects, 'CREDIT is not four bytes')
    const call = this.#known(effects, frame.callId, 'CREDIT')
    if (call === undefined) return
    this.#outbox.credit(call.sender, bytes)
    if (!call.own || !call.sender.ended) this.#touch(effects, call, FLAG.MORE, call.own, nowMs)
  }

  #pinged(effects: Effects, frame: Frame): void {
    if (frame.body.length !== 8) return this.#violated(effects, 'PING is not eight bytes')
    this.#outbox.control(encodeFrame(FRAME.PONG, 0, 0, frame.body))
  }

  #goingAway(effects: Effects, frame: Frame): void {
    const goAway = checkGoAway(this.#decode(frame.body))
    if (typeof goAway === 'string') return this.#violated(effects, goAway)
    this.#peerLeaving = true
    effects.push(event({ type: 'goingAway', graceMs: goAway.graceMs }))
    for (const call of [...this.#calls.values()]) {
      if (!call.own || call.callId <= goAway.lastId) continue
      this.#close(call)
      effects.push(event({
        type: 'failed', callId: call.callId,
        error: new WarrenError('GOING_AWAY', 'the other end is about to leave', { started: false }),
      }))
    }
  }

  #timer(effects: Effects, id: string, nowMs: number): void {
    switch (id) {
      case 'deadline': return this.#expire(effects, nowMs)
      case 'hello':
        if (this.#peerHello === undefined) this.#violated(effects, `no HELLO within ${HELLO_TIMEOUT_MS} ms`)
        return
      case 'frame': {
        const next = this.#frameClock.check(nowMs)
        if (next === true) {
          this.#violated(effects, `half a frame, then silence for ${FRAME_TIMEOUT_MS} ms`)
        } else if (next !== undefined) effects.push({ type: 'setTimer', id: 'frame', atMs: next })
        return
      }
      case 'ping': return this.#checkAlive(effects, nowMs)
      case 'grace':
        return this.#end(effects, new WarrenError('DEREGISTERED', 'the time to finish is over'))
      default:
    }
  }

  #expire(effects: Effects, nowMs: number): void {
    this.#armedDeadlineMs = Infinity
    for (const call of this.#calls.deadlines.due(nowMs)) {
      const what = call.streaming ? `no item came for ${call.idleMs} ms` : `the time of ${call.timeoutMs} ms is over`
      const error = new WarrenError('DEADLINE', what, { started: call.sender.written ? 'unknown' : false })
      if (call.own) this.#sendCancel(call, { reason: what, code: 'DEADLINE_EXCEEDED' })
      else this.#sendError(call.callId, toWireError(error))
      this.#close(call)
      effects.push(event({ type: 'failed', callId: call.callId, error }))
    }
    const next = this.#calls.deadlines.nextAtMs
    if (next !== undefined) this.#armDeadline(effects, next)
  }

  #checkAlive(effects: Effects, nowMs: number): void {
    if (this.#calls.size === 0) return this.#liveness.disarm()
    const { verdict, nextAtMs } = this.#liveness.check(nowMs)
    if (verdict === 'silent' && this.#config.liveness === 'peer') {
      return this.#down(effects, lost(`the peer has been silent for ${DEAD_AFTER_MS} ms`))
    }
    if (verdict === 'silent') effects.push(event({ type: 'unresponsive' }))
    if (verdict !== 'fine') this.#sendPing(nowMs)
    effects.push({ type: 'setTimer', id: 'ping', atMs: nextAtMs })
  }

  #sendPing(nowMs: number): void {
    this.#outbox.control(encodeFrame(FRAME.PING, 0, 0, this.#liveness.ping(nowMs)))
  }

  /** The open call; a closed one's frames are discarded, one that never was is a violation. */
  #known(effects: Effects, callId: number, what: string): CallState | undefined {
    if (this.#calls.stateOf(callId) === 'never') {
      this.#violated(effects, `${what} for call ${callId}, which was never opened`)
    }
    return this.#calls.get(callId)
  }

  /** What was said before an error is not lost: the error waits behind it, for credit as well. */
  #fail(call: CallState, error: WireError): void {
    if (!call.own && call.sender.queue.length > 0) {
      return this.#outbox.fail(call.sender, errorBody(this.#codec, error, this.#outbox.bodyBytesMax))
    }
    this.#sendError(call.callId, error)
    this.#close(call)
  }

  #sendError(callId: number, error: WireError): void {
    const body = errorBody(this.#codec, error, this.#outbox.bodyBytesMax)
    this.#outbox.control(encodeFrame(FRAME.ERROR, 0, callId, body))
  }

  #sendCancel(call: CallState, body: Cancel): void {
    // A call whose CALL frame never left needs no cancelling.
    if (call.sender.written) {
      this.#outbox.control(encodeFrame(FRAME.CANCEL, 0, call.callId, cancelBody(this.#codec, body)))
    }
  }

  #decode(bytes: Uint8Array): unknown {
    try {
      return this.#codec.decode(bytes)
    } catch {
      return undefined // Every caller checks the shape and refuses `undefined` by name.
    }
  }

  #close(call: CallState): void {
    if (this.#calls.close(call)) this.#outbox.drop(call.sender)
  }

  #violated(effects: Effects, rule: string): void {
    this.#end(effects, new WarrenError('PROTOCOL', rule))
  }

  /** The link ends from this side, and the peer is told why. */
  #end(effects: Effects, error: WarrenError): void {
    const body = errorBody(this.#codec, toWireError(error), this.#outbox.bodyBytesMax)
    effects.push({ type: 'send', to: undefined, message: encodeFrame(FRAME.ERROR, 0, 0, body) })
    this.#down(effects, error)
  }

  #down(effects: Effects, error: WarrenError): void {
    this.#state = 'down'
    for (const call of this.#calls.clear()) {
      const started = error.started === false || !call.sender.written ? false : 'unknown'
      effects.push(event({
        type: 'failed', callId: call.callId,
        error: new WarrenError(error.name, error.message, { code: error.code, started }),
      }))
    }
    for (const id of ['deadline', 'hello', 'frame', 'ping', 'grace']) effects.push({ type: 'clearTimer', id })
    effects.push(event({ type: 'down', error }))
  }
}

function lost(reason: string, started: false | 'unknown' = 'unknown'): WarrenError {
  return new WarrenError('LINK_LOST', reason, { started })
}

/** Random schedules on both sides of a link: every item arrives once, in order and whole, or the call fails by name. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { Assembler, ItemQueue } from '../../../protocols/rpc/items.ts'
import { FLAG, FRAME, frameCost, isBareEnd } from '../../../protocols/rpc/messages.ts'
import { cutTo, filled, Wire, type End } from './wire.ts'

/** One direction of one call as the test sees it. */
interface Direction { sent: string[], ended: boolean, got: string[], over: boolean, items: ItemQueue }

/** One call, from both of its ends. */
interface Tracked { caller: End, callee: End, request: Direction, reply: Direction, failed: string[],
  abandoned: boolean }

const NOTHING = new Uint8Array(0)
const digest = (bytes: Uint8Array): string => createHash('sha1').update(bytes).digest('hex')

/** Two machines, the calls between them, and readers that read when they are told to. */
class World {
  readonly wire: Wire
  readonly calls: Tracked[] = []
  readonly assemblers: readonly [Assembler, Assembler] = [new Assembler(), new Assembler()]
  #seed = 0

  constructor(latencyMs: number, chunkBytes: number, codec: 'cbor' | 'json') {
    this.wire = new Wire({ latencyMs, codec, chunks: cutTo(chunkBytes) })
    for (const end of this.wire.ends) {
      end.on = (event) => {
        if (event.type === 'call' || event.type === 'data') this.#came(end, event.callId, event.flags, event.payload)
        // The callee has answered: what it was still being sent does not come any more.
        if (event.type === 'ended') {
          const call = this.#find(event.callId)
          if (end === call.callee) call.request.items.abandon()
        }
        if (event.type === 'failed') {
          const call = this.#find(event.callId)
          call.failed.push(event.error.name)
          this.#incoming(end, call).items.clear()
        }
      }
    }
  }

  #find(callId: number): Tracked {
    const call = this.calls.find((each) => idOf.get(each) === callId)
    assert.ok(call, `call ${callId} was never made`)
    return call
  }

  #incoming(end: End, call: Tracked): Direction { return end === call.caller ? call.reply : call.request }
  #outgoing(end: End, call: Tracked): Direction { return end === call.caller ? call.request : call.reply }

  #came(end: End, callId: number, flags: number, payload: Uint8Array): void {
    const call = this.#find(callId)
    // Who gave a call up listens no more; its error may still wait behind what it had said.
    if (call.abandoned && end === call.callee) return
    const direction = this.#incoming(end, call)
    assert.equal(direction.over, false, 'something came behind END')
    assert.equal(direction.items.push(flags, payload), undefined)
    if ((flags & FLAG.END) !== 0) direction.over = true
  }

  open(caller: End, bytes: number, end: boolean, timeoutMs: number | undefined): void {
    const callee = caller.other!
    const direction = (reader: End): Direction => ({
      sent: [], ended: false, got: [], over: false,
      items: new ItemQueue(this.assemblers[reader === this.wire.dialler ? 0 : 1], (cost) => {
        reader.command({ type: 'consume', callId: idOf.get(call)!, cost })
      }),
    })
    const call: Tracked = {
      caller, callee, request: direction(callee), reply: direction(caller), failed: [], abandoned: false,
    }
    const payload = filled(bytes, this.#seed++)
    call.request.sent.push(digest(payload))
    call.request.ended = end
    this.calls.push(call)
    idOf.set(call, caller.call(payload, FLAG.RAW | (end ? FLAG.END : 0),
      timeoutMs === undefined ? {} : { d: timeoutMs, i: 200 }))
  }

  send(end: End, pick: number, bytes: number, last: 'no' | 'with' | 'bare'): void {
    const call = this.calls[pick % this.calls.length]
    if (call === undefined) return
    const callId = idOf.get(call)!
    const direction = this.#outgoing(end, call)
    const known = end === call.caller || end.told('call').some((event) => event.callId === callId)
    if (direction.ended || !known) return
    if (last === 'bare') end.data(callId, NOTHING, FLAG.END)
    else {
      const payload = filled(bytes, this.#seed++)
      direction.sent.push(digest(payload))
      end.data(callId, payload, FLAG.RAW | (last === 'with' ? FLAG.END : 0))
    }
    if (last !== 'no') direction.ended = true
  }

  read(end: End, pick: number): void {
    const call = this.calls[pick % this.calls.length]
    if (call === undefined) return
    const direction = this.#incoming(end, call)
    const item = direction.items.shift()
    if (item !== undefined) direction.got.push(digest(item.bytes))
  }

  cancel(pick: number): void {
    const call = this.calls[pick % this.calls.length]
    if (call === undefined) return
    call.abandoned = true
    call.caller.command({ type: 'cancel', callId: idOf.get(call)!, reason: 'enough' })
    call.reply.items.clear()
  }

  fail(pick: number): void {
    const call = this.calls[pick % this.calls.length]
    const callId = call === undefined ? 0 : idOf.get(call)!
    if (call === undefined || !call.callee.told('call').some((event) => event.callId === callId)) return
    call.abandoned = true
    call.callee.command({ type: 'fail', callId, error: { code: 'ABORTED', name: 'GAVE_UP', message: '',
      started: true } })
    call.request.items.clear()
  }

  /** Everybody ends what they began, reads what came, and time passes until nothing is open. */
  finish(): void {
    for (const end of this.wire.ends) end.full = false
    for (let round = 0; round < 60; round++) {
      this.wire.pass(5)
      this.calls.forEach((_call, index) => {
        for (const end of this.wire.ends) {
          this.send(end, index, 0, 'bare')
          for (let i = 0; i < 20; i++) this.read(end, index)
        }
      })
      const waiting = this.calls.some(({ request, reply }) => request.items.hasItem || reply.items.hasItem)
      if (!waiting && this.wire.ends.every((end) => end.machine.callCount === 0)) break
    }
    this.wire.pass(5_000)
  }

  check(): void {
    const { dialler, acceptor } = this.wire
    assert.equal(dialler.downError() ?? acceptor.downError(), undefined)
    for (const call of this.calls) {
      // The callee's END ends the call: only then is the request of no interest any more.
      const whole = (direction: Direction): boolean => JSON.stringify(direction.got) === JSON.stringify(direction.sent)
      const prefix = ({ got, sent }: Direction): boolean => got.every((item, index) => item === sent[index])
      assert.ok(prefix(call.request) && prefix(call.reply), 'an item came twice, out of order or damaged')
      if (call.failed.length > 0 || call.abandoned) continue
      assert.ok(whole(call.reply), 'a reply is not whole, and nobody was told')
    }
    for (const name of new Set(this.calls.flatMap(({ failed }) => failed))) {
      assert.ok(['CANCELLED', 'DEADLINE', 'GAVE_UP'].includes(name), name)
    }
    assert.deepEqual(this.wire.ends.map((end) => end.machine.callCount), [0, 0])
    assert.deepEqual(this.assemblers.map(({ bytes }) => bytes), [0, 0])
    for (const end of this.wire.ends) assertWithinCredit(end)
  }
}

const idOf = new WeakMap<Tracked, number>()

/** No call was ever sent more than the other end had room for. */
function assertWithinCredit(end: End): void {
  const spent = new Map<number, number>()
  for (const { type, callId, flags, body } of end.frames()) {
    if (type !== FRAME.DATA) continue
    const cost = isBareEnd(flags, body.length) ? 0 : frameCost(body.length)
    spent.set(callId, (spent.get(callId) ?? 0) + cost)
  }
  for (const [callId, cost] of spent) {
    const granted = end.other!.frames(FRAME.CREDIT).filter((frame) => frame.callId === callId)
      .reduce((sum, { body }) => sum + new DataView(body.buffer, body.byteOffset).getUint32(0), 65_536)
    assert.ok(cost <= granted, `call ${callId}: ${cost} sent, ${granted} granted`)
  }
}

const size = fc.oneof(fc.nat(100), fc.nat(5_000), fc.nat(5_000), fc.nat(150_000))
const side = fc.nat(1)
const move = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('open' as const), side, size, end: fc.boolean(),
    timeoutMs: fc.option(fc.integer({ min: 1, max: 400 }), { nil: undefined }) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('send' as const), side, pick: fc.nat(), size,
    last: fc.constantFrom('no' as const, 'no' as const, 'with' as const, 'bare' as const) }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('read' as const), side, pick: fc.nat() }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(60) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('fail' as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('full' as const), side, on: fc.boolean() }) },
)

function play(world: World, step: (typeof move) extends fc.Arbitrary<infer T> ? T : never): void {
  switch (step.do) {
    case 'open': world.open(world.wire.ends[step.side]!, step.size, step.end, step.timeoutMs); break
    case 'send': world.send(world.wire.ends[step.side]!, step.pick, step.size, step.last); break
    case 'read': world.read(world.wire.ends[step.side]!, step.pick); break
    case 'pass': world.wire.pass(step.ms); break
    case 'cancel': world.cancel(step.pick); break
    case 'fail': world.fail(step.pick); break
    case 'full': world.wire.ends[step.side]!.full = step.on; break
  }
}

describe('a link under any schedule', () => {
  it('brings every item once, in order and whole, or fails the call by name (300 schedules)', () => {
    const outcomes = { failed: 0, whole: 0 }
    fc.assert(fc.property(fc.array(move, { maxLength: 40, size: '+1' }), fc.nat(30), fc.constantFrom(7, 1_000, 100_000),
      fc.constantFrom('cbor' as const, 'json' as const), (steps, latencyMs, chunkBytes, codec) => {
        const world = new World(latencyMs, chunkBytes === 7 && steps.length > 12 ? 1_000 : chunkBytes, codec)
        for (const step of steps) play(world, step)
        world.finish()
        world.check()
        for (const { failed, abandoned } of world.calls) outcomes[failed.length > 0 || abandoned ? 'failed' : 'whole']++
      }), { numRuns: 300 })
    assert.ok(outcomes.failed > 20 && outcomes.whole > 100, JSON.stringify(outcomes))
  })
})

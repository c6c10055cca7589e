/** Whatever a peer sends: random bytes, damaged traffic, any chunking. Nothing throws, hangs or grows. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { ERROR_CODES, fromWireError, WarrenError } from '../../../protocols/errors.ts'
import { LINK_BUFFER_BYTES_MAX, LINK_CALLS_MAX } from '../../../protocols/limits.ts'
import type { LinkEvent } from '../../../protocols/rpc/contract.ts'
import {
  checkCancel, checkGoAway, checkHello, checkMeta, encodeFrame, encodeU32, FLAG, FrameReader, type Frame,
} from '../../../protocols/rpc/messages.ts'
import { End, echo, filled, framesOf, lone, text, Wire } from './wire.ts'

/** What both sides said in a session that has every kind of frame in it. */
function record(codec: 'cbor' | 'json', role: 'dialler' | 'acceptor'): Uint8Array {
  const wire = new Wire({ codec, latencyMs: 1 })
  echo(wire.acceptor)
  echo(wire.dialler)
  for (const end of wire.ends) {
    for (const size of [0, 5, 300, 90_000]) end.call(filled(size), FLAG.END, { d: 5_000, i: 50, tp: 'x',
      to: { node: 'n' } })
    const upload = end.call(text('u'), 0)
    for (const item of ['a', 'b', 'c']) end.data(upload, text(item))
    end.data(upload, text('z'), FLAG.END | FLAG.RAW)
  }
  wire.settle()
  for (const end of wire.ends) end.on = () => {}
  for (const end of wire.ends) {
    const [one, two] = [end.call(text('1')), end.call(text('2'))]
    wire.settle()
    end.command({ type: 'cancel', callId: one, reason: 'x' })
    end.other!.command({ type: 'fail', callId: two, error: { code: 'ABORTED', name: 'X', message: 'x',
      started: true } })
  }
  wire.pass(4_900)
  wire.dialler.call(text('last'))
  wire.pass(20_000)
  for (const end of wire.ends) end.command({ type: 'goAway', graceMs: 10 })
  wire.settle()
  return Buffer.concat((role === 'dialler' ? wire.dialler : wire.acceptor).sent)
}

/** A victim with calls of its own open, fed with `chunks`; it must stay within its bounds. */
function feed(codec: 'cbor' | 'json', role: 'dialler' | 'acceptor', chunks: readonly Uint8Array[]): End {
  const end = new End({ nowMs: 0 }, { codec, role })
  for (let i = 0; i < 5; i++) end.call(filled(100), i === 4 ? 0 : FLAG.END, { d: 1_000 })
  end.flush()
  for (const chunk of chunks) {
    end.clock.nowMs += 1
    end.receive(chunk)
    if (end.wantsFlush) end.flush()
  }
  assert.ok(end.machine.callCount <= 2 * LINK_CALLS_MAX)
  const held = end.events.reduce((sum, event) => sum + ('payload' in event ? event.payload.length : 0), 0)
  assert.ok(held <= LINK_BUFFER_BYTES_MAX + 65_536 * (end.told('call').length + 5))
  const down = end.downError()
  if (down !== undefined) assert.equal(end.machine.callCount, 0)
  end.clock.nowMs += 100_000
  for (const id of [...end.timers.keys()]) end.fire(id)
  end.input({ type: 'linkDown', peer: undefined, reason: 'over' })
  assert.deepEqual([end.machine.callCount, end.timers.size, end.machine.hasOutput], [0, 0, false])
  const failed = end.told('failed').map(({ callId }) => callId)
  assert.equal(new Set(failed).size, failed.length, 'a call failed twice')
  return end
}

/** One step of damage; numbers are taken modulo what is there. */
const step = fc.record({
  how: fc.constantFrom('flip', 'byte', 'cut', 'double', 'swap', 'drop', 'insert'),
  at: fc.nat(), other: fc.nat(), byte: fc.integer({ min: 0, max: 255 }),
})

type Step = (typeof step) extends fc.Arbitrary<infer T> ? T : never

function damage(frames: Uint8Array[], { how, at, other, byte }: Step): void {
  const index = at % frames.length
  const frame = frames[index]!
  const place = frame.length === 0 ? 0 : other % Math.min(frame.length, 64)
  switch (how) {
    case 'flip': frame[place] = (frame[place] ?? 0) ^ (1 << (byte & 7)); break
    case 'byte': frame[place] = byte; break
    case 'cut': frames[index] = frame.slice(0, place); break
    case 'double': frames.splice(other % frames.length, 0, frame.slice()); break
    case 'swap': frames.push(...frames.splice(index, 1)); break
    case 'drop': if (frames.length > 1) frames.splice(index, 1); break
    case 'insert': frames.splice(index, 0, filled(other % 40, byte)); break
  }
}

const kept = (events: readonly LinkEvent[]): unknown[] => events.filter(({ type }) => type !== 'wantFlush')
  .map((event) => 'payload' in event ? { ...event, payload: Buffer.from(event.payload).toString('hex') } : event)

const split = (bytes: Uint8Array): Uint8Array[] =>
  framesOf([bytes]).map(({ type, flags, callId, body }) => encodeFrame(type, flags, callId, body))

for (const codec of ['cbor', 'json'] as const) {
  describe(`a ${codec} link that is fed`, () => {
    const recorded = { dialler: record(codec, 'dialler'), acceptor: record(codec, 'acceptor') }
    const frames = { dialler: split(recorded.dialler), acceptor: split(recorded.acceptor) }
    const small = {
      dialler: frames.dialler.filter((frame) => frame.length < 400),
      acceptor: frames.acceptor.filter((frame) => frame.length < 400),
    }

    it('recorded traffic of every type of frame takes all of it', () => {
      const types = new Set(framesOf([recorded.dialler, recorded.acceptor]).map(({ type }) => type))
      assert.equal(types.size, 9)
    })

    it('3,500 random byte strings survives them', () => {
      fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 4 }), fc.boolean(), (chunks,
        greeted) => {
        feed(codec, 'acceptor', greeted ? [frames.dialler[0]!, ...chunks] : chunks)
      }), { numRuns: 3_500 })
    })

    it('3,500 random frames survives them', () => {
      const body = fc.oneof(fc.uint8Array({ maxLength: 30 }),
        fc.jsonValue({ maxDepth: 2 }).map((value) => lone({ codec }).codec.encode(value)), fc.nat().map(encodeU32))
      const frame = fc.tuple(fc.nat(8), fc.constantFrom(0, 0, 1, 2, 4, 5), fc.nat(12), body)
        .map(([type, flags, callId, bytes]) => encodeFrame(type, flags, callId, bytes))
      fc.assert(fc.property(fc.array(frame, { maxLength: 6 }), (random) => {
        feed(codec, 'acceptor', [frames.dialler[0]!, ...random])
      }), { numRuns: 3_500 })
    })

    for (const role of ['dialler', 'acceptor'] as const) {
      const from = role === 'dialler' ? 'acceptor' : 'dialler'
      it(`3,500 recordings of the ${from} that were damaged survives them`, () => {
        const ends = { up: 0, down: 0 }
        fc.assert(fc.property(fc.array(step, { minLength: 1, maxLength: 6 }), fc.nat(), (steps, start) => {
          const from0 = 1 + start % small[from].length
          const damaged = [small[from][0]!, ...small[from].slice(from0, from0 + 12)].map((frame) => frame.slice())
          for (const each of steps) damage(damaged, each)
          ends[feed(codec, role, [Buffer.concat(damaged)]).told('down')[0]?.error.name === 'PROTOCOL' ? 'down' : 'up']++
        }), { numRuns: 3_500 })
        assert.ok(ends.up > 100 && ends.down > 100, JSON.stringify(ends))
      })
    }

    it('the same bytes in any chunks tells the same events', () => {
      const bytes = recorded.dialler
      const whole = kept(feed(codec, 'acceptor', [bytes]).events)
      fc.assert(fc.property(fc.array(fc.nat(bytes.length), { maxLength: 60 }), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length]
        const chunks = at.slice(1).map((end, index) => bytes.subarray(at[index], end))
        assert.deepEqual(kept(feed(codec, 'acceptor', chunks).events), whole)
      }), { numRuns: 150 })
      const bytewise = [...bytes.subarray(0, 3_000)].map((byte) => Uint8Array.of(byte))
      assert.deepEqual(kept(feed(codec, 'acceptor', bytewise).events),
        kept(feed(codec, 'acceptor', [bytes.subarray(0, 3_000)]).events))
    })
  })
}

describe('what reads a peer\'s words', () => {
  it('cuts 30,000 random byte strings into frames, or names the rule that they break', () => {
    fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 5 }), (chunks) => {
      const reader = new FrameReader()
      const frames: Frame[] = []
      for (const chunk of chunks) {
        const fault = reader.push(chunk, (frame) => frames.push(frame) > 0)
        if (fault !== undefined) {
          assert.equal(typeof fault, 'string')
          return
        }
      }
      const bytes = frames.reduce((sum, { body }) => sum + 8 + body.length, 0)
      assert.equal(bytes + reader.pendingBytes, chunks.reduce((sum, chunk) => sum + chunk.length, 0))
      assert.ok(reader.pendingBytes < 32_768 + 8)
    }), { numRuns: 30_000 })
  })

  it('takes 10,000 values of any shape for what they are, or names the rule that they break', () => {
    const key = fc.constantFrom('m', 'e', 'd', 'i', 'to', 'k', 'ob', 'tp', 'v', 'window', 'maxFrame', 'epoch',
      'features',
      'lastId', 'graceMs', 'reason', 'code', 'name', 'message', 'started', 'retryAfterMs', 'details')
    const value = fc.oneof(fc.dictionary(key, fc.anything({ maxDepth: 2, withBigInt: true, withDate: true })),
      fc.anything())
    fc.assert(fc.property(value, (given) => {
      for (const check of [checkHello, checkMeta, checkGoAway]) {
        const result = check(given)
        assert.ok(typeof result === 'string' || typeof result === 'object')
      }
      assert.equal(typeof checkCancel(given).reason, 'string')
      const error = fromWireError(given)
      assert.ok(error instanceof WarrenError && ERROR_CODES.includes(error.code))
      assert.match(error.name, /^[A-Z][A-Z0-9_]{0,63}$/)
    }), { numRuns: 10_000 })
  })
})

/** Timers of a link: HELLO, unfinished frames, silence, and a process that stood still itself. */
import assert from 'node:assert/strict'
import { encodeFrame, encodeU32, FRAME, writeHeader } from '../../../protocols/rpc/messages.ts'
import { End, filled, hello, lone, text, Wire } from './wire.ts'

/** Lets the clock of a lone end run, its timers on time, or `lateMs` late. */
function pass(end: End, ms: number, lateMs = 0): void {
  const untilMs = end.clock.nowMs + ms
  for (;;) {
    const next = [...end.timers].sort((a, b) => a[1] - b[1])[0]
    if (next === undefined || next[1] + lateMs > untilMs) break
    end.clock.nowMs = Math.max(end.clock.nowMs, next[1] + lateMs)
    end.fire(next[0])
    end.flush()
  }
  end.clock.nowMs = untilMs
}

const header = (bodyBytes: number): Uint8Array => {
  const bytes = new Uint8Array(8)
  writeHeader(bytes, 0, FRAME.CALL, 0, bodyBytes, 2)
  return bytes
}

describe('a peer', () => {
  it('that says no HELLO within 5 s is cut off', () => {
    const end = new End({ nowMs: 0 })
    end.flush()
    pass(end, 4_999)
    assert.equal(end.downError(), undefined)
    pass(end, 1)
    assert.match(end.downError()?.message ?? '', /no HELLO within 5000 ms/)
    assert.equal(end.frames().at(-1)?.type, FRAME.ERROR)
  })

  it('that sends half a frame and then nothing is cut off after 10 s', () => {
    const end = lone()
    end.receive(header(100).subarray(0, 5))
    pass(end, 9_999)
    assert.equal(end.downError(), undefined)
    pass(end, 1)
    assert.match(end.downError()?.message ?? '', /half a frame/)
  })

  it('that sends one byte every 9 s is cut off too', () => {
    const end = lone()
    for (const byte of header(100)) {
      if (end.downError() !== undefined) break
      end.receive(Uint8Array.of(byte))
      pass(end, 9_000)
    }
    assert.match(end.downError()?.message ?? '', /half a frame/)
    assert.equal(end.clock.nowMs, 18_000)
  })

  it('whose frames are always cut in two, and always come whole in time, is not cut off', () => {
    const end = lone()
    const ping = encodeFrame(FRAME.PING, 0, 0, filled(8))
    end.receive(ping.subarray(0, 5))
    for (let i = 0; i < 20; i++) {
      pass(end, 3_000)
      end.receive(Buffer.concat([ping.subarray(5), ping.subarray(0, 5)]))
    }
    assert.equal(end.downError(), undefined)
    end.receive(ping.subarray(5))
    pass(end, 60_000)
    assert.equal(end.downError(), undefined)
    assert.equal(end.timers.size, 0)
  })

  it('is asked after 5 s of silence with a call open, and taken for dead after 10 s', () => {
    const end = lone()
    end.call(text('a'))
    end.flush()
    pass(end, 4_999)
    assert.deepEqual(end.frames(FRAME.PING), [])
    pass(end, 1)
    assert.equal(end.frames(FRAME.PING).length, 1)
    pass(end, 4_999)
    assert.equal(end.downError(), undefined)
    pass(end, 1)
    assert.deepEqual([end.downError()?.name, end.downError()?.started], ['LINK_LOST', 'unknown'])
    assert.deepEqual(end.told('failed').map(({ error }) => [error.name, error.started]), [['LINK_LOST', 'unknown']])
    assert.deepEqual(end.timers.size, 0)
  })

  it('that makes the call is watched as well', () => {
    const end = lone()
    end.callFrame(2, { m: 'a.b', e: 'cbor' }, text('x'))
    pass(end, 10_000)
    assert.equal(end.downError()?.name, 'LINK_LOST')
  })

  it('that says anything at all lives on', () => {
    const end = lone()
    const callId = end.call(text('a'))
    for (let i = 0; i < 20; i++) {
      pass(end, 4_900)
      end.frame(FRAME.CREDIT, callId, encodeU32(0))
    }
    assert.equal(end.downError(), undefined)
    assert.deepEqual(end.frames(FRAME.PING), [])
  })

  it('that answers is asked every 5 s and never taken for dead', () => {
    const wire = new Wire({ latencyMs: 15 })
    wire.dialler.call(text('a'))
    wire.pass(100_000)
    assert.equal(wire.dialler.downError() ?? wire.acceptor.downError(), undefined)
    assert.equal(wire.dialler.machine.rttMs, 30)
    assert.ok(wire.dialler.frames(FRAME.PING).length + wire.acceptor.frames(FRAME.PING).length >= 18)
  })

  it('is left alone while no call is open, for ever', () => {
    const wire = new Wire().settle()
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    wire.acceptor.data(callId, text('b'), 1)
    wire.pass(10_000)
    const sent = wire.ends.map((end) => end.sent.length)
    wire.pass(1_000_000)
    assert.deepEqual(wire.ends.map((end) => end.sent.length), sent)
    assert.deepEqual(wire.ends.map((end) => end.timers.size), [0, 0])
  })

  it('gets its full time again with the next call', () => {
    const end = lone()
    const first = end.call(text('a'))
    pass(end, 4_000)
    end.command({ type: 'cancel', callId: first, reason: 'x' })
    pass(end, 100_000)
    end.call(text('b'))
    end.flush()
    pass(end, 9_999)
    assert.equal(end.downError(), undefined)
    pass(end, 1)
    assert.equal(end.downError()?.name, 'LINK_LOST')
  })

  it('is not blamed for the time in which this process stood still', () => {
    const end = lone()
    end.call(text('a'))
    end.flush()
    end.clock.nowMs = 60_000
    end.fire('ping')
    assert.equal(end.downError(), undefined)
    end.receive(header(100).subarray(0, 5))
    end.clock.nowMs = 200_000
    end.fire('frame')
    end.fire('ping')
    assert.equal(end.downError(), undefined)
    pass(end, 9_000)
    assert.equal(end.downError(), undefined)
    pass(end, 1_000)
    assert.notEqual(end.downError(), undefined)
  })

  it('is not blamed for the time in which the machine was suspended', () => {
    const end = lone()
    end.call(text('a'))
    end.clock.nowMs = 6_900
    end.input({ type: 'resumed' })
    end.fire('ping')
    assert.equal(end.downError(), undefined)
    pass(end, 4_999)
    assert.equal(end.downError(), undefined)
  })

  it('on this machine that is silent is reported, and left to its callers\' deadlines', () => {
    const end = lone({ liveness: 'local' })
    end.call(text('a'))
    pass(end, 60_000)
    assert.equal(end.downError(), undefined)
    assert.ok(end.told('unresponsive').length > 0)
  })

  it('is answered with its own eight bytes', () => {
    const end = lone()
    end.frame(FRAME.PING, 0, filled(8, 5))
    end.flush()
    assert.deepEqual(Buffer.from(end.frames(FRAME.PONG)[0]!.body), Buffer.from(filled(8, 5)))
  })

  it('that answers what nobody asked changes nothing', () => {
    const end = lone()
    for (const body of [filled(8), filled(3), new Uint8Array(0)]) end.frame(FRAME.PONG, 0, body)
    assert.equal(end.machine.rttMs, undefined)
    assert.equal(end.downError(), undefined)
  })
})

describe('a lost link', () => {
  it('fails every call: not started where it never left, unknown where it did', () => {
    const end = lone()
    const sent = end.call(text('a'))
    end.flush()
    const queued = end.call(text('b'))
    end.callFrame(2, { m: 'a.b', e: 'cbor' }, text('x'))
    end.input({ type: 'linkDown', peer: undefined, reason: 'cable pulled' })
    const failed = end.told('failed').map(({ callId, error }) => [callId, error.name, error.started, error.message])
    assert.deepEqual(failed, [
      [sent, 'LINK_LOST', 'unknown', 'cable pulled'], [queued, 'LINK_LOST', false, 'cable pulled'],
      [2, 'LINK_LOST', 'unknown', 'cable pulled'],
    ])
    assert.equal(end.events.at(-1)?.type, 'down')
  })

  it('may be lost before HELLO', () => {
    const end = new End({ nowMs: 0 })
    end.call(text('a'))
    end.input({ type: 'linkDown', peer: undefined, reason: 'gone' })
    assert.equal(end.told('failed')[0]?.error.started, false)
    end.frame(FRAME.HELLO, 0, hello())
    assert.deepEqual(end.told('up'), [])
  })
})

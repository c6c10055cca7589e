/** Time of calls: remaining milliseconds at both ends, silence in streams and uploads, and one timer for all. */
import assert from 'node:assert/strict'
import { STREAM_IDLE_MS } from '../../../protocols/limits.ts'
import { Deadlines, NO_BUCKET } from '../../../protocols/rpc/deadlines.ts'
import { FLAG, FRAME, type Cancel } from '../../../protocols/rpc/messages.ts'
import { filled, text, Wire, type End } from './wire.ts'

const NOTHING = new Uint8Array(0)

/** When a call failed by the wire's clock, looked for in steps of 10 ms. */
function failsAtMs(wire: Wire, end: End, callId: number, withinMs: number): number | undefined {
  const untilMs = wire.clock.nowMs + withinMs
  while (wire.clock.nowMs < untilMs) {
    if (end.failures(callId).length > 0) return wire.clock.nowMs
    wire.pass(10)
  }
  return undefined
}

const between = (value: number | undefined, least: number, most: number): void => {
  assert.ok(value !== undefined && value >= least && value <= most, `${value} is not ${least} to ${most}`)
}

describe('a deadline', () => {
  it('fires at the caller, never early and at most two buckets late, and reaches the callee as DEADLINE', () => {
    const wire = new Wire({ latencyMs: 30 })
    const callId = wire.dialler.call(text('a'), FLAG.END, { d: 1_005 })
    between(failsAtMs(wire, wire.dialler, callId, 5_000), 1_005, 1_030)
    wire.settle()
    const [mine] = wire.dialler.told('failed')
    assert.deepEqual([mine?.error.name, mine?.error.code, mine?.error.started], ['DEADLINE', 'DEADLINE_EXCEEDED',
      'unknown'])
    assert.deepEqual(wire.acceptor.failures(callId), ['DEADLINE'])
    const [cancel] = wire.dialler.frames(FRAME.CANCEL)
    assert.deepEqual(wire.dialler.codec.decode(cancel!.body) as Cancel,
      { reason: 'the time of 1005 ms is over', code: 'DEADLINE_EXCEEDED' })
    assert.deepEqual(wire.ends.map((end) => end.machine.callCount), [0, 0])
  })

  it('fires at the callee by its own timer when no cancel can come', () => {
    const wire = new Wire({ latencyMs: 30 })
    const callId = wire.dialler.call(text('a'), FLAG.END, { d: 500 })
    wire.settle()
    wire.acceptor.reading = false
    between(failsAtMs(wire, wire.acceptor, callId, 5_000), 530, 560)
    assert.deepEqual(wire.acceptor.failures(callId), ['DEADLINE'])
  })

  it('says that a call which never left was not started, and sends nothing of it', () => {
    const wire = new Wire().settle()
    wire.dialler.full = true
    wire.dialler.call(text('a'), FLAG.END, { d: 100 })
    wire.pass(200)
    assert.equal(wire.dialler.told('failed')[0]?.error.started, false)
    wire.dialler.full = false
    wire.settle()
    assert.deepEqual(wire.dialler.frames(FRAME.CALL), [])
    assert.deepEqual(wire.dialler.frames(FRAME.CANCEL), [])
  })

  it('does not touch a call that was answered, nor one that has none', () => {
    const wire = new Wire()
    const answered = wire.dialler.call(text('a'), FLAG.END, { d: 100 })
    const endless = wire.dialler.call(text('b'))
    wire.settle()
    wire.acceptor.data(answered, text('ok'), FLAG.END)
    wire.pass(100_000)
    assert.deepEqual([wire.dialler.failures(answered), wire.dialler.failures(endless)], [[], []])
    assert.equal(wire.dialler.timers.has('deadline'), false)
  })

  it('of the nearest call is the one that the timer is set to, whatever the order', () => {
    const wire = new Wire()
    const ids = [5_000, 200, 90_000, 1_000, 50].map((d) => [wire.dialler.call(text('a'), FLAG.END, { d }), d] as const)
    wire.settle()
    const order: number[] = []
    wire.dialler.on = (event) => { if (event.type === 'failed') order.push(event.callId) }
    wire.acceptor.reading = false
    wire.pass(8_000)
    assert.deepEqual(order, [...ids].sort((a, b) => a[1] - b[1]).map(([callId]) => callId).slice(0, 4))
  })

  it('of a unary call counts from its start, however many pieces the reply has', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'), FLAG.END, { d: 1_000 })
    wire.settle()
    wire.acceptor.data(callId, filled(100), FLAG.MORE)
    wire.pass(900)
    wire.acceptor.data(callId, filled(100), FLAG.MORE)
    between(failsAtMs(wire, wire.dialler, callId, 5_000), 1_000, 1_030)
  })
})

describe('the silence of a stream', () => {
  it('counts from the first item: until then the deadline holds, then the idle time', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'), FLAG.END, { d: 1_000, i: 300 })
    wire.settle()
    wire.pass(900)
    for (let i = 0; i < 20; i++) {
      wire.acceptor.data(callId, text('item'))
      wire.pass(290)
    }
    assert.deepEqual(wire.dialler.failures(callId), [])
    const nowMs = wire.clock.nowMs
    between(failsAtMs(wire, wire.dialler, callId, 5_000), nowMs + 10, nowMs + 40)
    assert.match(wire.dialler.told('failed')[0]!.error.message, /no item came for 300 ms/)
    wire.settle()
    assert.deepEqual(wire.acceptor.failures(callId), ['DEADLINE'])
  })

  it('is 30 s unless the call says otherwise, and 0 stands for any', () => {
    const wire = new Wire()
    const plain = wire.dialler.call(text('a'), FLAG.END, { d: 1_000 })
    const subscription = wire.dialler.call(text('a'), FLAG.END, { d: 1_000, i: 0 })
    wire.settle()
    for (const callId of [plain, subscription]) wire.acceptor.data(callId, text('item'))
    between(failsAtMs(wire, wire.dialler, plain, 60_000), STREAM_IDLE_MS, STREAM_IDLE_MS + 30)
    wire.pass(86_400_000)
    assert.deepEqual(wire.dialler.failures(subscription), [])
    assert.deepEqual(wire.acceptor.failures(subscription), [])
  })

  it('is not broken off when the request ends after the first item', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'), 0, { d: 1_000, i: 0 })
    wire.settle()
    wire.acceptor.data(callId, text('item'))
    wire.settle()
    wire.dialler.data(callId, NOTHING, FLAG.END)
    wire.pass(60_000)
    assert.deepEqual([wire.dialler.failures(callId), wire.acceptor.failures(callId)], [[], []])
  })

  it('is not silence while an item trickles to a slow reader', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'), FLAG.END, { d: 1_000, i: 1_000 })
    wire.settle()
    wire.acceptor.data(callId, text('first'))
    wire.acceptor.data(callId, filled(3_000_000))
    for (let i = 0; i < 100; i++) {
      wire.pass(400)
      wire.dialler.command({ type: 'consume', callId, cost: 20_000 })
    }
    const got = wire.dialler.told('data').reduce((sum, event) => sum + event.payload.length, 0)
    assert.ok(got > 1_900_000 && got < 2_200_000, `${got}`)
    assert.deepEqual([wire.dialler.failures(callId), wire.acceptor.failures(callId)], [[], []])
  })
})

describe('an upload', () => {
  it('may be silent for the longer of deadline and idle time, then its answer has the whole time', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'), 0, { d: 1_000, i: 2_000 })
    wire.settle()
    for (let i = 0; i < 5; i++) {
      wire.pass(i === 0 ? 900 : 1_900)
      wire.dialler.data(callId, text('item'))
      wire.settle()
    }
    wire.dialler.data(callId, NOTHING, FLAG.END)
    wire.pass(900)
    assert.deepEqual([wire.dialler.failures(callId), wire.acceptor.failures(callId)], [[], []])
    const nowMs = wire.clock.nowMs
    between(failsAtMs(wire, wire.dialler, callId, 5_000), nowMs + 90, nowMs + 140)
  })

  it('whose reader is slow lives as long as the reader takes something', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(NOTHING, FLAG.RAW, { d: 1_000, i: 1_000 })
    wire.dialler.data(callId, filled(2_000_000))
    wire.settle()
    for (let i = 0; i < 30; i++) {
      wire.pass(900)
      wire.acceptor.command({ type: 'consume', callId, cost: 33_000 })
      wire.settle()
    }
    assert.deepEqual([wire.dialler.failures(callId), wire.acceptor.failures(callId)], [[], []])
  })
})

describe('many deadlines', () => {
  interface Entry { deadlineAtMs: number, bucket: number }
  const entry = (deadlineAtMs: number): Entry => ({ deadlineAtMs, bucket: NO_BUCKET })

  it('are due in their bucket, never early', () => {
    const deadlines = new Deadlines<Entry>()
    const entries = [5, 10, 11, 20, 1_000].map(entry)
    for (const each of entries) deadlines.add(each)
    assert.equal(deadlines.nextAtMs, 10)
    assert.deepEqual(deadlines.due(9.9), [])
    assert.deepEqual(deadlines.due(10).map(({ deadlineAtMs }) => deadlineAtMs), [5, 10])
    assert.deepEqual(deadlines.due(20).map(({ deadlineAtMs }) => deadlineAtMs), [11, 20])
    assert.equal(deadlines.nextAtMs, 1_000)
  })

  it('that moved later are not due before, and those that moved earlier are', () => {
    const deadlines = new Deadlines<Entry>()
    const [later, earlier, gone] = [entry(50), entry(500), entry(50)]
    for (const each of [later, earlier, gone]) deadlines.add(each)
    later.deadlineAtMs = 300
    deadlines.add(later)
    earlier.deadlineAtMs = 100
    deadlines.add(earlier)
    deadlines.remove(gone)
    deadlines.remove(gone)
    assert.deepEqual(deadlines.due(60), [])
    assert.equal(deadlines.nextAtMs, 100)
    assert.deepEqual(deadlines.due(100), [earlier])
    later.deadlineAtMs = Infinity
    assert.deepEqual(deadlines.due(400), [])
    assert.equal(deadlines.nextAtMs, undefined)
  })

  it('without an end are not kept', () => {
    const deadlines = new Deadlines<Entry>()
    deadlines.add(entry(Infinity))
    assert.equal(deadlines.nextAtMs, undefined)
  })
})

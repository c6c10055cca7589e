/** Flow control: what may be on its way, when credit goes back, how windows grow and where they stop. */
import assert from 'node:assert/strict'
import { LINK_BUFFER_BYTES_MAX, WINDOW_BYTES_INITIAL, WINDOW_BYTES_MAX } from '../../../protocols/limits.ts'
import { decodeU32, encodeU32, FLAG, FRAME, frameCost, isBareEnd, type Frame } from '../../../protocols/rpc/messages.ts'
import { ReceiveWindow, RoundTrip } from '../../../protocols/rpc/window.ts'
import { filled, lone, text, Wire, type End } from './wire.ts'

const costOf = (frame: Frame): number => isBareEnd(frame.flags, frame.body.length) ? 0 : frameCost(frame.body.length)

/** Cost of the DATA frames of a call that `end` has sent. */
const dataCost = (end: End, callId: number): number =>
  end.frames(FRAME.DATA).filter((frame) => frame.callId === callId).reduce((sum, frame) => sum + costOf(frame), 0)

const creditOf = (end: End, callId: number): number[] =>
  end.frames(FRAME.CREDIT).filter((frame) => frame.callId === callId).map((frame) => decodeU32(frame.body)!)

/** A callee that answers every call with one long item. */
function bulk(end: End, bytes: number): void {
  const item = filled(bytes)
  end.on = (event) => {
    if (event.type === 'call') end.data(event.callId, item, FLAG.END)
  }
}

/** A caller that consumes whatever comes at once. */
function consumer(end: End): void {
  end.on = (event) => {
    if (event.type !== 'data' || event.payload.length === 0) return
    end.command({ type: 'consume', callId: event.callId, cost: frameCost(event.payload.length) })
  }
}

describe('credit', () => {
  it('lets no more than 64 KiB be sent before anything is consumed', () => {
    const wire = new Wire()
    bulk(wire.acceptor, 500_000)
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    assert.equal(dataCost(wire.acceptor, callId), WINDOW_BYTES_INITIAL)
    assert.deepEqual(creditOf(wire.dialler, callId), [])
  })

  it('goes back on consumption only, when half a window is owed', () => {
    const wire = new Wire()
    bulk(wire.acceptor, 500_000)
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    wire.dialler.command({ type: 'consume', callId, cost: 32_767 })
    wire.settle()
    assert.deepEqual(creditOf(wire.dialler, callId), [])
    wire.dialler.command({ type: 'consume', callId, cost: 1 })
    wire.settle()
    assert.deepEqual(creditOf(wire.dialler, callId), [32_768])
    assert.equal(dataCost(wire.acceptor, callId), WINDOW_BYTES_INITIAL + 32_768)
  })

  it('cannot be made of consuming what never came', () => {
    const wire = new Wire()
    bulk(wire.acceptor, 500_000)
    const callId = wire.dialler.call(text('a'))
    wire.pass(10)
    wire.dialler.command({ type: 'consume', callId, cost: 10_000_000 })
    wire.settle()
    assert.deepEqual(creditOf(wire.dialler, callId), [WINDOW_BYTES_INITIAL])
  })

  it('binds the request as it binds the reply, the first piece in CALL included', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(filled(300_000))
    wire.pass(10)
    const [call] = wire.acceptor.told('call')
    const pieces = wire.acceptor.told('data').map((event) => frameCost(event.payload.length))
    const cost = frameCost(call!.payload.length) + pieces.reduce((sum, piece) => sum + piece, 0)
    assert.equal(cost, WINDOW_BYTES_INITIAL)
    wire.acceptor.command({ type: 'consume', callId, cost })
    wire.settle()
    assert.equal(dataCost(wire.dialler, callId) + frameCost(call!.payload.length), 2 * WINDOW_BYTES_INITIAL)
  })

  it('is not asked for a bare END, and empty items are not free', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    for (let i = 0; i < 10_000; i++) wire.acceptor.data(callId, new Uint8Array(0), FLAG.RAW)
    wire.acceptor.data(callId, new Uint8Array(0), FLAG.END)
    wire.settle()
    assert.equal(wire.dialler.told('data').length, WINDOW_BYTES_INITIAL / 8)
    const other = wire.dialler.call(text('b'))
    wire.settle()
    for (const bytes of [30_000, 30_000, WINDOW_BYTES_INITIAL - 60_016 - 16, 0]) {
      wire.acceptor.data(other, filled(bytes), FLAG.RAW)
      wire.settle()
    }
    wire.acceptor.data(other, new Uint8Array(0), FLAG.END)
    wire.settle()
    assert.equal(wire.dialler.machine.callCount, 1)
  })

  it('of a call starts with what HELLO says, also for calls that did not wait for it', () => {
    const end = lone({}, { window: 300_000 })
    const early = new Wire().dialler
    early.other = undefined
    const callId = early.call(filled(400_000))
    early.flush()
    early.frame(FRAME.HELLO, 0, { v: 1, maxFrame: 32_768, window: 300_000, features: [], epoch: '' })
    early.flush()
    const late = end.call(filled(400_000))
    end.flush()
    for (const [side, id] of [[early, callId], [end, late]] as const) {
      const metaBytes = 2 + side.codec.encode({ m: 'echo.say', e: 'cbor' }).length
      const cost = side.frames().filter((frame) => frame.callId === id)
        .reduce((sum, frame) => sum + costOf(frame) - (frame.type === FRAME.CALL ? metaBytes : 0), 0)
      assert.equal(cost, 300_000)
    }
  })

  it('beyond what can be counted is kept at 2^31 - 1', () => {
    const end = lone()
    const callId = end.call(filled(200_000))
    for (let i = 0; i < 3; i++) end.frame(FRAME.CREDIT, callId, encodeU32(0xffff_ffff))
    end.flush()
    assert.equal(end.downError(), undefined)
    assert.equal(end.frames().reduce((sum, frame) => sum + frame.body.length, 0) >= 200_000, true)
  })

  it('of nothing is no harm', () => {
    const end = lone()
    const callId = end.call(text('a'))
    end.frame(FRAME.CREDIT, callId, encodeU32(0))
    assert.equal(end.downError(), undefined)
  })

  it('overdrawn by one byte is a violation', () => {
    for (const excess of [0, 1]) {
      const end = lone()
      const callId = end.call(text('a'))
      end.flush()
      end.frame(FRAME.DATA, callId, filled(32_760))
      end.frame(FRAME.DATA, callId, filled(32_768 - 8 + excess))
      assert.equal(end.downError()?.message,
        excess === 0 ? undefined : `call ${callId} was sent 32769 bytes beyond its credit`)
    }
  })

  it('is not sent for a direction that has ended', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(filled(60_000))
    wire.settle()
    wire.acceptor.command({ type: 'consume', callId, cost: 70_000 })
    wire.settle()
    assert.deepEqual(wire.acceptor.frames(FRAME.CREDIT), [])
  })
})

describe('a window', () => {
  it('grows to 4 MiB, doubling, when it is used up within two round trips', () => {
    const wire = new Wire({ latencyMs: 25 })
    bulk(wire.acceptor, 30_000_000)
    consumer(wire.dialler)
    const callId = wire.dialler.call(text('a'))
    let most = 0
    const consume = wire.dialler.on
    wire.dialler.on = (event) => {
      consume(event)
      most = Math.max(most, wire.dialler.inbox.reduce((sum, { bytes }) => sum + bytes.length, 0))
    }
    wire.settle()
    assert.deepEqual(wire.dialler.failures(callId), [])
    assert.equal(wire.dialler.machine.rttMs, 50)
    assert.equal(most <= WINDOW_BYTES_MAX, true)
    assert.ok(most > WINDOW_BYTES_MAX / 2, `${most}`)
    assert.equal(wire.dialler.machine.callCount, 0)
  })

  it('stays as it is while no round trip was measured, and when it lasts longer than two', () => {
    const unmeasured = new ReceiveWindow(0)
    const slow = new ReceiveWindow(0)
    for (let i = 1; i <= 20; i++) {
      assert.equal(unmeasured.receive(WINDOW_BYTES_INITIAL), true)
      unmeasured.consume(WINDOW_BYTES_INITIAL, i, undefined, true)
      assert.equal(slow.receive(WINDOW_BYTES_INITIAL), true)
      slow.consume(WINDOW_BYTES_INITIAL, i * 101, 50, true)
    }
    assert.deepEqual([unmeasured.windowBytes, slow.windowBytes], [WINDOW_BYTES_INITIAL, WINDOW_BYTES_INITIAL])
  })

  it('used up in exactly two round trips doubles, up to its maximum and not while it may not', () => {
    const window = new ReceiveWindow(0)
    const sizes: number[] = []
    let nowMs = 0
    for (let i = 0; i < 10; i++) {
      nowMs += 100
      const size = window.windowBytes
      assert.equal(window.receive(size), true)
      window.consume(size, nowMs, 50, i > 0)
      sizes.push(window.windowBytes / 1024)
    }
    assert.deepEqual(sizes, [64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096, 4096])
  })

  it('never has more out than its size, whatever is consumed when', () => {
    const window = new ReceiveWindow(0)
    let credit = WINDOW_BYTES_INITIAL
    for (let i = 1; i < 5_000; i++) {
      const cost = Math.min(credit, 1 + (i * 7919) % 40_000)
      assert.equal(window.receive(cost), true)
      credit -= cost
      credit += window.consume((i * 104_729) % 50_000, i * 3, 5, i % 3 > 0)
      assert.ok(credit >= 0 && credit + window.heldBytes <= window.windowBytes)
    }
    assert.equal(window.receive(credit + 1), false)
  })

  it('of all calls together grows by no more than the buffer of the link', () => {
    const wire = new Wire({ latencyMs: 10 })
    bulk(wire.acceptor, 40_000_000)
    let consuming = true
    wire.dialler.on = (event) => {
      if (event.type !== 'data' || !consuming) return
      wire.dialler.command({ type: 'consume', callId: event.callId, cost: frameCost(event.payload.length) })
    }
    const count = 12
    for (let i = 0; i < count; i++) wire.dialler.call(text('a'))
    wire.pass(300)
    consuming = false
    const before = wire.dialler.events.length
    wire.pass(1_000)
    const held = wire.dialler.events.slice(before).reduce((sum, event) =>
      sum + (event.type === 'data' ? frameCost(event.payload.length) : 0), 0)
    assert.equal(wire.dialler.machine.callCount, count)
    assert.ok(held > LINK_BUFFER_BYTES_MAX / 2, `${held}: nothing grew`)
    assert.ok(held <= LINK_BUFFER_BYTES_MAX + count * WINDOW_BYTES_INITIAL, `${held}`)
  })
})

describe('a round trip', () => {
  it('is the smallest of the last ten', () => {
    const roundTrip = new RoundTrip()
    assert.equal(roundTrip.minMs, undefined)
    for (const sample of [40, 10, 30]) roundTrip.add(sample, 1_000)
    assert.equal(roundTrip.minMs, 10)
    for (let i = 1; i <= 11; i++) roundTrip.add(50 + i, 1_000 + i * 10_000)
    assert.equal(roundTrip.minMs, 10, 'it is kept for two minutes')
    roundTrip.add(70, 121_000)
    assert.equal(roundTrip.minMs, 51, 'then the path may have changed')
  })
})

/** Leaving in good order: GOAWAY, calls that finish, calls that were never begun, and ids that run out. */
import assert from 'node:assert/strict'
import { FLAG, FRAME, type GoAway } from '../../../protocols/rpc/messages.ts'
import { echo, lone, text, Wire } from './wire.ts'

const META = { m: 'a.b', e: 'cbor' }

describe('a link that is left', () => {
  it('lets calls in flight finish, takes no new ones from either side, and then ends', () => {
    const wire = new Wire()
    const theirs = wire.dialler.call(text('a'))
    const mine = wire.acceptor.call(text('b'))
    wire.settle()
    wire.acceptor.command({ type: 'goAway', graceMs: 5_000 })
    wire.settle()
    assert.deepEqual(wire.dialler.told('goingAway'), [{ type: 'goingAway', graceMs: 5_000 }])
    for (const end of wire.ends) {
      assert.equal(end.machine.acceptsCalls, false)
      assert.throws(() => end.call(text('c')), { name: 'GOING_AWAY', started: false })
    }
    wire.acceptor.data(theirs, text('done'), FLAG.END)
    wire.settle()
    assert.equal(wire.acceptor.downError(), undefined)
    wire.dialler.data(mine, text('done'), FLAG.END)
    wire.settle()
    assert.equal(wire.dialler.told('data').length, 1)
    assert.equal(wire.acceptor.told('data').length, 1)
    assert.deepEqual([wire.acceptor.downError()?.name, wire.acceptor.timers.size], ['GOING_AWAY', 0])
  })

  it('ends at once when nothing is in flight, and says GOAWAY before', () => {
    const wire = new Wire().settle()
    wire.acceptor.command({ type: 'goAway', graceMs: 5_000 })
    wire.settle()
    assert.equal(wire.acceptor.downError()?.name, 'GOING_AWAY')
    assert.equal(wire.acceptor.frames().at(-1)?.type, FRAME.GOAWAY)
    assert.equal(wire.dialler.told('goingAway').length, 1)
  })

  it('tells the caller at once which calls were not started', () => {
    const wire = new Wire({ latencyMs: 50 })
    echo(wire.acceptor)
    wire.settle()
    wire.acceptor.on = () => {}
    const seen = wire.dialler.call(text('a'))
    wire.settle()
    const crossing = wire.dialler.call(text('b'))
    wire.dialler.full = true
    const queued = wire.dialler.call(text('c'))
    wire.dialler.full = false
    wire.acceptor.command({ type: 'goAway', graceMs: 1_000 })
    wire.settle()
    const failed = wire.dialler.told('failed').map(({ callId, error }) => [callId, error.name, error.started])
    assert.deepEqual(failed, [[crossing, 'GOING_AWAY', false], [queued, 'GOING_AWAY', false]])
    const body = wire.acceptor.codec.decode(wire.acceptor.frames(FRAME.GOAWAY)[0]!.body) as GoAway
    assert.equal(body.lastId, seen)
    assert.deepEqual(wire.acceptor.told('call').map(({ callId }) => callId), [seen])
    assert.equal(wire.dialler.machine.callCount, 1)
  })

  it('tells both ends DEREGISTERED when the grace is over', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    wire.acceptor.command({ type: 'goAway', graceMs: 700 })
    wire.pass(699)
    assert.deepEqual(wire.dialler.failures(callId), [])
    wire.pass(1)
    for (const end of wire.ends) {
      assert.deepEqual(end.failures(callId), ['DEREGISTERED'])
      assert.deepEqual([end.downError()?.name, end.machine.callCount], ['DEREGISTERED', 0])
    }
  })

  it('keeps its first grace when it is left twice', () => {
    const wire = new Wire()
    wire.dialler.call(text('a'))
    wire.settle()
    wire.acceptor.command({ type: 'goAway', graceMs: 700 })
    wire.acceptor.command({ type: 'goAway', graceMs: 70_000 })
    wire.pass(700)
    assert.equal(wire.acceptor.frames(FRAME.GOAWAY).length, 1)
    assert.notEqual(wire.acceptor.downError(), undefined)
  })

  it('may be left from both sides at once', () => {
    const wire = new Wire({ latencyMs: 10 })
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    for (const end of wire.ends) end.command({ type: 'goAway', graceMs: 5_000 })
    wire.settle()
    wire.acceptor.data(callId, text('done'), FLAG.END)
    wire.settle()
    assert.deepEqual(wire.dialler.told('data').length, 1)
    assert.deepEqual(wire.ends.map((end) => end.downError()?.name), ['GOING_AWAY', 'GOING_AWAY'])
  })

  it('names a grace that the other end takes, whatever was asked', () => {
    for (const [asked, named] of [[Infinity, 300_000], [-5, 0], [1.5, 2], [1e9, 300_000]] as const) {
      const end = lone()
      end.callFrame(2, META, text('x'))
      end.command({ type: 'goAway', graceMs: asked })
      end.flush()
      assert.deepEqual(end.codec.decode(end.frames(FRAME.GOAWAY)[0]!.body), { lastId: 2, graceMs: named })
    }
  })

  it('answers a call that crossed its GOAWAY with GOING_AWAY, not started', () => {
    const end = lone()
    end.callFrame(2, META, text('x'))
    end.command({ type: 'goAway', graceMs: 5_000 })
    end.callFrame(4, META, text('x'), 0)
    end.frame(FRAME.DATA, 4, text('y'), FLAG.END)
    end.flush()
    const [error] = end.frames(FRAME.ERROR)
    const { name, started } = end.codec.decode(error!.body) as { name: string, started: boolean }
    assert.deepEqual([error?.callId, name, started], [4, 'GOING_AWAY', false])
    assert.equal(end.downError(), undefined)
  })
})

describe('the ids of a link', () => {
  it('run out at their last one, and calls in flight go on', () => {
    const wire = new Wire({ dialler: { callIdMax: 7 }, acceptor: { callIdMax: 4 } })
    echo(wire.acceptor)
    echo(wire.dialler)
    const used = [0, 1, 2, 3].map(() => wire.dialler.call(text('x')))
    assert.deepEqual(used, [1, 3, 5, 7])
    assert.throws(() => wire.dialler.call(text('x')), { name: 'GOING_AWAY', started: false })
    assert.equal(wire.dialler.machine.acceptsCalls, false)
    assert.deepEqual([wire.acceptor.call(text('y')), wire.acceptor.call(text('y'))], [2, 4])
    assert.throws(() => wire.acceptor.call(text('y')), { name: 'GOING_AWAY' })
    wire.settle()
    assert.equal(wire.dialler.told('data').length, 4)
    assert.deepEqual(wire.ends.map((end) => end.machine.callCount), [0, 0])
  })

  it('may be any unsigned number of 32 bits of the right parity', () => {
    const end = lone({ role: 'acceptor' })
    end.callFrame(0x7fff_ffff, META, text('x'))
    end.callFrame(0xffff_ffff, META, text('x'))
    assert.deepEqual(end.told('call').map(({ callId }) => callId), [0x7fff_ffff, 0xffff_ffff])
    end.data(0xffff_ffff, text('y'), FLAG.END)
    end.flush()
    assert.equal(end.frames(FRAME.DATA)[0]?.callId, 0xffff_ffff)
  })
})

/** Calls over a pair of machines: one answer, streams either way, items in pieces, many at once, cancelling. */
import assert from 'node:assert/strict'
import { WarrenError, type WireError } from '../../../protocols/errors.ts'
import { FLUSH_BYTES_MAX, LINK_CALLS_MAX, META_BYTES_MAX } from '../../../protocols/limits.ts'
import { FLAG, FRAME } from '../../../protocols/rpc/messages.ts'
import { cutTo, echo, filled, framesOf, lone, text, Wire, words, type End } from './wire.ts'

const NOTHING = new Uint8Array(0)

/** What the caller was told of one call, as short words. */
function replies(end: End, callId: number): string[] {
  return end.events.flatMap((event) => {
    if (!('callId' in event) || event.callId !== callId) return []
    if (event.type === 'data') return [`${words(event.payload)}/${event.flags}`]
    return event.type === 'failed' ? [event.error.name] : event.type === 'ended' ? ['ended'] : []
  })
}

const left = (wire: Wire): number[] => wire.ends.map((end) => end.machine.callCount)

for (const codec of ['cbor', 'json'] as const) {
  describe(`calls over a ${codec} link`, () => {
    it('say HELLO first from both sides, and the owner is told of the other', () => {
      const wire = new Wire({ codec }).settle()
      for (const end of wire.ends) {
        assert.equal(end.frames()[0]?.type, FRAME.HELLO)
        assert.equal(end.timers.has('hello'), false)
      }
      assert.equal(wire.dialler.told('up')[0]?.hello.epoch, 'acceptor')
    })

    it('give one answer, and nothing of the call is left on either side', () => {
      const wire = new Wire({ codec })
      echo(wire.acceptor)
      const callId = wire.dialler.call(text('hi'))
      wire.settle()
      assert.deepEqual(replies(wire.dialler, callId), ['hi/1', 'ended'])
      assert.deepEqual(wire.acceptor.told('call')[0]?.meta, { m: 'echo.say', e: 'cbor' })
      assert.deepEqual(left(wire), [0, 0])
    })

    it('send CALL without waiting for HELLO', () => {
      const wire = new Wire({ codec, latencyMs: 20 })
      echo(wire.acceptor)
      const callId = wire.dialler.call(text('hi'))
      wire.settle()
      assert.equal(wire.clock.nowMs, 40)
      assert.deepEqual(replies(wire.dialler, callId), ['hi/1', 'ended'])
    })

    it('stream replies item by item, and the end may come by itself', () => {
      const wire = new Wire({ codec })
      wire.acceptor.on = (event) => {
        if (event.type !== 'call') return
        for (const item of ['a', 'b', 'c']) wire.acceptor.data(event.callId, text(item))
        wire.acceptor.data(event.callId, NOTHING, FLAG.END)
      }
      const callId = wire.dialler.call(NOTHING)
      wire.settle()
      assert.deepEqual(replies(wire.dialler, callId), ['a/0', 'b/0', 'c/0', '/1', 'ended'])
    })

    it('stream requests item by item', () => {
      const wire = new Wire({ codec })
      const callId = wire.dialler.call(text('first'), 0)
      for (const item of ['a', 'b']) wire.dialler.data(callId, text(item))
      wire.dialler.data(callId, NOTHING, FLAG.END)
      wire.settle()
      assert.deepEqual(replies(wire.acceptor, callId), ['a/0', 'b/0', '/1'])
      wire.acceptor.data(callId, text('done'), FLAG.END)
      wire.settle()
      assert.deepEqual(replies(wire.dialler, callId), ['done/1', 'ended'])
    })

    it('stream both ways at once', () => {
      const wire = new Wire({ codec })
      wire.acceptor.on = (event) => {
        if (event.type !== 'data') return
        const end = event.flags & FLAG.END
        wire.acceptor.data(event.callId, text(`${words(event.payload)}!`), end)
      }
      const callId = wire.dialler.call(NOTHING, FLAG.RAW)
      for (const item of ['a', 'b', 'c']) {
        wire.dialler.data(callId, text(item), item === 'c' ? FLAG.END : 0)
        wire.settle()
      }
      assert.deepEqual(replies(wire.dialler, callId), ['a!/0', 'b!/0', 'c!/1', 'ended'])
    })

    it('go from the acceptor too, with even ids', () => {
      const wire = new Wire({ codec })
      echo(wire.dialler)
      echo(wire.acceptor)
      const mine = [wire.dialler.call(text('1')), wire.dialler.call(text('3'))]
      const theirs = [wire.acceptor.call(text('2')), wire.acceptor.call(text('4'))]
      wire.settle()
      assert.deepEqual([mine, theirs], [[1, 3], [2, 4]])
      assert.deepEqual(replies(wire.acceptor, 4), ['4/1', 'ended'])
    })

    it('carry large items in pieces that are marked MORE, and RAW stays with every piece', () => {
      const wire = new Wire({ codec })
      echo(wire.acceptor)
      const sent = filled(700_000)
      const callId = wire.dialler.call(sent, FLAG.END | FLAG.RAW)
      const got: Uint8Array[] = []
      wire.dialler.on = (event) => {
        if (event.type !== 'data') return
        got.push(event.payload)
        assert.ok((event.flags & FLAG.RAW) !== 0)
        wire.dialler.command({ type: 'consume', callId, cost: event.payload.length + 8 })
      }
      wire.settle()
      assert.ok(Buffer.concat(got).equals(sent))
      const requests = wire.dialler.frames().filter((frame) => frame.callId === callId && frame.type <= FRAME.DATA)
      assert.deepEqual(new Set(requests.slice(0, -1).map((frame) => frame.flags)), new Set([FLAG.RAW | FLAG.MORE]))
      assert.equal(requests.at(-1)?.flags, FLAG.RAW | FLAG.END)
      assert.ok(requests.every((frame) => frame.body.length <= 32_768))
    })

    it('tell an empty item of bytes from the end of a stream', () => {
      const wire = new Wire({ codec })
      const callId = wire.dialler.call(NOTHING, FLAG.RAW)
      wire.dialler.data(callId, NOTHING, FLAG.RAW | FLAG.END)
      wire.settle()
      const [call] = wire.acceptor.told('call')
      assert.deepEqual([call?.flags, call?.payload.length], [FLAG.RAW, 0])
      assert.deepEqual(replies(wire.acceptor, callId), ['/5'])
    })

    for (const count of [1, 100, 10_000]) {
      it(`answer ${count} at once, each with its own`, () => {
        const wire = new Wire({ codec })
        echo(wire.acceptor)
        const ids = Array.from({ length: count }, (_, index) => wire.dialler.call(text(`n${index}`)))
        const before = wire.dialler.machine.callCount
        wire.settle()
        assert.equal(before, count)
        const answers = new Map(wire.dialler.told('data').map((event) => [event.callId, words(event.payload)]))
        assert.ok(ids.every((callId, index) => answers.get(callId) === `n${index}`))
        assert.deepEqual(left(wire), [0, 0])
      })
    }

    it('arrive the same in chunks of one byte', () => {
      const wire = new Wire({ codec, chunks: cutTo(1) })
      echo(wire.acceptor)
      const callId = wire.dialler.call(filled(3_000))
      wire.settle()
      assert.equal(wire.dialler.told('data')[0]?.payload.length, 3_000)
      assert.deepEqual(replies(wire.dialler, callId).at(-1), 'ended')
    })

    it('carry an error with its name, its code, its text and its details', () => {
      const wire = new Wire({ codec })
      wire.acceptor.on = (event) => {
        if (event.type !== 'call') return
        wire.acceptor.command({ type: 'fail', callId: event.callId, error: {
          code: 'NOT_FOUND', name: 'NO_SUCH_SONG', message: 'no song', started: true, details: { song: 'x' },
        } })
      }
      const callId = wire.dialler.call(text('x'))
      wire.settle()
      const [failed] = wire.dialler.told('failed')
      assert.ok(failed?.error instanceof WarrenError)
      const { name, code, message, started, details } = failed.error
      assert.deepEqual({ name, code, message, started, details }, {
        name: 'NO_SUCH_SONG', code: 'NOT_FOUND', message: 'no song', started: true, details: { song: 'x' },
      })
      assert.equal(failed.callId, callId)
      assert.deepEqual(left(wire), [0, 0])
    })
  })
}

describe('a call on a link', () => {
  it('ends with the answer: what the caller still uploads is discarded', () => {
    const wire = new Wire()
    wire.acceptor.on = (event) => {
      if (event.type === 'call') wire.acceptor.data(event.callId, text('enough'), FLAG.END)
    }
    const callId = wire.dialler.call(text('a'), 0)
    wire.dialler.data(callId, filled(200_000), FLAG.END)
    wire.settle()
    assert.deepEqual(replies(wire.dialler, callId), ['enough/1', 'ended'])
    assert.deepEqual(left(wire), [0, 0])
    assert.equal(wire.acceptor.downError(), undefined)
  })

  it('is cancelled at the callee with the reason, and its answer is not sent', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    wire.acceptor.data(callId, text('late'), FLAG.END)
    wire.dialler.command({ type: 'cancel', callId, reason: 'no longer needed' })
    wire.acceptor.full = true
    wire.settle()
    wire.acceptor.full = false
    wire.settle()
    const [failed] = wire.acceptor.told('failed')
    assert.deepEqual([failed?.error.name, failed?.error.message], ['CANCELLED', 'no longer needed'])
    assert.deepEqual(wire.acceptor.frames(FRAME.DATA), [])
    assert.deepEqual(left(wire), [0, 0])
  })

  it('that never left needs no cancelling', () => {
    const end = lone()
    const callId = end.call(text('a'))
    end.command({ type: 'cancel', callId, reason: 'changed my mind' })
    end.flush()
    assert.deepEqual(end.frames(), [])
    const next = end.call(text('b'))
    end.flush()
    assert.deepEqual(end.frames().map((frame) => frame.callId), [next])
  })

  it('is cancelled with a reason of any length', () => {
    for (const codec of ['cbor', 'json'] as const) {
      const wire = new Wire({ codec })
      const callId = wire.dialler.call(text('a'))
      const other = wire.dialler.call(text('b'))
      wire.settle()
      wire.dialler.command({ type: 'cancel', callId, reason: 'because '.repeat(20_000) })
      wire.settle()
      assert.match(wire.acceptor.told('failed')[0]?.error.message ?? '', /^because .*…$/)
      wire.acceptor.data(other, text('ok'), FLAG.END)
      wire.settle()
      assert.deepEqual(replies(wire.dialler, other), ['ok/1', 'ended'])
    }
  })

  it('fails with a plainer error when the real one does not fit or cannot be read', () => {
    let deep: unknown = 'deep'
    for (let i = 0; i < 150; i++) deep = [deep]
    const base: WireError = { code: 'ABORTED', name: 'ODD', message: 'odd', started: true }
    const cases: [Partial<WireError>, string][] = [
      [{ details: () => 1 }, 'ODD'], [{ details: deep }, 'ODD'], [{ details: 'x'.repeat(40_000) }, 'ODD'],
      [{ details: new Error('x') }, 'ODD'], [{ name: 'N'.repeat(70_000) }, 'INTERNAL'],
    ]
    for (const codec of ['cbor', 'json'] as const) {
      for (const [error, name] of cases) {
        const wire = new Wire({ codec })
        const callId = wire.dialler.call(text('a'))
        wire.settle()
        wire.acceptor.command({ type: 'fail', callId, error: { ...base, ...error } })
        wire.settle()
        assert.deepEqual(wire.dialler.failures(callId), [name])
        assert.equal(wire.dialler.downError(), undefined)
      }
    }
  })

  it('is refused before it is sent when its meta is too long', () => {
    const end = lone()
    assert.throws(() => end.call(NOTHING, FLAG.END, { ob: ['x'.repeat(META_BYTES_MAX)] }),
      { name: 'LIMIT', started: false })
    assert.equal(end.machine.callCount, 0)
  })

  it(`is refused at both ends beyond ${LINK_CALLS_MAX} open ones, and the link goes on`, () => {
    const end = lone({ role: 'acceptor' })
    for (let i = 0; i < LINK_CALLS_MAX; i++) end.call(NOTHING)
    assert.throws(() => end.call(NOTHING), { name: 'LIMIT', started: false, retryAfterMs: 100 })
    for (let i = 0; i < LINK_CALLS_MAX; i++) end.callFrame(i * 2 + 1, { m: 'a.b', e: 'cbor' }, NOTHING)
    assert.equal(end.told('call').length, LINK_CALLS_MAX)
    end.callFrame(LINK_CALLS_MAX * 2 + 1, { m: 'a.b', e: 'cbor' }, NOTHING)
    assert.equal(end.told('call').length, LINK_CALLS_MAX)
    end.flush()
    const [error] = end.frames(FRAME.ERROR)
    assert.equal(error?.callId, LINK_CALLS_MAX * 2 + 1)
    assert.equal((end.codec.decode(error.body) as WireError).name, 'LIMIT')
    end.command({ type: 'fail', callId: 1, error: { code: 'ABORTED', name: 'X', message: '', started: true } })
    end.callFrame(LINK_CALLS_MAX * 2 + 3, { m: 'a.b', e: 'cbor' }, NOTHING)
    assert.equal(end.told('call').length, LINK_CALLS_MAX + 1)
  })

  it('is refused while more than 16 MiB wait to be read, until some of it was', () => {
    const end = lone({ role: 'acceptor' })
    const full = filled(32_000)
    for (let i = 0; i < 263; i++) {
      const callId = i * 2 + 1
      end.callFrame(callId, { m: 'a.b', e: 'cbor' }, full, 0)
      end.frame(FRAME.DATA, callId, full)
    }
    assert.equal(end.told('call').length, 263)
    end.callFrame(1_001, { m: 'a.b', e: 'cbor' }, NOTHING)
    end.command({ type: 'consume', callId: 1, cost: 64_016 })
    end.callFrame(1_003, { m: 'a.b', e: 'cbor' }, NOTHING, 0)
    end.flush()
    assert.deepEqual(end.frames(FRAME.ERROR).map((frame) => frame.callId), [1_001])
    assert.equal(end.told('call').length, 264)
    for (const callId of [1, 1_003]) end.frame(FRAME.DATA, callId, full)
    end.callFrame(1_005, { m: 'a.b', e: 'cbor' }, NOTHING)
    assert.equal(end.told('call').length, 264)
    end.frame(FRAME.CANCEL, 3, { reason: 'what it held is forgotten with it' })
    end.callFrame(1_007, { m: 'a.b', e: 'cbor' }, NOTHING)
    assert.equal(end.told('call').length, 265)
  })

  it('with commands after its end changes nothing', () => {
    const wire = new Wire()
    echo(wire.acceptor)
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    const before = wire.dialler.sent.length
    for (const end of wire.ends) {
      end.data(callId, text('more'))
      end.command({ type: 'consume', callId, cost: 1_000 })
      end.command({ type: 'cancel', callId, reason: 'late' })
      end.command({ type: 'fail', callId, error: { code: 'ABORTED', name: 'X', message: '', started: true } })
    }
    wire.settle()
    assert.equal(wire.dialler.sent.length, before)
  })

  it('says nothing more once it has said END', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'))
    wire.dialler.data(callId, text('more'), FLAG.END)
    wire.settle()
    assert.deepEqual(wire.acceptor.told('data'), [])
    assert.equal(wire.acceptor.downError(), undefined)
  })
})

describe('a flush', () => {
  it(`is never over ${FLUSH_BYTES_MAX} bytes, and is filled while there is something to say`, () => {
    const end = lone({}, { window: 1_000_000 })
    for (let i = 0; i < 8; i++) end.call(filled(100_000, i))
    for (let i = 0; i < 2_000; i++) end.call(filled(i % 90))
    for (let i = 0; i < 5_000; i++) end.frame(FRAME.PING, 0, filled(8, i))
    end.flush()
    assert.ok(end.sent.every((bytes) => bytes.length <= FLUSH_BYTES_MAX))
    assert.ok(end.sent.slice(0, -1).every((bytes) => bytes.length > FLUSH_BYTES_MAX - 4_200))
    const calls = framesOf(end.sent).filter((frame) => frame.type === FRAME.CALL).map((frame) => frame.callId)
    assert.deepEqual(calls, [...calls].sort((a, b) => a - b))
    assert.equal(calls.length, 2_008)
  })

  it('writes control frames first', () => {
    const end = lone()
    end.call(filled(100))
    end.frame(FRAME.PING, 0, filled(8))
    end.flush()
    assert.deepEqual(end.frames().map((frame) => frame.type), [FRAME.PONG, FRAME.CALL])
  })

  it('takes turns: a small call beside bulk ones waits for one chunk of each', () => {
    const end = lone({}, { window: 2_000_000 })
    const bulk = [end.call(filled(1_000_000)), end.call(filled(1_000_000))]
    for (let i = 0; i < 3; i++) end.command({ type: 'flush' })
    const before = end.frames().length
    const small = end.call(text('small'))
    end.flush()
    const order = end.frames().slice(before).map((frame) => frame.callId)
    assert.ok(order.indexOf(small) <= bulk.length)
    const bulkOrder = order.filter((callId) => callId !== small).slice(0, 40)
    assert.ok(bulkOrder.every((callId, index) => callId !== bulkOrder[index - 1]))
  })

  it('tells what was handed over whole, once, with its cost', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'), 0)
    wire.dialler.data(callId, filled(50_000), 0, true)
    wire.dialler.data(callId, text('quiet'))
    wire.dialler.data(callId, filled(10), 0, true)
    wire.dialler.data(callId, NOTHING, FLAG.END, true)
    wire.settle()
    assert.deepEqual(wire.dialler.told('sent').map(({ cost }) => cost), [50_008, 18, 0])
  })
})

describe('an error behind items', () => {
  it('comes when they have been sent, as credit allows, and ends the call', () => {
    const wire = new Wire()
    const callId = wire.dialler.call(text('a'))
    wire.settle()
    for (const item of ['one', 'two']) wire.acceptor.data(callId, text(item))
    wire.acceptor.data(callId, filled(100_000))
    wire.acceptor.command({ type: 'fail', callId, error: { code: 'ABORTED', name: 'LATER', message: '',
      started: true } })
    wire.acceptor.data(callId, text('never'))
    wire.settle()
    assert.deepEqual(wire.dialler.failures(callId), [])
    assert.equal(wire.acceptor.machine.callCount, 1)
    wire.dialler.command({ type: 'consume', callId, cost: 65_536 })
    wire.settle()
    assert.deepEqual(replies(wire.dialler, callId).slice(0, 2), ['one/0', 'two/0'])
    assert.equal(wire.dialler.told('data').reduce((sum, event) => sum + event.payload.length, 0), 100_006)
    assert.deepEqual(wire.dialler.failures(callId), ['LATER'])
    assert.deepEqual([...left(wire), wire.acceptor.told('ended').length], [0, 0, 1])
  })

  it('is not sent any more when the caller has cancelled, or its time is over', () => {
    for (const d of [undefined, 100]) {
      const wire = new Wire()
      const callId = wire.dialler.call(text('a'), FLAG.END, d === undefined ? {} : { d })
      wire.settle()
      wire.acceptor.data(callId, filled(100_000))
      wire.acceptor.command({ type: 'fail', callId, error: { code: 'ABORTED', name: 'LATER', message: '',
        started: true } })
      wire.settle()
      if (d === undefined) wire.dialler.command({ type: 'cancel', callId, reason: 'x' })
      wire.pass(60_000)
      assert.deepEqual(wire.dialler.failures(callId), d === undefined ? [] : ['DEADLINE'])
      assert.deepEqual(left(wire), [0, 0])
      assert.equal(wire.dialler.downError() ?? wire.acceptor.downError(), undefined)
    }
  })
})

/** What breaks the protocol ends the link with a named error, and what only looks odd does not. */
import assert from 'node:assert/strict'
import type { WireError } from '../../../protocols/errors.ts'
import { FRAME_BODY_BYTES_MAX } from '../../../protocols/limits.ts'
import { encodeFrame, encodeU32, FLAG, FRAME, frameFault, writeHeader } from '../../../protocols/rpc/messages.ts'
import { End, filled, hello, lone, text, type EventOf } from './wire.ts'

const META = { m: 'a.b', e: 'cbor' }
const NOTHING = new Uint8Array(0)

/** The link is down, told its peer why on call 0, and everything is let go. */
function assertViolated(end: End, rule: RegExp): void {
  const down = end.told('down') as EventOf<'down'>[]
  assert.equal(down.length, 1)
  assert.equal(down[0]?.error.name, 'PROTOCOL')
  assert.match(down[0].error.message, rule)
  const last = end.frames().at(-1)
  assert.deepEqual([last?.type, last?.callId], [FRAME.ERROR, 0])
  const wire = end.codec.decode(last!.body) as WireError
  assert.deepEqual([wire.name, wire.message], ['PROTOCOL', down[0].error.message])
  assert.equal(end.machine.callCount, 0)
  assert.deepEqual([...end.timers.keys()], [])
  assert.deepEqual([end.machine.hasOutput, end.machine.acceptsCalls], [false, false])
}

/** Rules that a peer can break with one step, on a link where it opened call 1 and 3, and 3 is over. */
const BROKEN: Record<string, [RegExp, (end: End) => void]> = {
  'HELLO twice': [/HELLO came twice/, (end) => end.frame(FRAME.HELLO, 0, hello())],
  'an id that was used': [/call 1 is not a new id/, (end) => end.callFrame(1, META, NOTHING)],
  'the last id again': [/call 3 is not a new id/, (end) => end.callFrame(3, META, NOTHING)],
  'an id below one that was used': [/call 1 is not a new id/, (end) => {
    end.callFrame(5, META, NOTHING)
    end.callFrame(1, META, NOTHING)
  }],
  'an id of the other parity': [/call 6 is not a new id/, (end) => end.callFrame(6, META, NOTHING)],
  'DATA for a call that never was': [/DATA for call 9, which was never/, (end) => end.frame(FRAME.DATA, 9, text('x'))],
  'DATA for an own id not yet used': [/DATA for call 4, which/, (end) => end.frame(FRAME.DATA, 4, text('x'))],
  'ERROR for a call that never was': [/ERROR for call 9/, (end) => end.frame(FRAME.ERROR, 9, {})],
  'CANCEL for a call that never was': [/CANCEL for call 9/, (end) => end.frame(FRAME.CANCEL, 9, { reason: 'x' })],
  'CREDIT for a call that never was': [/CREDIT for call 9/, (end) => end.frame(FRAME.CREDIT, 9, encodeU32(1))],
  'CREDIT that is not four bytes': [/CREDIT is not four bytes/, (end) => end.frame(FRAME.CREDIT, 1, filled(5))],
  'DATA after END': [/DATA after END on call 1/, (end) => end.frame(FRAME.DATA, 1, text('x'))],
  'END after END': [/DATA after END on call 1/, (end) => end.frame(FRAME.DATA, 1, NOTHING, FLAG.END)],
  'CANCEL by the callee': [/the callee cancelled call 2/, (end) => end.frame(FRAME.CANCEL, 2, { reason: 'x' })],
  'PING that is not eight bytes': [/PING is not eight bytes/, (end) => end.frame(FRAME.PING, 0, filled(7))],
  'GOAWAY that is no map': [/GOAWAY.lastId/, (end) => end.frame(FRAME.GOAWAY, 0, 7)],
  'GOAWAY with an endless grace': [/GOAWAY.graceMs/, (end) => end.frame(FRAME.GOAWAY, 0, { lastId: 0, graceMs: 1e9 })],
  'an unknown type': [/frame type 9 is unknown/, (end) => end.receive(encodeFrame(9, 0, 0, NOTHING))],
  'an unknown flag': [/flags 8 on a frame of type 2/, (end) => end.frame(FRAME.DATA, 1, NOTHING, 8)],
  'flags where none belong': [/flags 1 on a frame of type 5/, (end) => end.frame(FRAME.CREDIT, 1, encodeU32(1),
  FLAG.END)],
  'END and MORE': [/END and MORE/, (end) => end.frame(FRAME.DATA, 1, text('x'), FLAG.END | FLAG.MORE)],
  'PING that names a call': [/names call 1/, (end) => end.frame(FRAME.PING, 1, filled(8))],
  'DATA that names none': [/names no call/, (end) => end.frame(FRAME.DATA, 0, text('x'))],
  'a frame over its limit': [/32769 bytes is over the limit/, (end) => {
    const header = new Uint8Array(8)
    writeHeader(header, 0, FRAME.DATA, 0, FRAME_BODY_BYTES_MAX + 1, 1)
    end.receive(header)
  }],
  'meta longer than its frame': [/meta of call 5 does not fit/, (end) =>
    end.frame(FRAME.CALL, 5, Uint8Array.of(0, 9, 1))],
  'CALL without meta': [/meta of call 5 does not fit/, (end) => end.frame(FRAME.CALL, 5, Uint8Array.of(0))],
  'meta over its limit': [/meta of call 5 does not fit/, (end) => end.callFrame(5, { ...META,
  k: 'x'.repeat(8_200) }, NOTHING)],
}

/** A link whose peer has opened calls 1 and 3, of which 3 is over, and which has opened call 2. */
function busy(codec: 'cbor' | 'json'): End {
  const end = lone({ role: 'acceptor', codec })
  for (const callId of [1, 3]) end.callFrame(callId, META, text('x'))
  end.command({ type: 'fail', callId: 3, error: { code: 'ABORTED', name: 'X', message: '', started: true } })
  end.call(text('mine'))
  end.flush()
  return end
}

for (const codec of ['cbor', 'json'] as const) {
  describe(`a ${codec} link whose peer breaks the protocol`, () => {
    for (const [title, [rule, breakIt]] of Object.entries(BROKEN)) {
      it(`ends with a named error on ${title}`, () => {
        const end = busy(codec)
        breakIt(end)
        assertViolated(end, rule)
        assert.deepEqual(end.told('failed').slice(0, 2).map((e) => [e.callId, e.error.name, e.error.started]),
          [[1, 'PROTOCOL', 'unknown'], [2, 'PROTOCOL', 'unknown']])
      })
    }

    it('ends on any frame but ERROR before HELLO', () => {
      for (const type of [FRAME.CALL, FRAME.DATA, FRAME.CANCEL, FRAME.CREDIT, FRAME.PING, FRAME.GOAWAY]) {
        const end = new End({ nowMs: 0 }, { codec })
        end.flush()
        const ofLink = type === FRAME.PING || type === FRAME.GOAWAY
        end.frame(type, ofLink ? 0 : 2, filled(8))
        assertViolated(end, new RegExp(`type ${type} came before HELLO`))
      }
    })

    it('ends on a HELLO that it cannot work with', () => {
      const cases: [Record<string, unknown>, RegExp][] = [
        [{ v: 2 }, /version 2 of the protocol/], [{ maxFrame: 1_024 }, /maxFrame/], [{ maxFrame: 32_769 }, /maxFrame/],
        [{ window: 65_535 }, /window/], [{ window: 2 ** 31 }, /window/], [{ epoch: 'x'.repeat(65) }, /epoch/],
        [{ features: 'none' }, /features/], [{ features: Array(33).fill('x') }, /features/], [{ v: undefined },
        /version/],
      ]
      for (const [given, rule] of cases) {
        const end = new End({ nowMs: 0 }, { codec })
        end.flush()
        end.frame(FRAME.HELLO, 0, { ...hello(), ...given })
        assertViolated(end, rule)
      }
      const end = new End({ nowMs: 0 }, { codec })
      end.frame(FRAME.HELLO, 0, Uint8Array.of(0xff, 0x00))
      assertViolated(end, /HELLO is not a map/)
    })

    it('says nothing and does nothing more once it is down', () => {
      const end = busy(codec)
      end.frame(FRAME.HELLO, 0, hello())
      const [sent, told] = [end.sent.length, end.events.length]
      end.receive(filled(1_000))
      for (const id of ['deadline', 'hello', 'frame', 'ping', 'grace']) end.input({ type: 'timer', id })
      end.input({ type: 'linkDown', peer: undefined, reason: 'again' })
      end.input({ type: 'resumed' })
      end.data(2, text('x'))
      end.command({ type: 'flush' })
      assert.deepEqual([end.sent.length, end.events.length], [sent, told])
      assert.throws(() => end.call(text('x')), { name: 'LINK_LOST', started: false })
    })
  })
}

describe('a link', () => {
  it('reads nothing behind the frame that broke the protocol', () => {
    const end = busy('cbor')
    const good = encodeFrame(FRAME.CALL, FLAG.END, 7, NOTHING)
    end.receive(Buffer.concat([encodeFrame(FRAME.HELLO, 0, 0, end.codec.encode(hello())), good]))
    assert.equal(end.told('call').length, 2)
    assertViolated(end, /HELLO came twice/)
  })

  it('discards frames for calls that are over', () => {
    const end = busy('cbor')
    end.frame(FRAME.DATA, 3, text('x'))
    end.frame(FRAME.CANCEL, 3, { reason: 'x' })
    end.frame(FRAME.CREDIT, 3, encodeU32(1))
    end.frame(FRAME.ERROR, 3, {})
    end.command({ type: 'cancel', callId: 2, reason: 'x' })
    end.frame(FRAME.DATA, 2, text('x'), FLAG.END)
    assert.equal(end.downError(), undefined)
    assert.deepEqual(end.told('data'), [])
  })

  it('lets an id be left out', () => {
    const end = busy('cbor')
    end.callFrame(101, META, NOTHING)
    end.frame(FRAME.DATA, 51, text('of a call that was cancelled before it was sent'))
    assert.equal(end.downError(), undefined)
    assert.equal(end.told('call').length, 3)
  })

  it('refuses a call with odd meta by name, and goes on', () => {
    const odd: [unknown, RegExp][] = [
      ['text', /meta is not a map/], [{ e: 'cbor' }, /meta.m/], [{ m: '', e: 'cbor' }, /meta.m/],
      [{ m: 'x'.repeat(128), e: 'cbor' }, /meta.m/], [{ m: 'a.b' }, /meta.e/], [{ ...META, d: '1' }, /meta.d/],
      [{ ...META, d: NaN }, /meta.d/], [{ ...META, d: Infinity }, /meta.d/], [{ ...META, d: 2n ** 60n }, /meta.d/],
      [{ ...META, i: -1 }, /meta.i/], [{ ...META, i: NaN }, /meta.i/], [{ ...META, tp: 1 }, /meta.tp/],
      [{ ...META, k: 'x'.repeat(129) }, /meta.k/], [{ ...META, ob: 'x' }, /meta.ob/], [{ ...META, ob: [1] }, /meta.ob/],
      [{ ...META, ob: Array(17).fill('x') }, /meta.ob/], [{ ...META, to: 'x' }, /meta.to/],
      [{ ...META, to: { node: 1 } }, /meta.to.node/], [{ ...META, to: { device: 'x'.repeat(64) } }, /meta.to.device/],
    ]
    const end = busy('cbor')
    odd.forEach(([meta], index) => { end.callFrame(5 + index * 2, meta, text('x'), 0) })
    end.flush()
    const errors = end.frames(FRAME.ERROR).filter((frame) => frame.callId >= 5)
    assert.equal(errors.length, odd.length)
    errors.forEach((frame, index) => {
      const error = end.codec.decode(frame.body) as WireError
      assert.deepEqual([error.name, error.started, frame.callId], ['PROTOCOL', false, 5 + index * 2])
      assert.match(error.message, odd[index]![1])
    })
    assert.equal(end.downError(), undefined)
    end.frame(FRAME.DATA, 5, text('of a call that was refused'), FLAG.END)
    end.callFrame(1_001, { ...META, more: 'of a later version' }, NOTHING)
    assert.equal(end.told('call').at(-1)?.callId, 1_001)
  })

  it('refuses a call whose time is over, as DEADLINE and not started', () => {
    for (const d of [0, -0, -5, -Infinity, -1e300]) {
      const end = busy('cbor')
      end.callFrame(5, { ...META, d }, text('x'))
      end.flush()
      const [, error] = end.frames(FRAME.ERROR).map((frame) => end.codec.decode(frame.body) as WireError)
      assert.deepEqual([error?.name, error?.started], ['DEADLINE', false])
      assert.equal(end.told('call').length, 2)
    }
  })

  it('takes an error of any shape for one, on a call and on the link', () => {
    for (const body of [null, 7, 'x', [], {}, { name: 5, message: {}, code: 'NOPE', started: 'x', retryAfterMs: -1 }]) {
      const end = busy('cbor')
      end.frame(FRAME.ERROR, 2, body)
      assert.deepEqual(end.failures(2), ['UNKNOWN'])
      end.frame(FRAME.ERROR, 0, body)
      assert.equal(end.downError()?.name, 'UNKNOWN')
      assert.equal(end.machine.callCount, 0)
    }
    const end = busy('cbor')
    end.frame(FRAME.ERROR, 2, filled(100))
    assert.deepEqual(end.failures(2), ['UNKNOWN'])
  })

  it('takes a cancel of any shape for one', () => {
    for (const body of [null, 7, { reason: 5 }, { reason: 'x'.repeat(501) }, filled(20)]) {
      const end = busy('cbor')
      end.frame(FRAME.CANCEL, 1, body)
      assert.equal(end.told('failed')[0]?.error.message, 'the caller gave no reason')
    }
  })

  it('ends without an answer when the peer says ERROR on call 0, before HELLO or after', () => {
    const error = { code: 'UNAVAILABLE', name: 'DEREGISTERED', message: 'the time is over', started: 'unknown' }
    for (const end of [busy('cbor'), new End({ nowMs: 0 })]) {
      const before = end.sent.length
      end.frame(FRAME.ERROR, 0, error)
      assert.equal(end.downError()?.name, 'DEREGISTERED')
      assert.equal(end.sent.length, before)
    }
  })

  it('stops reading while a mebibyte of answers waits, and goes on when they have left', () => {
    const end = lone()
    const flood = Buffer.concat(Array.from({ length: 1_000 }, () => encodeFrame(FRAME.PING, 0, 0, filled(8))))
    let chunks = 0
    for (; chunks < 1_000 && end.reading; chunks++) end.receive(flood)
    assert.equal(end.reading, false)
    assert.equal(chunks, 66)
    end.flush()
    assert.equal(end.reading, true)
    assert.equal(end.frames(FRAME.PONG).length, 66_000)
  })
})

describe('the rule of a frame', () => {
  it('lets every frame of the table pass, and flags on CALL and DATA only', () => {
    for (let type = 0; type <= 8; type++) {
      const callId = [FRAME.HELLO, FRAME.PING, FRAME.PONG, FRAME.GOAWAY].some((ofLink) => ofLink === type) ? 0 : 1
      assert.equal(frameFault(type, 0, 0, callId), undefined)
      const carriesItems = type === FRAME.CALL || type === FRAME.DATA
      for (const flags of [1, 2, 4, 5, 6]) {
        assert.equal(frameFault(type, flags, 0, callId) === undefined, carriesItems, `${type} ${flags}`)
      }
      for (const flags of [3, 7, 8, 128]) assert.ok(frameFault(type, flags, 0, callId))
    }
    assert.equal(frameFault(FRAME.ERROR, 0, 0, 0), undefined)
  })
})

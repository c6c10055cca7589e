/** The bytes of every frame as they were recorded: other bytes would be another version of the protocol. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cancelBody, errorBody } from '../../../protocols/rpc/bodies.ts'
import { cbor, json } from '../../../protocols/rpc/codec.ts'
import {
  checkCancel, checkGoAway, checkHello, checkMeta, decodeU32, FLAG, FRAME, RPC_VERSION, type CallMeta,
} from '../../../protocols/rpc/messages.ts'
import { fromWireError } from '../../../protocols/errors.ts'
import { filled, framesOf, lone, text, type End } from './wire.ts'

const GOLDEN = join(import.meta.dirname, '..', '..', 'golden')
const META: CallMeta = { m: 'echo.say', e: 'json', d: 30_000, to: { node: 'n' } }
const HELLO = { v: RPC_VERSION, maxFrame: 32_768, window: 65_536, features: [], epoch: 'golden' }

/** The frames of a golden file by name: `# words`, then `NAME hex`. */
function recorded(codec: string): Map<string, string> {
  const lines = readFileSync(join(GOLDEN, `rpc-${codec}.txt`), 'utf8').split('\n')
  return new Map(lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => {
    const [name, hex] = line.split(' ')
    return [name!, hex!] as const
  }))
}

/** What a link sends when it is asked for each kind of frame. */
function made(codec: 'cbor' | 'json'): Map<string, string> {
  const frames = new Map<string, string>()
  const take = (name: string, end: End, type: number, index = 0): void => {
    const frame = end.frames(type)[index]!
    const header = [frame.type, frame.flags, frame.body.length >> 8, frame.body.length & 255, 0, 0, 0, frame.callId]
    frames.set(name, Buffer.concat([Uint8Array.from(header), frame.body]).toString('hex'))
  }
  const end = lone({ codec, epoch: 'golden' })
  end.input({ type: 'linkUp', peer: undefined })
  end.call(text('{"text":"hi"}'), FLAG.END, META)
  const cut = end.call(filled(20), FLAG.MORE, { ...META, e: 'cbor' })
  end.data(cut, text('raw'), FLAG.RAW)
  end.data(cut, new Uint8Array(0), FLAG.END)
  end.flush()
  end.command({ type: 'cancel', callId: cut, reason: 'no longer needed' })
  end.callFrame(2, { m: 'a.b', e: 'cbor' }, new Uint8Array(32_000), 0)
  end.frame(FRAME.DATA, 2, new Uint8Array(32_000))
  end.command({ type: 'consume', callId: 2, cost: 40_000 })
  end.command({ type: 'fail', callId: 2, error: {
    code: 'NOT_FOUND', name: 'FILE_NOT_FOUND', message: 'no file', started: true, retryAfterMs: 5,
    details: { path: '/x' },
  } })
  end.frame(FRAME.PING, 0, Uint8Array.of(0, 0, 0, 0, 1, 2, 3, 4))
  end.clock.nowMs = 5_000
  end.fire('ping')
  end.command({ type: 'goAway', graceMs: 5_000 })
  end.flush()
  take('HELLO', end, FRAME.HELLO)
  take('CALL', end, FRAME.CALL)
  take('CALL-MORE', end, FRAME.CALL, 1)
  take('DATA-RAW', end, FRAME.DATA)
  take('DATA-END', end, FRAME.DATA, 1)
  take('ERROR', end, FRAME.ERROR)
  take('CANCEL', end, FRAME.CANCEL)
  take('CREDIT', end, FRAME.CREDIT)
  take('PING', end, FRAME.PING, 1)
  take('PONG', end, FRAME.PONG)
  take('GOAWAY', end, FRAME.GOAWAY)
  return frames
}

for (const codec of ['cbor', 'json'] as const) {
  describe(`the recorded frames of a ${codec} link`, () => {
    it('are what a link sends today', () => {
      assert.deepEqual(Object.fromEntries(made(codec)), Object.fromEntries(recorded(codec)))
    })

    it('mean what they meant', () => {
      const coder = codec === 'cbor' ? cbor : json
      const frame = (name: string) => framesOf([Buffer.from(recorded(codec).get(name)!, 'hex')])[0]!
      const value = (name: string): unknown => coder.decode(frame(name).body)
      assert.deepEqual(checkHello(value('HELLO')), HELLO)
      const { body, callId, flags } = frame('CALL')
      const metaBytes = new DataView(body.buffer, body.byteOffset).getUint16(0)
      assert.deepEqual(checkMeta(coder.decode(body.subarray(2, 2 + metaBytes))), META)
      assert.deepEqual([callId, flags, json.decode(body.subarray(2 + metaBytes))], [1, FLAG.END, { text: 'hi' }])
      assert.equal(frame('CALL-MORE').flags, FLAG.MORE)
      assert.deepEqual([frame('DATA-RAW').flags, Buffer.from(frame('DATA-RAW').body).toString()], [FLAG.RAW, 'raw'])
      assert.deepEqual([frame('DATA-END').flags, frame('DATA-END').body.length], [FLAG.END, 0])
      const error = fromWireError(value('ERROR'))
      assert.deepEqual([error.name, error.code, error.message, error.started, error.retryAfterMs, error.details],
        ['FILE_NOT_FOUND', 'NOT_FOUND', 'no file', true, 5, { path: '/x' }])
      assert.deepEqual(checkCancel(value('CANCEL')), { reason: 'no longer needed' })
      assert.equal(decodeU32(frame('CREDIT').body), 40_000)
      assert.equal(Buffer.from(frame('PONG').body).toString('hex'), '0000000001020304')
      assert.equal(Buffer.from(frame('PING').body).toString('hex'), '0000000000001388')
      assert.deepEqual(checkGoAway(value('GOAWAY')), { lastId: 2, graceMs: 5_000 })
    })
  })
}

describe('the bodies of ERROR and CANCEL', () => {
  it('are cut or left out where they are too long, and never too long to be read', () => {
    for (const codec of [cbor, json]) {
      const error = { code: 'ABORTED', name: 'X', message: 'm', started: false, details: 'd'.repeat(20_000) } as const
      assert.deepEqual(codec.decode(errorBody(codec, error, 30_000)), error)
      assert.deepEqual(codec.decode(errorBody(codec, error, 16_384)), { code: 'ABORTED', name: 'X', message: 'm',
        started: false })
      const huge = codec.decode(errorBody(codec, { ...error, name: 'N'.repeat(20_000) }, 16_384)) as typeof error
      assert.deepEqual([huge.name, huge.started], ['INTERNAL', false])
      assert.equal(checkCancel(codec.decode(cancelBody(codec, { reason: 'r'.repeat(501) }))).reason.length, 500)
    }
  })
})

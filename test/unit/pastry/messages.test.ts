/** The overlay's messages: their bytes, and what becomes of bytes that are none. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import * as fc from 'fast-check'
import type { Key, OverlayId } from '../../../protocols/ids.ts'
import {
  CONTACT_BYTES_MAX, DENIALS, FAILED_MAX, FINGERPRINTS_MAX, HOPS_MAX, MESSAGE_BYTES_MAX, REFERENCES_MAX, REFUSALS,
  STATES, TOLD_MAX, decode, encode, encodedBytes, fingerprint,
} from '../../../protocols/pastry/messages.ts'
import type { Message } from '../../../protocols/pastry/messages.ts'

const u16 = fc.integer({ min: 0, max: 0xffff })
const u24 = fc.integer({ min: 0, max: 0xffffff })
const u32 = fc.integer({ min: 0, max: 0xffffffff })
const u48 = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const id = fc.uint8Array({ minLength: 16, maxLength: 16 })
  .map((bytes) => Buffer.from(bytes).toString('hex') as OverlayId)
const key = id as unknown as fc.Arbitrary<Key>
const ref = fc.record({ id, contact: fc.uint8Array({ maxLength: CONTACT_BYTES_MAX }) })
const state = fc.constantFrom(...STATES)
const payload = fc.uint8Array({ maxLength: 200 })
const optional = <T>(value: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(value, { nil: undefined })
const list = <T>(value: fc.Arbitrary<T>, max: number): fc.Arbitrary<T[]> => fc.array(value, { maxLength: max })
const hops = fc.integer({ min: 0, max: HOPS_MAX })
const row = fc.integer({ min: 0, max: 31 })
const is = <T extends string>(type: T): fc.Arbitrary<T> => fc.constant(type)
const route = {
  type: is('route'), hop: u32, request: u48, key, near: fc.boolean(), trace: fc.boolean(), hops, deadlineMs: u32,
  payload,
}

/** Every message there can be. */
const message: fc.Arbitrary<Message> = fc.oneof(
  fc.record({ type: is('ping'), nonce: u32, state, rttMs: u16 }),
  fc.record({ type: is('pong'), nonce: u32, state }),
  fc.record({ ...route, purpose: fc.constant('lookup' as const), joiner: fc.constant(undefined) }),
  fc.record({ ...route, purpose: fc.constantFrom('join' as const, 'heal' as const), joiner: ref }),
  fc.record({
    type: is('answer'), hop: u32, re: u32, hops, root: ref, left: id, right: id, leaseMs: u16,
    references: list(ref, 20), trace: list(fc.record({ id, rttMs: u16 }), HOPS_MAX), payload,
  }),
  fc.record({ type: is('ack'), hop: u32 }),
  fc.record({ type: is('nack'), hop: u32, reason: fc.constantFrom(...REFUSALS) }),
  fc.record({
    type: is('leafProbe'), nonce: u32, state, failed: list(id, FAILED_MAX),
    digest: fc.record({ salt: u32, lowest: u32, highest: u32, fingerprints: list(u24, FINGERPRINTS_MAX) }),
  }),
  fc.record({
    type: is('leafReply'), nonce: u32, state, wanted: u32, references: list(ref, 20), failed: list(id, FAILED_MAX),
  }),
  fc.record({ type: is('leafPush'), state, references: list(ref, 20) }),
  fc.record({ type: is('failed'), ids: list(id, FAILED_MAX) }),
  fc.record({
    type: is('lease'), nonce: u32, state, durationMs: u16, left: fc.boolean(), right: fc.boolean(),
    leftFrom: optional(id), rightFrom: optional(id),
  }),
  fc.record({
    type: is('grant'), nonce: u32, durationMs: u16, left: fc.boolean(), right: fc.boolean(),
    told: list(fc.record({ id, remainingMs: u16 }), TOLD_MAX),
  }),
  fc.record({ type: is('deny'), nonce: u32, reason: fc.constantFrom(...DENIALS), retryMs: u16, closer: optional(ref) }),
  fc.record({ type: is('rowRequest'), row, salt: u32, fingerprints: list(u24, FINGERPRINTS_MAX) }),
  fc.record({ type: is('rowReply'), row, entries: list(fc.record({ ref, rttMs: u16 }), 20) }),
  fc.record({ type: is('leave') }),
)

describe('messages of the overlay', function () {
  this.timeout(60_000)

  it('are the same after being encoded and decoded, and as long as foretold', () => {
    fc.assert(fc.property(message, (one) => {
      const bytes = encode(one)
      assert.equal(bytes.length, encodedBytes(one))
      assert.deepEqual(decode(bytes), { ok: true, message: structuredClone(one) })
    }), { numRuns: 3_000 })
  })

  it('never throw when decoded from any bytes: 50,000 random ones give a message or a reason', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), fc.integer({ min: 0, max: 20 }), (bytes, type) => {
      if (bytes.length > 1) {
        bytes[0] = 1
        bytes[1] = type
      }
      const decoded = decode(bytes)
      assert.ok(decoded.ok ? encode(decoded.message).length === bytes.length : decoded.reason.length > 0)
    }), { numRuns: 50_000 })
  })

  it('never throw when decoded from a message with some bytes changed, cut or added: 50,000 of them', () => {
    const change = fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.constantFrom('set', 'cut', 'add'))
    fc.assert(fc.property(message, fc.array(change, { minLength: 1, maxLength: 4 }), (one, changes) => {
      let bytes = encode(one)
      for (const [at, value, how] of changes) {
        const index = at % Math.max(1, bytes.length)
        if (how === 'set') bytes[index] = value
        else if (how === 'cut') bytes = bytes.slice(0, index)
        else bytes = Uint8Array.from([...bytes.slice(0, index), value, ...bytes.slice(index)])
      }
      const decoded = decode(bytes)
      assert.ok(decoded.ok || decoded.reason.length > 0)
    }), { numRuns: 50_000 })
  })

  it('are refused by name when they are too long, of another version or type, or not whole', () => {
    const reason = (bytes: Uint8Array): string => {
      const decoded = decode(bytes)
      return decoded.ok ? 'none' : decoded.reason
    }
    const ack = encode({ type: 'ack', hop: 1 })
    assert.equal(reason(new Uint8Array(MESSAGE_BYTES_MAX + 1)), 'oversized')
    assert.equal(reason(Uint8Array.of(2, 4)), 'otherVersion')
    assert.equal(reason(Uint8Array.of(1, 99)), 'unknownType')
    assert.equal(reason(ack.slice(0, 4)), 'truncated')
    assert.equal(reason(Uint8Array.from([...ack, 0])), 'trailingBytes')
    assert.equal(reason(Uint8Array.of(1, 9, FAILED_MAX + 1)), 'tooMany')
    assert.equal(reason(Uint8Array.of(1, 8, 77, 0)), 'unknownValue')
    assert.equal(reason(Uint8Array.of(1, 13, 40, 0, 0, 0, 0, 0)), 'noSuchRow')
    assert.equal(reason(new Uint8Array(0)), 'otherVersion')
  })

  it('fit into a message even with the most and longest references', () => {
    const longest = { id: 'f'.repeat(32) as OverlayId, contact: new Uint8Array(CONTACT_BYTES_MAX) }
    const references = Array.from({ length: REFERENCES_MAX }, () => longest)
    const bytes = encode({
      type: 'answer', hop: 1, re: 1, hops: HOPS_MAX, root: longest, left: longest.id, right: longest.id, leaseMs: 1,
      references, trace: Array.from({ length: HOPS_MAX }, () => ({ id: longest.id, rttMs: 1 })),
      payload: new Uint8Array(0),
    })
    assert.ok(bytes.length <= MESSAGE_BYTES_MAX)
  })

  it('have the bytes that are written down in test/golden', () => {
    const golden = JSON.parse(readFileSync(new URL('../../golden/pastry.json', import.meta.url), 'utf8')) as
      { name: string, hex: string }[]
    for (const { name, hex } of golden) {
      const decoded = decode(Buffer.from(hex, 'hex'))
      assert.ok(decoded.ok, name)
      assert.equal(decoded.message.type, name)
      assert.equal(Buffer.from(encode(decoded.message)).toString('hex'), hex, name)
    }
    assert.equal(golden.length, 16)
  })

  it('tell ids apart by fingerprints that change with the salt', () => {
    const ids = Array.from({ length: 2_000 }, (_value, index) => index.toString(16).padStart(32, '0') as OverlayId)
    const collisions = (salt: number): number => ids.length - new Set(ids.map((one) => fingerprint(one, salt))).size
    assert.ok(collisions(1) < 4 && collisions(2) < 4, `${collisions(1)} and ${collisions(2)}`)
  })
})

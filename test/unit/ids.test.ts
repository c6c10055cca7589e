/** Places on the ring: their forms, distances and order. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  bytesOf, clockwise, digitAt, hexOf, isClockwiseBefore, isNearer, keyOf, overlayIdOf, parseId, parseKey, placed,
  positionOf, positionsApart, ringDistance, sharedPrefix,
} from '../../protocols/ids.ts'
import type { OverlayId } from '../../protocols/ids.ts'

const RING = 1n << 128n
const id = fc.bigInt(0n, RING - 1n).map((value) => value.toString(16).padStart(32, '0') as OverlayId)
/** Ids that often agree in many digits, so that the exact comparisons are reached. */
const close = fc
  .tuple(fc.constantFrom('00000000000000', 'ffffffffffffff', '7fffffffffffff'), fc.bigInt(0n, (1n << 72n) - 1n))
  .map(([head, tail]) => head + tail.toString(16).padStart(18, '0') as OverlayId)
const any = fc.oneof(id, close)
const value = (one: OverlayId): bigint => BigInt(`0x${one}`)

describe('ids', () => {
  it('are the same after being written as bytes and read', () => {
    fc.assert(fc.property(any, (one) => hexOf(bytesOf(one)) === one))
  })

  it('are at a distance that is the shorter way round, and the same both ways', () => {
    fc.assert(fc.property(any, any, (a, b) => {
      const apart = value(a) > value(b) ? value(a) - value(b) : value(b) - value(a)
      const expected = apart < RING - apart ? apart : RING - apart
      assert.equal(ringDistance(a, b), expected)
      assert.equal(ringDistance(b, a), expected)
    }))
  })

  it('are compared by distance as whole numbers would be, the lower one first at a tie', () => {
    fc.assert(fc.property(any, any, any, (key, a, b) => {
      const difference = ringDistance(key, a) - ringDistance(key, b)
      const expected = difference < 0n || difference === 0n && a < b
      assert.equal(isNearer(placed(key), placed(a), placed(b)), expected)
    }), { numRuns: 2_000 })
  })

  it('are met in the order of their way round from any of them', () => {
    fc.assert(fc.property(any, any, any, (from, a, b) => {
      fc.pre(from !== a && from !== b && a !== b)
      const way = (to: OverlayId): bigint => BigInt.asUintN(128, value(to) - value(from))
      assert.equal(isClockwiseBefore(placed(from), placed(a), placed(b)), way(a) < way(b))
    }), { numRuns: 2_000 })
  })

  it('share as many digits as their texts begin with in common', () => {
    const [a, b] = [parseId('0123'.padEnd(32, '0')), parseId('0124'.padEnd(32, '0'))]
    assert.equal(sharedPrefix(a, b), 3)
    assert.equal(sharedPrefix(a, a), 32)
    assert.deepEqual([digitAt(b, 3), digitAt(parseId('f'.repeat(32)), 31)], [4, 15])
  })

  it('have positions that go round', () => {
    const [low, high] = [positionOf(parseId('0'.repeat(32))), positionOf(parseId('f'.repeat(32)))]
    assert.equal(clockwise(high, low), 1)
    assert.equal(positionsApart(low, high), 1)
  })

  it('differ by network and by key, and keys by domain', () => {
    const key = new Uint8Array(32).fill(1)
    const ids = [
      overlayIdOf('a', key), overlayIdOf('b', key), overlayIdOf('a', key.fill(2)), keyOf('app', 'x'),
      keyOf('device', 'x'),
    ]
    assert.equal(new Set<string>(ids).size, 5)
    assert.equal(keyOf('app', 'echo'), keyOf('app', 'echo'))
  })

  it('are refused by name when they are not 32 small hex digits', () => {
    for (const text of ['', 'xyz', 'F'.repeat(32), '0'.repeat(31)]) {
      assert.throws(() => parseId(text), { name: 'BAD_ARGUMENT' })
      assert.throws(() => parseKey(text), { name: 'BAD_ARGUMENT' })
    }
  })
})

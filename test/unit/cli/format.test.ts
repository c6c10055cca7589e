/** Tests of how values look to a person. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { formatBytes, formatDuration, formatTime, plural, toJson, visible } from '../../../node/cli/format.ts'

describe('cli/format', () => {
  it('bytes have at most three digits and the unit that fits', () => {
    const cases: [number, string][] = [
      [0, '0 B'], [999, '999 B'], [1000, '1.0 kB'], [1234, '1.2 kB'], [9_949, '9.9 kB'],
      [9_950, '10 kB'], [999_499, '999 kB'], [999_500, '1.0 MB'], [45e6, '45 MB'], [3e9, '3.0 GB'], [9e15, '9.0 PB'],
      [-1, '?'], [NaN, '?'],
    ]
    for (const [bytes, text] of cases) assert.equal(formatBytes(bytes), text)
    fc.assert(fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (bytes) => {
      assert.match(formatBytes(bytes), /^(\d{1,3}|\d\.\d) (B|kB|MB|GB|TB|PB)$/)
    }))
  })

  it('a duration has its two largest units', () => {
    const cases: [number, string][] = [
      [0.42, '0.4 ms'], [320, '320 ms'], [999.6, '1 s'], [12_400, '12 s'], [200_000, '3 min 20 s'], [3_600_000, '1 h'],
      [3_720_000, '1 h 2 min'], [86_399_900, '1 d'], [356_400_000, '4 d 3 h'], [-1, '?'], [Infinity, '?'],
    ]
    for (const [ms, text] of cases) assert.equal(formatDuration(ms), text)
  })

  it('a moment is shown to the minute, and what is none as a question mark', () => {
    assert.match(formatTime('2026-11-03T09:05:00Z'), /^2026-11-0[234] \d\d:\d\d$/)
    assert.equal(formatTime(new Date(2026, 0, 2, 3, 4).getTime()), '2026-01-02 03:04')
    assert.equal(formatTime('yesterday'), '?')
  })

  it('one is singular, none and many are plural', () => {
    assert.deepEqual([0, 1, 2].map((count) => plural(count, 'file')), ['0 files', '1 file', '2 files'])
  })

  it('what could forge a line or turn a terminal is escaped, and the rest stays', () => {
    assert.equal(visible('a\nb\tc\r'), 'a\\nb\\tc\\r')
    assert.equal(visible('\u001b[31mred\u0007'), '\\x1b[31mred\\x07')
    assert.equal(visible('exe.\u202egpj\u2028'), 'exe.\\u202egpj\\u2028')
    assert.equal(visible('\ud800'), '\\ud800')
    assert.equal(visible('Grüße 日本 👩‍👩‍👧'), 'Grüße 日本 👩‍👩‍👧')
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(visible(text), /[\p{Cc}\u2028\u2029\u202a-\u202e]/u)
    }))
  })

  it('bytes, maps, sets and big integers have a form in JSON, and nothing is null', () => {
    assert.equal(toJson({ a: Uint8Array.of(1, 2), b: Buffer.from([1, 2]) }),
      '{"a":{"base64":"AQI="},"b":{"base64":"AQI="}}')
    assert.equal(toJson(Uint8Array.of(255)), '{"base64":"/w=="}')
    assert.equal(toJson([new Map([['k', 1n]]), new Set([2])]), '[{"k":"1"},[2]]')
    assert.equal(toJson(undefined), 'null')
    assert.equal(toJson(new Date(0)), '"1970-01-01T00:00:00.000Z"')
    assert.equal(toJson({ a: 1 }, 2), '{\n  "a": 1\n}')
  })
})

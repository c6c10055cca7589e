/** The codecs: plain values there and back, depth at exactly its limit, and refusal of what is not plain data. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { WarrenError } from '../../../protocols/errors.ts'
import { NESTING_DEPTH_MAX } from '../../../protocols/limits.ts'
import { cbor, cborFault, codecByName, CODECS, json, jsonFault } from '../../../protocols/rpc/codec.ts'
import { text } from './wire.ts'

const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex.replaceAll(' ', ''), 'hex'))

/** `depth` lists around a number. */
function nested(depth: number): unknown {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

const isBadPayload = (error: unknown): boolean => error instanceof WarrenError && error.name === 'BAD_PAYLOAD'
  && error.started === false

/** Decodes, or says that it is refused; any other end is a fault of the codec. */
function tryDecode(codec: typeof cbor, input: Uint8Array): 'read' | 'refused' {
  try {
    codec.decode(input)
    return 'read'
  } catch (error) {
    assert.ok(isBadPayload(error), String(error))
    return 'refused'
  }
}

describe('the CBOR codec', () => {
  it('gives every kind of plain data back as it was', () => {
    const values = [
      null, true, false, 0, -1, 23, 24, 255, 256, 65_536, 2 ** 40, -(2 ** 40), 1.5, 1e300, Infinity, '', 'äöü 🐇',
      'x'.repeat(70_000), [], [1, [2, [3]]], {}, { a: { b: [null] } }, new Date(1_700_000_000_123), 2n ** 63n,
      2n ** 64n,
      -(2n ** 64n), 2n ** 8_191n, -(2n ** 8_000n), new Set([1, 'a']), new Map<unknown, unknown>([[1, 'a'], ['b', 2]]),
      new Float32Array([1, 2.5]), new Float64Array([1]), new Int16Array([-1, 2]), new BigInt64Array([5n]),
      new Uint8ClampedArray([1, 2]), [undefined],
    ]
    for (const value of values) assert.deepEqual(cbor.decode(cbor.encode(value)), value)
    assert.equal(cbor.decode(cbor.encode(undefined)), undefined)
    assert.ok(Number.isNaN(cbor.decode(cbor.encode(NaN))))
    assert.deepEqual(Uint8Array.from(cbor.decode(cbor.encode(Uint8Array.of(1, 2))) as Uint8Array), Uint8Array.of(1, 2))
  })

  it('is standard CBOR: no records, no private tags', () => {
    assert.equal(Buffer.from(cbor.encode([1, 'a', null])).toString('hex'), '83016161f6')
    assert.equal(Buffer.from(cbor.encode({ a: 1 })).toString('hex'), 'b90001616101')
    assert.equal(Buffer.from(cbor.encode(Uint8Array.of(1))).toString('hex'), '4101')
  })

  it('refuses to encode what has no form, and works on after that', () => {
    const cycle: Record<string, unknown> = {}
    cycle['again'] = cycle
    for (const value of [() => 1, { f: () => 1 }, Symbol('x'), cycle, new Error('x'), [new TypeError('x')], /x/]) {
      assert.throws(() => cbor.encode(value))
      assert.deepEqual(cbor.decode(cbor.encode({ a: [1] })), { a: [1] })
    }
  })

  it(`reads ${NESTING_DEPTH_MAX} levels and refuses one more, lists, maps and tags alike`, () => {
    assert.deepEqual(cbor.decode(cbor.encode(nested(NESTING_DEPTH_MAX))), nested(NESTING_DEPTH_MAX))
    assert.throws(() => cbor.decode(cbor.encode(nested(NESTING_DEPTH_MAX + 1))), isBadPayload)
    for (const [open, close] of [['81', ''], ['9f', 'ff'], ['c1', ''], ['a100', ''], ['bf00', 'ff']] as const) {
      const wrapped = (depth: number): Uint8Array => bytes(`${open.repeat(depth)}00${close.repeat(depth)}`)
      assert.equal(cborFault(wrapped(NESTING_DEPTH_MAX)), undefined)
      assert.match(cborFault(wrapped(NESTING_DEPTH_MAX + 1)) ?? '', /nested deeper/)
      assert.throws(() => cbor.decode(wrapped(20_000)), isBadPayload)
    }
  })

  it('refuses bytes that are not one whole item', () => {
    const cases: [string, RegExp][] = [
      ['', /middle of an item/], ['18', /middle of a number/], ['1b00', /middle of a number/], ['62 61', /longer than/],
      ['82 01', /middle of an item/], ['01 01', /bytes follow/], ['ff', /break/], ['1f', /break/], ['df 00', /break/],
      ['1c', /reserved/], ['fe', /reserved/], ['5f 41 00 ff', /indefinite length/], ['9a ffffffff',
      /list or map longer/],
      ['ba ffffffff', /list or map longer/], ['9b ffffffffffffffff', /list or map longer/],
      ['7b ffffffffffffffff', /longer/],
      ['9f 01', /middle of an item/], ['82 ff 01', /break/], ['bf 01 ff', /break/], ['bf 01 02 03 ff', /break/],
      ['9f bf 6161 ff bf 6161 ff ff', /break/],
    ]
    for (const [hex, reason] of cases) {
      assert.match(cborFault(bytes(hex)) ?? 'accepted', reason, hex)
      assert.throws(() => cbor.decode(bytes(hex)), isBadPayload)
    }
    assert.deepEqual(cbor.decode(bytes('bf 6161 01 6162 9f 02 ff ff')), { a: 1, b: [2] })
  })

  it('refuses tags that build something else than plain data', () => {
    for (const tag of ['d8 1b 83 65 5265674578 70 61 78', 'd8 1c 01', 'd8 1d 01', 'd9 dffe 01',
      'd8 33 84 80 80 80 01', 'da 64656667 01',
      'db ffffffffffffffff 01', 'c4 82 01 02', 'd8 69 82 01 02']) {
      assert.match(cborFault(bytes(tag)) ?? 'accepted', /not plain data|deeper|longer/, tag)
    }
  })

  it('refuses a big integer whose decoding would take longer than its sending', () => {
    const bignum = (length: number): Uint8Array =>
      Buffer.concat([bytes('c2 59'), Uint8Array.of(length >> 8, length & 255), new Uint8Array(length).fill(255)])
    assert.equal(cborFault(bignum(1_024)), undefined)
    assert.match(cborFault(bignum(1_025)) ?? '', /number of more than 1024 bytes/)
    assert.throws(() => cbor.decode(Buffer.concat([bytes('c3 5a 00ffffff'), new Uint8Array(0xffffff)])), isBadPayload)
    assert.equal(cborFault(cbor.encode(new Uint8Array(5_000))), undefined)
    assert.equal(cborFault(Buffer.concat([bytes('82 c2 41 01'), cbor.encode(new Uint8Array(5_000))])), undefined)
  })

  it('never sets a prototype', () => {
    const decoded = cbor.decode(cbor.encode(JSON.parse('{"__proto__": {"admin": true}}'))) as Record<string, unknown>
    assert.equal(decoded['admin'], undefined)
    assert.equal(({} as Record<string, unknown>)['admin'], undefined)
  })

  it('accepts whatever its encoder makes of data, and gives it back', () => {
    const plain = fc.anything({
      maxDepth: 8, withDate: true, withBigInt: true, withMap: true, withSet: true, withTypedArray: true,
      withSparseArray: true, withNullPrototype: true,
    })
    fc.assert(fc.property(plain, (value) => {
      const encoded = cbor.encode(value)
      assert.equal(cborFault(encoded), undefined)
      cbor.decode(encoded)
    }), { numRuns: 5_000 })
    fc.assert(fc.property(fc.jsonValue({ maxDepth: 6 }), (value) => {
      const tidy = JSON.parse(JSON.stringify(value).replaceAll('__proto__', 'proto')) as unknown
      assert.deepEqual(cbor.decode(cbor.encode(tidy)), tidy)
    }), { numRuns: 2_000 })
  })

  it('reads or refuses 30,000 random byte strings, and never does anything else', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (input) => { tryDecode(cbor, input) }), { numRuns: 30_000 })
  })

  it('reads or refuses 30,000 encodings that were damaged', () => {
    const value = fc.anything({ maxDepth: 4, withDate: true, withBigInt: true, withMap: true, withSet: true })
    const damage = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 })
    const outcomes = { read: 0, refused: 0 }
    fc.assert(fc.property(value, damage, fc.nat(3), (given, flips, cut) => {
      const encoded = Uint8Array.from(cbor.encode(given))
      for (const [at, byte] of flips) encoded[at % encoded.length] = byte
      outcomes[tryDecode(cbor, cut === 0 ? encoded.subarray(0, encoded.length - 1) : encoded)]++
    }), { numRuns: 30_000 })
    assert.ok(outcomes.read > 1_000 && outcomes.refused > 1_000, JSON.stringify(outcomes))
  })
})

describe('the JSON codec', () => {
  it('gives JSON back as it was, and null for nothing', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => {
      const tidy = JSON.parse(JSON.stringify(value)) as unknown
      assert.deepEqual(json.decode(json.encode(tidy)), tidy)
    }), { numRuns: 2_000 })
    assert.equal(json.decode(json.encode(undefined)), null)
    assert.throws(() => json.encode(1n))
  })

  it(`reads ${NESTING_DEPTH_MAX} levels and refuses one more`, () => {
    assert.deepEqual(json.decode(json.encode(nested(NESTING_DEPTH_MAX))), nested(NESTING_DEPTH_MAX))
    assert.throws(() => json.decode(json.encode(nested(NESTING_DEPTH_MAX + 1))), isBadPayload)
    assert.throws(() => json.decode(text('['.repeat(1_000_000))), isBadPayload)
    assert.throws(() => json.decode(text('{"a":'.repeat(20_000))), isBadPayload)
  })

  it('counts no brackets that stand in texts', () => {
    const value = { a: '[[['.repeat(200), b: '\\"[[[['.repeat(100), c: ['"', '{'] }
    assert.deepEqual(json.decode(json.encode(value)), value)
    assert.equal(jsonFault(`"${'['.repeat(500)}"`), undefined)
    assert.match(jsonFault(`"\\\\"${'['.repeat(101)}`) ?? '', /deeper/)
  })

  it('refuses what is no JSON and what is no UTF-8', () => {
    for (const input of [new Uint8Array(0), text('{'), text('nul'), Uint8Array.of(0x22, 0xff, 0x22), text('1 2')]) {
      assert.throws(() => json.decode(input), isBadPayload)
    }
  })

  it('reads or refuses 20,000 random texts, and never does anything else', () => {
    const soup = fc.string({ unit: fc.constantFrom(...'{}[]",:\\truefalsn0123456789.eE+- ü'), maxLength: 40 })
    fc.assert(fc.property(soup, (input) => { tryDecode(json, text(input)) }), { numRuns: 20_000 })
  })
})

describe('the table of codecs', () => {
  it('holds each under its own name, and says what there is when asked for another', () => {
    for (const [name, codec] of CODECS) assert.equal(codecByName(name), codec)
    assert.throws(() => codecByName('xml'), (error) => isBadPayload(error) && /cbor, json/.test(String(error)))
  })
})

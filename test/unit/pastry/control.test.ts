/** Tests of the bytes around the overlay's messages: contacts, the stream's own messages, records and requests. */
import assert from 'node:assert/strict'
import { array, assert as check, constantFrom, nat, property, uint8Array } from 'fast-check'
import { overlayIdOf, type Key } from '../../../protocols/ids.ts'
import {
  ADDRESSES_MAX, decodeContact, encodeContact, isGenuine, referenceOf,
} from '../../../protocols/pastry/contact.ts'
import {
  decodeControl, encodeControl, MessageReader, networkTagOf, withLength,
} from '../../../protocols/pastry/control.ts'
import { CONTACT_BYTES_MAX, MESSAGE_BYTES_MAX, PAYLOAD_BYTES_MAX } from '../../../protocols/pastry/messages.ts'
import {
  decodeNodes, decodeOutcome, decodeRecords, decodeRequest, encodeNodes, encodeOutcome, encodeRecords, encodeRequest,
  OUTCOMES, RECORD_TTL_MS_MAX, RECORDS_MAX, type ProviderRecord,
} from '../../../protocols/pastry/records.ts'

const bytes = (length: number, value = 7): Uint8Array => new Uint8Array(length).fill(value)
const KEY = bytes(36)
const RECORD: ProviderRecord = {
  key: 'ab'.repeat(16) as Key, contact: encodeContact({ publicKey: KEY, addresses: [bytes(8)] }),
  sequence: 1_700_000_000_123, ttlMs: RECORD_TTL_MS_MAX, signature: bytes(64), remainingMs: 5,
}

describe('pastry/contact', () => {
  it('is read as it was written', () => {
    const contact = { publicKey: KEY, certificateHash: bytes(32), addresses: [bytes(8, 1), bytes(20, 2)] }
    assert.deepEqual(decodeContact(encodeContact(contact)), contact)
    assert.deepEqual(decodeContact(encodeContact({ publicKey: KEY, addresses: [] })), { publicKey: KEY, addresses: [] })
  })

  it('leaves out the addresses that do not fit, and never grows beyond its maximum', () => {
    check(property(array(uint8Array({ maxLength: 300 })), (addresses) => {
      const encoded = encodeContact({ publicKey: KEY, addresses })
      const decoded = decodeContact(encoded)
      assert.ok(encoded.length <= CONTACT_BYTES_MAX)
      assert.ok(decoded !== undefined && decoded.addresses.length <= ADDRESSES_MAX)
    }))
  })

  it('gives an id that only its own network and key have', () => {
    const ref = referenceOf('home', { publicKey: KEY, addresses: [] })
    assert.equal(ref.id, overlayIdOf('home', KEY))
    assert.ok(isGenuine('home', ref))
    assert.ok(!isGenuine('elsewhere', ref))
    assert.ok(!isGenuine('home', { ...ref, contact: encodeContact({ publicKey: bytes(36, 8), addresses: [] }) }))
    assert.ok(!isGenuine('home', { ...ref, contact: bytes(3) }))
  })

  it('no bytes make reading it throw', () => {
    check(property(uint8Array({ maxLength: 250 }), (noise) => { decodeContact(noise) }))
  })
})

describe('pastry/control', () => {
  const hello = {
    type: 'hello', networkTag: networkTagOf('home'), ref: referenceOf('home', { publicKey: KEY, addresses: [] }),
  } as const

  it('is read as it was written', () => {
    for (const control of [
      hello, { type: 'keep', isWanted: true }, { type: 'keep', isWanted: false }, { type: 'records', bytes: bytes(9) },
    ] as const) assert.deepEqual(decodeControl(encodeControl(control)), control)
  })

  it('no bytes make reading it throw, and nothing may follow it', () => {
    check(property(uint8Array({ maxLength: 300 }), (noise) => { decodeControl(Uint8Array.of(1, 0x80, ...noise)) }))
    assert.equal(decodeControl(Uint8Array.of(...encodeControl(hello), 0)), undefined)
    assert.equal(decodeControl(Uint8Array.of(1, 0x99)), undefined)
  })

  it('messages come out whole however their stream is cut', () => {
    check(property(array(uint8Array({ maxLength: 300 })), array(nat(40), { minLength: 1 }), (messages, cuts) => {
      const stream = Buffer.concat(messages.map(withLength))
      const reader = new MessageReader()
      const read: Uint8Array[] = []
      for (let at = 0, cut = 0; at < stream.length; cut++) {
        const length = cuts[cut % cuts.length]! + 1
        const { messages: whole, isOversized } = reader.take(stream.subarray(at, at + length))
        assert.ok(!isOversized)
        read.push(...whole)
        at += length
      }
      assert.deepEqual(read.map((message) => [...message]), messages.map((message) => [...message]))
      assert.ok(!reader.isWaiting)
    }))
  })

  it('a length above the maximum is known from its four bytes', () => {
    const length = bytes(4)
    new DataView(length.buffer).setUint32(0, MESSAGE_BYTES_MAX + 1)
    assert.ok(new MessageReader().take(length).isOversized)
    new DataView(length.buffer).setUint32(0, MESSAGE_BYTES_MAX)
    const reader = new MessageReader()
    assert.ok(!reader.take(length).isOversized && reader.isWaiting)
  })
})

describe('pastry/records', () => {
  it('are read as they were written, as many as fit into a payload', () => {
    const many = Array.from({ length: 2 * RECORDS_MAX }, (_record, at) => ({ ...RECORD, sequence: at }))
    const read = decodeRecords(encodeRecords(many))!
    assert.ok(read.length > 50 && read.length <= RECORDS_MAX)
    assert.deepEqual(read, many.slice(0, read.length))
    assert.ok(encodeRecords(many).length <= PAYLOAD_BYTES_MAX)
    const longest = { ...RECORD, contact: bytes(CONTACT_BYTES_MAX), signature: bytes(96) }
    assert.ok(encodeRecords(many.map(() => longest)).length <= PAYLOAD_BYTES_MAX)
    const nodes = [referenceOf('home', { publicKey: KEY, addresses: [] })]
    assert.deepEqual(decodeNodes(encodeNodes(nodes)), nodes)
  })

  it('requests and outcomes are read as they were written', () => {
    for (const request of [{ type: 'closest', count: 5 }, { type: 'get' }, { type: 'put', record: RECORD }] as const) {
      assert.deepEqual(decodeRequest(encodeRequest(request)), request)
    }
    for (const outcome of OUTCOMES) assert.equal(decodeOutcome(encodeOutcome(outcome)), outcome)
    assert.equal(decodeOutcome(bytes(2)), 'malformed')
  })

  it('a life longer than half an hour is not read', () => {
    assert.equal(decodeRecords(encodeRecords([{ ...RECORD, ttlMs: RECORD_TTL_MS_MAX + 1 }])), undefined)
  })

  it('no bytes make reading them throw', () => {
    const readers = constantFrom(decodeRequest, decodeRecords, decodeNodes, decodeOutcome)
    check(property(readers, uint8Array({ maxLength: 300 }), (read, noise) => { read(noise) }))
  })
})

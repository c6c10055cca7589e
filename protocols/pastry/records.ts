/** Requests to the owner of a key, and the records of who provides what, as bytes in payloads of lookups. */
import { Reader, Writer } from '../bytes.ts'
import type { Key, OverlayId } from '../ids.ts'
import { CONTACT_BYTES_MAX, PAYLOAD_BYTES_MAX } from './messages.ts'
import type { NodeRef } from './messages.ts'

/** How long a provider record lives without renewal, milliseconds: half an hour, as registrations do. */
export const RECORD_TTL_MS_MAX = 1_800_000
/** Records in one answer, at most; 54 of the usual 150 bytes fit into a payload. */
export const RECORDS_MAX = 60
/** Bytes of a record besides its contact and its signature. */
const RECORD_FIXED_BYTES = 32
/** Nodes in one answer. */
export const NODES_MAX = 32
const SIGNATURE_BYTES_MAX = 96

/** Somebody provides the content behind a key; signed by the one who does. */
export interface ProviderRecord {
  readonly key: Key
  /** The provider's contact: its key, which the signature is checked with, and its addresses. */
  readonly contact: Uint8Array
  /** Wall time of the signature in milliseconds: of two records the later one counts. */
  readonly sequence: number
  /** 0 says that it does not provide it any more. */
  readonly ttlMs: number
  readonly signature: Uint8Array
  /** What is left of its life, as its sender counts it; not signed, and never believed to be more than `ttlMs`. */
  readonly remainingMs: number
}

/** What the owner of a key is asked. */
export type Request =
  | { readonly type: 'closest', readonly count: number }
  | { readonly type: 'put', readonly record: ProviderRecord }
  | { readonly type: 'get' }
const REQUESTS = ['closest', 'put', 'get'] as const

/** What came of a `put`. */
export const OUTCOMES = ['stored', 'forged', 'expired', 'stale', 'full', 'notOurs', 'malformed'] as const
/** One of `OUTCOMES`. */
export type Outcome = (typeof OUTCOMES)[number]

/** The bytes that a provider signs. */
export function signedBytes(network: string, record: Omit<ProviderRecord, 'signature' | 'remainingMs'>): Uint8Array {
  const out = new Writer(256)
  out.bytes(new TextEncoder().encode(`warren/provider/1\0${network}\0`)).place(record.key)
  return out.u8(record.contact.length).bytes(record.contact).u48(record.sequence).u32(record.ttlMs).done()
}

/** The request's bytes. */
export function encodeRequest(request: Request): Uint8Array {
  const out = new Writer(256).u8(REQUESTS.indexOf(request.type))
  if (request.type === 'closest') out.u8(request.count)
  if (request.type === 'put') writeRecord(out, request.record)
  return out.done()
}

/** Somebody's bytes as a request, or `undefined`; never throws. */
export function decodeRequest(bytes: Uint8Array): Request | undefined {
  const input = new Reader(bytes)
  const type = REQUESTS[input.u8()]
  if (type === undefined) return undefined
  const request: Request = type === 'closest' ? { type, count: input.u8() }
    : type === 'put' ? { type, record: readRecord(input) } : { type }
  input.end()
  return input.bad === undefined ? request : undefined
}

/** Records one after the other, as many as a payload holds; the first ones count most. */
export function encodeRecords(records: readonly ProviderRecord[]): Uint8Array {
  let bytes = 1
  const fitting = records.slice(0, RECORDS_MAX).filter(({ contact, signature }) => {
    bytes += RECORD_FIXED_BYTES + contact.length + signature.length
    return bytes <= PAYLOAD_BYTES_MAX
  })
  const out = new Writer(1024).u8(fitting.length)
  for (const record of fitting) writeRecord(out, record)
  return out.done()
}

/** Somebody's bytes as records, or `undefined`; never throws. */
export function decodeRecords(bytes: Uint8Array): ProviderRecord[] | undefined {
  return readAll(bytes, RECORDS_MAX, readRecord)
}

/** References one after the other. */
export function encodeNodes(nodes: readonly NodeRef[]): Uint8Array {
  const out = new Writer(1024).u8(nodes.length)
  for (const { id, contact } of nodes) out.place(id).u8(contact.length).bytes(contact)
  return out.done()
}

/** Somebody's bytes as references, or `undefined`; never throws. */
export function decodeNodes(bytes: Uint8Array): NodeRef[] | undefined {
  return readAll(bytes, NODES_MAX, (input) => {
    const id = input.place<OverlayId>()
    return { id, contact: input.bytes(input.u8(), CONTACT_BYTES_MAX) }
  })
}

/** The outcome's byte. */
export function encodeOutcome(outcome: Outcome): Uint8Array {
  return Uint8Array.of(OUTCOMES.indexOf(outcome))
}

/** Somebody's byte as an outcome; `malformed` if it is none. */
export function decodeOutcome(bytes: Uint8Array): Outcome {
  return (bytes.length === 1 ? OUTCOMES[bytes[0]!] : undefined) ?? 'malformed'
}

function readAll<T>(bytes: Uint8Array, max: number, one: (input: Reader) => T): T[] | undefined {
  const input = new Reader(bytes)
  const items: T[] = []
  for (let left = input.count(max); left > 0 && input.bad === undefined; left--) items.push(one(input))
  input.end()
  return input.bad === undefined ? items : undefined
}

function writeRecord(out: Writer, record: ProviderRecord): void {
  out.place(record.key).u8(record.contact.length).bytes(record.contact).u48(record.sequence).u32(record.ttlMs)
  out.u8(record.signature.length).bytes(record.signature).u32(record.remainingMs)
}

function readRecord(input: Reader): ProviderRecord {
  const [key, contact] = [input.place<Key>(), input.bytes(input.u8(), CONTACT_BYTES_MAX)]
  const [sequence, ttlMs] = [input.u48(), input.u32()]
  if (ttlMs > RECORD_TTL_MS_MAX) input.fail('tooLong')
  const signature = input.bytes(input.u8(), SIGNATURE_BYTES_MAX)
  return { key, contact, sequence, ttlMs, signature, remainingMs: input.u32() }
}

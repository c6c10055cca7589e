/** How a node is reached, as the bytes of a reference's contact: its public key and a few addresses. */
import { Reader, Writer } from '../bytes.ts'
import { overlayIdOf } from '../ids.ts'
import type { OverlayId } from '../ids.ts'
import { CONTACT_BYTES_MAX } from './messages.ts'
import type { Message, NodeRef } from './messages.ts'

/** First byte of a contact. */
const VERSION = 1
/** Longest public key in libp2p's protobuf form: Ed25519 takes 36 bytes, secp256k1 37. */
const KEY_BYTES_MAX = 64
/** A certificate's hash; absent until nodes have certificates. */
const HASH_BYTES_MAX = 32
/** Addresses in one contact; the nearest first. */
export const ADDRESSES_MAX = 3

/** A contact in parts. */
export interface Contact {
  /** In libp2p's protobuf form, as PeerIds hold it. */
  readonly publicKey: Uint8Array
  /** 32 bytes, or none. */
  readonly certificateHash?: Uint8Array
  /** Multiaddrs in binary form, without the PeerId. */
  readonly addresses: readonly Uint8Array[]
}

/** The contact's bytes; addresses that do not fit any more are left out. */
export function encodeContact(contact: Contact): Uint8Array {
  const hash = contact.certificateHash ?? new Uint8Array(0)
  let left = CONTACT_BYTES_MAX - 4 - contact.publicKey.length - hash.length
  const addresses = contact.addresses.filter((address, index) => {
    if (index >= ADDRESSES_MAX || address.length > 255 || address.length + 1 > left) return false
    left -= address.length + 1
    return true
  })
  const out = new Writer(CONTACT_BYTES_MAX)
  out.u8(VERSION).u8(contact.publicKey.length).bytes(contact.publicKey).u8(hash.length).bytes(hash)
  out.u8(addresses.length)
  for (const address of addresses) out.u8(address.length).bytes(address)
  return out.done()
}

/** A peer's bytes as a contact, or `undefined` if they are none; never throws. */
export function decodeContact(bytes: Uint8Array): Contact | undefined {
  const input = new Reader(bytes)
  if (input.u8() !== VERSION) return undefined
  const publicKey = input.bytes(input.u8(), KEY_BYTES_MAX)
  const certificateHash = input.bytes(input.u8(), HASH_BYTES_MAX)
  const addresses: Uint8Array[] = []
  for (let left = input.count(ADDRESSES_MAX); left > 0; left--) {
    addresses.push(input.bytes(input.u8(), CONTACT_BYTES_MAX))
  }
  input.end()
  if (input.bad !== undefined || publicKey.length === 0) return undefined
  return { publicKey, addresses, ...(certificateHash.length === 0 ? {} : { certificateHash }) }
}

/** Whether the reference's id is the one that its contact's key has in this network. */
export function isGenuine(network: string, ref: NodeRef): boolean {
  const contact = decodeContact(ref.contact)
  return contact !== undefined && overlayIdOf(network, contact.publicKey) === ref.id
}

/** All references in a message: hints of others, whose ids must be checked against their keys. */
export function referencesOf(message: Message): readonly NodeRef[] {
  switch (message.type) {
    case 'route': return message.joiner === undefined ? [] : [message.joiner]
    case 'answer': return [message.root, ...message.references]
    case 'leafReply': case 'leafPush': return message.references
    case 'deny': return message.closer === undefined ? [] : [message.closer]
    case 'rowReply': return message.entries.map(({ ref }) => ref)
    default: return []
  }
}

/** The reference of a node of `network`. */
export function referenceOf(network: string, contact: Contact): NodeRef & { readonly id: OverlayId } {
  return { id: overlayIdOf(network, contact.publicKey), contact: encodeContact(contact) }
}

/** Between libp2p's PeerIds and addresses and the overlay's ids and references. */
import { publicKeyFromProtobuf, publicKeyToProtobuf } from '@libp2p/crypto/keys'
import type { PeerId, PeerInfo } from '@libp2p/interface'
import { peerIdFromPublicKey } from '@libp2p/peer-id'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { WarrenError } from '../../protocols/errors.ts'
import { overlayIdOf, type OverlayId } from '../../protocols/ids.ts'
import { decodeContact, referenceOf } from '../../protocols/pastry/contact.ts'
import type { NodeRef } from '../../protocols/pastry/messages.ts'

/**
 * The public key of a PeerId, in libp2p's protobuf form.
 * @throws {WarrenError} `UNSUPPORTED` for PeerIds that only hold a hash of their key, as those of RSA keys do.
 */
export function publicKeyOf(peer: PeerId): Uint8Array {
  if (peer.publicKey !== undefined && peer.type !== 'RSA') return publicKeyToProtobuf(peer.publicKey)
  throw new WarrenError('UNSUPPORTED',
    `the PeerId ${peer.toString()} does not hold its public key: the overlay needs Ed25519 or secp256k1 keys`,
    { started: false })
}

/** A peer's place on the ring of `network`. Throws as `publicKeyOf` does. */
export function placeOf(network: string, peer: PeerId): OverlayId {
  return overlayIdOf(network, publicKeyOf(peer))
}

/** The reference of a peer at these addresses. Throws as `publicKeyOf` does. */
export function refOf(network: string, peer: PeerId, addresses: readonly Multiaddr[]): NodeRef {
  return referenceOf(network, {
    publicKey: publicKeyOf(peer), addresses: addresses.map((address) => withoutPeer(address).bytes),
  })
}

/** Reading a key costs more than all else that is done with a reference, and references live long. */
const infos = new WeakMap<NodeRef, { readonly info: PeerInfo | undefined }>()

/** Whom a reference means; `undefined` if its contact is none, or its key is not one. */
export function peerInfoOf(ref: NodeRef): PeerInfo | undefined {
  const known = infos.get(ref)
  if (known !== undefined) return known.info
  const info = contactInfoOf(ref.contact)
  infos.set(ref, { info })
  return info
}

/** The same, of a contact alone. */
export function contactInfoOf(bytes: Uint8Array): PeerInfo | undefined {
  const contact = decodeContact(bytes)
  if (contact === undefined) return undefined
  try {
    const id = peerIdFromPublicKey(publicKeyFromProtobuf(contact.publicKey))
    return { id, multiaddrs: contact.addresses.flatMap(parse) }
  } catch {
    return undefined // Whatever it is, nobody can be dialled by it.
  }
}

function parse(bytes: Uint8Array): Multiaddr[] {
  try {
    return [multiaddr(bytes)]
  } catch {
    return [] // An address of a kind that this node does not know; others may be of use.
  }
}

/** The address without the PeerId at its end, which a contact has already. */
export function withoutPeer(address: Multiaddr): Multiaddr {
  const peer = address.getComponents().at(-1)
  return peer?.name === 'p2p' ? address.decapsulate(`/p2p/${peer.value ?? ''}`) : address
}

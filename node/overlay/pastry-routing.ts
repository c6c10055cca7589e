/** Peer routing on the ring, and what this node answers as the owner of keys. */
import { NotFoundError, type PeerId, type PeerRouting, type RoutingOptions } from '@libp2p/interface'
import { peerIdFromMultihash } from '@libp2p/peer-id'
import * as Digest from 'multiformats/hashes/digest'
import { keyAt, keyOf, type Key } from '../../protocols/ids.ts'
import { isGenuine } from '../../protocols/pastry/contact.ts'
import {
  decodeNodes, decodeRequest, encodeNodes, encodeOutcome, encodeRequest, NODES_MAX,
} from '../../protocols/pastry/records.ts'
import type { Content, ContentParts } from './pastry-content.ts'
import { peerInfoOf, placeOf } from './pastry-peers.ts'

/** Nodes that `getClosestPeers` gives, as many as Kademlia's bucket. */
const CLOSEST_COUNT = 20

/** Answers a request to the owner of `key`; never rejects. */
export async function serveRequest(
  content: Content, key: Key, payload: Uint8Array, refused: (reason: string) => void,
): Promise<Uint8Array> {
  const request = decodeRequest(payload)
  switch (request?.type) {
    case undefined:
      refused('malformed.request')
      return encodeOutcome('malformed')
    case 'closest': return encodeNodes(content.closest(key, Math.min(request.count, NODES_MAX)))
    case 'get': return content.serveGet(key)
    case 'put': return await content.servePut(key, request.record)
  }
}

/** Finds peers by routing to their places; every answer has addresses. */
export function createPeerRouting(parts: ContentParts): PeerRouting {
  return {
    async findPeer(peer: PeerId, options: RoutingOptions = {}) {
      const id = placeOf(parts.network, peer)
      const view = parts.leaves()
      const known = id === parts.self().id ? parts.self()
        : [...view?.left ?? [], ...view?.right ?? []].find((leaf) => leaf.id === id && !leaf.suspect)?.ref
      const ref = known ?? (await parts.lookup(keyAt(id), { signal: options.signal })).root
      const info = ref.id === id && isGenuine(parts.network, ref) ? peerInfoOf(ref) : undefined
      if (info !== undefined && info.multiaddrs.length > 0) return info
      throw new NotFoundError(`no node of the ring is ${peer.toString()}`)
    },
    async* getClosestPeers(key: Uint8Array, options: RoutingOptions = {}) {
      const target = keyOfBytes(parts.network, key)
      const payload = encodeRequest({ type: 'closest', count: CLOSEST_COUNT })
      const answered = await parts.lookup(target, { signal: options.signal, payload })
      for (const ref of decodeNodes(answered.payload) ?? []) {
        const info = isGenuine(parts.network, ref) ? peerInfoOf(ref) : undefined
        if (info === undefined) parts.refused('falseReference')
        else if (info.multiaddrs.length > 0) yield info
      }
    },
  }
}

/** A peer's place for the bytes of its PeerId, as libp2p asks for them; of other bytes a key of their own. */
function keyOfBytes(network: string, key: Uint8Array): Key {
  try {
    return keyAt(placeOf(network, peerIdFromMultihash(Digest.decode(key))))
  } catch {
    return keyOf('record', `bytes:${Buffer.from(key).toString('hex')}`)
  }
}

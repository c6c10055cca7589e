/** Addresses and PeerIds as people type them, and which addresses stay on this machine. */
import type { PeerId } from '@libp2p/interface'
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr'
import { WarrenError } from '../../protocols/errors.ts'
import { printable } from '../../protocols/names.ts'

/** Whether the address is in 127.0.0.0/8, or is ::1. */
export function isLoopback(address: Multiaddr): boolean {
  const [first] = address.getComponents()
  if (first?.name === 'ip4') return first.value?.startsWith('127.') === true
  if (first?.name === 'ip6') return first.value === '::1'
  return first?.name === 'memory'
}

/**
 * Reads an address.
 * @throws {WarrenError} `BAD_ARGUMENT` for a text that is no multiaddr.
 */
export function parseAddress(text: string): Multiaddr {
  try {
    const address = multiaddr(text)
    if (address.getComponents().length > 0) return address
  } catch { /* The error below says more than the parser's. */ }
  throw new WarrenError('BAD_ARGUMENT',
    `${printable(text)} is not an address, such as /ip4/127.0.0.1/tcp/4001/p2p/12D3Koo…`, { started: false })
}

/** A PeerId from its text, or `undefined` if it is none. */
export function parsePeerId(text: string): PeerId | undefined {
  try {
    return peerIdFromString(text)
  } catch {
    return undefined // Names of nodes go through here too.
  }
}

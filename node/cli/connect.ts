/** `warren connect`: makes the node dial another one. */
import { checkJoinAddress } from '../config.ts'
import { usageError } from './failure.ts'
import { visible } from './format.ts'
import type { Session } from './session.ts'

/** Connects the node to the one at `address`. */
export async function connect(session: Session, address: string): Promise<void> {
  checkJoinAddress(address, usageError)
  const peer = await session.withNode((net) =>
    net.call<{ peerId: string, name: string }>('node.connect', { address }, { signal: session.signal }))
  await session.print(session.json ? JSON.stringify(peer)
    : `connected to ${visible(peer.name || 'a node without a name')} (${visible(peer.peerId)})`)
}

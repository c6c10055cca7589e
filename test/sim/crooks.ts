/** Nodes that do not play by the rules: they drop, send astray, or claim what is not theirs. */
import type { Message, Route } from '../../protocols/pastry/messages.ts'
import type { SimNode, World } from './world.ts'

/** What a crook does with lookups that come through it; in all else it behaves. */
export type Crookery = 'drop' | 'misroute' | 'falseRoot'

/** Makes a node a crook. */
export function makeCrook(world: World, node: SimNode, kind: Crookery): void {
  node.treat = (crook, from, message) => {
    if (message.type !== 'route' || message.purpose !== 'lookup') return false
    world.send(crook, from, { type: 'ack', hop: message.hop })
    if (kind === 'misroute') misroute(world, crook, message)
    else if (kind === 'falseRoot') world.send(crook, from, falseAnswer(crook, world, message))
    return true
  }
}

function misroute(world: World, crook: SimNode, message: Route): void {
  const astray = world.nodes[world.random.below(world.nodes.length)]!
  if (astray.isUp) world.send(crook, astray, { ...message, hop: world.random.u32(), hops: message.hops + 1 })
}

/** The best lie: ourselves as the root, between our true neighbours, with leases. */
function falseAnswer(crook: SimNode, world: World, message: Route): Message {
  const view = crook.machine.view(world.clock(crook))
  const [left, right] = [view.left[0]?.id ?? crook.ref.id, view.right[0]?.id ?? crook.ref.id]
  return {
    type: 'answer', hop: world.random.u32(), re: message.hop, hops: message.hops + 1, root: crook.ref, left, right,
    leaseMs: 10_000, references: [], trace: [], payload: new Uint8Array(0),
  }
}

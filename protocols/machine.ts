/** The contract between a protocol's pure machine and the driver that gives it bytes, time and a key. */

/**
 * What happens to a machine.
 * - `command`: its owner wants something.
 * - `message`: bytes, or a decoded message, from the other side.
 * - `timer`: a timer that it set is due. Late and duplicate timers are harmless.
 * - `linkUp`, `linkDown`: a carrier came or went; `peer` where the machine has several.
 * - `resumed`: wall time outran the monotonic clock by 2 s: the machine was suspended.
 */
export type Input<Command, Message, Peer = undefined> =
  | { readonly type: 'command', readonly command: Command }
  | { readonly type: 'message', readonly message: Message, readonly from: Peer }
  | { readonly type: 'timer', readonly id: string }
  | { readonly type: 'linkUp', readonly peer: Peer }
  | { readonly type: 'linkDown', readonly peer: Peer, readonly reason: string }
  | { readonly type: 'resumed' }

/**
 * What a machine wants done, in this order.
 * - `send`: hand the message to the carrier (to `to`, where there are several).
 * - `setTimer`: give back `timer` with this id at `atMs`; replaces an earlier one of the same id.
 * - `sign`: sign the bytes with the node's key and give the signature back as a command.
 * - `event`: tell the owner.
 */
export type Effect<Message, Event, Peer = undefined> =
  | { readonly type: 'send', readonly to: Peer, readonly message: Message }
  | { readonly type: 'setTimer', readonly id: string, readonly atMs: number }
  | { readonly type: 'clearTimer', readonly id: string }
  | { readonly type: 'sign', readonly id: string, readonly bytes: Uint8Array }
  | { readonly type: 'event', readonly event: Event }

/**
 * A protocol's state. `handle` is synchronous, deterministic, and never throws because of what a peer
 * sent; the same inputs at the same times give the same effects.
 * @param nowMs milliseconds on a monotonic clock; never goes back between two calls.
 */
export interface Machine<Command, Message, Event, Peer = undefined> {
  handle(input: Input<Command, Message, Peer>, nowMs: number): Effect<Message, Event, Peer>[]
}

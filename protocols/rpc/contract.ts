/** What a link's machine is made from, what its owner may ask of it, and what the owner is told. */
import type { WarrenError, WireError } from '../errors.ts'
import type { CallMeta, Hello } from './messages.ts'

/** How a link is made. */
export interface LinkConfig {
  /** The dialler's calls have odd ids, the acceptor's even ones. */
  readonly role: 'dialler' | 'acceptor'
  /** Of everything but payloads; from the protocol id. */
  readonly codec: 'cbor' | 'json'
  /** A `peer` that is silent is taken for dead; a `local` process may compute as long as its callers wait. */
  readonly liveness: 'peer' | 'local'
  /** Names this run of the process; at most 64 characters. */
  readonly epoch: string
  /** Last id before the link must be replaced; lower only in tests. Default 2^31 - 2. */
  readonly callIdMax?: number
}

/** What the owner of a link may ask. The machine makes the ids: `opened` or `refused` is the first event. */
export type LinkCommand =
  | { readonly type: 'call', readonly meta: CallMeta, readonly payload: Uint8Array, readonly flags: number }
  | {
    readonly type: 'data', readonly callId: number, readonly payload: Uint8Array
    readonly flags: number, readonly notify: boolean
  }
  | { readonly type: 'fail', readonly callId: number, readonly error: WireError }
  | { readonly type: 'cancel', readonly callId: number, readonly reason: string }
  | { readonly type: 'consume', readonly callId: number, readonly cost: number }
  | { readonly type: 'flush' }
  | { readonly type: 'goAway', readonly graceMs: number }

/** What the owner of a link is told. Payloads are views of received bytes: copy what is kept. */
export type LinkEvent =
  | { readonly type: 'opened', readonly callId: number }
  | { readonly type: 'refused', readonly error: WarrenError }
  | { readonly type: 'up', readonly hello: Hello }
  | {
    readonly type: 'call', readonly callId: number, readonly meta: CallMeta
    readonly flags: number, readonly payload: Uint8Array
  }
  | { readonly type: 'data', readonly callId: number, readonly flags: number, readonly payload: Uint8Array }
  | { readonly type: 'failed', readonly callId: number, readonly error: WarrenError }
  | { readonly type: 'ended', readonly callId: number }
  | { readonly type: 'sent', readonly callId: number, readonly cost: number }
  | { readonly type: 'wantFlush' }
  | { readonly type: 'reading', readonly on: boolean }
  | { readonly type: 'goingAway', readonly graceMs: number }
  | { readonly type: 'unresponsive' }
  | { readonly type: 'down', readonly error: WarrenError }

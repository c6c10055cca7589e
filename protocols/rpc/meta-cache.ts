/** Call meta in bytes and back, once for calls in a row that have the same: it costs as much as all the rest. */
import type { Codec } from './codec.ts'
import { checkMeta, type CallMeta } from './messages.ts'

/** The meta of the last call in each direction of a link. */
export class MetaCache {
  readonly #codec: Codec
  #sent: { readonly meta: CallMeta, readonly bytes: Uint8Array } | undefined
  #received: { readonly meta: CallMeta, readonly bytes: Uint8Array } | undefined

  constructor(codec: Codec) {
    this.#codec = codec
  }

  /** Meta in the link's codec. */
  encode(meta: CallMeta): Uint8Array {
    if (this.#sent !== undefined && isSame(this.#sent.meta, meta)) return this.#sent.bytes
    const bytes = this.#codec.encode(meta)
    // A copy: what is kept must not keep the encoder's whole buffer.
    if (isPlain(meta)) this.#sent = { meta, bytes: bytes.slice() }
    return bytes
  }

  /** The checked meta, or the rule that it breaks. */
  decode(bytes: Uint8Array): CallMeta | string {
    if (this.#received !== undefined && isEqual(this.#received.bytes, bytes)) return this.#received.meta
    let decoded: unknown
    try {
      decoded = this.#codec.decode(bytes)
    } catch {
      return 'meta cannot be decoded'
    }
    const meta = checkMeta(decoded)
    if (typeof meta !== 'string') this.#received = { meta: Object.freeze(meta), bytes: bytes.slice() }
    return meta
  }
}

/** Whether nothing but the common keys is there. */
function isPlain({ to, tp, k, ob }: CallMeta): boolean {
  return to === undefined && tp === undefined && k === undefined && ob === undefined
}

function isSame(kept: CallMeta, meta: CallMeta): boolean {
  return kept.m === meta.m && kept.d === meta.d && kept.e === meta.e && kept.i === meta.i && isPlain(meta)
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

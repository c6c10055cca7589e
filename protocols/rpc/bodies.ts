/** Bodies of ERROR and CANCEL: whatever an app threw or said, they fit into a frame that the peer reads. */
import { toWireError, WarrenError, type WireError } from '../errors.ts'
import type { Codec } from './codec.ts'
import { REASON_CHARACTERS_MAX, type Cancel } from './messages.ts'

/**
 * The body of an ERROR. Details that have no form in the codec, that the peer could not read or that are too
 * long are left out; what is too long without them was no error of ours and becomes INTERNAL.
 */
export function errorBody(codec: Codec, error: WireError, bytesMax: number): Uint8Array {
  const { details: _details, ...plain } = error
  const instead = toWireError(new WarrenError('INTERNAL', 'the error itself is too long to be sent',
    { started: error.started }))
  return encodeWithin(codec, error, bytesMax) ?? encodeWithin(codec, plain, bytesMax) ?? codec.encode(instead)
}

function encodeWithin(codec: Codec, error: WireError, bytesMax: number): Uint8Array | undefined {
  try {
    const body = codec.encode(error)
    if (body.length > bytesMax) return undefined
    // Read once more, because encoders take what decoders refuse, such as deep nesting.
    if (error.details !== undefined) codec.decode(body)
    return body
  } catch {
    return undefined // Without a form in the codec: the caller has a plainer one.
  }
}

/** The body of a CANCEL; a long reason is cut. */
export function cancelBody(codec: Codec, { reason, code }: Cancel): Uint8Array {
  const clipped = reason.length > REASON_CHARACTERS_MAX ? `${reason.slice(0, REASON_CHARACTERS_MAX - 1)}…` : reason
  return codec.encode(code === undefined ? { reason: clipped } : { reason: clipped, code })
}

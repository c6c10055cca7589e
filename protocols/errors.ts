/** The one error class of Warren, its stable codes and names, and its form on the wire. */

/** gRPC's canonical codes; callers match these or `name`, never the text. */
export const ERROR_CODES = [
  'CANCELLED', 'UNKNOWN', 'INVALID_ARGUMENT', 'DEADLINE_EXCEEDED', 'NOT_FOUND', 'ALREADY_EXISTS',
  'PERMISSION_DENIED', 'RESOURCE_EXHAUSTED', 'FAILED_PRECONDITION', 'ABORTED', 'OUT_OF_RANGE',
  'UNIMPLEMENTED', 'INTERNAL', 'UNAVAILABLE', 'DATA_LOSS', 'UNAUTHENTICATED',
] as const

/** One of gRPC's canonical codes. */
export type ErrorCode = (typeof ERROR_CODES)[number]

/**
 * Every name that Warren itself gives to an error, and the code that goes with it. Apps may add their
 * own names; names that a peer sends and that are not listed here keep the code they came with.
 */
export const ERROR_NAMES = {
  /** The caller, or somebody on its behalf, gave the call up. */
  CANCELLED: 'CANCELLED',
  /** The call's time was over before its answer came. */
  DEADLINE: 'DEADLINE_EXCEEDED',
  /** An argument or a reply does not fit the method's schema. */
  SCHEMA: 'INVALID_ARGUMENT',
  /** A value that is not of the form asked for: a flag, a name, an address. */
  BAD_ARGUMENT: 'INVALID_ARGUMENT',
  /** The configuration file or a flag has an unknown key or a value out of range. */
  BAD_CONFIG: 'INVALID_ARGUMENT',
  /** A payload that its codec cannot read. */
  BAD_PAYLOAD: 'INVALID_ARGUMENT',
  /** No machine in reach serves an app of this name. */
  APP_NOT_FOUND: 'NOT_FOUND',
  /** The app is there, it has no such method. */
  METHOD_NOT_FOUND: 'NOT_FOUND',
  /** No such node is known. */
  NODE_NOT_FOUND: 'NOT_FOUND',
  /** No such file, folder or root. */
  FILE_NOT_FOUND: 'NOT_FOUND',
  /** The app was deregistered while the call was on its way or in its hands. */
  DEREGISTERED: 'UNAVAILABLE',
  /** The process that served the app ended without a word. */
  APP_CRASHED: 'UNAVAILABLE',
  /** The machine that was asked for cannot be reached. */
  NODE_UNREACHABLE: 'UNAVAILABLE',
  /** The link that carried the call was lost. */
  LINK_LOST: 'UNAVAILABLE',
  /** The link takes no new calls: its other end is about to leave. */
  GOING_AWAY: 'UNAVAILABLE',
  /** No node runs for this home. */
  NODE_NOT_RUNNING: 'UNAVAILABLE',
  /** A node runs for this home already. */
  HOME_IN_USE: 'FAILED_PRECONDITION',
  /** This machine or runtime cannot do what was asked. */
  UNSUPPORTED: 'FAILED_PRECONDITION',
  /** Several things have this name; the message lists them. */
  AMBIGUOUS: 'FAILED_PRECONDITION',
  /** The app or device name is taken on this node. */
  NAME_TAKEN: 'ALREADY_EXISTS',
  /** The caller may not do this. */
  DENIED: 'PERMISSION_DENIED',
  /** The operating system refused to open it. */
  UNREADABLE: 'PERMISSION_DENIED',
  /** A range that the thing does not have. */
  OUT_OF_RANGE: 'OUT_OF_RANGE',
  /** A file that changed while it was read. */
  FILE_CHANGED: 'DATA_LOSS',
  /** The output cannot be written any more. */
  OUTPUT: 'ABORTED',
  /** A limit of `limits.ts` was reached; the message names it. */
  LIMIT: 'RESOURCE_EXHAUSTED',
  /** The other end broke the protocol; the message names the rule. */
  PROTOCOL: 'INTERNAL',
  /** A fault in the app or in Warren itself. */
  INTERNAL: 'INTERNAL',
} as const satisfies Record<string, ErrorCode>

/** A name from the table above. */
export type ErrorName = keyof typeof ERROR_NAMES

/** Whether the callee began to work on the call. `unknown`, when the link was lost, is treated as true. */
export type Started = boolean | 'unknown'

/** What may be said about an error beside its name and message. */
export interface ErrorExtras {
  /** The canonical code, for a name that the table does not hold. Default: the table's, else UNKNOWN. */
  readonly code?: ErrorCode
  /** Default: `unknown`. Calls are retried only when this is false or the method is idempotent. */
  readonly started?: Started
  /** Milliseconds after which another try makes sense. */
  readonly retryAfterMs?: number
  /** Anything else, of plain data; it crosses the wire. */
  readonly details?: unknown
  /** The error behind this one; it stays on this machine. */
  readonly cause?: unknown
}

/** The one error class: a stable `code` and `name`, and a sentence that names the thing and what to do. */
export class WarrenError extends Error {
  readonly code: ErrorCode
  readonly started: Started
  readonly retryAfterMs: number | undefined
  readonly details: unknown

  constructor(name: ErrorName | (string & {}), message: string, extras: ErrorExtras = {}) {
    super(message, 'cause' in extras ? { cause: extras.cause } : undefined)
    this.name = name
    this.code = extras.code ?? codeOf(name)
    this.started = extras.started ?? 'unknown'
    this.retryAfterMs = extras.retryAfterMs
    this.details = extras.details
  }
}

function codeOf(name: string): ErrorCode {
  return Object.hasOwn(ERROR_NAMES, name) ? ERROR_NAMES[name as ErrorName] : 'UNKNOWN'
}

/** The body of an ERROR frame, and what `--json` prints. */
export interface WireError {
  code: string
  name: string
  message: string
  started: Started
  retryAfterMs?: number
  details?: unknown
}

/** Longest message that crosses the wire, in characters; the rest of a longer one is dropped. */
export const ERROR_MESSAGE_CHARACTERS_MAX = 2_000

/**
 * The form of any thrown thing that may leave this machine: a `WarrenError` as it is, anything else as
 * INTERNAL with its message alone, because a stack would tell other machines about this one's disk.
 */
export function toWireError(thrown: unknown): WireError {
  if (!(thrown instanceof WarrenError)) {
    const message = thrown instanceof Error ? thrown.message : String(thrown)
    return { code: 'INTERNAL', name: 'INTERNAL', message: clip(message), started: true }
  }
  const wire: WireError = {
    code: thrown.code, name: thrown.name, message: clip(thrown.message), started: thrown.started,
  }
  if (thrown.retryAfterMs !== undefined) wire.retryAfterMs = thrown.retryAfterMs
  if (thrown.details !== undefined) wire.details = thrown.details
  return wire
}

/** Reads what a peer sent as an error; whatever its shape, the result is an error that can be thrown. */
export function fromWireError(value: unknown): WarrenError {
  const wire = (typeof value === 'object' && value !== null ? value : {}) as Partial<WireError>
  const named = typeof wire.name === 'string' && /^[A-Z][A-Z0-9_]{0,63}$/.test(wire.name)
  const name = named ? wire.name! : 'UNKNOWN'
  const code = ERROR_CODES.find((known) => known === wire.code) ?? 'UNKNOWN'
  const message = typeof wire.message === 'string' ? clip(wire.message) : 'the peer gave no reason'
  const started = typeof wire.started === 'boolean' ? wire.started : 'unknown'
  const retryAfterMs = typeof wire.retryAfterMs === 'number' && wire.retryAfterMs >= 0
    ? wire.retryAfterMs : undefined
  return new WarrenError(name, message, {
    code, started,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(wire.details === undefined ? {} : { details: wire.details }),
  })
}

function clip(message: string): string {
  return message.length > ERROR_MESSAGE_CHARACTERS_MAX
    ? `${message.slice(0, ERROR_MESSAGE_CHARACTERS_MAX)}…` : message
}

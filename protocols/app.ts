/** All that an app author sees: defining an app, its methods' types, and the typed client made from them. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import { WarrenError } from './errors.ts'
import { METHODS_MAX } from './limits.ts'
import { checkName } from './names.ts'

/** Any Standard Schema validator: zod, valibot, ArkType, TypeBox … */
export type Schema<Input = unknown, Output = unknown> = StandardSchemaV1<Input, Output>

/** What a method takes and gives, and what callers need to know about it. */
export interface MethodSpec<
  I extends Schema = Schema, O extends Schema = Schema, U extends Schema = Schema,
> {
  /** Checked before the handler runs; without it the handler gets whatever was sent, as `unknown`. */
  readonly input?: I
  /** Checked before a reply, or each item of a stream, is sent. */
  readonly output?: O
  /** Each item of the request stream, where the method takes one. */
  readonly upload?: U
  /** Callable only by processes of the same user on the same machine. Default false. */
  readonly local?: boolean
  /** Calling twice is the same as calling once, so that a lost call may be tried again. Default false. */
  readonly idempotent?: boolean
  /** One sentence for people who look for the method. */
  readonly description?: string
}

/** Who called. */
export interface Caller {
  /** PeerId of the node that the call came from; this machine's own for its local processes. */
  readonly node: string
  /** Whether the caller is a process of the same user on this machine. */
  readonly local: boolean
}

/** Writes structured lines into the node's log: a name, then fields. */
export interface Log {
  debug(event: string, fields?: Record<string, unknown>): void
  info(event: string, fields?: Record<string, unknown>): void
  warn(event: string, fields?: Record<string, unknown>): void
  error(event: string, fields?: Record<string, unknown>): void
}

/** What a handler gets beside its input. */
export interface Context<Upload = unknown> {
  /** Fires on deadline, cancel, lost link and deregistration alike. */
  readonly signal: AbortSignal
  /** Milliseconds left when the call arrived; `undefined` for a call without a deadline. */
  readonly timeoutMs: number | undefined
  readonly caller: Caller
  /** The overlay, with this call's deadline and signal as an upper bound for every call made through it. */
  readonly net: Net
  /** The request stream; ends at once where the caller sent none. May be iterated once. */
  readonly upload: AsyncIterable<Upload>
  /** A folder of the app's own on this machine, for whatever it keeps; it exists, mode 0700. */
  readonly folder: string
  readonly log: Log
}

/** What a service's `main` gets. */
export interface ServiceContext {
  /** Settled when the service must end. */
  readonly stopped: Promise<void>
  /** The same as a signal. */
  readonly signal: AbortSignal
  readonly net: Net
  /** A folder of the app's own on this machine, for whatever it keeps; it exists, mode 0700. */
  readonly folder: string
  readonly log: Log
}

/** Whether a method answers once or with a stream of items. */
export type MethodKind = 'unary' | 'stream'

/** A method as `method()` makes it. `In` is what callers pass, `Out` what they get, `Up` what they stream. */
export interface Method<In = never, Out = unknown, Kind extends MethodKind = MethodKind, Up = never> {
  readonly spec: MethodSpec
  readonly kind: MethodKind
  readonly handler: (input: never, context: never) => unknown
  /** Types only; nothing is there at run time. */
  readonly types?: { in: (value: In) => void, out: Out, kind: Kind, up: (value: Up) => void }
}

/** The methods of an app by name. */
export type Methods = Readonly<Record<string, Method>>

/** A device through which an app can be reached. */
export interface DeviceSpec { readonly name: string, readonly kind: string }

/** An app: a named set of methods, exported by one process attached to a node. */
export interface App<M extends Methods = Methods> {
  readonly name: string
  readonly methods: M
  readonly device?: DeviceSpec
  readonly main?: (context: ServiceContext) => Promise<void> | void
}

type In<S> = S extends StandardSchemaV1 ? StandardSchemaV1.InferInput<S> : unknown
type Out<S> = S extends StandardSchemaV1 ? StandardSchemaV1.InferOutput<S> : unknown

/** Defines a method whose handler yields items: callers iterate over its reply. */
export function method<
  I extends Schema = Schema, O extends Schema = Schema, U extends Schema = Schema,
>(
  spec: MethodSpec<I, O, U>,
  handler: (input: Out<I>, context: Context<Out<U>>) => AsyncIterable<In<O>>,
): Method<In<I>, Out<O>, 'stream', In<U>>
/** Defines a method that answers once. `spec` holds its schemas; the handler's types come from them. */
export function method<
  I extends Schema = Schema, O extends Schema = Schema, U extends Schema = Schema,
>(
  spec: MethodSpec<I, O, U>,
  handler: (input: Out<I>, context: Context<Out<U>>) => Promise<In<O>> | In<O>,
): Method<In<I>, Out<O>, 'unary', In<U>>
export function method(
  spec: MethodSpec, handler: (input: never, context: never) => unknown,
): Method {
  const generator = Object.prototype.toString.call(handler) === '[object AsyncGeneratorFunction]'
  return Object.freeze({ spec: Object.freeze({ ...spec }), kind: generator ? 'stream' : 'unary', handler })
}

/**
 * Defines an app.
 * @param name 1-63 characters: a small letter, then small letters, digits and dashes.
 * @throws {WarrenError} `BAD_ARGUMENT` for a name that does not fit, or what is not a method.
 */
export function defineApp<const M extends Methods>(
  name: string, methods: M, extras: Pick<App, 'device' | 'main'> = {},
): App<M> {
  checkName('app', name)
  const names = Object.keys(methods)
  if (names.length > METHODS_MAX) {
    throw new WarrenError('LIMIT', `app '${name}' has ${names.length} methods, at most ${METHODS_MAX} are allowed`)
  }
  for (const key of names) {
    checkName('method', key)
    if (typeof methods[key]?.handler !== 'function') {
      throw new WarrenError('BAD_ARGUMENT', `'${name}.${key}' is not a method: make it with method(spec, handler)`)
    }
  }
  if (extras.device !== undefined) checkName('device', extras.device.name)
  return Object.freeze({ name, methods: Object.freeze({ ...methods }), ...extras })
}

/** Options of one call. */
export interface CallOptions {
  /**
   * Milliseconds until the answer is there; for a stream until its first item, then `idleMs` counts.
   * 1 to 86 400 000, or `Infinity` for none. Default 30 000.
   */
  readonly timeoutMs?: number
  /** Milliseconds of silence after which a stream is given up; `Infinity` for subscriptions. Default 30 000. */
  readonly idleMs?: number
  /** Aborting it cancels the call, here and where it runs. */
  readonly signal?: AbortSignal
  /** PeerId or name of the node whose app is meant. */
  readonly node?: string
  /** Items to stream with the call, for methods that take an upload. */
  readonly upload?: AsyncIterable<unknown> | Iterable<unknown>
}

/**
 * A call under way: awaited it gives its one answer; iterated, its items as they come. Leaving the loop
 * early cancels the call. It is sent on the next tick, whether or not anybody waits for it.
 */
export interface Call<T> extends Promise<T>, AsyncIterable<T> {
  /** Gives the call up: it fails with CANCELLED here, and its handler's signal fires. */
  cancel(reason?: string): void
}

/** One machine that serves an app. */
export interface Host {
  /** PeerId of the node. */
  readonly node: string
  /** The node's own name for itself; empty while nobody has asked it. */
  readonly name: string
  /** Whether it is this machine's node. */
  readonly local: boolean
}

/** A view of the overlay through which apps are called. */
export interface Net {
  /**
   * Calls `app.method` wherever it runs.
   * @throws {WarrenError} through the returned call: see `errors.ts` for the names.
   */
  call<T = unknown>(method: string, input?: unknown, options?: CallOptions): Call<T>
  /** A client with a function per method, typed by the app or by `typeof app`; no code is generated. */
  client<A extends App>(app: A | string, options?: CallOptions): Client<A>
  /** The machines that serve an app just now, this one first; empty if there are none. */
  hosts(app: string, options?: { readonly signal?: AbortSignal }): Promise<Host[]>
}

type ClientOptions<Up> = [Up] extends [never] ? CallOptions
  : Omit<CallOptions, 'upload'> & { readonly upload?: AsyncIterable<Up> | Iterable<Up> }

type ClientMethod<M> = M extends Method<infer I, infer O, infer K, infer U>
  ? (...args: unknown extends I ? [input?: unknown, options?: ClientOptions<U>]
    : [input: I, options?: ClientOptions<U>])
  => K extends 'stream' ? AsyncIterable<O> & { cancel(reason?: string): void } : Promise<O>
  : never

/** The client of an app: a function per method, with the types of its schemas. */
export type Client<A extends App> = { readonly [K in keyof A['methods']]: ClientMethod<A['methods'][K]> }

/** Makes the client of `app` over any way to call: each property is a function that calls that method. */
export function makeClient<A extends App>(
  call: Net['call'], app: A | string, defaults: CallOptions = {},
): Client<A> {
  const name = typeof app === 'string' ? app : app.name
  checkName('app', name)
  const made = new Map<string, unknown>()
  return new Proxy({}, {
    get(_target, property) {
      // A client that is awaited by accident must not look like a promise.
      if (typeof property !== 'string' || property === 'then') return undefined
      const known = made.get(property)
      if (known !== undefined) return known
      const invoke = (input?: unknown, options?: CallOptions): Call<unknown> =>
        call(`${name}.${property}`, input, { ...defaults, ...options })
      made.set(property, invoke)
      return invoke
    },
  }) as Client<A>
}

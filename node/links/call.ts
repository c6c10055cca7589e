/** The caller's end of a call: a promise of one answer, or an iteration over many. */
import { WarrenError } from '../../protocols/errors.ts'
import { CALL_TIMEOUT_MS, CALL_TIMEOUT_MS_MAX } from '../../protocols/limits.ts'
import type { Call, CallOptions } from '../../protocols/app.ts'
import { parseMethodName } from '../../protocols/names.ts'
import { cbor, codecByName } from '../../protocols/rpc/codec.ts'
import { Assembler, ItemQueue } from '../../protocols/rpc/items.ts'
import { FLAG, type CallMeta } from '../../protocols/rpc/messages.ts'
import { encodeItem, sendItems } from './items.ts'
import type { CallHandle, Link } from './link.ts'

/** What every call made through one `Net` inherits. */
export interface CallScope {
  /** Aborting it cancels the call. */
  readonly signal?: AbortSignal
  /** Milliseconds that are left for everything made through the scope; `undefined` for no bound. */
  remainingMs?(): number | undefined
}

/** Where a call goes: the link to the local node, looked up when the call starts. */
export type LinkSource = () => Link

/** @throws {WarrenError} `BAD_ARGUMENT` for a time that is not 1 ms to a day, or `Infinity`. */
function checkTime(name: string, value: number | undefined): void {
  if (value === undefined || value === Infinity) return
  if (!(value > 0) || value > CALL_TIMEOUT_MS_MAX) {
    throw new WarrenError('BAD_ARGUMENT',
      `${name} is ${value}; give 1 to ${CALL_TIMEOUT_MS_MAX} milliseconds, or Infinity`, { started: false })
  }
}

/** Call meta from a caller's options: shortest of its own and its scope's time. */
export function callMeta(method: string, options: CallOptions, scope: CallScope): CallMeta {
  parseMethodName(method)
  checkTime('timeoutMs', options.timeoutMs)
  checkTime('idleMs', options.idleMs)
  const wanted = options.timeoutMs ?? CALL_TIMEOUT_MS
  const bound = scope.remainingMs?.()
  const timeoutMs = bound === undefined ? wanted : Math.min(wanted, bound)
  const meta: { -readonly [Key in keyof CallMeta]: CallMeta[Key] } = { m: method, e: cbor.name }
  if (timeoutMs !== Infinity) meta.d = timeoutMs
  if (options.idleMs !== undefined) meta.i = options.idleMs === Infinity ? 0 : options.idleMs
  if (options.node !== undefined) meta.to = { node: options.node }
  return meta
}

/** A call under way. It starts at once; an error of any kind reaches whoever waits for it. */
export class OutgoingCall<T> implements Call<T> {
  readonly [Symbol.toStringTag] = 'Call'
  readonly #method: string
  readonly #codec: string
  readonly #items: ItemQueue
  readonly #signals: AbortSignal[] = []
  #handle: CallHandle | undefined
  #error: WarrenError | undefined
  #promise: Promise<T> | undefined
  #wake: (() => void) | undefined
  #sent: (() => void) | undefined
  #unsentBytes = 0
  #iterated = false

  constructor(source: LinkSource, method: string, input: unknown, options: CallOptions, scope: CallScope) {
    this.#method = method
    this.#codec = cbor.name
    let link: Link | undefined
    try {
      link = source()
    } catch (thrown) {
      this.#error = asError(thrown)
    }
    this.#items = new ItemQueue(link?.assembler ?? new Assembler(), (cost) => this.#handle?.consume(cost))
    if (link === undefined) return
    try {
      this.#start(link, callMeta(method, options, scope), input, options, scope)
    } catch (thrown) {
      this.#error = thrown instanceof WarrenError ? thrown : new WarrenError('BAD_ARGUMENT',
        `the input of ${method} cannot be sent: ${asError(thrown).message}`, { started: false, cause: thrown })
    }
  }

  #start(link: Link, meta: CallMeta, input: unknown, options: CallOptions, scope: CallScope): void {
    for (const signal of [options.signal, scope.signal]) {
      if (signal === undefined) continue
      if (signal.aborted) throw cancelled(signal)
      this.#signals.push(signal)
    }
    const { bytes, raw } = encodeItem(input, this.#codec)
    const flags = (raw ? FLAG.RAW : 0) | (options.upload === undefined ? FLAG.END : 0)
    this.#handle = link.open(meta, bytes, flags, {
      data: (dataFlags, payload) => this.#data(dataFlags, payload),
      failed: (error) => this.#end(error),
      sent: (cost) => {
        this.#unsentBytes -= cost
        this.#sent?.()
      },
    })
    for (const signal of this.#signals) signal.addEventListener('abort', this.#onAbort)
    if (options.upload !== undefined) void this.#upload(options.upload)
  }

  readonly #onAbort = (event: Event): void => {
    const error = cancelled(event.target as AbortSignal)
    this.#handle?.cancel(error.message)
    this.#end(error)
  }

  cancel(reason = 'the caller gave up'): void {
    if (this.#handle === undefined) return
    this.#handle.cancel(reason)
    this.#end(new WarrenError('CANCELLED', reason))
  }

  async #upload(upload: AsyncIterable<unknown> | Iterable<unknown>): Promise<void> {
    try {
      await sendItems(upload, this.#codec, {
        isOver: () => this.#handle === undefined,
        send: (payload, flags) => this.#handle?.send(payload, flags, true),
        sent: (cost) => { this.#unsentBytes += cost },
        unsentBytes: () => this.#unsentBytes,
        drained: () => new Promise<void>((resolve) => { this.#sent = resolve }),
      })
    } catch (thrown) {
      const message = thrown instanceof Error ? thrown.message : String(thrown)
      this.#handle?.cancel(`the caller's upload failed: ${message}`)
      this.#end(thrown instanceof WarrenError ? thrown
        : new WarrenError('CANCELLED', `the upload to ${this.#method} failed: ${message}`, { cause: thrown }))
    }
  }

  #data(flags: number, payload: Uint8Array): void {
    const fault = this.#items.push(flags, payload)
    if (fault !== undefined) {
      this.#handle?.cancel(fault)
      return this.#end(new WarrenError('LIMIT', `${this.#method}: ${fault}`, { started: true }))
    }
    if ((flags & FLAG.END) !== 0) this.#release()
    this.#wake?.()
  }

  #end(error: WarrenError): void {
    this.#error ??= error
    this.#items.abandon()
    this.#release()
    this.#wake?.()
  }

  /** Nothing comes any more: lets go of everything but the items that wait to be read. */
  #release(): void {
    this.#handle = undefined
    this.#sent?.()
    for (const signal of this.#signals) signal.removeEventListener('abort', this.#onAbort)
    this.#signals.length = 0
  }

  #take(): { value: T } | undefined {
    const item = this.#items.shift()
    if (item === undefined) return undefined
    return { value: (item.raw ? item.bytes : codecByName(this.#codec).decode(item.bytes)) as T }
  }

  /** The next item; `undefined` at the end. */
  async #next(): Promise<{ value: T } | undefined> {
    for (;;) {
      const taken = this.#take()
      if (taken !== undefined) return taken
      if (this.#error !== undefined) throw this.#error
      if (this.#items.ended) return undefined
      await new Promise<void>((resolve) => { this.#wake = resolve })
      this.#wake = undefined
    }
  }

  /** The one answer, in one promise: it is settled where the frame with the end comes in. */
  #single(): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      let first: { value: T } | undefined
      const look = (): void => {
        try {
          const taken = this.#take()
          if (taken !== undefined && first !== undefined) throw this.#notOne()
          first ??= taken
          // The end may come by itself, so that only a second item tells a stream from an answer.
          if (this.#items.hasItem) throw this.#notOne()
          if (this.#error !== undefined) throw this.#error
          if (!this.#items.ended) {
            this.#wake = look
            return
          }
          resolve(first?.value as T)
        } catch (thrown) {
          reject(thrown)
        }
        this.#wake = undefined
        this.cancel('the caller takes one answer')
        this.#items.clear()
      }
      look()
    })
  }

  #notOne(): WarrenError {
    return new WarrenError('BAD_ARGUMENT',
      `${this.#method} answers with a stream of items: use 'for await' on the call`, { started: true })
  }

  #settled(): Promise<T> {
    if (this.#iterated) {
      return Promise.reject(new WarrenError('BAD_ARGUMENT', 'this call is being iterated; do not await it as well'))
    }
    this.#promise ??= this.#single()
    return this.#promise
  }

  // oxlint-disable-next-line unicorn/no-thenable -- A call is awaited for its one answer.
  then<A = T, B = never>(
    onfulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    return this.#settled().then(onfulfilled, onrejected)
  }

  catch<B = never>(onrejected?: ((reason: unknown) => B | PromiseLike<B>) | null): Promise<T | B> {
    return this.#settled().catch(onrejected)
  }

  finally(onfinally?: (() => void) | null): Promise<T> {
    return this.#settled().finally(onfinally)
  }

  async* [Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    if (this.#iterated || this.#promise !== undefined) {
      throw new WarrenError('BAD_ARGUMENT', 'a call can be awaited or iterated once')
    }
    this.#iterated = true
    try {
      for (;;) {
        const taken = await this.#next()
        if (taken === undefined) return
        yield taken.value
      }
    } finally {
      this.cancel('the caller left the loop')
      this.#items.clear()
    }
  }
}

function cancelled(signal: AbortSignal): WarrenError {
  const { reason } = signal as { reason: unknown }
  if (reason instanceof WarrenError) return reason
  if (reason instanceof Error && reason.name === 'TimeoutError') {
    return new WarrenError('DEADLINE', 'the signal given with the call timed out', { cause: reason })
  }
  const why = reason instanceof Error ? reason.message : 'the caller gave up'
  return new WarrenError('CANCELLED', why, { cause: reason })
}

function asError(thrown: unknown): WarrenError {
  if (thrown instanceof WarrenError) return thrown
  return new WarrenError('INTERNAL', thrown instanceof Error ? thrown.message : String(thrown),
    { started: false, cause: thrown })
}

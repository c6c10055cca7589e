/** The callee's end of a call: decode, check, run the handler, send what it gives, and stop it when nobody waits. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { App, Caller, Context, Log, Method, Net, Schema } from '../../protocols/app.ts'
import { toWireError, WarrenError } from '../../protocols/errors.ts'
import { parseMethodName } from '../../protocols/names.ts'
import { codecByName } from '../../protocols/rpc/codec.ts'
import { ItemQueue, type Item } from '../../protocols/rpc/items.ts'
import { FLAG } from '../../protocols/rpc/messages.ts'
import { nowMs } from '../clock.ts'
import type { CallScope } from './call.ts'
import { encodeItem, sendItems } from './items.ts'
import type { CallListener, IncomingCall } from './link.ts'

/** What the handlers of a process are given. */
export interface Services {
  /** The app of this name, if the process serves it. */
  app(name: string): App | undefined
  /** A view of the overlay that is bound to a call's deadline and signal. */
  net(scope: CallScope): Net
  caller(incoming: IncomingCall): Caller
  folder(app: string): string
  log(app: string): Log
}

/** Runs one call; the returned listener is the link's. */
export function serveCall(incoming: IncomingCall, services: Services): CallListener {
  return new Serving(incoming, services)
}

/** Why the signal of a handler that has answered fires; one for all calls, because an error costs a stack trace. */
const ANSWERED = Object.freeze(new WarrenError('CANCELLED', 'the call has been answered'))

class Serving implements CallListener {
  readonly #incoming: IncomingCall
  readonly #services: Services
  readonly #items: ItemQueue
  readonly #arrivedMs = nowMs()
  #controller: AbortController | undefined
  #ended: WarrenError | undefined
  #over = false
  #running = false
  /** Whether the handler was called: from then on nobody may take the call for one that never began. */
  #started = false
  #wake: (() => void) | undefined
  #sent: (() => void) | undefined
  #unsentBytes = 0

  constructor(incoming: IncomingCall, services: Services) {
    this.#incoming = incoming
    this.#services = services
    this.#items = new ItemQueue(incoming.handle.link.assembler, (cost) => incoming.handle.consume(cost))
    this.data(incoming.flags, incoming.payload)
  }

  data(flags: number, payload: Uint8Array): void {
    // Answered, and the answer waits for credit: what still comes of the request is not wanted.
    if (this.#over) return
    const fault = this.#items.push(flags, payload)
    if (fault !== undefined) return this.#fail(new WarrenError('LIMIT', fault, { started: this.#running }))
    this.#wake?.()
    if (this.#running || (!this.#items.hasItem && !this.#items.ended)) return
    this.#running = true
    this.#run(this.#items.shift())
  }

  failed(error: WarrenError): void {
    this.#finish(error)
  }

  sent(cost: number): void {
    this.#unsentBytes -= cost
    this.#sent?.()
  }

  /** The call is over, or fails here: the handler's signal fires, whoever waits is woken. */
  #finish(error: WarrenError): void {
    if (this.#over) return
    this.#over = true
    this.#ended = error
    this.#items.clear()
    this.#controller?.abort(error)
    this.#sent?.()
    this.#wake?.()
  }

  #fail(error: unknown): void {
    if (this.#over) return
    const wire = toWireError(error)
    this.#incoming.handle.fail(this.#started ? { ...wire, started: true } : wire)
    this.#finish(error instanceof WarrenError ? error : new WarrenError('INTERNAL', 'the handler failed'))
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#ended !== undefined) this.#controller.abort(this.#ended)
    }
    return this.#controller.signal
  }

  /** Goes on without a promise as far as it can: most handlers need none, and each costs a turn of the queue. */
  #run(argument: Item | undefined): void {
    try {
      const { app, method, name } = this.#find()
      const input = this.#input(method, argument, name)
      if (input instanceof Promise) {
        input.then((checked) => this.#call(app, method, name, checked))
          .catch((thrown: unknown) => this.#fail(thrown))
      } else this.#call(app, method, name, input)
    } catch (thrown) {
      this.#fail(thrown)
    }
  }

  #call(app: App, method: Method, name: string, input: unknown): void {
    if (this.#over) return
    this.#started = true
    const context = new CallContext(app, this.#services, this.#incoming, this)
    const result: unknown = method.handler(input as never, context as never)
    const rest = isAsyncIterable(result) ? this.#stream(result, method, name)
      : isThenable(result) ? Promise.resolve(result).then((value) => this.#answer(value, method, name))
        : this.#answer(result, method, name)
    rest?.catch((thrown: unknown) => this.#fail(thrown))
  }

  #find(): { app: App, method: Method, name: string } {
    const { m } = this.#incoming.meta
    const name = parseMethodName(m)
    const app = this.#services.app(name.app)
    if (app === undefined) {
      throw new WarrenError('DEREGISTERED', `app '${name.app}' is not served here any more`, { started: false })
    }
    const method = Object.hasOwn(app.methods, name.method) ? app.methods[name.method] : undefined
    if (method === undefined) {
      const known = Object.keys(app.methods).join(', ')
      throw new WarrenError('METHOD_NOT_FOUND', `app '${app.name}' has no method '${name.method}'; it has ${known}`,
        { started: false })
    }
    if (method.spec.local === true && !this.#services.caller(this.#incoming).local) {
      throw new WarrenError('DENIED', `${m} can be called only on its own machine`, { started: false })
    }
    return { app, method, name: m }
  }

  #input(method: Method, argument: Item | undefined, name: string): unknown {
    const value = argument === undefined ? undefined : this.#decode(argument)
    return check(method.spec.input, value, `the input of ${name}`, false)
  }

  #decode(item: Item): unknown {
    return item.raw ? item.bytes : codecByName(this.#incoming.meta.e).decode(item.bytes)
  }

  remainingMs(): number | undefined {
    const { d } = this.#incoming.meta
    return d === undefined ? undefined : Math.max(0.001, d - (nowMs() - this.#arrivedMs))
  }

  async* upload(app: App): AsyncGenerator<unknown, void, undefined> {
    const method = app.methods[parseMethodName(this.#incoming.meta.m).method]!
    for (;;) {
      const item = this.#items.shift()
      if (item !== undefined) {
        yield await check(method.spec.upload, this.#decode(item), `an item for ${this.#incoming.meta.m}`, true)
        continue
      }
      if (this.#ended !== undefined) throw this.#ended
      if (this.#items.ended) return
      await new Promise<void>((resolve) => { this.#wake = resolve })
      this.#wake = undefined
    }
  }

  #answer(result: unknown, method: Method, name: string): Promise<void> | undefined {
    const value = check(method.spec.output, result, `the reply of ${name}`, true)
    if (value instanceof Promise) return value.then((checked) => this.#reply(checked))
    this.#reply(value)
    return undefined
  }

  #reply(value: unknown): void {
    if (this.#over) return
    const { bytes, raw } = encodeItem(value, this.#incoming.meta.e)
    this.#incoming.handle.send(bytes, (raw ? FLAG.RAW : 0) | FLAG.END, false)
    this.#done()
  }

  async #stream(result: AsyncIterable<unknown>, method: Method, name: string): Promise<void> {
    const { output } = method.spec
    const checked = output === undefined ? result : checkedItems(result, output, `an item of ${name}`)
    await sendItems(checked, this.#incoming.meta.e, {
      isOver: () => this.#over,
      send: (payload, flags) => this.#incoming.handle.send(payload, flags, true),
      sent: (cost) => { this.#unsentBytes += cost },
      unsentBytes: () => this.#unsentBytes,
      drained: () => new Promise<void>((resolve) => { this.#sent = resolve }),
    })
    this.#done()
  }

  /** The handler is through; what it left running hears of it by its signal. */
  #done(): void {
    this.#finish(ANSWERED)
  }
}

async function* checkedItems(
  items: AsyncIterable<unknown>, schema: Schema, what: string,
): AsyncGenerator<unknown, void, undefined> {
  for await (const item of items) yield await check(schema, item, what, true)
}

/** What a handler is given; what costs something is made when it is asked for. */
class CallContext implements Context {
  readonly #app: App
  readonly #services: Services
  readonly #incoming: IncomingCall
  readonly #serving: Serving
  #net: Net | undefined

  constructor(app: App, services: Services, incoming: IncomingCall, serving: Serving) {
    this.#app = app
    this.#services = services
    this.#incoming = incoming
    this.#serving = serving
  }

  get signal(): AbortSignal { return this.#serving.signal }
  get timeoutMs(): number | undefined { return this.#incoming.meta.d }
  get caller(): Caller { return this.#services.caller(this.#incoming) }
  get net(): Net { return this.#net ??= this.#services.net(this.#serving) }
  get upload(): AsyncIterable<unknown> { return this.#serving.upload(this.#app) }
  get folder(): string { return this.#services.folder(this.#app.name) }
  get log(): Log { return this.#services.log(this.#app.name) }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'
}

function isAsyncIterable(value: unknown): value is AsyncIterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value
}

/**
 * Validates `value`; at once where the validator can.
 * @throws {WarrenError} `SCHEMA` that names the place and what was expected there.
 */
function check(schema: Schema | undefined, value: unknown, what: string, started: boolean): unknown {
  if (schema === undefined) return value
  const outcome = schema['~standard'].validate(value)
  return outcome instanceof Promise ? outcome.then((result) => accepted(result, what, started))
    : accepted(outcome, what, started)
}

function accepted(result: StandardSchemaV1.Result<unknown>, what: string, started: boolean): unknown {
  if (result.issues === undefined) return result.value
  const [first] = result.issues
  const path = (first?.path ?? []).map((key) => String(typeof key === 'object' ? key.key : key)).join('.')
  const where = path === '' ? what : `'${path}' in ${what}`
  throw new WarrenError('SCHEMA', `${where}: ${first?.message ?? 'it does not fit'}`,
    { started, details: { issues: result.issues.length } })
}

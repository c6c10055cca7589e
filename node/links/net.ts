/** The overlay as a process sees it: every call goes over its one link to the local node. */
import {
  makeClient, type App, type Call, type CallOptions, type Client, type Host, type Net,
} from '../../protocols/app.ts'
import { OutgoingCall, type CallScope, type LinkSource } from './call.ts'

/** Calls over the link that `source` gives when a call starts. */
export class LinkNet implements Net {
  readonly #source: LinkSource
  readonly #scope: CallScope

  constructor(source: LinkSource, scope: CallScope = {}) {
    this.#source = source
    this.#scope = scope
  }

  call<T = unknown>(method: string, input?: unknown, options: CallOptions = {}): Call<T> {
    return new OutgoingCall<T>(this.#source, method, input, options, this.#scope)
  }

  client<A extends App>(app: A | string, options?: CallOptions): Client<A> {
    return makeClient<A>((method, input, given) => this.call(method, input, given), app, options)
  }

  async hosts(app: string, options: { readonly signal?: AbortSignal } = {}): Promise<Host[]> {
    return await this.call<Host[]>('node.hosts', { app }, options)
  }

  /** The same overlay, bound to another scope. */
  within(scope: CallScope): LinkNet {
    return new LinkNet(this.#source, scope)
  }
}

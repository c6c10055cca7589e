/** Carries one call from the link it came on to the link of its host, frame by frame, without decoding arguments. */
import { toWireError, WarrenError } from '../protocols/errors.ts'
import { WINDOW_BYTES_INITIAL } from '../protocols/limits.ts'
import { FLAG, frameCost, isBareEnd, type CallMeta } from '../protocols/rpc/messages.ts'
import { nowMs } from './clock.ts'
import type { CallHandle, CallListener, IncomingCall, Link } from './links/link.ts'

/** One host that may serve the call. */
export interface Candidate {
  /** The link to it; dialled when there is none yet. */
  link(): Link | Promise<Link>
  /** What its errors become: a lost link means another thing for a local process than for a machine. */
  explain(error: WarrenError): WarrenError
  /** Changes what travels with the call. */
  meta?(meta: CallMeta): CallMeta
}

/** Gives candidates, best first; `undefined` when there are no more. */
export type NextCandidate = (signal: () => AbortSignal) => Candidate | undefined | Promise<Candidate | undefined>

/** Names of errors after which another host may do better, if nothing has started. */
const TRY_NEXT = new Set([
  'GOING_AWAY', 'DEREGISTERED', 'LINK_LOST', 'NODE_UNREACHABLE', 'APP_NOT_FOUND', 'APP_CRASHED',
])

/** Links of one host that are tried: of two that both ends opened at once one is about to leave. */
const LINKS_PER_HOST_MAX = 3

/** Why nobody looks for another host any more. */
const COMMITTED = Object.freeze(new WarrenError('CANCELLED', 'the call has its host'))

interface Piece { readonly flags: number, readonly payload: Uint8Array }

/**
 * A call between two links. The pieces of the request are kept until the first word of a reply, at most one
 * initial window of them, so that another host can be tried while nothing has started.
 */
export class Forwarding implements CallListener {
  readonly #incoming: IncomingCall
  readonly #next: NextCandidate
  readonly #arrivedMs = nowMs()
  /** Made only for a search that can be given up: most calls have their host at once. */
  #abort: AbortController | undefined
  #pieces: Piece[] = []
  #keptBytes = 0
  /** Pieces up to here have been given to the present host. */
  #given = 0
  #replayable = true
  #down: CallHandle | undefined
  #candidate: Candidate | undefined
  /** The present host's link, and how many of its links were tried. */
  #link: Link | undefined
  #linksTried = 0
  #over = false

  constructor(incoming: IncomingCall, next: NextCandidate) {
    this.#incoming = incoming
    this.#next = next
    this.#keep(incoming.flags, incoming.payload)
    // The first piece's credit goes back at once: it is part of what every call is allowed to hold.
    if (!isBareEnd(incoming.flags, incoming.payload.length)) {
      incoming.handle.consume(frameCost(incoming.payload.length))
    }
    this.#try(undefined)
  }

  /** More of the request. */
  data(flags: number, payload: Uint8Array): void {
    if (this.#over) return
    if (this.#replayable) {
      this.#keep(flags, payload)
      if (this.#down !== undefined) this.#give(this.#down)
    } else {
      this.#down?.send(payload, flags, true)
    }
  }

  /** The caller is gone. */
  failed(error: WarrenError): void {
    if (this.#over) return
    this.#over = true
    this.#abort?.abort(error)
    this.#down?.cancel(error.message)
  }

  /** A reply's piece was taken by the caller's link: its host may send more. */
  sent(cost: number): void {
    this.#down?.consume(cost)
  }

  #keep(flags: number, payload: Uint8Array): void {
    this.#pieces.push({ flags, payload })
    this.#keptBytes += payload.length
    if (this.#keptBytes > WINDOW_BYTES_INITIAL && this.#down !== undefined) this.#commit(this.#down)
  }

  /** No other host will be tried any more: what was kept is let go. */
  #commit(down: CallHandle): void {
    this.#give(down)
    this.#replayable = false
    this.#pieces = []
    this.#abort?.abort(COMMITTED)
  }

  #give(down: CallHandle): void {
    for (; this.#given < this.#pieces.length; this.#given++) {
      const { flags, payload } = this.#pieces[this.#given]!
      down.send(payload, flags, true)
    }
  }

  #try(last: WarrenError | undefined): void {
    const candidate = this.#next(() => (this.#abort ??= new AbortController()).signal)
    if (candidate instanceof Promise) {
      candidate.then((found) => this.#dial(found, last), (thrown: unknown) => this.#fail(thrown))
    } else {
      this.#dial(candidate, last)
    }
  }

  #dial(candidate: Candidate | undefined, last: WarrenError | undefined): void {
    if (this.#over) return
    if (candidate === undefined) {
      return this.#fail(last ?? new WarrenError('APP_NOT_FOUND', `nobody serves ${this.#incoming.meta.m}`,
        { started: false }))
    }
    this.#candidate = candidate
    this.#link = undefined
    this.#linksTried = 0
    this.#reach(candidate, last)
  }

  #reach(candidate: Candidate, last: WarrenError | undefined): void {
    try {
      const link = candidate.link()
      if (link instanceof Promise) {
        link.then((dialled) => this.#open(dialled, candidate, last), (thrown: unknown) => this.#lost(thrown))
      } else {
        this.#open(link, candidate, last)
      }
    } catch (thrown) {
      this.#lost(thrown)
    }
  }

  #open(link: Link, candidate: Candidate, last: WarrenError | undefined): void {
    if (this.#over) return
    if (link === this.#link) return this.#try(last && candidate.explain(last))
    this.#link = link
    this.#linksTried++
    const { meta } = this.#incoming
    const d = meta.d === undefined ? undefined : meta.d - (nowMs() - this.#arrivedMs)
    if (d !== undefined && d <= 0) {
      return this.#fail(new WarrenError('DEADLINE', `no time was left for ${meta.m}`, { started: false }))
    }
    // Whole milliseconds, so that calls in a row have the same meta.
    const forwarded = d === undefined ? meta : { ...meta, d: Math.max(1, Math.floor(d)) }
    const [first] = this.#pieces
    try {
      this.#down = link.open(candidate.meta?.(forwarded) ?? forwarded, first!.payload, first!.flags, {
        data: (flags, payload) => this.#reply(flags, payload),
        failed: (error) => this.#lost(error),
        sent: (cost) => this.#incoming.handle.consume(cost),
      })
    } catch (thrown) {
      return this.#lost(thrown)
    }
    this.#given = 1
    this.#give(this.#down)
    if (this.#keptBytes > WINDOW_BYTES_INITIAL) this.#commit(this.#down)
  }

  #reply(flags: number, payload: Uint8Array): void {
    if (this.#over) return
    if (this.#replayable) this.#commit(this.#down!)
    const end = (flags & FLAG.END) !== 0
    this.#incoming.handle.send(payload, flags, !end)
    if (end) this.#over = true
  }

  /** The present host failed: the next one is tried while nothing has started. */
  #lost(thrown: unknown): void {
    if (this.#over) return
    const raw = thrown instanceof WarrenError ? thrown
      : new WarrenError('NODE_UNREACHABLE', thrown instanceof Error ? thrown.message : String(thrown),
        { started: false, cause: thrown })
    this.#down = undefined
    const leaves = raw.started === false && (raw.name === 'GOING_AWAY' || raw.name === 'LINK_LOST')
    if (this.#replayable && leaves && this.#linksTried < LINKS_PER_HOST_MAX && this.#candidate !== undefined) {
      this.#given = 0
      return this.#reach(this.#candidate, raw)
    }
    const error = this.#candidate?.explain(raw) ?? raw
    if (this.#replayable && error.started === false && TRY_NEXT.has(error.name)) {
      this.#given = 0
      return this.#try(error)
    }
    this.#fail(error)
  }

  #fail(error: unknown): void {
    if (this.#over) return
    this.#over = true
    this.#abort?.abort(error)
    this.#incoming.handle.fail(toWireError(error))
  }
}

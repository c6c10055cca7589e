/** Lookups that this node's programs wait for: promises on top of the machine's numbered commands. */
import { WarrenError } from '../../protocols/errors.ts'
import type { Key } from '../../protocols/ids.ts'
import type { PastryCommand, PastryEvent } from '../../protocols/pastry/core.ts'

/** The owner's answer. */
export type Answered = Extract<PastryEvent, { kind: 'answered' }>

/** How a lookup is made. */
export interface LookupOptions {
  readonly signal?: AbortSignal | undefined
  /** Default 10 s. */
  readonly timeoutMs?: number
  readonly trace?: boolean
  /** Handed to the owner's program, whose answer comes back. */
  readonly payload?: Uint8Array
}

/** Time for a lookup that names none. */
const LOOKUP_MS = 10_000

interface Waiting {
  readonly command: PastryCommand
  resolve(answered: Answered): void
  reject(error: unknown): void
}

/** Numbers lookups and settles their promises. */
export class PendingLookups {
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1

  /** How many wait. */
  get size(): number {
    return this.#waiting.size
  }

  /**
   * Finds the owner of `key`.
   * @throws {WarrenError} `NODE_UNREACHABLE` if nobody answered in time, `LIMIT` if too many lookups are under way.
   */
  async ask(command: (given: PastryCommand) => void, key: Key, options: LookupOptions = {}): Promise<Answered> {
    const { signal, timeoutMs = LOOKUP_MS, trace = false, payload } = options
    signal?.throwIfAborted()
    const id = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<Answered>()
    const asked: PastryCommand = {
      kind: 'lookup', id, key, timeoutMs, trace, ...(payload === undefined ? {} : { payload }),
    }
    this.#waiting.set(id, { command: asked, resolve, reject })
    const onAbort = (): void => { reject(signal?.reason) }
    signal?.addEventListener('abort', onAbort)
    try {
      command(asked)
      return await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
      this.#waiting.delete(id)
    }
  }

  /** The machine's word on a lookup. */
  settle(event: Answered | Extract<PastryEvent, { kind: 'lookupFailed' }>): void {
    const waiting = this.#waiting.get(event.id)
    if (waiting === undefined) return
    if (event.kind === 'answered') return waiting.resolve(event)
    waiting.reject(event.reason === 'tooManyLookups'
      ? new WarrenError('LIMIT', 'too many lookups are under way on this node; try again later', { started: false })
      : new WarrenError('NODE_UNREACHABLE',
        `nobody on the ring answered for ${event.key} (${event.reason}); see: warren ring`, { started: 'unknown' }))
  }

  /** The machine that was asked is no more: what still waits is asked of its successor. */
  askAgain(command: (given: PastryCommand) => void): void {
    for (const waiting of [...this.#waiting.values()]) command(waiting.command)
  }

  /** Nobody will answer any more. */
  stop(): void {
    for (const { reject } of this.#waiting.values()) {
      reject(new WarrenError('GOING_AWAY', 'this node is leaving the ring', { started: 'unknown' }))
    }
  }
}

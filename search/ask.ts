/** Asks one machine's indexer; what comes of it is an answer or the reason why there is none. */
import { z } from 'zod'
import type { Host, Net } from '../protocols/app.ts'
import { WarrenError } from '../protocols/errors.ts'
import { clipReason } from '../protocols/search/messages.ts'
import { screenHits, type Screened } from './merge.ts'

/** What is asked of every machine. */
export interface Question {
  readonly query: string
  readonly limit: number
  /** Milliseconds that each machine has. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** What became of asking one machine. */
export type Asked = { readonly host: Host } & (
  | Screened & { readonly answered: true, readonly total: number }
  | { readonly answered: false, readonly reason: string })

/** A reply as far as one machine's word is taken for it; each hit is looked at by itself. */
const replySchema = z.object({ hits: z.array(z.unknown()), total: z.number().int().min(0) })

/**
 * Asks one machine.
 * @throws {WarrenError} only when the caller itself gave up.
 */
export async function askHost(net: Net, host: Host, question: Question): Promise<Asked> {
  const { query, limit, timeoutMs, signal } = question
  try {
    const reply = replySchema.safeParse(
      await net.call('indexer.query', { query, limit }, { node: host.node, timeoutMs, signal }))
    if (!reply.success) {
      return { host, answered: false, reason: 'PROTOCOL: its reply is not one of an indexer' }
    }
    const screened = screenHits(host, reply.data.hits, limit)
    return { host, answered: true, total: reply.data.total, ...screened }
  } catch (error) {
    signal.throwIfAborted()
    const name = error instanceof WarrenError ? error.name : 'INTERNAL'
    return { host, answered: false, reason: clipReason(`${name}: ${(error as Error).message}`) }
  }
}

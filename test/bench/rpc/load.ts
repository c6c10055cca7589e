/** The load that a client puts on its system, and what it notes. */
import { percentile } from '../statistics.ts'
import { ITEM_BYTES, type Client } from './system.ts'

/** Calls of one size, so many at a time, for so long. */
export interface Wanted { readonly bytes: number, readonly inFlight: number, readonly forMs: number }

/** What was seen. Times in milliseconds. */
export interface Seen {
  readonly calls: number
  readonly elapsedMs: number
  readonly p50: number
  readonly p99: number
}

/** Keeps `inFlight` calls open until the time is over, then waits for the last. */
export async function drive(client: Client, { bytes, inFlight, forMs }: Wanted): Promise<Seen> {
  const payload = new Uint8Array(bytes).fill(0x57)
  const latencies: number[] = []
  const startedMs = performance.now()
  const untilMs = startedMs + forMs
  const lane = async (): Promise<void> => {
    let nowMs = startedMs
    do {
      const sentMs = nowMs
      const reply = await client.echo(payload)
      if (reply.length !== bytes) throw new Error(`sent ${bytes} bytes, got ${reply.length}`)
      nowMs = performance.now()
      latencies.push(nowMs - sentMs)
    } while (nowMs < untilMs)
  }
  await Promise.all(Array.from({ length: inFlight }, lane))
  return {
    calls: latencies.length, elapsedMs: performance.now() - startedMs,
    p50: percentile(latencies, 0.5), p99: percentile(latencies, 0.99),
  }
}

/** Small calls, one at a time, beside an upload that does not end by itself; or without it, to compare. */
export interface BesideWanted { readonly bytes: number, readonly forMs: number, readonly upload: boolean }

/** What was seen, and how fast the upload was meanwhile: MB/s, 0 without one. */
export interface BesideSeen extends Seen { readonly uploadRate: number }

/** Time that the upload gets to grow its windows before anything is measured. */
const SETTLE_MS = 300

/** Measures small calls beside an upload over the same link. */
export async function echoBesideUpload(client: Client, { bytes, forMs, upload }: BesideWanted): Promise<BesideSeen> {
  if (!upload) return { ...await drive(client, { bytes, inFlight: 1, forMs }), uploadRate: 0 }
  if (client.upload === undefined) throw new Error('this system has no upload')
  const item = new Uint8Array(ITEM_BYTES).fill(0x42)
  let items = 0
  let over = false
  const uploaded = client.upload(() => {
    items++
    return over ? undefined : item
  })
  await new Promise((resolve) => { setTimeout(resolve, SETTLE_MS) })
  const before = items
  const seen = await drive(client, { bytes, inFlight: 1, forMs })
  const uploadRate = (items - before) * ITEM_BYTES / 1e3 / seen.elapsedMs
  over = true
  await uploaded
  return { ...seen, uploadRate }
}

/** One bulk stream from the server. @returns MB/s, from asking to the last byte. */
export async function pour(client: Client, items: number): Promise<number> {
  if (client.download === undefined) throw new Error('this system has no download')
  const startedMs = performance.now()
  const bytes = await client.download(items)
  if (bytes !== items * ITEM_BYTES) throw new Error(`asked for ${items * ITEM_BYTES} bytes, got ${bytes}`)
  return bytes / 1e3 / (performance.now() - startedMs)
}

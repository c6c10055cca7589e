/** `warren cat`: the bytes of a file on any machine, as they are. */
import { pipe } from 'it-pipe'
import { WarrenError } from '../../protocols/errors.ts'
import { parseFileUri } from '../../protocols/search/uri.ts'
import { asUsage } from './failure.ts'
import type { Session } from './session.ts'

/** What `warren cat` was told. */
export interface CatFlags {
  readonly offset?: number
  readonly length?: number
}

/** Streams the file, or a range of it, to stdout; the disk there is read as fast as stdout here takes it. */
export async function cat(session: Session, uri: string, flags: CatFlags): Promise<void> {
  const { node } = asUsage(() => parseFileUri(uri))
  await session.withNode((net) => pipe(
    net.call('indexer.read', {
      uri,
      ...(flags.offset === undefined ? {} : { offset: flags.offset }),
      ...(flags.length === undefined ? {} : { length: flags.length }),
    }, { node, signal: session.signal }),
    onlyBytes,
    async (chunks) => {
      for await (const chunk of chunks) await session.write(chunk)
    },
  ))
}

/** Whatever another machine sends, only bytes reach stdout. */
async function* onlyBytes(items: AsyncIterable<unknown>): AsyncIterable<Uint8Array> {
  for await (const item of items) {
    if (!(item instanceof Uint8Array)) {
      throw new WarrenError('PROTOCOL', `indexer.read answered ${typeof item} where bytes were expected`)
    }
    yield item
  }
}

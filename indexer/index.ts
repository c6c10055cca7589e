/** The file indexer: an app that finds this machine's files by their words and serves their bytes. */
import { z } from 'zod'
import { defineApp, method, type Context, type Net, type ServiceContext } from '../protocols/app.ts'
import { WarrenError } from '../protocols/errors.ts'
import {
  addInputSchema, queryInputSchema, queryOutputSchema, readChunkSchema, readInputSchema,
  removeInputSchema, rescanInputSchema, rootStatusSchema, rootSummarySchema, statInputSchema, statOutputSchema,
  type FileStat, type QueryOutput,
} from '../protocols/search/messages.ts'
import { parseQuery } from '../protocols/search/query.ts'
import { formatFileUri, parseFileUri } from '../protocols/search/uri.ts'
import { answer, type Identity } from './answer.ts'
import { Indexer } from './indexer.ts'
import { checkRange, joinRoot, openFile, readRange } from './serve.ts'
import type { Root } from './store.ts'

const statusSchema = z.object({ peerId: z.string(), name: z.string().catch('') })

type Folder = Pick<Context, 'folder' | 'log'>

/** One indexer's state: opened by whoever comes first, a call or `main`; ended by `main`. */
class Holder {
  #indexer: Indexer | undefined
  #ended = false
  #identity: Identity | undefined

  open({ folder, log }: Folder): Indexer {
    if (this.#ended) {
      throw new WarrenError('DEREGISTERED', 'the indexer has ended', { started: false })
    }
    this.#indexer ??= new Indexer(folder, log)
    return this.#indexer
  }

  async main({ stopped, folder, log }: ServiceContext): Promise<void> {
    const indexer = this.open({ folder, log })
    indexer.start()
    await stopped
    this.#ended = true
    await indexer.close()
  }

  /** Who this node is; it is asked once, when it is first needed. */
  async identity(net: Net): Promise<Identity> {
    if (this.#identity !== undefined) return this.#identity
    const status = statusSchema.safeParse(await net.call('node.status'))
    if (!status.success) {
      throw new WarrenError('INTERNAL', 'node.status does not say who this node is: it has no peerId')
    }
    this.#identity = { node: status.data.peerId, host: status.data.name }
    return this.#identity
  }

  /** The file that a URI names, as far as this machine knows. */
  async locate(uri: string, context: Context): Promise<Located> {
    const parts = parseFileUri(uri)
    const indexer = this.open(context)
    const identity = await this.identity(context.net)
    if (parts.node !== identity.node) {
      throw new WarrenError('BAD_ARGUMENT', `the file lies on node ${parts.node}, `
        + `and this is ${identity.node}: call that one`, { started: false })
    }
    const root = indexer.root(parts.root)
    return { root, path: parts.path, shown: `${parts.root}/${parts.path}`, identity }
  }
}

interface Located {
  readonly root: Root
  readonly path: string
  /** What errors call the file. */
  readonly shown: string
  readonly identity: Identity
}

/** An indexer of its own, apart from all others in this process: what tests need, and a restart. */
export function createIndexer() {
  const holder = new Holder()
  return defineApp('indexer', {
    add: method({
      local: true, input: addInputSchema, output: rootSummarySchema,
      description: 'Makes a folder findable; answers once the names of its files are known.',
    }, async ({ path, name }, context) => holder.open(context).add(path, name)),

    remove: method({
      local: true, input: removeInputSchema, output: rootSummarySchema,
      description: 'Forgets a folder; what was indexed of it is erased soon after, its files stay.',
    }, async ({ root }, context) => holder.open(context).remove(root)),

    rescan: method({
      local: true, idempotent: true, input: rescanInputSchema, output: z.array(rootSummarySchema),
      description: 'Looks what has changed: nothing is watched, only this and a restart tell.',
    }, async ({ root }, context) => holder.open(context).rescan(root)),

    roots: method({
      idempotent: true, output: z.array(rootSummarySchema),
      description: 'The folders that are indexed, with the number and the bytes of their files.',
    }, async (_input, context) => holder.open(context).roots()),

    status: method({
      idempotent: true, output: z.array(rootStatusSchema),
      description: 'How far indexing is, folder by folder, and what could not be read.',
    }, async (_input, context) => holder.open(context).status()),

    query: method({
      idempotent: true, input: queryInputSchema, output: queryOutputSchema,
      description: 'The files of this machine that match best, best first.',
    }, async ({ query, limit }, context): Promise<QueryOutput> => {
      const tree = parseQuery(query)
      const identity = await holder.identity(context.net)
      const store = () => holder.open(context).store
      return answer(store, tree, { limit, identity, signal: context.signal })
    }),

    stat: method({
      idempotent: true, input: statInputSchema, output: statOutputSchema,
      description: 'Size and time of a file as it is on the disk just now.',
    }, async ({ uri }, context): Promise<FileStat> => {
      const { root, path, shown, identity } = await holder.locate(uri, context)
      const { handle, entry } = await openFile(root.path, path, shown)
      await handle.close()
      return {
        uri: formatFileUri({ node: identity.node, root: root.name, path }),
        name: path.slice(path.lastIndexOf('/') + 1),
        host: identity.host, node: identity.node,
        path: joinRoot(root.path, path),
        size: entry.size, modified: new Date(entry.modified).toISOString(),
      }
    }),

    read: method({
      idempotent: true, input: readInputSchema, output: readChunkSchema,
      description: 'The bytes of a file, or a range of them, in order.',
    }, async function* ({ uri, offset, length }, context) {
      const { root, path, shown } = await holder.locate(uri, context)
      const { handle, entry } = await openFile(root.path, path, shown)
      try {
        const range = checkRange(entry.size, { offset, length }, shown)
        yield* readRange(handle, range, { signal: context.signal, shown })
      } finally {
        await handle.close()
      }
    }),
  }, { main: (context) => holder.main(context) })
}

export default createIndexer()

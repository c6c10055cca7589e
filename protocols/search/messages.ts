/** What the indexer and search take and give: schemas, their types, and the limits of each field. */
import { z } from 'zod'
import { NAME_CHARACTERS_MAX } from '../limits.ts'
import { QUERY_BYTES_MAX } from './query.ts'
import { FILE_PATH_BYTES_MAX, FILE_URI_CHARACTERS_MAX, PEER_ID_CHARACTERS_MAX } from './uri.ts'

/**
 * Most hits that one query may ask for: beyond it nobody reads on, and a reply stays below 16 MiB.
 */
export const HITS_MAX = 1_000
/** Hits where a query does not say how many. */
export const HITS_DEFAULT = 20
/** Longest snippet, in UTF-16 code units: three lines of a terminal. */
export const SNIPPET_CHARACTERS_MAX = 320
/** Most matches that are marked in one snippet. */
export const SNIPPET_MATCHES_MAX = 64
/**
 * Bytes of one chunk of a file that is read: two frames' worth, the credit that a call begins with.
 */
export const READ_CHUNK_BYTES = 64 * 1024
/** Most unreadable files that a status lists by name; the rest are counted. */
export const UNREADABLE_LISTED_MAX = 20
/** Most machines that a coverage lists; as many as one lookup returns. */
const MACHINES_MAX = 256
/** Longest reason in a list of machines or files, in UTF-16 code units. */
const REASON_CHARACTERS_MAX = 500

const peerId = z.string().min(1).max(PEER_ID_CHARACTERS_MAX)
const rootName = z.string().min(1).max(NAME_CHARACTERS_MAX)
const nodeName = z.string().max(NAME_CHARACTERS_MAX)
const uri = z.string().min(1).max(FILE_URI_CHARACTERS_MAX)
const bytes = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER)
const time = z.iso.datetime()
/** An absolute path: that of a root, a slash, and the path within it. */
const hostPath = z.string().startsWith('/').max(2 * FILE_PATH_BYTES_MAX)
const reason = z.string().max(REASON_CHARACTERS_MAX)
/**
 * Longer than a query may be, so that the parser, which points at the place, is the one to refuse
 * it.
 */
const queryText = z.string().max(64 * QUERY_BYTES_MAX)
const limit = z.number().int().min(1).max(HITS_MAX).default(HITS_DEFAULT)

/** A range in a snippet, in UTF-16 code units: from its first to behind its last. */
export const matchSchema = z.tuple([z.number().int().min(0), z.number().int().min(0)])

/** Checks a file that a query found. */
export const hitSchema = z.object({
  /** `warren://…`: takes one to the file from every machine. */
  uri,
  /** The file's own name, as the disk has it: it may hold any character but `/` and NUL. */
  name: z.string().min(1).max(FILE_PATH_BYTES_MAX),
  /** Name of the node that holds it; empty if the node has none. */
  host: nodeName,
  /** PeerId of that node. */
  node: peerId,
  /** Absolute path on that machine. */
  path: hostPath,
  /** Bytes, when it was last looked at. */
  size: bytes,
  /** ISO 8601 in UTC. */
  modified: time,
  /** Above 0, higher is better; comparable between hits of one query. */
  score: z.number().positive(),
  /**
   * Plain text around the words that were found, on one line; empty where only name or path match.
   */
  snippet: z.string().max(SNIPPET_CHARACTERS_MAX).regex(/^\P{Cc}*$/u),
  /** Where those words are in `snippet`: in order, apart from each other. */
  matches: z.array(matchSchema).max(SNIPPET_MATCHES_MAX),
})

/** A file that a query found. */
export type Hit = z.infer<typeof hitSchema>

/** Checks the arguments of `indexer.query`. */
export const queryInputSchema = z.object({ query: queryText, limit })

/**
 * Checks what `indexer.query` gives: the best hits, best first, and how many files match at all.
 */
export const queryOutputSchema = z.object({ hits: z.array(hitSchema).max(HITS_MAX), total: bytes })

/** What `indexer.query` gives. */
export type QueryOutput = z.infer<typeof queryOutputSchema>

/** Checks the arguments of `indexer.stat`. */
export const statInputSchema = z.object({ uri })

/** Checks what `indexer.stat` gives: the file as it is on the disk just now. */
export const statOutputSchema = hitSchema.pick({
  uri: true, name: true, host: true, node: true, path: true, size: true, modified: true,
})

/** What `indexer.stat` gives. */
export type FileStat = z.infer<typeof statOutputSchema>

/**
 * Checks the arguments of `indexer.read`: `length` bytes from byte `offset` on, to the end by
 * default. Both must lie within the file.
 */
export const readInputSchema = z.object({ uri, offset: bytes.default(0), length: bytes.optional() })

/** Checks a chunk of a file. */
export const readChunkSchema = z.instanceof(Uint8Array)

/**
 * Checks the arguments of `indexer.add`: an absolute path; the name is made from it where none is
 * given.
 */
export const addInputSchema = z.object({ path: z.string().min(1), name: z.string().optional() })

/** Checks what `indexer.add` and `indexer.rescan` say of a root once its names are known. */
export const rootSummarySchema = z.object({ root: rootName, path: hostPath, files: bytes, bytes })

/** A root once its names are known. */
export type RootSummary = z.infer<typeof rootSummarySchema>

/** Checks the arguments of `indexer.remove`. */
export const removeInputSchema = z.object({ root: z.string() })

/** Checks the arguments of `indexer.rescan`: all roots where none is named. */
export const rescanInputSchema = z.object({ root: z.string().optional() }).default({})

/** Checks a root as `indexer.status` tells it. */
export const rootStatusSchema = rootSummarySchema.extend({
  /**
   * `scanning`: looking for files; `reading`: names are there, contents follow; `missing`: not
   * mounted.
   */
  state: z.enum(['scanning', 'reading', 'idle', 'missing']),
  /** Files whose content can be found. */
  contents: bytes,
  /** Files whose content is still to be read. */
  pending: bytes,
  /**
   * How many files and folders could not be read, and the first of them, by path within the root.
   */
  unreadable: z.object({
    count: bytes,
    first: z.array(z.object({ path: z.string(), reason })).max(UNREADABLE_LISTED_MAX),
  }),
  /** When the last scan ended, ISO 8601 in UTC; `null` before the first. */
  scanned: time.nullable(),
})

/** A root as `indexer.status` tells it. */
export type RootStatus = z.infer<typeof rootStatusSchema>

/**
 * Checks the arguments of `search.find`. `host` is the name or PeerId of the only machine to ask.
 */
export const findInputSchema = z.object({
  query: queryText, limit, host: z.string().min(1).max(PEER_ID_CHARACTERS_MAX).optional(),
})

/** Checks what is known of a search's reach: which machines were asked and what became of it. */
export const coverageSchema = z.object({
  type: z.literal('coverage'),
  asked: z.number().int().min(0),
  /** `total` is the number of files on that machine that match. */
  answered: z.array(z.object({ node: peerId, name: nodeName, total: bytes })).max(MACHINES_MAX),
  unreachable: z.array(z.object({ node: peerId, name: nodeName, reason })).max(MACHINES_MAX),
  /** Hits that were left out because they could not be true: a machine is faulty, or lies. */
  dropped: bytes,
})

/** What is known of a search's reach. */
export type Coverage = z.infer<typeof coverageSchema>

/** Checks an item of `search.find`: hits, best first, then the coverage. */
export const findItemSchema = z.discriminatedUnion('type', [
  z.object({ type: z.literal('hit'), hit: hitSchema }),
  coverageSchema,
])

/** An item of `search.find`. */
export type FindItem = z.infer<typeof findItemSchema>

/** A reason, cut to what the lists above may hold. */
export function clipReason(text: string): string {
  return text.length <= REASON_CHARACTERS_MAX ? text
    : `${text.slice(0, REASON_CHARACTERS_MAX - 1).toWellFormed()}…`
}

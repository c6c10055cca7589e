/** Finds the files of a root: their paths first, then what the disk says of each. */
import * as fs from 'node:fs'
import { lstat } from 'node:fs/promises'
import { fdir } from 'fdir'
import { HOME_MARKER } from '../protocols/names.ts'
import { fileEntry, isInNodeHome, joinRoot } from './serve.ts'
import type { FileEntry } from './store.ts'

/**
 * Files that are looked at together: about a millisecond's work for the disk cache, one
 * transaction.
 */
const BATCH_FILES = 256
/** Folders that nobody looks for anything in, beside hidden ones. */
const SKIPPED_FOLDERS = new Set(['node_modules'])
/**
 * Errors that say that the user may not or need not see what is there; after others, it may come
 * back.
 */
const FINAL_ERRORS = new Set(['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR'])

/** A file or folder that could not be looked at. */
export interface Problem {
  /** Within its root; empty for the root itself. */
  readonly path: string
  readonly reason: string
  /** Whether what was known of it should be kept until it can be looked at again. */
  readonly keep: boolean
}

/** What there is in a root. */
export interface Walk {
  /** Paths of files and symbolic links within the root. */
  readonly paths: string[]
  /** Folders that could not be listed. */
  readonly problems: Problem[]
}

/**
 * Lists a root without hidden files and folders, `node_modules`, the homes of nodes, and the folders in
 * `skip`; symbolic links are not followed.
 * @param skip absolute paths.
 */
export async function walk(
  root: string, { signal, skip }: { readonly signal: AbortSignal, readonly skip: readonly string[] },
): Promise<Walk> {
  const problems: Problem[] = []
  if (isInNodeHome(root)) return { paths: [], problems }
  const prefix = joinRoot(root, '')
  const within = (full: string): string => full.slice(prefix.length).replace(/\/$/, '')
  const skipped = new Set(skip)
  const paths = await new fdir({ fs: { ...fs, readdir: noting as typeof fs.readdir } })
    .withFullPaths()
    .withAbortSignal(signal)
    .exclude((name, path) =>
      name.startsWith('.') || SKIPPED_FOLDERS.has(name) || skipped.has(path.replace(/\/$/, '')))
    .filter((path) => !path.startsWith('.', path.lastIndexOf('/') + 1))
    .crawl(root)
    .withPromise()
  signal.throwIfAborted()
  return { paths: paths.map(within), problems }

  // fdir either stops at the first folder that it cannot list or is silent about all of them.
  function noting(path: string, options: unknown, done: (...result: unknown[]) => void): void {
    fs.readdir(path, options as { withFileTypes: true }, (error, entries) => {
      const folder = within(`${path}/`.replace('//', '/'))
      // A folder that is gone is no problem; when the root itself is, nothing was seen at all.
      if (error !== null && (folder === '' || error.code !== 'ENOENT')) {
        problems.push({ ...problemOf(folder, error), ...(folder === '' ? { keep: true } : {}) })
      }
      done(error, entries?.some(({ name }) => name === HOME_MARKER) ? [] : entries)
    })
  }
}

/**
 * What the disk says of each path, in batches of one transaction's size; what is no regular file is
 * left out, what vanished meanwhile too.
 */
export async function* describe(
  root: string, paths: readonly string[], problems: Problem[], signal: AbortSignal,
): AsyncGenerator<FileEntry[], void, undefined> {
  for (let at = 0; at < paths.length; at += BATCH_FILES) {
    signal.throwIfAborted()
    const entries = await Promise.all(paths.slice(at, at + BATCH_FILES).map(async (path) => {
      try {
        const stats = await lstat(joinRoot(root, path), { bigint: true })
        return stats.isFile() ? fileEntry(path, stats) : undefined
      } catch (error) {
        const problem = problemOf(path, error as NodeJS.ErrnoException)
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') problems.push(problem)
        // Bytes that are not UTF-8 come as U+FFFD, and there is no file of that name.
        else if (path.includes('\uFFFD')) {
          problems.push({ ...problem, reason: 'its name is not UTF-8' })
        }
        return undefined
      }
    }))
    yield entries.filter((entry) => entry !== undefined)
  }
}

function problemOf(path: string, error: NodeJS.ErrnoException): Problem {
  const code = error.code ?? error.message
  const denied = code === 'EACCES' || code === 'EPERM'
  return { path, reason: denied ? 'the system denies it' : code, keep: !FINAL_ERRORS.has(code) }
}

/** Opens files of a root for reading, and only those: what lies outside or is hidden stays closed. */
import { constants, existsSync } from 'node:fs'
import { open, readlink, realpath, stat, type FileHandle } from 'node:fs/promises'
import { dirname } from 'node:path'
import { WarrenError } from '../protocols/errors.ts'
import { HOME_MARKER } from '../protocols/names.ts'
import { READ_CHUNK_BYTES } from '../protocols/search/messages.ts'
import type { FileEntry } from './store.ts'

/** Latest time that ISO 8601 writes with four digits of a year. */
const MODIFIED_MAX_MS = 253_402_300_799_999

/** A file that may be read; whoever opened it closes it. */
export interface OpenFile {
  readonly handle: FileHandle
  readonly entry: FileEntry
}

/** What an entry is made of: the numbers of a `BigIntStats`. */
interface Numbers {
  readonly size: bigint
  readonly mtimeMs: bigint
  readonly mtimeNs: bigint
  readonly ino: bigint
}

/** A file as its `stat` describes it. */
export function fileEntry(path: string, numbers: Numbers): FileEntry {
  return {
    path,
    size: Math.min(Number(numbers.size), Number.MAX_SAFE_INTEGER),
    modified: Math.min(Math.max(Number(numbers.mtimeMs), 0), MODIFIED_MAX_MS),
    stamp: `${numbers.size}-${numbers.mtimeNs}-${numbers.ino}`,
  }
}

/** The absolute path of `path` within `root`. */
export function joinRoot(root: string, path: string): string {
  return root === '/' ? `/${path}` : `${root}/${path}`
}

/**
 * Whether a file or folder on the way is hidden: those hold keys, passwords and browser profiles.
 */
export function isHidden(path: string): boolean {
  return path.split('/').some((segment) => segment.startsWith('.'))
}

/**
 * Whether a folder is, or lies in, the home of a node, which holds keys and logs.
 * @param folder absolute path without symbolic links.
 */
export function isInNodeHome(folder: string): boolean {
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(joinRoot(at, HOME_MARKER))) return true
    if (at === dirname(at)) return false
  }
}

/**
 * Opens a file of a root. What counts is what the descriptor turns out to be, because a path may
 * lead elsewhere a moment after it was looked at.
 * @param root absolute path without symbolic links.
 * @param path within the root.
 * @param shown what errors call the file; paths of this machine's disk do not leave it.
 * @throws {WarrenError} `FILE_NOT_FOUND`; `DENIED` for what is hidden, no regular file, outside the root or
 * in a node's home; `UNREADABLE` where the system refuses.
 */
export async function openFile(root: string, path: string, shown: string): Promise<OpenFile> {
  if (isHidden(path)) deny(shown, 'it is hidden, or in a hidden folder')
  const full = joinRoot(root, path)
  // Without O_NONBLOCK a FIFO would hold up the open until somebody writes to it.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK
  const handle = await open(full, flags).catch((error: unknown) => {
    throw openError(error, shown)
  })
  try {
    const stats = await handle.stat({ bigint: true })
    if (!stats.isFile()) deny(shown, 'it is not a regular file')
    const real = await realPathOf(handle, full, stats)
    const prefix = joinRoot(root, '')
    if (!real?.startsWith(prefix)) deny(shown, 'it lies outside its root')
    if (isHidden(real.slice(prefix.length))) deny(shown, 'it is hidden, or in a hidden folder')
    if (isInNodeHome(dirname(real))) deny(shown, 'it lies in the home of a node')
    return { handle, entry: fileEntry(path, stats) }
  } catch (error) {
    await handle.close()
    throw error
  }
}

/** Where the open file really lies; `undefined` if that cannot be told, or changed meanwhile. */
async function realPathOf(
  handle: FileHandle, full: string, opened: { readonly dev: bigint, readonly ino: bigint },
): Promise<string | undefined> {
  if (process.platform === 'linux') return readlink(`/proc/self/fd/${handle.fd}`)
  try {
    const real = await realpath(full)
    const now = await stat(real, { bigint: true })
    return now.dev === opened.dev && now.ino === opened.ino ? real : undefined
  } catch {
    return undefined
  }
}

/**
 * The bytes of an open file from `offset` on, in chunks; the file stays open.
 * @param length at most what the file has behind `offset`.
 * @throws {WarrenError} `FILE_CHANGED` (DATA_LOSS) when the file became shorter meanwhile.
 */
export async function* readRange(
  handle: FileHandle, range: { readonly offset: number, readonly length: number },
  { signal, shown }: { readonly signal: AbortSignal, readonly shown: string },
): AsyncGenerator<Uint8Array<ArrayBuffer>, void, undefined> {
  let at = range.offset
  const end = range.offset + range.length
  while (at < end) {
    signal.throwIfAborted()
    const chunk = new Uint8Array(Math.min(READ_CHUNK_BYTES, end - at))
    const { bytesRead } = await handle.read(chunk, 0, chunk.length, at).catch((error: unknown) => {
      throw openError(error, shown)
    })
    if (bytesRead === 0) {
      throw new WarrenError('FILE_CHANGED', `'${shown}' became shorter while it was read: `
        + 'read it again', { code: 'DATA_LOSS', started: true })
    }
    yield bytesRead === chunk.length ? chunk : chunk.subarray(0, bytesRead)
    at += bytesRead
  }
}

/**
 * The range that a caller asked for, filled in.
 * @throws {WarrenError} `BAD_ARGUMENT` (OUT_OF_RANGE) if a part of it lies behind the end of the file.
 */
export function checkRange(
  size: number,
  { offset, length }: { readonly offset: number, readonly length?: number | undefined },
  shown: string,
): { offset: number, length: number } {
  if (offset <= size && (length === undefined || offset + length <= size)) {
    return { offset, length: length ?? size - offset }
  }
  const asked = length === undefined ? `from ${offset} on` : `${offset} to ${offset + length}`
  throw new WarrenError('BAD_ARGUMENT', `'${shown}' has ${size} bytes, ${asked} is out of range`,
    { code: 'OUT_OF_RANGE', started: false, details: { size } })
}

/** What the system said when it was asked for a file, as an error that may leave the machine. */
export function openError(error: unknown, shown: string): WarrenError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error)
  const extras = { cause: error, started: false } as const
  switch (code) {
    case 'ENOENT': case 'ENOTDIR': case 'ENAMETOOLONG':
      return new WarrenError('FILE_NOT_FOUND', `no file '${shown}'`, extras)
    case 'ELOOP':
      return new WarrenError('DENIED', `'${shown}' is not served: it is a symbolic link`, extras)
    case 'ENXIO': case 'ENODEV':
      return new WarrenError('DENIED', `'${shown}' is not served: it is not a regular file`, extras)
    case 'EACCES': case 'EPERM':
      return new WarrenError('UNREADABLE', `'${shown}' cannot be read: the system denies it`, extras)
    default:
      return new WarrenError('UNREADABLE', `'${shown}' cannot be read: ${code}`, extras)
  }
}

function deny(shown: string, why: string): never {
  throw new WarrenError('DENIED', `'${shown}' is not served: ${why}`, { started: false })
}

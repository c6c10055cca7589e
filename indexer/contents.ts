/** Tells text from everything else, and reads it. */
import { TextDecoder } from 'node:util'
import { WarrenError } from '../protocols/errors.ts'
import { clipReason } from '../protocols/search/messages.ts'
import { openFile } from './serve.ts'
import { FILE_STATE, type Outcome, type PendingFile } from './store.ts'

/**
 * Largest file whose content is read: more is data, and one such takes FTS5 about a tenth of a
 * second.
 */
export const CONTENT_BYTES_MAX = 4 * 1024 * 1024
/** Bytes at the beginning of a file in which a NUL means that it is not text. */
const SNIFFED_BYTES = 8 * 1024

/** Reads a file's content; whatever goes wrong with it is an outcome of its own. */
export async function readContent(file: PendingFile): Promise<Outcome> {
  if (file.size > CONTENT_BYTES_MAX) return { state: FILE_STATE.nameOnly }
  try {
    const { handle, entry } = await openFile(file.root, file.path, file.path)
    try {
      if (entry.size > CONTENT_BYTES_MAX) return { state: FILE_STATE.nameOnly, entry }
      const first = await readUpTo(handle, 0, Math.min(entry.size, SNIFFED_BYTES))
      if (first.includes(0)) return { state: FILE_STATE.nameOnly, entry }
      const rest = await readUpTo(handle, first.length, entry.size - first.length)
      const text = decode(Buffer.concat([first, rest]))
      return text === undefined
        ? { state: FILE_STATE.nameOnly, entry } : { state: FILE_STATE.text, text, entry }
    } finally {
      await handle.close()
    }
  } catch (error) {
    return { state: FILE_STATE.unreadable, reason: reasonOf(error) }
  }
}

/** Why a file could not be read, in words for a list that names the file already. */
function reasonOf(error: unknown): string {
  if (error instanceof WarrenError && error.name === 'FILE_NOT_FOUND') {
    return 'it was gone when it was to be read'
  }
  const cause = error instanceof WarrenError ? error.cause ?? error : error
  const code = (cause as NodeJS.ErrnoException).code
  const denied = code === 'EACCES' || code === 'EPERM'
  return clipReason(denied ? 'the system denies it' : String((cause as Error).message))
}

/** The bytes from `at` on; fewer than `length` where the file became shorter. */
async function readUpTo(handle: Reader, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(bytes, filled, length - filled, at + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return bytes.subarray(0, filled)
}

interface Reader {
  read(into: Uint8Array, offset: number, length: number, at: number): Promise<{ bytesRead: number }>
}

function decode(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    return undefined
  }
}

/** The log of `warren up`: pretty lines on a terminal, else JSON lines in a file that is kept small. */
import { closeSync, fstatSync, openSync, renameSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import pino, { type DestinationStream, type Logger } from 'pino'
import { WarrenError } from '../../protocols/errors.ts'
import type { OutputStream } from './session.ts'

/** Size at which the log begins a new file; one older file is kept, so the folder stays below twice that. */
export const LOG_BYTES_MAX = 8 * 1024 * 1024

/** An open log. */
export interface Log {
  readonly logger: Logger
  close(): void
}

/**
 * Opens the log: on `stderr` if that is a terminal, else in `node.log` in the logs folder.
 * @throws {WarrenError} `UNREADABLE` if the file cannot be opened.
 */
export async function openLog(stderr: OutputStream, logsFolder: string, level: string): Promise<Log> {
  // Ids of the process and the machine are the same in each line of a node's own log.
  const options = { level, base: null, timestamp: pino.stdTimeFunctions.isoTime }
  if (stderr.isTTY === true) {
    const { default: pretty } = await import('pino-pretty')
    const stream = pretty({ destination: stderr, sync: true, singleLine: true, translateTime: 'SYS:HH:MM:ss' })
    return { logger: pino(options, stream), close: () => {} }
  }
  const file = openLogFile(join(logsFolder, 'node.log'), LOG_BYTES_MAX)
  return { logger: pino(options, file), close: file.close }
}

/** A file that lines are appended to; a full one becomes `<name>.1`, in place of the one before. */
export function openLogFile(path: string, bytesMax: number): DestinationStream & { close(): void } {
  let file: number | undefined = open(path)
  let bytes = fstatSync(file).size
  const close = (): void => {
    if (file !== undefined) closeSync(file)
    file = undefined
  }
  return {
    write(line) {
      // After the end there is nobody to tell: a late line of a process that is leaving is dropped.
      if (file === undefined) return
      const chunk = Buffer.from(line)
      if (bytes > 0 && bytes + chunk.length > bytesMax) {
        close()
        renameSync(path, `${path}.1`)
        file = open(path)
        bytes = 0
      }
      bytes += writeSync(file, chunk)
    },
    close,
  }
}

function open(path: string): number {
  try {
    return openSync(path, 'a', 0o600)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new WarrenError('UNREADABLE', `the log ${path} cannot be opened: ${why}`, { cause })
  }
}

/** From whatever was thrown to one line on stderr and an exit code. */
import type { CommanderError } from 'commander'
import { toWireError, WarrenError } from '../../protocols/errors.ts'
import { visible } from './format.ts'

/** What a command tells the shell. */
export const EXIT = {
  done: 0,
  failed: 1,
  wrongUsage: 2,
  /** 128 + SIGINT, as shells count. */
  interrupted: 130,
  /** 128 + SIGTERM. */
  terminated: 143,
} as const

/** Errors about the command line itself; a callee may answer BAD_ARGUMENT too, and that is no wrong usage. */
const usageErrors = new WeakSet<Error>()

/** An error in what was typed: `BAD_ARGUMENT`, exit code 2. */
export function usageError(message: string): WarrenError {
  return markUsage(new WarrenError('BAD_ARGUMENT', message, { started: false }))
}

function markUsage<E extends Error>(error: E): E {
  usageErrors.add(error)
  return error
}

/** Runs what reads the command line; a `BAD_ARGUMENT` that it throws counts as wrong usage. */
export function asUsage<T>(read: () => T): T {
  try {
    return read()
  } catch (thrown) {
    throw thrown instanceof WarrenError && thrown.name === 'BAD_ARGUMENT' ? markUsage(thrown) : thrown
  }
}

/** The exit code that a thrown thing stands for. */
export function exitCodeOf(thrown: unknown): number {
  return thrown instanceof Error && usageErrors.has(thrown) ? EXIT.wrongUsage : EXIT.failed
}

/** The one line that tells a thrown thing, without the newline. */
export function failureLine(thrown: unknown, json: boolean): string {
  const { code, name, message } = toWireError(thrown)
  return json ? JSON.stringify({ error: { code, name, message } }) : `warren: ${code}: ${visible(message)}`
}

/** The parser's complaint as one of ours: `USAGE`, on one line. */
export function fromCommander(error: CommanderError): WarrenError {
  const message = error.code === 'commander.help' ? 'a command is missing; warren --help lists them'
    : error.message.replace(/^error: /, '')
    .replace(/\n?\(Did you mean (?:one of )?(.+?)\?\)$/s, (_all, names: string) =>
      `; did you mean ${names.split(', ').map((name) => `'${name}'`).join(' or ')}?`)
    .replace(/\s*\n\s*/g, ' ')
  return markUsage(new WarrenError('USAGE', message, { code: 'INVALID_ARGUMENT', started: false }))
}

/** What names look like: apps, methods, devices, nodes, roots. They are printed, typed and hashed. */
import { WarrenError } from './errors.ts'
import { NAME_CHARACTERS_MAX } from './limits.ts'

/** Things that have a name. */
export type NameKind = 'app' | 'method' | 'device' | 'node' | 'root'

const FORMS: Record<NameKind, { pattern: RegExp, words: string }> = {
  app: { pattern: /^[a-z][a-z0-9-]*$/, words: 'a small letter, then small letters, digits or dashes' },
  method: { pattern: /^[A-Za-z][A-Za-z0-9]*$/, words: 'a letter, then letters or digits' },
  device: { pattern: /^[a-z0-9][a-z0-9-]*$/, words: 'small letters, digits or dashes' },
  node: { pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/, words: 'letters, digits, dots, dashes or underscores' },
  root: { pattern: /^[A-Za-z0-9][A-Za-z0-9._-]*$/, words: 'letters, digits, dots, dashes or underscores' },
}

/** File that marks a node's home: what lies beside and below it, keys and logs, is never indexed or served. */
export const HOME_MARKER = '.warren-home'

/** Whether `name` has the form of its kind and 1 to 63 characters. */
export function isName(kind: NameKind, name: unknown): name is string {
  return typeof name === 'string' && name.length <= NAME_CHARACTERS_MAX && FORMS[kind].pattern.test(name)
}

/** @throws {WarrenError} `BAD_ARGUMENT` that shows the name and says what it should look like. */
export function checkName(kind: NameKind, name: unknown): asserts name is string {
  if (isName(kind, name)) return
  throw new WarrenError('BAD_ARGUMENT',
    `${printable(name)} is not a name for ${kind === 'app' ? 'an app' : `a ${kind}`}: `
    + `use ${FORMS[kind].words}, at most ${NAME_CHARACTERS_MAX} characters`, { started: false })
}

/** A value in quotes, with control characters escaped and at most 80 characters of it. */
export function printable(value: unknown): string {
  const text = typeof value === 'string' ? value : String(value)
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

/** `app.method` in its two parts. */
export interface MethodName { readonly app: string, readonly method: string }

/**
 * Splits `app.method`.
 * @throws {WarrenError} `BAD_ARGUMENT` if there is no dot or a part is not a name.
 */
export function parseMethodName(text: string): MethodName {
  const dot = text.indexOf('.')
  if (dot < 1) {
    throw new WarrenError('BAD_ARGUMENT', `${printable(text)} is not app.method, such as echo.say`, { started: false })
  }
  const app = text.slice(0, dot)
  const method = text.slice(dot + 1)
  checkName('app', app)
  checkName('method', method)
  return { app, method }
}

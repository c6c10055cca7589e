/** Reads the JSON that people type as an argument, and shows them the place where it stops being JSON. */
import { printable } from '../../protocols/names.ts'
import { usageError } from './failure.ts'

/**
 * Parses JSON.
 * @param what what the error calls the text, such as `the argument`.
 * @throws {WarrenError} `BAD_ARGUMENT`, as wrong usage, that says where the text stops being JSON.
 */
export function parseJsonArgument(text: string, what: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    const at = jsonErrorAt(text)
    if (at >= text.trimEnd().length) {
      throw usageError(text.trim() === '' ? `${what} is empty, not JSON` : `${what} is not JSON: it ends too early`)
    }
    const before = text.slice(Math.max(0, at - 20), at)
    throw usageError(`${what} is not JSON from character ${at + 1} on: ${printable(text.slice(at, at + 20))}`
      + `${before === '' ? '' : ` after ${printable(before)}`}${hint(text, at)}`)
  }
}

/** The commonest mistakes: a shell took the quotes away, or they never were there. */
function hint(text: string, at: number): string {
  if (text[at] === '\'') return '; JSON has double quotes only'
  return /[\p{L}_$]/u.test(text[at] ?? '')
    ? '; keys and texts stand in double quotes, and the whole argument in single ones' : ''
}

// In a text every character from the space on may stand, but for quote and backslash.
const STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y
const SPACE = /[ \t\n\r]*/y

/** Index of the first character that cannot stand where it is; the length if the text only ends too early. */
export function jsonErrorAt(text: string): number {
  const open: ('{' | '[')[] = []
  let at = 0
  const take = (pattern: RegExp): boolean => {
    pattern.lastIndex = at
    const length = pattern.exec(text)?.[0].length ?? 0
    at += length
    return length > 0
  }
  let expected: 'value' | 'first' | 'key' | 'colon' | 'next' = 'value'
  for (;;) {
    take(SPACE)
    const character = text[at]
    if (character === undefined) return at
    const innermost = open.at(-1)
    if (expected === 'colon') {
      if (character !== ':') return at
      at++
      expected = 'value'
    } else if (expected === 'next' || (expected === 'first' && (character === '}' || character === ']'))) {
      if (innermost === undefined) return at
      if (character === (innermost === '{' ? '}' : ']')) open.pop()
      else if (character !== ',' || expected === 'first') return at
      at++
      expected = character !== ',' ? 'next' : innermost === '{' ? 'key' : 'value'
    } else if (expected === 'key' || (expected === 'first' && innermost === '{')) {
      if (!take(STRING)) return endOfBadString(text, at)
      expected = 'colon'
    } else if (character === '{' || character === '[') {
      open.push(character)
      at++
      expected = 'first'
    } else {
      if (!take(STRING) && !take(SCALAR)) return endOfBadString(text, at)
      expected = 'next'
    }
  }
}

/** A text that is never closed only ends too early; anything else is wrong where it begins. */
function endOfBadString(text: string, at: number): number {
  const rest = text.slice(at)
  const endsEarly = /^"(?:[ !#-[\]-\uffff]|\\["\\/bfnrtu])*\\?$/.test(rest)
    || (/^[-tfn]/.test(rest) && ['-', 'true', 'false', 'null'].some((word) => word.startsWith(rest.trimEnd())))
  return endsEarly ? text.length : at
}

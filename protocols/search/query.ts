/** What people type to find files, read into the tree that every machine understands alike. */
import { WarrenError } from '../errors.ts'

/**
 * Longest query in UTF-8 bytes: some 150 words, more than anybody types and a sentence to paste.
 */
export const QUERY_BYTES_MAX = 1_024

/** Filters that the language reserves; quoted, they are words like any other. */
const RESERVED = /^(?:ext|type|path|size|date|host|dup|name|near):/i
/** What a word must hold to be found: without a letter or digit, nothing is left to look for. */
const SEARCHABLE = /[\p{L}\p{N}\p{Co}]/u

/** A word, or a phrase whose words follow each other in this order. */
export interface QueryTerm {
  readonly kind: 'word' | 'phrase'
  /**
   * As it was typed, without quotes and dash. Case and accents do not count when it is looked for.
   */
  readonly text: string
  /** Where it stands in the query, in UTF-16 code units. */
  readonly at: number
}

/** A query that was understood. `all` has at least one term. */
export interface Query {
  /** Every one of these must be in a file's name, path or content. */
  readonly all: readonly QueryTerm[]
  /** None of these may be. */
  readonly none: readonly QueryTerm[]
}

/**
 * Reads a query: words, `"phrases"`, and `-` before either of them to leave files out. Words
 * without a letter or a digit, such as `&`, are passed over; a word that begins with two dashes is
 * a plain word.
 * @throws {WarrenError} `BAD_ARGUMENT` that names the character (counted from 1) where it stopped
 * making sense; `details.at` is its index in UTF-16 code units.
 */
export function parseQuery(text: string): Query {
  checkCharacters(text)
  const all: QueryTerm[] = []
  const none: QueryTerm[] = []
  let at = skipSpace(text, 0)
  while (at < text.length) {
    const not = text[at] === '-' && text[at + 1] !== '-'
    const start = not ? at + 1 : at
    const { term, end } = text[start] === '"' ? readPhrase(text, start) : readWord(text, start)
    if (SEARCHABLE.test(term.text)) (not ? none : all).push(term)
    at = skipSpace(text, end)
  }
  if (all.length > 0) return { all, none }
  const first = none[0]
  if (first === undefined) fail(text, 0, 'there is no word to look for')
  return fail(text, first.at - 1, 'there are only words to leave out; add one to look for')
}

function readPhrase(text: string, start: number): { term: QueryTerm, end: number } {
  const close = text.indexOf('"', start + 1)
  if (close < 0) fail(text, start, 'this quote is never closed')
  return { term: { kind: 'phrase', text: text.slice(start + 1, close), at: start }, end: close + 1 }
}

function readWord(text: string, start: number): { term: QueryTerm, end: number } {
  let end = start
  while (end < text.length && text[end] !== '"' && !isSpace(text[end])) end += 1
  const word = text.slice(start, end)
  const filter = RESERVED.exec(word)?.[0]
  if (filter !== undefined) {
    fail(text, start, `'${filter}' begins no filter that is known; to find the word, quote it`)
  }
  if (word === 'OR') fail(text, start, "'OR' is not understood; to find the word, write it small")
  if (word.endsWith('*') && SEARCHABLE.test(word)) {
    fail(text, end - 1, "'*' at the end of a word is not understood; leave it out")
  }
  return { term: { kind: 'word', text: word, at: start }, end }
}

function checkCharacters(text: string): void {
  const bytes = new TextEncoder().encode(text).length
  if (bytes > QUERY_BYTES_MAX) {
    throw new WarrenError('BAD_ARGUMENT',
      `the query has ${bytes} bytes, at most ${QUERY_BYTES_MAX} are allowed: use fewer words`,
      { started: false, details: { at: QUERY_BYTES_MAX } })
  }
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at)
    if ((code < 32 && !isSpace(text[at])) || (code >= 127 && code < 160)) {
      const shown = code.toString(16).toUpperCase().padStart(4, '0')
      fail(text, at, `the control character U+${shown} cannot be looked for`)
    }
  }
  const half = text.search(/\p{Cs}/u)
  if (half >= 0) fail(text, half, 'half of a character cannot be looked for')
}

function skipSpace(text: string, at: number): number {
  while (at < text.length && isSpace(text[at])) at += 1
  return at
}

function isSpace(character: string | undefined): boolean {
  return character !== undefined && /\s/.test(character)
}

function fail(text: string, at: number, why: string): never {
  const position = [...text.slice(0, at)].length + 1
  throw new WarrenError('BAD_ARGUMENT', `the query at character ${position}: ${why}`,
    { started: false, details: { at } })
}

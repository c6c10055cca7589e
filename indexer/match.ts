/** Between a query and SQLite's FTS5: the expression that goes in, the snippet that comes out. */
import {
  SNIPPET_CHARACTERS_MAX, SNIPPET_MATCHES_MAX,
} from '../protocols/search/messages.ts'
import type { Query, QueryTerm } from '../protocols/search/query.ts'

/**
 * Stands before a match in what `snippet()` gives: a code point that Unicode keeps out of all text.
 */
export const MATCH_OPEN = '\uFDD0'
/** Stands behind a match. */
export const MATCH_CLOSE = '\uFDD1'

/** Characters kept before the first match when a snippet is too long. */
const LEAD_CHARACTERS = 40
/** Characters that would turn the rest of a line around when it is printed. */
const DIRECTION_MARKS = /[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]/

/** A snippet as hits carry it. */
export interface Snippet {
  readonly snippet: string
  readonly matches: [number, number][]
}

/**
 * The FTS5 expression of a query. Every term becomes one quoted string, in which FTS5 knows no
 * operators: it cuts the string into words by its own rules and looks for them one behind the
 * other.
 */
export function matchExpression(query: Query): string {
  const all = query.all.map(quote).join(' AND ')
  return query.none.length === 0 ? all : `(${all}) NOT (${query.none.map(quote).join(' OR ')})`
}

function quote(term: QueryTerm): string {
  return `"${indexable(term.text).replaceAll('"', '""')}"`
}

/**
 * Text as it may go into the index: without the marks that snippets are cut by, and without NUL.
 */
export function indexable(text: string): string {
  return text.replace(/[\uFDD0\uFDD1\0]/g, '\uFFFD')
}

/**
 * Reads what FTS5 marked into plain text on one line and the places of its matches, cut to what a
 * hit may hold. Without a match the snippet is empty: the words are in the name or the path then.
 */
export function readSnippet(marked: string): Snippet {
  const { text, matches } = flatten(marked)
  const first = matches[0]
  if (first === undefined) return { snippet: '', matches: [] }
  if (text.length <= SNIPPET_CHARACTERS_MAX) {
    return { snippet: text, matches: matches.slice(0, SNIPPET_MATCHES_MAX) }
  }
  // An ellipsis takes one place at each end.
  const room = SNIPPET_CHARACTERS_MAX - 2
  const wanted = Math.max(0, Math.min(first[0] - LEAD_CHARACTERS, text.length - room))
  const from = insideCharacter(text, wanted) ? wanted + 1 : wanted
  const end = Math.min(text.length, from + room)
  const to = insideCharacter(text, end) ? end - 1 : end
  const before = from > 0 ? '…' : ''
  const shift = before.length - from
  const kept = matches
    .map(([start, stop]): [number, number] => [Math.max(start, from), Math.min(stop, to)])
    .filter(([start, stop]) => start < stop)
    .map(([start, stop]): [number, number] => [start + shift, stop + shift])
  return {
    snippet: `${before}${text.slice(from, to)}${to < text.length ? '…' : ''}`,
    matches: kept.slice(0, SNIPPET_MATCHES_MAX),
  }
}

/** Takes the marks out, makes any run of white space and control characters one space. */
function flatten(marked: string): { text: string, matches: [number, number][] } {
  const matches: [number, number][] = []
  let text = ''
  let start: number | undefined
  for (const character of marked) {
    if (character === MATCH_OPEN) {
      start = text.length
    } else if (character === MATCH_CLOSE) {
      if (start !== undefined && start < text.length) matches.push([start, text.length])
      start = undefined
    } else if (/[\s\p{Cc}]/u.test(character)) {
      if (text !== '' && !text.endsWith(' ')) text += ' '
    } else if (!DIRECTION_MARKS.test(character)) {
      text += character
    }
  }
  return { text, matches }
}

/** Whether a cut at `at` would part the two halves of a character. */
function insideCharacter(text: string, at: number): boolean {
  return at > 0 && at < text.length && (text.codePointAt(at - 1) ?? 0) > 0xffff
}

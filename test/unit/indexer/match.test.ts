/** Queries against a real FTS5 table, and the snippets that come out of it. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { MATCH_CLOSE, MATCH_OPEN, indexable, matchExpression, readSnippet } from '../../../indexer/match.ts'
import { FILE_STATE, IndexStore } from '../../../indexer/store.ts'
import { SNIPPET_CHARACTERS_MAX, SNIPPET_MATCHES_MAX } from '../../../protocols/search/messages.ts'
import { parseQuery, type Query } from '../../../protocols/search/query.ts'

const mark = (text: string): string => text.replaceAll('[', MATCH_OPEN).replaceAll(']', MATCH_CLOSE)

describe('the indexer\'s store', () => {
  let folder: string
  let store: IndexStore
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'warren-store-'))
    store = new IndexStore(join(folder, 'index.sqlite'))
  })
  afterEach(async () => {
    store.close()
    await rm(folder, { recursive: true })
  })

  function put(path: string, text: string): void {
    const root = store.roots()[0] ?? store.addRoot('docs', '/docs', '1')
    const [id] = store.recordNames(root.id, [{ path, size: text.length, modified: 0, stamp: path }])
    store.recordContents([[id ?? 0, { state: FILE_STATE.text, text }]])
  }

  it('runs the expression of every query that parses without an error', () => {
    put('a.txt', 'AND OR NOT NEAR alpha "beta" (gamma) delta* content : path')
    const piece = fc.oneof(
      fc.constantFrom('AND', 'NOT', 'NEAR', 'NEAR(a b, 2)', '"', '""', '(', ')', '*', '^', '+', ':', '-', '{a b}:',
        'content:a', '\'', ';', '--', 'alpha', 'ß', '日本', '\u0301', '🎉', ' '),
      fc.string({ unit: 'binary', maxLength: 12 }), fc.string({ unit: 'grapheme', maxLength: 12 }))
    let ran = 0
    fc.assert(fc.property(fc.array(piece, { maxLength: 12 }), fc.constantFrom('', ' '), (pieces, glue) => {
      let query: Query
      try {
        query = parseQuery(pieces.join(glue))
      } catch {
        return
      }
      const expression = matchExpression(query)
      const matches = store.search(expression, 10)
      assert.equal(store.count(expression), matches.length)
      for (const match of matches) readSnippet(store.snippet(expression, match.id))
      ran += 1
    }), { numRuns: 3_000 })
    assert.ok(ran > 500, `only ${ran} queries were run`)
  })

  it('runs the expression of any tree, also of one that no parser made', () => {
    put('a.txt', 'alpha')
    const text = fc.oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 12 }),
      fc.constantFrom('"', 'a" OR "b', '\0', 'a\0"', '\ud800', '" NEAR'))
    const term = text.map((text) => ({ kind: 'word' as const, text, at: 0 }))
    const tree = fc.record({
      all: fc.array(term, { minLength: 1, maxLength: 4 }), none: fc.array(term, { maxLength: 4 }),
    })
    fc.assert(fc.property(tree, (query) => { store.search(matchExpression(query), 10) }), { numRuns: 2_000 })
    const inject = { kind: 'word' as const, text: 'x" OR "alpha', at: 0 }
    assert.equal(store.count(matchExpression({ all: [inject], none: [] })), 0)
  })

  it('finds every word that was put in, whatever it is made of', () => {
    let n = 0
    fc.assert(fc.property(fc.stringMatching(/^[\p{Ll}\p{Nd}]{1,20}$/u), (word) => {
      const path = `${n += 1}.bin`
      put(path, `before ${word} behind`)
      const found = store.search(matchExpression({ all: [{ kind: 'word', text: word, at: 0 }], none: [] }), 1_000)
      assert.ok(found.some((match) => match.path === path))
    }), { numRuns: 300 })
  })

  it('reads operators of FTS5 as words', () => {
    put('a.txt', 'this and that or not near')
    put('b.txt', 'this that')
    const find = (query: string): string[] =>
      store.search(matchExpression(parseQuery(query)), 9).map((match) => match.path)
    assert.deepEqual(find('this AND that'), ['a.txt'])
    assert.deepEqual(find('NOT'), ['a.txt'])
    assert.deepEqual(find('that -near'), ['b.txt'])
    assert.deepEqual(find('"this that"'), ['b.txt'])
    assert.deepEqual(find('content: this'), [])
  })

  it('takes a query as long as may be', () => {
    put('a.txt', 'a')
    const words = Array.from({ length: 510 }, () => 'a').join(' ')
    assert.equal(store.count(matchExpression(parseQuery(words))), 1)
    assert.equal(store.count(matchExpression(parseQuery(`a ${'-b '.repeat(340)}`))), 1)
  })

  it('finds a changed file by its old content until the new one is read', () => {
    put('a.txt', 'alpha')
    const root = store.roots()[0]
    assert.ok(root)
    store.recordNames(root.id, [{ path: 'a.txt', size: 9, modified: 1, stamp: 'other' }])
    assert.equal(store.count('"alpha"'), 1)
    assert.deepEqual(store.pending(9).map((file) => file.path), ['a.txt'])
  })

  it('refuses a database of a newer layout and says what to do', () => {
    const file = join(folder, 'newer.sqlite')
    const database = new DatabaseSync(file)
    database.exec('PRAGMA user_version = 99')
    database.close()
    assert.throws(() => new IndexStore(file), { name: 'UNSUPPORTED', message: /layout 99.*run the newer one/ })
  })
})

describe('a snippet', () => {
  it('is the text on one line, with the places of its matches', () => {
    assert.deepEqual(readSnippet(mark('…one\n\n\t[two]\0three [four five] \x1b[31m'.replace('\x1b[', '\x1b'))), {
      snippet: '…one two three four five 31m', matches: [[5, 8], [15, 24]],
    })
  })

  it('is empty without a match', () => {
    assert.deepEqual(readSnippet('just the beginning'), { snippet: '', matches: [] })
  })

  it('keeps markup as text and drops what turns a line around', () => {
    const { snippet, matches } = readSnippet(mark('<img src=x> \u202Eevil\u2066 [b]'))
    assert.equal(snippet, '<img src=x> evil b')
    assert.deepEqual(matches, [[17, 18]])
  })

  it('is cut around its first match, never within a character', () => {
    const cut = readSnippet(mark(`${'🎉'.repeat(500)}[here]${'🎉'.repeat(500)}`))
    assert.ok(cut.snippet.length <= SNIPPET_CHARACTERS_MAX)
    assert.ok(cut.snippet.isWellFormed())
    assert.deepEqual(cut.matches.map(([from, to]) => cut.snippet.slice(from, to)), ['here'])
    const long = readSnippet(mark(`a [${'x'.repeat(1_000)}] b`))
    assert.match(long.snippet, /^…?a? ?x+…$/)
    assert.ok(long.snippet.length <= SNIPPET_CHARACTERS_MAX)
  })

  it('holds within its limits and names ranges in order for any marked text', () => {
    const text = fc.array(fc.oneof(fc.constantFrom(MATCH_OPEN, MATCH_CLOSE, ' ', '\n', '🎉', 'word'),
      fc.string({ unit: 'binary', maxLength: 40 })), { maxLength: 60 }).map((parts) => parts.join(''))
    fc.assert(fc.property(text, (marked) => {
      const { snippet, matches } = readSnippet(marked)
      assert.ok(snippet.length <= SNIPPET_CHARACTERS_MAX && matches.length <= SNIPPET_MATCHES_MAX)
      assert.doesNotMatch(snippet, /\p{Cc}/u)
      let end = 0
      for (const [from, to] of matches) {
        assert.ok(from >= end && to > from && to <= snippet.length)
        end = to
      }
    }), { numRuns: 3_000 })
  })

  it('cannot be given false marks by a file', () => {
    assert.equal(indexable(`a${MATCH_OPEN}b${MATCH_CLOSE}c\0d`), 'a\uFFFDb\uFFFDc\uFFFDd')
  })
})

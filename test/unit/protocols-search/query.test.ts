/** The query language: what it understands and where it says that it does not. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { parseQuery, QUERY_BYTES_MAX } from '../../../protocols/search/query.ts'

const texts = (query: string) => {
  const { all, none } = parseQuery(query)
  return [all.map((term) => term.text), none.map((term) => term.text)]
}
const refused = (at: number, message: RegExp) => ({ name: 'BAD_ARGUMENT', details: { at }, message })

describe('a query', () => {
  it('is words, phrases, and words and phrases to leave out', () => {
    assert.deepEqual(parseQuery(' red  "green blue" -grey -"old ones"'), {
      all: [{ kind: 'word', text: 'red', at: 1 }, { kind: 'phrase', text: 'green blue', at: 6 }],
      none: [{ kind: 'word', text: 'grey', at: 20 }, { kind: 'phrase', text: 'old ones', at: 26 }],
    })
  })

  it('takes quotes and dashes within words as people mean them', () => {
    assert.deepEqual(texts('well-known'), [['well-known'], []])
    assert.deepEqual(texts('a"b c"d'), [['a', 'b c', 'd'], []])
    assert.deepEqual(texts('rm --force - x'), [['rm', '--force', 'x'], []])
    assert.deepEqual(texts('fish & chips -&'), [['fish', 'chips'], []])
    assert.deepEqual(texts('日本語\u3000मराठी'), [['日本語', 'मराठी'], []])
  })

  it('points at the character that makes no sense', () => {
    assert.throws(() => parseQuery('red "green'), refused(4, /at character 5: this quote is never closed/))
    assert.throws(() => parseQuery('🎉 a -"x'), refused(6, /at character 6: this quote/))
    assert.throws(() => parseQuery('a\u001bb'), refused(1, /at character 2: the control character U\+001B/))
    assert.throws(() => parseQuery('a \ud800'), refused(2, /at character 3: half of a character/))
    assert.throws(() => parseQuery('-only'), refused(0, /character 1: there are only words to leave out/))
    assert.throws(() => parseQuery('  '), refused(0, /no word to look for/))
    assert.throws(() => parseQuery('& ""'), refused(0, /no word to look for/))
  })

  it('refuses what later means more rather than mistake it for words', () => {
    assert.throws(() => parseQuery('a ext:pdf'), refused(2, /'ext:' begins no filter/))
    assert.throws(() => parseQuery('a OR b'), refused(2, /'OR' is not understood/))
    assert.throws(() => parseQuery('pre*'), refused(3, /'\*' at the end/))
    assert.deepEqual(texts('"ext:pdf" "OR" "pre*" or note:x'), [['ext:pdf', 'OR', 'pre*', 'or', 'note:x'], []])
  })

  it('may be 1 KiB long and no longer', () => {
    assert.equal(parseQuery('é'.repeat(QUERY_BYTES_MAX / 2)).all.length, 1)
    assert.throws(() => parseQuery(`${'é'.repeat(QUERY_BYTES_MAX / 2)}a`),
      refused(1_024, /has 1025 bytes, at most 1024/))
  })

  it('is understood or refused with BAD_ARGUMENT, whatever it is', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 100 }), (text) => {
      try {
        for (const term of Object.values(parseQuery(text)).flat()) {
          assert.ok(text.startsWith(term.text, term.kind === 'phrase' ? term.at + 1 : term.at))
        }
      } catch (error) {
        assert.equal((error as Error).name, 'BAD_ARGUMENT')
      }
    }), { numRuns: 20_000 })
  })
})

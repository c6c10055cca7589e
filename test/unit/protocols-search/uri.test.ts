/** The URI of a file: exact for every path, closed to all that leads elsewhere. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  FILE_PATH_BYTES_MAX, FILE_URI_CHARACTERS_MAX, formatFileUri, parseFileUri,
} from '../../../protocols/search/uri.ts'

const NODE = '12D3KooWAaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa1'
const uri = (path: string): string => `warren://${NODE}/docs/${path}`
const refused = (message: RegExp) => ({ name: 'BAD_ARGUMENT', message })

describe('the URI of a file', () => {
  it('is made of ASCII that no shell and no other URI takes for something else', () => {
    assert.equal(formatFileUri({ node: NODE, root: 'docs', path: "a b/é%#?&'(!)*\n.txt" }),
      uri('a%20b/%C3%A9%25%23%3F%26%27%28%21%29%2A%0A.txt'))
  })

  it('round-trips every path that a disk can have', () => {
    const segment = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 })
      .filter((text) => text.isWellFormed() && !/[/\0]/.test(text) && text !== '.' && text !== '..')
    const path = fc.array(segment, { minLength: 1, maxLength: 8 }).map((segments) => segments.join('/'))
    const root = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/)
    fc.assert(fc.property(path, root, (path, root) => {
      const text = formatFileUri({ node: NODE, root, path })
      assert.match(text, /^[\w.~:/%-]+$/)
      assert.deepEqual(parseFileUri(text), { node: NODE, root, path })
    }), { numRuns: 5_000 })
  })

  it('fits when its path is as long as can be and every byte needs encoding', () => {
    const path = '/é'.repeat(FILE_PATH_BYTES_MAX).slice(1, 1 + Math.floor(FILE_PATH_BYTES_MAX / 3) * 2 - 1)
    const text = formatFileUri({ node: NODE, root: 'r'.repeat(63), path })
    assert.ok(text.length <= FILE_URI_CHARACTERS_MAX)
    assert.equal(parseFileUri(text).path, path)
    assert.throws(() => formatFileUri({ node: NODE, root: 'r', path: 'x'.repeat(FILE_PATH_BYTES_MAX + 1) }),
      refused(/4097 bytes, at most 4096/))
    assert.throws(() => parseFileUri(uri('x'.repeat(FILE_URI_CHARACTERS_MAX))), refused(/characters, at most/))
  })

  it('never throws anything but BAD_ARGUMENT, and what it reads it would write', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string().map(uri),
      fc.array(fc.constantFrom('%', '2f', '%00', '..', '/', 'é', '%C3', '%A9', 'a', '\ud800'))
        .map((pieces) => uri(pieces.join(''))))
    fc.assert(fc.property(text, (text) => {
      let parts
      try {
        parts = parseFileUri(text)
      } catch (error) {
        assert.equal((error as Error).name, 'BAD_ARGUMENT')
        return
      }
      assert.deepEqual(parseFileUri(formatFileUri(parts)), parts)
    }), { numRuns: 20_000 })
  })

  it('refuses what could lead elsewhere', () => {
    for (const path of ['../x', 'a/../b', 'a/..', '%2e%2e/x', '%2E./x', './a', 'a/./b']) {
      assert.throws(() => parseFileUri(uri(path)), refused(/has the segment '\.\.?'/), path)
    }
    assert.throws(() => parseFileUri(uri('a%2Fb')), refused(/holds an encoded '\/'/))
    assert.throws(() => parseFileUri(uri('a%00b')), refused(/holds a NUL/))
    for (const path of ['a//b', '/a', 'a/']) {
      assert.throws(() => parseFileUri(uri(path)), refused(/empty segment/), path)
    }
  })

  it('refuses what is no URI of a file and says why', () => {
    assert.throws(() => parseFileUri('https://example.org/x'), refused(/does not begin with warren:\/\//))
    assert.throws(() => parseFileUri(''), refused(/does not begin/))
    assert.throws(() => parseFileUri('WARREN://x/y/z'), refused(/does not begin/))
    assert.throws(() => parseFileUri('warren://not-a-peer/docs/a'), refused(/"not-a-peer" is not the PeerId/))
    assert.throws(() => parseFileUri(`warren://${NODE}/.docs/a`), refused(/".docs" is not the name of a root/))
    assert.throws(() => parseFileUri(`warren://${NODE}/docs`), refused(/names no file/))
    assert.throws(() => parseFileUri(`warren://${NODE}`), refused(/is not the name of a root/))
    assert.throws(() => parseFileUri(uri('a%')), refused(/is not percent-encoded UTF-8/))
    assert.throws(() => parseFileUri(uri('%FF')), refused(/is not percent-encoded UTF-8/))
    assert.throws(() => parseFileUri(uri('a?b')), refused(/'\?' must be written as %3F/))
    assert.throws(() => parseFileUri(uri('a#b')), refused(/'#' must be written as %23/))
    assert.throws(() => formatFileUri({ node: NODE, root: 'docs', path: '\ud800' }), refused(/not valid Unicode/))
  })

  it('reads what a person would type', () => {
    assert.equal(parseFileUri(uri('my files/Größe (1).txt')).path, 'my files/Größe (1).txt')
  })
})

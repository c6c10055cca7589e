/** Tests of the place at which an argument stops being JSON. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { jsonErrorAt, parseJsonArgument } from '../../../node/cli/json-argument.ts'

const parses = (text: string): boolean => {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

describe('cli/json-argument', () => {
  const refuses = (text: string, message: RegExp): void => {
    assert.throws(() => parseJsonArgument(text, 'the argument'), { name: 'BAD_ARGUMENT', message })
  }

  it('JSON is read', () => {
    assert.deepEqual(parseJsonArgument(' {"a":[1,null]} ', 'the argument'), { a: [1, null] })
  })

  it('the first character that is wrong is counted from one and shown with what stands before it', () => {
    refuses('{"text": hi}',
      /^the argument is not JSON from character 10 on: "hi}" after "\{\\"text\\": "; keys and texts/)
    refuses('{text:"hi"}', /character 2 on: "text:\\"hi\\"}" after "\{"; keys and texts stand in double quotes/)
    refuses('{\'a\':1}', /character 2 .*; JSON has double quotes only$/)
    refuses('[1,]', /character 4 on: "\]" after "\[1,"$/)
    refuses('{"a":1,}', /character 8 /)
    refuses('{,}', /character 2 /)
    refuses('01', /character 2 /)
    refuses('1 2', /character 3 /)
    refuses('["a\nb"]', /character 2 /)
    refuses('hi', /character 1 on: "hi"; keys/)
  })

  it('what only ends too early, and what is empty, is told so', () => {
    for (const text of ['{', '{"a"', '{"a":', '[1', '[1,', '"abc', '"a\\', 'tru', '-', '{"a":1,']) {
      refuses(text, /it ends too early$/)
    }
    refuses('  ', /^the argument is empty, not JSON$/)
  })

  it('a deep nest is no danger', () => {
    refuses('['.repeat(100_000), /ends too early/)
  })

  it('each beginning of JSON is right to its end', () => {
    fc.assert(fc.property(fc.json(), fc.nat(), (json, cut) => {
      const text = json.slice(0, cut % (json.length + 1))
      // A number that breaks off at its point or exponent is wrong there: nobody leaves it like that.
      fc.pre(!/\d(?:\.|[eE][+-]?)$/.test(text))
      assert.equal(jsonErrorAt(text), text.length)
    }), { numRuns: 2_000 })
  })

  it('JSON that one character spoils is wrong there or later, never in what was right', () => {
    const spoiler = fc.constantFrom('x', '}', ']', ',', ':', '"', '\\', '\n')
    fc.assert(fc.property(fc.json(), fc.nat(), spoiler, (json, at, bad) => {
      const place = at % (json.length + 1)
      const text = json.slice(0, place) + bad + json.slice(place + 1)
      fc.pre(!parses(text))
      const found = jsonErrorAt(text)
      assert.ok(found >= 0 && found <= text.length)
      // A text or word that is spoilt inside is wrong where it begins, a number at its point or exponent.
      assert.ok(found >= place || /["tfn\-.eE]/.test(text[found] ?? ''), `${text} at ${found}, spoilt at ${place}`)
    }), { numRuns: 2_000 })
  })
})

/** Names of apps, methods, devices, nodes and roots: what fits, and what is said about what does not. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { checkName, isName, parseMethodName, printable, type NameKind } from '../../protocols/names.ts'

const KINDS: NameKind[] = ['app', 'method', 'device', 'node', 'root']

describe('a name', () => {
  it('fits its kind or not', () => {
    const cases: [NameKind, string[], unknown[]][] = [
      ['app', ['a', 'echo', 'my-app-2', 'a'.repeat(63)], ['', 'Echo', '2nd', '-a', 'a_b', 'a.b', 'ä',
      'a'.repeat(64), 'a\n', 5, null]],
      ['method', ['say', 'sayAgain2', 'S'], ['', '2nd', 'say-it', 'say_it', 'a.b', 'a b', undefined]],
      ['device', ['kitchen', '2nd-floor'], ['', 'Kitchen', '-a', 'a_b']],
      ['node', ['study', 'NAS_2.local', '7'], ['', '.hidden', '-x', 'a b', 'a/b']],
      ['root', ['Music', 'photos-2026'], ['', '../x', 'a/b', ' x']],
    ]
    for (const [kind, good, bad] of cases) {
      for (const name of good) assert.equal(isName(kind, name), true, `${kind} ${name}`)
      for (const name of bad) assert.equal(isName(kind, name), false, `${kind} ${String(name)}`)
    }
  })

  it('that does not fit is shown in quotes, with what would fit', () => {
    assert.throws(() => { checkName('app', 'My App\n') }, {
      name: 'BAD_ARGUMENT', started: false,
      message: '"My App\\n" is not a name for an app: use a small letter, then small letters, digits or dashes, '
        + 'at most 63 characters',
    })
    for (const kind of KINDS) assert.throws(() => { checkName(kind, undefined) }, { name: 'BAD_ARGUMENT' })
  })

  it('never has a character that could be taken for a path, a flag or a control', () => {
    fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.constantFrom(...KINDS), (name, kind) => {
      if (isName(kind, name)) assert.match(name, /^[A-Za-z0-9][\w.-]{0,62}$/)
    }), { numRuns: 2_000 })
  })
})

describe('app.method', () => {
  it('is split at its dot', () => {
    assert.deepEqual(parseMethodName('echo.say'), { app: 'echo', method: 'say' })
  })

  it('that is anything else is refused by name', () => {
    for (const text of ['', 'echo', '.say', 'echo.', 'echo.say.more', 'Echo.say', 'echo.say it']) {
      assert.throws(() => parseMethodName(text), { name: 'BAD_ARGUMENT', started: false }, text)
    }
  })
})

describe('printing a value', () => {
  it('escapes control characters and stops at 80 characters', () => {
    assert.equal(printable('a"\u0007'), '"a\\"\\u0007"')
    assert.equal(printable('x'.repeat(100)), `"${'x'.repeat(80)}…"`)
    assert.equal(printable(undefined), '"undefined"')
  })
})

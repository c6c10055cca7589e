/** The one error class and its form on the wire, there and back. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import {
  ERROR_CODES, ERROR_MESSAGE_CHARACTERS_MAX, ERROR_NAMES, fromWireError, toWireError, WarrenError,
} from '../../protocols/errors.ts'

describe('a WarrenError', () => {
  it('has the code of its name, UNKNOWN for a name of an app, and whatever code is given', () => {
    assert.equal(new WarrenError('DEADLINE', 'late').code, 'DEADLINE_EXCEEDED')
    assert.equal(new WarrenError('NO_SUCH_SONG', 'none').code, 'UNKNOWN')
    assert.equal(new WarrenError('toString', 'none').code, 'UNKNOWN')
    assert.equal(new WarrenError('NO_SUCH_SONG', 'none', { code: 'NOT_FOUND' }).code, 'NOT_FOUND')
  })

  it('is an Error with a cause, and started is unknown until somebody knows', () => {
    const cause = new Error('disk')
    const error = new WarrenError('UNREADABLE', 'no', { cause })
    assert.ok(error instanceof Error)
    assert.deepEqual([error.cause, error.started, 'cause' in new WarrenError('DENIED', 'no')], [cause, 'unknown',
      false])
  })

  it('crosses the wire with everything but its cause and its stack', () => {
    for (const name of Object.keys(ERROR_NAMES)) {
      const error = new WarrenError(name, 'text', { started: true, retryAfterMs: 0, details: { a: [1] }, cause: 'x' })
      const wire = JSON.parse(JSON.stringify(toWireError(error))) as unknown
      assert.deepEqual(wire, {
        code: error.code, name, message: 'text', started: true, retryAfterMs: 0, details: { a: [1] },
      })
      const { code, message, started, retryAfterMs, details } = fromWireError(wire)
      assert.deepEqual({ code, name, message, started, retryAfterMs, details }, wire)
    }
  })

  it('keeps a code that goes with its name elsewhere, and reads an unknown one as UNKNOWN', () => {
    const wire = { name: 'LATER_THAN_US', code: 'ABORTED', message: 'm', started: false }
    assert.deepEqual([fromWireError(wire).name, fromWireError(wire).code], ['LATER_THAN_US', 'ABORTED'])
    assert.equal(fromWireError({ ...wire, code: 'NEWER' }).code, 'UNKNOWN')
  })
})

describe('an error of another class', () => {
  it('leaves the machine as INTERNAL with its message alone', () => {
    assert.deepEqual(toWireError(new RangeError('boom')),
      { code: 'INTERNAL', name: 'INTERNAL', message: 'boom', started: true })
    for (const thrown of ['text', 7, null, undefined, { message: 'x' }, Symbol('s')]) {
      assert.deepEqual([toWireError(thrown).name, toWireError(thrown).message], ['INTERNAL', String(thrown)])
    }
  })

  it(`has at most ${ERROR_MESSAGE_CHARACTERS_MAX} characters of its message sent and read`, () => {
    const long = 'x'.repeat(10_000)
    assert.equal(toWireError(new Error(long)).message.length, ERROR_MESSAGE_CHARACTERS_MAX + 1)
    assert.equal(toWireError(new WarrenError('DENIED', long)).message.length, ERROR_MESSAGE_CHARACTERS_MAX + 1)
    assert.equal(fromWireError({ message: long }).message.length, ERROR_MESSAGE_CHARACTERS_MAX + 1)
  })
})

describe('reading an error', () => {
  it('gives one that can be thrown, whatever the peer sent', () => {
    fc.assert(fc.property(fc.anything(), (value) => {
      const error = fromWireError(value)
      assert.ok(error instanceof WarrenError && ERROR_CODES.includes(error.code) && error.message.length > 0 === true
        || (value as { message?: unknown }).message === '')
    }), { numRuns: 2_000 })
    for (const name of ['', 'lower', 'A B', 'X'.repeat(65), '__proto__', 'A\n']) {
      assert.equal(fromWireError({ name }).name, 'UNKNOWN', name)
    }
  })
})

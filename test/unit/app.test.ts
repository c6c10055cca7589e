/** Defining apps and making clients of them. */
import assert from 'node:assert/strict'
import { z } from 'zod'
import { defineApp, makeClient, method, type CallOptions, type Net } from '../../protocols/app.ts'

describe('defining an app', () => {
  it('keeps its methods and their kinds, and freezes all of it', () => {
    const app = defineApp('echo', {
      say: method({ input: z.object({ text: z.string() }), local: true }, async ({ text }) => text),
      count: method({}, async function* () { yield 1 }),
    }, { device: { name: 'kitchen', kind: 'speaker' } })
    assert.deepEqual([app.methods.say.kind, app.methods.count.kind, app.methods.say.spec.local], ['unary',
      'stream', true])
    assert.deepEqual(app.device, { name: 'kitchen', kind: 'speaker' })
    for (const part of [app, app.methods, app.methods.say, app.methods.say.spec]) assert.ok(Object.isFrozen(part))
  })

  it('refuses names that do not fit, what is no method, and too many methods', () => {
    const fine = method({}, () => 1)
    assert.throws(() => defineApp('Echo', {}), { name: 'BAD_ARGUMENT' })
    assert.throws(() => defineApp('echo', { 'say-it': fine }), { name: 'BAD_ARGUMENT' })
    assert.throws(() => defineApp('echo', { say: (() => 1) as never }), { name: 'BAD_ARGUMENT' })
    assert.throws(() => defineApp('echo', {}, { device: { name: 'Kitchen!', kind: 'x' } }), { name: 'BAD_ARGUMENT' })
    const many = Object.fromEntries(Array.from({ length: 513 }, (_, index) => [`m${index}`, fine]))
    assert.throws(() => defineApp('echo', many), { name: 'LIMIT' })
  })
})

describe('a client', () => {
  const made: [string, unknown, CallOptions | undefined][] = []
  const call = ((name: string, input: unknown, options?: CallOptions) => {
    made.push([name, input, options])
    return Promise.resolve(name)
  }) as unknown as Net['call']

  it('calls the method of its property, with its own options over those of the client', async () => {
    const client = makeClient<any>(call, 'echo', { timeoutMs: 5, node: 'a' }) as Record<string,
      (...args: unknown[]) => unknown>
    await client['say']!({ text: 'hi' }, { timeoutMs: 7 })
    assert.deepEqual(made.pop(), ['echo.say', { text: 'hi' }, { timeoutMs: 7, node: 'a' }])
    assert.equal(client['say'], client['say'])
  })

  it('is made from an app as well, and can be handed through an await', async () => {
    const client = makeClient(call, defineApp('echo', { say: method({}, () => 1) }))
    assert.equal(await Promise.resolve(client), client)
    assert.throws(() => makeClient(call, 'Not an app'), { name: 'BAD_ARGUMENT' })
  })
})

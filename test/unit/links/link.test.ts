/** Calls through two drivers joined in memory: what callers and handlers see, and that nothing stays behind. */
import assert from 'node:assert/strict'
import { z } from 'zod'
import { defineApp, method } from '../../../protocols/app.ts'
import { WarrenError } from '../../../protocols/errors.ts'
import { gate, pairOf, quiet, type Pair } from './harness.ts'

interface Seen { signal?: AbortSignal, made: number, finished: number, uploaded: unknown[] }
const seen: Seen = { made: 0, finished: 0, uploaded: [] }
const hang = gate<string>()
const never = (signal: AbortSignal): Promise<never> => new Promise((_resolve, reject) => {
  seen.signal = signal
  signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
})

const echo = defineApp('echo', {
  say: method({ input: z.object({ text: z.string() }), output: z.object({ text: z.string() }) },
    async ({ text }) => ({ text })),
  same: method({}, async (value) => value),
  count: method({ input: z.object({ to: z.number() }) }, async function* ({ to }) {
    seen.made = 0
    try {
      for (let i = 0; i < to; i++) {
        seen.made++
        yield i
      }
    } finally {
      seen.finished++
    }
  }),
  blocks: method({}, async function* () {
    seen.made = 0
    try {
      for (let i = 0; i < 10_000; i++) {
        seen.made++
        yield new Uint8Array(32_000).fill(i)
      }
    } finally {
      seen.finished++
    }
  }),
  sum: method({ upload: z.number() }, async (_input, { upload }) => {
    let sum = 0
    for await (const item of upload) sum += item
    return sum
  }),
  keep: method({}, async (_input, { upload }) => {
    for await (const item of upload) seen.uploaded.push(item)
    return seen.uploaded.length
  }),
  double: method({ upload: z.number() }, async function* (_input, { upload }) {
    for await (const item of upload) yield item * 2
  }),
  wait: method({}, async (_input, { signal }) => never(signal)),
  waits: method({}, async function* (_input, { signal }) {
    yield 'first'
    await never(signal)
  }),
  hold: method({}, async () => hang.promise),
  bad: method({ output: z.object({ a: z.number() }) }, async () => ({ a: 'x' }) as never),
  badItem: method({ output: z.number() }, async function* () {
    yield 1
    yield 'two' as never
  }),
  throws: method({}, async () => { throw new RangeError('secret place /home/me') }),
  refuses: method({}, async () => {
    throw new WarrenError('NO_SUCH_SONG', 'no song', { code: 'NOT_FOUND', started: false, details: { song: 1 } })
  }),
  function: method({}, async () => () => 1),
  huge: method({}, async () => new Uint8Array(17 * 1024 * 1024)),
  secret: method({ local: true }, async () => 'only here'),
  left: method({}, async (_input, { timeoutMs }) => timeoutMs),
  outer: method({}, async (_input, { net }) => net.call('echo.wait', {}, { timeoutMs: 80_000 })),
})

/** Nothing of any call is left on either link. */
async function nothingLeft(pair: Pair): Promise<void> {
  await quiet(pair)
  for (const link of [pair.caller, pair.callee]) {
    assert.deepEqual([link.callCount, link.listenerCount, link.assembler.bytes], [0, 0, 0])
  }
  pair.caller.close('done')
  await Promise.all([pair.caller.drained(), pair.callee.drained()])
  assert.deepEqual([pair.caller.timerCount, pair.callee.timerCount], [0, 0])
}

describe('a call through two links', () => {
  let pair: Pair
  beforeEach(() => { pair = pairOf([echo]) })
  afterEach(async () => { await nothingLeft(pair) })

  it('gives the answer, through a client that knows the types', async () => {
    const { text } = await pair.net.client(echo).say({ text: 'hi' })
    assert.equal(text, 'hi')
    assert.equal(await pair.net.call('echo.same'), undefined)
    assert.equal(await pair.net.call('echo.same', null), null)
    const bytes = new Uint8Array(300_000).fill(7)
    assert.ok(Buffer.from(await pair.net.call<Uint8Array>('echo.same', bytes)).equals(bytes))
    assert.equal((await pair.net.call<Uint8Array>('echo.same', new Uint8Array(0))).length, 0)
    const list = Array.from({ length: 50_000 }, (_, i) => `item ${i}`)
    assert.deepEqual(await pair.net.call('echo.same', list), list)
  })

  it('streams items', async () => {
    const items: number[] = []
    for await (const item of pair.net.client(echo).count({ to: 500 })) items.push(Number(item))
    assert.deepEqual(items, Array.from({ length: 500 }, (_, i) => i))
  })

  it('takes an upload, and streams both ways', async () => {
    const numbers = [1, 2, 3, 4]
    assert.equal(await pair.net.client(echo).sum(undefined, { upload: numbers }), 10)
    const doubled: unknown[] = []
    for await (const item of pair.net.client(echo).double(undefined, { upload: numbers })) doubled.push(item)
    assert.deepEqual(doubled, [2, 4, 6, 8])
    assert.equal(await pair.net.client(echo).sum(undefined), 0)
    const large = Array.from({ length: 20 }, () => new Uint8Array(100_000))
    assert.equal(await pair.net.call('echo.keep', null, { upload: large }), 20)
  })

  it('fails with the handler\'s own error, marked as started whatever it says of itself', async () => {
    await assert.rejects(pair.net.call('echo.refuses'), {
      name: 'NO_SUCH_SONG', code: 'NOT_FOUND', message: 'no song', started: true, details: { song: 1 },
    })
  })

  it('fails with INTERNAL and no stack when the handler throws anything else', async () => {
    const error = await pair.net.call('echo.throws').then(() => assert.fail(),
      (thrown: unknown) => thrown as WarrenError)
    assert.deepEqual([error.name, error.code, error.started], ['INTERNAL', 'INTERNAL', true])
    assert.equal(JSON.stringify(error.details ?? '').includes('.ts'), false)
    await assert.rejects(pair.net.call('echo.function'), { name: 'INTERNAL' })
    await assert.rejects(pair.net.call('echo.huge'), { name: 'LIMIT', started: true })
  })

  it('fails with SCHEMA that names the place, on the way in and on the way out', async () => {
    await assert.rejects(pair.net.call('echo.say', { text: 5 }), (error: WarrenError) =>
      error.name === 'SCHEMA' && error.started === false && /'text' in the input of echo.say/.test(error.message))
    await assert.rejects(pair.net.call('echo.bad'), (error: WarrenError) =>
      error.name === 'SCHEMA' && error.started === true && /'a' in the reply of echo.bad/.test(error.message))
    await assert.rejects(pair.net.call('echo.sum', null, { upload: [1, 'x'] }), { name: 'SCHEMA', started: true })
    const items: unknown[] = []
    await assert.rejects(async () => {
      for await (const item of pair.net.call('echo.badItem')) items.push(item)
    }, { name: 'SCHEMA' })
    assert.deepEqual(items, [1])
  })

  it('fails by name for an app, a method or a caller that does not fit', async () => {
    await assert.rejects(pair.net.call('ecko.say'), { name: 'DEREGISTERED', started: false })
    await assert.rejects(pair.net.call('echo.sing'), (error: WarrenError) =>
      error.name === 'METHOD_NOT_FOUND' && /it has say, same/.test(error.message))
    await assert.rejects(pair.net.call('echo.toString'), { name: 'METHOD_NOT_FOUND' })
    await assert.rejects(pair.net.call('echo.secret'), { name: 'DENIED', started: false })
    await assert.rejects(pair.net.call('nodot'), { name: 'BAD_ARGUMENT' })
    await assert.rejects(pair.net.call('echo.same', () => 1), { name: 'BAD_ARGUMENT', started: false })
    await assert.rejects(pair.net.call('echo.same', null, { timeoutMs: -1 }), { name: 'BAD_ARGUMENT' })
    await assert.rejects(pair.net.call('echo.same', null, { idleMs: NaN }), { name: 'BAD_ARGUMENT' })
  })

  it('that is cancelled fails here and stops the handler', async () => {
    const call = pair.net.call('echo.wait')
    await quiet(pair)
    call.cancel('no longer needed')
    await assert.rejects(call, { name: 'CANCELLED', message: 'no longer needed' })
    await quiet(pair)
    assert.equal((seen.signal!.reason as WarrenError).message, 'no longer needed')
  })

  it('whose signal is aborted fails here and stops the handler; a signal of the past sends nothing', async () => {
    const controller = new AbortController()
    const call = pair.net.call('echo.wait', null, { signal: controller.signal })
    await quiet(pair)
    controller.abort(new Error('user left'))
    await assert.rejects(call, { name: 'CANCELLED', message: 'user left' })
    await quiet(pair)
    assert.equal((seen.signal!.reason as WarrenError).name, 'CANCELLED')
    await assert.rejects(pair.net.call('echo.same', null, { signal: controller.signal }), { name: 'CANCELLED' })
  })

  it('whose time is over fails with DEADLINE at both ends', async () => {
    await assert.rejects(pair.net.call('echo.wait', null, { timeoutMs: 5 }), { name: 'DEADLINE' })
    await quiet(pair)
    assert.equal((seen.signal!.reason as WarrenError).name, 'DEADLINE')
  })

  it('hands its time on: a handler sees what is left, and calls made through it end with it', async () => {
    const leftMs = await pair.net.call<number>('echo.left', null, { timeoutMs: 5_000 })
    assert.ok(leftMs > 0 && leftMs <= 5_000)
    assert.equal(await pair.net.call('echo.left', null, { timeoutMs: Infinity }), undefined)
    const bound = pair.net.within({ remainingMs: () => 70 })
    assert.ok(await bound.call<number>('echo.left') <= 70)
  })

  it('whose loop is left stops the handler\'s generator', async () => {
    const before = seen.finished
    for await (const item of pair.net.client(echo).count({ to: 1_000_000 })) if (item === 3) break
    await quiet(pair)
    assert.equal(seen.finished, before + 1)
    for await (const item of pair.net.call('echo.waits')) if (item === 'first') break
    await quiet(pair)
    assert.equal(seen.signal?.aborted, true)
  })

  it('with a slow reader does not let the producer run ahead by more than a few windows', async () => {
    const before = seen.finished
    let taken = 0
    for await (const block of pair.net.call<Uint8Array>('echo.blocks')) {
      taken += block.length / 32_000
      await quiet(pair)
      assert.ok((seen.made - taken) * 32_000 < 6 * 1024 * 1024, `${seen.made} made, ${taken} taken`)
      if (taken === 12) {
        await quiet(pair, 200)
        assert.ok(seen.made - taken < 12, `${seen.made} made, ${taken} taken`)
        break
      }
    }
    await quiet(pair)
    assert.equal(seen.finished, before + 1)
  })

  it('to a stream that is awaited gives its only item, or says what to do', async () => {
    assert.equal(await pair.net.call('echo.count', { to: 1 }), 0)
    assert.equal(await pair.net.call('echo.count', { to: 0 }), undefined)
    await assert.rejects(pair.net.call('echo.count', { to: 2 }), (error: WarrenError) =>
      error.name === 'BAD_ARGUMENT' && /for await/.test(error.message))
  })

  it('is awaited or iterated, once', async () => {
    const call = pair.net.call<number>('echo.count', { to: 3 })
    const items: number[] = []
    for await (const item of call) items.push(item)
    assert.deepEqual(items, [0, 1, 2])
    await assert.rejects(async () => { for await (const item of call) assert.fail(`iterated twice: ${item}`) },
      { name: 'BAD_ARGUMENT' })
    await assert.rejects(call.then(() => assert.fail('awaited as well')), { name: 'BAD_ARGUMENT' })
  })

  it('whose upload fails is cancelled with the reason', async () => {
    async function* upload(): AsyncGenerator<number> {
      yield 1
      throw new Error('disk pulled out')
    }
    await assert.rejects(pair.net.call('echo.sum', null, { upload: upload() }), (error: WarrenError) =>
      error.name === 'CANCELLED' && /disk pulled out/.test(error.message))
  })

  it('that is given up with half an item here gives the link\'s budget back', async () => {
    const calls = Array.from({ length: 20 }, () => pair.net.call('echo.same', new Uint8Array(2_000_000)))
    const halves = new Promise<void>((resolve) => {
      const look = (): void => { if (pair.caller.assembler.bytes > 0) resolve(); else setImmediate(look) }
      look()
    })
    await halves
    for (const call of calls) call.cancel()
    await Promise.allSettled(calls)
    assert.equal(pair.caller.assembler.bytes, 0)
  })

  it('of 10,000 in flight at once gets its own answer', async () => {
    const calls = Array.from({ length: 10_000 }, (_, i) => pair.net.call<number>('echo.same', i))
    const answers = await Promise.all(calls)
    assert.ok(answers.every((answer, index) => answer === index))
  })

  it('fails with LINK_LOST at both ends when the link is cut, without being started if it never left', async () => {
    const under = pair.net.call('echo.wait')
    await quiet(pair)
    const queued = pair.net.call('echo.wait')
    pair.caller.close('cable pulled')
    await assert.rejects(under, { name: 'LINK_LOST', started: 'unknown' })
    await assert.rejects(queued, { name: 'LINK_LOST', started: false })
    await assert.rejects(pair.net.call('echo.same'), { name: 'LINK_LOST', started: false })
    await quiet(pair)
    assert.equal(seen.signal?.aborted, true)
    assert.deepEqual(pair.closed, ['LINK_LOST', 'LINK_LOST'])
  })

  it('in flight is finished when the callee leaves, and new ones are refused', async () => {
    const call = pair.net.call('echo.hold')
    await quiet(pair)
    pair.callee.goAway(60_000)
    await quiet(pair)
    assert.equal(pair.caller.acceptsCalls, false)
    await assert.rejects(pair.net.call('echo.same'), { name: 'GOING_AWAY', started: false })
    hang.open('finished')
    assert.equal(await call, 'finished')
    await pair.callee.drained()
    assert.equal(pair.callee.isClosed, true)
  })

  it('still being uploaded when its answer waits for credit leaves nothing behind', async () => {
    const app = defineApp('early', { answer: method({}, async () => new Uint8Array(400_000)) })
    const early = pairOf([app])
    const upload = Array.from({ length: 10 }, () => new Uint8Array(300_000))
    const answer = await early.net.call<Uint8Array>('early.answer', null, { upload })
    assert.equal(answer.length, 400_000)
    await nothingLeft(early)
  })

  it('from a handler ends with the call that it was made for', async () => {
    // The process calls itself through the same pair: the callee's net is the caller's link.
    const call = pair.net.call('echo.outer', null, { timeoutMs: 20_000 })
    await quiet(pair)
    assert.equal(pair.callee.callCount, 2)
    call.cancel('enough')
    await assert.rejects(call, { name: 'CANCELLED' })
    await quiet(pair)
    assert.equal(seen.signal?.aborted, true)
  })
})

describe('a local caller', () => {
  it('may call what is local', async () => {
    const pair = pairOf([echo], { local: true })
    assert.equal(await pair.net.call('echo.secret'), 'only here')
    await nothingLeft(pair)
  })
})

/** Calls of every kind, from a process on one node to an app on another, over real sockets. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Connection } from '../../node/index.ts'
import { failure, found, joinTo, makeLab, openField, type Field, type Lab } from './nodes.ts'

describe('net: calls', () => {
  let field: Field
  let lab: Lab
  let caller: Connection
  let host = ''
  before(async () => {
    field = await openField()
    const near = await field.node('near')
    const far = await field.node('far')
    host = far.peerId
    lab = makeLab()
    await joinTo(near, far)
    await field.serve('far', lab.app)
    caller = await field.connect('near')
    await found(caller, 'lab', far)
  })
  after(() => field.end())

  it('an app on one node answers calls from another', async () => {
    assert.deepEqual(await caller.call('lab.say', { text: 'hi' }), { text: 'hi' })
    assert.deepEqual(await caller.client(lab.app).say({ text: 'typed' }), { text: 'typed' })
  })

  it('a stream of 10 000 items comes whole and in order', async () => {
    const items: number[] = []
    for await (const item of caller.client(lab.app).count({ to: 10_000 })) items.push(item)
    assert.equal(items.length, 10_000)
    assert.ok(items.every((item, index) => item === index))
  })

  it('an upload of 10 000 items is read to its end', async () => {
    const upload = Array.from({ length: 10_000 }, (_, index) => index)
    assert.equal(await caller.client(lab.app).sum(undefined, { upload }), 49_995_000)
  })

  it('bytes come as they went, an argument and a reply of 1 MiB too', async () => {
    for (const size of [0, 1, 32 * 1024, 1024 * 1024]) {
      const bytes = randomBytes(size)
      const back = await caller.call<Uint8Array>('lab.reverse', new Uint8Array(bytes))
      assert.ok(back instanceof Uint8Array)
      assert.ok(Buffer.from(back).reverse().equals(bytes), `${size} bytes`)
    }
    const text = 'ü'.repeat(512 * 1024)
    assert.equal((await caller.call<{ text: string }>('lab.say', { text })).text, text)
  })

  it('16 MiB go there and back in both directions at once', async () => {
    const chunk = randomBytes(64 * 1024)
    const upload = Array.from({ length: 256 }, () => new Uint8Array(chunk))
    let bytes = 0
    for await (const piece of caller.client(lab.app).pump(undefined, { upload })) {
      assert.ok(chunk.equals(piece as Uint8Array))
      bytes += (piece as Uint8Array).length
    }
    assert.equal(bytes, 16 * 1024 * 1024)
  })

  it('cancelling a call fires its handler\'s signal two nodes away', async () => {
    const abort = new AbortController()
    const call = caller.call('lab.wait', {}, { signal: abort.signal })
    const failed = failure(call)
    const { ended } = await lab.waiting()
    abort.abort()
    assert.equal((await failed).name, 'CANCELLED')
    assert.equal((await ended).name, 'CANCELLED')
  })

  it('leaving a loop early cancels the stream where it is made', async () => {
    const items: unknown[] = []
    for await (const item of caller.call('lab.drip', {})) {
      items.push(item)
      break
    }
    const { ended } = await lab.waiting()
    assert.deepEqual(items, ['first'])
    assert.equal((await ended).name, 'CANCELLED')
  })

  it('the callee has less time than the caller gave, and none of it is made up', async () => {
    const left = await caller.call<number>('lab.timeLeft', {}, { timeoutMs: 5_000 })
    assert.ok(left > 0 && left < 5_000, `${left} ms`)
    assert.ok(await caller.call<number>('lab.timeLeft') <= 30_000)
    assert.equal(await caller.call('lab.timeLeft', {}, { timeoutMs: Infinity }), null)
  })

  it('at the deadline the caller hears DEADLINE and the handler\'s signal fires', async () => {
    const failed = failure(caller.call('lab.wait', {}, { timeoutMs: 300 }))
    const { ended } = await lab.waiting()
    assert.deepEqual((await failed).name, 'DEADLINE')
    assert.match((await ended).name, /^(DEADLINE|CANCELLED)$/)
  })

  it('a call made within a handler has at most the time that is left for the handler', async () => {
    const left = await caller.call<number>('lab.via', { method: 'lab.timeLeft' }, { timeoutMs: 4_000 })
    assert.ok(left > 0 && left < 4_000, `${left} ms`)
    const asked = { method: 'lab.timeLeft', timeoutMs: 60_000 }
    assert.ok(await caller.call<number>('lab.viaSlowly', asked, { timeoutMs: 4_000 }) < 4_000)
    assert.ok(await caller.call<number>('lab.viaSlowly', { ...asked, timeoutMs: 50 }) <= 50)
  })

  it('a call made within a handler is cancelled when the caller of the handler gives up', async () => {
    const call = caller.call('lab.via', { method: 'lab.wait' })
    const failed = failure(call)
    const { ended } = await lab.waiting()
    call.cancel('enough')
    assert.equal((await failed).name, 'CANCELLED')
    assert.equal((await ended).name, 'CANCELLED')
  })

  it('a call made within a handler is cancelled when the process that called is gone', async () => {
    const other = await field.connect('near')
    const failed = failure(other.call('lab.via', { method: 'lab.wait' }))
    const { ended } = await lab.waiting()
    await other.close()
    assert.equal((await failed).code, 'UNAVAILABLE')
    assert.equal((await ended).name, 'CANCELLED')
  })

  it('the callee knows which machine called, and whether it is its own', async () => {
    const local = await field.connect('far')
    assert.equal((await local.call<{ local: boolean }>('lab.caller')).local, true)
    const remote = await caller.call<{ node: string, local: boolean }>('lab.caller')
    assert.equal(remote.local, false)
    assert.notEqual(remote.node, host)
  })

  it('5 000 calls, 500 at once, each get their own answer', async () => {
    for (let round = 0; round < 10; round++) {
      const texts = Array.from({ length: 500 }, (_, index) => `${round}-${index}`)
      const answers = await Promise.all(texts.map((text) => caller.client(lab.app).say({ text })))
      assert.deepEqual(answers.map(({ text }) => text), texts)
    }
  })
})

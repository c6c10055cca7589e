/** Where calls go: to hosts that are found, have moved, have left, or are named. */
import assert from 'node:assert/strict'
import { defineApp, method } from '../../node/index.ts'
import { testWarren } from '../../node/testing.ts'
import { eventually, failure, found, joinTo, makeLab, openField, type Field } from './nodes.ts'

/** An app that says who it is. */
const named = (name: string, who: string) => defineApp(name, { who: method({}, async () => who) })

describe('net: routing', () => {
  let field: Field
  beforeEach(async () => { field = await openField() })
  afterEach(() => field.end())

  it('testWarren gives nodes that know each other, and takes its homes with it', async () => {
    const warren = await testWarren(3)
    try {
      const [a, , c] = warren.nodes
      const served = await c!.serve(named('lamp', 'c'))
      assert.equal(served.node, c!.peerId)
      await found(a!, 'lamp', c!)
      assert.equal(await a!.call('lamp.who'), 'c')
      const nodes = await a!.call<{ name: string }[]>('node.nodes')
      assert.deepEqual(nodes.slice(0, 1).map(({ name }) => name), ['node-0'])
    } finally {
      await warren.stop()
    }
  })

  it('in a line A-B-C an app on C is called from A, which has joined only B', async () => {
    const a = await field.node('a')
    const b = await field.node('b')
    const c = await field.node('c')
    await joinTo(a, b)
    await joinTo(c, b)
    await field.serve('c', named('lamp', 'c'))
    await found(a, 'lamp', c)
    assert.equal(await a.call('lamp.who'), 'c')
  })

  it('an app that starts before its node meets anybody is found by those that come later', async () => {
    const a = await field.node('a')
    await field.serve('a', named('lamp', 'a'))
    const b = await field.node('b', { join: [a.addresses[0]!] })
    await found(b, 'lamp', a)
    assert.equal(await b.call('lamp.who'), 'a')
  })

  it('an app of this machine is called before one of another', async () => {
    const a = await field.node('a')
    const b = await field.node('b')
    await joinTo(a, b)
    await field.serve('a', named('lamp', 'a'))
    await field.serve('b', named('lamp', 'b'))
    await found(a, 'lamp', b)
    assert.equal(await a.call('lamp.who'), 'a')
    assert.equal(await b.call('lamp.who'), 'b')
    assert.equal(await a.call('lamp.who', {}, { node: 'b' }), 'b')
    assert.equal(await a.call('lamp.who', {}, { node: b.peerId }), 'b')
    assert.deepEqual((await a.hosts('lamp')).map(({ local }) => local), [true, false])
  })

  it('when an app has moved, the call finds its new host though the old one is remembered', async () => {
    const a = await field.node('a')
    const b = await field.node('b')
    const c = await field.node('c')
    await joinTo(a, b)
    await joinTo(a, c)
    await joinTo(b, c)
    const first = await field.serve('b', named('lamp', 'b'))
    await found(a, 'lamp', b)
    assert.equal(await a.call('lamp.who'), 'b')
    await first.close()
    await field.serve('c', named('lamp', 'c'))
    // The first answer may be that it is gone: the news of the new host is on its way.
    assert.equal(await eventually(() => a.call('lamp.who').catch((error: { started: unknown }) => {
      assert.equal(error.started, false)
      return undefined
    })), 'c')
    assert.equal(await a.call('lamp.who'), 'c')
  })

  it('an app that was deregistered is not found any more, and nothing has started', async () => {
    const a = await field.node('a')
    const b = await field.node('b')
    await joinTo(a, b)
    const process = await field.connect('b')
    const served = await process.serve(named('lamp', 'b'))
    await found(a, 'lamp', b)
    assert.equal(await a.call('lamp.who'), 'b')
    await served.stop()
    const { name, started } = await failure(a.call('lamp.who'))
    assert.match(name, /^(APP_NOT_FOUND|DEREGISTERED)$/)
    assert.equal(started, false)
    await process.serve(named('lamp', 'b again'))
    assert.equal(await a.call('lamp.who'), 'b again')
  })

  it('a name that is almost right is answered with the right one', async () => {
    const a = await field.node('a')
    const b = await field.node('b')
    await joinTo(a, b)
    await field.serve('b', makeLab('echo').app)
    await assert.rejects(a.call('ecko.say', {}),
      { name: 'APP_NOT_FOUND', message: /no app 'ecko'; did you mean 'echo'\?/ })
    await assert.rejects(a.call('zebra.say', {}), { name: 'APP_NOT_FOUND', message: /warren apps/ })
    await found(a, 'echo', b)
    await assert.rejects(a.call('echo.shout', {}), { name: 'METHOD_NOT_FOUND', message: /it has say, count/ })
    await assert.rejects(a.call('echo.say', { text: 7 }),
      { name: 'SCHEMA', message: /'text' in the input of echo\.say/ })
    await assert.rejects(a.call('nodot', {}), { name: 'BAD_ARGUMENT', message: /"nodot" is not app\.method/ })
  })

  it('a node that nobody knows, one whose name two have, and one without the app are told apart', async () => {
    const a = await field.node('a')
    const b = await field.node('b1', { name: 'twin' })
    const c = await field.node('b2', { name: 'twin' })
    await joinTo(a, b)
    await joinTo(a, c)
    await assert.rejects(a.call('lab.say', {}, { node: 'nobody' }),
      { name: 'NODE_NOT_FOUND', started: false, message: /no node 'nobody' is connected/ })
    await assert.rejects(a.call('lab.say', {}, { node: 'twin' }), (error: Error) => {
      assert.equal(error.name, 'AMBIGUOUS')
      for (const { peerId } of [b, c]) assert.ok(error.message.includes(peerId))
      return true
    })
    await assert.rejects(a.call('lab.say', {}, { node: b.peerId }),
      { name: 'APP_NOT_FOUND', started: false, message: new RegExp(b.peerId) })
    await assert.rejects(a.call('lab.say', {}, { node: 'a' }), { name: 'APP_NOT_FOUND', started: false })
  })

  it('a name is served by one process on a node, and is free again when that one ends', async () => {
    await field.node('a')
    const first = await field.serve('a', named('lamp', 'first'))
    const second = await field.connect('a')
    await assert.rejects(second.serve(named('lamp', 'second')),
      { name: 'NAME_TAKEN', message: new RegExp(`${process.pid}`) })
    await assert.rejects(first.serve(named('lamp', 'again')), { name: 'NAME_TAKEN' })
    await assert.rejects(second.serve(named('node', 'second')), { name: 'NAME_TAKEN' })
    await first.close()
    await eventually(() => second.serve(named('lamp', 'second')).catch((error: Error) => {
      assert.equal(error.name, 'NAME_TAKEN')
      return undefined
    }))
    assert.equal(await second.call('lamp.who'), 'second')
  })

  for (const round of [1, 2, 3, 4, 5, 6]) {
    it(`calls that both ends make at once from a cold start all arrive, over one link (round ${round})`, async () => {
      let a = await field.node('a')
      let b = await field.node('b')
      await joinTo(a, b)
      // Both remember the other's address and have no connection.
      await Promise.all([a.stop(), b.stop()])
      a = await field.node('a')
      b = await field.node('b')
      await field.serve('a', named('left', 'a'))
      await field.serve('b', named('right', 'b'))
      const answers = await Promise.all(Array.from({ length: 100 }, () => [
        a.call('right.who', {}, { node: b.peerId }), b.call('left.who', {}, { node: a.peerId }),
      ]).flat())
      assert.deepEqual(new Set(answers.filter((_, at) => at % 2 === 0)), new Set(['b']))
      assert.deepEqual(new Set(answers.filter((_, at) => at % 2 === 1)), new Set(['a']))
    })
  }
})

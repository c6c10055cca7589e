/** One machine at a time: what it does with commands, and with messages that no honest peer would send. */
import assert from 'node:assert/strict'
import { keyOf } from '../../../protocols/ids.ts'
import type { OverlayId } from '../../../protocols/ids.ts'
import type { PastryEffect, PastryEvent } from '../../../protocols/pastry/core.ts'
import { makePastry } from '../../../protocols/pastry/machine.ts'
import type { PastryInput, PastryMachine } from '../../../protocols/pastry/machine.ts'
import type { Message, NodeRef } from '../../../protocols/pastry/messages.ts'

const ref = (digit: string): NodeRef => ({ id: digit.repeat(32) as OverlayId, contact: Uint8Array.of(1) })
const NOTHING = new Uint8Array(0)

/** A machine with a clock of its own that keeps what it did. */
function stand(config = {}): {
  machine: PastryMachine, give(input: PastryInput): PastryEffect[], get(from: NodeRef, message: Message): PastryEffect[]
  wait(ms: number): PastryEffect[]
} {
  const machine = makePastry({ ref: ref('8'), seed: 1, config })
  let nowMs = 1_000
  let timerMs = Infinity
  const give = (input: PastryInput): PastryEffect[] => {
    const effects = machine.handle(input, nowMs)
    for (const effect of effects) if (effect.type === 'setTimer') timerMs = effect.atMs
    return effects
  }
  const wait = (ms: number): PastryEffect[] => {
    const all: PastryEffect[] = []
    const endMs = nowMs + ms
    while (timerMs <= endMs) {
      nowMs = Math.max(nowMs, timerMs)
      timerMs = Infinity
      all.push(...give({ type: 'timer', id: 'next' }))
    }
    nowMs = endMs
    return all
  }
  return { machine, give, wait, get: (from, message) => give({ type: 'message', from, message }) }
}

function founder(config = {}): ReturnType<typeof stand> {
  const one = stand(config)
  one.give({ type: 'command', command: { kind: 'start', bootstraps: [] } })
  return one
}

const events = (effects: PastryEffect[]): PastryEvent[] =>
  effects.flatMap((one) => one.type === 'event' ? [one.event] : [])
const sent = (effects: PastryEffect[]): Message[] => effects.flatMap((one) => one.type === 'send' ? [one.message] : [])
const reasons = (effects: PastryEffect[]): string[] =>
  events(effects).flatMap((event) => event.kind === 'dropped' ? [event.reason] : [])
const route = (change: Partial<Extract<Message, { type: 'route' }>> = {}): Message => ({
  type: 'route', hop: 1, request: 1, key: keyOf('app', 'echo'), purpose: 'lookup', near: false, trace: false, hops: 0,
  deadlineMs: 1_000, payload: NOTHING, ...change,
})

describe('the overlay machine', () => {
  it('does nothing before it is started, not even for a peer', () => {
    const one = stand()
    assert.deepEqual(one.get(ref('1'), { type: 'ping', nonce: 1, state: 'ready', rttMs: 0 }), [])
    assert.equal(one.machine.view(1_000).state, 'dead')
  })

  it('founds a ring without bootstraps and owns every key', () => {
    const one = founder()
    assert.equal(one.machine.view(1_000).state, 'ready')
    const answered = events(one.give({ type: 'command', command: { kind: 'lookup', id: 5, key: keyOf('app', 'x') } }))
      .find((event) => event.kind === 'answered')
    assert.ok(answered?.kind === 'answered' && answered.root.id === '8'.repeat(32) && answered.hops === 0)
  })

  it('gives the same effects for the same inputs at the same times', () => {
    const script = (): string => {
      const one = founder()
      const effects = [...one.get(ref('1'), { type: 'ping', nonce: 1, state: 'ready', rttMs: 9 }), ...one.wait(60_000)]
      return JSON.stringify(effects)
    }
    assert.equal(script(), script())
  })

  it('sets one timer only, however much there is to do', () => {
    const one = founder()
    for (const digit of '1234567') one.get(ref(digit), { type: 'leafPush', state: 'ready', references: [] })
    const ids = new Set(one.wait(30_000).flatMap((effect) => effect.type === 'setTimer' ? [effect.id] : []))
    assert.deepEqual([...ids], ['next'])
  })

  it('hands a payload to its program once, and answers a copy of the message with the same reply', () => {
    const one = founder()
    const payload = Uint8Array.of(1, 2, 3)
    const [delivery] = events(one.get(ref('1'), route({ payload }))).filter((event) => event.kind === 'deliver')
    assert.ok(delivery?.kind === 'deliver')
    assert.deepEqual(delivery.payload, payload)
    const reply = one.give({
      type: 'command', command: { kind: 'reply', token: delivery.token, payload: Uint8Array.of(9) },
    })
    const copy = one.get(ref('2'), route({ payload, hop: 2 }))
    for (const effects of [reply, copy]) {
      assert.ok(sent(effects).some((message) => message.type === 'answer' && message.payload[0] === 9))
    }
    assert.equal(events(copy).filter((event) => event.kind === 'deliver').length, 0)
  })

  it('acknowledges a replayed message and does not follow it again', () => {
    const one = founder()
    one.get(ref('1'), route())
    const again = one.get(ref('1'), route())
    assert.deepEqual(sent(again).map((message) => message.type), ['ack'])
    assert.equal(events(again).length, 0)
  })

  it('refuses by name a message that it is no nearer to than its sender', () => {
    const one = founder()
    const key = '1'.repeat(32) as never
    const effects = one.get(ref('1'), route({ key, hops: 1 }))
    assert.deepEqual(reasons(effects), ['noProgress'])
    assert.ok(sent(effects).some((message) => message.type === 'nack' && message.reason === 'noProgress'))
  })

  it('drops by name answers, grants, denials and pongs that it did not ask for', () => {
    const one = founder()
    const liar = ref('1')
    const answer: Message = {
      type: 'answer', hop: 1, re: 77, hops: 1, root: liar, left: liar.id, right: liar.id, leaseMs: 9_000,
      references: [], trace: [], payload: NOTHING,
    }
    assert.deepEqual(reasons(one.get(liar, answer)), ['unexpectedAnswer'])
    assert.deepEqual(reasons(one.get(liar, { type: 'nack', hop: 7, reason: 'busy' })), ['unexpectedNack'])
    assert.deepEqual(reasons(one.get(liar, { type: 'pong', nonce: 7, state: 'waiting' })), ['unexpectedPong'])
    assert.deepEqual(reasons(one.get(liar, {
      type: 'grant', nonce: 7, durationMs: 60_000, left: true, right: true, told: [],
    })), ['unexpectedGrant'])
    assert.deepEqual(reasons(one.get(liar, {
      type: 'deny', nonce: 7, reason: 'closer', retryMs: 1, closer: ref('2'),
    })), ['unexpectedDeny'])
  })

  it('drops by name a join that is made for somebody else', () => {
    const one = founder()
    assert.deepEqual(reasons(one.get(ref('1'), route({ purpose: 'join', joiner: ref('2') }))), ['falseJoiner'])
  })

  it('drops by name what a peer floods it with, joins sooner than other messages', () => {
    const one = founder({ messagesBurstMax: 100, joinsPerSecondMax: 2 })
    const flood = (message: (index: number) => Message, from: NodeRef): number => {
      let dropped = 0
      for (let index = 0; index < 300; index++) {
        dropped += reasons(one.get(from, message(index))).filter((reason) => reason === 'flood').length
      }
      return dropped
    }
    assert.equal(flood((index) => ({ type: 'ping', nonce: index, state: 'waiting', rttMs: 0 }), ref('1')), 200)
    assert.equal(flood((index) => route({ purpose: 'join', joiner: ref('2'), hop: index }), ref('2')), 294)
  })

  it('asks nodes that a peer tells it of before it takes them for leaves, and counts those that are not there', () => {
    const one = founder()
    const references = Array.from({ length: 120 }, (_value, index) => ({
      id: (index + 1).toString(16).padStart(4, '0').padEnd(32, '7') as OverlayId, contact: NOTHING,
    }))
    const effects = [...one.get(ref('1'), { type: 'leafPush', state: 'ready', references }), ...one.wait(60_000)]
    const { left, right, sizes } = one.machine.view(61_000)
    assert.ok([...left, ...right].every((leaf) => leaf.id === ref('1').id))
    assert.ok(sizes['hints']! <= 128 && sizes['probes']! <= 48)
    assert.ok(reasons(effects).filter((reason) => reason === 'deadHint').length > 20)
  })

  it('lets in one joiner at a time on each side', () => {
    const one = founder()
    const lease = (nonce: number): Message => ({
      type: 'lease', nonce, state: 'ok', durationMs: 12_000, left: true, right: true, leftFrom: undefined,
      rightFrom: undefined,
    })
    assert.deepEqual(sent(one.get(ref('1'), lease(1))).map((message) => message.type), ['grant'])
    const second = sent(one.get(ref('2'), lease(2)))
    assert.ok(second[0]?.type === 'deny' && second[0].reason === 'busy')
    one.wait(10_500)
    assert.deepEqual(sent(one.get(ref('2'), lease(3))).map((message) => message.type), ['grant'])
  })

  it('claims no key nearer to the holder of its grant until the grant is over', () => {
    const one = founder()
    const key = '1'.repeat(32) as never
    assert.ok(one.machine.view(1_000).owns(key))
    one.get(ref('1'), {
      type: 'lease', nonce: 1, state: 'ok', durationMs: 12_000, left: true, right: true, leftFrom: undefined,
      rightFrom: undefined,
    })
    one.wait(12_000)
    assert.equal(one.machine.view(13_000).owns(key), false)
    one.wait(6_000)
    assert.equal(one.machine.view(19_000).owns(key), true)
  })

  it('owns nothing after it was suspended, until its neighbours granted leases again', () => {
    const one = founder()
    one.get(ref('1'), { type: 'leafPush', state: 'ready', references: [] })
    assert.ok(one.machine.view(1_000).isLeased)
    one.give({ type: 'resumed' })
    assert.equal(one.machine.view(1_000).isLeased, false)
  })

  it('tells its leaves and its program when it leaves, then is silent, and can start again', () => {
    const one = founder()
    one.get(ref('1'), { type: 'leafPush', state: 'ready', references: [] })
    one.give({ type: 'command', command: { kind: 'lookup', id: 3, key: '1'.repeat(32) as never } })
    const effects = one.give({ type: 'command', command: { kind: 'leave' } })
    assert.ok(sent(effects).some((message) => message.type === 'leave'))
    assert.ok(events(effects).some((event) => event.kind === 'lookupFailed' && event.reason === 'left'))
    assert.deepEqual(one.wait(60_000), [])
    one.give({ type: 'command', command: { kind: 'start', bootstraps: [ref('1')] } })
    assert.equal(one.machine.view(61_000).state, 'waiting')
    assert.ok(sent(one.wait(1_000)).some((message) => message.type === 'route' && message.purpose === 'join'))
  })

  it('answers with an error by name instead of looking up before it is started, or with too long a payload', () => {
    const idle = stand()
    const lookup = (payload: Uint8Array): PastryInput =>
      ({ type: 'command', command: { kind: 'lookup', id: 1, key: keyOf('app', 'x'), payload } })
    const failure = (effects: PastryEffect[]): string[] =>
      events(effects).flatMap((event) => event.kind === 'lookupFailed' ? [event.reason] : [])
    assert.deepEqual(failure(idle.give(lookup(NOTHING))), ['notStarted'])
    assert.deepEqual(failure(founder().give(lookup(new Uint8Array(9_000)))), ['payloadTooLong'])
  })

  it('names the parameter and its range when it is made with a bad one', () => {
    assert.throws(() => stand({ leaseMs: 5 }),
      { name: 'BAD_CONFIG', message: /leaseMs is 5: use a number from 2000 to 60000/ })
    assert.throws(() => stand({ leafSetCountMax: 9 }), { name: 'BAD_CONFIG' })
  })
})

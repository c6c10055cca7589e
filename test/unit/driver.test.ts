/** Tests of the driver: a machine of the test's own, and clocks that the test turns. */
import assert from 'node:assert/strict'
import { Driver } from '../../node/driver.ts'
import type { Effect, Input, Machine } from '../../protocols/machine.ts'

type Said = Input<string, string, string>
type Wanted = Effect<string, string, string>

/** A machine that notes its inputs and wants what `answer` says. */
function scripted(answer: (input: Said, nowMs: number) => Wanted[]): Machine<string, string, string, string>
  & { readonly inputs: string[] } {
  const inputs: string[] = []
  return {
    inputs,
    handle(input, nowMs) {
      inputs.push(input.type === 'command' ? input.command : input.type)
      return answer(input, nowMs)
    },
  }
}

const ignore = { send: () => {}, event: () => {}, failed: (error: unknown) => { throw error } }

describe('driver', () => {
  it('carries out effects in their order', () => {
    const done: string[] = []
    const machine = scripted((): Wanted[] => [
      { type: 'send', to: 'b', message: 'hello' }, { type: 'event', event: 'said' },
      { type: 'sign', id: 's', bytes: Uint8Array.of(1) }, { type: 'send', to: 'c', message: 'bye' },
    ])
    const driver = new Driver(machine, {
      ...ignore, send: (to, message) => { done.push(`${to}:${message}`) }, event: (event) => { done.push(event) },
      sign: (id, bytes) => { done.push(`${id}${bytes.length}`) },
    })
    driver.input({ type: 'command', command: 'go' })
    driver.stop()
    assert.deepEqual(done, ['b:hello', 'said', 's1', 'c:bye'])
  })

  it('an input that comes up while another is worked on waits for its effects', () => {
    const order: string[] = []
    const machine = scripted((input): Wanted[] => input.type !== 'command' || input.command !== 'first' ? []
      : [{ type: 'event', event: 'one' }, { type: 'event', event: 'two' }])
    const driver: Driver<string, string, string, string> = new Driver(machine, {
      ...ignore,
      event: (event) => {
        order.push(event)
        driver.input({ type: 'command', command: `after ${event}` })
        order.push(String(machine.inputs.length))
      },
    })
    driver.input({ type: 'command', command: 'first' })
    driver.stop()
    assert.deepEqual(order, ['one', '1', 'two', '1'])
    assert.deepEqual(machine.inputs, ['first', 'after one', 'after two'])
  })

  it('gives a timer back when it is due by the monotonic clock, the newer of two with one id', async () => {
    const { promise, resolve } = Promise.withResolvers<void>()
    let dueMs = 0
    const machine = scripted((input, nowMs): Wanted[] => {
      if (input.type === 'timer') {
        assert.ok(nowMs >= dueMs, 'not before its time')
        resolve()
        return []
      }
      dueMs = nowMs + 20
      return [
        { type: 'setTimer', id: 'x', atMs: nowMs + 1 }, { type: 'setTimer', id: 'x', atMs: dueMs },
        { type: 'setTimer', id: 'gone', atMs: nowMs }, { type: 'clearTimer', id: 'gone' },
      ]
    })
    const driver = new Driver(machine, ignore)
    driver.input({ type: 'command', command: 'set' })
    await promise
    driver.stop()
    assert.deepEqual(machine.inputs, ['set', 'timer'])
  })

  it('tells the machine that it slept, before anything else, when wall time outran the clock by 2 s', () => {
    let [clock, wall] = [0, 1_000_000]
    const machine = scripted(() => [])
    const driver = new Driver(machine, { ...ignore, clock: () => clock, wallClock: () => wall })
    const pass = (clockMs: number, wallMs: number): void => {
      clock += clockMs
      wall += wallMs
      driver.input({ type: 'command', command: `${wallMs}` })
    }
    pass(500, 500)
    pass(100, 2_099)
    // Small steps of the wall clock do not add up, nor does one backwards count.
    pass(100, 1_100)
    pass(100, -50_000)
    pass(100, 2_100)
    pass(10, 60_010)
    driver.stop()
    assert.deepEqual(machine.inputs, ['500', '2099', '1100', '-50000', 'resumed', '2100', 'resumed', '60010'])
  })

  it('ends the machine whose own rule does not hold, and says so once', () => {
    const failures: unknown[] = []
    const machine = scripted(() => { throw new Error('broken') })
    const driver = new Driver(machine, { ...ignore, failed: (error) => { failures.push(error) } })
    driver.input({ type: 'command', command: 'a' })
    driver.input({ type: 'command', command: 'b' })
    assert.deepEqual([machine.inputs, failures.length], [['a'], 1])
  })

  it('does nothing after it was stopped, not even the effects that are left', () => {
    const events: string[] = []
    const machine = scripted((): Wanted[] => [{ type: 'event', event: 'one' }, { type: 'event', event: 'two' }])
    const driver: Driver<string, string, string, string> = new Driver(machine, {
      ...ignore,
      event: (event) => {
        events.push(event)
        driver.stop()
      },
    })
    driver.input({ type: 'command', command: 'a' })
    driver.input({ type: 'command', command: 'b' })
    assert.deepEqual([machine.inputs, events], [['a'], ['one']])
  })
})

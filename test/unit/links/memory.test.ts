/** The pair of carriers in memory: order, fullness, pausing, and ends that come after what was sent. */
import assert from 'node:assert/strict'
import type { Carrier } from '../../../node/links/carrier.ts'
import { memoryPair } from '../../../node/links/memory.ts'
import { gate } from './harness.ts'

/** What one side was told. */
interface Told { readonly bytes: Uint8Array[], drains: number, readonly ends: string[], readonly ended: Promise<void> }

function start(carrier: Carrier): Told {
  const { promise, open } = gate()
  const told: Told = { bytes: [], drains: 0, ends: [], ended: promise }
  carrier.start({
    data: (bytes) => { told.bytes.push(bytes) },
    drain: () => { told.drains++ },
    closed: (reason) => {
      told.ends.push(reason)
      open()
    },
  })
  return told
}

const turns = async (count = 5): Promise<void> => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => { setImmediate(resolve) })
}

describe('a pair of carriers in memory', () => {
  it('delivers in order, and never before the sender has returned', async () => {
    const [left, right] = memoryPair()
    const told = start(right)
    start(left)
    for (let i = 0; i < 10; i++) left.send(Uint8Array.of(i))
    assert.equal(told.bytes.length, 0)
    await turns()
    assert.deepEqual(told.bytes.map(([first]) => first), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
  })

  it('is full at 256 KiB, and drains when the other side has read', async () => {
    const [left, right] = memoryPair()
    const [mine, theirs] = [start(left), start(right)]
    right.pause()
    assert.equal(left.send(new Uint8Array(256 * 1024 - 1)), true)
    assert.equal(left.send(new Uint8Array(1)), false)
    await turns()
    assert.deepEqual([mine.drains, theirs.bytes.length], [0, 0])
    right.resume()
    await turns()
    assert.deepEqual([mine.drains, theirs.bytes.length], [1, 2])
  })

  it('keeps what comes before it is started', async () => {
    const [left, right] = memoryPair()
    start(left)
    left.send(Uint8Array.of(1))
    left.close()
    const told = start(right)
    await told.ended
    assert.deepEqual([told.bytes.length, told.ends], [1, ['the other end closed the link']])
  })

  it('ends once at both sides, behind what was sent', async () => {
    const [left, right] = memoryPair()
    const [mine, theirs] = [start(left), start(right)]
    left.send(Uint8Array.of(1))
    left.close()
    left.close()
    left.abort('again')
    await Promise.all([mine.ended, theirs.ended])
    await turns()
    assert.deepEqual([mine.ends, theirs.ends, theirs.bytes.length], [['closed'], ['the other end closed the link'], 1])
    assert.equal(left.send(Uint8Array.of(2)), true)
    await turns()
    assert.equal(theirs.bytes.length, 1)
  })
})

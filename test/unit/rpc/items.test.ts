/** Items put together from frames: whole or refused, within the link's budget, and never at a standstill. */
import assert from 'node:assert/strict'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { ASSEMBLY_BYTES_MAX, ITEM_BYTES_MAX, WINDOW_BYTES_INITIAL } from '../../../protocols/limits.ts'
import { Assembler, ItemQueue } from '../../../protocols/rpc/items.ts'
import { FLAG, frameCost } from '../../../protocols/rpc/messages.ts'
import { filled, text, Wire, words } from './wire.ts'

const NOTHING = new Uint8Array(0)
const PIECE = 32_768

function collectGarbage(): void {
  setFlagsFromString('--expose-gc')
  ;(runInNewContext('gc') as () => void)()
}

/** A queue that counts what it gave back. */
function queue(assembler = new Assembler()): { items: ItemQueue, given: () => number } {
  let cost = 0
  return { items: new ItemQueue(assembler, (bytes) => { cost += bytes }), given: () => cost }
}

describe('a queue of items', () => {
  it('gives items in their order, and their credit back as they are taken', () => {
    const { items, given } = queue()
    for (const item of ['a', 'bb', 'ccc']) assert.equal(items.push(0, text(item)), undefined)
    assert.deepEqual([items.hasItem, given()], [true, 0])
    assert.equal(words(items.shift()!.bytes), 'a')
    assert.equal(given(), 9)
    assert.deepEqual([words(items.shift()!.bytes), words(items.shift()!.bytes)], ['bb', 'ccc'])
    assert.deepEqual([items.shift(), items.hasItem, given()], [undefined, false, 9 + 10 + 11])
  })

  it('joins the pieces of an item, raw or not, and gives all their credit back', () => {
    const { items, given } = queue()
    const whole = filled(100_000)
    for (let at = 0; at < whole.length; at += 40_000) {
      const more = at + 40_000 < whole.length
      assert.equal(items.push(FLAG.RAW | (more ? FLAG.MORE : FLAG.END), whole.subarray(at, at + 40_000)), undefined)
    }
    assert.equal(items.ended, true)
    const item = items.shift()!
    assert.equal(item.raw, true)
    assert.ok(Buffer.from(item.bytes).equals(whole))
    assert.equal(given(), 100_000 + 3 * 8)
  })

  it('tells an empty item of bytes from an end, and an end in the middle of an item is refused', () => {
    const { items } = queue()
    items.push(FLAG.RAW, NOTHING)
    assert.deepEqual([items.hasItem, items.ended], [true, false])
    items.push(FLAG.RAW | FLAG.END, NOTHING)
    assert.deepEqual([items.shift()?.bytes.length, items.shift()?.bytes.length, items.ended], [0, 0, true])
    const other = queue().items
    other.push(FLAG.MORE, text('a'))
    assert.match(other.push(FLAG.END, NOTHING) ?? '', /ended in the middle/)
  })

  it('refuses an item of more than 16 MiB or of more than 16,384 pieces, and the budget is whole again', () => {
    const assembler = new Assembler()
    const big = queue(assembler).items
    const piece = filled(1024 * 1024)
    for (let i = 0; i < ITEM_BYTES_MAX / piece.length; i++) assert.equal(big.push(FLAG.MORE, piece), undefined)
    assert.match(big.push(FLAG.MORE, text('x')) ?? '', /over 16777216 bytes/)
    big.clear()
    assert.equal(assembler.bytes, 0)
    const exact = queue(assembler).items
    for (let i = 1; i < ITEM_BYTES_MAX / piece.length; i++) exact.push(FLAG.MORE, piece)
    assert.equal(exact.push(0, piece), undefined)
    assert.equal(exact.shift()?.bytes.length, ITEM_BYTES_MAX)
    const crumbs = queue(assembler).items
    for (let i = 0; i < 16_384; i++) assert.equal(crumbs.push(FLAG.MORE, text('x')), undefined)
    assert.match(crumbs.push(0, text('x')) ?? '', /16384 pieces/)
    crumbs.clear()
    assert.equal(assembler.bytes, 0)
  })

  it('keeps nothing of what was taken, also when the reader is always one behind', async () => {
    const { items } = queue()
    const taken: WeakRef<Uint8Array>[] = []
    items.push(0, filled(10))
    for (let i = 0; i < 1_000; i++) {
      items.push(0, filled(10, i))
      taken.push(new WeakRef(items.shift()!.bytes))
    }
    assert.equal(items.hasItem, true)
    // References that were looked at live until the next turn of the event loop.
    await new Promise((resolve) => { setImmediate(resolve) })
    collectGarbage()
    const kept = taken.filter((reference) => reference.deref() !== undefined).length
    assert.ok(kept < 10, `${kept} of ${taken.length} taken items are kept`)
    assert.equal(words(items.shift()!.bytes), words(filled(10, 999)))
  })

  it('gives the credit of pieces back only while no whole item waits to be taken', () => {
    const { items, given } = queue()
    items.push(0, text('whole'))
    items.push(FLAG.MORE, filled(PIECE))
    assert.equal(given(), 0)
    items.shift()
    assert.equal(given(), frameCost(5) + frameCost(PIECE))
    items.push(FLAG.MORE, filled(PIECE))
    assert.equal(given(), frameCost(5) + 2 * frameCost(PIECE))
  })
})

describe('the budget of items in pieces', () => {
  it('lets only the oldest go on when it is used up, and the others when there is room', () => {
    const assembler = new Assembler()
    const queues = Array.from({ length: 10 }, () => queue(assembler))
    const piece = filled(1024 * 1024)
    for (const { items } of queues) items.push(FLAG.MORE, piece)
    const cost = frameCost(piece.length)
    assert.deepEqual(queues.map(({ given }) => given() / cost), [1, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    queues[1]!.items.push(FLAG.MORE, piece)
    queues[0]!.items.push(FLAG.MORE, piece)
    assert.deepEqual(queues.map(({ given }) => given() / cost), [2, 1, 1, 1, 1, 1, 1, 1, 0, 0])
    queues[0]!.items.push(0, piece)
    assert.deepEqual(queues.map(({ given }) => given() / cost), [2, 2, 1, 1, 1, 1, 1, 1, 0, 0])
    for (const { items } of queues.slice(1, 4)) items.clear()
    assert.deepEqual(queues.slice(8).map(({ given }) => given() / cost), [1, 1])
    for (const { items } of queues) items.clear()
    assert.equal(assembler.bytes, 0)
  })

  it('is not held up by an item whose reader does not take the one before it', () => {
    const assembler = new Assembler()
    const idle = queue(assembler)
    idle.items.push(0, text('not taken'))
    idle.items.push(FLAG.MORE, filled(PIECE))
    const piece = filled(1024 * 1024)
    const others = Array.from({ length: 9 }, () => queue(assembler))
    for (const { items } of others) items.push(FLAG.MORE, piece)
    assert.ok(assembler.bytes > ASSEMBLY_BYTES_MAX)
    const before = others[0]!.given()
    others[0]!.items.push(FLAG.MORE, piece)
    assert.equal(others[0]!.given() - before, frameCost(piece.length))
    assert.equal(idle.given(), 0)
    others[0]!.items.push(0, piece)
    others[1]!.items.push(FLAG.MORE, piece)
    assert.equal(others[1]!.given(), 2 * frameCost(piece.length))
    idle.items.shift()
    assert.equal(idle.given(), frameCost(9) + frameCost(PIECE))
  })

  it('is given back when an item is abandoned, and what was whole can still be taken', () => {
    const assembler = new Assembler()
    const { items } = queue(assembler)
    items.push(0, text('whole'))
    items.push(FLAG.MORE, filled(1_000))
    items.abandon()
    assert.equal(assembler.bytes, 0)
    assert.equal(words(items.shift()!.bytes), 'whole')
  })

  it('brings 200 items of 1 MiB at once through 8 MiB, whole and without a standstill', () => {
    const wire = new Wire({ latencyMs: 2 })
    const assembler = new Assembler()
    const queues = new Map<number, ItemQueue>()
    const done: number[] = []
    const size = 1024 * 1024
    const sent = filled(size, 3)
    let most = 0
    wire.acceptor.on = (event) => {
      if (event.type !== 'call' && event.type !== 'data') return
      const { callId } = event
      let items = queues.get(callId)
      if (items === undefined) {
        items = new ItemQueue(assembler, (cost) => { wire.acceptor.command({ type: 'consume', callId, cost }) })
        queues.set(callId, items)
      }
      assert.equal(items.push(event.flags, event.payload), undefined)
      most = Math.max(most, assembler.bytes)
      const item = items.shift()
      if (item === undefined) return
      assert.ok(Buffer.from(item.bytes).equals(sent))
      done.push(callId)
      wire.acceptor.data(callId, NOTHING, FLAG.END)
    }
    for (let i = 0; i < 200; i++) wire.dialler.call(sent)
    wire.settle()
    assert.equal(done.length, 200)
    assert.deepEqual([assembler.bytes, wire.dialler.machine.callCount, wire.acceptor.machine.callCount], [0, 0, 0])
    assert.ok(most <= ASSEMBLY_BYTES_MAX + 200 * WINDOW_BYTES_INITIAL + size, `${most}`)
    assert.ok(most > ASSEMBLY_BYTES_MAX, 'the budget was never used up')
  })
})

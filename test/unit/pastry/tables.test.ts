/** Leaf set, routing table and agenda against the plainest model of each. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { placed, ringDistance, sharedPrefix } from '../../../protocols/ids.ts'
import type { OverlayId, Placed } from '../../../protocols/ids.ts'
import { Agenda } from '../../../protocols/pastry/agenda.ts'
import { PASTRY_DEFAULTS } from '../../../protocols/pastry/config.ts'
import { LeafSet } from '../../../protocols/pastry/leaf-set.ts'
import { improves } from '../../../protocols/pastry/next-hop.ts'
import { makePeer, measured, timeoutMs } from '../../../protocols/pastry/peers.ts'
import type { Peer } from '../../../protocols/pastry/peers.ts'
import { RoutingTable } from '../../../protocols/pastry/routing-table.ts'

const id = fc.bigInt(0n, (1n << 128n) - 1n).map((value) => value.toString(16).padStart(32, '0') as OverlayId)
const ids = fc.uniqueArray(id, { minLength: 2, maxLength: 60 })

function peerOf(self: OverlayId, other: OverlayId, rttMs: number): Peer {
  const peer = makePeer(self, { id: other, contact: new Uint8Array(0) })
  peer.rttMs = rttMs
  return peer
}

describe('the leaf set', () => {
  const way = (from: OverlayId, to: OverlayId): bigint => BigInt.asUintN(128, BigInt(`0x${to}`) - BigInt(`0x${from}`))

  it('holds the next eight on each side, whatever comes and goes in which order', () => {
    fc.assert(fc.property(ids, fc.array(fc.nat(), { maxLength: 20 }), ([self, ...others], leaving) => {
      const leaves = new LeafSet<Placed<OverlayId>>(placed(self!), 16)
      for (const other of others) leaves.add(placed(other))
      const left = new Set(others)
      for (const index of leaving) {
        const other = others[index % others.length]!
        if (leaves.remove(other)) left.delete(other)
        // Whoever was pushed out before is offered again, as swaps do.
        for (const one of left) leaves.add(placed(one))
      }
      const clockwise = [...left].sort((a, b) => way(self!, a) < way(self!, b) ? -1 : 1)
      assert.deepEqual(leaves.right.map((leaf) => leaf.id), clockwise.slice(0, 8))
      assert.deepEqual(leaves.left.map((leaf) => leaf.id), clockwise.toReversed().slice(0, 8))
      assert.equal(leaves.members.size, new Set([...leaves.left, ...leaves.right].map((leaf) => leaf.id)).size)
    }))
  })

  it('finds the member nearest to a key, or none where we are nearer', () => {
    fc.assert(fc.property(ids, id, ([self, ...others], key) => {
      const leaves = new LeafSet<Placed<OverlayId>>(placed(self!), 16)
      for (const other of others) leaves.add(placed(other))
      const all = [self!, ...leaves.members.keys()]
      const best = all.reduce((a, b) => ringDistance(key, b) < ringDistance(key, a) ? b : a)
      assert.equal(leaves.nearest(placed(key), () => true)?.id, best === self ? undefined : best)
    }))
  })

  it('is everybody on a small ring, and not when only one side of a large ring is known', () => {
    const at = (digits: string): Placed<OverlayId> => placed(digits.padEnd(32, '0') as OverlayId)
    const small = new LeafSet<Placed<OverlayId>>(at('80'), 16)
    for (const digit of '02468ace') small.add(at(`${digit}5`))
    assert.ok(small.covers(at('f0')))
    const oneSided = new LeafSet<Placed<OverlayId>>(at('80'), 16)
    for (const digit of '123456789') oneSided.add(at(`800${digit}`))
    assert.ok(oneSided.covers(at('8003')))
    assert.equal(oneSided.covers(at('f0')), false)
  })
})

describe('the routing table', () => {
  it('keeps the three nearest of each slot in order, and what it pushes out is free', () => {
    const timed = fc.tuple(id, fc.integer({ min: 1, max: 500 }))
    fc.assert(fc.property(id, fc.uniqueArray(timed, { selector: ([one]) => one, maxLength: 200 }),
      (self, others) => {
        const table = new RoutingTable(3)
        const peers = others.filter(([other]) => other !== self).map(([other, rttMs]) => peerOf(self, other, rttMs))
        for (const peer of peers) table.add(peer)
        for (const peer of peers) {
          const slot = table.slot(sharedPrefix(self, peer.id), peer.column)
          const rivals = peers.filter((one) => one.row === peer.row && one.column === peer.column)
          assert.ok(slot.length === Math.min(3, rivals.length))
          assert.equal(slot[0]!.rttMs, Math.min(...rivals.map((one) => one.rttMs)))
          assert.equal(peer.inTable, slot.includes(peer))
        }
        assert.equal(table.size, peers.filter((peer) => peer.inTable).length)
        for (const peer of peers) table.remove(peer)
        assert.deepEqual([table.size, table.rowCount], [0, 0])
      }))
  })
})

describe('the agenda', () => {
  it('gives back what is due in the order of time, without what was cancelled', () => {
    fc.assert(fc.property(fc.array(fc.tuple(fc.nat(1_000), fc.boolean()), { maxLength: 200 }), (entries) => {
      const agenda = new Agenda<number>()
      const kept: number[] = []
      for (const [atMs, cancelled] of entries) {
        const entry = agenda.add(atMs, atMs)
        if (cancelled) agenda.cancel(entry)
        else kept.push(atMs)
      }
      const taken: number[] = []
      for (let what = agenda.take(500); what !== undefined; what = agenda.take(500)) taken.push(what)
      assert.deepEqual(taken, kept.filter((atMs) => atMs <= 500).sort((a, b) => a - b))
      assert.equal(agenda.nextMs, Math.min(Infinity, ...kept.filter((atMs) => atMs > 500)))
    }))
  })

  it('forgets cancelled entries before they outnumber the others by far', () => {
    const agenda = new Agenda<number>()
    for (let index = 0; index < 10_000; index++) agenda.cancel(agenda.add(index, index))
    assert.ok(agenda.size < 100, `${agenda.size}`)
  })
})

describe('a hop', () => {
  it('that improves never leads back: no two nodes improve on each other', () => {
    fc.assert(fc.property(id, id, id, fc.boolean(), (key, a, b, near) => {
      fc.pre(a !== b)
      const [forth, back] = [
        improves(placed(key), placed(a), placed(b), near), improves(placed(key), placed(b), placed(a), near),
      ]
      assert.ok(!(forth && back))
      assert.ok(!near || forth !== back)
    }))
  })
})

describe('a measured round trip', () => {
  it('is averaged as in RFC 6298, and a first message that had to dial gives only a guess', () => {
    const peer = peerOf('0'.repeat(32) as OverlayId, '1'.repeat(32) as OverlayId, 0)
    measured(peer, 720, false, PASTRY_DEFAULTS)
    assert.ok(peer.isRough && Math.abs(peer.rttMs - 100) < 1)
    peer.linked = true
    measured(peer, 80, true, PASTRY_DEFAULTS)
    assert.deepEqual([peer.isRough, peer.rttMs, peer.deviationMs], [false, 80, 40])
    measured(peer, 160, true, PASTRY_DEFAULTS)
    assert.deepEqual([peer.rttMs, peer.deviationMs], [90, 50])
    assert.equal(timeoutMs(peer, PASTRY_DEFAULTS), 90 + 4 * 50)
  })
})

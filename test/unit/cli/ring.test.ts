/** Tests of `warren ring` and `warren route`: a fixed place on the ring, drawn. */
import assert from 'node:assert/strict'
import { drawRing, leavesInOrder, type DrawnNode, type RingDrawing } from '../../../node/cli/ring-drawing.ts'
import { displayWidth } from '../../../node/cli/table.ts'
import { FAKE_PEER, plain, runFake } from './fake.ts'

const id = (first: string): string => first.padEnd(32, '0')
const node = (first: string): DrawnNode =>
  ({ id: id(first), peerId: `12D3-${first}`, rttMs: first === '8' ? null : 1.5, state: 'ready' })
const slots = (...columns: number[]): DrawnNode[][] =>
  Array.from({ length: 16 }, (_slot, column) => columns.includes(column) ? [node(column.toString(16))] : [])

/** This node at the top, leaves at a quarter, below and at three quarters, one more node in the table. */
const PLACE: RingDrawing = {
  network: 'test', id: id('00'), peerId: FAKE_PEER, state: 'ready', isLeased: true,
  left: [node('c')], right: [node('4'), node('8')], leafSetCountMax: 32,
  rows: [{ row: 0, slots: slots(4, 6) }], links: 3, refused: { flood: 2, falseId: 7 },
}
const draw = (width: number, place = PLACE): string[] =>
  drawRing(place, new Map([[FAKE_PEER, 'laptop']]), width, (_format, text) => text)

describe('cli/ring', () => {
  it('draws this node, its leaves and its table where their ids lie on the ring', () => {
    assert.deepEqual(draw(70).slice(0, 17), [
      '            ······◆······',
      '        ·····           ·····',
      '     ···                     ···',
      '   ···                         ···',
      '  ··                             ··',
      ' ··            laptop             ··',
      '··            00000000             ··',
      '·                                   ·',
      '●            ◆ this node            ●',
      '·            ● leaf                 ·',
      '··           ○ in table            ··',
      ' ··                               ··',
      '  ··                             ··',
      '   ···                         ···',
      '     ···                     ··○',
      '        ·····           ·····',
      '            ······●······',
    ])
  })

  it('puts the facts and the table beside the ring where the terminal is wide enough, and below it where not', () => {
    const beside = draw(80)
    assert.equal(beside.length, 17)
    assert.match(beside[0]!, /◆.* {3}network +test$/)
    assert.match(beside[1]!, /id +00000000…0000$/)
    assert.match(beside[2]!, /state +ready, with both leases$/)
    assert.match(beside[3]!, /leaf set +3 of at most 32$/)
    assert.match(beside[4]!, /table +2 nodes in 1 row$/)
    assert.match(beside[6]!, /refused +falseId 7$/)
    assert.match(beside[9]!, / {7}0 1 2 3 4 5 6 7 8 9 a b c d e f$/)
    assert.match(beside[10]!, / {7}◆ · · · 1 · 1 · · · · · · · · ·$/)
    assert.deepEqual(draw(120), beside)
    assert.ok(beside.every((line) => displayWidth(line) <= 80))
    assert.ok(draw(60).every((line) => displayWidth(line) <= 60))
  })

  it('lists each leaf once, clockwise from the furthest on the left', () => {
    const sides = (place: RingDrawing): string[] =>
      leavesInOrder(place).map(({ side, node: leaf }) => side + leaf.id[0]!)
    assert.deepEqual(sides(PLACE), ['-1c', '+14', '+28'])
    assert.deepEqual(sides({ ...PLACE, left: [node('8'), node('4')] }), ['+14', '+28'])
    assert.deepEqual(sides({ ...PLACE, left: [], right: [] }), [])
  })

  it('draws a node that is alone, and one with more refusals than there is room for', () => {
    const refused = Object.fromEntries(Array.from({ length: 9 }, (_reason, at) => [`reason${at}`, at]))
    const lines = draw(80, { ...PLACE, left: [], right: [], rows: [], isLeased: false, state: 'waiting', refused })
    assert.match(lines.join('\n'), /waiting, without leases/)
    assert.match(lines.join('\n'), /and 5 more, see --json/)
    assert.equal(lines.length, 17)
  })

  it('ring prints the drawing and the leaves with their names, or the place as it is', async () => {
    const handlers = {
      'node.ring': () => PLACE,
      'node.nodes': () => [{ peerId: '12D3-4', name: 'evil\nname' }],
    }
    const { stdout, code } = await runFake(['ring'], { handlers, columns: 80 })
    assert.equal(code, 0)
    assert.match(plain(stdout), /^ {2}\+1 +40000000 +evil\\nname +1\.5 ms +ready +12D3-4$/m)
    assert.ok(plain(stdout).split('\n').every((line) => displayWidth(line) <= 80))
    assert.deepEqual(JSON.parse((await runFake(['ring', '--json'], { handlers })).stdout), PLACE)
  })

  it('ring does without names when nobody says them', async () => {
    const { stdout, code } = await runFake(['ring'], { handlers: { 'node.ring': () => PLACE } })
    assert.equal(code, 0)
    assert.match(stdout, /^ {2}\+1 +40000000 +- +1\.5 ms/m)
  })

  it('route prints the path hop by hop', async () => {
    const answer = {
      key: id('5'), of: 'app:echo', elapsedMs: 3.25, attempts: 1,
      path: [
        { id: id('0'), peerId: FAKE_PEER, rttMs: 1.5 }, { id: id('4'), peerId: '', rttMs: 0 },
        { id: id('51'), peerId: '12D3-5', rttMs: null },
      ],
      owner: { id: id('51'), peerId: '12D3-5', addresses: [] },
    }
    const handlers = {
      'node.route': ({ key }: { key: string }) => ({ ...answer, of: key }),
      'node.nodes': () => [{ peerId: FAKE_PEER, name: 'laptop' }],
    }
    const { stdout, net } = await runFake(['route', 'app:echo'], { handlers })
    assert.deepEqual(net.calls.find(({ method }) => method === 'node.route')?.input, { key: 'app:echo' })
    const lines = stdout.trimEnd().split('\n')
    assert.equal(lines[0], `app:echo is ${id('5')}`)
    assert.match(lines[2]!, /^ +0 +laptop +00000000 +1\.5 ms +this node +12D3KooW/)
    assert.match(lines[3]!, /^ +1 +- +40000000 +< 1 ms +-$/)
    assert.match(lines[4]!, /^ +2 +- +51000000 +owner +12D3-5$/)
    assert.equal(lines[5], '2 hops, answered in 3.3 ms')
    assert.deepEqual(JSON.parse((await runFake(['route', 'app:echo', '--json'], { handlers })).stdout), answer)
  })
})

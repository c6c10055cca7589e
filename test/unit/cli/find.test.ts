/** Tests of how found files are printed. */
import assert from 'node:assert/strict'
import type { FindItem, Hit } from '../../../protocols/search/messages.ts'
import { highlight } from '../../../node/cli/find.ts'
import { displayWidth } from '../../../node/cli/table.ts'
import { FAKE_PEER, plain, runFake } from './fake.ts'

const hit = (change: Partial<Hit> = {}): Hit => ({
  uri: `warren://${FAKE_PEER}/docs/trip.txt`, name: 'trip.txt', host: 'laptop', node: FAKE_PEER,
  path: '/home/ann/docs/trip.txt', size: 1234, modified: '2026-11-03T09:05:00.000Z', score: 2.5,
  snippet: 'a trip to Lisbon by train', matches: [[2, 6], [10, 16]], ...change,
})
const coverage = (change: object = {}): FindItem => ({
  type: 'coverage', asked: 1, answered: [{ node: FAKE_PEER, name: 'laptop', total: 1 }], unreachable: [],
  dropped: 0, ...change,
})
const answering = (...items: FindItem[]) => ({ handlers: { 'search.find': async function* () { yield* items } } })
const found = (change: Partial<Hit> = {}): FindItem => ({ type: 'hit', hit: hit(change) })

describe('cli/find', () => {
  it('under --json a hit is a line, whole', async () => {
    const { code, stdout, stderr } = await runFake(['find', 'trip', '--json'],
      answering(found(), found({ name: 'b' }), coverage()))
    assert.deepEqual([code, stderr], [0, ''])
    assert.deepEqual(stdout.trimEnd().split('\n').map((line) => JSON.parse(line)), [hit(), hit({ name: 'b' })])
  })

  it('in a pipe a hit is a line of six fields that holds no control character of a name', async () => {
    const { stdout } = await runFake(['find', 'trip'], answering(found({ name: 'a\tb\nc' }), coverage()))
    assert.deepEqual(stdout.split('\t'),
      [hit().uri, 'a\\tb\\nc', 'laptop', '1234', hit().modified, `${hit().snippet}\n`])
  })

  it('on a terminal hits are ranked, matches are bold, and the uri is whole', async () => {
    const { stdout } = await runFake(['find', 'trip'],
      { ...answering(found(), found({ snippet: '', matches: [] }), coverage()), columns: 50 })
    assert.ok(stdout.includes('a \u001b[1mtrip\u001b[22m to \u001b[1mLisbon\u001b[22m by train'))
    const lines = plain(stdout).trimEnd().split('\n')
    assert.match(lines[1] ?? '', /^1 {2}trip\.txt {2}laptop {2}1\.2 kB {2}2026-11-0/)
    assert.equal(lines[3], `   ${hit().uri}`)
    assert.match(lines[4] ?? '', /^2 {2}/)
    assert.equal(lines.length, 6)
  })

  it('words are joined, a word with a dash is the query\'s, and options are handed on', async () => {
    const { net } = await runFake(
      ['find', 'three', '-notthis', 'words here', '--limit', '5', '--host', 'attic'], answering(coverage()))
    assert.deepEqual(net.calls[0]?.input, { query: 'three -notthis words here', limit: 5, host: 'attic' })
    assert.deepEqual((await runFake(['find', 'x'], answering(coverage()))).net.calls[0]?.input, { query: 'x' })
  })

  it('an option that is none is refused, though words with a dash pass', async () => {
    const { code, stderr } = await runFake(['find', 'x', '--limt', '5'], answering())
    assert.equal(code, 2)
    assert.match(stderr, /unknown option '--limt'/)
  })

  it('nothing found is said on stderr, is no failure, and is nothing under --json', async () => {
    const { code, stdout, stderr } = await runFake(['find', 'x'], answering(coverage()))
    assert.deepEqual([code, stdout, stderr], [0, '', 'nothing found\n'])
    assert.equal((await runFake(['find', 'x', '--json'], answering(coverage()))).stderr, '')
  })

  it('machines that did not answer are named on stderr in a sentence, and under --json as an object', async () => {
    const unreachable = [{ node: '12D3x', name: 'attic', reason: 'it is off' }]
    const items = [found(), coverage({ asked: 2, unreachable, dropped: 2 })]
    assert.equal((await runFake(['find', 'x'], answering(...items))).stderr,
      '1 of 2 machines answered; missing: attic (it is off)\n2 hits left out: a machine sent what cannot be true\n')
    const nameless = [{ node: '12D3x', name: '', reason: 'cannot reach 12D3x' }]
    const itemsOfNameless = [found(), coverage({ asked: 2, unreachable: nameless })]
    assert.equal((await runFake(['find', 'x'], answering(...itemsOfNameless))).stderr,
      '1 of 2 machines answered; missing: cannot reach 12D3x\n')
    const json = await runFake(['find', 'x', '--json'], answering(...items))
    assert.equal(JSON.parse(json.stderr).coverage.unreachable[0].name, 'attic')
    assert.equal(json.code, 0)
  })

  it('when no machine answered, finding nothing is a failure', async () => {
    const { code, stderr } = await runFake(['find', 'x'], answering(
      coverage({ asked: 1, answered: [], unreachable: [{ node: '12D3x', name: 'attic', reason: 'it is off' }] })))
    assert.equal(code, 1)
    assert.match(stderr, /warren: UNAVAILABLE: none of 1 machine answered: attic \(it is off\)\n$/)
  })

  it('a long snippet is cut to the terminal, and its first match stays in sight', () => {
    const mark = (text: string): string => `[${text}]`
    const snippet = `${'x '.repeat(50)}needle ${'y '.repeat(50)}`
    const line = highlight({ snippet, matches: [[100, 106]] }, 40, mark)
    assert.ok(line.startsWith('…') && line.endsWith('…') && line.includes('[needle]'), line)
    assert.ok(displayWidth(line) <= 40 + 2)
    assert.equal(highlight({ snippet: 'abc', matches: [[0, 1]] }, Infinity, mark), '[a]bc')
  })

  it('matches that cannot be are passed over, and signs that turn the text are escaped', () => {
    const mark = (text: string): string => `[${text}]`
    assert.equal(highlight({ snippet: 'abcdef', matches: [[2, 2], [1, 3], [2, 4], [5, 99], [4, 5]] }, 80, mark),
      'a[bc]d[e]f')
    assert.equal(highlight({ snippet: 'a\u202eb', matches: [[1, 2]] }, 80, mark), 'a[\\u202e]b')
  })
})

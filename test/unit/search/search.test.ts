/** One list from many machines: dead, slow and lying ones among them. */
import assert from 'node:assert/strict'
import { WarrenError } from '../../../protocols/errors.ts'
import type { CallOptions, Host, Net } from '../../../protocols/app.ts'
import {
  SNIPPET_CHARACTERS_MAX, type Coverage, type FindItem, type Hit,
} from '../../../protocols/search/messages.ts'
import { formatFileUri } from '../../../protocols/search/uri.ts'
import search from '../../../search/index.ts'
import { startMachine } from '../indexer/machine.ts'
import { callStream, contextOf, netDouble, netOfNode, PEERS, type Reply } from './net-double.ts'

const hostOf = (node: string, name: string): Host => ({ node, name, local: node === PEERS[0] })
const ATTIC = hostOf(PEERS[0], 'attic')
const KITCHEN = hostOf(PEERS[1], 'kitchen')
const CELLAR = hostOf(PEERS[2], '')

function hitOf(node: string, path: string, score: number, changes: Partial<Hit> = {}): Hit {
  const name = path.slice(path.lastIndexOf('/') + 1)
  return {
    uri: formatFileUri({ node, root: 'docs', path }), name, host: 'says-so', node, path: `/home/docs/${path}`,
    size: 1, modified: '2026-01-02T03:04:05.678Z', score, snippet: 'a word', matches: [[2, 6]], ...changes,
  }
}

/** An overlay of indexers that answer as told, by PeerId. */
function netOf(answers: Record<string, (input: unknown, options: CallOptions) => unknown>, hosts: Host[]): Net {
  const reply: Reply = (input, options) => {
    const answer = answers[options.node ?? '']
    if (answer === undefined) throw new WarrenError('NODE_UNREACHABLE', 'nobody there')
    return answer(input, options)
  }
  return netDouble({ 'indexer.query': reply }, hosts)
}

const answering = (...hits: unknown[]) => () => ({ hits, total: hits.length })

interface Found { readonly hits: Hit[], readonly coverage: Coverage }

async function find(net: Net, input: object, parts: { timeoutMs?: number, signal?: AbortSignal } = {}): Promise<Found> {
  const hits: Hit[] = []
  let coverage: Coverage | undefined
  for await (const item of callStream<FindItem>(search, 'find', input, contextOf({ net, ...parts }))) {
    assert.equal(coverage, undefined, 'nothing comes behind the coverage')
    if (item.type === 'hit') hits.push(item.hit)
    else coverage = item
  }
  assert.ok(coverage)
  return { hits, coverage }
}

describe('the search service', () => {
  it('gives the hits of all machines in one list, best first, equal ones in order of their URIs', async () => {
    const net = netOf({
      [PEERS[0]]: answering(hitOf(PEERS[0], 'b.txt', 3), hitOf(PEERS[0], 'd.txt', 1)),
      [PEERS[1]]: answering(hitOf(PEERS[1], 'a.txt', 3), hitOf(PEERS[1], 'c.txt', 2)),
    }, [KITCHEN, ATTIC])
    const { hits, coverage } = await find(net, { query: 'word' })
    assert.deepEqual(hits.map((hit) => [hit.name, hit.host]),
      [['b.txt', 'attic'], ['a.txt', 'kitchen'], ['c.txt', 'kitchen'], ['d.txt', 'attic']])
    assert.deepEqual(coverage, {
      type: 'coverage', asked: 2, unreachable: [], dropped: 0,
      answered: [{ node: PEERS[1], name: 'kitchen', total: 2 }, { node: PEERS[0], name: 'attic', total: 2 }],
    })
  })

  it('gives no more hits than asked for, 20 by default', async () => {
    const many = (input: unknown) => {
      const { limit } = input as { limit: number }
      return { total: 99, hits: Array.from({ length: limit }, (_, n) => hitOf(PEERS[0], `${n}.txt`, 99 - n)) }
    }
    assert.equal((await find(netOf({ [PEERS[0]]: many }, [ATTIC]), { query: 'word' })).hits.length, 20)
    const { hits } = await find(netOf({
      [PEERS[0]]: many, [PEERS[1]]: answering(hitOf(PEERS[1], 'best.txt', 1_000)),
    }, [ATTIC, KITCHEN]), { query: 'word', limit: 2 })
    assert.deepEqual(hits.map((hit) => hit.name), ['best.txt', '0.txt'])
    for (const limit of [0, 1_001, 1.5]) {
      await assert.rejects(find(netOf({}, [ATTIC]), { query: 'word', limit }), { name: 'SCHEMA' })
    }
  })

  it('finds on the others when a machine is dead, and says which one', async () => {
    const net = netOf({ [PEERS[0]]: answering(hitOf(PEERS[0], 'a.txt', 1)) }, [ATTIC, KITCHEN, CELLAR])
    const { hits, coverage } = await find(net, { query: 'word' })
    assert.equal(hits.length, 1)
    assert.equal(coverage.asked, 3)
    assert.deepEqual(coverage.unreachable, [
      { node: PEERS[1], name: 'kitchen', reason: 'NODE_UNREACHABLE: nobody there' },
      { node: PEERS[2], name: '', reason: 'NODE_UNREACHABLE: nobody there' },
    ])
  })

  it('fails when no machine answers, with every reason', async () => {
    await assert.rejects(find(netOf({}, [ATTIC, CELLAR]), { query: 'word' }), {
      name: 'NODE_UNREACHABLE',
      message: `none of the 2 machines with an indexer answered: attic (NODE_UNREACHABLE: nobody there); ${PEERS[2]} `
        + '(NODE_UNREACHABLE: nobody there)',
    })
    await assert.rejects(find(netOf({}, []), { query: 'word' }), { name: 'APP_NOT_FOUND' })
  })

  it('is not an error when nothing matches', async () => {
    const { hits, coverage } = await find(netOf({ [PEERS[0]]: answering() }, [ATTIC]), { query: 'word' })
    assert.deepEqual([hits.length, coverage.answered.length], [0, 1])
  })

  it('asks nobody when the query makes no sense', async () => {
    let asked = 0
    const net = netOf({ [PEERS[0]]: () => { asked += 1 } }, [ATTIC])
    net.hosts = async () => { asked += 1; return [ATTIC] }
    await assert.rejects(find(net, { query: 'red "green' }), { name: 'BAD_ARGUMENT', details: { at: 4 } })
    await assert.rejects(find(net, { query: 'x'.repeat(10_240) }), { name: 'BAD_ARGUMENT', message: /10240 bytes/ })
    assert.equal(asked, 0)
  })

  it('asks one machine alone, by its name or PeerId', async () => {
    const net = netOf({
      [PEERS[0]]: answering(hitOf(PEERS[0], 'a.txt', 1)), [PEERS[1]]: answering(hitOf(PEERS[1], 'b.txt', 1)),
    }, [ATTIC, KITCHEN])
    for (const host of ['kitchen', PEERS[1]]) {
      const { hits, coverage } = await find(net, { query: 'word', host })
      assert.deepEqual([hits.map((hit) => hit.name), coverage.asked], [['b.txt'], 1])
    }
    await assert.rejects(find(net, { query: 'word', host: 'kitchn' }),
      { name: 'NODE_NOT_FOUND', message: 'no machine "kitchn" with an indexer; there are: attic, kitchen' })
  })

  it('asks all at once and gives each 2 s, or four fifths of the caller\'s own time', async () => {
    const times: unknown[] = []
    let waiting = 0
    const all = Promise.withResolvers<void>()
    const answer = async (_input: unknown, { timeoutMs }: CallOptions) => {
      times.push(timeoutMs)
      waiting += 1
      if (waiting === 2) all.resolve()
      await all.promise
      return { hits: [], total: 0 }
    }
    const net = netOf({ [PEERS[0]]: answer, [PEERS[1]]: answer }, [ATTIC, KITCHEN])
    await find(net, { query: 'word' })
    await find(net, { query: 'word' }, { timeoutMs: 1_000 })
    assert.deepEqual(times, [2_000, 2_000, 800, 800])
  })

  it('ends when the call is given up', async () => {
    const abort = new AbortController()
    const net = netOf({ [PEERS[0]]: async (_input, { signal }) => {
      assert.equal(signal, abort.signal)
      abort.abort(new WarrenError('CANCELLED', 'given up'))
      throw new WarrenError('CANCELLED', 'given up')
    } }, [ATTIC])
    await assert.rejects(find(net, { query: 'word' }, { signal: abort.signal }), { name: 'CANCELLED' })
  })
})

describe('a machine that lies', () => {
  const good = hitOf(PEERS[1], 'good.txt', 1)
  const lies: Record<string, unknown> = {
    'a hit without a URI': { ...good, uri: undefined },
    'no hit at all': 'a hit',
    'null': null,
    'a file of another machine': hitOf(PEERS[0], 'a.txt', 9),
    'a URI of another machine': { ...good, uri: hitOf(PEERS[0], 'good.txt', 9).uri },
    'another node': { ...good, node: PEERS[0] },
    'a URI that is none': { ...good, uri: 'javascript:alert(1)' },
    'a URI in another spelling': { ...good, uri: good.uri.replace('good', '%67ood') },
    'a URI that climbs': { ...good, uri: good.uri.replace('good.txt', '../good.txt') },
    'another name': { ...good, name: 'other.txt' },
    'another path': { ...good, path: '/etc/passwd' },
    'a score that is no number': { ...good, score: Number.NaN },
    'a score without end': { ...good, score: Number.POSITIVE_INFINITY },
    'a score below 0': { ...good, score: -1 },
    'a snippet that is too long': { ...good, snippet: 'x'.repeat(SNIPPET_CHARACTERS_MAX + 1) },
    'a snippet that moves the cursor': { ...good, snippet: 'a \x1b[2J', matches: [] },
    'matches outside the snippet': { ...good, matches: [[2, 99]] },
    'matches that overlap': { ...good, matches: [[0, 3], [2, 4]] },
    'a time that is none': { ...good, modified: 'yesterday' },
    'the same file twice': good,
  }
  for (const [what, lie] of Object.entries(lies)) {
    it(`is not believed ${what}`, async () => {
      const net = netOf({
        [PEERS[0]]: answering(hitOf(PEERS[0], 'own.txt', 2)), [PEERS[1]]: answering(good, lie),
      }, [ATTIC, KITCHEN])
      const { hits, coverage } = await find(net, { query: 'word' })
      assert.deepEqual(hits.map((hit) => hit.name), ['own.txt', 'good.txt'])
      assert.equal(coverage.dropped, 1)
    })
  }

  it('gets no more hits in than it was asked for', async () => {
    const flood = Array.from({ length: 5_000 }, (_, n) => hitOf(PEERS[1], `${n}.txt`, 9))
    const net = netOf({ [PEERS[1]]: answering(...flood) }, [KITCHEN])
    const { hits, coverage } = await find(net, { query: 'a', limit: 3 })
    assert.deepEqual([hits.length, coverage.dropped], [3, 4_997])
  })

  it('counts as not reached when its reply is no reply', async () => {
    for (const reply of [undefined, null, 7, [], { hits: {} }, { hits: [], total: -1 }, { hits: [] }]) {
      const net = netOf({ [PEERS[0]]: answering(), [PEERS[1]]: () => reply }, [ATTIC, KITCHEN])
      const { coverage } = await find(net, { query: 'word' })
      const [kitchen] = coverage.unreachable
      assert.deepEqual([kitchen?.name, kitchen?.reason.slice(0, 9)], ['kitchen', 'PROTOCOL:'])
    }
  })

  it('cannot give itself another\'s name', async () => {
    const net = netOf({
      [PEERS[1]]: answering({ ...good, host: 'attic' }),
      [PEERS[2]]: answering(hitOf(PEERS[2], 'x.txt', 0.5, { host: '\x1b[2J' })),
    }, [KITCHEN, CELLAR])
    const { hits } = await find(net, { query: 'word' })
    assert.deepEqual(hits.map((hit) => hit.host), ['kitchen', ''])
  })
})

describe('search over real indexers', () => {
  it('finds on two machines what the query names, and the URI leads to the bytes', async () => {
    const attic = await startMachine(netOfNode(PEERS[0], 'attic'))
    const kitchen = await startMachine(netOfNode(PEERS[1], 'kitchen'))
    try {
      await attic.write({ 'notes/soup.txt': 'three words here: leek and potato' })
      await kitchen.write({ 'Leek & potato.txt': 'peel, chop, boil', 'other.txt': 'leek only' })
      for (const machine of [attic, kitchen]) {
        await machine.add()
        await machine.idle()
      }
      const net = netOf({
        [PEERS[0]]: (input) => attic.call('query', input), [PEERS[1]]: (input) => kitchen.call('query', input),
      }, [ATTIC, KITCHEN])
      const { hits, coverage } = await find(net, { query: 'leek potato' })
      assert.deepEqual(hits.map((hit) => hit.name).sort(), ['Leek & potato.txt', 'soup.txt'])
      assert.equal(coverage.dropped, 0)
      const soup = hits.find((hit) => hit.host === 'attic')
      const chunks: Uint8Array[] = []
      for await (const chunk of attic.stream('read', { uri: soup?.uri })) chunks.push(chunk)
      assert.equal(Buffer.concat(chunks).toString(), 'three words here: leek and potato')
      assert.deepEqual(soup?.matches.map(([from, to]) => soup.snippet.slice(from, to)), ['leek', 'potato'])
    } finally {
      await attic.stop()
      await kitchen.stop()
    }
  })
})

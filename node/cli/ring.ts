/** `warren ring` and `warren route`: what is asked of the node, and what is said around the drawing. */
import { formatDuration, plural, visible } from './format.ts'
import { drawRing, leavesInOrder, type RingDrawing } from './ring-drawing.ts'
import type { Connection, Session } from './session.ts'
import { list, type NodeEntry } from './status.ts'
import { renderTable } from './table.ts'

/** How long a drawing waits for names. */
const NAMES_MS = 1_000

/** The answer of `node.route`. */
export interface RouteAnswer {
  readonly key: string
  readonly of: string
  readonly path: readonly { readonly id: string, readonly peerId: string, readonly rttMs: number | null }[]
  readonly owner: { readonly id: string, readonly peerId: string, readonly addresses: readonly string[] }
  readonly elapsedMs: number
  readonly attempts: number
}

/** Draws this node's place on the ring; under `--json` the place as one object. */
export async function ring(session: Session): Promise<void> {
  const { place, names } = await session.withNode(async (net) => ({
    place: await net.call<RingDrawing>('node.ring', {}, { signal: session.signal }),
    names: session.json ? new Map<string, string>() : await namesOf(net, session.signal),
  }))
  if (session.json) return session.print(JSON.stringify(place))
  const width = Math.min(session.width, 120)
  const drawing = drawRing(place, names, width, (format, text) => session.style(format, text))
  const rows = leavesInOrder(place).map(({ side, node }) => [
    side, node.id.slice(0, 8), visible(names.get(node.peerId) || '-'),
    node.rttMs === null ? '-' : formatDuration(node.rttMs), node.state, visible(node.peerId),
  ])
  const table = rows.length === 0 ? [] : ['', ...renderTable([
    { title: 'leaf', align: 'right' }, { title: 'id', style: (cell) => session.style('bold', cell) },
    { title: 'node', shrinks: true }, { title: 'rtt', align: 'right' }, { title: 'state' },
    { title: 'peer id', shrinks: true },
  ], rows, { width, titleStyle: (title) => session.style('dim', title) })]
  await session.write(`${[...drawing, ...table].join('\n')}\n`)
}

/** Shows the way to the owner of a key; under `--json` as one object. */
export async function route(session: Session, key: string): Promise<void> {
  const { answer, names } = await session.withNode(async (net) => ({
    answer: await net.call<RouteAnswer>('node.route', { key }, { signal: session.signal }),
    names: session.json ? new Map<string, string>() : await namesOf(net, session.signal),
  }))
  if (session.json) return session.print(JSON.stringify(answer))
  const last = answer.path.length - 1
  const rows = answer.path.map(({ id, peerId, rttMs }, at) => [
    String(at), visible(names.get(peerId) || '-'), id.slice(0, 8),
    at === last ? '' : rttMs === null ? '-' : rttMs < 1 ? '< 1 ms' : formatDuration(rttMs),
    [at === 0 ? 'this node' : '', at === last ? 'owner' : ''].filter((word) => word !== '').join(', '),
    visible(peerId || '-'),
  ])
  if (answer.of !== answer.key) await session.print(`${visible(answer.of)} is ${answer.key}`)
  await list(session, answer.path, [
    { title: 'hop', align: 'right' }, { title: 'node', style: (cell) => session.style('bold', cell), shrinks: true },
    { title: 'id' }, { title: 'rtt to next', align: 'right' }, { title: '' }, { title: 'peer id', shrinks: true },
  ], rows)
  const again = answer.attempts > 1 ? `, ${answer.attempts} attempts` : ''
  await session.print(session.style('dim',
    `${plural(last, 'hop')}, answered in ${formatDuration(answer.elapsedMs)}${again}`))
}

/** Names by PeerId, as far as the nodes say them in time; a drawing without names is better than none. */
async function namesOf(net: Connection, signal: AbortSignal): Promise<Map<string, string>> {
  try {
    const nodes = await net.call<NodeEntry[]>('node.nodes', {}, { signal, timeoutMs: NAMES_MS })
    return new Map(nodes.map(({ peerId, name }) => [peerId, name]))
  } catch {
    return new Map()
  }
}

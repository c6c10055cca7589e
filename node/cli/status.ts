/** `warren status`, `nodes` and `apps`: what the built-in app `node` knows. */
import type { Column } from './table.ts'
import { renderPairs, renderTable } from './table.ts'
import { formatBytes, formatDuration, formatTime, plural, visible } from './format.ts'
import type { Session } from './session.ts'

/** The answer of `node.status`. */
export interface NodeStatus {
  readonly peerId: string
  readonly name: string
  readonly version: string
  readonly home: string
  readonly pid: number
  /** ISO 8601. */
  readonly startedAt: string
  readonly uptimeMs: number
  readonly addresses: readonly string[]
  readonly socket: string
  readonly peers: number
  readonly apps: number
  readonly callsInFlight: number
  readonly memoryBytes: number
}

/** An entry of `node.nodes`. */
export interface NodeEntry {
  readonly peerId: string
  readonly name: string
  readonly local: boolean
  readonly addresses: readonly string[]
  /** `null` while it was not measured. */
  readonly rttMs: number | null
  readonly apps: readonly string[]
  readonly state: string
}

/** An entry of `node.apps`. */
export interface AppListing {
  readonly app: string
  readonly node: string
  readonly nodeName: string
  readonly local: boolean
  readonly pid?: number | null
  readonly since?: string | number
  readonly methods: readonly { readonly name: string, readonly kind: string }[]
  readonly device?: { readonly name: string, readonly kind: string } | null
}

/** Prints how the node is doing; under `--json` the status as one object. */
export async function status(session: Session): Promise<void> {
  const node = await session.withNode((net) =>
    net.call<NodeStatus>('node.status', {}, { signal: session.signal }))
  if (session.json) return session.print(JSON.stringify(node))
  const lines = renderPairs([
    ['node', `${session.style('bold', visible(node.name))} (${visible(node.peerId)})`],
    ['version', `${visible(node.version)}, process ${node.pid}`],
    ['up', `${formatDuration(node.uptimeMs)}, since ${formatTime(node.startedAt)}`],
    ...node.addresses.map((address, at) => [at === 0 ? 'listens on' : '', visible(address)] as const),
    ['socket', visible(node.socket)],
    ['home', visible(node.home)],
    ['now', `${plural(node.peers, 'peer')}, ${plural(node.apps, 'app')}, `
      + `${plural(node.callsInFlight, 'call')} in flight, ${formatBytes(node.memoryBytes)} of memory`],
  ], (label) => session.style('dim', label))
  await session.write(`${lines.join('\n')}\n`)
}

/** Lists this node and those it is connected to; under `--json` one object a line. */
export async function nodes(session: Session): Promise<void> {
  const all = await session.withNode((net) =>
    net.call<NodeEntry[]>('node.nodes', {}, { signal: session.signal }))
  const rows = all.map((node) => [
    visible(node.name || '-'), visible(node.state), node.local ? 'here'
      : node.rttMs === null ? '-' : formatDuration(node.rttMs),
    visible(node.apps.join(' ') || '-'), visible(node.peerId),
    ...(session.isTerminal ? [] : [visible(node.addresses.join(' '))]),
  ])
  await list(session, all, [
    { title: 'name', style: (cell) => session.style('bold', cell) },
    { title: 'state', style: (cell) => session.style(cell === 'up' ? 'green' : 'red', cell) },
    { title: 'rtt', align: 'right' },
    { title: 'apps', shrinks: true },
    { title: 'peer id' },
    // A terminal has no room for them beside the whole peer id, which they repeat.
    ...(session.isTerminal ? [] : [{ title: 'addresses' }]),
  ], rows)
}

/** Lists the apps of all machines, or of this one; under `--json` one object a line. */
export async function apps(session: Session, flags: { readonly local?: boolean }): Promise<void> {
  const all = await session.withNode((net) =>
    net.call<AppListing[]>('node.apps', { all: flags.local !== true }, { signal: session.signal }))
  const rows = all.map((app) => [
    visible(app.app), visible(app.nodeName || app.node) + (app.local ? ' (here)' : ''),
    visible(app.methods.map(({ name, kind }) => kind === 'stream' ? `${name}…` : name).join(' ') || '-'),
    app.device ? visible(`${app.device.name} (${app.device.kind})`) : '-',
    app.since === undefined ? '-' : formatTime(app.since),
  ])
  await list(session, all, [
    { title: 'app', style: (cell) => session.style('bold', cell) },
    { title: 'node' },
    { title: 'methods', shrinks: true },
    { title: 'device' },
    { title: 'since' },
  ], rows)
}

/** Prints a list: a table for people, one object a line for programs. */
export async function list(
  session: Session, values: readonly unknown[], columns: readonly Column[], rows: readonly (readonly string[])[],
): Promise<void> {
  const lines = session.json ? values.map((value) => JSON.stringify(value))
    : renderTable(columns, rows, { width: session.width, titleStyle: (title) => session.style('dim', title) })
  if (lines.length > 0) await session.write(`${lines.join('\n')}\n`)
}

/** `warren index …`: which folders of this machine can be searched, and how far that is. */
import type { RootStatus, RootSummary } from '../../protocols/search/messages.ts'
import type { Connection, Session } from './session.ts'
import type { NodeStatus } from './status.ts'
import { formatBytes, formatTime, plural, visible } from './format.ts'
import { list } from './status.ts'

/** Walking a large disk takes its time, and Ctrl-C ends the wait. */
const SCAN_TIMEOUT_MS = 3_600_000

/** Calls this machine's own indexer: without its node's id the call would go to another's if this one is off. */
async function callIndexer<T>(session: Session, method: string, input: object, timeoutMs?: number): Promise<T> {
  return session.withNode(async (net: Connection) => {
    const { peerId } = await net.call<NodeStatus>('node.status', {}, { signal: session.signal })
    return net.call<T>(`indexer.${method}`, input, {
      node: peerId, signal: session.signal, ...(timeoutMs === undefined ? {} : { timeoutMs }),
    })
  })
}

/**
 * Makes a folder searchable; its contents follow in the background.
 * @param path absolute.
 */
export async function addRoot(session: Session, path: string, name?: string): Promise<void> {
  const added = await callIndexer<RootSummary>(session, 'add',
    { path, ...(name === undefined ? {} : { name }) }, SCAN_TIMEOUT_MS)
  await session.print(session.json ? JSON.stringify(added) : `${summary(added)} can be found by name`)
}

/** Forgets a folder. */
export async function removeRoot(session: Session, root: string): Promise<void> {
  const removed = await callIndexer<RootSummary>(session, 'remove', { root })
  await session.print(session.json ? JSON.stringify(removed)
    : `${visible(root)} is forgotten; the files in ${visible(removed.path)} stay as they are`)
}

/** Looks for changes in one folder or in all. */
export async function rescanRoots(session: Session, root: string | undefined): Promise<void> {
  const scanned = await callIndexer<readonly RootSummary[]>(session, 'rescan',
    root === undefined ? {} : { root }, SCAN_TIMEOUT_MS)
  for (const each of scanned) {
    await session.print(session.json ? JSON.stringify(each) : summary(each))
  }
}

function summary({ root, path, files, bytes }: RootSummary): string {
  return `${visible(root)}: ${plural(files, 'file')} (${formatBytes(bytes)}) in ${visible(path)}`
}

/** Lists the folders. */
export async function listRoots(session: Session): Promise<void> {
  const roots = await callIndexer<readonly RootSummary[]>(session, 'roots', {})
  await list(session, roots, [
    { title: 'root', style: (cell) => session.style('bold', cell) },
    { title: 'files', align: 'right' },
    { title: 'size', align: 'right' },
    { title: 'path', shrinks: true },
  ], roots.map(({ root, files, bytes, path }) => [visible(root), String(files), formatBytes(bytes), visible(path)]))
  if (roots.length === 0 && session.isTerminal) session.note('no folder yet; add one with: warren index add <folder>')
}

/** Shows how far the indexing is; files that could not be read are named on stderr. */
export async function indexStatus(session: Session): Promise<void> {
  const roots = await callIndexer<readonly RootStatus[]>(session, 'status', {})
  await list(session, roots, [
    { title: 'root', style: (cell) => session.style('bold', cell) },
    { title: 'state', style: (cell) => session.style(cell === 'missing' ? 'red' : 'green', cell) },
    { title: 'files', align: 'right' },
    { title: 'size', align: 'right' },
    { title: 'read', align: 'right' },
    { title: 'to read', align: 'right' },
    { title: 'unreadable', align: 'right' },
    { title: 'scanned' },
    { title: 'path', shrinks: true },
  ], roots.map((root) => [
    visible(root.root), visible(root.state), String(root.files), formatBytes(root.bytes), String(root.contents),
    String(root.pending), String(root.unreadable.count), root.scanned === null ? '-' : formatTime(root.scanned),
    visible(root.path),
  ]))
  if (session.json) return
  for (const { root, unreadable } of roots) {
    for (const { path, reason } of unreadable.first) session.note(`unreadable: ${root}/${path}: ${reason}`)
  }
}

/** `warren up`: one node, from its configuration until somebody stops it. */
import { pathToFileURL } from 'node:url'
import { WarrenError } from '../../protocols/errors.ts'
import { loadConfig, type Config } from '../config.ts'
import { prepareHome, type Environment, type Home } from '../home.ts'
import { asUsage } from './failure.ts'
import { formatDuration } from './format.ts'
import { openLog } from './log.ts'
import { renderPairs } from './table.ts'
import type { AppEntry, RunningNode, Session } from './session.ts'

/** What `warren up` was told. */
export interface UpFlags {
  readonly join?: string[]
  readonly listen?: string[]
  readonly name?: string
  readonly logLevel?: string
}

/**
 * Starts the node, says so, and waits until it has stopped: by a signal, or because a client asked it to.
 * The exit code is 0 in either case.
 */
export async function up(session: Session, flags: UpFlags): Promise<void> {
  const { signal } = session
  const home = await session.home()
  const config = asUsage(() => loadConfig(home, flags))
  const apps = allApps(session.context.defaultApps, config, home)
  prepareHome(home)
  const log = await openLog(session.io.stderr, home.logsFolder, config.log.level)
  try {
    const createNode = session.context.createNode ?? (await import('../node.ts')).createNode
    const node = await createNode({ home, config, apps, logger: log.logger })
    try {
      await announce(session, home, node)
      await until(node.stopped, signal)
    } finally {
      if (signal.aborted && session.isTerminal) session.note('stopping; Ctrl-C once more ends it at once')
      await node.stop(signal.aborted ? 'it was interrupted' : 'it is done')
    }
  } finally {
    log.close()
  }
}

function allApps(defaults: readonly AppEntry[], config: Config, home: Home): AppEntry[] {
  const extras = Object.entries(config.apps).map(([name, { path }]) => ({ name, path: pathToFileURL(path) }))
  for (const { name } of extras) {
    if (!defaults.some((app) => app.name === name)) continue
    throw new WarrenError('BAD_CONFIG', `${home.configFile}: apps.${name} is taken by an app that every node starts`,
      { started: false })
  }
  return [...defaults, ...extras]
}

async function announce(session: Session, home: Home, node: RunningNode): Promise<void> {
  const { peerId, socket, milliseconds } = node
  const addresses = node.addresses.map((address) =>
    /\/p2p\/[^/]+$/.test(address) ? address : `${address}/p2p/${peerId}`)
  if (session.json) {
    return session.print(JSON.stringify({ event: 'ready', peerId, socket, addresses, milliseconds }))
  }
  const dim = (label: string): string => `  ${session.style('dim', label)}`
  const lines = [
    `${session.style('bold', `warren is up: ${node.name}`)}, ready in ${formatDuration(milliseconds)}`,
    ...renderPairs([
      ['peer id', peerId],
      ...addresses.map((address) => ['join it at', address] as const),
      ['socket', socket],
      ['home', home.folder],
    ], dim),
    `open a second terminal here and type: ${session.style('bold', statusCommand(session.io.env, home))}`,
  ]
  await session.write(`${lines.join('\n')}\n`)
}

/** How this very node is reached from a second terminal in this folder. */
function statusCommand(env: Environment, home: Home): string {
  const fromRepository = env['npm_package_name'] === 'warren'
    && ['start', 'warren'].includes(env['npm_lifecycle_event'] ?? '')
  const command = fromRepository ? 'npm run -s warren -- status' : 'warren status'
  return home.isDefault ? command : `WARREN_HOME=${quoted(home.folder)} ${command}`
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll('\'', `'\\''`)}'`
}

/** Settled with the promise, or when the signal fires. */
function until(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (): void => { resolve() }
    if (signal.aborted) return done()
    signal.addEventListener('abort', done, { once: true })
    promise.then(done, reject).finally(() => { signal.removeEventListener('abort', done) })
  })
}

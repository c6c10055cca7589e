/** Entry of an app's process: loads the file, serves its app on the local node, and ends with it. */
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { App, ServiceContext } from '../../protocols/app.ts'
import { WarrenError } from '../../protocols/errors.ts'
import { connect, lineLog, type Connection } from '../connection.ts'
import { appFolder, resolveHome } from '../home.ts'

/** Time that calls in flight and `main` get when the process is asked to stop. */
const STOP_GRACE_MS = 2_000

/** Loads the app that `url` default-exports. */
async function load(url: string): Promise<App> {
  const file = fileURLToPath(url)
  let found: unknown
  try {
    found = ((await import(url)) as { default?: unknown }).default
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new WarrenError('BAD_ARGUMENT', `${file} cannot be loaded: ${why}`, { cause })
  }
  const app = found as App | undefined
  if (typeof app?.name === 'string' && typeof app.methods === 'object') return app
  throw new WarrenError('BAD_ARGUMENT',
    `${file} has no app: end it with  export default defineApp('name', { … })`)
}

/** Settles at the first of SIGINT and SIGTERM, when the node asks, or when the link is lost. */
function askedToStop(connection: Connection): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGINT', () => resolve())
    process.once('SIGTERM', () => resolve())
    void connection.leaving.then(resolve)
    void connection.closed.then(resolve)
  })
}

async function run(url: string): Promise<void> {
  const app = await load(url)
  const home = resolveHome(process.env)
  const connection = await connect()
  const served = await connection.serve(app)
  if (process.stdout.isTTY || process.env['WARREN_RUN'] !== undefined) {
    const methods = Object.keys(app.methods).join(', ')
    process.stdout.write(`${app.name}: serving ${methods} on node ${served.node}\n`)
  }
  const stop = new AbortController()
  const stopped = new Promise<void>((resolve) => {
    stop.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  const main = startMain(app, { stopped, signal: stop.signal, net: connection, folder: appFolder(home, app.name) })
  await Promise.race([askedToStop(connection), main])
  stop.abort(new WarrenError('CANCELLED', `app '${app.name}' is stopping`))
  const deadline = delay(STOP_GRACE_MS, undefined, { ref: false })
  // A node that has gone already needs no goodbye.
  const goodbye = served.stop().catch(() => {})
  await Promise.race([Promise.all([goodbye, main]), deadline])
  await Promise.race([connection.close(STOP_GRACE_MS), deadline])
}

/** Runs `main` if there is one; settles when it ends, and never for an app without one. */
async function startMain(app: App, context: Omit<ServiceContext, 'log'>): Promise<void> {
  if (app.main === undefined) return await context.stopped
  await app.main({ ...context, log: lineLog(app.name) })
}

run(process.argv[2] ?? '').then(
  () => process.exit(0),
  (thrown: unknown) => {
    const code = thrown instanceof WarrenError ? thrown.code : 'INTERNAL'
    process.stderr.write(`warren: ${code}: ${thrown instanceof Error ? thrown.message : String(thrown)}\n`)
    process.exit(1)
  },
)

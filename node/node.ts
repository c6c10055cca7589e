/** One node's life: its parts are started in order and stopped in reverse. */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Log } from '../protocols/app.ts'
import { WarrenError } from '../protocols/errors.ts'
import { GRACE_MS } from '../protocols/limits.ts'
import { AppTable } from './apps/app-table.ts'
import { LocalProcesses } from './apps/processes.ts'
import { Supervisor } from './apps/supervisor.ts'
import type { Logger } from 'pino'
import type { NodeOptions, RunningNode } from './cli/session.ts'
import { nowMs } from './clock.ts'
import type { Config } from './config.ts'
import { prepareHome, prepareSocketFolder, type Home } from './home.ts'
import { LinkNet } from './links/net.ts'
import { acceptSocket } from './links/socket.ts'
import { lockHome, type HomeLock } from './lock.ts'
import { Directory } from './overlay/directory.ts'
import { createHost, type OverlayHost } from './overlay/host.ts'
import { Neighbours } from './overlay/neighbours.ts'
import { PeerLinks } from './overlay/peer-links.ts'
import { Router } from './router.ts'
import { createView } from './view.ts'

/** An app log on top of pino. */
export function logOf(logger: Logger): Log {
  type Level = 'debug' | 'info' | 'warn' | 'error'
  const write = (level: Level) => (event: string, fields: Record<string, unknown> = {}): void => {
    logger[level](fields, event)
  }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/**
 * Starts a node; it is ready when calls over its socket work, and does not wait for its apps or the overlay.
 * @throws {WarrenError} `HOME_IN_USE`, `DENIED` for an unsafe socket folder, `NODE_UNREACHABLE` for an address
 * that cannot be listened on.
 */
export async function createNode(options: NodeOptions): Promise<RunningNode> {
  const startedMs = nowMs()
  prepareHome(options.home)
  prepareSocketFolder(options.home)
  const node = new WarrenNode(options, lockHome(options.home))
  try {
    await node.start(startedMs)
    return node
  } catch (thrown) {
    await node.stop('it could not start', 0)
    throw thrown
  }
}

class WarrenNode implements RunningNode {
  readonly #options: NodeOptions
  readonly #lock: HomeLock
  readonly #epoch = randomUUID()
  readonly #apps = new AppTable()
  readonly #log: Log
  #host!: OverlayHost
  // The rest is stopped after a start that failed, too, and some of it may not be there then.
  #peers: PeerLinks | undefined
  #directory: Directory | undefined
  #neighbours: Neighbours | undefined
  #processes: LocalProcesses | undefined
  #supervisor: Supervisor | undefined
  #server: Server | undefined
  readonly #connections = new Set<Socket>()
  #stopping: Promise<void> | undefined
  #settleStopped!: () => void
  readonly stopped = new Promise<void>((resolve) => { this.#settleStopped = resolve })
  milliseconds = 0

  constructor(options: NodeOptions, lock: HomeLock) {
    this.#options = options
    this.#lock = lock
    this.#log = logOf(options.logger)
  }

  get peerId(): string { return this.#host.peerId.toString() }
  get name(): string { return this.#options.config.name }
  get socket(): string { return this.#options.home.socket }
  get addresses(): string[] { return this.#host.getMultiaddrs().map(String) }

  async start(startedMs: number): Promise<void> {
    const { home, config, apps, logger } = this.#options
    const host = await openHost(home, config)
    this.#host = host
    const self = host.peerId.toString()
    const peers = new PeerLinks(host, this.#epoch, (incoming, node) => router.route(incoming, { node, local: false }))
    const directory = new Directory(host, logOf(logger.child({ name: 'directory' })))
    const router: Router = new Router({
      self, apps: this.#apps, peers, directory,
      resolveNode: (name, signal) => neighbours.resolve(name, signal),
      knownApps: async (signal) => [
        ...this.#apps.list().map(({ name }) => name),
        ...(await neighbours.ask(signal)).flatMap((neighbour) => neighbour.apps),
      ],
    })
    const processes = new LocalProcesses(self, this.#epoch, this.#apps, router)
    const net = new LinkNet(processes.internalLink())
    const neighbours: Neighbours = new Neighbours(host, net, { peerId: self, name: config.name }, this.#log)
    this.#peers = peers
    this.#directory = directory
    this.#processes = processes
    this.#neighbours = neighbours
    this.#watchApps(directory)
    const view = createView({
      home, config, host, apps: this.#apps, peers, directory, neighbours, processes, startedAtMs: Date.now(),
      stop: (graceMs) => { void this.stop('it was asked to', graceMs) },
    })
    processes.serveNodeApp(view, net, home, (app) => logOf(logger.child({ name: app })))
    await peers.start()
    await this.#listen(host, config)
    await this.#openSocket(processes)
    this.#supervisor = new Supervisor(home, logger, this.#apps)
    for (const app of apps) this.#supervisor.start(app)
    for (const address of config.join) neighbours.join(address)
    this.milliseconds = Math.round(nowMs() - startedMs)
    this.#log.info('ready', { peerId: self, addresses: this.addresses, milliseconds: this.milliseconds })
  }

  #watchApps(directory: Directory): void {
    this.#apps.watch({
      added: ({ name }) => {
        if (name !== 'node') directory.publish(name)
        this.#log.info('app-added', { app: name })
      },
      removed: ({ name }) => {
        directory.withdraw(name)
        this.#log.info('app-removed', { app: name })
      },
    })
  }

  async #listen(host: OverlayHost, config: Config): Promise<void> {
    try {
      await host.start()
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new WarrenError('NODE_UNREACHABLE', `cannot listen on ${config.listen.join(', ')}: ${why}`, { cause })
    }
    keepPort(this.#options.home, this.addresses)
  }

  /** Takes no more connections; settles when those that there are have ended. */
  #closeServer(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#server === undefined) resolve()
      else this.#server.close(() => resolve())
    })
  }

  async #openSocket(processes: LocalProcesses): Promise<void> {
    const { socket, socketFile } = this.#options.home
    // The lock is ours, so whatever lies there was left by a node that ended without a word.
    rmSync(socket, { force: true })
    const server = createServer((connection: Socket) => {
      this.#connections.add(connection)
      connection.once('close', () => this.#connections.delete(connection))
      void acceptSocket(connection).then((accepted) => {
        if (accepted === undefined) return
        if (this.#stopping !== undefined) accepted.carrier.close()
        else processes.attach(accepted.carrier, accepted.codec)
      })
    })
    this.#server = server
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(socket, resolve)
    })
    await chmod(socket, 0o600)
    writeFileSync(socketFile, socket, { mode: 0o600 })
  }

  stop(reason = 'it is done', graceMs = GRACE_MS): Promise<void> {
    this.#stopping ??= this.#stop(reason, graceMs).finally(() => {
      this.#lock.release()
      this.#settleStopped()
    })
    return this.#stopping
  }

  async #stop(reason: string, graceMs: number): Promise<void> {
    this.#log.info('stopping', { reason })
    // The answer to whoever asked for it leaves first.
    await new Promise<void>((resolve) => { setImmediate(resolve) })
    this.#neighbours?.stop()
    const closed = this.#closeServer()
    await this.#supervisor?.stop(graceMs)
    this.#directory?.stop()
    await Promise.all([this.#peers?.stop(graceMs), this.#processes?.stop(graceMs)])
    // Some never became links: they sent nothing, or were refused and hold on.
    for (const connection of this.#connections) connection.destroy()
    await closed
    await (this.#host as OverlayHost | undefined)?.stop()
    for (const path of [this.#options.home.socket, this.#options.home.socketFile]) rmSync(path, { force: true })
    this.#log.info('stopped', { reason })
  }
}

/** The host, listening where it did before when the configuration leaves the port open. */
async function openHost(home: Home, config: Config): Promise<OverlayHost> {
  mkdirSync(home.dataFolder, { recursive: true, mode: 0o700 })
  const kept = await keptPort(home)
  const listen = config.listen.map((address) => kept === undefined ? address
    : address.replace(/\/tcp\/0$/, `/tcp/${kept}`))
  return await createHost({ dataFolder: home.dataFolder, listen, join: config.join, mdns: config.mdns })
}

const portFile = (home: Home): string => join(home.dataFolder, 'port')

/** The port of the last run if it is free, so that addresses that others keep stay true. */
async function keptPort(home: Home): Promise<number | undefined> {
  let port: number
  try {
    port = Number.parseInt(readFileSync(portFile(home), 'latin1'), 10)
  } catch {
    return undefined // The first run.
  }
  if (!(port > 0 && port < 65_536)) return undefined
  return await new Promise((resolve) => {
    const probe = createServer()
    probe.once('error', () => resolve(undefined))
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(port)))
  })
}

function keepPort(home: Home, addresses: readonly string[]): void {
  const port = /\/tcp\/(\d+)/.exec(addresses[0] ?? '')?.[1]
  if (port !== undefined) writeFileSync(portFile(home), port, { mode: 0o600 })
}

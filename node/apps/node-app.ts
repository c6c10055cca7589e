/** The built-in app `node`: what the CLI, app processes and other nodes ask of this one. */
import { z } from 'zod'
import { defineApp, method, type Caller, type Context, type Host } from '../../protocols/app.ts'
import { WarrenError } from '../../protocols/errors.ts'
import { GRACE_MS, GRACE_MS_MAX } from '../../protocols/limits.ts'
import { isName } from '../../protocols/names.ts'
import type { Link } from '../links/link.ts'
import type { PathInfo } from '../overlay/pastry-path.ts'
import type { RingInfo } from '../overlay/pastry-ring.ts'
import { registrationSchema, type MethodInfo, type Registration } from './registration.ts'

/** The answer of `node.status`. */
export interface NodeStatus {
  peerId: string
  name: string
  version: string
  home: string
  pid: number
  startedAt: string
  uptimeMs: number
  addresses: string[]
  socket: string
  peers: number
  apps: number
  callsInFlight: number
  memoryBytes: number
}

/** One peer of `node.peers`. */
export interface PeerInfo { peerId: string, addresses: string[], rttMs: number | null, direction: string }

/** One machine of `node.nodes`. */
export interface NodeInfo {
  peerId: string
  name: string
  local: boolean
  addresses: string[]
  rttMs: number | null
  apps: string[]
  state: 'up' | 'unreachable'
}

/** One app of `node.apps`. */
export interface AppInfo {
  app: string
  node: string
  nodeName: string
  local: boolean
  pid: number
  since: string
  methods: readonly MethodInfo[]
  device?: Registration['device']
}

/** What the app does its work with. */
export interface NodeView {
  status(): NodeStatus
  peers(): PeerInfo[]
  nodes(signal: AbortSignal): Promise<NodeInfo[]>
  localApps(): AppInfo[]
  allApps(signal: AbortSignal): Promise<AppInfo[]>
  hosts(app: string, signal: AbortSignal): Promise<Host[]>
  connect(address: string, signal: AbortSignal): Promise<{ peerId: string, name: string }>
  ring(): RingInfo
  route(key: string, signal: AbortSignal): Promise<PathInfo>
  register(registration: Registration, link: Link): void
  deregister(app: string, link: Link): boolean
  stop(graceMs: number): void
  /** The link of a process that calls; `undefined` for calls that come over no link of their own. */
  linkOf(caller: Caller): Link | undefined
}

const appName = z.string().refine((name) => isName('app', name), 'is not an app name')
const nothing = z.object({}).optional()

function processLink(view: NodeView, context: Context): Link {
  const link = view.linkOf(context.caller)
  if (link !== undefined) return link
  throw new WarrenError('UNSUPPORTED', 'only a process on the local socket can serve an app', { started: false })
}

/** Makes the app around `view`. */
export function createNodeApp(view: NodeView) {
  return defineApp('node', {
    status: method({ input: nothing, idempotent: true, description: 'How this node is doing.' },
      async () => view.status()),
    peers: method({ input: nothing, idempotent: true, description: 'The nodes that this one is connected to.' },
      async () => view.peers()),
    nodes: method({
      input: nothing, local: true, idempotent: true, description: 'This node and those it is connected to.',
    }, async (_input, { signal }) => view.nodes(signal)),
    apps: method({
      input: z.object({ all: z.boolean().default(true) }).default({ all: true }), idempotent: true,
      description: 'The apps of all machines, or of this one only.',
    }, async ({ all }, { signal, caller }) => all && caller.local ? view.allApps(signal) : view.localApps()),
    hosts: method({
      input: z.object({ app: appName }), local: true, idempotent: true, description: 'The machines that serve an app.',
    }, async ({ app }, { signal }) => view.hosts(app, signal)),
    ring: method({
      input: nothing, idempotent: true,
      description: 'The place of this node on the ring: leaf set, table, leases, what it refused.',
    }, async () => view.ring()),
    route: method({
      input: z.object({ key: z.string().min(1).max(1_000) }), local: true, idempotent: true,
      description: 'The way to the owner of a key: 32 hex digits, app:name, or a PeerId.',
    }, async ({ key }, { signal }) => view.route(key, signal)),
    connect: method({
      input: z.object({ address: z.string().max(1_000) }), local: true,
      description: 'Connects to a node by its address.',
    }, async ({ address }, { signal }) => view.connect(address, signal)),
    register: method({
      input: registrationSchema, local: true, description: 'This process serves an app from now on.',
    }, async (registration, context) => {
      view.register(registration, processLink(view, context))
      return { node: view.status().peerId }
    }),
    deregister: method({
      input: z.object({ app: appName }), local: true, description: 'This process serves the app no more.',
    }, async ({ app }, context) => ({ removed: view.deregister(app, processLink(view, context)) })),
    stop: method({
      input: z.object({ graceMs: z.number().int().min(0).max(GRACE_MS_MAX).default(GRACE_MS) })
        .default({ graceMs: GRACE_MS }),
      local: true, description: 'Stops this node.',
    }, async ({ graceMs }) => {
      view.stop(graceMs)
      return {}
    }),
  })
}

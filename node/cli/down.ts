/** `warren down`: stops the node and waits until it has really gone. */
import { existsSync } from 'node:fs'
import { setTimeout as wait } from 'node:timers/promises'
import { WarrenError } from '../../protocols/errors.ts'
import { withRunningSocket, type Home } from '../home.ts'
import type { NodeStatus } from './status.ts'
import type { Session } from './session.ts'

/** How long a node may take to end its calls, its apps and itself. */
const GONE_TIMEOUT_MS = 30_000
/** How long its process may live on without the node: a program of somebody's own may hold one. */
const PROCESS_GRACE_MS = 3_000
/** No event tells the end of a process that is not our child. */
const LOOK_EVERY_MS = 20

/**
 * Stops the node.
 * @throws {WarrenError} `NODE_NOT_RUNNING` if there is none, `DEADLINE` if it does not go.
 */
export async function down(session: Session): Promise<void> {
  // Looked up before the node stops and takes the note of it away.
  const home = withRunningSocket(await session.home())
  const { pid } = await session.withNode(async (net) => {
    const status = await net.call<NodeStatus>('node.status', {}, { signal: session.signal })
    await net.call('node.stop', {}, { signal: session.signal }).catch((thrown: unknown) => {
      // It may be gone before its answer is out; whether it is, is looked at next.
      if (!(thrown instanceof WarrenError) || thrown.code !== 'UNAVAILABLE') throw thrown
    })
    return status
  })
  await gone(session, home, pid)
  if (session.json) await session.print(JSON.stringify({ event: 'down', pid }))
  else await session.print('warren is down')
}

async function gone({ io, signal }: Session, home: Home, pid: number): Promise<void> {
  const startMs = performance.now()
  let nodeGoneMs: number | undefined
  while (io.isAlive(pid)) {
    const nowMs = performance.now()
    nodeGoneMs = existsSync(home.socket) ? undefined : nodeGoneMs ?? nowMs
    if (nodeGoneMs !== undefined && nowMs - nodeGoneMs > PROCESS_GRACE_MS) return
    if (nowMs - startMs > GONE_TIMEOUT_MS) {
      throw new WarrenError('DEADLINE',
        `the node for ${home.folder} was told to stop; its process ${pid} still runs after ${GONE_TIMEOUT_MS / 1000} s`)
    }
    await wait(LOOK_EVERY_MS, undefined, { signal })
  }
}

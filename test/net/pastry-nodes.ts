/** What tests of the overlay on real sockets share: plain libp2p nodes with `pastry()`, and peers that misbehave. */
import { noise } from '@chainsafe/libp2p-noise'
import { generateKeyPairFromSeed } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import type { Libp2p, PrivateKey, Stream } from '@libp2p/interface'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createHash } from 'node:crypto'
import { createLibp2p } from 'libp2p'
import { encodeControl, MessageReader, networkTagOf, withLength } from '../../protocols/pastry/control.ts'
import type { PastryConfig } from '../../protocols/pastry/config.ts'
import { decode, encode, PASTRY_PROTOCOL, type Message, type NodeRef } from '../../protocols/pastry/messages.ts'
import { pastry, type Pastry, type PastryInit } from '../../node/overlay/pastry.ts'
import { refOf } from '../../node/overlay/pastry-peers.ts'

/** The network of these tests. */
export const NETWORK = 'test'

/**
 * Shorter periods than the defaults, for one machine without latency: a lease lives 4 s instead of 12, leaf sets are
 * swapped every second instead of every 20, silent nodes are given up after 3 times 1 s instead of 3 s. The least
 * time-out is longer, for a machine that runs all of a ring's nodes answers late.
 */
export const QUICK: Partial<PastryConfig> = {
  leaseMs: 4_000, leaseRenewMs: 1_000, swapMs: 1_000, coldTimeoutMs: 1_000, joinRetryMs: 700, foundAfterMs: 2_000,
  slotMs: 3_000, healMs: 1_000, failedMemoryMs: 3_000, lookupRetryMs: 1_000, rttGuessMs: 500, timeoutMsMin: 400,
}

/** A libp2p node that has nothing of Warren but the service. */
export type PlainNode = Libp2p<{ identify: unknown, pastry: Pastry }>

const common = {
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] }, transports: [tcp()], connectionEncrypters: [noise()],
  streamMuxers: [yamux()], connectionManager: { inboundConnectionThreshold: 1_000 },
  connectionMonitor: { abortConnectionOnPingFailure: false },
}

/** A key that two runs with one seed share. */
export async function keyFromSeed(seed: string): Promise<PrivateKey> {
  return await generateKeyPairFromSeed('Ed25519', createHash('sha256').update(seed).digest())
}

/** Starts a node. */
export async function plainNode(init: PastryInit = {}, privateKey?: PrivateKey): Promise<PlainNode> {
  return await createLibp2p({
    ...common, ...(privateKey === undefined ? {} : { privateKey }),
    services: { identify: identify(), pastry: pastry({ network: NETWORK, config: QUICK, ...init }) },
  })
}

/** Starts nodes that join through the first. */
export async function plainRing(count: number, init: PastryInit = {}): Promise<PlainNode[]> {
  const first = await plainNode(init)
  const others = Array.from({ length: count - 1 }, () => plainNode({ ...init, bootstraps: addressesOf(first) }))
  return [first, ...await Promise.all(others)]
}

/** Where a node listens, with its PeerId. */
export function addressesOf(node: Libp2p): string[] {
  return node.getMultiaddrs().map(String)
}

/** Settles when `isDone`, which is looked at whenever the overlay of one of the nodes has something to tell. */
export async function until(nodes: readonly PlainNode[], isDone: () => boolean): Promise<void> {
  if (isDone()) return
  const { promise, resolve } = Promise.withResolvers<void>()
  let isAsked = false
  const look = (): void => {
    isAsked = false
    if (isDone()) resolve()
  }
  const offs = nodes.map((node) => node.services.pastry.watch(() => {
    // Events come in bursts: one look after each is enough.
    if (!isAsked) setImmediate(look)
    isAsked = true
  }))
  await promise
  for (const off of offs) off()
}

/** Ids of a node's leaves, sorted. */
export function leavesOf(node: PlainNode): string[] {
  const { left, right } = node.services.pastry.ring()
  return [...new Set([...left, ...right].map(({ id }) => id as string))].sort()
}

/** Whether these nodes, and nobody else, are one ring in which everybody owns its part. */
export function isWhole(nodes: readonly PlainNode[]): boolean {
  const ids = nodes.map((node) => node.services.pastry.id as string).sort()
  return nodes.every((node) => {
    const { state, isLeased, id } = node.services.pastry.ring()
    return state === 'ready' && isLeased && leavesOf(node).join() === ids.filter((other) => other !== id).join()
  })
}

/** Settles when they are. */
export async function whole(nodes: readonly PlainNode[]): Promise<void> {
  await until(nodes, () => isWhole(nodes))
}

/** Ends a node as a power cut does: it says nothing, and nothing answers any more. */
export async function kill(node: PlainNode): Promise<void> {
  node.services.pastry.halt()
  await node.stop()
}

/** Stops all of them, in order. */
export async function stopAll(nodes: readonly Libp2p[]): Promise<void> {
  await Promise.all(nodes.map((node) => node.stop()))
}

/** A peer that speaks the protocol by hand. */
export interface Crook {
  readonly host: Libp2p
  readonly ref: NodeRef
  /** Says these bytes as one message. */
  say(bytes: Uint8Array): void
  tell(message: Message): void
  hello(changes?: { ref?: NodeRef, network?: string }): void
  readonly stream: Stream
  /** Calls `listener` with each of the victim's messages. */
  listen(listener: (message: Message) => void): void
  /** Settles when the victim has ended the stream. */
  readonly ended: Promise<void>
}

/** Connects a crook to `victim`; it has not said hello yet. */
export async function crookAt(victim: PlainNode, privateKey?: PrivateKey): Promise<Crook> {
  const host = await createLibp2p({
    ...common, ...(privateKey === undefined ? {} : { privateKey }), services: { identify: identify() },
  })
  const stream = await host.dialProtocol(victim.getMultiaddrs(), PASTRY_PROTOCOL)
  const ref = refOf(NETWORK, host.peerId, host.getMultiaddrs())
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  const reader = new MessageReader()
  const listeners: ((message: Message) => void)[] = []
  stream.addEventListener('message', ({ data }) => {
    for (const bytes of reader.take(data.subarray()).messages) {
      const decoded = decode(bytes)
      if (decoded.ok) for (const listener of listeners) listener(decoded.message)
    }
  })
  for (const end of ['close', 'remoteCloseWrite'] as const) stream.addEventListener(end, () => { resolve() })
  const crook: Crook = {
    host, ref, stream, ended,
    listen: (listener) => { listeners.push(listener) },
    say: (bytes) => { stream.send(withLength(bytes)) },
    tell: (message) => { crook.say(encode(message)) },
    hello: (changes = {}) => {
      crook.say(encodeControl({
        type: 'hello', networkTag: networkTagOf(changes.network ?? NETWORK), ref: changes.ref ?? ref,
      }))
    },
  }
  return crook
}

/** The overlay's machine: feeds each input to the part it concerns, then settles what changed. */
import { placed } from '../ids.ts'
import type { Key } from '../ids.ts'
import type { Input, Machine } from '../machine.ts'
import type { PastryConfig } from './config.ts'
import { pastryConfig } from './config.ts'
import { adopt, dropped, forgetIdle, isWarm, know, lose, makeCore, setState } from './core.ts'
import type { Core, PastryCommand, PastryEffect, PastryEvent, Periodic, Task } from './core.ts'
import * as joining from './join.ts'
import * as leasing from './lease.ts'
import * as lookups from './lookups.ts'
import type { Answer, Message, NodeRef } from './messages.ts'
import * as partitions from './partition.ts'
import { allow } from './peers.ts'
import type { Peer } from './peers.ts'
import * as probing from './probing.ts'
import * as repair from './repair.ts'
import * as routing from './routing.ts'
import type { RoutingHooks, Transit } from './routing.ts'

/** What a machine is made from. */
export interface PastryOptions {
  /** This node's own reference. */
  readonly ref: NodeRef
  /** All of the machine's chance comes from it and the node's id. */
  readonly seed: string | number
  readonly config?: Partial<PastryConfig>
}

/** A look inside, for `warren ring`, metrics and tests; changing what it shows is not allowed. */
export interface PastryView {
  readonly state: Core['state']
  readonly left: readonly Peer[]
  readonly right: readonly Peer[]
  readonly table: Core['table']
  readonly isLeased: boolean
  /** Whether this node answers for the key just now. */
  owns(key: Key): boolean
  /** Leases held and granted, with the milliseconds that are left, in words. */
  readonly leases: readonly string[]
  /** Sizes of everything that could grow. */
  readonly sizes: Readonly<Record<string, number>>
  /** How often a table entry is probed just now. */
  readonly tableProbeMs: number
}

/** The overlay's machine. */
export interface PastryMachine extends Machine<PastryCommand, Message, PastryEvent, NodeRef> {
  handle(input: PastryInput, nowMs: number): PastryEffect[]
  view(nowMs: number): PastryView
}

/** An input of the overlay's machine; messages come decoded, and from peers whose id the link has proven. */
export type PastryInput = Input<PastryCommand, Message, NodeRef>

/** The one timer that a machine has. */
export const TIMER = 'next'

/** Time between two questions to nodes that were met; ours. */
const MEET_RETRY_MS = 500

/** A machine for one node; it does nothing until it is told to `start`. */
export function makePastry(options: PastryOptions): PastryMachine {
  const core = makeCore(options.ref, options.seed, pastryConfig(options.config))
  const parts = {
    leases: leasing.makeLeases(), probing: probing.makeProbing(), routing: routing.makeRouting(),
    lookups: lookups.makeLookups(), join: joining.makeJoin(), partition: partitions.makePartition(),
  }
  const hooks = makeHooks(core, parts)
  let timerMs = Infinity
  return {
    handle(input, nowMs) {
      core.nowMs = nowMs
      core.effects = []
      if (core.state === 'ready') leasing.settleState(core, parts.leases)
      dispatch(core, parts, hooks, input)
      if (input.type === 'timer') timerMs = Infinity
      for (let task = core.agenda.take(nowMs); task !== undefined; task = core.agenda.take(nowMs)) {
        run(core, parts, hooks, task)
      }
      settle(core, parts, hooks)
      const nextMs = core.agenda.nextMs
      if (nextMs < timerMs) {
        timerMs = nextMs
        core.effects.push({ type: 'setTimer', id: TIMER, atMs: nextMs })
      }
      return core.effects
    },
    view: (nowMs) => {
      core.nowMs = nowMs
      return viewOf(core, parts)
    },
  }
}

interface Parts {
  readonly leases: leasing.Leases
  readonly probing: probing.Probing
  readonly routing: routing.Routing
  readonly lookups: lookups.Lookups
  readonly join: joining.Join
  readonly partition: partitions.Partition
}

function makeHooks(core: Core, parts: Parts): RoutingHooks {
  return {
    owns: (key, butFor) => leasing.owns(core, parts.leases, key, butFor),
    deliver: (transit) => lookups.deliver(core, parts.lookups, parts.routing, parts.leases, transit),
    answered: (transit, peer, answer) => { onAnswered(core, parts, transit, peer, answer) },
    passing: (transit, answer) => lookups.passing(core, transit, answer),
    doubt: (transit, answer) => lookups.doubt(core, transit, answer),
    firstHopFailed: (transit, peer, refused) => {
      const purpose = lookups.giveUp(core, parts.lookups, parts.routing, transit)
      if (purpose === 'heal') parts.partition.isAsking = false
      if (purpose !== 'join') return
      parts.join.isAsking = false
      if (refused) joining.onRefused(core, parts.join, peer)
      else later(core, 1, { do: 'joinRetry' })
    },
    suspect: (peer) => {
      if (peer.isLeaf || peer.inTable) probing.probe(core, parts.probing, peer, 'ping')
    },
  }
}

function dispatch(core: Core, parts: Parts, hooks: RoutingHooks, input: PastryInput): void {
  switch (input.type) {
    case 'command': return command(core, parts, hooks, input.command)
    case 'message': return receive(core, parts, hooks, input.from, input.message)
    case 'timer': return
    case 'linkUp':
      know(core, input.peer).linked = true
      return
    case 'linkDown': {
      const peer = core.peers.get(input.peer.id)
      if (peer === undefined) return
      peer.linked = false
      if (!isWarm(core, peer)) return
      // A link worth keeping was lost: routes avoid the peer until it answers.
      peer.suspect = true
      routing.rerouteFrom(core, parts.routing, hooks, peer)
      return probing.probe(core, parts.probing, peer, 'ping')
    }
    case 'resumed':
      leasing.voidLeases(parts.leases)
      joining.onResumed(core, parts.join, parts.probing)
      core.unsettled = true
  }
}

function command(core: Core, parts: Parts, hooks: RoutingHooks, given: PastryCommand): void {
  switch (given.kind) {
    case 'start': {
      if (core.state !== 'dead') return
      joining.start(core, parts.join, parts.leases, given.bootstraps)
      partitions.rememberBootstraps(core, parts.partition, given.bootstraps)
      const { config, random } = core
      later(core, 1, { do: 'join' })
      later(core, random.jitter(config.leaseRenewMs), { do: 'leases' })
      later(core, random.jitter(config.swapMs), { do: 'swap' })
      later(core, random.jitter(config.gossipMs), { do: 'localTuning' })
      later(core, random.jitter(config.globalTuningMs), { do: 'globalTuning' })
      later(core, random.jitter(repair.TABLE_TICK_MS), { do: 'tableProbe' })
      later(core, random.jitter(config.healMs), { do: 'heal' })
      return
    }
    case 'meet':
      if (core.state === 'dead') return
      joining.onBootstraps(core, parts.join, given.nodes)
      partitions.meet(core, parts.partition, given.nodes)
      return later(core, 1, { do: 'meet' })
    case 'leave':
      if (core.state === 'dead') return
      lookups.sayLeave(core)
      leasing.voidLeases(parts.leases)
      lookups.failAll(core, parts.lookups)
      routing.forgetAll(parts.routing)
      parts.probing.probes.clear()
      parts.probing.hints.clear()
      parts.leases.requests.clear()
      setState(core, 'dead')
      core.agenda.clear()
      return
    case 'contact':
      core.ref = { id: core.self.id, contact: given.contact }
      return
    case 'lookup':
      return lookups.ask(core, parts.lookups, parts.routing, hooks, {
        id: given.id, key: given.key, purpose: 'lookup', timeoutMs: given.timeoutMs ?? core.config.lookupMs,
        trace: given.trace, payload: given.payload,
      })
    case 'reply':
      return lookups.onReply(core, parts.lookups, parts.routing, parts.leases, given.token, given.payload)
  }
}

function later(core: Core, ms: number, task: Task): void {
  core.agenda.add(core.nowMs + ms, task)
}

function receive(core: Core, parts: Parts, hooks: RoutingHooks, from: NodeRef, message: Message): void {
  if (core.state === 'dead' || from.id === core.self.id) return
  const peer = know(core, from)
  if (!allow(peer, message.type === 'route' && message.purpose !== 'lookup', core.nowMs, core.config)) {
    return dropped(core, 'flood', peer)
  }
  if (peer.ref !== from) peer.ref = from
  heard(core, parts, peer)
  switch (message.type) {
    case 'ping':
      peer.state = message.state
      return probing.onPing(core, parts.probing, peer, message)
    case 'pong':
      noteState(core, peer, message.state)
      return probing.onPong(core, parts.probing, peer, message)
    case 'route':
      if (message.joiner !== undefined && message.hops === 0 && message.joiner.id !== peer.id) {
        return dropped(core, 'falseJoiner', peer)
      }
      if (core.state === 'waiting' && message.purpose === 'join') joining.tellBootstraps(core, parts.join, peer)
      return routing.onRoute(core, parts.routing, hooks, peer, message)
    case 'answer': return routing.onAnswer(core, parts.routing, hooks, peer, message)
    case 'ack': return routing.onAck(core, parts.routing, peer, message.hop)
    case 'nack': return routing.onNack(core, parts.routing, hooks, peer, message.hop)
    case 'leafProbe':
      noteState(core, peer, message.state)
      probing.onLeafProbe(core, peer, message)
      return probing.onFailed(core, parts.probing, message.failed)
    case 'leafReply':
      noteState(core, peer, message.state)
      probing.onLeafReply(core, parts.probing, peer, message)
      return probing.onFailed(core, parts.probing, message.failed)
    case 'leafPush':
      noteState(core, peer, message.state)
      if (core.state === 'waiting' && message.state === 'waiting') {
        return joining.onBootstraps(core, parts.join, message.references)
      }
      return probing.hint(core, parts.probing, message.references)
    case 'failed': return probing.onFailed(core, parts.probing, message.ids)
    case 'lease':
      noteState(core, peer, message.state)
      return leasing.onLease(core, parts.leases, peer, message)
    case 'grant': return leasing.onGrant(core, parts.leases, peer, message)
    case 'deny': {
      const closer = leasing.onDeny(core, parts.leases, peer, message)
      if (closer !== undefined) probing.hint(core, parts.probing, [closer])
      return
    }
    case 'rowRequest': return repair.onRowRequest(core, peer, message)
    case 'rowReply': return repair.onRowReply(core, parts.probing, peer, message)
    case 'leave':
      lose(core, peer)
      peer.state = undefined
      return leasing.onLeft(core, parts.leases, peer)
  }
}

function heard(core: Core, parts: Parts, peer: Peer): void {
  peer.heardMs = Math.ceil(core.nowMs)
  peer.linked = true
  core.failedMs.delete(peer.id)
  partitions.forgetGone(parts.partition, peer.id)
  if (!peer.suspect) return
  peer.suspect = false
  core.unsettled = true
}

function noteState(core: Core, peer: Peer, state: Peer['state']): void {
  peer.state = state
  adopt(core, peer)
}

function run(core: Core, parts: Parts, hooks: RoutingHooks, task: Task): void {
  switch (task.do) {
    case 'probeTimeout': return announce(core, probing.onProbeTimeout(core, parts.probing, task.id))
    case 'leaseTimeout': return announce(core, leasing.onLeaseTimeout(core, parts.leases, task.id))
    case 'hopTimeout': return routing.onHopTimeout(core, parts.routing, hooks, task.hop)
    case 'lookupRetry': return onLookupRetry(core, parts, hooks, task.request)
    case 'parked': return routing.onParkedTimer(core, parts.routing, hooks)
    case 'joinRetry': return stepJoin(core, parts, hooks, true)
    case 'meet': return askMet(core, parts, hooks)
    case 'leaseRetry': return leasing.renewLeases(core, parts.leases)
    default: return runPeriodic(core, parts, hooks, task.do)
  }
}

function runPeriodic(
  core: Core, parts: Parts, hooks: RoutingHooks,
  what: Periodic,
): void {
  const { config, random } = core
  const task: Task = { do: what }
  switch (what) {
    case 'leases':
      leasing.renewLeases(core, parts.leases)
      return later(core, config.leaseRenewMs, task)
    case 'swap':
      repair.swap(core, parts.probing)
      forgetIdle(core)
      routing.forgetOld(core, parts.routing)
      return later(core, random.jitter(config.swapMs), task)
    case 'localTuning':
      if (core.state === 'ready') {
        repair.tuneLocally(core)
        parts.join.tuningRounds++
      }
      return later(core, random.jitter(repair.tuningMs(core, parts.join.tuningRounds)), task)
    case 'globalTuning': {
      const key = core.state === 'ready' ? repair.keyForTuning(core) : undefined
      if (key !== undefined) askSelf(core, parts, hooks, key)
      return later(core, random.jitter(config.globalTuningMs), task)
    }
    case 'tableProbe':
      repair.probeTable(core, parts.probing)
      return later(core, repair.TABLE_TICK_MS, task)
    case 'heal': {
      const through = partitions.healThrough(core, parts.partition)
      if (through !== undefined) {
        parts.partition.isAsking = true
        askRing(core, parts, hooks, 'heal', through)
      }
      return later(core, random.jitter(config.healMs), task)
    }
    case 'join':
      stepJoin(core, parts, hooks, true)
      return later(core, random.jitter(config.joinRetryMs), task)
  }
}

function announce(core: Core, lost: Peer | undefined): void {
  if (lost !== undefined) repair.announceFailure(core, lost)
}

/** A lookup of the machine's own, for global tuning; its owner never hears of it. */
function askSelf(core: Core, parts: Parts, hooks: RoutingHooks, key: lookups.Asked['key']): void {
  lookups.ask(core, parts.lookups, parts.routing, hooks, { id: 0, key, purpose: 'lookup', timeoutMs: 10_000 })
}

function askRing(core: Core, parts: Parts, hooks: RoutingHooks, purpose: 'join' | 'heal', first: Peer): void {
  lookups.ask(core, parts.lookups, parts.routing, hooks, {
    id: 0, key: joining.joinKey(core), purpose, timeoutMs: 3 * core.config.coldTimeoutMs, first,
  })
}

/** Asks through a node that was met and not asked before whether its ring is ours; one after the other. */
function askMet(core: Core, parts: Parts, hooks: RoutingHooks): void {
  if (!partitions.hasFresh(core, parts.partition)) return
  const through = partitions.healThrough(core, parts.partition)
  if (through !== undefined) {
    parts.partition.isAsking = true
    askRing(core, parts, hooks, 'heal', through)
  }
  if (partitions.hasFresh(core, parts.partition)) later(core, MEET_RETRY_MS, { do: 'meet' })
}

function stepJoin(core: Core, parts: Parts, hooks: RoutingHooks, isTimer: boolean): void {
  const first = joining.step(core, parts.join, parts.leases, parts.probing, isTimer)
  if (first === undefined) return
  parts.join.isAsking = true
  askRing(core, parts, hooks, 'join', first)
}

function onLookupRetry(core: Core, parts: Parts, hooks: RoutingHooks, request: number): void {
  const purpose = parts.lookups.open.get(request)?.purpose
  lookups.onLookupRetry(core, parts.lookups, parts.routing, hooks, request)
  if (purpose === 'join') parts.join.isAsking = false
  if (purpose === 'heal') parts.partition.isAsking = false
}

function onAnswered(core: Core, parts: Parts, transit: Transit, _peer: Peer, answer: Answer): void {
  const lookup = lookups.close(core, parts.lookups, transit, answer)
  if (lookup === undefined) return
  if (lookup.purpose === 'heal') return partitions.onHealAnswer(core, parts.partition, parts.probing, answer)
  if (lookup.purpose === 'join') {
    joining.onJoined(core, parts.join, parts.probing, answer)
    for (const ref of answer.references) repair.consider(core, parts.probing, ref, 0)
    return
  }
  if (lookup.id === 0) repair.consider(core, parts.probing, answer.root, 0)
}

/** What depends on leaves and leases is brought up to date, until nothing changes any more. */
function settle(core: Core, parts: Parts, hooks: RoutingHooks): void {
  if (core.state === 'dead') return
  if (core.state === 'waiting') stepJoin(core, parts, hooks, false)
  for (let round = 0; round < 8 && (core.unsettled || core.lost.length > 0); round++) {
    core.unsettled = false
    const lost = core.lost
    core.lost = []
    for (const peer of lost) {
      probing.forgetProbe(core, parts.probing, peer.id)
      leasing.forgetRequest(core, parts.leases, peer.id)
      partitions.rememberGone(core, parts.partition, peer)
      repair.promote(core, parts.probing, peer)
      routing.rerouteFrom(core, parts.routing, hooks, peer)
    }
    stepJoin(core, parts, hooks, false)
    leasing.renewLeases(core, parts.leases)
    if (core.state === 'ready' && !parts.join.isAnnounced) {
      joining.announce(core, parts.join)
      leasing.confirmLeases(core, parts.leases)
    }
    routing.unpark(core, parts.routing, hooks)
  }
}

function viewOf(core: Core, parts: Parts): PastryView {
  return {
    state: core.state, left: core.leafSet.left, right: core.leafSet.right, table: core.table,
    isLeased: core.state === 'ready' && leasing.isLeased(core, parts.leases), tableProbeMs: repair.tableProbeMs(core),
    owns: (key) => leasing.owns(core, parts.leases, placed(key)),
    get leases() { return leasing.describe(core, parts.leases) },
    get sizes() {
      return {
        peers: core.peers.size, leaves: core.leafSet.members.size, table: core.table.size, agenda: core.agenda.size,
        probes: parts.probing.probes.size, hints: parts.probing.hints.size, sent: parts.routing.sent.size,
        answers: parts.routing.answers.size, seen: parts.routing.seen.size, parked: parts.routing.parked.length,
        lookups: parts.lookups.open.size, deliveries: parts.lookups.deliveries.size, granted: parts.leases.granted.size,
        told: parts.leases.told.length, requests: parts.leases.requests.size, gone: parts.partition.gone.size,
        failed: core.failedMs.size,
      }
    },
  }
}

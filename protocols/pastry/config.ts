/** Every parameter of the overlay, with its unit, range, default and source. */
import { WarrenError } from '../errors.ts'

/** How the overlay behaves. Times are milliseconds on the node's monotonic clock. */
export interface PastryConfig {
  /** Leaves kept on both sides together; even, 8-32. Default 32 = 2 * 2^b for b = 4 (Rowstron & Druschel 2001, 2.1). */
  readonly leafSetCountMax: number
  /** Nodes kept per routing table slot, one of them warm; 1-4. Default 3 (DESIGN section 4). */
  readonly candidatesPerSlotMax: number

  /** Life of a ring lease, 2 000-60 000. Default 12 000: FreePastry's 30 s would leave a dead node's keys
   *  without an owner for a fifth of the time at sessions of 1.4 minutes. */
  readonly leaseMs: number
  /** Time between two renewals; at most a third of `leaseMs`, so that one may be lost. Default 4 000. */
  readonly leaseRenewMs: number
  /** Share by which a grantor's record outlives the lease, for clocks that drift; 0-0.2. Default 0.01 = 10 000 ppm. */
  readonly leaseDriftShare: number
  /** How long a joiner keeps its turn at a ready node. Default 10 000 (DESIGN section 4). */
  readonly slotMs: number
  /** How long a node tries silent bootstraps before it is ready alone, 1 000-3 600 000. Default 60 000; ours: local
   *  calls work meanwhile, and a ring of its own would have to be merged later. */
  readonly aloneAfterMs: number
  /** How long it waits where bootstraps live but join themselves; of those the lowest id goes first. Default 8 000. */
  readonly foundAfterMs: number
  /** Time between two attempts to join. Default 3 000; ours. */
  readonly joinRetryMs: number

  /** First guess of a round trip, before any was measured. Default 500; ours. */
  readonly rttGuessMs: number
  /** Least retransmission time-out: delayed acknowledgements and a busy process. Default 60; ours. */
  readonly timeoutMsMin: number
  /** Greatest retransmission time-out. Default 3 000 (TCP's first). */
  readonly timeoutMsMax: number
  /** Silence after which a node that is probed without a link counts as not answering. Default 3 000. */
  readonly coldTimeoutMs: number
  /** Round trips before a first message travels where there is no link: dial and admission. Default 6.2, measured. */
  readonly coldRoundTrips: number
  /** Unanswered probes after which a node counts as failed, 2-5. Default 3 (MSPastry 3.2: two retries). */
  readonly probeTriesMax: number
  /** Copies of a routed message sent to one hop that stays silent when no other hop will do. Default 3. */
  readonly hopTriesMax: number

  /** Time between two leaf set swaps with a random leaf. Default 20 000 (Bamboo 3.1: 4-10 s, without leases). */
  readonly swapMs: number
  /** Time between two requests to a random row neighbour (local tuning). Default 60 000; ours. */
  readonly localTuningMs: number
  /** Time between two lookups for an empty or random slot (global tuning). Default 120 000; ours. */
  readonly globalTuningMs: number
  /** Rounds of constrained gossip after joining (Castro 2003), the time between two, and from how many of the nearest
   *  nodes the one to ask is drawn. Default 24, 3 000 and 3; ours, by simulation. */
  readonly gossipRounds: number
  readonly gossipMs: number
  readonly gossipMembersMax: number
  /** Share of hops that may meet a dead entry: the probe period is tuned to it. Default 0.06 (MSPastry 4.1: 5 %). */
  readonly rawLossTarget: number
  /** Least and greatest time between two probes of a table entry. Default 60 000 and 600 000; ours. */
  readonly tableProbeMsMin: number
  readonly tableProbeMsMax: number

  /** How long a failed node is not probed again because of hearsay. Default 20 000; ours. */
  readonly failedMemoryMs: number
  /** How long a lost peer is remembered for healing. Default 5 400 000 = 90 min (FreePastry's PartitionHandler). */
  readonly goneMemoryMs: number
  /** Lost peers remembered. Default 20 (FreePastry's PartitionHandler). */
  readonly gonePeersMax: number
  /** Time between two attempts to find another ring behind a lost peer. Default 30 000; FreePastry 5 min. */
  readonly healMs: number

  /** Time for a lookup that names none. Default 30 000, as for calls. */
  readonly lookupMs: number
  /** Silence after which the origin sends a lookup again by another first hop. Default 2 500; ours. */
  readonly lookupRetryMs: number
  /** Messages that wait here for this node to become ready or find a nearer one. Default 256. */
  readonly parkedMax: number
  /** Messages under way through this node whose answers are to be sent back. Default 4 096. */
  readonly forwardsMax: number
  /** Nodes known at once, of any role. Default 1 024. */
  readonly peersMax: number
  /** Hints waiting to be probed. Default 128. */
  readonly hintsMax: number
  /** Probes under way at once. Default 48: a whole leaf set and a few. */
  readonly probesMax: number
  /** Leaves that a joiner asks at once: what the first ones tell, the others need not. Default 12; ours. */
  readonly joinProbesMax: number
  /** Messages that one peer may send per second, on average and in a burst. Default 400 and 1 200. */
  readonly messagesPerSecondMax: number
  readonly messagesBurstMax: number
  /** Joins that one peer may send or pass on per second. Default 20, in bursts of 60. */
  readonly joinsPerSecondMax: number
  /** How much sparser than ours a claimed root's part of the ring may look. Default 24; like Castro 2002's test. */
  readonly densityFactorMax: number

  /** Tests only: false lets every joiner in at once and answer without leases; the suite must catch it. */
  readonly safeJoin: boolean
}

/** The defaults; each one's reason stands at its declaration. */
export const PASTRY_DEFAULTS: PastryConfig = Object.freeze({
  leafSetCountMax: 32, candidatesPerSlotMax: 3,
  leaseMs: 12_000, leaseRenewMs: 4_000, leaseDriftShare: 0.01, slotMs: 10_000,
  aloneAfterMs: 60_000, foundAfterMs: 8_000, joinRetryMs: 3_000,
  rttGuessMs: 500, timeoutMsMin: 60, timeoutMsMax: 3_000, coldTimeoutMs: 3_000, coldRoundTrips: 6.2,
  probeTriesMax: 3, hopTriesMax: 3,
  swapMs: 20_000, localTuningMs: 60_000, globalTuningMs: 120_000,
  gossipRounds: 24, gossipMs: 3_000, gossipMembersMax: 3,
  rawLossTarget: 0.06, tableProbeMsMin: 60_000, tableProbeMsMax: 600_000,
  failedMemoryMs: 20_000, goneMemoryMs: 5_400_000, gonePeersMax: 20, healMs: 30_000,
  lookupMs: 30_000, lookupRetryMs: 2_500, parkedMax: 256, forwardsMax: 4_096, peersMax: 1_024, hintsMax: 128,
  probesMax: 48, joinProbesMax: 12, messagesPerSecondMax: 400, messagesBurstMax: 1_200,
  joinsPerSecondMax: 20, densityFactorMax: 24,
  safeJoin: true,
})

/**
 * The defaults with some parameters changed.
 * @throws {WarrenError} `BAD_CONFIG` that names the parameter and its range.
 */
export function pastryConfig(changes: Partial<PastryConfig> = {}): PastryConfig {
  const config = { ...PASTRY_DEFAULTS, ...changes }
  within(config, 'leafSetCountMax', 8, 32)
  within(config, 'candidatesPerSlotMax', 1, 4)
  within(config, 'leaseMs', 2_000, 60_000)
  within(config, 'leaseRenewMs', 100, config.leaseMs / 3)
  within(config, 'leaseDriftShare', 0, 0.2)
  within(config, 'probeTriesMax', 2, 5)
  within(config, 'aloneAfterMs', 1_000, 3_600_000)
  within(config, 'rawLossTarget', 0.001, 0.5)
  within(config, 'peersMax', 64, 65_536)
  if (config.leafSetCountMax % 2 !== 0) {
    throw new WarrenError('BAD_CONFIG', `leafSetCountMax is ${config.leafSetCountMax}: use an even number from 8 to 32`)
  }
  return Object.freeze(config)
}

function within(config: PastryConfig, name: keyof PastryConfig, from: number, to: number): void {
  const value = config[name]
  if (typeof value === 'number' && value >= from && value <= to) return
  throw new WarrenError('BAD_CONFIG', `${name} is ${String(value)}: use a number from ${from} to ${to}`)
}

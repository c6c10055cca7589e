/** The network between simulated machines, with its faults: what arrives, when, and how often. */
import type { Random } from '../../protocols/pastry/random.ts'

/** What is wrong with the network; all shares from 0 to 1. */
export interface Faults {
  /** Messages that are lost. Every message is on its own: harsher than TCP, which would only delay. */
  readonly lossShare: number
  readonly duplicateShare: number
  /** Messages held up by `spikeMs`, so that later ones overtake them. */
  readonly spikeShare: number
  readonly spikeMs: number
  /** Every delay varies by up to this share of itself. */
  readonly jitterShare: number
  /** Pairs of machines that cannot reach each other, though others reach both (Internet, Freedman 2005: 2.3 %). */
  readonly deafPairsShare: number
  /** Pairs of which only one direction works. */
  readonly oneWayPairsShare: number
}

/** A network that works. */
export const NO_FAULTS: Faults = Object.freeze({
  lossShare: 0, duplicateShare: 0, spikeShare: 0, spikeMs: 1_000, jitterShare: 0.05, deafPairsShare: 0,
  oneWayPairsShare: 0,
})

/** Whether a message from machine `from` to machine `to` can arrive at all; the same pair always gives the same. */
export function connects(faults: Faults, seed: number, from: number, to: number): boolean {
  if (faults.deafPairsShare === 0 && faults.oneWayPairsShare === 0) return true
  const [low, high] = from < to ? [from, to] : [to, from]
  const chance = pairChance(seed, low, high)
  if (chance < faults.deafPairsShare) return false
  return chance >= faults.deafPairsShare + faults.oneWayPairsShare || from === low
}

/** Delays after which copies of one message arrive: none if it is lost, two if it is doubled. */
export function arrivals(faults: Faults, random: Random, baseMs: number): number[] {
  if (faults.lossShare > 0 && random.next() < faults.lossShare) return []
  const delays = [jittered(faults, random, baseMs)]
  if (faults.duplicateShare > 0 && random.next() < faults.duplicateShare) delays.push(jittered(faults, random, baseMs))
  return delays
}

function jittered(faults: Faults, random: Random, baseMs: number): number {
  const spikeMs = faults.spikeShare > 0 && random.next() < faults.spikeShare ? faults.spikeMs * random.next() : 0
  return baseMs * (1 + faults.jitterShare * random.next()) + spikeMs
}

function pairChance(seed: number, low: number, high: number): number {
  let hash = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) ^ Math.imul(low + 1, 0xc2b2ae35) ^ Math.imul(high + 1, 0x27d4eb2f)
  hash = Math.imul(hash ^ hash >>> 15, 0x2c1b3c6d)
  hash = Math.imul(hash ^ hash >>> 12, 0x297a2d39)
  return ((hash ^ hash >>> 15) >>> 0) / 2 ** 32
}

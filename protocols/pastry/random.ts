/** Random numbers from a seed: the only source of chance in machines and simulations, so that runs repeat. */

/** A generator; two with one seed give the same numbers. */
export interface Random {
  /** From 0 up to, not including, 1. */
  next(): number
  /** A whole number from 0 to `below` - 1. */
  below(below: number): number
  /** 32 bits, unsigned. */
  u32(): number
  /** 48 bits, unsigned. */
  u48(): number
  /** `ms` give or take a quarter, so that nodes do not act in step. */
  jitter(ms: number): number
}

/** A generator from a seed of any length (sfc32, seeded through FNV-1a). */
export function randomFrom(seed: string | number): Random {
  let [a, b, c, counter] = [0x9e3779b9, 0x243f6a88, hashOf(String(seed)), 1]
  const u32 = (): number => {
    const result = (a + b | 0) + counter | 0
    counter = counter + 1 | 0
    a = b ^ b >>> 9
    b = c + (c << 3) | 0
    c = (c << 21 | c >>> 11) + result | 0
    return result >>> 0
  }
  for (let round = 0; round < 16; round++) u32()
  const next = (): number => u32() / 2 ** 32
  return {
    next, u32,
    below: (below) => Math.floor(next() * below),
    u48: () => (u32() & 0xffff) * 2 ** 32 + u32(),
    jitter: (ms) => ms * (0.75 + next() / 2),
  }
}

function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash | 0
}

/** Where simulated machines stand, and how long light and their access lines take between them. */
import type { Random } from '../../protocols/pastry/random.ts'

/** A machine's place on the globe (a unit vector) and its access line. */
export interface Site { readonly x: number, readonly y: number, readonly z: number, readonly accessMs: number }

/** Kilometres of the earth's radius. */
const EARTH_KM = 6_371
/** Light in fibre makes 200 km per ms; cables run a third longer than the great circle. */
const KM_PER_MS = 200 / 1.35

/** Makes sites: five continents of ten cities each, some of them much larger than others. */
export function makeGeography(random: Random): () => Site {
  const cities: { site: Omit<Site, 'accessMs'>, weight: number }[] = []
  for (let continent = 0; continent < 5; continent++) {
    const centre = point(random.next() * 2 * Math.PI, Math.asin(random.next() * 1.5 - 0.6))
    for (let city = 0; city < 10; city++) {
      cities.push({ site: near(random, centre, 1_800), weight: 1 / (1 + city) })
    }
  }
  const total = cities.reduce((sum, city) => sum + city.weight, 0)
  return () => {
    let left = random.next() * total
    const city = cities.find((one) => (left -= one.weight) <= 0) ?? cities[0]!
    // Fibre, cable and mobile lines: 1 to about 12 ms each way.
    return { ...near(random, city.site, 40), accessMs: 1 - Math.log(1 - random.next()) * 2.2 }
  }
}

/** One-way delay between two sites in ms, without jitter. */
export function delayMs(a: Site, b: Site): number {
  const cosine = Math.max(-1, Math.min(1, a.x * b.x + a.y * b.y + a.z * b.z))
  return Math.acos(cosine) * EARTH_KM / KM_PER_MS + a.accessMs + b.accessMs
}

function point(longitude: number, latitude: number): Omit<Site, 'accessMs'> {
  const flat = Math.cos(latitude)
  return { x: flat * Math.cos(longitude), y: flat * Math.sin(longitude), z: Math.sin(latitude) }
}

function near(random: Random, centre: Omit<Site, 'accessMs'>, km: number): Omit<Site, 'accessMs'> {
  const spread = km / EARTH_KM
  const gauss = (): number => (random.next() + random.next() + random.next() - 1.5) * 1.4 * spread
  const [x, y, z] = [centre.x + gauss(), centre.y + gauss(), centre.z + gauss()]
  const length = Math.hypot(x, y, z)
  return { x: x / length, y: y / length, z: z / length }
}

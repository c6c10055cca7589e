/** How numbers, times and other people's text look to a person. Pure: same value, same text. */

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'] as const

/** A count of bytes in decimal units with at most three digits: `999 B`, `1.2 kB`, `45 MB`. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes) || bytes < 0) return '?'
  let value = bytes
  let unit = 0
  // What would be rounded up to 1000 belongs to the next unit.
  while (value >= 999.5 && unit < BYTE_UNITS.length - 1) {
    value /= 1000
    unit++
  }
  const digits = unit > 0 && value < 9.95 ? value.toFixed(1) : value.toFixed(0)
  return `${digits} ${BYTE_UNITS[unit]}`
}

const DURATION_UNITS: readonly (readonly [name: string, ms: number])[] = [
  ['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1_000],
]

/** A length of time in its two largest units: `0.4 ms`, `320 ms`, `12 s`, `3 min 20 s`, `4 d 3 h`. */
export function formatDuration(ms: number): string {
  if (!Number.isFinite(ms) || ms < 0) return '?'
  if (ms < 9.95) return `${ms.toFixed(1)} ms`
  if (ms < 999.5) return `${ms.toFixed(0)} ms`
  const seconds = Math.round(ms / 1000) * 1000
  const at = DURATION_UNITS.findIndex(([, unitMs]) => seconds >= unitMs)
  const parts: string[] = []
  let rest = seconds
  for (const [name, unitMs] of DURATION_UNITS.slice(at, at + 2)) {
    const count = Math.floor(rest / unitMs)
    rest -= count * unitMs
    if (count > 0) parts.push(`${count} ${name}`)
  }
  return parts.join(' ')
}

/** A moment, given as ISO text or milliseconds since 1970, in this machine's time zone: `2026-11-03 09:05`. */
export function formatTime(moment: string | number): string {
  const date = new Date(moment)
  if (Number.isNaN(date.getTime())) return '?'
  const two = (value: number): string => String(value).padStart(2, '0')
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} `
    + `${two(date.getHours())}:${two(date.getMinutes())}`
}

/** `1 file`, `2 files`. */
export function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/**
 * Other people's text with everything escaped that would move the cursor, colour the terminal, begin a new
 * line or turn the reading direction: a file's name must not be able to forge a line of ours.
 */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Cs}\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, (character) => {
    const short = SHORT_ESCAPES[character]
    if (short !== undefined) return short
    const code = character.codePointAt(0) ?? 0
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`
  })
}

const SHORT_ESCAPES: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }

/**
 * A reply as JSON. Bytes become `{"base64": …}`, a map an object, a big integer a string, and what JSON has
 * no word for, `undefined` among it, `null`.
 */
export function toJson(value: unknown, indent = 0): string {
  return JSON.stringify(value, function replace(this: Record<string, unknown>, key: string, shown: unknown) {
    // `this[key]` is the value before its own toJSON: a Buffer would come as a list of numbers.
    const raw = this[key]
    if (raw instanceof Uint8Array) {
      return { base64: Buffer.from(raw.buffer, raw.byteOffset, raw.byteLength).toString('base64') }
    }
    if (raw instanceof Map) return Object.fromEntries(raw)
    if (raw instanceof Set) return [...raw]
    return typeof raw === 'bigint' ? raw.toString() : shown
  }, indent) ?? 'null'
}

/** The node's configuration: `config.toml` in its home and the flags of `warren up`, checked, in one frozen object. */
import { readFileSync, statSync } from 'node:fs'
import { hostname } from 'node:os'
import { basename, dirname, resolve } from 'node:path'
import { multiaddr, type Component } from '@multiformats/multiaddr'
import { closest, distance } from 'fastest-levenshtein'
import { parse, TomlError } from 'smol-toml'
import { z } from 'zod'
import { WarrenError } from '../protocols/errors.ts'
import { NAME_CHARACTERS_MAX } from '../protocols/limits.ts'
import { isName, printable } from '../protocols/names.ts'
import type { Home } from './home.ts'

/** Largest configuration file in bytes; a larger one is something else under the wrong name. */
export const CONFIG_BYTES_MAX = 1024 * 1024

/** Levels of the log, from silence to everything. */
export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const

const LOOPBACK_ONLY = 'until machines are admitted by certificate a node listens on loopback only'
const LISTEN_EXAMPLE = '/ip4/127.0.0.1/tcp/0'
const JOIN_EXAMPLE = '/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…'

const address = z.string({ error: 'must be a string' })

/** Every key of `config.toml` with its description and its default; both stand here and nowhere else. */
export const CONFIG_SCHEMA = z.strictObject({
  name: z.string({ error: 'must be a string' })
    .refine((name) => isName('node', name), {
      error: `must be letters, digits, dots, dashes or underscores, at most ${NAME_CHARACTERS_MAX} characters`,
    }).optional()
    .describe('Name of this node. Default: the machine\'s; for a home of another place, that folder\'s.'),
  listen: z.array(address, { error: `must be a list of addresses, such as ["${LISTEN_EXAMPLE}"]` })
    .min(1, { error: `must hold an address, such as "${LISTEN_EXAMPLE}"` })
    .default([LISTEN_EXAMPLE])
    .describe('Addresses to listen on; port 0 lets the system choose. Loopback only.'),
  join: z.array(address, { error: `must be a list of addresses, such as ["${JOIN_EXAMPLE}"]` })
    .default([])
    .describe('Addresses of nodes to connect to at start.'),
  mdns: z.boolean({ error: 'must be true or false' })
    .refine((on) => !on, { error: `must be false: ${LOOPBACK_ONLY}` })
    .default(false)
    .describe('Whether to look for nodes in the local network.'),
  log: z.strictObject({
    level: z.enum(LOG_LEVELS, { error: `must be one of ${LOG_LEVELS.join(', ')}` })
      .default('info')
      .describe('What is worth a line in the log.'),
  }, { error: wrongTable }).prefault({}).describe('The node\'s log.'),
  apps: z.record(z.string(), z.strictObject({
    path: z.string({ error: 'must be the path of a file that exports an app' })
      .describe('The file that exports the app; a relative path starts at the folder of config.toml.'),
  }, { error: wrongTable }), { error: 'must be tables, such as [apps.speaker]' })
    .default({})
    .describe('Apps that the node starts with itself, by name.'),
})

/** The node's configuration, checked and complete. */
export interface Config {
  readonly name: string
  readonly listen: readonly string[]
  readonly join: readonly string[]
  readonly mdns: boolean
  readonly log: { readonly level: (typeof LOG_LEVELS)[number] }
  /** Apps by name; `path` is absolute and the file was there when the configuration was read. */
  readonly apps: Readonly<Record<string, { readonly path: string }>>
}

/** What `warren up` was told on its command line. It goes before the file; `join` adds to the file's. */
export interface ConfigFlags {
  readonly name?: string | undefined
  readonly listen?: readonly string[] | undefined
  readonly join?: readonly string[] | undefined
  readonly logLevel?: string | undefined
}

type Complain = (key: string, message: string) => WarrenError

function wrongTable(issue: { code?: string | undefined }): string | undefined {
  return issue.code === 'invalid_type' ? 'must be a table' : undefined
}

/**
 * Reads the configuration of a home. A missing file means the defaults.
 * @throws {WarrenError} `BAD_CONFIG` that names the file and the key; `BAD_ARGUMENT` that names the flag.
 */
export function loadConfig(home: Home, flags: ConfigFlags = {}): Config {
  const inFile: Complain = (key, message) =>
    new WarrenError('BAD_CONFIG', `${home.configFile}: ${key} ${message}`, { started: false })
  const inFlag: Complain = (key, message) =>
    new WarrenError('BAD_ARGUMENT', `${FLAG_OF[key.replace(/\[.*/, '')] ?? key} ${message}`, { started: false })

  const file = check(readToml(home.configFile), inFile)
  const given = check(definedOnly({
    name: flags.name, listen: flags.listen, join: flags.join,
    log: flags.logLevel === undefined ? undefined : { level: flags.logLevel },
  }), inFlag)
  return deepFreeze({
    name: given.name ?? file.name ?? defaultName(home),
    listen: flags.listen === undefined ? file.listen : given.listen,
    join: [...new Set([...file.join, ...given.join])],
    mdns: file.mdns,
    log: flags.logLevel === undefined ? file.log : given.log,
    apps: placedApps(file.apps, dirname(home.configFile), inFile),
  })
}

const FLAG_OF: Readonly<Record<string, string>> = {
  name: '--name', listen: '--listen', join: '--join', 'log.level': '--log-level',
}

function readToml(file: string): unknown {
  const bad = (message: string, cause?: unknown): WarrenError =>
    new WarrenError('BAD_CONFIG', message, { cause, started: false })
  let text: string
  try {
    const size = statSync(file, { throwIfNoEntry: false })?.size
    if (size === undefined) return {}
    if (size > CONFIG_BYTES_MAX) throw bad(`${file} has ${size} bytes, at most ${CONFIG_BYTES_MAX} are read`)
    text = new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (cause) {
    if (cause instanceof WarrenError) throw cause
    throw bad(cause instanceof TypeError ? `${file} is not UTF-8 text`
      : `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`, cause)
  }
  try {
    return parse(text)
  } catch (cause) {
    if (!(cause instanceof TomlError)) throw cause
    const reason = (cause.message.split('\n')[0] ?? '').replace(/^Invalid TOML document: /, '')
    throw bad(`${file}:${cause.line}:${cause.column}: ${reason}`, cause)
  }
}

function check(raw: unknown, complain: Complain): z.output<typeof CONFIG_SCHEMA> {
  const result = CONFIG_SCHEMA.safeParse(raw)
  if (!result.success) throw firstIssue(result.error.issues, raw, complain)
  const { listen, join } = result.data
  listen.forEach((text, at) => checkListenAddress(text, (message) => complain(`listen[${at}]`, message)))
  join.forEach((text, at) => checkJoinAddress(text, (message) => complain(`join[${at}]`, message)))
  // The raw keys: a record's check drops some names in silence, `__proto__` for one.
  for (const name of Object.keys((raw as { apps?: object }).apps ?? {})) {
    if (!isName('app', name)) {
      throw complain(`apps.${printable(name)}`, 'is not a name for an app: use a small letter, then small letters, '
        + `digits or dashes, at most ${NAME_CHARACTERS_MAX} characters`)
    }
  }
  return result.data
}

function firstIssue(issues: readonly z.core.$ZodIssue[], raw: unknown, complain: Complain): WarrenError {
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]
  if (issue === undefined) return complain('config', 'is not valid')
  const path = issue.path.map(String)
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    return complain(`unknown key '${keyText([...path, key])}';`, hint(key, path))
  }
  let value = raw
  for (const key of issue.path) value = (value as Record<PropertyKey, unknown> | undefined)?.[key]
  return complain(keyText(path), issue.message + (value === undefined ? '; it is missing' : `, not ${shown(value)}`))
}

/** `join[1]`, `apps.echo.path`: a key the way the file and JavaScript write it. */
function keyText(path: readonly string[]): string {
  return path.map((part, at) => /^\d+$/.test(part) ? `[${part}]`
    : (at > 0 ? '.' : '') + (/^[\w-]{1,64}$/.test(part) ? part : printable(part))).join('')
}

function hint(key: string, path: readonly string[]): string {
  const known = knownKeys(path)
  const near = closest(key, known)
  return distance(key, near) <= Math.max(1, Math.floor(near.length / 2))
    ? `did you mean '${keyText([...path, near])}'?` : `known are ${known.join(', ')}`
}

function knownKeys(path: readonly string[]): string[] {
  const table = path[0] === 'log' ? CONFIG_SCHEMA.shape.log.unwrap()
    : path[0] === 'apps' ? CONFIG_SCHEMA.shape.apps.unwrap().valueType : CONFIG_SCHEMA
  return Object.keys(table.shape)
}

function shown(value: unknown): string {
  if (typeof value === 'string') return printable(value)
  if (Array.isArray(value)) return 'a list'
  if (value instanceof Date) return 'a date'
  return typeof value === 'object' ? 'a table' : String(value)
}

type Fail = (message: string) => WarrenError

/**
 * Checks an address to dial: ip4, ip6 or dns, a TCP port, and perhaps the peer's id.
 * @param fail makes the error from the rest of the sentence, which begins with a verb.
 */
export function checkJoinAddress(text: string, fail: Fail): void {
  const [host, port, peer, ...rest] = components(text, JOIN_EXAMPLE, fail)
  const hosts = ['ip4', 'ip6', 'dns', 'dns4', 'dns6']
  if (!hosts.includes(host?.name ?? '') || port?.name !== 'tcp' || port.value === '0'
    || (peer !== undefined && peer.name !== 'p2p') || rest.length > 0) {
    throw fail(`${printable(text)} is not an address to connect to, such as ${JOIN_EXAMPLE}`)
  }
}

/** Checks an address to listen on: loopback, and a TCP port. */
export function checkListenAddress(text: string, fail: Fail): void {
  const [host, port, ...rest] = components(text, LISTEN_EXAMPLE, fail)
  if ((host?.name !== 'ip4' && host?.name !== 'ip6') || port?.name !== 'tcp' || rest.length > 0) {
    throw fail(`${printable(text)} is not an address to listen on, such as ${LISTEN_EXAMPLE}`)
  }
  if (host.name === 'ip4' ? !host.value?.startsWith('127.') : host.value !== '::1') {
    throw fail(`${printable(text)} is refused: ${LOOPBACK_ONLY}`)
  }
}

function components(text: string, example: string, fail: Fail): Component[] {
  try {
    return multiaddr(text).getComponents()
  } catch (cause) {
    const why = cause instanceof Error ? ` (${cause.message})` : ''
    throw fail(`${printable(text)} is not an address${why}; one looks like ${example}`)
  }
}

function placedApps(apps: Config['apps'], folder: string, complain: Complain): Config['apps'] {
  return Object.fromEntries(Object.entries(apps).map(([name, app]) => {
    const path = resolve(folder, app.path)
    if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
      throw complain(`apps.${name}.path`, `names no file: ${path}`)
    }
    return [name, { path }]
  }))
}

/** The machine's or the folder's name, made to fit. */
function defaultName(home: Home): string {
  const name = (home.isDefault ? hostname() : basename(home.folder))
    .normalize('NFKD').replace(/\p{M}/gu, '').replace(/[^A-Za-z0-9._-]+/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '').slice(0, NAME_CHARACTERS_MAX).replace(/[^A-Za-z0-9]+$/, '')
  return isName('node', name) ? name : 'node'
}

function definedOnly(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) Object.values(Object.freeze(value)).forEach(deepFreeze)
  return value
}

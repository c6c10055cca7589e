/** Where a node keeps its things, and where its socket is: all of it follows from one folder, the home. */
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, readFileSync, realpathSync, statSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { basename, dirname, isAbsolute, join, resolve } from 'node:path'
import envPaths from 'env-paths'
import { HOME_MARKER, printable } from '../protocols/names.ts'
import { WarrenError } from '../protocols/errors.ts'

/** The places that belong to one node. All paths are absolute. */
export interface Home {
  /** The folder itself: `$WARREN_HOME`, else the system's folder for the user's application data. */
  readonly folder: string
  readonly configFile: string
  /** Identity, peer store and other things that the node must find again. */
  readonly dataFolder: string
  readonly logsFolder: string
  /** One folder per app, for whatever it keeps. */
  readonly appsFolder: string
  /** Unix socket of the running node; at most 100 bytes, however long the home's own path is. */
  readonly socket: string
  /** Holds the running node's socket path, for processes whose environment leads them to another. */
  readonly socketFile: string
  /** Held by the running node, so that a second one for this home is refused. */
  readonly lockFile: string
  /** Whether it is the home that is used when nobody names one. */
  readonly isDefault: boolean
}

/** Environment variables, as in `process.env`. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Longest socket path in bytes: Linux allows 107 and macOS 103, a terminating zero included. */
export const SOCKET_PATH_BYTES_MAX = 100

/**
 * The home that the environment names. Reads the disk, writes nothing.
 * @throws {WarrenError} `BAD_ARGUMENT` if `WARREN_HOME` cannot be a path, `UNSUPPORTED` on Windows.
 */
export function resolveHome(env: Environment): Home {
  const named = env['WARREN_HOME'] ?? ''
  if (named.includes('\0')) {
    throw new WarrenError('BAD_ARGUMENT', `WARREN_HOME ${printable(named)} is not a path: it holds a zero byte`)
  }
  const folder = named === '' ? envPaths('warren', { suffix: '' }).data : resolve(expandTilde(named, env))
  return Object.freeze({
    folder,
    configFile: join(folder, 'config.toml'),
    dataFolder: join(folder, 'data'),
    logsFolder: join(folder, 'logs'),
    appsFolder: join(folder, 'apps'),
    socket: socketPath(folder, env),
    socketFile: join(folder, 'node.socket'),
    lockFile: join(folder, 'node.lock'),
    isDefault: named === '',
  })
}

function expandTilde(path: string, env: Environment): string {
  if (path !== '~' && !path.startsWith('~/')) return path
  return join(env['HOME'] || homedir(), path.slice(1))
}

/** Two spellings of one folder, through a symbolic link or not, must lead to one socket. */
function socketPath(folder: string, env: Environment): string {
  const hash = createHash('sha256').update(realPath(folder)).digest('hex').slice(0, 16)
  const runtime = env['XDG_RUNTIME_DIR'] ?? ''
  const choices = [
    ...(isOurFolder(runtime) ? [join(runtime, 'warren')] : []),
    join(env['TMPDIR'] || '/tmp', `warren-${userId()}`),
  ].map((place) => resolve(place, `${hash}.sock`))
  return choices.find((path) => Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX)
    ?? `/tmp/warren-${userId()}/${hash}.sock`
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    // What does not exist yet has no links either: only what lies above it can.
    const above = dirname(path)
    return above === path ? path : join(realPath(above), basename(path))
  }
}

function isOurFolder(path: string): boolean {
  if (!path.startsWith('/')) return false
  const found = statSync(path, { throwIfNoEntry: false })
  return found !== undefined && found.isDirectory() && found.uid === userId()
}

function userId(): number {
  const id = process.getuid?.()
  if (id === undefined) {
    throw new WarrenError('UNSUPPORTED', 'warren runs on Linux and macOS; nobody has made it work on this system yet')
  }
  return id
}

/**
 * The home with the socket that its node listens on. The node and its clients may have been started with
 * different `XDG_RUNTIME_DIR` or `TMPDIR`, and the node wrote down which it chose. The path needs no more
 * trust than any other: `checkSocketFolder` looks at where it leads.
 */
export function withRunningSocket(home: Home): Home {
  let path: string
  try {
    path = readFileSync(home.socketFile, 'utf8')
  } catch {
    return home // No node runs, or none that wrote it down: the environment decides.
  }
  const isPath = isAbsolute(path) && Buffer.byteLength(path) <= SOCKET_PATH_BYTES_MAX && !path.includes('\0')
  return isPath ? { ...home, socket: path } : home
}

/**
 * Makes the home's folders, readable by their owner alone, and marks it as one, so that it is never indexed.
 * A home that is there already keeps its mode.
 * @throws {WarrenError} `UNREADABLE` naming the folder that cannot be made.
 */
export function prepareHome(home: Home): void {
  for (const folder of [home.folder, home.dataFolder, home.logsFolder, home.appsFolder]) {
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
    } catch (cause) {
      throw new WarrenError('UNREADABLE', `the home's folder ${folder} cannot be made: ${reason(cause)}; `
        + 'set WARREN_HOME to a folder of your own', { cause })
    }
  }
  const marker = join(home.folder, HOME_MARKER)
  try {
    writeFileSync(marker, 'This folder is the home of a Warren node; it is never indexed or served.\n', { mode: 0o600 })
  } catch (cause) {
    throw new WarrenError('UNREADABLE', `${marker} cannot be written: ${reason(cause)}; `
      + 'set WARREN_HOME to a folder of your own', { cause })
  }
}

/** The folder that an app keeps its things in; made when it is first asked for. */
export function appFolder(home: Home, app: string): string {
  const folder = join(home.appsFolder, app)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  return folder
}

/**
 * Makes the socket's folder, mode 0700, where it is missing.
 * @throws {WarrenError} `DENIED` if it is not a folder of this user's alone, `UNREADABLE` if it cannot be made.
 */
export function prepareSocketFolder(home: Home): void {
  const folder = dirname(home.socket)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (cause) {
    // Something else of that name is better explained by the check below.
    if (!isCode(cause, 'EEXIST')) {
      throw new WarrenError('UNREADABLE', `the socket's folder ${folder} cannot be made: ${reason(cause)}`, { cause })
    }
  }
  checkSocketFolder(home)
}

/**
 * Whether the socket's folder is there. Clients ask before they connect: in a folder that others may write
 * to, somebody else's process could pose as the node.
 * @throws {WarrenError} `DENIED` if it is not a folder of this user's alone.
 */
export function checkSocketFolder(home: Home): boolean {
  const folder = dirname(home.socket)
  const found = lstatSync(folder, { throwIfNoEntry: false })
  if (found === undefined) return false
  const complaint = !found.isDirectory() ? 'it is not a folder'
    : found.uid !== userId() ? `it belongs to user ${found.uid}`
      : (found.mode & 0o077) !== 0 ? `others may enter it; run: chmod 700 ${folder}` : undefined
  if (complaint === undefined) return true
  throw new WarrenError('DENIED', `the socket's folder ${folder} is not safe to use: ${complaint}`)
}

function isCode(thrown: unknown, code: string): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === code
}

function reason(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Which folders may become roots, and what they are called. */
import { opendir, realpath, stat } from 'node:fs/promises'
import { basename, isAbsolute } from 'node:path'
import { WarrenError } from '../protocols/errors.ts'
import { NAME_CHARACTERS_MAX } from '../protocols/limits.ts'
import { checkName, isName } from '../protocols/names.ts'
import { isInNodeHome, joinRoot } from './serve.ts'
import type { Root } from './store.ts'

/** A folder that can be indexed. */
export interface Folder {
  /** Absolute, without symbolic links. */
  readonly path: string
  /** Number of the device that it lies on. */
  readonly device: string
}

/**
 * Looks whether a folder can be indexed.
 * @throws {WarrenError} `BAD_ARGUMENT` for what is not an absolute path of a folder, `FILE_NOT_FOUND`,
 * `UNREADABLE`, `DENIED` for a node's home and what is in it.
 */
export async function checkFolder(path: string): Promise<Folder> {
  const shown = showPath(path)
  if (!isAbsolute(path)) bad(`${shown} is not an absolute path`)
  if (path.includes('\0')) bad(`${shown} is not a path: it holds a NUL`)
  try {
    const real = await realpath(path)
    const { dev } = await readableFolder(real, shown)
    if (isInNodeHome(real)) {
      throw new WarrenError('DENIED', `${shown} is or lies in the home of a node, which holds its keys: `
        + 'choose another folder', { started: false })
    }
    return { path: real, device: String(dev) }
  } catch (error) {
    if (error instanceof WarrenError) throw error
    throw folderError(error, shown)
  }
}

async function readableFolder(real: string, shown: string): Promise<{ dev: bigint }> {
  const stats = await stat(real, { bigint: true })
  if (!stats.isDirectory()) bad(`${shown} is not a folder`)
  await (await opendir(real)).close()
  return stats
}

function folderError(error: unknown, shown: string): WarrenError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error)
  const extras = { cause: error, started: false } as const
  switch (code) {
    case 'ENOENT': case 'ENOTDIR': case 'ENAMETOOLONG':
      return new WarrenError('FILE_NOT_FOUND', `no folder ${shown}`, extras)
    case 'ELOOP':
      return new WarrenError('BAD_ARGUMENT', `${shown} leads in a circle of symbolic links`, extras)
    case 'EACCES': case 'EPERM':
      return new WarrenError('UNREADABLE', `${shown} cannot be read: the system denies it`, extras)
    default:
      return new WarrenError('UNREADABLE', `${shown} cannot be read: ${code}`, extras)
  }
}

/**
 * Looks whether a folder may stand beside the roots that there are: two that overlap would find
 * each file twice.
 * @throws {WarrenError} `BAD_ARGUMENT` that names the root in the way.
 */
export function checkOverlap(path: string, roots: readonly Root[]): void {
  for (const root of roots) {
    if (path.startsWith(joinRoot(root.path, ''))) {
      bad(`${showPath(path)} lies in root '${root.name}' (${showPath(root.path)}), `
        + 'and is indexed with it')
    }
    if (root.path.startsWith(joinRoot(path, ''))) {
      bad(`${showPath(path)} holds root '${root.name}' (${showPath(root.path)}): `
        + 'remove that one first')
    }
  }
}

/**
 * The name of a new root: the one asked for, or the folder's own in the form that root names have,
 * with a number behind it when it is taken.
 * @throws {WarrenError} `BAD_ARGUMENT` for a name of another form, `NAME_TAKEN`.
 */
export function nameRoot(path: string, wanted: string | undefined, roots: readonly Root[]): string {
  const taken = new Map(roots.map((root) => [root.name, root.path]))
  if (wanted !== undefined) {
    checkName('root', wanted)
    const other = taken.get(wanted)
    if (other === undefined) return wanted
    throw new WarrenError('NAME_TAKEN', `root '${wanted}' is ${showPath(other)} already: `
      + 'choose another name', { started: false })
  }
  const base = nameFrom(basename(path))
  for (let number = 1; ; number += 1) {
    const suffix = number === 1 ? '' : `-${number}`
    const name = `${base.slice(0, NAME_CHARACTERS_MAX - suffix.length)}${suffix}`
    if (!taken.has(name)) return name
  }
}

/**
 * A folder's name in the form of a root's: accents go, what is no letter or digit becomes a dash.
 */
function nameFrom(folder: string): string {
  const plain = folder.normalize('NFKD').replace(/\p{M}/gu, '')
    .replace(/[^A-Za-z0-9._-]+/g, '-').replace(/^[._-]+|[-]+$/g, '')
  return isName('root', plain.slice(0, NAME_CHARACTERS_MAX)) ? plain : 'root'
}

/** A path in quotes for a message, with control characters escaped. */
export function showPath(path: string): string {
  return `'${path.replace(/\p{Cc}/gu, (character) =>
    `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)}'`
}

function bad(message: string): never {
  throw new WarrenError('BAD_ARGUMENT', message, { started: false })
}

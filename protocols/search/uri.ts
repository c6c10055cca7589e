/** The name of a file on any machine: `warren://<peerId>/<root>/<percent-encoded path>`. */
import { WarrenError } from '../errors.ts'
import { NAME_CHARACTERS_MAX } from '../limits.ts'
import { isName, printable } from '../names.ts'

/** Longest path of a file within its root, in UTF-8 bytes: Linux's PATH_MAX, macOS allows 1 024. */
export const FILE_PATH_BYTES_MAX = 4_096
/**
 * Longest PeerId as text: RSA has 46 characters, Ed25519 52, secp256k1 53; room for one more kind.
 */
export const PEER_ID_CHARACTERS_MAX = 64
/** Longest URI: the scheme, a PeerId, a root and a path of which every byte is `%xx`. */
export const FILE_URI_CHARACTERS_MAX = 'warren://'.length + PEER_ID_CHARACTERS_MAX + 1
  + NAME_CHARACTERS_MAX + 1 + 3 * FILE_PATH_BYTES_MAX

const SCHEME = 'warren://'
const PEER_ID = /^[1-9A-HJ-NP-Za-km-z]+$/

/** A URI in its parts. */
export interface FileUri {
  /** PeerId of the node that holds the file, base58. */
  readonly node: string
  /** Name of the root that it lies in. */
  readonly root: string
  /**
   * Path within the root: one or more segments joined by `/`; any Unicode but NUL, never `.` or
   * `..`.
   */
  readonly path: string
}

/**
 * The one URI of a file: equal files have equal URIs, of ASCII characters that no shell touches.
 * @throws {WarrenError} `BAD_ARGUMENT` for a PeerId, root or path that cannot stand in a URI.
 */
export function formatFileUri({ node, root, path }: FileUri): string {
  const shown = `${SCHEME}${node}/${root}/${path}`
  checkParts({ node, root, path }, shown)
  return `${SCHEME}${node}/${root}/${path.split('/').map(encodeSegment).join('/')}`
}

/**
 * Reads a URI. Characters that `formatFileUri` would have encoded may stand as they are, except `?`
 * and `#`: they mean something else in every other URI, so they are refused rather than guessed at.
 * @throws {WarrenError} `BAD_ARGUMENT` that shows the URI and says which part is wrong.
 */
export function parseFileUri(uri: string): FileUri {
  if (uri.length > FILE_URI_CHARACTERS_MAX) {
    refuse(uri, `it has ${uri.length} characters, at most ${FILE_URI_CHARACTERS_MAX} are allowed`)
  }
  if (!uri.startsWith(SCHEME)) refuse(uri, `it does not begin with ${SCHEME}`)
  const mark = /[?#]/.exec(uri)?.[0]
  if (mark !== undefined) refuse(uri, `'${mark}' must be written as ${encodeSegment(mark)}`)
  const [node = '', root = '', ...encoded] = uri.slice(SCHEME.length).split('/')
  const segments = encoded.map((segment) => {
    const text = decodeSegment(segment)
    if (text === undefined) refuse(uri, `${printable(segment)} is not percent-encoded UTF-8`)
    // Two paths must not share a URI: this one would be read as two segments.
    if (text.includes('/')) refuse(uri, `the segment ${printable(segment)} holds an encoded '/'`)
    return text
  })
  const parts = { node, root, path: segments.join('/') }
  checkParts(parts, uri)
  return parts
}

function checkParts({ node, root, path }: FileUri, uri: string): void {
  if (node.length > PEER_ID_CHARACTERS_MAX || !PEER_ID.test(node)) {
    refuse(uri, `${printable(node)} is not the PeerId of a node`)
  }
  if (!isName('root', root)) refuse(uri, `${printable(root)} is not the name of a root`)
  if (path === '') refuse(uri, 'it names no file')
  if (!path.isWellFormed()) refuse(uri, 'its path is not valid Unicode')
  if (path.includes('\0')) refuse(uri, 'its path holds a NUL')
  const bytes = new TextEncoder().encode(path).length
  if (bytes > FILE_PATH_BYTES_MAX) {
    refuse(uri, `its path has ${bytes} bytes, at most ${FILE_PATH_BYTES_MAX} are allowed`)
  }
  for (const segment of path.split('/')) {
    if (segment === '') refuse(uri, 'its path has an empty segment')
    if (segment === '.' || segment === '..') refuse(uri, `its path has the segment '${segment}'`)
  }
}

/** Beyond what encodeURIComponent does, the five characters that it leaves and a shell does not. */
function encodeSegment(segment: string): string {
  return encodeURIComponent(segment).replace(/[!'()*]/g, (character) =>
    `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
}

function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

function refuse(uri: string, why: string): never {
  throw new WarrenError('BAD_ARGUMENT', `${printable(uri)} is not a file of a warren: ${why}`,
    { started: false })
}

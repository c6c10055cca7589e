/** Tidy rules about the rooms: who imports whom, what is pure, which protocol ids are in the table. */
import { builtinModules } from 'node:module'
import { posix } from 'node:path'
import { SyntaxKind, type Node } from 'typescript/unstable/ast'
import {
  isBindingElement, isCallExpression, isClassDeclaration, isExportDeclaration, isFunctionDeclaration,
  isFunctionExpression, isIdentifier, isImportClause, isImportDeclaration, isImportSpecifier, isImportTypeNode,
  isLiteralTypeNode, isNamedImports, isNamespaceImport, isNewExpression, isNoSubstitutionTemplateLiteral,
  isParameterDeclaration, isPropertyAccessExpression, isStringLiteral, isTemplateHead, isVariableDeclaration,
} from 'typescript/unstable/ast/is'
import { at, find, walk, type Source, type Tree } from './source.ts'

/** The rooms, and which others each may import. */
export const ROOMS: Readonly<Record<string, readonly string[]>> = {
  protocols: [],
  node: ['protocols'],
  indexer: ['protocols'],
  search: ['protocols'],
  test: ['protocols', 'node', 'indexer', 'search'],
}

/** The only file that knows which apps exist: it may name their files, by URL, for children to run. */
const COMPOSITION_ROOT = 'node/main.ts'

/** The room that a path lies in; `undefined` outside of all. */
export function roomOf(path: string): string | undefined {
  const [top = '', ...rest] = path.split('/')
  return rest.length > 0 && Object.hasOwn(ROOMS, top) ? top : undefined
}

interface Reference { readonly node: Node, readonly specifier: string, readonly by: 'import' | 'url' }

/** Every module that a source names: imports, re-exports, import types, dynamic imports, and URLs beside it. */
function references(source: Source): Reference[] {
  const found: Reference[] = []
  const add = (node: Node | undefined, by: Reference['by']): void => {
    if (node === undefined) return
    if (isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node)) found.push({ node, specifier: node.text, by })
  }
  walk(source.tree, (node) => {
    if (isImportDeclaration(node) || isExportDeclaration(node)) add(node.moduleSpecifier, 'import')
    else if (isImportTypeNode(node) && isLiteralTypeNode(node.argument)) add(node.argument.literal, 'import')
    else if (isCallExpression(node)) {
      if (node.expression.kind === SyntaxKind.ImportKeyword) add(node.arguments[0], 'import')
      if (node.expression.getText(source.tree) === 'import.meta.resolve') add(node.arguments[0], 'url')
    } else if (isNewExpression(node) && node.expression.getText(source.tree) === 'URL') {
      const base = node.arguments?.[1]?.getText(source.tree)
      if (base === 'import.meta.url') add(node.arguments?.[0], 'url')
    }
  })
  return found
}

const isRelative = (specifier: string): boolean => /^\.{0,2}\//.test(specifier) || /^\.{1,2}$/.test(specifier)

const isLibp2p = (specifier: string): boolean =>
  /^(libp2p|@libp2p\/|@chainsafe\/libp2p-|@multiformats\/multiaddr)/.test(specifier)

/** Walls: an import may only follow the arrows of ARCHITECTURE.md. */
export function walls({ sources }: Tree): string[] {
  return sources.flatMap((source) => {
    const room = roomOf(source.path)
    if (room === undefined || room === 'test') return []
    return references(source).flatMap((reference) => {
      const problem = wallBetween(source.path, room, reference)
      return problem === undefined ? [] : [at(source, reference.node, problem)]
    })
  })
}

function wallBetween(path: string, room: string, { specifier, by }: Reference): string | undefined {
  const may = ROOMS[room]?.join(', ') || 'no other room'
  if (!isRelative(specifier)) {
    if (room === 'node') return undefined
    if (/^warren(\/|$)/.test(specifier)) return `${room}/ imports '${specifier}', which is node/: use protocols/`
    return isLibp2p(specifier) ? `only node/ knows libp2p, ${room}/ imports '${specifier}': move it there` : undefined
  }
  const target = posix.join(posix.dirname(path), specifier)
  const other = roomOf(target)
  if (other === room || (other !== undefined && ROOMS[room]?.includes(other))) return undefined
  if (by === 'url') {
    if (other === undefined || path === COMPOSITION_ROOT) return undefined
    return `${room}/ names a file of ${other}/: only ${COMPOSITION_ROOT} knows which apps exist`
  }
  return other === undefined
    ? `'${specifier}' lies outside of the rooms and will not be published: move what is needed into ${room}/`
    : `${room}/ imports ${other}/, it may import ${may}: go through protocols/ or the overlay`
}

/** Node and the published build find a module only by its whole file name. */
export function suffixes({ sources, files }: Tree): string[] {
  const known = new Set(files.map((file) => file.path))
  return sources.flatMap((source) => references(source)
    .filter(({ specifier, by }) => by === 'import' && isRelative(specifier) && !specifier.endsWith('.ts'))
    // A file of another kind (a .mjs, a .json) is named in full too, so it is there.
    .filter(({ specifier }) => !known.has(posix.join(posix.dirname(source.path), specifier)))
    .map(({ node, specifier }) =>
      at(source, node, `'${specifier}' is not a file's whole name: write the suffix, such as '${specifier}.ts'`)))
}

/** Globals that read a clock, chance, the outside or the process, and what pure code uses instead. */
const IMPURE_GLOBALS: Readonly<Record<string, string>> = {
  ...Object.fromEntries(['setTimeout', 'setInterval', 'setImmediate', 'queueMicrotask']
    .map((name) => [name, 'return a setTimer effect'])),
  ...Object.fromEntries(['performance', 'Temporal'].map((name) => [name, 'take nowMs as an argument'])),
  ...Object.fromEntries(['crypto'].map((name) => [name, 'take a seed, or hash with createHash'])),
  ...Object.fromEntries(['process', 'globalThis', 'global', 'require'].map((name) => [name, 'take it as an argument'])),
  ...Object.fromEntries(['fetch', 'WebSocket', 'EventSource', 'XMLHttpRequest', 'Worker', 'console', 'BroadcastChannel']
    .map((name) => [name, 'return an effect and let the driver do it'])),
}

/** Members of otherwise pure globals. */
const IMPURE_MEMBERS: Readonly<Record<string, string>> = {
  'Date.now': 'take nowMs as an argument',
  'Math.random': 'take a seed',
  'AbortSignal.timeout': 'return a setTimer effect',
}

/** Purity: `protocols/` gets time, chance and the outside world as arguments and gives effects. */
export function purity({ sources }: Tree): string[] {
  return sources.filter((source) => roomOf(source.path) === 'protocols')
    .flatMap((source) => [...impureImports(source), ...impureUses(source)])
}

function impureImports(source: Source): string[] {
  return references(source).flatMap(({ node, specifier, by }) => {
    if (by === 'url') return [at(source, node, `protocols/ reads no files ('${specifier}'): take it as an argument`)]
    if (!specifier.startsWith('node:') && !builtinModules.includes(specifier)) return []
    const names = importedNames(node.parent)
    if (specifier === 'node:crypto' && names?.every((name) => name === 'createHash')) return []
    // An assertion about one's own state reads nothing but that state.
    if (specifier === 'node:assert/strict' && importsByName(node.parent)) return []
    return [at(source, node, `protocols/ is pure and imports '${specifier}': `
      + "only node:crypto's createHash and node:assert/strict, by default or by name, are allowed")]
  })
}

/** What an import declaration takes from its module by name at run time; `undefined` if it takes all of it. */
function importedNames(node: Node): string[] | undefined {
  if (!isImportDeclaration(node)) return undefined
  const bindings = node.importClause?.namedBindings
  if (node.importClause?.name !== undefined || bindings === undefined || !isNamedImports(bindings)) return undefined
  return bindings.elements.map((element) => (element.propertyName ?? element.name).getText())
}

/** Whether an import declaration takes a module's default, or names from it, and not all of it or nothing. */
function importsByName(node: Node): boolean {
  if (!isImportDeclaration(node) || node.importClause === undefined) return false
  const bindings = node.importClause.namedBindings
  return bindings === undefined || isNamedImports(bindings)
}

function impureUses(source: Source): string[] {
  const declared = new Set<string>()
  for (const { name } of find(source, isDeclaration)) {
    if (name !== undefined && isIdentifier(name)) declared.add(name.text)
  }
  return find(source, isIdentifier).flatMap((node) => {
    if (!isUse(node) || declared.has(node.text)) return []
    const parent = node.parent
    const member = isPropertyAccessExpression(parent) ? `${node.text}.${parent.name.getText(source.tree)}` : ''
    const clock = node.text === 'Date' && ((isNewExpression(parent) && (parent.arguments?.length ?? 0) === 0)
      || isCallExpression(parent))
    const instead = clock ? 'take nowMs as an argument'
      : Object.hasOwn(IMPURE_MEMBERS, member) ? IMPURE_MEMBERS[member]
        : Object.hasOwn(IMPURE_GLOBALS, node.text) ? IMPURE_GLOBALS[node.text] : undefined
    if (instead === undefined) return []
    const shown = clock ? 'the clock (Date)' : Object.hasOwn(IMPURE_MEMBERS, member) ? member : node.text
    return [at(source, node, `protocols/ is pure and uses ${shown}: ${instead}`)]
  })
}

/** What gives a name of its own to a value, so that the global of that name is not meant. */
const isDeclaration = (node: Node): node is Node & { readonly name?: Node } => [
  isVariableDeclaration, isParameterDeclaration, isBindingElement, isFunctionDeclaration, isFunctionExpression,
  isClassDeclaration, isImportSpecifier, isImportClause, isNamespaceImport,
].some((is) => is(node))

/** Whether an identifier stands for a value, rather than naming a property, a type or a declaration. */
function isUse(node: Node): boolean {
  const { parent } = node
  if (isPropertyAccessExpression(parent)) return parent.expression === node
  if (parent.kind === SyntaxKind.TypeReference || parent.kind === SyntaxKind.QualifiedName) return false
  if (parent.kind === SyntaxKind.ShorthandPropertyAssignment) return true
  const own = parent as Node & { readonly name?: Node, readonly propertyName?: Node, readonly label?: Node }
  return own.name !== node && own.propertyName !== node && own.label !== node
}

const PROTOCOL_ID = /\/warren\/[a-z0-9/._-]+\/\d+(?:\/[a-z0-9._-]+)*\/?/g

/** Every protocol id that the code speaks stands in the table of `protocols/README.md`. */
export function protocolIds({ files, sources }: Tree): string[] {
  const readme = files.find((file) => file.path === 'protocols/README.md')?.text ?? ''
  const table = readme.split('\n').filter((line) => line.trimStart().startsWith('|')).join('\n')
  const listed = [...table.matchAll(PROTOCOL_ID)].map(([id]) => id)
  return sources.filter((source) => ['protocols', 'node'].includes(roomOf(source.path) ?? '')).flatMap((source) => {
    const literals = find(source, (node): node is Node & { readonly text: string } =>
      isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node) || isTemplateHead(node))
    return literals.flatMap((node) => [...node.text.matchAll(PROTOCOL_ID)]
      // The head of a template is the beginning of an id, `/warren/rpc/1/` before its codec.
      .filter(([id]) => !listed.some((known) => known === id || (isTemplateHead(node) && known.startsWith(id))))
      .map(([id]) => at(source, node, `protocol id ${id} is missing from the table in protocols/README.md: add it`)))
  })
}

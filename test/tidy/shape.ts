/** Tidy rules about the shape of files: sizes, documentation, escapes from the types, tests that do not run. */
import { posix } from 'node:path'
import { SyntaxKind, type Node } from 'typescript/unstable/ast'
import {
  isArrowFunction, isBlock, isCallExpression, isCatchClause, isConstructorDeclaration, isExportDeclaration,
  isExportKeyword, isFunctionDeclaration, isFunctionExpression, isGetAccessorDeclaration, isIdentifier,
  isMethodDeclaration, isPropertyAccessExpression, isSetAccessorDeclaration, isVariableStatement,
} from 'typescript/unstable/ast/is'
import { ROOMS, roomOf } from './rooms.ts'
import { at, find, lineAt, type Source, type Tree } from './source.ts'

const FILE_LINES_MAX = 500
const FUNCTION_LINES_MAX = 70
const LINE_COLUMNS_MAX = 120

/** Top-level folders: the rooms, and what a tool insists on. */
const FOLDERS = [...Object.keys(ROOMS), '.ci', '.git', 'node_modules', 'coverage', 'dist']

const lines = (text: string): string[] => text.replace(/\n$/, '').split('\n')

/** Files stay short enough to be read in one sitting. */
export function fileSizes({ sources }: Tree): string[] {
  return sources.flatMap(({ path, text }) => {
    const count = lines(text).length
    return count <= FILE_LINES_MAX ? []
      : [`${path}:${FILE_LINES_MAX + 1}: the file has ${count} lines, at most ${FILE_LINES_MAX} are allowed: `
        + 'split it where its ideas part']
  })
}

const isFunction = (node: Node): node is Node => [
  isFunctionDeclaration, isFunctionExpression, isArrowFunction, isMethodDeclaration, isConstructorDeclaration,
  isGetAccessorDeclaration, isSetAccessorDeclaration,
].some((is) => is(node))

/** Functions stay short enough to be seen at once; the body of a `describe` is a list, not a function. */
export function functionSizes({ sources }: Tree): string[] {
  return sources.flatMap((source) => find(source, isFunction).flatMap((node) => {
    const count = lineAt(source.text, node.end) - lineAt(source.text, node.getStart(source.tree)) + 1
    if (count <= FUNCTION_LINES_MAX || isSuiteBody(source, node)) return []
    return [at(source, node, `the function has ${count} lines, at most ${FUNCTION_LINES_MAX} are allowed: split it`)]
  }))
}

function isSuiteBody(source: Source, node: Node): boolean {
  return roomOf(source.path) === 'test' && isCallExpression(node.parent)
    && node.parent.expression.getText(source.tree) === 'describe'
}

/** Lines fit beside another file. */
export function columns({ files }: Tree): string[] {
  return files.filter(({ path }) => /\.(ts|mts|mjs|js)$/.test(path) || path.startsWith('.ci/'))
    .flatMap(({ path, text }) => lines(text).flatMap((line, index) => [...line].length <= LINE_COLUMNS_MAX ? []
      : [`${path}:${index + 1}: the line has ${[...line].length} columns, at most ${LINE_COLUMNS_MAX} are allowed: `
        + 'break it']))
}

const HEADER = /^(?:#![^\n]*\n)?\/\*\*([\s\S]*?)\*\//

/** A file begins with a sentence on what it is for. */
export function headers({ sources }: Tree): string[] {
  return sources.flatMap(({ path, text }) => {
    const words = HEADER.exec(text)?.[1]?.replaceAll(/^\s*\* ?/gm, '').trim()
    return words !== undefined && /^[^@\s][\s\S]*[.!?](\s|$)/.test(words) ? []
      : [`${path}:1: the file does not begin with a /** sentence. */ on what it is for: write one`]
  })
}

/** Every exported name says why it is there, in a doc comment of its own. */
export function exportDocs({ sources }: Tree): string[] {
  return sources.flatMap((source) => {
    const header = HEADER.exec(source.text)?.[0].length ?? 0
    const documented = new Set<string>()
    const places = new Map<string, Node>()
    const exported = new Set<string>()
    for (const statement of source.tree.statements) {
      // The file's own sentence is not the doc comment of a statement that follows it directly.
      const isDocumented = statement.jsDoc?.some((comment) => comment.end > header) ?? false
      const isExported = 'modifiers' in statement
        && ((statement.modifiers as readonly Node[] | undefined)?.some(isExportKeyword) ?? false)
      for (const name of namesOf(statement)) {
        if (isDocumented) documented.add(name)
        if (isExported) exported.add(name)
        if (!places.has(name)) places.set(name, statement)
      }
      if (isExportDeclaration(statement) && statement.moduleSpecifier === undefined) {
        statement.exportClause?.forEachChild((element) => {
          const { propertyName, name } = element as Node & { readonly propertyName?: Node, readonly name?: Node }
          exported.add((propertyName ?? name ?? element).getText(source.tree))
        })
      }
    }
    return [...exported].filter((name) => !documented.has(name)).map((name) =>
      at(source, places.get(name) ?? source.tree, `exported '${name}' has no doc comment: say why it is there`))
  })
}

/** The names that a statement declares; overloads declare theirs again. */
function namesOf(statement: Node): string[] {
  const texts = (node: Node | undefined): string[] => {
    if (node === undefined) return []
    if (isIdentifier(node)) return [node.text]
    // A pattern: `export const { a, b: c } = …`.
    const found: string[] = []
    node.forEachChild((element) => { found.push(...texts((element as Node & { readonly name?: Node }).name)) })
    return found
  }
  if (isVariableStatement(statement)) {
    return statement.declarationList.declarations.flatMap((declaration) => texts(declaration.name))
  }
  // A default export without a name is the file itself, and the file says what it is for.
  return texts((statement as Node & { readonly name?: Node }).name)
}

const DIRECTIVE = new RegExp(`@ts-(?:${['ignore', 'nocheck', 'expect-error'].join('|')})`)

/** Types are kept outside of test/: no `any`, no order to the compiler to look away. */
export function escapes({ sources }: Tree): string[] {
  return sources.filter((source) => roomOf(source.path) !== 'test').flatMap((source) => [
    ...find(source, (node): node is Node => node.kind === SyntaxKind.AnyKeyword)
      .map((node) => at(source, node, "'any' switches the types off: write the type, or 'unknown' and check it")),
    ...lines(source.text).flatMap((line, index) => {
      const directive = DIRECTIVE.exec(line)?.[0]
      return directive === undefined ? [] : [`${source.path}:${index + 1}: ${directive} hides an error: mend its cause`]
    }),
  ])
}

/** No error is swallowed in silence: what is ignored on purpose has a comment that says why. */
export function emptyCatches({ sources }: Tree): string[] {
  const isEmpty = (source: Source, body: Node): boolean => /^\{\s*\}$/.test(body.getText(source.tree))
  return sources.flatMap((source) => [
    ...find(source, isCatchClause).filter((node) => isEmpty(source, node.block)),
    ...find(source, isCallExpression).filter((node) => {
      const handler = node.arguments[0]
      return isPropertyAccessExpression(node.expression) && node.expression.name.getText(source.tree) === 'catch'
        && handler !== undefined && (isArrowFunction(handler) || isFunctionExpression(handler))
        && handler.body !== undefined && isBlock(handler.body) && isEmpty(source, handler.body)
        && !hasCommentBefore(source, handler.body.getStart(source.tree))
    }),
  ].map((node) => at(source, node, 'the error is swallowed in silence: handle it, or say in a comment why not')))
}

/** Whether the line above the one at `position` is a comment: short handlers have their reason there. */
function hasCommentBefore(source: Source, position: number): boolean {
  const above = lines(source.text)[lineAt(source.text, position) - 2]?.trim() ?? ''
  return above.startsWith('//') || above.endsWith('*/')
}

/** Every test runs. */
export function skippedTests({ sources }: Tree): string[] {
  const suites = /^(?:describe|context|suite|specify|it|test|this)\.(?:skip|only)$/
  return sources.filter((source) => roomOf(source.path) === 'test').flatMap((source) =>
    find(source, isCallExpression).flatMap((node) => {
      const name = node.expression.getText(source.tree)
      return suites.test(name) || /^x(?:it|describe|context|specify)$/.test(name)
        ? [at(source, node, `${name} keeps tests from running: mend or remove them`)] : []
    }))
}

/** The house has five rooms; a folder holds what belongs together, a file's name says what is in it. */
export function folders({ files }: Tree, alone: Readonly<Record<string, string>> = {}): string[] {
  const found = new Map<string, Set<string>>()
  for (const { path } of files) {
    for (let inside = path; inside.includes('/'); inside = posix.dirname(inside)) {
      const folder = posix.dirname(inside)
      found.set(folder, (found.get(folder) ?? new Set()).add(inside))
    }
  }
  return [
    ...[...found.keys()].filter((folder) => !folder.includes('/') && !FOLDERS.includes(folder))
      .map((folder) => `${folder}/:1: is no room of this house: move its files into ${Object.keys(ROOMS).join(', ')}`),
    ...[...found].filter(([folder, inside]) => inside.size === 1 && !Object.hasOwn(alone, folder))
      .map(([folder, inside]) => `${[...inside][0]}:1: stands alone in ${folder}/: move it up, or its siblings in`),
    ...files.filter(({ path }) => /(?:^|\/)utils?\.[a-z]+$/.test(path))
      .map(({ path }) => `${path}:1: a name that says nothing: move each function to the idea that it serves`),
  ]
}

/** The words, put together so that this file does not find itself. */
export const UNFINISHED_WORDS = [['TO', 'DO'], ['FIX', 'ME'], ['X', 'XX']].map((parts) => parts.join(''))

const UNFINISHED = new RegExp(`\\b(?:${UNFINISHED_WORDS.join('|')})\\b`)

/** Nothing is left for later: what is known to be missing is an issue. */
export function unfinished({ files }: Tree): string[] {
  return files.filter(({ path }) => /\.(ts|mts|mjs|js)$/.test(path) || path.startsWith('.ci/'))
    .flatMap(({ path, text }) => lines(text).flatMap((line, index) => {
      const word = UNFINISHED.exec(line)?.[0]
      return word === undefined ? [] : [`${path}:${index + 1}: ${word} stands for something unfinished: finish it`]
    }))
}

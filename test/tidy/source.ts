/** The repository as the tidy rules see it: paths, texts and syntax trees, from the disk or from memory. */
import { execFileSync } from 'node:child_process'
import { readFileSync, readdirSync } from 'node:fs'
import { join, relative, sep } from 'node:path'
import type { Node, SourceFile } from 'typescript/unstable/ast'
import {
  isExportDeclaration, isImportDeclaration, isInterfaceDeclaration, isTypeAliasDeclaration,
} from 'typescript/unstable/ast/is'
import { API } from 'typescript/unstable/async'
import { createVirtualFileSystem } from 'typescript/unstable/fs'

/** A file by its path from the repository's root, with slashes. */
export interface File { readonly path: string, readonly text: string }

/** A file of code with its syntax tree. */
export interface Source extends File { readonly tree: SourceFile }

/** All files, and those among them that are code. */
export interface Tree { readonly files: readonly File[], readonly sources: readonly Source[] }

/** Kept out of version control, so nothing in them is ours. */
const NOT_OURS = ['.git', 'node_modules', 'coverage', 'dist']

/** Parses the code among `files` with TypeScript's own parser; what it cannot parse it repairs silently. */
export async function parse(files: readonly File[]): Promise<Tree> {
  const code = files.filter((file) => /\.(ts|mts|mjs|js)$/.test(file.path))
  if (code.length === 0) return { files, sources: [] }
  const config = '/tidy/tsconfig.json'
  const place = (file: File): string => `/tidy/${file.path}`
  // Without libraries and resolution nothing but the given files is ever read.
  const compilerOptions = {
    noLib: true, noResolve: true, types: [], allowJs: true, noEmit: true, target: 'esnext', module: 'nodenext',
    allowImportingTsExtensions: true,
  }
  const api = new API({
    cwd: '/tidy',
    fs: createVirtualFileSystem({
      ...Object.fromEntries(code.map((file) => [place(file), file.text])),
      [config]: JSON.stringify({ compilerOptions, files: code.map(place) }),
    }),
  })
  try {
    const project = (await api.updateSnapshot({ openProjects: [config] })).getProject(config)
    const sources = await Promise.all(code.map(async (file): Promise<Source> => {
      const tree = await project?.program.getSourceFile(place(file))
      if (tree === undefined) throw new Error(`TypeScript gave no syntax tree for ${file.path}`)
      return { ...file, tree }
    }))
    return { files, sources }
  } finally {
    await api.close()
  }
}

/** Reads the repository in `root`: what git knows or would add; all files, where git cannot say. */
export function readFiles(root: string): File[] {
  return listed(root)
    .filter((path) => !NOT_OURS.includes(path.split('/')[0] ?? ''))
    .toSorted()
    .flatMap((path) => {
      try {
        return [{ path, text: readFileSync(join(root, path), 'utf8') }]
      } catch (error) {
        // Deleted and not yet committed: git still lists it.
        if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
        throw error
      }
    })
}

function listed(root: string): string[] {
  try {
    const words = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
    const list = execFileSync('git', words, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    return [...new Set(list.split('\0'))].filter((path) => path !== '')
  } catch {
    // An archive without .git, or a machine without git.
    return readdirSync(root, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).split(sep).join('/'))
  }
}

/** Visits `node` and everything below it, parents first. */
export function walk(node: Node, visit: (node: Node) => void): void {
  visit(node)
  node.forEachChild((child) => { walk(child, visit) })
}

/** The nodes of a source for which `is` holds, in their order. */
export function find<T extends Node>(source: Source, is: (node: Node) => node is T): T[] {
  const found: T[] = []
  walk(source.tree, (node) => { if (is(node)) found.push(node) })
  return found
}

/** The line, from 1, of a position in a text. */
export function lineAt(text: string, position: number): number {
  return text.slice(0, position).split('\n').length
}

/** `path:line: message` for a node. */
export function at(source: Source, node: Node, message: string): string {
  return `${source.path}:${lineAt(source.text, node.getStart(source.tree))}: ${message}`
}

/** Whether a source holds types alone: nothing of it is there at run time, so no test can reach it. */
export function isTypesOnly({ tree }: Source): boolean {
  return tree.statements.every((statement) => isInterfaceDeclaration(statement) || isTypeAliasDeclaration(statement)
    || ((isImportDeclaration(statement) || isExportDeclaration(statement))
      && /^(?:import|export) type\b/.test(statement.getText(tree))))
}

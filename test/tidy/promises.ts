/** The one tidy rule that needs types: no promise is left alone, so that no failure goes unheard. */
import { relative } from 'node:path'
import { SyntaxKind, type Node, type SourceFile } from 'typescript/unstable/ast'
import {
  isBinaryExpression, isCallExpression, isExpressionStatement, isPropertyAccessExpression,
} from 'typescript/unstable/ast/is'
import { API, type Project } from 'typescript/unstable/async'
import { createVirtualFileSystem } from 'typescript/unstable/fs'
import { lineAt, walk } from './source.ts'

/**
 * Statements that are promises: neither awaited, nor returned, nor caught, nor marked with `void`.
 * @param root absolute path of the folder with `tsconfig.json`.
 * @param files absolute paths and texts that stand in for the disk; none: the disk.
 */
export async function floatingPromises(root: string, files?: Readonly<Record<string, string>>): Promise<string[]> {
  const config = `${root}/tsconfig.json`
  const api = new API({ cwd: root, ...(files === undefined ? {} : { fs: createVirtualFileSystem({ ...files }) }) })
  try {
    const project = (await api.updateSnapshot({ openProjects: [config] })).getProject(config)
    if (project === undefined) throw new Error(`TypeScript does not open ${config}`)
    const found: string[] = []
    for (const path of project.rootFiles) {
      const tree = await project.program.getSourceFile(path)
      if (tree !== undefined) found.push(...await floatingIn(project, relative(root, path), tree))
    }
    return found
  } finally {
    await api.close()
  }
}

async function floatingIn(project: Project, path: string, tree: SourceFile): Promise<string[]> {
  const candidates: Node[] = []
  walk(tree, (node) => {
    if (!isExpressionStatement(node) || isHandled(node.expression) || isKept(node.expression)) return
    candidates.push(node.expression)
  })
  if (candidates.length === 0) return []
  const types = await project.checker.getTypeAtLocation(candidates)
  const promises = new Map<number, Promise<boolean>>()
  const isPromise = (type: (typeof types)[number]): Promise<boolean> => {
    if (type === undefined) return Promise.resolve(false)
    const known = promises.get(type.id) ?? project.checker.getNonNullableType(type)
      .then((there) => project.checker.getPropertyOfType(there ?? type, 'then'))
      .then((then) => then !== undefined)
    promises.set(type.id, known)
    return known
  }
  const floats = await Promise.all(types.map(isPromise))
  return candidates.filter((_, index) => floats[index]).map((node) =>
    `${path}:${lineAt(tree.text, node.getStart(tree))}: a promise floats: await it, catch it, or write void before it`)
}

/** Whether an expression puts its value somewhere, where somebody may wait for it. */
function isKept(node: Node): boolean {
  if (!isBinaryExpression(node)) return false
  const operator = node.operatorToken.kind
  return operator >= SyntaxKind.FirstAssignment && operator <= SyntaxKind.LastAssignment
}

/** Whether a chain of promises ends in a handler for its failure. */
function isHandled(node: Node): boolean {
  if (!isCallExpression(node) || !isPropertyAccessExpression(node.expression)) return false
  const name = node.expression.name.getText()
  if (name === 'catch') return node.arguments.length > 0
  if (name === 'then') return node.arguments.length > 1
  return name === 'finally' && isHandled(node.expression.expression)
}

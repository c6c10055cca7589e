/** Keeps the house tidy: the walls between its rooms, the purity of protocols/, sizes, words on everything. */
import assert from 'node:assert/strict'
import { dirname } from 'node:path'
import { floatingPromises } from './tidy/promises.ts'
import { protocolIds, purity, suffixes, walls } from './tidy/rooms.ts'
import {
  columns, emptyCatches, escapes, exportDocs, fileSizes, folders, functionSizes, headers, skippedTests, unfinished,
} from './tidy/shape.ts'
import { parse, readFiles, type Tree } from './tidy/source.ts'

/** Folders that hold one file, and why they may. */
const ALONE: Readonly<Record<string, string>> = {
  '.ci': 'the place that continuous integration looks into',
  'test/types': 'compiled, never run: it must not be taken for a test',
}

const ROOT = dirname(import.meta.dirname)

/** Fails with one line for each problem. */
function none(problems: readonly string[]): void {
  if (problems.length > 0) assert.fail(`\n${problems.join('\n')}`)
}

describe('the house', () => {
  let tree: Tree
  before(async () => { tree = await parse(readFiles(ROOT)) })

  const rules: Record<string, (tree: Tree) => string[]> = {
    'keeps its walls: an import follows the arrows of the architecture': walls,
    'names every module by its whole file name': suffixes,
    'is pure in protocols/': purity,
    'lists every protocol id in protocols/README.md': protocolIds,
    'has no file above 500 lines': fileSizes,
    'has no function above 70 lines': functionSizes,
    'has no line above 120 columns': columns,
    'begins every file with a sentence on what it is for': headers,
    'documents every exported name': exportDocs,
    'keeps its types outside of test/': escapes,
    'swallows no error in silence': emptyCatches,
    'runs every test': skippedTests,
    'has five rooms, no folder for one file, no file without an idea': (all) => folders(all, ALONE),
    'leaves nothing unfinished': unfinished,
  }
  for (const [title, rule] of Object.entries(rules)) {
    it(title, () => { none(rule(tree)) })
  }

  it('lets no promise float', async () => { none(await floatingPromises(ROOT)) })

  it('is not empty, as it would be if no file were found', () => {
    assert.ok(tree.sources.some((source) => source.path === 'protocols/errors.ts'))
    assert.ok(tree.sources.some((source) => source.path === 'test/tidy.test.ts'))
  })
})

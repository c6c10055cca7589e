/** Plants each untidiness once in a house in memory and sees its rule name it, and nothing in a tidy house. */
import assert from 'node:assert/strict'
import { protocolIds, purity, suffixes, walls } from '../tidy/rooms.ts'
import {
  columns, emptyCatches, escapes, exportDocs, fileSizes, folders, functionSizes, headers, skippedTests, unfinished,
  UNFINISHED_WORDS,
} from '../tidy/shape.ts'
import { parse, type File, type Source, type Tree } from '../tidy/source.ts'

type Rule = (tree: Tree) => string[]

const RULES: readonly Rule[] = [
  walls, suffixes, purity, protocolIds, fileSizes, functionSizes, columns, headers, exportDocs, escapes, emptyCatches,
  skippedTests, folders, unfinished,
]

const TIDY: Readonly<Record<string, string>> = {
  'protocols/README.md': '| id | folder |\n| --- | --- |\n| `/warren/rpc/1/cbor` | rpc |\n',
  'protocols/errors.ts': '/** Errors. */\n/** One. */\nexport class Oops extends Error {}\n',
  'protocols/hash.ts': [
    '/** Hashes, purely. */', "import { createHash } from 'node:crypto'", "import { Oops } from './errors.ts'",
    '/** Overloads share one comment. */', 'export function hash(text: string): string',
    'export function hash(text: Uint8Array): string', 'export function hash(text: string | Uint8Array): string {',
    "  if (text.length === 0) throw new Oops('a property may be called Date.now, process or fetch')",
    "  const performance = (process: number): number => process", "  void performance(1)",
    "  const clock = { now: 1, fetch: 2, process: 3 }", '  // setTimeout(() => Math.random()) is only a comment.',
    "  return createHash('sha256').update(text).digest('hex') + clock.fetch + new Date(clock.now).toISOString()", '}',
    "export { Oops } from './errors.ts'", '',
  ].join('\n'),
  'protocols/sure.ts': "/** Asserts about its own state. */\nimport assert from 'node:assert/strict'\nassert(true)\n",
  'protocols/surer.ts': "/** Asserts by name. */\nimport { equal, ok as sure } from 'node:assert/strict'\n"
    + "import assert, { notEqual } from 'node:assert/strict'\nequal(1, 1)\nsure(true)\nassert(true)\nnotEqual(1, 2)\n",
  'node/main.ts': "#!/usr/bin/env node\n/** Starts. */\nimport { hash } from '../protocols/hash.ts'\n"
    + "hash(new URL('../indexer/index.ts', import.meta.url).href)\n",
  'node/ids.ts': [
    '/** Ids. */', '/** Begins as a listed id does. */',
    'export const idOf = (codec: string): string => `/warren/rpc/1/${codec}`', 'const local = 1',
    '/** A name is no type. */', "export interface Named { any: 'any' }",
    'export type { Named as Same }', 'void local', '',
  ].join('\n'),
  'node/setup.mjs': '/** Plain. */\ntry { main() } catch {\n  // Somebody else reports it.\n}\nfunction main() {}\n'
    + '// The same.\nawait f().catch(() => {})\n',
  'indexer/index.ts': "/** Index. */\nimport { hash } from '../protocols/hash.ts'\nhash('')\n",
  'indexer/walk.ts': '/** Walk. */\nvoid Date.now()\n',
  'search/index.ts': "/** Search. */\nexport default { name: 'search' }\n",
  'search/plan.ts': '/** Plan. */\n',
  'test/a.test.ts': "/** Tests. */\nimport '../node/main.ts'\nimport '../node/setup.mjs'\n"
    + `describe('x', () => {${'\n'.repeat(80)}  it('y', () => {})\n})\n`,
  'test/b.test.ts': '/** Tests. */\nconst text = "it.skip() and : any are words here"\nvoid (text as any)\n',
  'package.json': '{}\n',
  'README.md': `# ${'A line of prose may be long. '.repeat(10)}\n`,
}

const source = (...lines: string[]): string => ['/** A file. */', ...lines, ''].join('\n')

/** Rule, title, where it is planted, what, and the one message that must come. */
const PLANTED: readonly (readonly [Rule, string, string, string, string | RegExp])[] = [
  [walls, 'protocols importing node', 'protocols/bad.ts', source("import '../node/ids.ts'"),
    /^protocols\/bad\.ts:2: protocols\/ imports node\/, it may import no other room/],
  [walls, 'node importing indexer', 'node/bad.ts', source("import type { x } from '../indexer/index.ts'"), /bad\.ts:2/],
  [walls, 'indexer importing search', 'indexer/bad.ts', source("export * from '../search/index.ts'"), /bad\.ts:2/],
  [walls, 'search importing node', 'search/bad.ts', source("await import('../node/ids.ts')"), /bad\.ts:2/],
  [walls, 'an import type over a wall', 'search/bad.ts',
    source("let x: import('../node/ids.ts').Named"), /bad\.ts:2/],
  [walls, 'the composition root importing an app', 'node/main.ts', source("import '../search/index.ts'"), /main\.ts:2/],
  [walls, 'another file naming an app', 'node/bad.ts', source("new URL('../search/index.ts', import.meta.url)"),
    /bad\.ts:2: node\/ names a file of search\/: only node\/main\.ts knows/],
  [walls, 'an app importing the package itself', 'indexer/bad.ts',
    source("import { connect } from 'warren'"), /node\//],
  [walls, 'libp2p outside of node', 'search/bad.ts', source("import { peerIdFromString } from '@libp2p/peer-id'"),
    /only node\/ knows libp2p/],
  [walls, 'an import from outside of the rooms', 'node/bad.ts', source("import p from '../package.json'"), /published/],
  [suffixes, 'an import without a suffix', 'node/bad.ts', source("import './ids'"), /write the suffix.*'\.\/ids\.ts'/],
  [suffixes, 'an import with the suffix of the build', 'test/bad.ts', source("import '../node/ids.js'"), /bad\.ts:2/],
  ...([
    ['Date.now()', 'Date.now'], ['new Date()', 'Date'], ['Date()', 'Date'], ['performance.now()', 'performance'],
    ['Math.random()', 'Math.random'], ['setTimeout(f, 1)', 'setTimeout'], ['setInterval(f, 1)', 'setInterval'],
    ['setImmediate(f)', 'setImmediate'], ['queueMicrotask(f)', 'queueMicrotask'],
    ["crypto.subtle.digest('')", 'crypto'], ['crypto.randomUUID()', 'crypto'],
    ['process.env', 'process'], ["fetch('')", 'fetch'], ['console.log()', 'console'],
    ['globalThis.fetch', 'globalThis'], ['AbortSignal.timeout(1)', 'AbortSignal.timeout'],
    ['[setTimeout].length', 'setTimeout'], ['void { fetch }', 'fetch'],
    ['class A { process = process.env }', 'process'], ['f({ fetch: fetch })', 'fetch'],
  ] as const).map(([code, name]) => [purity, `${code} in protocols`, 'protocols/bad.ts', source(code),
    new RegExp(`^protocols/bad\\.ts:2: protocols/ is pure and uses .*${name}.*: (take|return)`)] as const),
  ...([
    "import { randomBytes } from 'node:crypto'", "import * as crypto from 'node:crypto'",
    "import { createHash, randomUUID } from 'node:crypto'", "import { readFileSync } from 'node:fs'", "import 'fs'",
    "import { createHash as h, webcrypto as createHash } from 'node:crypto'",
    "import assert from 'node:assert'", "import { ok } from 'assert/strict'",
    "import * as assert from 'node:assert/strict'", "import 'node:assert/strict'",
    "await import('node:assert/strict')", "export { ok } from 'node:assert/strict'",
  ]).map((code) => [purity, `${code} in protocols`, 'protocols/bad.ts', source(code),
    /^protocols\/bad\.ts:2: protocols\/ is pure and imports/] as const),
  [purity, 'a file read by URL', 'protocols/bad.ts', source("new URL('./x.bin', import.meta.url)"), /reads no files/],
  [protocolIds, 'an unlisted id', 'node/bad.ts', source("void '/warren/gossip/2'"),
    /^node\/bad\.ts:2: protocol id \/warren\/gossip\/2 is missing from the table in protocols\/README\.md: add it$/],
  [protocolIds, 'another version', 'protocols/bad.ts', source("void '/warren/rpc/2/cbor'"), /\/warren\/rpc\/2\/cbor/],
  [protocolIds, 'an unlisted template', 'node/bad.ts', source('void `/warren/dht/1/${1}`'), /\/warren\/dht\/1/],
  [fileSizes, '501 lines', 'node/bad.ts', `/** Long. */${'\n'.repeat(501)}`, /^node\/bad\.ts:501: the file has 501/],
  [functionSizes, '71 lines', 'node/bad.ts',
    source('', `function f() {${'\n'.repeat(70)}}`), /bad\.ts:3: .* 71 lines/],
  [functionSizes, 'a long arrow', 'test/bad.ts', source(`it('x', () => {${'\n'.repeat(70)}})`), /bad\.ts:2/],
  [functionSizes, 'a long method', 'node/bad.ts', source(`class A { m() {${'\n'.repeat(70)}} }`), /bad\.ts:2/],
  [columns, '121 columns', 'node/bad.ts', source(`// ${'x'.repeat(118)}`), /bad\.ts:2: the line has 121 columns/],
  [headers, 'a file that starts at once', 'node/bad.ts', 'void 1\n', /^node\/bad\.ts:1: the file does not begin/],
  [headers, 'a header without a sentence', 'node/bad.ts', '/** constants */\n', /bad\.ts:1/],
  [headers, 'a line comment as header', 'node/bad.ts', '// Constants.\n', /bad\.ts:1/],
  [exportDocs, 'an undocumented function', 'node/bad.ts', source('void 1', 'export function f() {}'),
    "node/bad.ts:3: exported 'f' has no doc comment: say why it is there"],
  [exportDocs, 'the header in place of a doc comment', 'node/bad.ts', source('export const a = 1'), /exported 'a'/],
  [exportDocs, 'an undocumented type', 'test/bad.ts', source('void 1', 'export type T = 1'), /exported 'T'/],
  [exportDocs, 'one of two', 'node/bad.ts',
    source('/** A. */', 'export const a = 1', '// B.', 'export const b = 1'), /'b'/],
  [exportDocs, 'an undocumented list', 'node/bad.ts', source('const a = 1', 'export { a as b }'), /bad\.ts:2: .*'a'/],
  [exportDocs, 'an undocumented pattern', 'node/bad.ts', source('void 1', 'export const { a } = b'), /exported 'a'/],
  [escapes, 'a type any', 'node/bad.ts', source('let a: any'), /^node\/bad\.ts:2: 'any' switches the types off/],
  [escapes, 'an assertion to any', 'node/bad.ts', source('f(x as any)'), /bad\.ts:2/],
  [escapes, 'an order to look away', 'node/bad.ts', source('// @ts-ignore'), /bad\.ts:2: .* hides an error/],
  [emptyCatches, 'an empty catch', 'node/bad.ts', source('try { f() } catch { }'), /bad\.ts:2: .* swallowed/],
  [emptyCatches, 'an empty catch of a promise', 'node/bad.ts', source('', 'f().catch(() => {})'), /bad\.ts:3/],
  ...['it.skip', 'it.only', 'describe.skip', 'describe.only', 'this.skip', 'xit'].map((name) =>
    [skippedTests, name, 'test/bad.test.ts', source(`${name}('x', () => 1)`), /:2: .* keeps tests/] as const),
  [folders, 'a sixth room', 'lib/a.ts', source(), /^lib\/:1: is no room of this house/],
  [folders, 'a folder for one file', 'node/links/a.ts', source(),
    /^node\/links\/a\.ts:1: stands alone in node\/links\//],
  [folders, 'a file without an idea', 'node/utils.ts', source(), /^node\/utils\.ts:1: a name that says nothing/],
  ...UNFINISHED_WORDS.map((word) =>
    [unfinished, word, 'node/bad.ts', source(`// ${word}: later`), /bad\.ts:2: .* stands for something/] as const),
]

const files = (entries: Readonly<Record<string, string>>): File[] =>
  Object.entries(entries).map(([path, text]) => ({ path, text }))

/** What all rules say, by rule. */
const said = (tree: Tree): Record<string, string[]> =>
  Object.fromEntries(RULES.map((rule) => [rule.name, rule(tree)]).filter(([, found]) => found?.length !== 0))

describe('the tidy rules', () => {
  let tidy: Tree
  let planted: readonly Source[]
  before(async () => {
    tidy = await parse(files(TIDY))
    // All at once, for speed; the numbers keep files of the same name apart.
    planted = (await parse(PLANTED.map(([, , path, text], i) => ({ path: `${i}/${path}`, text })))).sources
  })

  it('say nothing about a tidy house', () => {
    assert.deepEqual(said(tidy), {})
  })

  it('say nothing about an empty one', async () => {
    assert.deepEqual(said(await parse([])), {})
  })

  for (const [index, [rule, title, path, , message]] of PLANTED.entries()) {
    it(`${rule.name} names ${title}`, () => {
      const bad = planted[index]
      assert.ok(bad)
      const changed = { ...bad, path }
      const others = ({ path: other }: File): boolean => other !== path
      const found = said({
        files: [...tidy.files.filter(others), changed], sources: [...tidy.sources.filter(others), changed],
      })
      const own = found[rule.name] ?? []
      assert.ok(own.length > 0, 'the rule is silent')
      if (typeof message === 'string') assert.deepEqual(own, [message])
      else assert.match(own[0] ?? '', message)
      // A sixth room also holds only one file; otherwise each untidiness is named once, by its own rule.
      assert.deepEqual(Object.keys(found), [rule.name])
      assert.equal(own.length, path === 'lib/a.ts' ? 2 : 1)
    })
  }

  it('let a folder with a reason hold one file', async () => {
    const tree = await parse(files({ ...TIDY, 'test/types/a.ts': source() }))
    assert.deepEqual(folders(tree, { 'test/types': 'never run' }), [])
  })
})

/**
 * What `npm test` runs: the type check, the linter, then every test under coverage. The last line is
 * `N passed, N failed`, which counts the tests and the two checks; the exit code is 0 only if nothing failed.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { HANDLES_LEFT } from './hooks.ts'
import { TALLY_FILE, type Tally } from './reporter.ts'
import { isTypesOnly, parse, readFiles } from './tidy/source.ts'

const ROOT = dirname(import.meta.dirname)
const BIN = join(ROOT, 'node_modules', '.bin')
const TALLY = join(ROOT, 'node_modules', '.cache', 'warren-test', 'tally.json')
const COVERAGE = join(ROOT, 'coverage', 'coverage-summary.json')

/** Share of lines that tests must reach in the pure room, where nothing stands in their way. */
const PURE_LINES_MIN_PERCENT = 90
/** Files of which tests reach less are listed. */
const LISTED_BELOW_PERCENT = 80

/** What each choice of `--only` runs; `checks` are the two checks and the rules that need no node. */
const SPECS: Readonly<Record<string, string>> = {
  all: 'test/**/*.test.ts',
  checks: 'test/tidy.test.ts',
  unit: 'test/unit/**/*.test.ts',
  net: 'test/net/**/*.test.ts',
  e2e: 'test/e2e/**/*.test.ts',
}

/** What was asked for on the command line. */
interface Wanted { readonly only: string, readonly grep: string | undefined, readonly coverage: boolean }

/** What the command line asks for, or a sentence on what is wrong with it. */
function parseWanted(args: readonly string[]): Wanted | string {
  let values: { only?: string, grep?: string, coverage?: boolean }
  try {
    values = parseArgs({
      args: [...args], allowNegative: true,
      options: { only: { type: 'string' }, grep: { type: 'string' }, coverage: { type: 'boolean' } },
    }).values
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
  const { only = 'all', grep } = values
  if (!Object.hasOwn(SPECS, only)) return `--only takes ${Object.keys(SPECS).slice(1).join(', ')}, not '${only}'`
  // A part of the tests says nothing about what all of them reach.
  return { only, grep, coverage: (values.coverage ?? true) && only === 'all' && grep === undefined }
}

interface Ended { readonly ok: boolean, readonly code: number | null, readonly how: string }

/** Runs one of the installed tools to its end, its output passed on as it comes. */
function run(tool: string, args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(join(BIN, tool), args, { cwd: ROOT, stdio: 'inherit', env: { ...process.env, ...env } })
    child.once('error', (error) => { resolve({ ok: false, code: null, how: error.message }) })
    child.once('exit', (code, signal) => {
      resolve({ ok: code === 0, code, how: signal === null ? `exit code ${code}` : `killed by ${signal}` })
    })
  })
}

function print(text: string): void {
  process.stdout.write(`${text}\n`)
}

function heading(text: string): void {
  print(styleText('bold', `\n${text}`))
}

function verdict(ok: boolean, text: string): void {
  print(ok ? `${styleText('green', 'ok')}      ${text}` : `${styleText('red', 'failed')}  ${text}`)
}

/** The type check and the linter; gives how many of the two passed. */
async function check(): Promise<number> {
  let passed = 0
  for (const [title, tool, args] of [
    ['types (tsc)', 'tsc', ['-p', ROOT]],
    ['lint (oxlint)', 'oxlint', ['--deny-warnings', '--report-unused-disable-directives']],
  ] as const) {
    heading(title)
    const startedMs = performance.now()
    const { ok, how } = await run(tool, args)
    verdict(ok, `${ok ? 'nothing found' : how}, ${((performance.now() - startedMs) / 1000).toFixed(1)} s`)
    if (ok) passed++
  }
  return passed
}

function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Runs the tests; gives their counts, and the problems that no test of them had. */
async function runTests(wanted: Wanted): Promise<{ tally: Tally, problems: string[] }> {
  heading(`tests (${SPECS[wanted.only]})`)
  rmSync(TALLY, { force: true })
  rmSync(COVERAGE, { force: true })
  mkdirSync(dirname(TALLY), { recursive: true })
  const mocha = ['--reporter', join(ROOT, 'test', 'reporter.ts'), '--ignore', 'test/{bench,demo}/**',
    ...(wanted.grep === undefined ? [] : ['--grep', wanted.grep]), '--spec', SPECS[wanted.only] ?? '']
  const env = { [TALLY_FILE]: TALLY }
  const { ok, code, how } = wanted.coverage
    ? await run('c8', [join(BIN, 'mocha'), ...mocha], env)
    : await run('mocha', mocha, env)
  const counts = readJson(TALLY) as Tally | undefined
  const tally = counts ?? { passed: 0, failed: 0, skipped: 0 }
  const problems: string[] = []
  if (counts === undefined) problems.push(`the tests did not come to their end: ${how}`)
  else if (code === HANDLES_LEFT) problems.push('the tests left something running: see above what it is')
  else if (!ok && tally.failed === 0) problems.push(`every test passed, and the test process failed: ${how}`)
  else if (tally.passed + tally.failed === 0) problems.push('no test ran')
  return { tally, problems }
}

/** Lines of code and how many of them the tests reached. */
interface Lines { readonly total: number, readonly covered: number, readonly pct: number }

/** Lists the files that tests hardly reach, types alone left out; gives what is wrong with the pure room's share. */
async function checkCoverage(): Promise<string[]> {
  heading('coverage (c8, lines)')
  const summary = readJson(COVERAGE) as Record<string, { readonly lines: Lines }> | undefined
  if (summary === undefined) return [`there is no coverage report ${COVERAGE}`]
  const { sources } = await parse(readFiles(ROOT))
  const typesOnly = sources.filter(isTypesOnly).map(({ path }) => path)
  const files = Object.entries(summary).filter(([path]) => path !== 'total')
    .map(([path, { lines }]) => ({ path: relative(ROOT, path), ...lines }))
    .filter(({ path }) => !typesOnly.includes(path))
  for (const { path, pct } of files.toSorted((a, b) => a.pct - b.pct)) {
    if (pct < LISTED_BELOW_PERCENT) print(`${pct.toFixed(1).padStart(6)} %  ${path}`)
  }
  const pure = files.filter(({ path }) => path.startsWith('protocols/'))
  const total = pure.reduce((sum, lines) => sum + lines.total, 0)
  const percent = 100 * pure.reduce((sum, lines) => sum + lines.covered, 0) / Math.max(1, total)
  const ok = percent >= PURE_LINES_MIN_PERCENT
  const share = `${percent.toFixed(1)} % of the ${total} lines of protocols/`
  verdict(ok, `${share}, at least ${PURE_LINES_MIN_PERCENT} % are asked for`)
  return ok ? [] : [`the tests reach only ${share}`]
}

async function main(wanted: Wanted): Promise<void> {
  const checks = ['all', 'checks'].includes(wanted.only) && wanted.grep === undefined
  const checksPassed = checks ? await check() : 0
  const { tally, problems } = await runTests(wanted)
  if (wanted.coverage && problems.length === 0) problems.push(...await checkCoverage())
  if (problems.length > 0) heading('problems')
  for (const problem of problems) verdict(false, problem)
  const passed = tally.passed + checksPassed
  // What goes wrong outside of the tests is a failure too: the last line never contradicts the exit code.
  const failed = tally.failed + (checks ? 2 - checksPassed : 0) + problems.length
  print(`\n${passed} passed, ${failed} failed${tally.skipped === 0 ? '' : `, ${tally.skipped} skipped`}`)
  process.exitCode = failed === 0 ? 0 : 1
}

const asked = parseWanted(process.argv.slice(2))
if (typeof asked === 'string') {
  process.stderr.write(`${asked}\n`)
  process.exitCode = 2
} else {
  await main(asked)
}

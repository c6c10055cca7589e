/** Compiles the rooms into dist/, from scratch, for the published package: Node runs no TypeScript in node_modules. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'

const ROOT = dirname(import.meta.dirname)
const DIST = join(ROOT, 'dist')

/** Something that the build cannot make good; its message is for the terminal. */
class BuildError extends Error {}

function compile(): void {
  const done = spawnSync(join(ROOT, 'node_modules', '.bin', 'tsc'), ['-p', join(ROOT, 'tsconfig.build.json')], {
    cwd: ROOT, stdio: 'inherit',
  })
  if (done.status !== 0) throw new BuildError('the compiler found errors: see above')
}

/** `new URL('./x.ts', import.meta.url)` and `import.meta.resolve('./x.ts')`: the compiler leaves them as they are. */
const NAMED_FILE = /(new URL\(|import\.meta\.resolve\()(['"`])(\.{1,2}\/[^'"`]+)\.ts\2/g

/** Points the URLs of files that are started as children, or as workers, to their compiled form. */
function rewriteUrls(file: string): void {
  const text = readFileSync(file, 'utf8')
  const rewritten = text.replaceAll(NAMED_FILE, (_all, how: string, quote: string, path: string) => {
    const target = resolve(dirname(file), `${path}.js`)
    if (!existsSync(target)) {
      throw new BuildError(`${relative(ROOT, file)} names ${path}.ts, which is not in the package: move it into a room`)
    }
    return `${how}${quote}${path}.js${quote}`
  })
  if (rewritten !== text) writeFileSync(file, rewritten)
}

interface Package {
  readonly bin: Readonly<Record<string, string>>
  readonly exports: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/** What package.json promises must be there, and its commands must be ready to run. */
function checkPromises(): void {
  const { bin, exports } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Package
  for (const path of [...Object.values(bin), ...Object.values(exports).flatMap((entry) => Object.values(entry))]) {
    if (!existsSync(join(ROOT, path))) throw new BuildError(`${path} is missing: package.json names it`)
  }
  for (const path of Object.values(bin)) chmodSync(join(ROOT, path), 0o755)
}

function main(): void {
  rmSync(DIST, { recursive: true, force: true })
  compile()
  const scripts = readdirSync(DIST, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.js'))
  for (const path of scripts) rewriteUrls(join(DIST, path))
  checkPromises()
  process.stdout.write(`dist/ holds ${scripts.length} modules\n`)
}

try {
  main()
} catch (error) {
  if (!(error instanceof BuildError)) throw error
  process.stderr.write(`build: ${error.message}\n`)
  process.exitCode = 1
}

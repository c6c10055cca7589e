/** Composition root: which apps a node starts with, arguments in, exit code out. */
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCli } from './cli/index.ts'
import { version } from './version.ts'

/** `.ts` in a checkout, `.js` in the published package. */
const extension = extname(fileURLToPath(import.meta.url))

const defaultApps = ['indexer', 'search'].map((name) => ({
  name, path: new URL(`../${name}/index${extension}`, import.meta.url),
}))

process.exitCode = await runCli(process.argv.slice(2), { defaultApps, version })

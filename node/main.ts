/** Composition root: which apps a node starts with, arguments in, exit code out. */
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheCompiledCode } from './compile-cache.ts'
import { version } from './version.ts'

/** `.ts` in a checkout, `.js` in the published package. */
const extension = extname(fileURLToPath(import.meta.url))

const defaultApps = ['indexer', 'search'].map((name) => ({
  name, path: new URL(`../${name}/index${extension}`, import.meta.url),
}))

// The command line is loaded after the cache is there, and so out of it.
cacheCompiledCode()
const { runCli } = await import('./cli/index.ts')
// Everything is written and stopped by now; a timer that libp2p leaves behind would hold the process for a second.
process.exit(await runCli(process.argv.slice(2), { defaultApps, version }))

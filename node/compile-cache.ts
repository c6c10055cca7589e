/** Keeps what V8 made of the sources for the next start, which is then a third shorter. */
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import envPaths from 'env-paths'

/**
 * Turns the cache on for whatever is loaded from now on. It lies in the user's own cache folder and not in
 * Node's default one: others may write to `/tmp`, and what lies in the cache is run. A cache that cannot be
 * written is no cache, and no error.
 */
export function cacheCompiledCode(): void {
  // Functions that come from the cache are counted less precisely when coverage is measured.
  if (process.env['NODE_V8_COVERAGE'] !== undefined) return
  enableCompileCache(join(envPaths('warren', { suffix: '' }).cache, 'compiled'))
}

/** Loaded before an app: makes `warren`, `warren/testing` and `zod` mean this very package's, wherever the app lies. */
import { registerHooks } from 'node:module'
import { extname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheCompiledCode } from '../compile-cache.ts'

cacheCompiledCode()

const extension = extname(fileURLToPath(import.meta.url))
const own = new Map([
  ['warren', new URL(`../index${extension}`, import.meta.url).href],
  ['warren/testing', new URL(`../testing${extension}`, import.meta.url).href],
])

registerHooks({
  resolve(specifier, context, next) {
    const url = own.get(specifier)
    if (url !== undefined) return { url, shortCircuit: true }
    if (specifier !== 'zod' && !specifier.startsWith('zod/')) return next(specifier, context)
    try {
      // An app that brings its own zod keeps it.
      return next(specifier, context)
    } catch {
      return next(specifier, { ...context, parentURL: import.meta.url })
    }
  },
})

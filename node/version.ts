/** The package's version, read from where it stands. */
import { readFileSync } from 'node:fs'

/** Reads package.json, which lies one folder up from the sources and two from the compiled files. */
function read(): string {
  for (const path of ['../package.json', '../../package.json']) {
    try {
      const text = readFileSync(new URL(path, import.meta.url), 'utf8')
      const found = JSON.parse(text) as { name?: string, version?: string }
      if (found.name === 'warren' && found.version !== undefined) return found.version
    } catch { /* It is the other one. */ }
  }
  return '0.0.0'
}

/** Version of the running package. */
export const version = read()

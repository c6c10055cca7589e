#!/usr/bin/env node
/** The installed command: refuses an old Node in a sentence before anything that it cannot read is loaded. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
if (major > 22 || (major === 22 && minor >= 22)) {
  await import('./main.ts')
} else {
  process.stderr.write(`warren: FAILED_PRECONDITION: Warren needs Node 22.22 or newer, this is ${process.version}\n`)
  process.exitCode = 1
}

/** Sees to it that the test process ends by itself: whatever still holds it after the last test is named. */

/** How long after the last test the process may take to end. */
const END_WITHIN_MS = 10_000

/** Exit code of a run whose tests are over and which does not end. */
export const HANDLES_LEFT = 97

/** A handle of the event loop, as far as Node's diagnostic report tells of it. */
interface Handle {
  readonly type: string
  readonly is_active: boolean
  readonly is_referenced: boolean
  readonly [detail: string]: unknown
}

/** Mocha calls this after the last test, before it waits for the process to end. */
export function mochaGlobalTeardown(): void {
  const timer = setTimeout(() => {
    const resources = process.getActiveResourcesInfo().join(', ')
    process.stderr.write(`\nThe tests are over, and the process does not end. It is held by: ${resources}\n`)
    for (const line of heldBy()) process.stderr.write(`  ${line}\n`)
    // Mocha sets its own exit code when the process exits; this comes after it.
    process.once('exit', () => { process.exitCode = HANDLES_LEFT })
    process.exit()
  }, END_WITHIN_MS)
  // The watcher itself holds nothing: without leftovers it never fires.
  timer.unref()
}

/** The handles that keep the event loop alive, with their addresses and process ids. */
function heldBy(): string[] {
  const { libuv } = process.report.getReport() as unknown as { readonly libuv: readonly Handle[] }
  return libuv.filter((handle) => handle.is_active && handle.is_referenced && handle.type !== 'loop')
    .map(({ type, localEndpoint, remoteEndpoint, pid, filename, firesInMsFromNow }) => {
      const details = { localEndpoint, remoteEndpoint, pid, filename, firesInMsFromNow }
      return `${type} ${JSON.stringify(details)}`
    })
}

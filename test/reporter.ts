/** Mocha's own readable reporter, which also leaves the counts in a file for whoever started the run. */
import { writeFileSync } from 'node:fs'
import Mocha from 'mocha'

/** Environment variable with the path of the file that takes the counts. */
export const TALLY_FILE = 'WARREN_TEST_TALLY'

/** How many tests there were of each kind; a failed hook counts as a failed test. */
export interface Tally { readonly passed: number, readonly failed: number, readonly skipped: number }

/** Mocha takes a module's default export for the reporter. */
export default class TallyReporter extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options?: Mocha.MochaOptions) {
    super(runner, options)
    runner.once(Mocha.Runner.constants.EVENT_RUN_END, () => {
      const file = process.env[TALLY_FILE]
      if (file === undefined) return
      const { passes: passed, failures: failed, pending: skipped } = this.stats
      writeFileSync(file, JSON.stringify({ passed, failed, skipped } satisfies Tally))
    })
  }
}

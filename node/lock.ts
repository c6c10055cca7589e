/** One node per home: a lock that the operating system takes back when the process ends, however it ends. */
import { readFileSync, writeFileSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { WarrenError } from '../protocols/errors.ts'
import type { Home } from './home.ts'

/** A held lock. */
export interface HomeLock { release(): void }

/**
 * Takes the home's lock. SQLite's exclusive transaction is the lock: it is the only one that Node offers
 * which ends with the process and cannot be taken twice.
 * @throws {WarrenError} `HOME_IN_USE` that names the process that holds it.
 */
export function lockHome(home: Home): HomeLock {
  const pidFile = `${home.lockFile}.pid`
  const database = new DatabaseSync(home.lockFile)
  try {
    database.exec('PRAGMA busy_timeout = 0')
    database.exec('BEGIN EXCLUSIVE')
  } catch (cause) {
    database.close()
    throw new WarrenError('HOME_IN_USE',
      `a node runs for ${home.folder} already${holder(pidFile)}; stop it with: warren down`, { cause })
  }
  writeFileSync(pidFile, String(process.pid), { mode: 0o600 })
  return { release: () => database.close() }
}

function holder(pidFile: string): string {
  try {
    return ` (process ${Number.parseInt(readFileSync(pidFile, 'latin1'), 10)})`
  } catch {
    return '' // Whoever holds it is just starting.
  }
}

/** `warren run`: an app in a process of its own, attached to the node. */
import { statSync } from 'node:fs'
import { WarrenError } from '../../protocols/errors.ts'
import type { Session } from './session.ts'

/**
 * Runs the app until it ends, or until Ctrl-C.
 * @param file absolute path.
 * @returns the app's exit code.
 * @throws {WarrenError} `FILE_NOT_FOUND` if there is no such file.
 */
export async function runFile(session: Session, file: string): Promise<number> {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) {
    throw new WarrenError('FILE_NOT_FOUND', `there is no file ${file}`, { started: false })
  }
  const runApp = session.context.runApp ?? (await import('../apps/run.ts')).runApp
  return runApp({ file, home: await session.home(), signal: session.signal, stdio: 'inherit' })
}

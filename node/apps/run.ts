/** `warren run`: an app in a process of its own that shares this terminal. */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { pathToFileURL } from 'node:url'
import type { RunOptions } from '../cli/session.ts'
import { childArguments, childEnvironment } from './spawn.ts'

/** Time that the app gets to stop after Ctrl-C before it is ended by force. */
const FORCE_AFTER_MS = 5_000

/** Runs the app until it ends or `signal` fires. @returns its exit code; 128 + n for one that a signal ended. */
export function runApp({ file, home, signal, stdio }: RunOptions): Promise<number> {
  const child = spawn(process.execPath, childArguments(pathToFileURL(file)), {
    env: { ...childEnvironment(home), WARREN_RUN: '1' }, stdio,
  })
  let force: NodeJS.Timeout | undefined
  const stop = (): void => {
    child.kill('SIGTERM')
    force ??= setTimeout(() => child.kill('SIGKILL'), FORCE_AFTER_MS)
  }
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
  return new Promise((resolve, reject) => {
    const done = (): void => {
      clearTimeout(force)
      signal.removeEventListener('abort', stop)
    }
    child.once('error', (error) => { done(); reject(error) })
    child.once('exit', (code, ended) => {
      done()
      resolve(code ?? 128 + constants.signals[ended!])
    })
  })
}

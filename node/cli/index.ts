/** The command line: arguments in, exit code out. */
import { CommanderError, type Command } from 'commander'
import { nowMs } from '../clock.ts'
import { EXIT, exitCodeOf, failureLine, fromCommander } from './failure.ts'
import { buildProgram, type Run } from './program.ts'
import { createOutput, createSession, processIo, type CliContext, type Io, type Output } from './session.ts'

export type { AppEntry, CliContext } from './session.ts'

/** How long a command may take to give up after Ctrl-C; then the process ends without it. */
const INTERRUPT_GRACE_MS = 1_500
/** Within this time after a signal another one is the same Ctrl-C: a terminal's, passed on by npm once more. */
const SAME_INTERRUPT_MS = 500

/**
 * Runs one command.
 * @param argv what was typed after `warren`.
 * @returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 terminated. Never rejects.
 */
export async function runCli(argv: readonly string[], context: CliContext): Promise<number> {
  const io = context.io ?? processIo()
  const stop = new AbortController()
  const output = createOutput(io.stdout, () => { stop.abort(new Error('nobody reads the output')) })
  // Where errors cannot be told any more, there is nobody to tell that either.
  const ignore = (): void => {}
  io.stderr.on('error', ignore)
  const interrupts = watchSignals(io, stop)
  const json = asksForJson(argv)
  const session = createSession(context, io, output, { json, signal: stop.signal })

  let code: number = EXIT.done
  let texts: Promise<void> = Promise.resolve()
  const run: Run = (perform, { patient = false, ownCode = false } = {}) => async function (this: Command) {
    Object.assign(interrupts, { patient, ownCode })
    code = await perform(session, this.processedArgs as never, this.optsWithGlobals() as never) ?? EXIT.done
  }
  const program = buildProgram(run, context.version, {
    write: (text) => { texts = texts.then(() => output.write(text)) },
    writeError: (text) => { if (!json) io.stderr.write(text) },
    width: session.width,
  })
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (thrown) {
    code = report(thrown, { io, json, output, interrupted: interrupts.code() })
  }
  // The help's own writes fail only together with stdout, which the next lines look at.
  await texts.catch(() => {})
  await output.flush()
  const failure = output.failure()
  if (failure !== undefined && code === EXIT.done) code = tell(failure, io, json)
  code = interrupts.code() ?? code
  interrupts.release(code)
  output.release()
  io.stderr.off('error', ignore)
  return code
}

/** The parser is not there yet when its own errors have to be told. */
function asksForJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--')
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json')
}

interface Circumstances {
  readonly io: Io
  readonly json: boolean
  readonly output: Output
  readonly interrupted: number | undefined
}

function report(thrown: unknown, { io, json, output, interrupted }: Circumstances): number {
  if (thrown instanceof CommanderError) {
    // Help and version are done by throwing, too.
    if (thrown.exitCode === 0) return EXIT.done
    if (thrown.code === 'commander.help' && !json) return EXIT.wrongUsage
    return tell(fromCommander(thrown), io, json)
  }
  if (interrupted !== undefined) return interrupted
  if (output.isGone()) return EXIT.done
  return tell(output.failure() ?? thrown, io, json)
}

function tell(thrown: unknown, io: Io, json: boolean): number {
  io.stderr.write(`${failureLine(thrown, json)}\n`)
  if (io.env['WARREN_DEBUG'] && thrown instanceof Error) io.stderr.write(`${thrown.stack}\n`)
  return exitCodeOf(thrown)
}

interface Interrupts {
  /** Whether the running command is given the time it takes to stop in order. */
  patient: boolean
  /** Whether the running command's own exit code counts, and not the signal's. */
  ownCode: boolean
  /** The exit code that a signal stands for, if one came and the command has none of its own. */
  code(): number | undefined
  /** Lets go of the signals; after one, the process ends with `exitCode` even if something holds it open. */
  release(exitCode: number): void
}

/** The first signal asks the command to stop; the second, or too long a silence after the first, ends it. */
function watchSignals(io: Io, stop: AbortController): Interrupts {
  let received: number | undefined
  let receivedMs = 0
  let timer: NodeJS.Timeout | undefined
  const endSoon = (exitCode: number): void => {
    clearTimeout(timer)
    timer = setTimeout(() => { io.exit(exitCode) }, INTERRUPT_GRACE_MS).unref()
  }
  const on = (exitCode: number) => (): void => {
    if (received !== undefined) {
      if (nowMs() - receivedMs >= SAME_INTERRUPT_MS) io.exit(exitCode)
      return
    }
    received = exitCode
    receivedMs = nowMs()
    stop.abort(new Error('interrupted'))
    if (!interrupts.patient) endSoon(exitCode)
  }
  const offs = [io.onSignal('SIGINT', on(EXIT.interrupted)), io.onSignal('SIGTERM', on(EXIT.terminated))]
  const interrupts: Interrupts = {
    patient: false,
    ownCode: false,
    code: () => interrupts.ownCode ? undefined : received,
    release(exitCode) {
      for (const off of offs) off()
      if (received !== undefined) endSoon(exitCode)
    },
  }
  return interrupts
}

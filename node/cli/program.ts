/** The tree of commands: what can be typed, and what the help says of it. The work is in the files it loads. */
import { resolve } from 'node:path'
import { Argument, Command, InvalidArgumentError, Option } from 'commander'
import type { CallFlags } from './call.ts'
import type { CatFlags } from './cat.ts'
import type { FindFlags } from './find.ts'
import type { Session } from './session.ts'
import type { UpFlags } from './up.ts'

/** Makes an action from what a command does with its arguments and options; it gives the exit code, or 0. */
export type Run = <A extends readonly unknown[], O>(
  perform: (session: Session, args: A, options: O) => Promise<number | void>,
  settings?: {
    /** After a signal it may take its time to stop in order. Default false: it is ended after a moment. */
    patient?: boolean,
    /** Its exit code counts even after a signal. Default false: then 130 or 143. */
    ownCode?: boolean,
  },
) => (this: Command) => Promise<void>

/** Where the help goes, and how wide it may be. */
export interface HelpOutput {
  write(text: string): void
  /** For the help of somebody who did not ask for it. */
  writeError(text: string): void
  readonly width: number
}

/** Shells that there are completions for. */
export const SHELLS = ['bash', 'zsh', 'fish'] as const

/** Builds the tree. Nothing of a command's own code is loaded before it runs. */
export function buildProgram(run: Run, version: string, help: HelpOutput): Command {
  const program = new Command('warren')
    .description('Find and call any app, device or file on any of your machines by name.')
    .version(version, '-V, --version', 'print the version')
    .configureOutput({
      writeOut: help.write, writeErr: help.writeError, outputError: () => {},
      getOutHelpWidth: () => Math.min(help.width, 100), getErrHelpWidth: () => Math.min(help.width, 100),
    })
    .configureHelp({ subcommandTerm: (command) => [command.name(), ...command.registeredArguments.map((each) =>
      each.required ? `<${each.name()}>` : `[${each.name()}]`)].join(' ') })
    .exitOverride()
    .enablePositionalOptions()
    .helpOption('-h, --help', 'show this help')
    .helpCommand('help [command]', 'show the help of a command')
    .addHelpText('after', '\nExit codes: 0 done, 1 failed, 2 wrong usage, 130 after Ctrl-C.\n'
      + 'Environment: WARREN_HOME is the folder of the node that is meant; NO_COLOR; WARREN_DEBUG adds stacks.')
  program.addOption(jsonOption())
  addNodeCommands(program, run)
  addCallCommands(program, run)
  addFileCommands(program, run)
  addIndexCommands(program, run)
  add(program, 'completion', 'Print the completion script of a shell.', 'source <(warren completion bash)')
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .action(run<[string], object>(async (session, [shell]) =>
      (await import('./completion.ts')).printCompletion(session, program, shell)))
  return program
}

function jsonOption(): Option {
  return new Option('--json', 'print JSON, one value a line; errors too')
}

function add(parent: Command, name: string, description: string, example: string): Command {
  return parent.command(name)
    .description(description)
    .addOption(jsonOption())
    .allowExcessArguments(false)
    .addHelpText('after', `\nExample:\n  $ ${example}`)
}

function addNodeCommands(program: Command, run: Run): void {
  add(program, 'up', 'Start the node and keep the terminal; Ctrl-C stops it.',
    'warren up --join /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…')
    .option('--join <address...>', 'nodes to connect to, besides those of the configuration')
    .option('--listen <address...>', 'addresses to listen on; loopback only')
    .option('--name <name>', 'name of this node')
    .option('--log-level <level>', 'what is worth a line in the log: silent, error, warn, info, debug …')
    .action(run<[], UpFlags>(async (session, _args, flags) =>
      (await import('./up.ts')).up(session, flags), { patient: true, ownCode: true }))
  add(program, 'down', 'Stop the node and wait until it is gone.', 'warren down')
    .action(run<[], object>(async (session) => (await import('./down.ts')).down(session)))
  add(program, 'status', 'Show how the node is doing.', 'warren status')
    .action(run<[], object>(async (session) => (await import('./status.ts')).status(session)))
  add(program, 'nodes', 'List this node and those it is connected to.', 'warren nodes')
    .action(run<[], object>(async (session) => (await import('./status.ts')).nodes(session)))
  add(program, 'apps', 'List the apps of all machines.', 'warren apps')
    .option('--local', 'only those of this machine')
    .action(run<[], { local?: boolean }>(async (session, _args, flags) =>
      (await import('./status.ts')).apps(session, flags)))
  add(program, 'ring', 'Draw the node\'s place on the ring: its leaf set and routing table.', 'warren ring')
    .action(run<[], object>(async (session) => (await import('./ring.ts')).ring(session)))
  add(program, 'route', 'Show the way to the owner of a key, hop by hop.', 'warren route app:echo')
    .argument('<key>', '32 hex digits, a name such as app:echo, or a PeerId')
    .action(run<[string], object>(async (session, [key]) => (await import('./ring.ts')).route(session, key)))
  add(program, 'connect', 'Connect the node to another one.',
    'warren connect /ip4/127.0.0.1/tcp/4001/p2p/12D3KooW…')
    .argument('<address>', 'address that the other node prints when it starts')
    .action(run<[string], object>(async (session, [address]) =>
      (await import('./connect.ts')).connect(session, address)))
}

function addCallCommands(program: Command, run: Run): void {
  add(program, 'call', 'Call a method of an app, wherever it runs, and print its reply as JSON.',
    'warren call echo.say \'{"text":"hi"}\'')
    .argument('<app.method>', 'what to call')
    .argument('[json]', 'its argument; - reads it from stdin')
    .option('--node <node>', 'name or PeerId of the machine that is meant')
    .option('--timeout <ms>', 'milliseconds until the reply, and between two items of a stream, or none', timeout)
    .option('--stdin', 'stream the lines of stdin with the call, each of them JSON')
    .option('--stdin-bytes', 'stream stdin with the call as it is')
    .action(run<[string, string | undefined], CallFlags>(async (session, [method, json], flags) =>
      (await import('./call.ts')).call(session, method, json, flags)))
  add(program, 'run', 'Run an app in a process of its own, attached to the node.', 'warren run ./echo.ts')
    .argument('<file>', 'file that default-exports defineApp(…)')
    .action(run<[string], object>(async (session, [file]) =>
      (await import('./run.ts')).runFile(session, resolve(session.io.folder, file)), { patient: true }))
}

function addFileCommands(program: Command, run: Run): void {
  add(program, 'find', 'Find files on all machines by words in their names and contents.',
    'warren find three words -notthis')
    .addHelpText('after', '\nFinding nothing is no failure: the exit code is 0. On a terminal the hits are a list, '
      + 'else one a line:\nuri, name, host, size, modified and snippet, with tabs between them.')
    .argument('<words...>', 'words to look for; -word leaves files out')
    .option('--limit <count>', 'most hits to print, 1 to 1000', wholeNumber(1, 1000))
    .option('--host <node>', 'name or PeerId of the only machine to ask')
    // -word is the query's own, and only the query's parser can say what is wrong with it.
    .allowUnknownOption()
    .action(run<[string[]], FindFlags>(async (session, [words], flags) =>
      (await import('./find.ts')).find(session, words, flags)))
  add(program, 'cat', 'Print a file of any machine.', 'warren cat warren://12D3KooW…/docs/trip.txt > trip.txt')
    .argument('<uri>', 'uri of a hit of warren find')
    .option('--offset <bytes>', 'where to begin', wholeNumber(0))
    .option('--length <bytes>', 'how much to print', wholeNumber(0))
    .action(run<[string], CatFlags>(async (session, [uri], flags) =>
      (await import('./cat.ts')).cat(session, uri, flags)))
}

function addIndexCommands(program: Command, run: Run): void {
  const index = add(program, 'index', 'Say which folders of this machine can be searched.',
    'warren index add ~/Documents')
  add(index, 'add', 'Make a folder searchable.', 'warren index add ~/Documents --name docs')
    .argument('<folder>', 'the folder')
    .option('--name <name>', 'its name in URIs; default: made from the folder\'s')
    .action(run<[string], { name?: string }>(async (session, [folder], { name }) =>
      (await import('./roots.ts')).addRoot(session, resolve(session.io.folder, folder), name)))
  add(index, 'rm', 'Forget a folder; its files stay.', 'warren index rm docs')
    .argument('<root>', 'its name, as warren index ls prints it')
    .action(run<[string], object>(async (session, [root]) =>
      (await import('./roots.ts')).removeRoot(session, root)))
  add(index, 'ls', 'List the folders.', 'warren index ls')
    .action(run<[], object>(async (session) => (await import('./roots.ts')).listRoots(session)))
  add(index, 'status', 'Show how far the indexing is.', 'warren index status')
    .action(run<[], object>(async (session) => (await import('./roots.ts')).indexStatus(session)))
  add(index, 'rescan', 'Look for changes now.', 'warren index rescan docs')
    .argument('[root]', 'only this folder')
    .action(run<[string | undefined], object>(async (session, [root]) =>
      (await import('./roots.ts')).rescanRoots(session, root)))
}

/** A parser of whole numbers from `least` to `most`. */
function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= least && value <= most) return value
    throw new InvalidArgumentError(`It must be a whole number from ${least} to ${most}.`)
  }
}

function timeout(text: string): number {
  return text === 'none' ? Infinity : wholeNumber(1, 86_400_000)(text)
}

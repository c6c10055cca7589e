/** `warren completion`: scripts for bash, zsh and fish, made from the tree of commands, so never behind it. */
import type { Argument, Command, Option } from 'commander'
import type { Session } from './session.ts'

/** What can follow the words typed so far. */
interface Place {
  /** The words, joined by one space: `index add`; empty for the beginning. */
  readonly path: string
  readonly commands: readonly Choice[]
  readonly flags: readonly Choice[]
  /** Flags after which a value is typed, which is no word to complete. */
  readonly valueFlags: readonly string[]
  readonly argument: { readonly kind: 'file' | 'folder' | 'none', readonly choices: readonly string[] }
}

interface Choice { readonly word: string, readonly description: string }

/** Prints the script for `shell`. */
export async function printCompletion(session: Session, program: Command, shell: string): Promise<void> {
  await session.write(completionScript(program, shell))
}

/** The script for `shell`: bash, zsh or fish. */
export function completionScript(program: Command, shell: string): string {
  const places = placesOf(program, '')
  switch (shell) {
    case 'bash': return bash(places)
    case 'zsh': return zsh(places)
    default: return fish(places)
  }
}

function placesOf(command: Command, path: string): Place[] {
  const commands = command.commands.map((child) =>
    ({ word: child.name(), description: firstLine(child.description()) }))
  const help: Choice[] = path === '' ? [{ word: 'help', description: 'show the help of a command' }] : []
  const flags = command.options.map((option) => ({ word: flagOf(option), description: option.description }))
  const place: Place = {
    path,
    commands: [...commands, ...help],
    flags: [...flags, { word: '--help', description: 'show this help' }],
    valueFlags: command.options.filter(({ required, optional }) => required || optional).map(flagOf),
    argument: argumentOf(command.registeredArguments[0]),
  }
  return [place, ...command.commands.flatMap((child) => placesOf(child, `${path} ${child.name()}`.trim()))]
}

function flagOf(option: Option): string {
  return option.long ?? option.flags
}

function argumentOf(argument: Argument | undefined): Place['argument'] {
  const name = argument?.name()
  return { kind: name === 'file' || name === 'folder' ? name : 'none', choices: argument?.argChoices ?? [] }
}

function firstLine(text: string): string {
  return text.split('\n')[0] ?? ''
}

/** In single quotes for a POSIX shell. */
function quoted(text: string): string {
  return `'${text.replaceAll('\'', `'\\''`)}'`
}

function wordsOf({ commands, argument }: Place): string[] {
  return [...commands.map(({ word }) => word), ...argument.choices]
}

/** The shells' `case` lines that lead from one place to the next. */
function steps(places: readonly Place[]): string[] {
  return places.filter(({ path }) => path !== '').map(({ path }) => path)
}

function bash(places: readonly Place[]): string {
  const cases = places.map((place) => `    ${quoted(place.path)})
      words=${quoted(wordsOf(place).join(' '))}
      flags=${quoted(place.flags.map(({ word }) => word).join(' '))}
      values=${quoted(` ${place.valueFlags.join(' ')} `)}
      files=${place.argument.kind} ;;`).join('\n')
  return `# bash completion for warren: source <(warren completion bash)
_warren() {
  local current="\${COMP_WORDS[COMP_CWORD]}" previous="\${COMP_WORDS[COMP_CWORD-1]}"
  local path='' words='' flags='' values='' files=none index next reply
  for ((index = 1; index < COMP_CWORD; index++)); do
    next="\${path:+$path }\${COMP_WORDS[index]}"
    case "$next" in
      ${steps(places).map(quoted).join('|')}) path="$next" ;;
    esac
  done
  case "$path" in
${cases}
  esac
  COMPREPLY=()
  [[ "$values" == *" $previous "* ]] && return
  [[ "$current" == -* ]] && words="$flags"
  while IFS= read -r reply; do
    [[ -n "$reply" ]] && COMPREPLY+=("$reply")
  done < <(compgen -W "$words" -- "$current")
  [[ "$current" == -* || "$files" == none ]] && return
  compopt -o filenames 2> /dev/null
  local kind=-f
  [[ "$files" == folder ]] && kind=-d
  while IFS= read -r reply; do
    COMPREPLY+=("$reply")
  done < <(compgen "$kind" -- "$current")
}
complete -F _warren warren
`
}

function bare(word: string): Choice {
  return { word, description: '' }
}

function zsh(places: readonly Place[]): string {
  const described = (choices: readonly Choice[]): string => choices.map(({ word, description }) =>
    quoted(`${word.replaceAll(':', '\\:')}:${description}`)).join(' ')
  const cases = places.map((place) => `    ${quoted(place.path)})
      words_here=(${described([...place.commands, ...place.argument.choices.map(bare)])})
      flags=(${described(place.flags)})
      values=(${place.valueFlags.join(' ')})
      files=${place.argument.kind} ;;`).join('\n')
  return `#compdef warren
# zsh completion for warren: source <(warren completion zsh)
_warren() {
  local place='' word next files=none
  local -a words_here flags values
  for word in "\${(@)words[2,CURRENT-1]}"; do
    next="\${place:+$place }$word"
    case "$next" in
      ${steps(places).map(quoted).join('|')}) place="$next" ;;
    esac
  done
  case "$place" in
${cases}
  esac
  (( \${values[(Ie)\${words[CURRENT-1]}]} )) && return
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -t flags flag flags
    return
  fi
  (( \${#words_here} )) && _describe -t commands command words_here
  [[ "$files" == file ]] && _files
  [[ "$files" == folder ]] && _files -/
  return 0
}
compdef _warren warren
`
}

function fish(places: readonly Place[]): string {
  const fishQuoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll('\'', '\\\'')}'`
  const lines = places.flatMap((place) => {
    const condition = `-n ${fishQuoted(`test (__warren_place) = ${place.path === '' ? '""' : `"${place.path}"`}`)}`
    const word = ({ word: shown, description }: Choice): string =>
      `complete -c warren ${condition} -a ${fishQuoted(shown)} -d ${fishQuoted(description)}`
    return [
      ...place.commands.map(word),
      ...place.argument.choices.map(bare).map(word),
      ...place.flags.map(({ word: flag, description }) => `complete -c warren ${condition} -l ${flag.slice(2)}`
        + `${place.valueFlags.includes(flag) ? ' -x' : ''} -d ${fishQuoted(description)}`),
      ...(place.argument.kind === 'none' ? [] : [`complete -c warren ${condition} -a ${
        place.argument.kind === 'file' ? '\'(__fish_complete_path)\'' : '\'(__fish_complete_directories)\''}`]),
    ]
  })
  return `# fish completion for warren: warren completion fish | source
function __warren_place
  set -l place ''
  for word in (commandline -opc)[2..-1]
    set -l next (string trim -- "$place $word")
    switch "$next"
      case ${steps(places).map(fishQuoted).join(' ')}
        set place $next
    end
  end
  echo "$place"
end
complete -c warren -f
${lines.join('\n')}
`
}

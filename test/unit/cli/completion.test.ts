/** Tests of the completion scripts: bash's in a real bash, the others' in their shells where those are installed. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { runFake } from './fake.ts'

const script = async (shell: string): Promise<string> => {
  const { code, stdout } = await runFake(['completion', shell])
  assert.equal(code, 0)
  return stdout
}

const installed = (shell: string): boolean => spawnSync(shell, ['-c', 'true']).status === 0

/** What bash offers for the last of `words`. */
function complete(bashScript: string, words: readonly string[], folder: string): string[] {
  const driver = `${bashScript}
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_warren
printf '%s\\n' "\${COMPREPLY[@]}"`
  const out = execFileSync('bash', ['-c', driver, 'bash', 'warren', ...words], { cwd: folder, encoding: 'utf8' })
  return out.split('\n').filter((line) => line !== '')
}

describe('cli/completion', () => {
  let folder = ''
  let bash = ''
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'warren-completion-'))
    writeFileSync(join(folder, 'my app.ts'), '')
    mkdirSync(join(folder, 'my folder'))
    bash = await script('bash')
  })
  after(() => { rmSync(folder, { recursive: true, force: true }) })

  it('bash completes commands', () => {
    assert.deepEqual(complete(bash, ['st'], folder), ['status'])
    assert.deepEqual(complete(bash, ['co'], folder), ['connect', 'completion'])
    assert.deepEqual(complete(bash, [''], folder), [
      'up', 'down', 'status', 'nodes', 'apps', 'ring', 'route', 'connect', 'call', 'run', 'find', 'cat', 'index',
      'completion', 'help',
    ])
  })

  it('bash completes subcommands, and tells those from commands of the same name', () => {
    assert.deepEqual(complete(bash, ['index', ''], folder), ['add', 'rm', 'ls', 'status', 'rescan'])
    assert.deepEqual(complete(bash, ['index', 'status', ''], folder), [])
    assert.deepEqual(complete(bash, ['completion', 'z'], folder), ['zsh'])
  })

  it('bash completes the flags of the command, and nothing where a value stands', () => {
    assert.deepEqual(complete(bash, ['up', '--'], folder),
      ['--json', '--join', '--listen', '--name', '--log-level', '--help'])
    assert.deepEqual(complete(bash, ['cat', '--o'], folder), ['--offset'])
    assert.deepEqual(complete(bash, ['find', 'x', '--limit', ''], folder), [])
    assert.deepEqual(complete(bash, ['--'], folder), ['--version', '--json', '--help'])
  })

  it('bash completes files and folders where they are meant, spaces in them or not', () => {
    assert.deepEqual(complete(bash, ['run', 'my'], folder).sort(), ['my app.ts', 'my folder'])
    assert.deepEqual(complete(bash, ['index', 'add', 'my'], folder), ['my folder'])
    assert.deepEqual(complete(bash, ['find', 'my'], folder), [])
  })

  it('bash finds no fault with its script', () => {
    execFileSync('bash', ['-n'], { input: bash })
  })

  for (const shell of ['zsh', 'fish']) {
    it(`the script for ${shell} knows every command and flag, and ${shell}, if installed, finds no fault`, async () => {
      const text = await script(shell)
      for (const word of ['rescan', 'completion', 'index add', 'log-level', 'stdin-bytes', 'bash']) {
        assert.ok(text.includes(word), word)
      }
      assert.doesNotMatch(text, /undefined|\[object/)
      assert.equal(text.replaceAll('\\\'', '').split('\'').length % 2, 1, 'a quote is not closed')
      if (installed(shell)) execFileSync(shell, ['-n'], { input: text })
    })
  }

  it('the script for zsh completes for the command warren, and so does that for fish', async () => {
    assert.match(await script('zsh'), /^#compdef warren\n[^]*\ncompdef _warren warren\n$/)
    const line = 'complete -c warren -n \'test (__warren_place) = "index"\' -a \'rescan\' -d \'Look for changes now.\''
    assert.ok((await script('fish')).split('\n').includes(line))
  })
})

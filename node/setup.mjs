/**
 * Starts one of Warren's TypeScript files on a Node that can run it, after installing what is missing:
 * `node node/setup.mjs <script.ts> [arguments]`. It is plain JavaScript without dependencies, because
 * it runs before there are any, on whatever Node (14.14 or newer) the machine has.
 */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { constants } from 'node:os'
import { delimiter, dirname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)))
const MODULES = join(ROOT, 'node_modules')
const BIN = join(MODULES, '.bin')
const NODE = join(BIN, 'node')
/** Holds the fingerprint of what was installed; `npm ci` removes it together with everything else. */
const STAMP = join(MODULES, '.warren-setup')
/** Not inside node_modules, which `npm ci` empties. */
const LOCK = join(ROOT, '.setup-lock')
/** A slow line needs a few minutes for the 130 MB; longer than this means that somebody is stuck. */
const LOCK_WAIT_MS = 15 * 60_000
/** A lock without a process id in it is being made just now, unless it is older than this. */
const LOCK_UNSIGNED_MS = 10_000
const OFFLINE = /\b(ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|ENOTCACHED)\b/

/** A sentence for the user; anything else that is thrown is a fault of ours and shows its stack. */
class SetupError extends Error {}

/** Whether a Node of this version runs the sources: 22.22 and newer, except the short-lived 23. */
function runsTypeScript(version) {
  const [major, minor] = version.split('.').map(Number)
  return major > 23 || (major === 22 && minor >= 22)
}

function say(text) {
  process.stderr.write(`warren: ${text}\n`)
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined
    throw error
  }
}

/** What decides which packages belong into node_modules: the lock file and package.json's share in it. */
function fingerprint() {
  const lock = read(join(ROOT, 'package-lock.json'))
  const text = read(join(ROOT, 'package.json'))
  if (lock === undefined || text === undefined) {
    throw new SetupError(`${ROOT} lacks package.json or package-lock.json: clone the repository again`)
  }
  const { dependencies, devDependencies, optionalDependencies, overrides } = JSON.parse(text)
  return createHash('sha256').update(lock)
    .update(JSON.stringify([dependencies, devDependencies, optionalDependencies, overrides])).digest('hex')
}

/** Whether npm itself, run by hand, has already installed exactly what the lock file names. */
function installedByHand() {
  const hidden = read(join(MODULES, '.package-lock.json'))
  if (hidden === undefined) return false
  let have
  try {
    have = JSON.parse(hidden).packages || {}
  } catch {
    // Half written: npm was ended while it installed.
    return false
  }
  const want = JSON.parse(read(join(ROOT, 'package-lock.json'))).packages || {}
  return Object.keys(want).every((path) => {
    const [a, b] = [want[path], have[path]]
    // npm leaves out what is for other platforms, and what nothing depends on any more.
    if (path === '' || b === undefined) return path === '' || a.optional || a.devOptional || a.extraneous
    return a.version === b.version && a.integrity === b.integrity
  })
}

/** The environment with `first` before, and our own bin folder nowhere else, on PATH. */
function environment(first) {
  const rest = (process.env.PATH || '').split(delimiter).filter((folder) => folder !== BIN)
  return { ...process.env, PATH: [...first, ...rest].join(delimiter) }
}

/**
 * Runs npm quietly to its end. Its words are shown only in the error, because `npm run -s` silences
 * npm for its children as well and stdout belongs to the script that is about to start.
 * @returns {string | undefined} what went wrong, or `undefined`.
 */
function npm(...words) {
  const flags = ['--loglevel=error', '--no-audit', '--no-fund', '--no-progress', '--include=dev']
  // Without our own Node on PATH: npm is about to replace it.
  const done = spawnSync('npm', [...words, ...flags], {
    cwd: ROOT, env: environment([]), encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'],
    maxBuffer: 64 * 1024 * 1024, shell: process.platform === 'win32',
  })
  if (done.error && done.error.code === 'ENOENT') return 'there is no npm on PATH: install npm, then try again'
  if (done.error) return `npm could not be started: ${done.error.message}`
  if (done.status === 0) return undefined
  const said = `${done.stderr}\n${done.stdout}`
  const offline = OFFLINE.exec(said)
  if (offline) {
    return `the package registry cannot be reached (${offline[1]}): `
      + 'connect this machine to the network, then run the same command again'
  }
  const line = said.split('\n').map((text) => text.replace(/^npm (error|ERR!)\s*/, '').trim())
    .find((text) => text !== '' && !/^code\b/.test(text)) || `it ended with ${done.signal || done.status}`
  return `npm ${words[0]} failed: ${line} (run 'npm ${words.join(' ')}' in ${ROOT} to see all of it)`
}

/** Whether the Node that npm installed for us is there and is new enough. */
function ownNodeRuns() {
  const done = spawnSync(NODE, ['--version'], { encoding: 'utf8' })
  return done.status === 0 && runsTypeScript(done.stdout.trim().replace('v', ''))
}

/** Fetches the Node binary where npm was told to run no install scripts. */
function repairNode() {
  if (ownNodeRuns()) return
  say('installing Node 24 for Warren alone (once) …')
  // What lies there, of another kind of machine or only in part, would be taken for installed.
  rmSync(join(MODULES, 'node', 'node_modules'), { recursive: true, force: true })
  const problem = npm('rebuild', 'node', '--ignore-scripts=false')
  if (ownNodeRuns()) return
  throw new SetupError(`Node ${process.versions.node} is too old and Node 24 could not be installed`
    + `${problem ? ` (${problem})` : ''}: install Node 22.22 or newer, or let npm run the install script `
    + `of the package 'node', then try again`)
}

/** The process that holds the lock; 0 while it has not signed it; `undefined` if there is no lock. */
function lockHolder() {
  try {
    const text = read(join(LOCK, 'pid'))
    if (text !== undefined && text !== '') return Number(text)
    return Date.now() - statSync(LOCK).mtimeMs < LOCK_UNSIGNED_MS ? 0 : -1
  } catch (error) {
    if (error.code === 'ENOENT') return undefined
    throw error
  }
}

function isAlive(pid) {
  if (pid === 0) return true
  if (pid < 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code !== 'ESRCH'
  }
}

/**
 * Takes the lock, or takes it over from a process that died with it: of several heirs only one makes
 * the folder named after the dead.
 */
function tryLock() {
  try {
    mkdirSync(LOCK)
  } catch (error) {
    if (error.code !== 'EEXIST') throw new SetupError(`cannot write to ${ROOT}: ${error.message}`)
    const holder = lockHolder()
    if (holder === undefined || isAlive(holder)) return false
    try {
      mkdirSync(join(LOCK, `after-${holder}`))
    } catch (lost) {
      if (lost.code === 'EEXIST' || lost.code === 'ENOENT') return false
      throw lost
    }
  }
  writeFileSync(join(LOCK, 'pid'), String(process.pid))
  return true
}

/** Runs `work` while no other terminal does. */
async function alone(work) {
  const until = Date.now() + LOCK_WAIT_MS
  let told = false
  while (!tryLock()) {
    if (Date.now() > until) {
      throw new SetupError(`process ${lockHolder()} has been installing for too long: end it, or remove ${LOCK}`)
    }
    if (!told) say('waiting for another terminal to finish installing …')
    told = true
    await new Promise((done) => { setTimeout(done, 200) })
  }
  try {
    return work()
  } finally {
    rmSync(LOCK, { recursive: true, force: true })
  }
}

/** Brings node_modules to what the lock file says; does nothing where it is. */
function install(wanted) {
  if (read(STAMP) === wanted) return
  if (!installedByHand()) {
    say('installing what is missing (once) …')
    rmSync(STAMP, { force: true })
    const problem = npm('ci')
    if (problem !== undefined) throw new SetupError(problem)
  }
  writeFileSync(STAMP, wanted)
}

/** What a shell says of a file that it cannot run: a Node of another machine's kind, or half of one. */
const NOT_RUN = [2, 126, 127]

/** Runs the script in a child on our own Node, and ends as it ends; a Node that does not run is repaired once. */
function handOver(script, args, repaired) {
  const child = spawn(NODE, [script, ...args], { stdio: 'inherit', env: environment([BIN]) })
  const forward = (signal) => child.kill(signal)
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  for (const signal of signals) process.on(signal, forward)
  const ended = (code, signal) => {
    for (const each of signals) process.off(each, forward)
    if (!repaired && NOT_RUN.includes(code) && !ownNodeRuns()) {
      alone(repairNode).then(() => handOver(script, args, true)).catch(fail)
    } else if (signal === null) {
      process.exit(code)
    } else {
      process.kill(process.pid, signal)
      // A signal that this process survives (a parent may have it ignored) still gives its exit code.
      setTimeout(() => process.exit(128 + constants.signals[signal]), 100)
    }
  }
  child.once('error', () => ended(127, null))
  child.once('exit', ended)
}

function fail(error) {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exit(1)
}

async function main() {
  const [name, ...args] = process.argv.slice(2)
  if (name === undefined) throw new SetupError('usage: node node/setup.mjs <script.ts> [arguments]')
  const script = resolve(ROOT, name)
  const wanted = fingerprint()
  if (read(STAMP) !== wanted) await alone(() => install(wanted))
  if (runsTypeScript(process.versions.node)) {
    process.env.PATH = environment([BIN]).PATH
    process.argv.splice(1, process.argv.length, script, ...args)
    await import(pathToFileURL(script).href)
    return
  }
  // Looked for, not run: running it would cost each start 40 ms.
  const missing = !existsSync(NODE)
  if (missing) await alone(repairNode)
  handOver(script, args, missing)
}

main().catch(fail)

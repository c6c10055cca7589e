/** Tests of the node's log file, which must not fill the disk. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { openLog, openLogFile } from '../../../node/cli/log.ts'

describe('cli/log', () => {
  let folder = ''
  beforeEach(() => { folder = mkdtempSync(join(tmpdir(), 'warren-log-')) })
  afterEach(() => { rmSync(folder, { recursive: true, force: true }) })

  it('a full file makes room, one older file is kept, and no line is torn', () => {
    const path = join(folder, 'node.log')
    const file = openLogFile(path, 100)
    for (let at = 0; at < 30; at++) file.write(`line ${String(at).padStart(4, '0')}\n`)
    file.close()
    assert.deepEqual(readdirSync(folder).sort(), ['node.log', 'node.log.1'])
    const text = readFileSync(`${path}.1`, 'utf8') + readFileSync(path, 'utf8')
    assert.match(text, /^(line \d{4}\n)+$/)
    assert.ok(text.endsWith('line 0029\n') && text.length <= 200)
  })

  it('a file that is there is continued, and lines after the end are dropped', () => {
    const path = join(folder, 'node.log')
    for (const line of ['a\n', 'b\n']) {
      const file = openLogFile(path, 100)
      file.write(line)
      file.close()
      file.write('late\n')
    }
    assert.equal(readFileSync(path, 'utf8'), 'a\nb\n')
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })

  it('a log that cannot be opened is named', async () => {
    await assert.rejects(openLog(new Writable(), join(folder, 'none'), 'info'),
      { name: 'UNREADABLE', message: /none\/node\.log/ })
  })

  it('on a terminal it is for people, at the level that was asked for', async () => {
    const written: string[] = []
    const collector = new Writable({
      write(chunk, _encoding, done) {
        written.push(String(chunk))
        done()
      },
    })
    const stderr = Object.assign(collector, { isTTY: true })
    const log = await openLog(stderr, folder, 'info')
    log.logger.debug({}, 'hidden')
    log.logger.info({ port: 7 }, 'started')
    log.close()
    assert.match(written.join(''), /INFO.*started/)
    assert.match(written.join(''), /port.*7/)
    assert.doesNotMatch(written.join(''), /hidden/)
    assert.deepEqual(readdirSync(folder), [])
  })
})

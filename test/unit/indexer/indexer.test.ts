/** What the indexer finds, and which folders it takes as roots. */
import assert from 'node:assert/strict'
import { chmod, mkdir, rename, rm, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setImmediate } from 'node:timers/promises'
import type { RootStatus, RootSummary } from '../../../protocols/search/messages.ts'
import { netDouble, PEERS } from '../search/net-double.ts'
import { asOrdinaryUser, startMachine, uriOf, type Machine } from './machine.ts'

describe('the indexer', () => {
  let machine: Machine
  beforeEach(async () => { machine = await startMachine() })
  afterEach(() => machine.stop())

  it('cuts the snippet of each of several hits from its own content', async () => {
    await machine.write({ 'a.txt': 'apple alpha pie', 'b.txt': 'apple beta pie', 'c.txt': 'apple gamma pie' })
    await machine.add()
    await machine.idle()
    const { hits } = await machine.query('apple')
    const snippets = Object.fromEntries(hits.map(({ name, snippet }) => [name, snippet]))
    assert.deepEqual(snippets, { 'a.txt': 'apple alpha pie', 'b.txt': 'apple beta pie', 'c.txt': 'apple gamma pie' })
  })

  it('finds files by words of their content, with the words marked in the snippet', async () => {
    await machine.write({
      'letters/aunt.txt': 'Dear aunt,\n\tthe  marmalade has arrived, and it is delicious.\n',
      'other.txt': 'nothing here',
    })
    assert.deepEqual(await machine.add(), { root: 'docs', path: machine.files, files: 2, bytes: 73 })
    await machine.idle()
    const { hits, total } = await machine.query('MARMALADE arrived')
    assert.equal(total, 1)
    const hit = hits[0]
    assert.ok(hit)
    assert.equal(hit.uri, uriOf('letters/aunt.txt'))
    assert.equal(hit.name, 'aunt.txt')
    assert.equal(hit.host, 'attic')
    assert.equal(hit.node, PEERS[0])
    assert.equal(hit.path, join(machine.files, 'letters/aunt.txt'))
    assert.equal(hit.size, 61)
    const { mtimeMs } = await stat(hit.path, { bigint: true })
    assert.equal(hit.modified, new Date(Number(mtimeMs)).toISOString())
    assert.ok(hit.score > 0)
    assert.equal(hit.snippet.includes('\n'), false)
    assert.deepEqual(hit.matches.map(([from, to]) => hit.snippet.slice(from, to)), ['marmalade', 'arrived'])
  })

  it('finds files by name, whatever their content is', async () => {
    await machine.write({ 'holiday photo.jpg': Uint8Array.of(0xff, 0xd8, 0, 1), 'empty.txt': '' })
    await machine.add()
    const { hits } = await machine.query('photo')
    assert.deepEqual(hits.map((hit) => [hit.name, hit.snippet, hit.matches]), [['holiday photo.jpg', '', []]])
    const [root] = await machine.idle()
    assert.equal(root?.contents, 1, 'the empty file is text, the picture is not')
  })

  it('ranks a word in the name above one in a folder\'s name, and that above one in the content', async () => {
    await machine.write({ 'a.txt': 'walrus', 'walrus/b.txt': 'x', 'c/walrus.txt': 'x' })
    await machine.add()
    await machine.idle()
    assert.deepEqual(await machine.find('walrus'), ['walrus.txt', 'b.txt', 'a.txt'])
  })

  it('takes all words, phrases and words to leave out', async () => {
    await machine.write({ 'one.txt': 'red green blue', 'two.txt': 'green red blue', 'three.txt': 'red' })
    await machine.add()
    await machine.idle()
    assert.deepEqual((await machine.find('red green')).sort(), ['one.txt', 'two.txt'])
    assert.deepEqual(await machine.find('"red green"'), ['one.txt'])
    assert.deepEqual(await machine.find('red -green'), ['three.txt'])
    assert.deepEqual(await machine.find('red -"green blue" -three'), ['two.txt'])
  })

  it('keeps names in Unicode, with newlines and with markup as they are', async () => {
    const names = ['Größe.txt', '日本語 メモ.txt', '<img src=x onerror=alert(1)>.txt', 'two\nlines.txt', '100% #1?.txt']
    await machine.write(Object.fromEntries(names.map((name) => [name, `<b>needle</b> of ${name}`])))
    await machine.add()
    await machine.idle()
    assert.deepEqual((await machine.find('needle')).sort(), [...names].sort())
    assert.deepEqual(await machine.find('grosse needle'), [])
    assert.deepEqual(await machine.find('GROßE'), ['Größe.txt'])
    assert.deepEqual(await machine.find('onerror'), ['<img src=x onerror=alert(1)>.txt'])
    for (const name of names) {
      const { hits } = await machine.query('needle')
      const hit = hits.find((one) => one.name === name)
      assert.ok(hit?.snippet.startsWith('<b>needle</b>'), 'the snippet is the text itself')
      assert.equal((await machine.read(name)).toString(), `<b>needle</b> of ${name}`)
    }
  })

  it('passes over hidden files, node_modules and symbolic links', async () => {
    await machine.write({
      '.secret.txt': 'needle', '.git/config': 'needle', 'node_modules/a/index.js': 'needle', 'seen.txt': 'needle',
    })
    await writeFile(join(machine.state, 'outside.txt'), 'needle')
    await symlink(join(machine.state, 'outside.txt'), join(machine.files, 'link.txt'))
    await symlink(machine.state, join(machine.files, 'linked'))
    assert.equal((await machine.add()).files, 1)
    await machine.idle()
    assert.deepEqual(await machine.find('needle'), ['seen.txt'])
  })

  it('neither lists, indexes nor serves the home of a node, and takes none as a root', async () => {
    await machine.write({ 'warren/config.toml': 'needle', 'warren/data/identity.key': 'needle', 'a.txt': 'needle' })
    await machine.add()
    await machine.idle()
    assert.equal((await machine.find('needle')).length, 3)
    await machine.write({ 'warren/.warren-home': '' })
    await assert.rejects(machine.read('warren/config.toml'), { name: 'DENIED', message: /home of a node/ })
    await assert.rejects(machine.read('warren/data/identity.key'), { name: 'DENIED', message: /home of a node/ })
    await machine.call('rescan')
    await machine.idle()
    assert.deepEqual(await machine.find('needle'), ['a.txt'])
    await machine.call('remove', { root: 'docs' })
    for (const path of ['warren', 'warren/data']) {
      await assert.rejects(machine.call('add', { path: join(machine.files, path) }),
        { name: 'DENIED', message: /home of a node/ })
    }
  })

  it('reads the content of text up to 4 MiB and only the name of the rest', async () => {
    const line = `${'x'.repeat(63)}\n`
    await machine.write({
      'big.txt': `needle ${line.repeat(65_536)}`, 'latin.txt': Buffer.from('needle caf\xe9', 'latin1'),
      'zero.txt': 'needle\0', 'late.txt': `${'y '.repeat(5_000)}\0 needle`,
    })
    await machine.add()
    const [root] = await machine.idle()
    assert.deepEqual(await machine.find('needle'), ['late.txt'])
    assert.equal(root?.contents, 1)
    assert.equal(root?.unreadable.count, 0)
    assert.equal((await machine.find('big')).length, 1)
  })

  it('sees new, changed, renamed and deleted files after a rescan', async () => {
    await machine.write({ 'stays.txt': 'alpha', 'changes.txt': 'beta', 'goes.txt': 'gamma', 'old.txt': 'delta' })
    await machine.add()
    await machine.idle()
    await machine.write({ 'new.txt': 'epsilon', 'changes.txt': 'zeta' })
    await rm(join(machine.files, 'goes.txt'))
    await rename(join(machine.files, 'old.txt'), join(machine.files, 'renamed.txt'))
    assert.deepEqual((await machine.call<RootSummary[]>('rescan', undefined)).map((root) => root.files), [4])
    await machine.idle()
    assert.deepEqual(await machine.find('alpha'), ['stays.txt'])
    assert.deepEqual(await machine.find('beta'), [])
    assert.deepEqual(await machine.find('zeta'), ['changes.txt'])
    assert.deepEqual(await machine.find('gamma'), [])
    assert.deepEqual(await machine.find('delta'), ['renamed.txt'])
    assert.deepEqual(await machine.find('epsilon'), ['new.txt'])
  })

  it('notices a change that leaves size and seconds alone', async () => {
    await machine.write({ 'a.txt': 'alpha' })
    await utimes(join(machine.files, 'a.txt'), 1_000_000_000, 1_000_000_000)
    await machine.add()
    await machine.idle()
    await machine.write({ 'a.txt': 'omega' })
    await utimes(join(machine.files, 'a.txt'), 1_000_000_000, 1_000_000_000.001)
    await machine.call('rescan', { root: 'docs' })
    await machine.idle()
    assert.deepEqual(await machine.find('omega'), ['a.txt'])
  })

  it('keeps the index over a restart and looks by itself what has changed', async () => {
    await machine.write({ 'a.txt': 'alpha', 'b.txt': 'beta' })
    await machine.add()
    await machine.idle()
    await rm(join(machine.files, 'b.txt'))
    await machine.write({ 'c.txt': 'gamma' })
    await machine.restart()
    assert.deepEqual(await machine.find('alpha'), ['a.txt'], 'found before anything was looked at again')
    await machine.idle()
    assert.deepEqual(await machine.find('beta'), [])
    assert.deepEqual(await machine.find('gamma'), ['c.txt'])
  })

  it('answers queries while it indexes 5,000 files', async () => {
    const contents: Record<string, string> = {}
    for (let n = 0; n < 5_000; n += 1) contents[`folder-${n % 50}/file-${n}.txt`] = `common word-${n} text`
    await machine.write(contents)
    await machine.add()
    const asked: { pending: number, total: number }[] = []
    for (let pending = 1; pending > 0;) {
      // Calls that come over a link give way too; without it nothing but this loop would run.
      for (let turn = 0; turn < 10; turn += 1) await setImmediate()
      const { total } = await machine.query('common', 5)
      const [root] = await machine.call<RootStatus[]>('status')
      pending = root?.pending ?? 0
      asked.push({ pending, total })
    }
    const during = asked.filter(({ pending }) => pending > 0)
    assert.ok(during.length > 10, `only ${during.length} queries were answered meanwhile`)
    assert.ok(during.some(({ total }) => total > 0 && total < 5_000), 'contents become findable bit by bit')
    assert.equal((await machine.query('common', 5)).total, 5_000)
  }).timeout(30_000)

  it('says of unreadable files and folders why they are, and goes on', async () => {
    await machine.write({ 'closed.txt': 'needle', 'shut/inside.txt': 'needle', 'open.txt': 'needle' })
    await chmod(join(machine.files, 'closed.txt'), 0)
    await chmod(join(machine.files, 'shut'), 0)
    await asOrdinaryUser([dirname(machine.files), machine.files], async () => {
      await machine.add()
      const [root] = await machine.idle()
      assert.deepEqual(root?.unreadable, {
        count: 2,
        first: [
          { path: 'shut', reason: 'the system denies it' }, { path: 'closed.txt', reason: 'the system denies it' },
        ],
      })
      assert.deepEqual(await machine.find('needle'), ['open.txt'])
      await assert.rejects(machine.read('closed.txt'), {
        name: 'UNREADABLE', message: "'docs/closed.txt' cannot be read: the system denies it",
      })
    })
    await chmod(join(machine.files, 'shut'), 0o755)
    await chmod(join(machine.files, 'closed.txt'), 0o644)
    await machine.call('rescan', {})
    await machine.idle()
    assert.equal((await machine.find('needle')).length, 3, 'what could not be read is tried again')
  })

  it('says of a name that is not UTF-8 that it is not', async () => {
    await writeFile(Buffer.concat([Buffer.from(`${machine.files}/caf`), Buffer.from([0xe9])]), 'needle')
    await machine.add()
    const [root] = await machine.idle()
    assert.deepEqual(root?.unreadable.first, [{ path: 'caf\uFFFD', reason: 'its name is not UTF-8' }])
  })

  it('leaves its own state folder alone when that lies in a root', async () => {
    await machine.write({ 'a.txt': 'needle' })
    const summary = await machine.call<RootSummary>('add', { path: dirname(machine.files), name: 'all' })
    assert.equal(summary.files, 1)
  })

  it('asks the node who it is only once', async () => {
    await machine.stop()
    let asked = 0
    machine = await startMachine(netDouble({ 'node.status': () => {
      asked += 1
      return { peerId: PEERS[0], name: 'attic' }
    } }))
    await machine.query('a')
    await machine.query('b')
    assert.equal(asked, 1)
  })

  it('refuses calls once it has ended', async () => {
    await machine.add()
    const { call } = machine
    await machine.stop()
    await assert.rejects(call('roots'), { name: 'DEREGISTERED' })
    machine = await startMachine()
  })
})

describe('the indexer\'s roots', () => {
  let machine: Machine
  beforeEach(async () => { machine = await startMachine() })
  afterEach(() => machine.stop())
  const addIn = (folder: string, name?: string): Promise<RootSummary> =>
    machine.call('add', { path: join(machine.files, folder), ...(name === undefined ? {} : { name }) })

  it('are called after their folders, in the form that names have', async () => {
    for (const folder of ['Übersicht 2026!', '.config', '日本語', 'x'.repeat(200)]) {
      await mkdir(join(machine.files, folder))
    }
    assert.equal((await addIn('Übersicht 2026!')).root, 'Ubersicht-2026')
    assert.equal((await addIn('.config')).root, 'config')
    assert.equal((await addIn('日本語')).root, 'root')
    assert.equal((await addIn('x'.repeat(200))).root, 'x'.repeat(63))
  })

  it('get a number when the name is taken', async () => {
    const names = []
    for (const folder of ['a/docs', 'b/docs', 'c/docs']) {
      await mkdir(join(machine.files, folder), { recursive: true })
      names.push((await addIn(folder)).root)
    }
    assert.deepEqual(names, ['docs', 'docs-2', 'docs-3'])
    await mkdir(join(machine.files, 'd'))
    await assert.rejects(addIn('d', 'docs'), { name: 'NAME_TAKEN' })
    await assert.rejects(addIn('d', 'no/name'), { name: 'BAD_ARGUMENT' })
  })

  it('that are added again are looked at again', async () => {
    await machine.add()
    await machine.write({ 'a.txt': 'alpha' })
    assert.equal((await machine.call<RootSummary>('add', { path: `${machine.files}/.` })).files, 1)
    assert.equal((await machine.call<RootSummary[]>('roots')).length, 1)
    await assert.rejects(machine.call('add', { path: machine.files, name: 'other' }),
      { name: 'BAD_ARGUMENT', message: /is root 'docs' already/ })
  })

  it('may be added twice at once', async () => {
    await machine.write({ 'a.txt': 'alpha' })
    const both = await Promise.all([machine.add(), machine.add()])
    assert.deepEqual(both.map((root) => root.files), [1, 1])
    assert.equal((await machine.call<RootSummary[]>('roots')).length, 1)
  })

  it('may not overlap', async () => {
    await mkdir(join(machine.files, 'in/deep'), { recursive: true })
    await addIn('in', 'inner')
    await assert.rejects(addIn('in/deep'), { name: 'BAD_ARGUMENT', message: /lies in root 'inner'/ })
    await assert.rejects(machine.add(), { name: 'BAD_ARGUMENT', message: /holds root 'inner'/ })
    await symlink(join(machine.files, 'in/deep'), join(machine.files, 'alias'))
    await assert.rejects(addIn('alias'), { message: /lies in root 'inner'/ })
  })

  it('must be folders that can be read', async () => {
    await machine.write({ 'file.txt': 'x', 'shut/a.txt': 'x' })
    await assert.rejects(machine.call('add', { path: '/x/y' }),
      { name: 'FILE_NOT_FOUND', message: "no folder '/x/y'" })
    await assert.rejects(addIn('file.txt'), { name: 'BAD_ARGUMENT', message: /is not a folder$/ })
    await assert.rejects(machine.call('add', { path: 'relative' }), { name: 'BAD_ARGUMENT' })
    await assert.rejects(machine.call('add', { path: '/a\0b' }), { name: 'BAD_ARGUMENT' })
    await chmod(join(machine.files, 'shut'), 0)
    await asOrdinaryUser([dirname(machine.files), machine.files], () =>
      assert.rejects(addIn('shut'), { name: 'UNREADABLE', message: /the system denies it/ }))
    await chmod(join(machine.files, 'shut'), 0o755)
  })

  it('that are removed are found no more, and may be added again', async () => {
    await machine.write({ 'a.txt': 'needle' })
    await machine.add()
    await machine.idle()
    assert.equal((await machine.call<RootSummary>('remove', { root: 'docs' })).files, 1)
    assert.deepEqual(await machine.find('needle'), [])
    assert.deepEqual(await machine.call('roots'), [])
    await assert.rejects(machine.read('a.txt'), { name: 'FILE_NOT_FOUND', message: /no root "docs": there are none/ })
    await machine.add()
    await machine.idle()
    assert.deepEqual(await machine.find('needle'), ['a.txt'])
  })

  it('that are removed while they are scanned leave nothing behind, after a restart at the latest', async () => {
    const contents: Record<string, string> = {}
    for (let n = 0; n < 2_000; n += 1) contents[`file-${n}.txt`] = 'needle'
    await machine.write(contents)
    const adding = machine.add()
    const removed = assert.rejects(adding, { name: 'FILE_NOT_FOUND', message: "root 'docs' was removed meanwhile" })
    for (;;) {
      await setImmediate()
      const [root] = await machine.call<RootSummary[]>('roots')
      if (root !== undefined && root.files > 0) break
    }
    await machine.call('remove', { root: 'docs' })
    await removed
    await machine.restart()
    const database = new DatabaseSync(join(machine.state, 'index.sqlite'), { readOnly: true })
    const left = (): unknown[] => ['roots', 'files', 'words'].map((table) =>
      database.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.n)
    while (left().some((count) => count !== 0)) await setImmediate()
    database.close()
  })

  it('that are not there just now keep what was found in them', async () => {
    await machine.write({ 'a.txt': 'needle' })
    await machine.add()
    await machine.idle()
    await rename(machine.files, `${machine.files}-away`)
    await assert.rejects(machine.call('rescan', { root: 'docs' }),
      { name: 'FILE_NOT_FOUND', message: /not there just now/ })
    assert.equal((await machine.idle())[0]?.state, 'missing')
    assert.deepEqual(await machine.find('needle'), ['a.txt'])
    await assert.rejects(machine.read('a.txt'), { name: 'FILE_NOT_FOUND' })
    await rename(`${machine.files}-away`, machine.files)
    await machine.call('rescan', { root: 'docs' })
    assert.equal((await machine.idle())[0]?.state, 'idle')
  })

  it('that became a link to elsewhere are missing, and nothing there is listed', async () => {
    await machine.write({ 'a.txt': 'needle' })
    await machine.add()
    await machine.idle()
    await rename(machine.files, `${machine.files}-away`)
    await symlink(machine.state, machine.files)
    await assert.rejects(machine.call('rescan', { root: 'docs' }), { name: 'FILE_NOT_FOUND' })
    assert.deepEqual(await machine.find('sqlite'), [])
    assert.equal((await machine.idle())[0]?.state, 'missing')
  })

  it('whose disk is not mounted are missing, not empty', async () => {
    await machine.write({ 'a.txt': 'needle' })
    await machine.add()
    await machine.idle()
    // What an unmounted disk looks like: an empty folder, on another device than the root was on.
    const database = new DatabaseSync(join(machine.state, 'index.sqlite'))
    database.exec("UPDATE roots SET device = '0'")
    database.close()
    await rm(join(machine.files, 'a.txt'))
    await machine.restart()
    assert.equal((await machine.idle())[0]?.state, 'missing')
    assert.deepEqual(await machine.find('needle'), ['a.txt'])
  })
})

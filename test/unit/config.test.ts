/** Tests of the configuration: each default, each flag, and each way to get it wrong. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { CONFIG_BYTES_MAX, CONFIG_SCHEMA, loadConfig, type Config, type ConfigFlags } from '../../node/config.ts'
import { resolveHome, type Home } from '../../node/home.ts'
import { isName } from '../../protocols/names.ts'
import { FAKE_PEER } from './cli/fake.ts'

describe('config', () => {
  let home: Home
  beforeEach(() => { home = resolveHome({ WARREN_HOME: mkdtempSync(join(tmpdir(), 'warren-config-')) }) })
  afterEach(() => { rmSync(home.folder, { recursive: true, force: true }) })

  const load = (toml: string | Uint8Array, flags?: ConfigFlags): Config => {
    writeFileSync(home.configFile, toml)
    return loadConfig(home, flags)
  }
  const refuses = (toml: string | Uint8Array, message: RegExp): void => {
    assert.throws(() => load(toml), (error: Error) => {
      assert.equal(error.name, 'BAD_CONFIG')
      assert.ok(error.message.startsWith(home.configFile), error.message)
      assert.match(error.message, message)
      assert.ok(!error.message.includes('\n'))
      return true
    })
  }

  it('a missing and an empty file both mean the defaults, frozen all through', () => {
    for (const config of [loadConfig(home), load('')]) {
      assert.deepEqual(config, {
        name: config.name, listen: ['/ip4/127.0.0.1/tcp/0'], join: [], mdns: false, log: { level: 'info' }, apps: {},
      })
      assert.ok(Object.isFrozen(config) && Object.isFrozen(config.listen) && Object.isFrozen(config.log))
    }
  })

  it('a whole file is read as it stands', () => {
    writeFileSync(join(home.folder, 'speaker.ts'), '')
    const config = load(`
      name = "attic"
      listen = ["/ip4/127.0.0.7/tcp/4001", "/ip6/::1/tcp/0"]
      join = ["/ip4/127.0.0.1/tcp/4002/p2p/${FAKE_PEER}", "/dns4/box.local/tcp/4003"]
      mdns = false
      [log]
      level = "debug"
      [apps.speaker]
      path = "speaker.ts"
    `)
    assert.equal(config.name, 'attic')
    assert.equal(config.listen.length, 2)
    assert.equal(config.join.length, 2)
    assert.equal(config.log.level, 'debug')
    assert.deepEqual(config.apps, { speaker: { path: join(home.folder, 'speaker.ts') } })
  })

  it('flags go before the file, and addresses to join are added to it', () => {
    const file = 'name = "a"\nlisten = ["/ip4/127.0.0.1/tcp/1"]\njoin = ["/ip4/127.0.0.1/tcp/2"]\n[log]\nlevel = "warn"'
    const config = load(file, {
      name: 'b', listen: ['/ip4/127.0.0.1/tcp/3'], logLevel: 'trace',
      join: ['/ip4/127.0.0.1/tcp/4', '/ip4/127.0.0.1/tcp/2'],
    })
    assert.equal(config.name, 'b')
    assert.deepEqual(config.listen, ['/ip4/127.0.0.1/tcp/3'])
    assert.deepEqual(config.join, ['/ip4/127.0.0.1/tcp/2', '/ip4/127.0.0.1/tcp/4'])
    assert.equal(config.log.level, 'trace')
    assert.equal(load(file, {}).name, 'a')
  })

  it('an unknown key is named together with the nearest known one', () => {
    refuses('lisen = []', /: unknown key 'lisen'; did you mean 'listen'\?$/)
    refuses('[log]\nlevle = "info"', /unknown key 'log\.levle'; did you mean 'log\.level'\?$/)
    refuses('[apps.echo]\npaht = "x"', /unknown key 'apps\.echo\.paht'; did you mean 'apps\.echo\.path'\?$/)
    refuses('colour = 1', /unknown key 'colour'; known are name, listen, join, mdns, log, apps$/)
    refuses('__proto__ = 1', /unknown key '__proto__'/)
    refuses('"a\\nb" = 1', /unknown key '"a\\nb"'/)
  })

  it('a value of the wrong type is named with what it should be and what it is', () => {
    refuses('name = 7', /: name must be a string, not 7$/)
    refuses('listen = "/ip4/127.0.0.1/tcp/0"', /: listen must be a list of addresses, such as .*, not "\/ip4/)
    refuses('listen = [1]', /: listen\[0\] must be a string, not 1$/)
    refuses('join = true', /: join must be a list of addresses.*, not true$/)
    refuses('mdns = "no"', /: mdns must be true or false, not "no"$/)
    refuses('log = "info"', /: log must be a table, not "info"$/)
    refuses('apps = []', /: apps must be tables, such as \[apps\.speaker\], not a list$/)
    refuses('name = 1979-05-27', /: name must be a string, not a date$/)
    refuses('[apps]\necho = 3', /: apps\.echo must be a table, not 3$/)
    refuses('[apps.echo]', /: apps\.echo\.path must be the path of a file.*; it is missing$/)
  })

  it('a value out of range is named with its range', () => {
    refuses('name = "a b"', /: name must be letters, digits, dots.*, not "a b"$/)
    refuses(`name = "${'a'.repeat(64)}"`, /at most 63 characters/)
    refuses('listen = []', /: listen must hold an address/)
    refuses('[log]\nlevel = "loud"', /: log\.level must be one of silent, .*trace, not "loud"$/)
    refuses('[apps.Echo]\npath = "x"', /: apps\."Echo" is not a name for an app/)
    refuses('[apps.__proto__]\npath = "x"', /"__proto__" is not a name for an app/)
    refuses('[apps.echo]\npath = "none.ts"', /: apps\.echo\.path names no file: .*\/none\.ts$/)
  })

  it('no address but loopback is listened on, and the refusal says why', () => {
    const others = ['/ip4/0.0.0.0/tcp/0', '/ip4/192.168.1.5/tcp/0', '/ip6/::/tcp/0', '/ip6/::ffff:127.0.0.1/tcp/1']
    for (const listen of others) {
      refuses(`listen = ["${listen}"]`, /: listen\[0\] .* is refused: until machines are admitted by certificate/)
    }
    refuses('mdns = true', /: mdns must be false: until machines are admitted by certificate.*, not true$/)
  })

  it('what is not an address to listen on is shown beside one that is', () => {
    for (const listen of ['127.0.0.1:80', '/ip4/127.0.0.1', '/ip4/127.0.0.1/udp/1', '/ip4/127.0.0.1/tcp/1/ws',
      '/dns4/localhost/tcp/1', '/ip4/300.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/70000',
      `/ip4/127.0.0.1/tcp/1/p2p/${FAKE_PEER}`]) {
      refuses(`listen = ["/ip4/127.0.0.1/tcp/0", "${listen}"]`,
        /: listen\[1\] .* is not an address.*\/ip4\/127\.0\.0\.1\/tcp\/0$/)
    }
  })

  it('what is not an address to join is shown beside one that is', () => {
    for (const join of ['box', '/ip4/127.0.0.1', '/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/1/ws', '/p2p/x']) {
      refuses(`join = ["${join}"]`, /: join\[0\] .* is not an address.*\/p2p\/12D3KooW…$/)
    }
  })

  it('a bad flag is an argument, and is named as a flag', () => {
    const bad = (flags: ConfigFlags, message: RegExp): void => {
      assert.throws(() => load('', flags), { name: 'BAD_ARGUMENT', message })
    }
    bad({ join: ['box:4001'] }, /^--join "box:4001" is not an address.*such as|^--join "box:4001" .* looks like \/ip4/)
    bad({ listen: ['/ip4/0.0.0.0/tcp/0'] }, /^--listen .* is refused: until machines/)
    bad({ name: 'ä' }, /^--name must be letters/)
    bad({ logLevel: 'loud' }, /^--log-level must be one of/)
  })

  it('a file that is not TOML is named with line and column', () => {
    refuses('name = "a"\nlisten = [\n', /config\.toml:\d+:\d+: /)
    refuses('a=1\na=2', /config\.toml:2:1: trying to redefine/)
  })

  it('a file that is not text, too large, or a folder is refused by name', () => {
    refuses(Uint8Array.of(0x61, 0xff, 0xfe), / is not UTF-8 text$/)
    refuses('#'.repeat(CONFIG_BYTES_MAX + 1), /has 1048577 bytes, at most 1048576 are read$/)
    rmSync(home.configFile)
    mkdirSync(home.configFile)
    assert.throws(() => loadConfig(home), { name: 'BAD_CONFIG', message: /config\.toml cannot be read: EISDIR/ })
  })

  it('a byte order mark at the beginning does no harm', () => {
    assert.equal(load('\ufeffname = "a"').name, 'a')
  })

  it('a node is named after its home, the default one after its machine', () => {
    const named = (folder: string, isDefault = false): string =>
      loadConfig({ ...home, folder, isDefault }).name
    assert.equal(named('/home/ann/.warren-a'), 'warren-a')
    assert.equal(named('/home/ann/Büro & Küche'), 'Buro-Kuche')
    assert.equal(named('/home/ann/…'), 'node')
    assert.ok(hostname().toLowerCase().startsWith(named('/x/y', true).slice(0, 3).toLowerCase()))
  })

  it('every folder makes a name that a node may have', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 100 }), (folder) => {
      assert.ok(isName('node', loadConfig({ ...home, folder: `/${folder}` }).name))
    }))
  })

  it('text of any kind gives a configuration or BAD_CONFIG, nothing else', () => {
    const word = fc.constantFrom(
      'name', 'listen', 'log', 'apps', '=', '"x"', '[', ']', '.', '\n', '{', '}', '1', ',', '"')
    fc.assert(fc.property(fc.oneof(fc.string(), fc.array(word).map((words) => words.join(' '))), (toml) => {
      try {
        load(toml)
      } catch (error) {
        assert.equal((error as Error).name, 'BAD_CONFIG')
      }
    }), { numRuns: 300 })
  })

  it('every key has a description', () => {
    for (const [key, schema] of Object.entries(CONFIG_SCHEMA.shape)) assert.ok(schema.description, key)
  })
})

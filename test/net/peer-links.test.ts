/** The link of a pair of nodes: one is kept however many were opened, and one that leaves is replaced. */
import assert from 'node:assert/strict'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHost, type OverlayHost } from '../../node/overlay/host.ts'
import { PeerLinks } from '../../node/overlay/peer-links.ts'
import { RPC_CBOR } from '../../protocols/rpc/messages.ts'
import { eventually } from './nodes.ts'

describe('net: the links of a pair', () => {
  let folder = ''
  let hosts: OverlayHost[] = []
  let links: PeerLinks[] = []

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'warren-links-'))
    hosts = await Promise.all(['a', 'b'].map(async (name) => createHost({
      dataFolder: await mkdtemp(join(folder, name)), listen: ['/ip4/127.0.0.1/tcp/0'], join: [], mdns: false,
    })))
    links = hosts.map((host) => new PeerLinks(host, 'test', () => ({ data: () => {}, failed: () => {} })))
    for (const each of links) await each.start()
    for (const host of hosts) await host.start()
    await hosts[0]!.dial(hosts[1]!.getMultiaddrs())
  })
  afterEach(async () => {
    await Promise.all(links.map((each) => each.stop(0)))
    await Promise.all(hosts.map((host) => host.stop()))
    await rm(folder, { recursive: true, force: true })
  })

  const streams = (host: OverlayHost): number => host.getConnections()
    .flatMap((connection) => connection.streams).filter(({ protocol }) => protocol === RPC_CBOR).length
  const get = (at: 0 | 1) => links[at]!.get(hosts[1 - at]!.peerId)

  it('of two that both ends open at once one stays, and it is the same for both', async () => {
    for (let round = 0; round < 20; round++) {
      const [left, right] = await Promise.all([get(0), get(1)])
      await eventually(async () => streams(hosts[0]!) === 1 && streams(hosts[1]!) === 1 || undefined)
      const [keptLeft, keptRight] = await Promise.all([get(0), get(1)])
      assert.ok(keptLeft.acceptsCalls && keptRight.acceptsCalls)
      assert.ok(left === keptLeft || !left.acceptsCalls)
      assert.ok(right === keptRight || !right.acceptsCalls)
      // Closing one end ends the other: it is one link.
      const closed = keptRight.drained()
      keptLeft.close('next round')
      await closed
      await eventually(async () => streams(hosts[0]!) + streams(hosts[1]!) === 0 || undefined)
    }
  })

  it('a link that is about to leave is not given for new calls, whoever opened it', async () => {
    for (const at of [0, 1, 0, 1] as const) {
      const first = await get(at)
      const other = await get(at === 0 ? 1 : 0)
      first.goAway(5_000)
      other.goAway(5_000)
      for (const end of [at, at === 0 ? 1 : 0] as const) {
        const again = await get(end)
        assert.ok(again.acceptsCalls)
        assert.notEqual(again, first)
        assert.notEqual(again, other)
      }
      await Promise.all([first.drained(), other.drained()])
      await eventually(async () => streams(hosts[0]!) === 1 && streams(hosts[1]!) === 1 || undefined)
    }
  })
})

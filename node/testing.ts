/** What `import … from 'warren/testing'` gives: nodes in temporary homes for tests of apps. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { embed, type CreateNodeOptions, type EmbeddedNode } from './embed.ts'

/** A warren of this test's own. */
export interface TestWarren {
  readonly nodes: readonly EmbeddedNode[]
  /** Stops all nodes and removes their homes. */
  stop(): Promise<void>
}

/**
 * Starts `count` real nodes, each in a temporary home, all connected to the first.
 * @param count 1 to 50.
 */
export async function testWarren(
  count = 1, options: Omit<CreateNodeOptions, 'home' | 'join' | 'name'> = {},
): Promise<TestWarren> {
  const folder = await mkdtemp(join(tmpdir(), 'warren-test-'))
  const nodes: EmbeddedNode[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()))
    await rm(folder, { recursive: true, force: true })
  }
  try {
    for (let i = 0; i < count; i++) {
      const node = await embed({ ...options, name: `node-${i}`, home: join(folder, `node-${i}`) })
      nodes.push(node)
      if (i > 0) await node.call('node.connect', { address: nodes[0]!.addresses[0] })
    }
  } catch (thrown) {
    await stop()
    throw thrown
  }
  return { nodes, stop }
}

/** The peer store's keep-alive tags of the nodes whose links are to stay. */
import { KEEP_ALIVE, type PeerStore } from '@libp2p/interface'
import type { OverlayId } from '../../protocols/ids.ts'
import type { NodeRef } from '../../protocols/pastry/messages.ts'
import { peerInfoOf } from './pastry-peers.ts'

/** Peers with this tag are dialled again by libp2p when their connection is lost, and when it starts. */
export const KEEP_ALIVE_TAG = `${KEEP_ALIVE}-pastry`
/** Weight when libp2p has too many connections; untagged ones, at 0, are closed first. */
const TAG_VALUE = 50

/** Wishes of this time are written together: leaf sets change much while a ring grows, and a write goes to disk. */
const SETTLE_MS = 1_000

/** Writes tags one after the other, the last wish for a peer only. */
export class KeepAliveTags {
  readonly #peerStore: PeerStore
  readonly #failed: (error: unknown) => void
  readonly #wishes = new Map<OverlayId, { readonly ref: NodeRef, readonly isWarm: boolean }>()
  readonly #tagged = new Set<OverlayId>()
  #writing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(peerStore: PeerStore, failed: (error: unknown) => void) {
    this.#peerStore = peerStore
    this.#failed = failed
  }

  /** From now on the link to the node is to stay, or not. `isTagged`: it has a tag that we did not write. */
  set(ref: NodeRef, isWarm: boolean, isTagged = false): void {
    if (isTagged) this.#tagged.add(ref.id)
    // With nothing under way, a wish that is fulfilled already changes nothing.
    if (this.#writing === undefined && this.#tagged.has(ref.id) === isWarm) return
    this.#wishes.set(ref.id, { ref, isWarm })
    if (this.#writing === undefined) this.#schedule()
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#writing = this.#write()
    }, SETTLE_MS).unref()
  }

  /** Writes nothing more; settles when the write under way is done. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#wishes.clear()
    await this.#writing
  }

  async #write(): Promise<void> {
    // It must not end before its promise is kept.
    await Promise.resolve()
    for (let [wish] = this.#wishes; wish !== undefined; [wish] = this.#wishes) {
      const [id, { ref, isWarm }] = wish
      this.#wishes.delete(id)
      const peer = peerInfoOf(ref)
      if (peer === undefined || this.#tagged.has(id) === isWarm) continue
      try {
        // A tag is of no use without an address, and whoever identifies the peer may be slower than we are.
        const multiaddrs = isWarm && peer.multiaddrs.length > 0 ? { multiaddrs: peer.multiaddrs } : {}
        await this.#peerStore.merge(peer.id, {
          ...multiaddrs, tags: { [KEEP_ALIVE_TAG]: isWarm ? { value: TAG_VALUE } : undefined },
        })
        if (isWarm) this.#tagged.add(id)
        else this.#tagged.delete(id)
      } catch (error) {
        this.#failed(error)
      }
    }
    this.#writing = undefined
  }
}

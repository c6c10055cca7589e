/** What a measured system is made of: processes with roles, of which the client can echo, upload and download. */

/** What the load is driven through. */
export interface Client {
  /** Sends `payload`, gives what came back. */
  echo(payload: Uint8Array): Promise<Uint8Array>
  /** Streams what `next` gives until it gives nothing, beside other calls; settles when the other end has it all. */
  upload?(next: () => Uint8Array | undefined): Promise<void>
  /** Asks for `items` items of 64 KiB as one stream. @returns the bytes that came. */
  download?(items: number): Promise<number>
}

/** What one process of a system runs. */
export interface Part {
  /** Where the roles after it find it. */
  readonly address?: string
  readonly client?: Client
  close(): Promise<void>
}

/** What a process needs to take its role. */
export interface Setting {
  /** A folder of its own that exists. */
  readonly folder: string
  /** Addresses of the roles that were started before it. */
  readonly addresses: Readonly<Record<string, string>>
}

/** The roles of a system by name. */
export type Roles = Readonly<Record<string, (setting: Setting) => Promise<Part>>>

/** Size of an item of a bulk stream. */
export const ITEM_BYTES = 64 * 1024

/** One system. */
export interface SystemSpec {
  /** In the order in which they are started, each in a process of its own; the last is `client`. */
  readonly roles: readonly string[]
  /** Payloads that it is measured with. */
  readonly sizes: readonly number[]
  load(): Promise<Roles>
}

const ALL = [32, 1_024, 1_048_576] as const

/** Every system by the name that lines give it, in the order of the table. */
export const SYSTEMS: Readonly<Record<string, SystemSpec>> = {
  'raw-tcp': { roles: ['server', 'client'], sizes: ALL, load: async () => (await import('./raw-tcp.ts')).roles },
  'bare-libp2p': {
    roles: ['server', 'client'], sizes: ALL, load: async () => (await import('./bare-libp2p.ts')).roles,
  },
  unix: { roles: ['server', 'client'], sizes: ALL, load: async () => (await import('./unix.ts')).roles },
  libp2p: { roles: ['server', 'client'], sizes: ALL, load: async () => (await import('./libp2p.ts')).roles },
  'unix-routed': {
    roles: ['node', 'app', 'client'], sizes: ALL, load: async () => (await import('./routed.ts')).oneNode,
  },
  'libp2p-routed': {
    roles: ['far', 'app', 'node', 'client'], sizes: ALL, load: async () => (await import('./routed.ts')).twoNodes,
  },
  'stream-per-call': {
    roles: ['server', 'client'], sizes: [32, 1_024], load: async () => (await import('./bare-libp2p.ts')).perCall,
  },
}

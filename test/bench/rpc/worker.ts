/** Entry of every process of the bench: takes one role of one system, then does what it is asked. */
import { mkdirSync } from 'node:fs'
import { answerParent } from '../workers.ts'
import { drive, pour, echoBesideUpload, type BesideWanted, type Wanted } from './load.ts'
import { startProxy } from './proxy.ts'
import { SYSTEMS, type Client, type Part } from './system.ts'

/** What the bench says when a process begins. */
export interface StartWanted {
  readonly system: string
  readonly role: string
  readonly folder: string
  readonly addresses: Readonly<Record<string, string>>
}

let part: Part | undefined

function client(): Client {
  if (part?.client === undefined) throw new Error('this process is no client')
  return part.client
}

answerParent({
  start: async ({ system, role, folder, addresses }: StartWanted): Promise<string> => {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const start = (await SYSTEMS[system]?.load())?.[role]
    if (start === undefined) throw new Error(`${system} has no role ${role}`)
    part = await start({ folder, addresses })
    return part.address ?? ''
  },
  proxy: async ({ port, delayMs }: { port: number, delayMs: number }): Promise<number> => {
    const proxy = await startProxy(port, delayMs)
    part = proxy
    return proxy.port
  },
  /** Microseconds of CPU, user and system, since the process began. */
  cpu: () => {
    const { user, system } = process.cpuUsage()
    return user + system
  },
  drive: (wanted: Wanted) => drive(client(), wanted),
  beside: (wanted: BesideWanted) => echoBesideUpload(client(), wanted),
  pour: ({ items }: { items: number }) => pour(client(), items),
  close: () => part?.close(),
})

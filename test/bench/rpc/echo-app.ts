/** The app that all of Warren's own systems serve, and its client: bytes in and bytes out, no schema. */
import { defineApp, method, type App, type Caller, type Log, type Net } from '../../../protocols/app.ts'
import { serveCall, type Services } from '../../../node/links/serve.ts'
import type { CallListener, IncomingCall } from '../../../node/links/link.ts'
import { ITEM_BYTES, type Client } from './system.ts'

/** `say` gives its bytes back, `take` swallows an upload, `pour` gives so many items of 64 KiB. */
export const echo = defineApp('echo', {
  say: method({}, (bytes) => bytes),
  take: method({}, async (_input, { upload }) => {
    let bytes = 0
    for await (const item of upload as AsyncIterable<Uint8Array>) bytes += item.length
    return bytes
  }),
  pour: method({}, async function* (items) {
    const item = new Uint8Array(ITEM_BYTES).fill(0x42)
    for (let i = 0; i < Number(items); i++) yield item
  }),
})

/** The client's side over any view of the overlay. */
export function echoClient(net: Net): Client {
  return {
    echo: (payload) => net.call<Uint8Array>('echo.say', payload),
    upload: async (next) => {
      const items = function* (): Generator<Uint8Array, void, undefined> {
        for (let item = next(); item !== undefined; item = next()) yield item
      }
      await net.call('echo.take', undefined, { upload: items(), timeoutMs: Infinity })
    },
    download: async (items) => {
      let bytes = 0
      for await (const item of net.call<Uint8Array>('echo.pour', items)) bytes += item.length
      return bytes
    },
  }
}

const HERE: Caller = { node: '', local: true }
const nothing = (): void => {}
const SILENT: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing }

const SERVICES: Services = {
  app: (name): App | undefined => name === echo.name ? echo : undefined,
  net: () => { throw new Error('the echo app calls nobody') },
  caller: () => HERE,
  folder: () => { throw new Error('the echo app keeps nothing') },
  log: () => SILENT,
}

/** Serves the app on a link that has no node behind it. */
export function serveEcho(incoming: IncomingCall): CallListener {
  return serveCall(incoming, SERVICES)
}

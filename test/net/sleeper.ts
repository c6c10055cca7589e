/** An app for tests that need a process of its own: it says who it is, and sleeps. */
import { defineApp, method } from 'warren'

export default defineApp('sleeper', {
  pid: method({}, async () => process.pid),
  sleep: method({}, async function* (_input, { signal }) {
    yield process.pid
    await new Promise((resolve) => { signal.addEventListener('abort', resolve, { once: true }) })
  }),
})

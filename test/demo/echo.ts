/** The smallest app that shows both kinds of methods: one that answers once, and one that answers with a stream. */
import { defineApp, method } from 'warren'
import { z } from 'zod'

export default defineApp('echo', {
  say: method({
    input: z.object({ text: z.string() }), output: z.object({ text: z.string() }),
    description: 'Says what it was told.',
  }, async ({ text }) => ({ text })),

  count: method({
    input: z.object({ to: z.int().min(0).max(1_000_000) }), output: z.int(),
    description: 'Counts, one number at a time.',
  }, async function* ({ to }) {
    for (let number = 1; number <= to; number++) yield number
  }),
})

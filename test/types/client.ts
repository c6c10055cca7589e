/** A type test: this file must compile, and every line under an expect-error must not. */
import { z } from 'zod'
import { defineApp, method, type Net } from '../../protocols/app.ts'

const app = defineApp('echo', {
  say: method({ input: z.object({ text: z.string() }), output: z.object({ text: z.string() }) },
    async ({ text }, { signal }) => ({ text: signal.aborted ? '' : text.toUpperCase() })),
  count: method({ input: z.object({ to: z.number() }), output: z.number() },
    async function* ({ to }) { for (let i = 0; i < to; i++) yield i }),
  sum: method({ upload: z.number(), output: z.number() }, async (_input, { upload }) => {
    let sum = 0
    for await (const value of upload) sum += value
    return sum
  }),
  anything: method({}, (input) => input),
})

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false
const same = <A, B>(equal: Equal<A, B>): boolean => equal

/** Never run; only compiled. */
export async function checks(net: Net): Promise<void> {
  const byValue = net.client(app)
  const byType = net.client<typeof app>('echo')
  const said = await byValue.say({ text: 'hi' }, { timeoutMs: 100 })
  same<typeof said, { text: string }>(true)
  const typed = await byType.say({ text: 'hi' })
  same<typeof typed, { text: string }>(true)
  for await (const n of byType.count({ to: 3 })) same<typeof n, number>(true)
  const sum = await byType.sum(undefined, { upload: [1, 2, 3] })
  same<typeof sum, number>(true)
  const any = await byType.anything()
  same<typeof any, unknown>(true)
  // @ts-expect-error the argument is missing
  await byType.say()
  // @ts-expect-error the argument has another type
  await byType.say({ text: 7 })
  // @ts-expect-error there is no such method
  await byType.shout({ text: 'hi' })
  // @ts-expect-error a stream is not a promise
  byType.count({ to: 1 }).then(() => {})
  // @ts-expect-error a single reply cannot be iterated
  for await (const x of byType.say({ text: 'hi' })) void x
  // @ts-expect-error an upload of the wrong items
  await byType.sum(undefined, { upload: ['a'] })
  // @ts-expect-error a reply that does not fit its schema
  method({ output: z.number() }, async () => 'no')
}

/** The tidy rule about promises, on a program in memory. */
import assert from 'node:assert/strict'
import { floatingPromises } from '../tidy/promises.ts'

const config = JSON.stringify({
  compilerOptions: { target: 'es2024', lib: ['es2024'], types: [], strict: true, noEmit: true }, files: ['a.ts'],
})

/** The lines of the statements in which a promise floats. */
async function floating(...lines: string[]): Promise<number[]> {
  const text = ['declare const f: () => Promise<void>, g: { close(): Promise<void> } | undefined', ...lines].join('\n')
  const found = await floatingPromises('/memory', { '/memory/tsconfig.json': config, '/memory/a.ts': text })
  return found.map((line) => Number(/^a\.ts:(\d+): a promise floats/.exec(line)?.[1]))
}

describe('the rule about promises', () => {
  it('names every statement that is a promise nobody waits for', async () => {
    assert.deepEqual(await floating(
      'f()', 'g?.close()', 'new Promise(() => {})', 'f().then(() => 1)', 'f().finally(() => 1)',
      'async function h() { f() }', 'false || f()',
      'interface Call extends Promise<void> {}', 'declare const call: () => Call',
      'call()',
    ), [2, 3, 4, 5, 6, 7, 8, 11])
  })

  it('says nothing where it is awaited, caught, kept or marked', async () => {
    assert.deepEqual(await floating(
      'await f()', 'void f()', 'f().catch(() => 1)', 'f().then(() => 1, () => 2)',
      'f().catch(() => 1).finally(() => 2)', 'let kept = f()', 'kept = f()', 'kept ??= f()',
      'const list = [kept]', 'list.push(f())', 'export {}',
    ), [])
  })
})

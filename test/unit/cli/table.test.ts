/** Tests of tables: aligned as they are seen, and never wider than the terminal. */
import assert from 'node:assert/strict'
import * as fc from 'fast-check'
import { displayWidth, renderPairs, renderTable, truncate } from '../../../node/cli/table.ts'

describe('cli/table', () => {
  it('columns are aligned, numbers at their right, and no line ends in spaces', () => {
    assert.deepEqual(renderTable(
      [{ title: 'name' }, { title: 'size', align: 'right' }, { title: 'path' }],
      [['a', '1', '/x'], ['long name', '1000'], ['b', '20', '/y']],
    ), [
      'name       size  path',
      'a             1  /x',
      'long name  1000',
      'b            20  /y',
    ])
  })

  it('wide and combining characters take the columns that a terminal gives them', () => {
    const texts = ['abc', '日本', 'é', 'e\u0301', '👩‍👩‍👧', '한글', '\u200b']
    assert.deepEqual(texts.map(displayWidth), [3, 4, 1, 1, 2, 4, 0])
    assert.deepEqual(renderTable([{ title: 'n' }, { title: 'x' }], [['日本', '1'], ['abcd', '2']]),
      ['n     x', '日本  1', 'abcd  2'])
  })

  it('only columns that may give way are cut to fit, the widest first', () => {
    const lines = renderTable(
      [{ title: 'id' }, { title: 'name', shrinks: true }, { title: 'path', shrinks: true }],
      [['0123456789', 'n'.repeat(12), 'p'.repeat(40)]], { width: 40 },
    )
    assert.equal(lines[1], `0123456789  ${'n'.repeat(12)}  ${'p'.repeat(13)}…`)
  })

  it('colours come after the padding and leave the spaces alone', () => {
    const mark = (cell: string): string => `<${cell}>`
    const columns = [{ title: 'a', style: mark }, { title: 'b' }]
    assert.deepEqual(renderTable(columns, [['$&', 'y'], ['', 'z']], { titleStyle: mark }),
      ['<a>   <b>', '<$&>  y', '    z'])
  })

  it('no table with room to give is wider than its terminal', () => {
    const cell = fc.string({ unit: 'grapheme', maxLength: 60 }).map((text) => text.replace(/[\p{C}]/gu, ''))
    const table = fc.array(fc.tuple(cell, cell), { maxLength: 8 })
    fc.assert(fc.property(table, fc.integer({ min: 20, max: 90 }), (rows, width) => {
      const lines = renderTable([{ title: 'a', shrinks: true }, { title: 'b', shrinks: true }], rows, { width })
      for (const line of lines) assert.ok(displayWidth(line) <= width, line)
    }))
  })

  it('a text that is too long ends in an ellipsis within its width', () => {
    const cases: [string, number, string][] =
      [['abcdef', 4, 'abc…'], ['abc', 3, 'abc'], ['日本語', 4, '日…'], ['abc', 1, '…'], ['abc', 0, '']]
    for (const [text, width, shown] of cases) assert.equal(truncate(text, width), shown)
  })

  it('labels and their values stand in two columns', () => {
    assert.deepEqual(renderPairs([['a', '1'], ['long', '2'], ['', '3']]), ['a     1', 'long  2', '      3'])
  })
})

/** Aligned tables that fit the terminal: widths as they are seen, not as they are stored. */

/** One column of a table. */
export interface Column {
  readonly title: string
  /** Default `left`. */
  readonly align?: 'left' | 'right'
  /** Gives way, and ends in `…`, where the table is wider than the terminal. Default false. */
  readonly shrinks?: boolean
  /** Colours a cell after it was cut and padded. */
  readonly style?: (cell: string) => string
}

/** How a table is laid out. */
export interface TableOptions {
  /** Columns of the terminal; `Infinity` where there is none. Default `Infinity`. */
  readonly width?: number
  /** Colours the titles. */
  readonly titleStyle?: (cell: string) => string
}

const GAP = '  '
/** A column that gives way keeps this many columns, so that something of it can be read. */
const SHRUNK_WIDTH_MIN = 8

/**
 * The lines of a table, titles first; no line has spaces at its end.
 * @param rows cells without control characters; a missing cell is empty.
 */
export function renderTable(
  columns: readonly Column[], rows: readonly (readonly string[])[], options: TableOptions = {},
): string[] {
  const { width = Infinity, titleStyle = same } = options
  const widths = columns.map(({ title }, at) =>
    Math.max(displayWidth(title), ...rows.map((row) => displayWidth(row[at] ?? ''))))
  shrink(widths, columns, width)
  const line = (cells: readonly string[], styleOf: (column: Column) => (cell: string) => string): string =>
    columns.map((column, at) => {
      const cell = fit(cells[at] ?? '', widths[at] ?? 0, column.align ?? 'left')
      const text = cell.trim()
      // Spaces stay outside the colour, or an underlined title would run into the next.
      return text === '' ? cell : cell.replace(text, () => styleOf(column)(text))
    }).join(GAP).trimEnd()
  return [
    line(columns.map(({ title }) => title), () => titleStyle),
    ...rows.map((row) => line(row, (column) => column.style ?? same)),
  ]
}

/** Lines of `label  value`, the values aligned. */
export function renderPairs(
  pairs: readonly (readonly [label: string, value: string])[], labelStyle: (label: string) => string = same,
): string[] {
  const width = Math.max(0, ...pairs.map(([label]) => displayWidth(label)))
  return pairs.map(([label, value]) =>
    `${labelStyle(label)}${' '.repeat(width - displayWidth(label))}${GAP}${value}`.trimEnd())
}

function same(text: string): string {
  return text
}

/** Takes from the widest column that gives way, until the table fits or none can give more. */
function shrink(widths: number[], columns: readonly Column[], width: number): void {
  const gaps = GAP.length * (columns.length - 1)
  let excess = widths.reduce((sum, each) => sum + each, gaps) - width
  while (excess > 0) {
    const at = columns.reduce((widest, column, index) =>
      column.shrinks === true && (widths[index] ?? 0) > Math.max(SHRUNK_WIDTH_MIN, widths[widest] ?? 0)
        ? index : widest, -1)
    if (at < 0) return
    widths[at] = (widths[at] ?? 0) - 1
    excess--
  }
}

function fit(cell: string, width: number, align: 'left' | 'right'): string {
  const cut = truncate(cell, width)
  const padding = ' '.repeat(Math.max(0, width - displayWidth(cut)))
  return align === 'left' ? cut + padding : padding + cut
}

/** `text` in at most `width` columns; what is too long ends in `…`. */
export function truncate(text: string, width: number): string {
  if (displayWidth(text) <= width) return text
  let kept = ''
  let used = 0
  for (const { segment } of segmenter().segment(text)) {
    const more = graphemeWidth(segment)
    if (used + more > width - 1) break
    kept += segment
    used += more
  }
  return width < 1 ? '' : `${kept}…`
}

let graphemes: Intl.Segmenter | undefined

function segmenter(): Intl.Segmenter {
  return graphemes ??= new Intl.Segmenter(undefined, { granularity: 'grapheme' })
}

/** Columns that a text without control characters takes in a terminal. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e…]*$/.test(text)) return text.length
  let width = 0
  for (const { segment } of segmenter().segment(text)) width += graphemeWidth(segment)
  return width
}

const WIDE = new RegExp('^(?:\\p{Emoji_Presentation}|.\\ufe0f|[\\p{Script=Han}\\p{Script=Hiragana}'
  + '\\p{Script=Katakana}\\p{Script=Hangul}\\u3000-\\u303e\\uff01-\\uff60\\uffe0-\\uffe6])', 'u')

/** What a terminal gives one written character: two columns for East Asian ones and emoji, else one. */
function graphemeWidth(grapheme: string): number {
  if (WIDE.test(grapheme)) return 2
  return /^[\p{M}\p{Cf}]+$/u.test(grapheme) ? 0 : 1
}

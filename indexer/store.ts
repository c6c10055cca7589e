/** What the indexer keeps on the disk: roots, files and their words, in one SQLite database. */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { WarrenError } from '../protocols/errors.ts'
import { indexable, MATCH_CLOSE, MATCH_OPEN } from './match.ts'

/** The layout below; another number in a database means another version of Warren wrote it. */
const SCHEMA_VERSION = 1
/** Words that FTS5 puts into a snippet; 64 is the most it can. */
const SNIPPET_WORDS = 24
/** A word in the name counts ten times one in the content, one in a folder's name four times. */
const RANK = 'bm25(10.0, 4.0, 1.0)'

/**
 * A root without a name is being erased: nothing shows it, and `eraseSome` takes what is left.
 * `device` tells a mounted disk from its empty mount point. `stamp` changes when a file does.
 */
const SCHEMA = `
  CREATE TABLE roots (
    id INTEGER PRIMARY KEY, name TEXT UNIQUE, path TEXT UNIQUE, device TEXT NOT NULL, scanned INTEGER
  ) STRICT;
  CREATE TABLE files (
    id INTEGER PRIMARY KEY, root INTEGER NOT NULL REFERENCES roots, path TEXT NOT NULL,
    size INTEGER NOT NULL, modified INTEGER NOT NULL, stamp TEXT NOT NULL,
    state INTEGER NOT NULL, reason TEXT, UNIQUE (root, path)
  ) STRICT;
  CREATE INDEX files_by_state ON files (root, state, size);
  CREATE VIRTUAL TABLE words USING fts5 (
    name, path, content, tokenize = "unicode61 remove_diacritics 2"
  );
  PRAGMA user_version = ${SCHEMA_VERSION};
`

/** How far a file got: its content is to be read, was read, is not text, or could not be read. */
export const FILE_STATE = { pending: 0, text: 1, nameOnly: 2, unreadable: 3 } as const

/** A folder that is indexed. */
export interface Root {
  readonly id: number
  readonly name: string
  /** Absolute, without symbolic links. */
  readonly path: string
  /** Number of the device that it lay on when it was last scanned. */
  readonly device: string
  /** When its last scan ended, in milliseconds since 1970. */
  readonly scanned: number | null
}

/** A file as the disk describes it. */
export interface FileEntry {
  /** Within its root. */
  readonly path: string
  readonly size: number
  /** Milliseconds since 1970. */
  readonly modified: number
  /** Size, time of change in nanoseconds and inode: another stamp means another content. */
  readonly stamp: string
}

/** What reading a file's content came to. */
export type Outcome = { readonly entry?: FileEntry } & (
  | { readonly state: typeof FILE_STATE.text, readonly text: string }
  | { readonly state: typeof FILE_STATE.nameOnly }
  | { readonly state: typeof FILE_STATE.unreadable, readonly reason: string })

/** A file that is known by its row. */
export interface FileRow { readonly id: number, readonly path: string, readonly size: number }

/** A file whose content is to be read. */
export interface PendingFile extends FileRow { readonly root: string }

/** A file that matches. */
export interface Match extends FileRow {
  readonly root: string
  readonly rootPath: string
  readonly modified: number
  /** Lower is better, always below 0. */
  readonly rank: number
}

/** How many files of a root are in one state, and their bytes. */
export interface StateCount {
  readonly state: number
  readonly files: number
  readonly bytes: number
}

/** The database. All its methods are synchronous; callers keep their batches small. */
export class IndexStore {
  readonly #database: DatabaseSync
  readonly #statements = new Map<string, StatementSync>()

  /** @throws {WarrenError} `UNSUPPORTED` for a database that a newer Warren wrote. */
  constructor(file: string) {
    this.#database = new DatabaseSync(file)
    try {
      this.#database.exec(
        'PRAGMA busy_timeout = 2000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL')
      const version = this.#database.prepare('PRAGMA user_version').get()?.user_version
      if (version === 0) this.#transaction(() => this.#database.exec(SCHEMA))
      else if (version !== SCHEMA_VERSION) {
        throw new WarrenError('UNSUPPORTED', `the index '${file}' has layout ${String(version)}, `
          + `this version of Warren reads ${SCHEMA_VERSION}: run the newer one, or delete the file `
          + 'to index anew')
      }
    } catch (error) {
      this.#database.close()
      throw error
    }
  }

  /** Closes the database; the store is of no use afterwards. */
  close(): void {
    this.#database.close()
  }

  /** All roots, by name. */
  roots(): Root[] {
    return this.#all<Root>(
      'SELECT id, name, path, device, scanned FROM roots WHERE name IS NOT NULL ORDER BY name')
  }

  /** Adds a root; name and path must be free. */
  addRoot(name: string, path: string, device: string): Root {
    const { lastInsertRowid } = this.#run(
      'INSERT INTO roots (name, path, device) VALUES (?, ?, ?)', name, path, device)
    return { id: Number(lastInsertRowid), name, path, device, scanned: null }
  }

  /** Notes that a scan has ended, and where the root lies just now. */
  markScanned(root: number, device: string, nowMs: number): void {
    this.#run('UPDATE roots SET device = ?, scanned = ? WHERE id = ?', device, nowMs, root)
  }

  /** Takes a root out of everything that is shown; `eraseSome` then deletes what is left of it. */
  forgetRoot(root: number): void {
    this.#run('UPDATE roots SET name = NULL, path = NULL WHERE id = ?', root)
  }

  /** Deletes at most `limit` files of forgotten roots; returns whether anything is left. */
  eraseSome(limit: number): boolean {
    const rows = this.#all<FileRow>(`SELECT files.id, files.path, size FROM files
      JOIN roots ON roots.id = files.root WHERE roots.name IS NULL LIMIT ?`, limit)
    this.deleteFiles(rows.map((row) => row.id))
    if (rows.length === limit) return true
    this.#run('DELETE FROM roots WHERE name IS NULL')
    return false
  }

  /**
   * Records files by name, in one transaction. New and changed ones, and those that could not be
   * read, become pending; of a changed one the old content stays findable until the new one is
   * read.
   * @returns the rows' ids.
   */
  recordNames(root: number, entries: readonly FileEntry[]): number[] {
    return this.#transaction(() => entries.map((entry) => this.#recordName(root, entry)))
  }

  #recordName(root: number, { path, size, modified, stamp }: FileEntry): number {
    const known = this.#get<{ id: number, stamp: string, state: number }>(
      'SELECT id, stamp, state FROM files WHERE root = ? AND path = ?', root, path)
    if (known === undefined) {
      const { lastInsertRowid } = this.#run(`INSERT INTO files (root, path, size, modified, stamp, state)
        VALUES (?, ?, ?, ?, ?, ${FILE_STATE.pending})`, root, path, size, modified, stamp)
      this.#run("INSERT INTO words (rowid, name, path, content) VALUES (?, ?, ?, '')",
        lastInsertRowid, indexable(path.slice(path.lastIndexOf('/') + 1)), indexable(path))
      return Number(lastInsertRowid)
    }
    if (known.stamp !== stamp || known.state === FILE_STATE.unreadable) {
      this.#run(`UPDATE files SET size = ?, modified = ?, stamp = ?, state = ?, reason = NULL
        WHERE id = ?`, size, modified, stamp, FILE_STATE.pending, known.id)
    }
    return known.id
  }

  /** Up to `limit` files of a root with ids above `after`, in order of their ids. */
  filesAfter(root: number, after: number, limit: number): FileRow[] {
    return this.#all<FileRow>(`SELECT id, path, size FROM files WHERE root = ? AND id > ?
      ORDER BY id LIMIT ?`, root, after, limit)
  }

  /** Deletes files and their words, in one transaction. */
  deleteFiles(ids: readonly number[]): void {
    this.#transaction(() => {
      for (const id of ids) {
        this.#run('DELETE FROM words WHERE rowid = ?', id)
        this.#run('DELETE FROM files WHERE id = ?', id)
      }
    })
  }

  /** Files whose content is to be read, of each root the smallest first. */
  pending(limit: number): PendingFile[] {
    return this.#all<PendingFile>(`SELECT files.id, files.path, size, roots.path AS root FROM files
      JOIN roots ON roots.id = files.root
      WHERE files.root IN (SELECT id FROM roots WHERE name IS NOT NULL)
      AND state = ${FILE_STATE.pending} LIMIT ?`, limit)
  }

  /**
   * Records what reading came to, in one transaction; files that were deleted meanwhile are passed
   * over.
   */
  recordContents(outcomes: readonly (readonly [id: number, outcome: Outcome])[]): void {
    this.#transaction(() => {
      for (const [id, outcome] of outcomes) this.#recordContent(id, outcome)
    })
  }

  #recordContent(id: number, outcome: Outcome): void {
    const reason = outcome.state === FILE_STATE.unreadable ? outcome.reason : null
    const { changes } = this.#run('UPDATE files SET state = ?, reason = ? WHERE id = ?',
      outcome.state, reason, id)
    if (changes === 0) return
    const text = outcome.state === FILE_STATE.text ? indexable(outcome.text) : ''
    this.#run('UPDATE words SET content = ? WHERE rowid = ?', text, id)
    if (outcome.entry === undefined) return
    const { size, modified, stamp } = outcome.entry
    this.#run('UPDATE files SET size = ?, modified = ?, stamp = ? WHERE id = ?',
      size, modified, stamp, id)
  }

  /** The best matches of an FTS5 expression, best first. */
  search(expression: string, limit: number): Match[] {
    // FTS5 sorts by itself as long as it is the outer loop; CROSS JOIN keeps it there.
    return this.#all<Match>(`SELECT files.id, files.path, size, modified, roots.name AS root,
      roots.path AS rootPath, words.rank AS rank
      FROM words CROSS JOIN files ON files.id = words.rowid JOIN roots ON roots.id = files.root
      WHERE words MATCH ? AND words.rank MATCH '${RANK}' AND roots.name IS NOT NULL
      ORDER BY words.rank LIMIT ?`, expression, limit)
  }

  /** How many files match an FTS5 expression. */
  count(expression: string): number {
    return this.#get<{ count: number }>(`SELECT count(*) AS count FROM words
      CROSS JOIN files ON files.id = words.rowid JOIN roots ON roots.id = files.root
      WHERE words MATCH ? AND roots.name IS NOT NULL`, expression)?.count ?? 0
  }

  /**
   * The content around an expression's words, marked by `MATCH_OPEN` and `MATCH_CLOSE`. The cast: numbers are
   * bound as REAL, and FTS5 drops a rowid constraint of that type, so that the first match answers for all.
   */
  snippet(expression: string, id: number): string {
    const row = this.#get<{ snippet: string }>(`SELECT
      snippet(words, 2, '${MATCH_OPEN}', '${MATCH_CLOSE}', '…', ${SNIPPET_WORDS}) AS snippet
      FROM words WHERE words MATCH ? AND rowid = CAST(? AS INTEGER)`, expression, id)
    return row?.snippet ?? ''
  }

  /** How many files of a root are in each state. */
  counts(root: number): StateCount[] {
    return this.#all<StateCount>(`SELECT state, count(*) AS files, total(size) AS bytes
      FROM files WHERE root = ? GROUP BY state`, root)
  }

  /** The first files of a root that could not be read. */
  unreadable(root: number, limit: number): { path: string, reason: string }[] {
    return this.#all<{ path: string, reason: string }>(`SELECT path, coalesce(reason, '') AS reason
      FROM files WHERE root = ? AND state = ${FILE_STATE.unreadable} LIMIT ?`, root, limit)
  }

  #transaction<T>(work: () => T): T {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#database.exec('COMMIT')
      return result
    } catch (error) {
      // SQLite has rolled back by itself after some errors, such as a full disk.
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql)
    if (statement === undefined) {
      statement = this.#database.prepare(sql)
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #run(sql: string, ...values: Value[]): ReturnType<StatementSync['run']> {
    return this.#statement(sql).run(...values)
  }

  #get<Row>(sql: string, ...values: Value[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined
  }

  #all<Row>(sql: string, ...values: Value[]): Row[] {
    return this.#statement(sql).all(...values) as Row[]
  }
}

type Value = string | number | bigint | null

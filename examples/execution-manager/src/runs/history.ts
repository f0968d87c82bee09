// All runs there were, in SQLite: what they are, and how they ended. No secret gets in here: of the parameters only what
// may be shown is known here, and what the engine tells has none.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'libsql'
import Type, { type Static } from 'typebox'
import { Value } from 'typebox/value'
import { Run, type RunFilter, RunSummary } from '../api.js'

/** A run with what a watcher needs to go on where it was. */
export const Recorded = Type.Object({
  run: Run,
  /** Counts the changes of the run. */
  version: Type.Integer(),
  /** By the name of a step: the change with which it became what it is. */
  changes: Type.Record(Type.String(), Type.Integer()),
  /** By the name of a step: the change with which it began to run. */
  starts: Type.Record(Type.String(), Type.Integer()),
})
export type Recorded = Static<typeof Recorded>

const Row = Type.Object({ record: Type.String() })
const SummaryRow = Type.Object({ summary: Type.String() })
const IdRow = Type.Object({ id: Type.String() })
const VersionRow = Type.Object({ version: Type.Integer() })
const OwnerRow = Type.Object({ id: Type.String(), owner: Type.String() })

/** Of the layout, and of what a record holds. */
const version = 2

const layout = `
  CREATE TABLE IF NOT EXISTS runs (
    id TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    playbook TEXT NOT NULL,
    status TEXT NOT NULL,
    started_at TEXT NOT NULL,
    searched TEXT NOT NULL,
    summary TEXT NOT NULL,
    record TEXT NOT NULL
  ) STRICT;
  CREATE INDEX IF NOT EXISTS runs_by_start ON runs (started_at);
`

const summaryOf = ({ id, playbook, status, startedAt, endedAt, durationMs, error }: Run): RunSummary => ({
  id,
  playbook,
  status,
  startedAt,
  endedAt,
  durationMs,
  error,
})

const searched = ({ playbook, description, parameters, error }: Run): string =>
  [playbook, description, JSON.stringify(parameters), error ?? ''].join('\n').toLowerCase()

/** What is there was written by another version. */
export class HistoryError extends Error {}

export class History {
  readonly #database: Database.Database

  /** `directory` is made if it is not there. */
  constructor(directory: string) {
    mkdirSync(directory, { recursive: true, mode: 0o700 })
    this.#database = new Database(join(directory, 'history.db'))
    // Several programs may share a history: each waits for the others, and readers for nobody.
    this.#database.exec('PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;')
    this.#database.transaction(() => {
      this.#expectVersion(directory)
      this.#database.exec(layout)
    })()
  }

  #expectVersion(directory: string): void {
    const row: unknown = this.#database.prepare('SELECT user_version AS version FROM pragma_user_version').get()
    const { version: found } = Value.Parse(VersionRow, row)
    const isNew = this.#database.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'runs'`).get() === undefined
    if (isNew) this.#database.exec(`PRAGMA user_version = ${String(version)}`)
    else if (found !== version) {
      const where = join(directory, 'history.db')
      const expected = `expected a history of version ${String(version)}, found version ${String(found)}`
      throw new HistoryError(`${where}: ${expected}: move it away, or name another directory with --data`)
    }
  }

  /** Writes a run as it is now. `owner` is the program that runs it. */
  save(recorded: Recorded, owner: string): void {
    const { run } = recorded
    this.#database
      .prepare(
        `INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET
         owner = excluded.owner, status = excluded.status, searched = excluded.searched, summary = excluded.summary,
         record = excluded.record`,
      )
      .run(
        run.id,
        owner,
        run.playbook,
        run.status,
        run.startedAt,
        searched(run),
        JSON.stringify(summaryOf(run)),
        JSON.stringify(recorded),
      )
  }

  remove(id: string): void {
    this.#database.prepare('DELETE FROM runs WHERE id = ?').run(id)
  }

  find(id: string): Recorded | undefined {
    const row: unknown = this.#database.prepare('SELECT record FROM runs WHERE id = ?').get(id)
    return row === undefined ? undefined : Value.Parse(Recorded, JSON.parse(Value.Parse(Row, row).record))
  }

  /** The ids that begin so. */
  idsFrom(beginning: string): string[] {
    const rows = this.#database
      .prepare('SELECT id FROM runs WHERE substr(id, 1, ?) = ? LIMIT 10')
      .all(beginning.length, beginning)
    return rows.map((row) => Value.Parse(IdRow, row).id)
  }

  /** Newest first. */
  list({ status, playbook, text, limit = 100 }: RunFilter): RunSummary[] {
    const rows = this.#database
      .prepare(
        `SELECT summary FROM runs
         WHERE (?1 IS NULL OR status = ?1) AND (?2 IS NULL OR playbook = ?2) AND (?3 IS NULL OR instr(searched, ?3) > 0)
         ORDER BY started_at DESC, rowid DESC LIMIT ?4`,
      )
      .all(status ?? null, playbook ?? null, text?.toLowerCase() ?? null, limit)
    return rows.map((row) => Value.Parse(RunSummary, JSON.parse(Value.Parse(SummaryRow, row).summary)))
  }

  /** The ids of the runs that have not ended, with who runs them. */
  unfinished(): { readonly id: string; readonly owner: string }[] {
    const rows = this.#database.prepare(`SELECT id, owner FROM runs WHERE status IN ('pending', 'running')`).all()
    return rows.map((row) => Value.Parse(OwnerRow, row))
  }

  close(): void {
    this.#database.close()
  }
}

// Who runs what: each program holds a lock as long as it lives, whatever ends it. SQLite has locks like that, which the
// system takes back from the dead, and no number of a process is taken for that of another.

import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'libsql'

/** @returns the lock, or undefined where another holds it. */
function lock(file: string): Database.Database | undefined {
  const database = new Database(file, { timeout: 0 })
  try {
    database.exec('BEGIN EXCLUSIVE')
    return database
  } catch {
    database.close()
    return undefined
  }
}

export class Owner {
  readonly id = randomUUID()
  readonly #directory: string
  readonly #lock: Database.Database

  constructor(directory: string) {
    this.#directory = join(directory, 'owners')
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 })
    const held = lock(this.#file(this.id))
    if (held === undefined) throw new Error(`${this.#file(this.id)} could not be locked`)
    this.#lock = held
  }

  /** Whether a program is alive. What a dead one has left is removed. */
  isAlive(id: string): boolean {
    if (id === this.id) return true
    const file = this.#file(id)
    if (!existsSync(file)) return false
    const free = lock(file)
    if (free === undefined) return true
    free.close()
    rmSync(file, { force: true })
    return false
  }

  release(): void {
    this.#lock.close()
    rmSync(this.#file(this.id), { force: true })
  }

  #file(id: string): string {
    return join(this.#directory, `${id}.lock`)
  }
}

import { ExecutionError } from '@escher-dbai/execution-engine'
import type { LogLine, LogPage } from '@escher-dbai/execution-engine'
import { describe, notFound, refused } from '../errors'
import { readEntry } from '../lines/entry'
import type { Entry, Item } from '../lines/entry'
import type { Fields, Store } from '../redis/store'
import type { StoredResult } from '../request/results'
import type { Bells } from './bells'
import { linesOf } from './delivery'
import { Tail } from './tail'

/** How many lines a page has, unless its reader says otherwise. */
const PAGE_LINES = 1000
/** How many entries are read at once. */
const PAGE_ENTRIES = 16

/** Whose lines are read. */
export interface Log {
  readonly id: string
  /** The execution, or the plan, in whose stream they are. */
  readonly stream: string
  readonly fields: Fields
}

/** Lines in the order of printing, as a log has them. They are numbered; the offset of one is how many are up to it. */
export class LogReader {
  readonly #store: Store
  readonly #bells: Bells

  constructor(store: Store, bells: Bells) {
    this.#store = store
    this.#bells = bells
  }

  async page(id: string, from: number, limit = PAGE_LINES): Promise<LogPage> {
    const log = await this.open(id, from)
    const lines: LogLine[] = []
    let cursor = '-'
    let next = from
    for (;;) {
      const rows = await this.#store.client.xrange(
        this.#store.names.lines(log.stream),
        cursor,
        '+',
        'COUNT',
        PAGE_ENTRIES,
      )
      for (const [entryId, fields] of rows) {
        const entry = readEntry(entryId, fields)
        refuseGap(id, next, entry.before)
        for (const found of linesFrom(log, entry, next)) {
          if (found === 'end') return { lines, next, ended: true }
          if (lines.length === limit) return { lines, next, ended: false }
          if (found.line !== undefined) lines.push(found.line)
          next = found.next
        }
        cursor = `(${entryId}`
      }
      if (rows.length < PAGE_ENTRIES) return { lines, next, ended: await this.#isOver(log, next) }
    }
  }

  /** Each line from one on, until it has ended, or the tail was closed. */
  async *follow(log: Log, from: number, onTail: (tail: Tail) => void): AsyncGenerator<LogLine, void, undefined> {
    const { id } = log
    const tail = new Tail(this.#store, { id, stream: log.stream, after: '0-0' })
    onTail(tail)
    try {
      await tail.open(this.#bells)
      let next = from
      for (;;) {
        const read = await tail.next()
        if (read === 'closed') return
        if (read === 'gone') return void (await this.#isOver(log, next))
        for (const entry of read) {
          refuseGap(id, next, entry.before)
          for (const found of linesFrom(log, entry, next)) {
            if (found === 'end') return
            next = found.next
            if (found.line !== undefined) yield found.line
          }
          tail.taken(entry)
        }
      }
    } finally {
      tail.close()
    }
  }

  /** The lines of an execution, to be read from there on. */
  async open(id: string, from: number): Promise<Log> {
    const fields = await this.#store.about(id)
    if (fields === undefined || fields['kind'] === 'plan') throw notFound(id, 'execution')
    const log = { id, stream: fields['in'] ?? id, fields }
    this.#checkStart(log, from)
    return log
  }

  #checkStart({ id, stream, fields }: Log, from: number): void {
    const count = Number(fields['n'] ?? 0)
    // Those of a plan's step are numbered with the plan's.
    if (from <= count || stream !== id) return
    throw refused('from', 'the offset of a line, or the "next" of a page', describe(from))
  }

  /** Whether nothing follows. Where there was something that is not kept any more, that is an error. */
  async #isOver({ id, stream }: Log, next: number): Promise<boolean> {
    const json = await this.#store.result(id)
    if (json === undefined) return false
    const { lines } = JSON.parse(json) as StoredResult
    if (stream === id) refuseGap(id, next, lines)
    return true
  }
}

type Found = 'end' | { readonly next: number; readonly line: LogLine | undefined }

/** The lines of an entry of which the number is not less. */
function* linesFrom({ id, stream }: Log, entry: Entry, from: number): Generator<Found, void, undefined> {
  let next = entry.before
  for (const item of entry.items) {
    const isOwn = stream === id ? item.of === null : item.of === id
    if (item.kind === 'end' && isOwn) yield 'end'
    for (const text of textsOf(item)) {
      next += 1
      if (next <= from) continue
      yield { next, line: isOwn ? lineOf(item, text, next) : undefined }
    }
  }
}

/** The lines of what was told, without those that were not finished then and are told again. */
function textsOf(item: Item): Iterable<string> {
  if (item.kind === 'lines') return linesOf(item.text)
  return item.kind === 'piece' && !item.unfinished ? [item.text] : []
}

function lineOf(item: Item, line: string, offset: number): LogLine | undefined {
  if (item.kind !== 'lines' && item.kind !== 'piece') return undefined
  const timestamp = new Date(item.at).toISOString()
  return { stream: item.stream, line, timestamp, offset, complete: item.kind === 'lines' }
}

function refuseGap(id: string, next: number, before: number): void {
  if (before <= next) return
  const lines = before - next === 1 ? `line ${next + 1} is` : `lines ${next + 1} to ${before} are`
  const message = `${lines} no longer kept; those that follow are read with from: ${before}`
  throw new ExecutionError('IO', message, { executionId: id })
}

import { ExecutionError } from '@escher-dbai/execution-engine'
import type { LogLine, LogPage, LogPageOptions } from '@escher-dbai/execution-engine'
import { describe, notFound, refused } from '../errors'
import { readEntry } from '../lines/entry'
import type { Entry, Item } from '../lines/entry'
import type { Fields, Store } from '../redis/store'
import type { StoredResult } from '../request/results'
import { onAbort } from './abort'
import type { Bells } from './bells'
import { linesOf } from './delivery'
import { untilAnswered } from './ring'
import { Tail } from './tail'

/** How many lines a page has, unless its reader says otherwise. */
const PAGE_LINES = 1000
/** How many entries are read at once. */
const PAGE_ENTRIES = 16

/** Whose lines are read. */
interface Log {
  readonly id: string
  /** The execution, or the plan, in whose stream they are. */
  readonly stream: string
  /** How many lines there were in all, if the stream is its own: then they are numbered by themselves. */
  readonly count: number | undefined
}

/** Lines in the order of printing, as a log has them. They are numbered; the offset of one is how many are up to it. */
export class LogReader {
  readonly #store: Store
  readonly #bells: Bells

  constructor(store: Store, bells: Bells) {
    this.#store = store
    this.#bells = bells
  }

  async page(id: string, options: LogPageOptions): Promise<LogPage> {
    const log = logOf(id, await this.#store.about(id), options.from ?? 0)
    const page = new Page(log, options)
    let cursor = '-'
    let ended: Ended | undefined
    for (;;) {
      const key = this.#store.names.lines(log.stream)
      const rows = await this.#store.client.xrange(key, cursor, '+', 'COUNT', PAGE_ENTRIES)
      for (const [entryId, fields] of rows) {
        const added = page.add(readEntry(entryId, fields))
        if (added !== 'open') return page.whole(added === 'ended')
        cursor = `(${entryId}`
      }
      if (rows.length === PAGE_ENTRIES) continue
      if (ended !== undefined) {
        page.refuseMissing(ended)
        return page.whole(true)
      }
      // What was told until it ended is there once its end is: it is looked for once more.
      ended = await this.#ended(log)
      if (ended === undefined) return page.whole(false)
    }
  }

  /** What is known of an id, once somebody has submitted it; `undefined` if that was left before. */
  known(id: string, left: AbortSignal): Promise<Fields | undefined> {
    const channel = this.#store.names.bell(id)
    return untilAnswered(this.#bells, { channel, concerns: () => true, ask: () => this.#store.about(id), left })
  }

  /** Each line from one on, until it has ended, or was left. `known` is what is known of the execution. */
  async *follow(
    id: string,
    known: Fields | undefined,
    { from, left }: { readonly from: number; readonly left: AbortSignal },
  ): AsyncGenerator<LogLine, void, undefined> {
    const log = logOf(id, known, from)
    const tail = new Tail(this.#store, { id, stream: log.stream, after: '0-0' })
    const forget = onAbort(left, () => tail.close())
    try {
      await tail.open(this.#bells)
      let next = from
      let isGone = true
      for (;;) {
        const read = await tail.next()
        if (read === 'closed') return
        if (read === 'gone') {
          const ended = await this.#ended(log)
          if (ended !== undefined) refuseMissing(log, { next, isGone, lines: ended.lines })
          return
        }
        isGone = false
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
      forget()
      tail.close()
    }
  }

  /** How it has ended, if it has. */
  async #ended({ id }: Log): Promise<Ended | undefined> {
    const json = await this.#store.result(id)
    return json === undefined ? undefined : (JSON.parse(json) as StoredResult)
  }
}

type Ended = Pick<StoredResult, 'lines'>

/** The lines of an execution, to be read from there on. */
function logOf(id: string, known: Fields | undefined, from: number): Log {
  if (known === undefined || known['kind'] === 'plan') throw notFound(id, 'execution')
  const { in: plan, n = '0' } = known
  // Those of a plan's step are numbered with the plan's.
  if (plan !== undefined) return { id, stream: plan, count: undefined }
  const count = Number(n)
  if (from <= count) return { id, stream: id, count }
  throw refused('from', 'the offset of a line, or the "next" of a page', describe(from))
}

/** A page that is put together from the entries of a stream, which are added in their order. */
class Page {
  readonly #log: Log
  readonly #limit: number
  readonly #fromLine: number
  readonly #lines: LogLine[] = []
  /** How many of the execution's own lines were passed, where their offsets do not tell. */
  #passed = 0
  /** Nothing of the stream was there. */
  #isGone = true
  /** Up to where the log was read. */
  next: number

  constructor(log: Log, { from, fromLine = 0, limit = PAGE_LINES }: LogPageOptions) {
    this.#log = log
    this.#limit = limit
    this.#fromLine = fromLine
    this.next = from ?? Math.min(fromLine, log.count ?? 0)
  }

  /** Adds what is to be on the page. Answers why that is all, if it is: there was more, or the execution has ended. */
  add(entry: Entry): 'open' | 'full' | 'ended' {
    this.#isGone = false
    const isNumbered = this.#log.count !== undefined
    refuseGap(this.#log.id, isNumbered ? Math.max(this.next, this.#fromLine) : this.next, entry.before)
    this.next = Math.max(this.next, entry.before)
    for (const found of linesFrom(this.#log, entry, this.next)) {
      if (found === 'end') return 'ended'
      if (this.#lines.length === this.#limit) return 'full'
      this.next = found.next
      if (found.line === undefined) continue
      this.#passed += 1
      if ((isNumbered ? found.next : this.#passed) > this.#fromLine) this.#lines.push(found.line)
    }
    return 'open'
  }

  /** Refuses an end before which there was something that is not kept any more. */
  refuseMissing({ lines }: Ended): void {
    const isBeyond = this.#fromLine >= lines
    refuseMissing(this.#log, { next: this.next, isGone: this.#isGone && !isBeyond, lines })
  }

  whole(ended: boolean): LogPage {
    return { lines: this.#lines, next: this.next, ended }
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

/**
 * Refuses an end before which there was something that is not kept any more. Of a plan's step it is not known where in the
 * stream of the plan its last line was, so all of them are missing if that is gone.
 */
function refuseMissing(
  { id, count }: Log,
  { next, isGone, lines }: { readonly next: number; readonly isGone: boolean; readonly lines: number },
): void {
  if (count !== undefined) return refuseGap(id, next, lines)
  if (!isGone || lines === 0) return
  const message = `what it has printed, ${lines} ${lines === 1 ? 'line' : 'lines'}, is no longer kept`
  throw new ExecutionError('IO', message, { executionId: id })
}

function refuseGap(id: string, next: number, before: number): void {
  if (before <= next) return
  const lines = before - next === 1 ? `line ${next + 1} is` : `lines ${next + 1} to ${before} are`
  const message = `${lines} no longer kept; those that follow are read with from: ${before}`
  throw new ExecutionError('IO', message, { executionId: id })
}

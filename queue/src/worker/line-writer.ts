import { setTimeout as delay } from 'node:timers/promises'
import type { Client } from '../redis/connections'
import { messageOf } from '../errors'
import type { Names } from '../names'
import { listOf, numberOf, script, textOf } from '../redis/scripts'
import { isPassing, RETRY_MS } from '../redis/errors'
import { ENTRY_BYTES, EntryBuilder } from '../lines/entry'
import type { Entry, Line, OtherEvent } from '../lines/entry'

/** How long lines are gathered after those that went at once, in milliseconds. */
const GATHER_MS = 50
/** How much may be on its way to readers, in bytes, before the command is held. */
const HELD_BYTES = 1_048_576
/** How much of a stream is kept, in bytes: what is on its way, and what one read adds to it. */
const KEPT_BYTES = HELD_BYTES + 2 * ENTRY_BYTES

export interface WriterOptions {
  readonly id: string
  readonly run: number
  /** How many lines there are already, of earlier runs. */
  readonly lines: number
  /** Tells the operator. */
  readonly warn: (message: string) => void
}

interface Written {
  readonly seq: number
  readonly bytes: number
}

/** What is to be sent as one entry. */
interface Unsent {
  readonly fields: string[]
  readonly bytes: number
  readonly lines: number
  /** How far the streams of steps are in it: of each the last entry that it holds all of. */
  readonly marks: ReadonlyMap<string, string>
}

/** A start that the next entry tells. */
interface Started {
  readonly startedAt: string
  readonly command: string
}

/**
 * Writes lines and events to the stream of an execution or a plan, in order, each once. Where readers who are present have
 * not taken what was written, or Redis has not, whoever tells waits.
 */
export class LineWriter {
  readonly #client: Client
  readonly #names: Names
  readonly #id: string
  readonly #run: number
  readonly #warn: (message: string) => void
  readonly #builder = new EntryBuilder()
  #marks = new Map<string, string>()
  /** Entries that are complete, and what is to be done between them. */
  readonly #unsent: (Unsent | (() => Promise<void>))[] = []
  #unsentBytes = 0
  #unsentLines = 0
  #seq = 0
  /** How many lines are before what is being put together. */
  #lines: number
  #started: Started | undefined
  /** What the stream holds, oldest first. */
  #written: Written[] = []
  #writtenBytes = 0
  /** What of it some reader who is present has not taken. */
  #heldBytes = 0
  /** The last entry that all present readers have taken. */
  #taken = 0
  /** Nobody was present when it was last looked, and nobody has come since. */
  #isFree = false
  #looks = 0
  #sending: Promise<void> | undefined
  #sendingBytes = 0
  #timer: NodeJS.Timeout | undefined
  #lastSent = 0
  /** The run is somebody else's, or was given up: nothing is written any more. */
  #isOver = false
  #waiting: Promise<void> | undefined
  #wake: () => void = () => {}

  constructor(client: Client, names: Names, about: WriterOptions) {
    this.#client = client
    this.#names = names
    this.#id = about.id
    this.#run = about.run
    this.#lines = about.lines
    this.#warn = about.warn
  }

  /** How many lines were told so far, in all runs. */
  get lines(): number {
    return this.#lines + this.#unsentLines + this.#builder.lines
  }

  /** Whether the run has turned out to be another's. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Bytes that are in memory, and in the stream for readers who have not taken them. */
  get #outstanding(): number {
    return (this.#isFree ? this.#sendingBytes : this.#heldBytes) + this.#unsentBytes + this.#builder.bytes
  }

  line(of: string | null, line: Line): Promise<void> | undefined {
    if (this.#isOver) return undefined
    this.#builder.line(of, line)
    return this.#told()
  }

  event(of: string | null, event: OtherEvent): Promise<void> | undefined {
    if (this.#isOver) return undefined
    this.#builder.event(of, event)
    return this.#told()
  }

  /** The process of the execution itself was started; the next entry says so. */
  start(started: Started): void {
    this.#started = started
  }

  /** What an entry of a step's own stream tells, as one: it is told wholly or not at all. */
  entry(of: string, { id, items }: Entry): Promise<void> | undefined {
    if (this.#isOver) return undefined
    for (const item of items) this.#builder.item(of, item)
    this.#marks.set(of, id)
    return this.#told()
  }

  /** A step of the plan has ended. `settle` is done behind all that it has told, and before its end is. */
  end(of: string, settle: () => Promise<void>): void {
    if (this.#isOver) return
    this.#cut()
    this.#unsent.push(settle)
    this.#builder.end(of)
    this.#marks.set(of, 'end')
    this.#send()
  }

  /** What is being put together is complete. */
  #cut(): void {
    if (this.#builder.isEmpty) return
    const { bytes, lines } = this.#builder
    this.#unsentBytes += bytes
    this.#unsentLines += lines
    this.#unsent.push({ bytes, lines, fields: this.#builder.take(), marks: this.#marks })
    this.#marks = new Map()
  }

  /** Resolves once everything that was told is in the stream. */
  async flush(): Promise<void> {
    while (!this.#isOver && (this.#sending !== undefined || this.#hasMore)) {
      this.#send()
      await this.#sending
    }
  }

  /** A reader has said something, or may have: the connection was down. */
  look(): void {
    this.#isFree = false
    this.#looks += 1
    this.#wake()
  }

  /** Writes nothing any more, and lets everybody go who waits. */
  giveUp(): void {
    this.#isOver = true
    clearTimeout(this.#timer)
    this.#builder.take()
    this.#unsent.length = 0
    this.#unsentBytes = 0
    this.#wake()
  }

  #told(): Promise<void> | undefined {
    this.#schedule()
    if (this.#outstanding < HELD_BYTES) return undefined
    this.#waiting ??= this.#untilTaken().finally(() => (this.#waiting = undefined))
    return this.#waiting
  }

  /** What comes first goes at once, with what comes in the same turn; what follows is gathered. */
  #schedule(): void {
    if (this.#builder.isFull) {
      this.#cut()
      this.#send()
    } else if (this.#timer === undefined && this.#sending === undefined) {
      const wait = Math.max(this.#lastSent + GATHER_MS - performance.now(), 0)
      this.#timer = setTimeout(() => this.#send(), wait)
    }
  }

  get #hasMore(): boolean {
    return this.#unsent.length > 0 || !this.#builder.isEmpty
  }

  #send(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#sending !== undefined || this.#isOver || !this.#hasMore) return
    this.#lastSent = performance.now()
    this.#sending = this.#next().finally(() => {
      this.#sending = undefined
      this.#sendingBytes = 0
      this.#wake()
      if (this.#isOver) return
      if (this.#unsent.length > 0) this.#send()
      else if (!this.#builder.isEmpty) this.#schedule()
    })
  }

  /** Does what is next. */
  async #next(): Promise<void> {
    if (this.#unsent.length === 0) this.#cut()
    const next = this.#unsent.shift()
    if (typeof next === 'function') return next()
    if (next === undefined) return undefined
    this.#unsentBytes -= next.bytes
    this.#unsentLines -= next.lines
    return this.#append(next)
  }

  /**
   * Sends one entry until Redis has it. One that it will never take is given up: as entries say how many lines are before
   * them, whoever reads is told how many are not kept.
   */
  async #append({ bytes, lines, fields, marks }: Unsent): Promise<void> {
    const before = this.#lines
    const seq = (this.#seq += 1)
    this.#sendingBytes = bytes
    this.#lines += lines
    this.#written.push({ seq, bytes })
    this.#writtenBytes += bytes
    this.#heldBytes += bytes
    const least = this.#trim()
    const started = this.#started
    this.#started = undefined
    const { about, lines: stream } = this.#names
    const keys = [about(this.#id), stream(this.#id)]
    const start = [started?.startedAt ?? '', started?.command ?? '']
    const told = [...marks].flatMap(([step, entry]) => [about(step), entry])
    const args = [this.#run, seq, least, this.#lines, ...start, marks.size, ...told, 'n', before, ...fields]
    for (let isWarned = false; !this.#isOver; isWarned = true) {
      try {
        const isOurs = numberOf(await script(this.#client, 'APPEND', keys, args)) === 1
        if (!isOurs) this.giveUp()
        return
      } catch (error) {
        if (!isPassing(error)) {
          this.#warn(`Redis will never take some lines of ${this.#id}: ${messageOf(error)}`)
          return this.#unwritten(seq)
        }
        // Redis refuses for now (no memory, loading, a replica), or the connections were closed, and then it is given up.
        if (this.#isOver) return
        if (!isWarned) this.#warn(`Redis does not take lines, and is asked again: ${messageOf(error)}`)
        await delay(RETRY_MS)
      }
    }
  }

  /** The last entry is not in the stream. */
  #unwritten(seq: number): void {
    const last = this.#written.at(-1)
    if (last?.seq !== seq) return
    this.#written.pop()
    this.#writtenBytes -= last.bytes
    this.#heldBytes -= last.bytes
  }

  /** The least entry that is kept, or nothing if all are. */
  #trim(): string {
    let isTrimmed = false
    while (this.#writtenBytes > KEPT_BYTES && this.#written.length > 1) {
      const { seq, bytes } = this.#written.shift() ?? { seq: 0, bytes: 0 }
      this.#writtenBytes -= bytes
      if (seq > this.#taken) this.#heldBytes -= bytes
      isTrimmed = true
    }
    const [first] = this.#written
    return isTrimmed && first !== undefined ? `${this.#run}-${first.seq}` : ''
  }

  async #untilTaken(): Promise<void> {
    while (!this.#isOver && this.#outstanding >= HELD_BYTES) {
      const woken = new Promise<void>((resolve) => (this.#wake = resolve))
      if (this.#sending !== undefined) {
        await woken
        continue
      }
      const leftMs = await this.#askReaders()
      if (this.#isOver || this.#outstanding < HELD_BYTES) continue
      const timer = leftMs > 0 ? setTimeout(this.#wake, leftMs + 1) : undefined
      await woken
      clearTimeout(timer)
    }
  }

  /** Asks what readers have taken. Answers for how long those present are, without a further word of theirs. */
  async #askReaders(): Promise<number> {
    const looks = this.#looks
    try {
      const [left, ...entries] = listOf(await script(this.#client, 'WINDOW', [this.#names.readers(this.#id)], []))
      // Who has come since the question was answered is not in the answer.
      this.#isFree = entries.length === 0 && looks === this.#looks
      if (entries.length > 0) this.#take(Math.min(...entries.map((entry) => this.#seqOf(textOf(entry)))))
      return numberOf(left)
    } catch {
      if (!this.#isOver) await delay(RETRY_MS)
      return 1
    }
  }

  #take(seq: number): void {
    this.#taken = seq
    this.#heldBytes = 0
    for (const written of this.#written) if (written.seq > seq) this.#heldBytes += written.bytes
  }

  /** The sequence of an entry of this run; all of an earlier one come before it. */
  #seqOf(entry: string): number {
    const [run, seq] = entry.split('-')
    return Number(run) === this.#run ? Number(seq) : Number(run) < this.#run ? 0 : Infinity
  }
}

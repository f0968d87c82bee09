import { notFound } from '../errors'
import { readEntry } from '../lines/entry'
import type { Entry } from '../lines/entry'
import type { Store } from '../redis/store'
import { unlessAborted } from './abort'
import type { Bells } from './bells'
import { Ring, untilAnswered } from './ring'

/** How many entries are read at once. Of 64 KiB each, they are a megabyte. */
const PAGE = 16

/** How long a reader is taken for present without a word of it, in milliseconds. */
const PRESENT_MS = 30_000
/** How often it says a word, in milliseconds. */
const REFRESH_MS = 10_000
/** How much is taken before that is said, in bytes: a command is held at eight times as much. */
const ACKNOWLEDGE_BYTES = 131_072

/** What a reader gets: entries; or that nothing follows though no end was read: the stream is not kept any more. */
export type Read = readonly Entry[] | 'gone' | 'closed'

export interface TailOptions {
  /** The execution or plan whose end is the end of reading. */
  readonly id: string
  /** Whose stream it is in. */
  readonly stream: string
  /** The entry behind which it begins. */
  readonly after: string
  /** The name under which it holds the command back, if it does. */
  readonly reader?: string | undefined
}

/** Reads the stream of an execution as it is written, each entry once and in order. */
export class Tail {
  readonly #store: Store
  readonly #options: TailOptions
  readonly #leave: (() => void)[] = []
  /** The last entry that was read, and the last that was taken. */
  #cursor: string
  #taken: string
  #unacknowledged = 0
  readonly #closed = new AbortController()
  readonly #ring = new Ring()
  /** It may have ended without an end in the stream. */
  #mayBeGone = true
  #timer: NodeJS.Timeout | undefined

  constructor(store: Store, options: TailOptions) {
    this.#store = store
    this.#options = options
    this.#cursor = options.after
    this.#taken = options.after
  }

  get #isClosed(): boolean {
    return this.#closed.signal.aborted
  }

  /** Says that it is there, so that nothing is passed over from now on. */
  async attend(): Promise<void> {
    const { reader, stream } = this.#options
    if (reader === undefined || this.#timer !== undefined) return
    this.#timer = setInterval(() => void this.#refresh(), REFRESH_MS).unref()
    await this.#store.acknowledge(stream, reader, this.#taken, PRESENT_MS)
  }

  /** Listens for what comes. */
  async open(bells: Bells): Promise<void> {
    await unlessAborted(this.#closed.signal, this.#listen(bells))
  }

  async #listen(bells: Bells): Promise<void> {
    const { id, stream } = this.#options
    const { bell } = this.#store.names
    const onBell = (message: string | undefined): void => {
      if (message === undefined || message === 'end') this.#mayBeGone = true
      this.wake()
    }
    for (const channel of new Set([bell(stream), bell(id)])) this.#leave.push(await bells.listen(channel, onBell))
    if (this.#isClosed) this.#leaveAll()
  }

  /** The next entries, once there are some. */
  async next(): Promise<Read> {
    for (;;) {
      if (this.#isClosed) return 'closed'
      this.#ring.clear()
      const mayBeGone = this.#mayBeGone
      this.#mayBeGone = false
      const isOver = mayBeGone && (await unlessAborted(this.#closed.signal, this.#hasResult())) === true
      const entries = await unlessAborted(this.#closed.signal, this.#read())
      if (this.#isClosed || entries === undefined) return 'closed'
      if (entries.length > 0) {
        this.#cursor = entries.at(-1)?.id ?? this.#cursor
        this.#mayBeGone ||= isOver
        return entries
      }
      if (isOver) return 'gone'
      await this.#ring.rung()
    }
  }

  /** Waits for the end alone. Answers whether it has come, or the tail was closed. */
  async ended(bells: Bells, channel: string): Promise<boolean> {
    const concerns = (message: string | undefined): boolean => message === undefined || message === 'end'
    const ask = async (): Promise<true | undefined> => (await this.#hasResult()) || undefined
    return (await untilAnswered(bells, { channel, concerns, ask, left: this.#closed.signal })) === true
  }

  /** Rejects if nothing is known of it any more: then nothing would ever come. */
  async #hasResult(): Promise<boolean> {
    const { id } = this.#options
    if ((await this.#store.result(id)) !== undefined) return true
    if ((await this.#store.about(id)) === undefined) throw notFound(id)
    return false
  }

  async #read(): Promise<readonly Entry[]> {
    const key = this.#store.names.lines(this.#options.stream)
    const rows = await this.#store.client.xrange(key, `(${this.#cursor}`, '+', 'COUNT', PAGE)
    return rows.map(([id, fields]) => readEntry(id, fields))
  }

  /** An entry was taken, and those before it: they are held for this reader no longer. */
  taken(entry: Entry): void {
    this.#taken = entry.id
    this.#unacknowledged += entry.bytes
    if (this.#unacknowledged >= ACKNOWLEDGE_BYTES) void this.#acknowledge()
  }

  /** Looks whether there is something. */
  wake(): void {
    this.#ring.ring()
  }

  /** Reads no more, and lets the command go on. */
  close(): void {
    if (this.#isClosed) return
    this.#closed.abort()
    clearInterval(this.#timer)
    this.#leaveAll()
    this.wake()
    const { reader, stream } = this.#options
    // If it is not heard, the command waits until this reader is no longer taken for present.
    if (reader !== undefined) this.#store.acknowledge(stream, reader, this.#taken, 0).catch(() => {})
  }

  #leaveAll(): void {
    for (const leave of this.#leave.splice(0)) leave()
  }

  /** A bell that was not heard is noticed here. */
  async #refresh(): Promise<void> {
    const last = await this.#acknowledge()
    if (last !== undefined && last !== '' && last !== this.#cursor) {
      this.#mayBeGone = true
      this.wake()
    }
  }

  async #acknowledge(): Promise<string | undefined> {
    const { reader, stream } = this.#options
    if (reader === undefined || this.#isClosed) return undefined
    this.#unacknowledged = 0
    try {
      return await this.#store.acknowledge(stream, reader, this.#taken, PRESENT_MS)
    } catch {
      // The connection is down or closed; the next time says it all.
      return undefined
    }
  }
}

// An entry of the stream of an execution, or of a plan: fields in the order of reading.
//
//   n    how many lines are before this entry
//   t    when the following was read, in milliseconds since 1970
//   x    the step that the following is of; only in the stream of a plan
//   o e  complete lines of stdout and stderr, each with its newline
//   O E  a piece of a line that is too long for one
//   p q  a line of stdout or stderr that is not finished yet
//   v    another event, as JSON
//   end  it has ended: the step, or all of it

export type StreamName = 'stdout' | 'stderr'

/** An event that is no line and no end, without what each event tells of its execution. */
export interface OtherEvent {
  readonly eventType: string
  readonly timestamp: string
  readonly [key: string]: unknown
}

/** What an entry tells, piece by piece. */
export type Item =
  | {
      readonly kind: 'lines'
      readonly of: string | null
      readonly stream: StreamName
      readonly text: string
      readonly at: number
    }
  | {
      readonly kind: 'piece'
      readonly of: string | null
      readonly stream: StreamName
      readonly text: string
      readonly at: number
      readonly unfinished: boolean
    }
  | { readonly kind: 'event'; readonly of: string | null; readonly event: OtherEvent }
  | { readonly kind: 'end'; readonly of: string | null }

/** An entry as it was read. */
export interface Entry {
  readonly id: string
  /** How many lines are before it. */
  readonly before: number
  readonly items: readonly Item[]
  readonly bytes: number
}

/** A line as the engine tells it. */
export interface Line {
  readonly stream: StreamName
  readonly text: string
  readonly at: number
  readonly partial: boolean
  readonly unfinished: boolean
}

/** What an entry costs in Redis besides what it says, about. */
const OVERHEAD = 100
/** What a field costs besides its name and its value. */
const FIELD_OVERHEAD = 4

/** How much is put into one entry, in bytes, unless one line is longer. */
export const ENTRY_BYTES = 65_536
/**
 * How many fields are put into one entry. A script of Redis hands no more than about 8000 words on at once, of which a field
 * is two, and an entry of a step's stream is told as a whole within one of its plan.
 */
const ENTRY_FIELDS = 1000

/** Puts an entry together. */
export class EntryBuilder {
  #fields: string[] = []
  #of: string | null = null
  #at = -1
  #bytes = 0
  #lines = 0
  /** The kind of the last field, if more of that kind may be put into it. */
  #open: string | undefined
  #text: string[] = []

  get isEmpty(): boolean {
    return this.#bytes === 0
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Whether it is as long as an entry is to be. */
  get isFull(): boolean {
    return this.#bytes >= ENTRY_BYTES || this.#fields.length >= 2 * ENTRY_FIELDS
  }

  /** How many lines it holds. */
  get lines(): number {
    return this.#lines
  }

  line(of: string | null, { stream, text, at, partial, unfinished }: Line): void {
    this.#about(of, at)
    const isOut = stream === 'stdout'
    if (unfinished) this.#field(isOut ? 'p' : 'q', text)
    else if (partial) this.#field(isOut ? 'O' : 'E', text)
    else this.#join(isOut ? 'o' : 'e', text)
    if (!unfinished) this.#lines += 1
  }

  event(of: string | null, event: OtherEvent): void {
    this.#about(of, this.#at)
    this.#field('v', JSON.stringify(event))
  }

  /** What another stream has told, which ends nothing here. */
  item(of: string, item: Item): void {
    if (item.kind === 'event') return this.event(of, item.event)
    if (item.kind === 'end') return undefined
    this.#about(of, item.at)
    const isOut = item.stream === 'stdout'
    if (item.kind === 'lines') this.#field(isOut ? 'o' : 'e', item.text)
    else if (item.unfinished) this.#field(isOut ? 'p' : 'q', item.text)
    else this.#field(isOut ? 'O' : 'E', item.text)
    this.#lines += linesIn(item)
    return undefined
  }

  end(of: string | null): void {
    this.#about(of, this.#at)
    this.#field('end', '1')
  }

  /** The fields, as far as they are there; then it is empty. */
  take(): string[] {
    this.#close()
    const fields = this.#fields
    this.#fields = []
    this.#of = null
    this.#at = -1
    this.#bytes = 0
    this.#lines = 0
    return fields
  }

  #about(of: string | null, at: number): void {
    if (this.#bytes === 0) this.#bytes = OVERHEAD
    if (of !== this.#of) this.#field('x', of ?? '')
    this.#of = of
    if (at !== this.#at) this.#field('t', String(at))
    this.#at = at
  }

  #field(name: string, value: string): void {
    this.#close()
    this.#fields.push(name, value)
    this.#bytes += FIELD_OVERHEAD + Buffer.byteLength(value)
  }

  #join(name: string, text: string): void {
    if (this.#open !== name) {
      this.#close()
      this.#open = name
      this.#bytes += FIELD_OVERHEAD
    }
    this.#text.push(text, '\n')
    this.#bytes += Buffer.byteLength(text) + 1
  }

  #close(): void {
    if (this.#open === undefined) return
    this.#fields.push(this.#open, this.#text.join(''))
    this.#open = undefined
    this.#text = []
  }
}

/** How many lines a piece tells of; one that is not finished is told again. */
export function linesIn(item: Item): number {
  if (item.kind === 'piece') return item.unfinished ? 0 : 1
  if (item.kind !== 'lines') return 0
  let count = 0
  for (let end = -1; (end = item.text.indexOf('\n', end + 1)) !== -1;) count += 1
  return count
}

const STREAM_OF: Readonly<Record<string, StreamName>> = {
  o: 'stdout',
  O: 'stdout',
  p: 'stdout',
  e: 'stderr',
  E: 'stderr',
  q: 'stderr',
}

/** Reads an entry. What a newer version has put into it is passed over. */
export function readEntry(id: string, fields: readonly string[]): Entry {
  const items: Item[] = []
  let before = 0
  let of: string | null = null
  let at = 0
  let bytes = OVERHEAD
  for (let i = 0; i + 1 < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const text = fields[i + 1] ?? ''
    const stream = STREAM_OF[name]
    // As the writer counts it, which waits until so much was taken.
    bytes += FIELD_OVERHEAD + text.length
    if (name === 'n') before = Number(text)
    else if (name === 't') at = Number(text)
    else if (name === 'x') of = text === '' ? null : text
    else if (name === 'v') items.push({ kind: 'event', of, event: JSON.parse(text) as OtherEvent })
    else if (name === 'end') items.push({ kind: 'end', of })
    else if (stream === undefined) continue
    else if (name === 'o' || name === 'e') items.push({ kind: 'lines', of, stream, text, at })
    else items.push({ kind: 'piece', of, stream, text, at, unfinished: name === 'p' || name === 'q' })
  }
  return { id, before, items, bytes }
}

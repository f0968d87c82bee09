import type { Line, Lines } from './lines.js'
import type { Source } from './source.js'
import { plain } from './text.js'

export interface Query {
  readonly text: string
  readonly matchCase: boolean
}

/** Where a query is found in a line: from, and to before. */
export type Found = readonly [number, number]

const SLICE_MS = 8
const MAX_MATCHES = 20_000

/** Where in a line the query is. */
export function find(text: string, query: Query): Found[] {
  if (query.text === '') return []
  const needle = query.matchCase ? query.text : query.text.toLowerCase()
  const hay = query.matchCase ? text : text.toLowerCase()
  const found: Found[] = []
  for (let at = hay.indexOf(needle); at !== -1; at = hay.indexOf(needle, at + needle.length)) {
    found.push([at, at + needle.length])
  }
  return found
}

/**
 * Finds the lines that a query is in: those that are there, from the newest to the oldest, also the ones that are only in
 * the log, and each that comes. It works in slices, so that the page stays quick.
 */
export class Search {
  /** The lines that match, in their order. */
  matches: number[] = []
  /** Whether everything was looked at. */
  done = false
  /** Why older lines are left out. */
  limit: 'matches' | 'error' | undefined
  #low: number
  #high: number
  #stopped = false
  #cached: { readonly step: string; readonly from: number; readonly lines: readonly Line[] } | undefined

  constructor(
    private readonly source: Source,
    private readonly lines: Lines,
    readonly query: Query,
    private readonly onChange: () => void,
  ) {
    this.#low = source.end
    this.#high = source.end
    void this.#back()
  }

  /** Looks at the lines that have come since. */
  more(): void {
    const { end } = this.source
    const before = this.matches.length
    for (; this.#high < end; this.#high += 1) {
      const place = this.source.at(this.#high)
      const line = place && this.lines.peek(place.step, place.index)
      if (line && this.#matches(line)) this.matches.push(this.#high)
    }
    if (this.matches.length > MAX_MATCHES) {
      this.matches = this.matches.slice(-MAX_MATCHES)
      this.limit = 'matches'
    }
    if (this.matches.length !== before) this.onChange()
  }

  stop(): void {
    this.#stopped = true
  }

  /** The match after the line `from`, or before it, and round about. */
  next(from: number, direction: 1 | -1): number | undefined {
    const { matches } = this
    return direction === 1
      ? (matches.find((index) => index > from) ?? matches[0])
      : (matches.findLast((index) => index < from) ?? matches.at(-1))
  }

  async #back(): Promise<void> {
    let older: number[] = []
    const publish = (): void => {
      if (older.length > 0) this.matches = [...older.toReversed(), ...this.matches]
      older = []
      this.onChange()
    }
    for (let since = performance.now(); this.#low > this.source.first && !this.#stopped;) {
      if (this.matches.length + older.length >= MAX_MATCHES) {
        this.limit = 'matches'
        break
      }
      const line = this.#held(this.#low - 1) ?? (await this.#fetched(this.#low - 1))
      if (line === 'error') {
        this.limit = 'error'
        break
      }
      this.#low -= 1
      if (line && this.#matches(line)) older.push(this.#low)
      if (performance.now() - since > SLICE_MS) {
        publish()
        await new Promise((resolve) => setTimeout(resolve))
        since = performance.now()
      }
    }
    if (this.#stopped) return
    this.done = true
    publish()
  }

  #matches(line: Line): boolean {
    return find(plain(line.text), this.query).length > 0
  }

  #held(index: number): Line | undefined {
    const place = this.source.at(index)
    if (!place) return undefined
    const cached = this.#cached
    if (cached?.step === place.step && place.index >= cached.from) {
      const line = cached.lines[place.index - cached.from]
      if (line) return line
    }
    return this.lines.peek(place.step, place.index)
  }

  async #fetched(index: number): Promise<Line | 'error' | undefined> {
    const place = this.source.at(index)
    if (!place) return undefined
    const from = Math.max(0, place.index - 499)
    try {
      const lines = await this.lines.fetch(place.step, from, place.index - from + 1)
      this.#cached = { step: place.step, from, lines }
      return lines[place.index - from]
    } catch {
      return 'error'
    }
  }
}

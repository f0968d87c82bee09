/** A line as it was printed, colours included. */
export interface Line {
  readonly text: string
  readonly stderr: boolean
}

/** Fetches lines of a step from its log: those from `from` on, at most `limit`. */
export type Load = (step: string, from: number, limit: number) => Promise<readonly Line[]>

/** How many lines are fetched and forgotten together. */
export const CHUNK = 500

interface Chunk {
  readonly step: string
  readonly lines: (Line | undefined)[]
  held: number
  chars: number
}

export interface Bounds {
  readonly lines: number
  readonly chars: number
}

const BOUNDS: Bounds = { lines: 40_000, chars: 16_000_000 }
const FETCHES_AT_ONCE = 4
const RETRY_MS = 2_000

/**
 * The lines of all steps of a run, as far as they are held: the newest, and those that were looked at last. What has
 * been forgotten, or was never sent, is fetched from the log when it is asked for.
 */
export class Lines {
  readonly #chunks = new Map<string, Chunk>()
  readonly #counts = new Map<string, number>()
  readonly #fetching = new Set<string>()
  readonly #failedAt = new Map<string, number>()
  #held = 0
  #chars = 0

  /** @param onLoaded is called when lines that were asked for are there. */
  constructor(
    private readonly load: Load,
    private readonly onLoaded: () => void,
    private readonly bounds: Bounds = BOUNDS,
  ) {}

  /** How many lines a step has printed, held or not. */
  count(step: string): number {
    return this.#counts.get(step) ?? 0
  }

  get held(): number {
    return this.#held
  }

  /** Tells that a step has printed so many lines, though they were not sent. */
  expect(step: string, count: number): void {
    if (count > this.count(step)) this.#counts.set(step, count)
  }

  /** Takes lines, the first of which has the index `from`. Those that are held already stay as they are. */
  put(step: string, from: number, lines: readonly Line[]): void {
    this.expect(step, from + lines.length)
    for (let at = 0; at < lines.length;) {
      const index = from + at
      const chunk = this.#touch(step, Math.floor(index / CHUNK))
      const take = Math.min(CHUNK - (index % CHUNK), lines.length - at)
      for (const [i, line] of lines.slice(at, at + take).entries()) {
        const slot = (index % CHUNK) + i
        if (chunk.lines[slot] !== undefined) continue
        chunk.lines[slot] = line
        chunk.held += 1
        chunk.chars += line.text.length
        this.#held += 1
        this.#chars += line.text.length
      }
      at += take
      this.#forget()
    }
  }

  /** A line if it is held. */
  peek(step: string, index: number): Line | undefined {
    return this.#chunks.get(key(step, Math.floor(index / CHUNK)))?.lines[index % CHUNK]
  }

  /** A line if it is held. If it is not, it is asked for, and `onLoaded` tells when it is there. */
  get(step: string, index: number): Line | undefined {
    const number = Math.floor(index / CHUNK)
    const line = this.#chunks.has(key(step, number)) ? this.#touch(step, number).lines[index % CHUNK] : undefined
    if (line === undefined) void this.#fetch(step, number)
    return line
  }

  /** Lines from the log that are not kept here. */
  fetch(step: string, from: number, limit: number): Promise<readonly Line[]> {
    return this.load(step, from, limit)
  }

  /** Whether a line was asked for, and could not be had. */
  failed(step: string, index: number): boolean {
    return this.#failedAt.has(key(step, Math.floor(index / CHUNK)))
  }

  async #fetch(step: string, number: number): Promise<void> {
    const id = key(step, number)
    const failedAt = this.#failedAt.get(id) ?? -Infinity
    if (this.#fetching.has(id) || this.#fetching.size >= FETCHES_AT_ONCE || Date.now() - failedAt < RETRY_MS) return
    this.#fetching.add(id)
    try {
      const lines = await this.load(step, number * CHUNK, CHUNK)
      this.put(step, number * CHUNK, lines)
      if (lines.length === 0) this.#failedAt.set(id, Date.now())
      else this.#failedAt.delete(id)
    } catch {
      // The list shows which lines are missing, and they are asked for again.
      this.#failedAt.set(id, Date.now())
    } finally {
      this.#fetching.delete(id)
      this.onLoaded()
    }
  }

  /** The chunk, made if it is not there, as the one that was used last. */
  #touch(step: string, number: number): Chunk {
    const id = key(step, number)
    const chunk = this.#chunks.get(id) ?? { step, lines: [], held: 0, chars: 0 }
    this.#chunks.delete(id)
    this.#chunks.set(id, chunk)
    return chunk
  }

  #forget(): void {
    for (const [id, chunk] of this.#chunks) {
      if ((this.#held <= this.bounds.lines && this.#chars <= this.bounds.chars) || this.#chunks.size === 1) return
      this.#chunks.delete(id)
      this.#held -= chunk.held
      this.#chars -= chunk.chars
    }
  }
}

const key = (step: string, number: number): string => `${String(number)} ${step}`

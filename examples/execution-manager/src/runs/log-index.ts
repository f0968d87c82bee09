// How many entries the log of an execution has so far, and where some of them begin, so that each can be found by its
// number. The log itself is the engine's, and is read there.

import { setTimeout } from 'node:timers/promises'
import { ExecutionError, type Executor, type LogLine } from '@escher-dbai/execution-engine'
import type { Bell } from './bell.js'

/** The offset of each so-manieth entry is kept. */
const distance = 1000

/** How long after one look for a log that another program has not begun yet the next one is, in milliseconds. */
const retryMs = 200

const isUnknown = (error: unknown): boolean => error instanceof ExecutionError && error.code === 'NOT_FOUND'

export class LogIndex {
  #count = 0
  #end = 0
  #ended = false
  #problem: string | null = null
  readonly #offsets = [0]

  constructor(
    private readonly engine: Pick<Executor, 'followLogs' | 'readLogLines'>,
    readonly executionId: string,
  ) {}

  /** The number of entries so far. */
  get count(): number {
    return this.#count
  }

  /** Where the entry that comes next begins. */
  get end(): number {
    return this.#end
  }

  /** Whether nothing comes any more. */
  get ended(): boolean {
    return this.#ended
  }

  /** Why the log could not be read to its end, or `null`. */
  get problem(): string | null {
    return this.#problem
  }

  /**
   * Follows the log to its end. `isOver` says whether the execution has ended: then a log that is not there does not come
   * any more.
   */
  async follow(bell: Bell, signal: AbortSignal, isOver: () => boolean, seen: (entry: LogLine) => void): Promise<void> {
    try {
      while (!(await this.#take(bell, signal, isOver, seen))) await setTimeout(retryMs, undefined, { signal })
    } catch (error) {
      if (!signal.aborted) this.#problem = error instanceof Error ? error.message : String(error)
    } finally {
      this.#ended = true
      bell.ring()
    }
  }

  async #take(
    bell: Bell,
    signal: AbortSignal,
    isOver: () => boolean,
    seen: (entry: LogLine) => void,
  ): Promise<boolean> {
    const wasOver = isOver()
    try {
      for await (const entry of this.engine.followLogs(this.executionId, { from: this.#end, signal })) {
        this.#count += 1
        this.#end = entry.offset
        if (this.#count % distance === 0) this.#offsets.push(this.#end)
        seen(entry)
        bell.ring()
      }
      return true
    } catch (error) {
      if (isUnknown(error)) return wasOver
      throw error
    }
  }

  /** The last entry at or before `line` of which the offset is known. */
  before(line: number): { readonly line: number; readonly offset: number } {
    const nearest = Math.min(Math.floor(Math.max(line, 0) / distance), this.#offsets.length - 1)
    return { line: nearest * distance, offset: this.#offsets[nearest] ?? 0 }
  }

  /** The offset of the entry with the number `line`, or of the end. */
  async offsetOf(line: number): Promise<{ readonly line: number; readonly offset: number }> {
    let { line: at, offset } = this.before(line)
    while (at < line) {
      const page = await this.engine.readLogLines(this.executionId, {
        from: offset,
        limit: Math.min(line - at, distance),
      })
      if (page.lines.length === 0) break
      at += page.lines.length
      offset = page.next
    }
    return { line: at, offset }
  }
}

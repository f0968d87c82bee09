// How far the log of a step is, so that each of its entries has a number. The log itself is the engine's, and is read there.

import {
  ExecutionError,
  type Executor,
  type FollowLogsOptions,
  type LogLine,
  type LogPage,
  type LogPageOptions,
} from '@escher-dbai/execution-engine'
import type { Bell } from './bell.js'

const isUnknown = (error: unknown): boolean => error instanceof ExecutionError && error.code === 'NOT_FOUND'

/** Some entries of a log; undefined where there is none. */
export async function pageOf(engine: Executor, id: string, options: LogPageOptions): Promise<LogPage | undefined> {
  try {
    return await engine.readLogLines(id, options)
  } catch (error) {
    if (isUnknown(error)) return undefined
    throw error
  }
}

export class StepLog {
  #count = 0
  #end = 0
  #ended = false
  #problem: string | null = null

  constructor(
    private readonly engine: Executor,
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

  /** Follows the log to its end. `over` is aborted once the step has ended: what is not there then does not come any more. */
  async follow(bell: Bell, over: AbortSignal, stop: AbortSignal, seen: (entry: LogLine) => void): Promise<void> {
    try {
      // Another program may not have begun it yet.
      await this.#take(bell, { wait: true, signal: AbortSignal.any([over, stop]) }, seen)
      await this.#take(bell, { signal: stop }, seen)
    } catch (error) {
      // A step that has printed nothing has no log.
      if (!isUnknown(error) && !stop.aborted) this.#problem = error instanceof Error ? error.message : String(error)
    } finally {
      this.#ended = true
      bell.ring()
    }
  }

  async #take(bell: Bell, options: FollowLogsOptions, seen: (entry: LogLine) => void): Promise<void> {
    for await (const entry of this.engine.followLogs(this.executionId, { ...options, from: this.#end })) {
      this.#count += 1
      this.#end = entry.offset
      seen(entry)
      bell.ring()
    }
  }
}

// What a watcher is told: each change of a run, and each entry of its logs, once and in order. A watcher that comes back
// names the last event it was told, and goes on behind that; one that is slow reads the logs at its own pace.

import { setTimeout } from 'node:timers/promises'
import { ExecutionError, type Executor, type LogLine } from '@escher-dbai/execution-engine'
import type { LinesEvent, RunEvent, Step } from '../api.js'
import { asStarted, hasBegun, isOver, runItself } from './record.js'
import type { WatchedRun } from './watched.js'

/** Who is further behind than so many entries of a log is told of a gap. */
const replayedLines = 5000

/** Entries of one event. */
const batch = 1000

/** What comes in so many milliseconds goes out together, behind what came first. */
const pauseMs = 30

interface Place {
  /** Where the next entry begins, and its number. */
  offset: number
  index: number
}

/** How much of a run somebody has been told. */
class Position {
  version = 0
  /** By the index of the step. */
  readonly places = new Map<number, Place>()

  at(step: number): Place {
    const place = this.places.get(step) ?? { offset: 0, index: 0 }
    this.places.set(step, place)
    return place
  }

  toString(): string {
    const places = [...this.places].filter(([, { index }]) => index > 0)
    return [this.version, ...places.map(([step, { offset, index }]) => [step, offset, index].join('.'))].join('~')
  }

  /** @returns undefined for what no position is. */
  static parse(text: string): Position | undefined {
    if (!/^\d{1,15}(?:~\d{1,15}\.\d{1,15}\.\d{1,15})*$/.test(text)) return undefined
    const [version, ...places] = text.split('~')
    const position = new Position()
    position.version = Number(version)
    for (const place of places) {
      const [step = 0, offset = 0, index = 0] = place.split('.').map(Number)
      position.places.set(step, { offset, index })
    }
    return position
  }
}

export interface Told {
  /** To be named by who comes back. */
  readonly id: string
  readonly event: RunEvent
}

/** Neighbours of the same stream, each with where the entry behind them begins. */
function* groups(
  step: string,
  entries: readonly LogLine[],
  from: number,
): Generator<{ data: LinesEvent; next: number }> {
  let start = 0
  for (const [i, { stream, offset }] of entries.entries()) {
    if (entries[i + 1]?.stream === stream) continue
    const lines = entries.slice(start, i + 1).map(({ line }) => line)
    yield { data: { step, stream, lines, from: from + start }, next: offset }
    start = i + 1
  }
}

class Feed {
  readonly #position: Position
  readonly #isNew: boolean

  constructor(
    private readonly engine: Executor,
    private readonly watched: WatchedRun,
    lastId: string | undefined,
    private readonly replayed: number,
  ) {
    const position = lastId === undefined ? undefined : Position.parse(lastId)
    this.#isNew = position === undefined
    this.#position = position ?? new Position()
  }

  async *events(signal: AbortSignal): AsyncGenerator<Told> {
    this.watched.enter()
    try {
      if (this.#isNew) yield this.#told(this.#whole())
      while (!signal.aborted) {
        const { turn } = this.watched.bell
        const { isComplete } = this.watched
        const ending = yield* this.#changes()
        if (yield* this.#lines(ending)) {
          await setTimeout(pauseMs)
        } else if (isComplete) {
          yield this.#told({ event: 'end', data: this.watched.run })
          return
        } else {
          await this.watched.bell.after(turn, signal)
        }
      }
    } finally {
      this.watched.leave()
    }
  }

  #told(event: RunEvent): Told {
    return { id: this.#position.toString(), event }
  }

  #whole(): RunEvent {
    const { run, version } = this.watched.recorded
    this.#position.version = version
    return { event: 'run', data: run }
  }

  /** @returns the step whose end is not told yet, as its lines come first; what came after that waits as well. */
  *#changes(): Generator<Told, string | undefined> {
    const { run, changes, starts } = this.watched.recorded
    const found: { version: number; event: RunEvent }[] = []
    for (const step of run.steps) {
      found.push({ version: changes[step.name] ?? 0, event: { event: 'step', data: step } })
      // Also what has ended since: its lines come behind its start.
      if (isOver(step.status))
        found.push({ version: starts[step.name] ?? 0, event: { event: 'step', data: asStarted(step) } })
    }
    // Its end is told behind the last line.
    if (!isOver(run.status)) found.push({ version: changes[runItself] ?? 0, event: { event: 'run', data: run } })
    const since = this.#position.version
    for (const { version, event } of found.filter((one) => one.version > since).sort((a, b) => a.version - b.version)) {
      if (event.event === 'step' && this.#hasLines(event.data)) return event.data.name
      this.#position.version = version
      yield this.#told(event)
    }
    return undefined
  }

  /** The end of a step is told behind its last line. */
  #hasLines(step: Step): boolean {
    const log = this.watched.log(step.name)
    if (log === undefined || !isOver(step.status)) return false
    const index = this.watched.run.steps.findIndex(({ name }) => name === step.name)
    return !log.ended || this.#position.at(index).index < log.count
  }

  /** @returns whether there was something to tell. */
  async *#lines(ending: string | undefined): AsyncGenerator<Told, boolean> {
    let told = false
    const { run, changes } = this.watched.recorded
    for (const [i, step] of run.steps.entries()) {
      const isTold = (changes[step.name] ?? 0) <= this.#position.version
      if (!hasBegun(step.status) || (step.name !== ending && !isTold)) continue
      for await (const event of this.#linesOf(step, this.#position.at(i))) {
        told = true
        yield this.#told(event)
      }
    }
    return told
  }

  async *#linesOf(step: Step, place: Place): AsyncGenerator<RunEvent> {
    const log = this.watched.log(step.name)
    if (log === undefined) return
    // Steps take turns: of each only what is there now.
    const { count, end, ended } = log
    try {
      if (count - place.index > this.replayed) {
        const index = count - this.replayed
        const { next } = await this.engine.readLogLines(log.executionId, { fromLine: index - 1, limit: 1 })
        yield this.#gap(step, place, { index, offset: next })
      }
      while (place.index < count) {
        const limit = Math.min(count - place.index, batch)
        const page = await this.engine.readLogLines(log.executionId, { from: place.offset, limit })
        if (page.lines.length === 0) break
        for (const { data, next } of groups(step.name, page.lines, place.index)) {
          place.index = data.from + data.lines.length
          place.offset = next
          yield { event: 'lines', data }
        }
      }
    } catch (error) {
      if (!(error instanceof ExecutionError)) throw error
    }
    // What was counted may not be kept any more.
    const all = ended ? Math.max(count, step.lines) : count
    if (place.index < all) yield this.#gap(step, place, { index: all, offset: end })
  }

  #gap(step: Step, place: Place, to: Place): RunEvent {
    const from = place.index
    place.index = to.index
    place.offset = to.offset
    return { event: 'gap', data: { step: step.name, from, to: to.index } }
  }
}

export interface FeedOptions {
  /** The id of the last event that was told before. Default: none. */
  readonly lastId?: string | undefined
  /** How many entries of each log are told to who is behind. Default: 5000. */
  readonly replayed?: number | undefined
}

/** Ends behind the end of the run, or when `signal` is aborted. */
export function feed(
  engine: Executor,
  watched: WatchedRun,
  signal: AbortSignal,
  { lastId, replayed = replayedLines }: FeedOptions = {},
): AsyncGenerator<Told> {
  return new Feed(engine, watched, lastId, replayed).events(signal)
}

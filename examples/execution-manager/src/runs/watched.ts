// A run as it is watched: its record, and how far the logs of its steps are.

import type { Executor, LogLine } from '@escher-dbai/execution-engine'
import type { Run } from '../api.js'
import { Bell } from './bell.js'
import type { Recorded } from './history.js'
import { hasBegun, isOver } from './record.js'
import { StepLog } from './step-log.js'

type LineSeen = (entry: LogLine) => void

export class WatchedRun {
  readonly bell = new Bell()
  readonly #engine: Executor
  readonly #logs = new Map<string, StepLog>()
  /** By the name of a step: aborted once it has ended. */
  readonly #overs = new Map<string, AbortController>()
  readonly #following = new Set<Promise<void>>()
  readonly #stop = new AbortController()
  readonly #seen: LineSeen
  #recorded: Recorded
  #watchers = 0

  constructor(engine: Executor, recorded: Recorded, seen: LineSeen = () => undefined) {
    this.#engine = engine
    this.#recorded = recorded
    this.#seen = seen
    this.#followLogs()
  }

  /** The record; the numbers of lines are those of now. */
  get recorded(): Recorded {
    const { run } = this.#recorded
    const steps = run.steps.map((step) => ({
      ...step,
      lines: Math.max(this.#logs.get(step.name)?.count ?? 0, step.lines),
    }))
    return { ...this.#recorded, run: { ...run, steps } }
  }

  get run(): Run {
    return this.recorded.run
  }

  update(recorded: Recorded): void {
    this.#recorded = recorded
    this.#followLogs()
    this.bell.ring()
  }

  log(step: string): StepLog | undefined {
    return this.#logs.get(step)
  }

  /** Whether nothing is to come any more: no change, and no line. */
  get isComplete(): boolean {
    return isOver(this.#recorded.run.status) && [...this.#logs.values()].every((log) => log.ended)
  }

  /** Resolves once all logs were read to their ends. */
  async logsEnded(): Promise<void> {
    await Promise.all(this.#following)
  }

  /** How many watch it now. */
  get watchers(): number {
    return this.#watchers
  }

  enter(): void {
    this.#watchers += 1
  }

  leave(): void {
    this.#watchers -= 1
  }

  close(): void {
    this.#stop.abort()
  }

  #followLogs(): void {
    for (const { name, executionId, status } of this.#recorded.run.steps) {
      if (!hasBegun(status)) continue
      if (!this.#logs.has(name)) this.#follow(name, executionId)
      if (isOver(status)) this.#overs.get(name)?.abort()
    }
  }

  #follow(name: string, executionId: string): void {
    const log = new StepLog(this.#engine, executionId)
    const over = new AbortController()
    this.#logs.set(name, log)
    this.#overs.set(name, over)
    const following = log.follow(this.bell, over.signal, this.#stop.signal, this.#seen)
    this.#following.add(following)
    void following.finally(() => this.#following.delete(following))
  }
}

// All runs: those of this program, those of others that share the history, and those that have ended.

import { type FSWatcher, watch } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import { ExecutionError, type Executor, type LogLine } from '@escher-dbai/execution-engine'
import type { Run, RunFilter, RunSummary, Step } from '../api.js'
import type { LoadedPlaybook } from '../playbook/load.js'
import { readValues, shownValues } from '../playbook/parameters.js'
import { planOf } from '../playbook/plan.js'
import { History, type Recorded } from './history.js'
import { Owner } from './owner.js'
import { interrupted, isOver, newRecord, withEvent, withStep } from './record.js'
import { WatchedRun } from './watched.js'

/** Who counts what happens, for metrics. */
export interface Observer {
  runStarted(playbook: string): void
  runEnded(playbook: string, status: string): void
  stepEnded(playbook: string, step: Step): void
  line(stream: LogLine['stream']): void
}

const nobody: Observer = {
  runStarted: () => undefined,
  runEnded: () => undefined,
  stepEnded: () => undefined,
  line: () => undefined,
}

/** What was asked for is not to be had. */
export class RunError extends Error {
  constructor(
    readonly code: 'NOT_FOUND' | 'ALREADY_FINISHED' | 'ELSEWHERE',
    message: string,
  ) {
    super(message)
    this.name = 'RunError'
  }
}

/** For so many milliseconds the start waits for what is left of interrupted runs. */
const recoverMs = 1000

/** So many runs that are not this program's are kept open for who watches them again. */
const keptOpen = 20

export class Runs {
  readonly #live = new Map<string, WatchedRun>()
  /** Resolve once the run has ended and is written. */
  readonly #ends = new Map<string, Promise<void>>()
  readonly #others = new Map<string, WatchedRun>()
  readonly #history: History
  readonly #owner: Owner
  readonly #watcher: FSWatcher
  #isClosed = false

  /** `directory` holds the history. */
  constructor(
    readonly engine: Executor,
    directory: string,
    private readonly observer: Observer = nobody,
  ) {
    this.#history = new History(directory)
    this.#owner = new Owner(directory)
    // The log of SQLite changes with each write of whoever shares the history.
    this.#watcher = watch(directory, (_event, name) => {
      if (name?.startsWith('history.db') === true) this.#refresh()
    }).unref()
  }

  /**
   * Tells the truth about runs whose program is dead: they are interrupted, once nothing of them is left. Where a queue
   * takes its time for that, it goes on when this has resolved.
   *
   * @returns how many there are.
   */
  async recover(): Promise<number> {
    const lost = this.#history.unfinished().filter(({ owner }) => !this.#owner.isAlive(owner))
    const recovered = Promise.all(lost.map(({ id }) => this.#recover(id)))
    await Promise.race([recovered, setTimeout(recoverMs, undefined, { ref: false })])
    return lost.length
  }

  /** Resolves with the id once the engine has accepted the plan. @throws ParameterError, ExecutionError */
  async start({ playbook, directory }: LoadedPlaybook, given: Readonly<Record<string, unknown>>): Promise<string> {
    const values = readValues(playbook, given)
    const recorded = newRecord(playbook, shownValues(playbook, values))
    const { id } = recorded.run
    const plan = planOf(playbook, directory, values, recorded.run)
    const watched = new WatchedRun(this.engine, recorded, ({ stream }) => {
      this.observer.line(stream)
    })
    let ended = (): void => undefined
    const end = new Promise<void>((resolve) => (ended = resolve))
    this.#live.set(id, watched)
    this.#save(watched)
    try {
      await this.engine.executePlan(plan, {
        onEvent: (event) => {
          const before = watched.recorded
          const after = withEvent(before, event, playbook)
          if (after === before) return
          watched.update(after)
          this.#save(watched)
          this.#observe(watched, event)
          if (event.eventType === 'plan_completed') ended()
        },
      })
    } catch (error) {
      this.#live.delete(id)
      this.#history.remove(id)
      watched.close()
      throw error
    }
    this.observer.runStarted(playbook.name)
    this.#ends.set(id, this.#keep(id, watched, end))
    return id
  }

  list(filter: RunFilter): RunSummary[] {
    return this.#history.list(filter)
  }

  /** The run whose id begins so. @throws RunError if there is none, or more than one */
  resolve(beginning: string): string {
    const [id, ...more] = this.#history.idsFrom(beginning)
    if (id === undefined) throw new RunError('NOT_FOUND', `there is no run ${beginning}`)
    if (more.length > 0)
      throw new RunError('NOT_FOUND', `there are several runs ${beginning}…: ${[id, ...more].join(', ')}`)
    return id
  }

  /** @throws RunError */
  find(id: string): WatchedRun {
    const known = this.#live.get(id) ?? this.#others.get(id)
    if (known !== undefined) return known
    const recorded = this.#history.find(id)
    if (recorded === undefined) throw new RunError('NOT_FOUND', `there is no run ${id}`)
    const watched = new WatchedRun(this.engine, recorded)
    this.#others.set(id, watched)
    this.#forgetOthers()
    return watched
  }

  /** Resolves once nothing of the run is left. @throws RunError, ExecutionError */
  async cancel(id: string, reason?: string): Promise<void> {
    const { run } = this.find(id)
    if (isOver(run.status)) throw new RunError('ALREADY_FINISHED', `the run has ended: ${run.status}`)
    if (!this.#live.has(id)) throw new RunError('ELSEWHERE', 'another program runs it, and has to cancel it')
    await this.engine.cancel(id, reason)
    await this.ended(id)
  }

  /** Cancels a run of this program; a second time does not wait for it to end by itself. */
  async stop(id: string, reason: string): Promise<void> {
    await this.#cancelQuietly(id, reason)
  }

  /** Resolves once a run of this program has ended and is written; at once for any other. */
  async ended(id: string): Promise<void> {
    await this.#ends.get(id)
  }

  get running(): number {
    return this.#live.size
  }

  /** Cancels all that this program runs, and resolves once it is gone and written. */
  async close(reason: string): Promise<void> {
    await Promise.all([...this.#live.keys()].map((id) => this.#cancelQuietly(id, reason)))
    await Promise.all(this.#ends.values())
    this.#isClosed = true
    await this.engine.shutdown()
    this.#watcher.close()
    for (const other of this.#others.values()) other.close()
    this.#owner.release()
    this.#history.close()
  }

  /** The run is its own until it has ended and all of its lines are counted. */
  async #keep(id: string, watched: WatchedRun, ended: Promise<void>): Promise<void> {
    await ended
    await watched.logsEnded()
    for (const step of watched.run.steps) {
      const problem = watched.log(step.name)?.problem ?? null
      const error = step.error ?? (problem === null ? null : `its log: ${problem}`)
      if (error !== step.error) watched.update(withStep(watched.recorded, step.name, { error }))
    }
    this.#save(watched)
    this.observer.runEnded(watched.run.playbook, watched.run.status)
    this.#live.delete(id)
    this.#ends.delete(id)
    this.#others.set(id, watched)
    this.#forgetOthers()
  }

  /** A history that cannot be written keeps no command from running. */
  #save(watched: WatchedRun): void {
    try {
      this.#history.save(watched.recorded, this.#owner.id)
    } catch (error) {
      process.emitWarning(`the history could not be written: ${String(error)}`, 'ExecutionManager')
    }
  }

  #observe(watched: WatchedRun, event: { readonly eventType: string; readonly step?: unknown }): void {
    const step = watched.run.steps.find(({ name }) => name === event.step)
    if (step !== undefined && isOver(step.status)) this.observer.stepEnded(watched.run.playbook, step)
  }

  #refresh(): void {
    for (const [id, watched] of this.#others) {
      if (isOver(watched.run.status)) continue
      const recorded: Recorded | undefined = this.#history.find(id)
      if (recorded !== undefined && recorded.version !== watched.recorded.version) watched.update(recorded)
    }
  }

  #forgetOthers(): void {
    for (const [id, watched] of this.#others) {
      if (this.#others.size <= keptOpen) return
      if (watched.watchers > 0) continue
      watched.close()
      this.#others.delete(id)
    }
  }

  async #recover(id: string): Promise<void> {
    const recorded = this.#history.find(id)
    if (recorded === undefined) return
    try {
      await this.#endLost(recorded.run)
    } catch (error) {
      // Another program will do it.
      if (this.#isClosed) return
      process.emitWarning(`run ${id}: what is left of it could not be ended: ${String(error)}`, 'ExecutionManager')
    }
    if (!this.#isClosed) this.#history.save(interrupted(recorded), this.#owner.id)
  }

  /** On this machine nothing is left; the workers of a queue do not know of it. */
  async #endLost({ id, steps }: Run): Promise<void> {
    const reason = 'the program that ran it was killed'
    // Nobody may be left who drives the plan, and would say that it has ended; its steps are what counts.
    void this.#cancelQuietly(id, reason)
    await Promise.all(steps.map(({ executionId }) => this.#cancelQuietly(executionId, reason)))
  }

  /** What is not known, or has ended by itself, is what is wanted. */
  async #cancelQuietly(id: string, reason: string): Promise<void> {
    try {
      await this.engine.cancel(id, reason)
    } catch (error) {
      if (!(error instanceof ExecutionError)) throw error
    }
  }
}

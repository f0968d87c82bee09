import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { ExecutionError, ExecutionFailedError } from '@escher-dbai/execution-engine'
import type { ExecutionEvent, ExecutionResult, PlanExecutionResult } from '@escher-dbai/execution-engine'
import type { Connections } from '../redis/connections'
import { emitWarning, messageOf, notFound, shutDown } from '../errors'
import type { JobData } from '../request/wire'
import type { Prepared, PreparedPlan } from '../request/prepare'
import { onAbort, reasonOf } from './abort'
import type { Answers } from './answers'
import type { Canceller } from './canceller'
import type { Driving } from './driving'
import { Delivery, eventsOf } from './delivery'
import type { About, AnyEvent } from './delivery'
import { Feed } from './feed'
import type { CheckedOptions } from './options'
import { aboutOf, Reading } from './reading'
import type { Source } from './reading'
import { Lanes } from './lanes'
import { endLeft } from './left'
import type { Submitter } from './submitter'

/** How long a callback may take to return after the end of what was stopped, in milliseconds. */
const PATIENCE_MS = 2000

/** How long after a cancel it is looked again whether who drives the plan is there, in milliseconds. */
const LOOK_MS = 5000

/** The parts of an engine that work on its runs. */
export interface Parts {
  readonly source: Source
  readonly connections: Connections
  readonly answers: Answers
  readonly submitter: Submitter
  readonly canceller: Canceller
  readonly driving: Driving
}

/** What an event of a submission tells of it. */
const aboutData = (data: JobData): About => ({
  executionId: data.id,
  metadata: data.metadata,
  planId: data.kind === 'plan' ? null : data.planId,
  step: data.kind === 'plan' ? null : data.step,
})

/** Follows what was submitted here until it has ended, and tells its callers. */
export class Runs {
  readonly #parts: Parts
  readonly #readings = new Set<Reading>()
  /** What is being told here, by its id. */
  readonly #telling = new Map<string, Set<Promise<void>>>()

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Ends everything that waits here; what was submitted goes on. */
  close(): void {
    for (const reading of this.#readings) reading.close()
  }

  /** Submits, and resolves with the id. Whoever is to be told is told from here on. */
  async execute(prepared: Prepared, options: CheckedOptions): Promise<string> {
    const run = await this.#start(prepared, options)
    if (run.isTold || options.signal !== undefined) {
      // An engine that is shut down has nobody to tell any more; an end that is not kept cannot be told.
      run.ended().catch(() => {})
    }
    return prepared.data.id
  }

  async run(prepared: Prepared, options: CheckedOptions): Promise<ExecutionResult> {
    const run = await this.#start(prepared, options)
    const result = await this.#held(async () => {
      await run.ended()
      return run.reading.result()
    })
    if (options.throwOnFailure && !result.success) throw new ExecutionFailedError(result)
    return result
  }

  async executePlan(prepared: PreparedPlan, options: CheckedOptions): Promise<string> {
    const id = await this.execute(prepared, options)
    this.#drive(prepared).catch((error: unknown) => {
      emitWarning(`the plan ${id} is driven no longer: ${messageOf(error)}`)
    })
    return id
  }

  /** A plan with functions is driven here. */
  async #drive({ data, toDrive }: PreparedPlan): Promise<void> {
    if (toDrive !== undefined) await this.#parts.driving.drive(data, toDrive)
  }

  async runPlan(prepared: PreparedPlan, options: CheckedOptions): Promise<PlanExecutionResult> {
    const run = await this.#start(prepared, options)
    const driven = this.#drive(prepared)
    return this.#held(async () => {
      // Where it cannot be driven on, nobody else makes its end.
      await Promise.race([run.ended(), driven.then(() => run.ended())])
      return (await run.reading.planEnd()).result
    })
  }

  /** The process does not end before somebody who waits has what is waited for. */
  async #held<T>(work: () => Promise<T>): Promise<T> {
    const release = this.#parts.connections.hold()
    try {
      return await work()
    } finally {
      release()
    }
  }

  async #start(prepared: Prepared, { signal, ...callbacks }: CheckedOptions): Promise<Run> {
    const { data } = prepared
    const isTold = callbacks.onStdout ?? callbacks.onStderr ?? callbacks.onEvent
    const delivery = isTold === undefined ? undefined : new Delivery(callbacks)
    const about = aboutData(data)
    const reading = this.#read(about, data.kind, delivery !== undefined)
    let first: ExecutionEvent | undefined
    try {
      const { state, submittedAt } = await this.#submit(prepared, reading, signal)
      const isWaiting = state === 'new' && data.kind === 'execution' && signal?.aborted !== true
      if (isWaiting) first = pendingOf(about, submittedAt)
    } catch (error) {
      this.#forget(reading)
      throw error
    }
    const forget = this.#cancelOnAbort(data.id, signal)
    const release = this.#parts.connections.hold()
    const ended = async (): Promise<void> => {
      try {
        const impatience = this.#impatience(data)
        await (delivery === undefined ? reading.untilEnd() : tellAll({ reading, data, first }, delivery, impatience))
      } catch (error) {
        if (this.#parts.answers.isShutDown) throw shutDown()
        throw error
      } finally {
        forget()
        release()
        this.#forget(reading)
      }
    }
    // From now on, whether or not somebody waits for it; a failure is told to who does.
    const whole = ended()
    this.#tells(data.id, whole)
    return { reading, isTold: delivery !== undefined, ended: () => whole }
  }

  /** Settles when a callback that has not returned is waited for no longer. */
  readonly #impatience =
    ({ id }: JobData) =>
    async (): Promise<void> => {
      const about = { executionId: id, metadata: { tags: {} }, planId: null, step: null }
      const watching = this.#read(about, 'execution', false)
      try {
        await watching.untilEnd()
        if (await watching.wasStopped()) return await delay(PATIENCE_MS, undefined, { ref: false })
      } catch {
        // It was shut down, or its end is not kept.
        return
      } finally {
        this.#forget(watching)
      }
      await new Promise(() => {})
    }

  #tells(id: string, whole: Promise<void>): void {
    const all = this.#telling.get(id) ?? new Set()
    this.#telling.set(id, all.add(whole))
    const forget = (): void => {
      all.delete(whole)
      if (all.size === 0) this.#telling.delete(id)
    }
    whole.then(forget, forget)
  }

  #submit(prepared: Prepared, reading: Reading, signal: AbortSignal | undefined) {
    const { answers, submitter } = this.#parts
    const { id } = prepared.data
    const cancelled = signal?.aborted === true ? { reason: reasonOf(signal) } : undefined
    const hint = 'whether it was accepted is not known; submitting the same id again is safe'
    return answers.of(() => submitter.submit(prepared, { before: () => reading.attend(), cancelled }), { id, hint })
  }

  #cancelOnAbort(id: string, signal: AbortSignal | undefined): () => void {
    if (signal === undefined) return () => {}
    const cancel = (reason: string | undefined): void => {
      // It may have ended meanwhile; and what Redis cannot be told, the caller sees by its not ending.
      this.#parts.canceller.cancel(id, { reason }).catch(() => {})
    }
    // It may have been aborted while it was submitted.
    if (signal.aborted) cancel(reasonOf(signal))
    return onAbort(signal, cancel)
  }

  #read(
    about: About,
    kind: 'execution' | 'plan',
    holds: boolean,
    more: { within?: string; after?: string } = {},
  ): Reading {
    const reader = holds ? randomUUID() : undefined
    const reading = new Reading(this.#parts.source, { id: about.executionId, kind, about, reader, ...more })
    this.#readings.add(reading)
    return reading
  }

  #forget(reading: Reading): void {
    reading.close()
    this.#readings.delete(reading)
  }

  /** Submits when the first event is asked for; leaving the loop early cancels it. */
  stream(
    prepare: () => { prepared: Prepared; signal: AbortSignal | undefined },
  ): AsyncGenerator<ExecutionEvent, void, undefined> {
    let reading: Reading | undefined
    let id: string | undefined
    let isLeft = false
    const events = this.#streamed(prepare, (begun, its) => {
      reading = begun
      id = its
      return isLeft
    })
    return new Feed(events, async () => {
      isLeft = true
      if (reading === undefined || id === undefined || !this.#readings.has(reading)) return
      reading.close()
      await this.cancel(id, 'the loop over its events was left').catch(() => {})
    })
  }

  async *#streamed(
    prepare: () => { prepared: Prepared; signal: AbortSignal | undefined },
    begin: (reading: Reading, id: string) => boolean,
  ): AsyncGenerator<ExecutionEvent, void, undefined> {
    const { prepared, signal } = prepare()
    const about = aboutData(prepared.data)
    const reading = this.#read(about, 'execution', true)
    let forget = (): void => {}
    const release = this.#parts.connections.hold()
    try {
      const { state, submittedAt } = await this.#submit(prepared, reading, signal)
      forget = this.#cancelOnAbort(prepared.data.id, signal)
      if (begin(reading, prepared.data.id)) {
        await this.cancel(prepared.data.id, 'the loop over its events was left').catch(() => {})
        return
      }
      if (state === 'new' && signal?.aborted !== true) yield pendingOf(about, submittedAt)
      yield* this.#events(reading, about)
    } finally {
      forget()
      release()
      this.#forget(reading)
    }
  }

  /** The events of what was submitted before, from this call on. */
  subscribe(id: string): AsyncGenerator<ExecutionEvent, void, undefined> {
    let isLeft = false
    let reading: Reading | undefined
    const begun = this.#subscribed(id).then((found) => {
      reading = found
      if (isLeft) this.#forget(found)
      return found
    })
    // The loop throws it.
    begun.catch(() => {})
    return new Feed(this.#subscription(begun), () => {
      isLeft = true
      if (reading !== undefined) this.#forget(reading)
    })
  }

  async #subscribed(id: string): Promise<Reading> {
    const { answers, source } = this.#parts
    const { store } = source
    return answers.of(async () => {
      const fields = await store.about(id)
      if (fields === undefined || fields['kind'] === 'plan') throw notFound(id, 'execution')
      const within = fields['in']
      const [last] = await store.client.xrevrange(store.names.lines(within ?? id), '+', '-', 'COUNT', 1)
      const after = last?.[0] ?? '0-0'
      const reading = this.#read(
        aboutOf(id, fields),
        'execution',
        true,
        within === undefined ? { after } : { after, within },
      )
      await reading.attend()
      return reading
    })
  }

  async *#subscription(begun: Promise<Reading>): AsyncGenerator<ExecutionEvent, void, undefined> {
    const reading = await begun
    const release = this.#parts.connections.hold()
    try {
      yield* this.#events(reading, reading.about)
    } finally {
      release()
      this.#forget(reading)
    }
  }

  async *#events(reading: Reading, about: About): AsyncGenerator<ExecutionEvent, void, undefined> {
    const told = reading.told()
    for (;;) {
      const step = await told.next()
      if (step.done === true) {
        if (step.value === 'ended') yield (await reading.endOf(about.executionId, about)) as ExecutionEvent
        else if (this.#parts.answers.isShutDown) throw shutDown()
        return
      }
      // Of an execution, all events are its own.
      for (const event of eventsOf(step.value.about, step.value.item)) yield event as ExecutionEvent
    }
  }

  /** Resolves once nothing of it is left running. */
  async cancel(id: string, reason: string | undefined): Promise<void> {
    const { answers, canceller, source } = this.#parts
    const state = await answers.of(() => canceller.cancel(id, { reason }), { id })
    if (state === 'asked') await this.untilEnd(id)
    if (state === 'left') await endLeft(source.store, id, (step) => this.#cancelUnlessEnded(step, reason))
    if (state === 'driven') await this.#cancelDriven(id, reason)
  }

  /** Who drives the plan may die before it has heard of it: then it is asked again, and found to be left. */
  async #cancelDriven(id: string, reason: string | undefined): Promise<void> {
    const ended = this.untilEnd(id).then(() => true)
    const isEnded = await Promise.race([ended, delay(LOOK_MS, false, { ref: false })])
    if (isEnded) return
    await this.#cancelUnlessEnded(id, reason)
    await ended
  }

  /** The same of what may have ended meanwhile. */
  async #cancelUnlessEnded(id: string, reason: string | undefined): Promise<void> {
    try {
      await this.cancel(id, reason)
    } catch (error) {
      const hasEnded = error instanceof ExecutionError && ['ALREADY_FINISHED', 'NOT_FOUND'].includes(error.code)
      if (!hasEnded) throw error
    }
  }

  /** Waits for the end of an execution or a plan. */
  async untilEnd(id: string): Promise<Reading> {
    const about = { executionId: id, metadata: { tags: {} }, planId: null, step: null }
    const reading = this.#read(about, 'execution', false)
    const release = this.#parts.connections.hold()
    try {
      await reading.untilEnd()
      // Callbacks of this engine see all before whoever waits sees the end.
      await Promise.allSettled(this.#telling.get(id) ?? [])
      return reading
    } catch (error) {
      if (this.#parts.answers.isShutDown) throw shutDown()
      throw error
    } finally {
      release()
      this.#forget(reading)
    }
  }
}

interface Run {
  readonly reading: Reading
  readonly isTold: boolean
  ended(): Promise<void>
}

/**
 * Tells everything, the end included. A callback that has not returned is waited for, but no longer than `impatience` after the
 * end of what was stopped.
 */
async function tellAll(
  { reading, data, first }: { reading: Reading; data: JobData; first: ExecutionEvent | undefined },
  delivery: Delivery,
  impatience: () => Promise<void>,
): Promise<void> {
  const lanes = new Lanes()
  const batches = reading.batches()
  let impatient: Promise<boolean> | undefined
  const isGivenUp = async (): Promise<boolean> => {
    if (lanes.isEmpty) return false
    impatient ??= impatience().then(() => true)
    return Promise.race([lanes.empty().then(() => false), impatient])
  }
  // Nobody waits for it: who has submitted gets the id, and may cancel.
  if (first !== undefined) lanes.run(data.id, () => delivery.event(first))
  for (;;) {
    const step = await batches.next()
    if (step.done === true) {
      if (step.value === 'closed') throw shutDown()
      break
    }
    const { told, taken } = step.value
    lanes.begin(taken)
    for (const { about, item } of told) {
      const end = item.kind === 'end' ? await reading.endOf(about.executionId, about) : undefined
      lanes.run(about.executionId, () => (end === undefined ? delivery.item(about, item) : delivery.event(end)))
    }
    lanes.end()
    // Of a plan, the others go on.
    if (data.kind === 'execution' && (await isGivenUp())) return untold(reading, data, delivery)
  }
  if (await isGivenUp()) return untold(reading, data, delivery)
  return delivery.event(await lastOf(reading, data))
}

/** Nothing is told any more but the end, for which nobody waits. */
async function untold(reading: Reading, data: JobData, delivery: Delivery): Promise<void> {
  reading.isUntold = true
  void delivery.event(await lastOf(reading, data))
}

async function lastOf(reading: Reading, data: JobData): Promise<AnyEvent> {
  if (data.kind === 'execution') return reading.endOf(data.id, aboutData(data))
  const { result, completedAt } = await reading.planEnd()
  return { eventType: 'plan_completed', planId: data.id, metadata: data.metadata, result, timestamp: completedAt }
}

const pendingOf = ({ executionId, metadata, planId, step }: About, at: number): ExecutionEvent => ({
  eventType: 'pending',
  executionId,
  metadata,
  planId,
  step,
  timestamp: new Date(at).toISOString(),
})

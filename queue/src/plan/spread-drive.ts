import { randomUUID } from 'node:crypto'
import { PlanRun } from '@escher-dbai/execution-engine/plans'
import type { PlanRunStep } from '@escher-dbai/execution-engine/plans'
import type {
  ExecutionEvent,
  ExecutionPlan,
  ExecutionRequest,
  ExecutionResult,
  PlanEvent,
} from '@escher-dbai/execution-engine'
import { onAbort } from '../client/abort'
import { messageOf } from '../errors'
import type { Canceller } from '../client/canceller'
import { Reading } from '../client/reading'
import type { Source } from '../client/reading'
import type { Submitter } from '../client/submitter'
import { insist } from '../redis/errors'
import type { Cancellation, Claimed } from '../redis/store'
import { metadataOf } from '../request/encode'
import { prepareStep } from '../request/prepare'
import type { Prepared } from '../request/prepare'
import { endedResult, resultOf, storedOf, storedPlanOf } from '../request/results'
import type { StoredPlanResult, StoredResult } from '../request/results'
import type { StepNote, WaitingExecution, WaitingPlan } from '../request/wire'
import type { LineWriter } from '../worker/line-writer'
import { withoutAbout } from '../worker/events'

/** What a drive needs of who drives. */
export interface DriveParts {
  readonly source: Source
  readonly submitter: Submitter
  readonly canceller: Canceller
  readonly writer: LineWriter
  /** Tells the operator. */
  readonly warn: (message: string) => void
}

/** The step ended behind its end being told. */
const TOLD = 'end'

class Stopped extends Error {}

/**
 * Drives a plan whose steps wait for workers of their own. Whoever goes on with it after another finds the ends of steps, and
 * how far each was told.
 */
export class SpreadDrive {
  readonly #parts: DriveParts
  readonly #data: WaitingPlan
  readonly #plan: ExecutionPlan
  readonly #claim: Claimed
  readonly #cancel = new AbortController()
  readonly #stop = new AbortController()
  readonly #readings = new Set<Reading>()

  constructor(parts: DriveParts, about: { data: WaitingPlan; plan: ExecutionPlan; claim: Claimed }) {
    this.#parts = parts
    this.#data = about.data
    this.#plan = about.plan
    this.#claim = about.claim
  }

  cancel(reason: string | undefined): void {
    this.#cancel.abort(reason)
  }

  /** Drives it no longer; what runs goes on. */
  stop(): void {
    this.#stop.abort()
    for (const reading of this.#readings) reading.close()
  }

  /** How the plan has ended. Rejects when it was stopped. */
  async result(): Promise<StoredPlanResult> {
    const run = new PlanRun(this.#plan, {
      run: (request, step) => this.#step(request, step),
      onEvent: (event) => this.#event(event),
      signal: this.#cancel.signal,
      acceptedAt: this.#claim.submittedAt,
      results: await this.#known(),
    })
    const stopped = new Promise<never>((_, reject) => {
      this.#stop.signal.addEventListener('abort', () => reject(new Stopped('it was stopped')), { once: true })
    })
    const result = await Promise.race([run.result, stopped])
    await this.#parts.writer.flush()
    const { id, plan } = this.#data
    const about = { id, description: String(plan['description'] ?? ''), submittedAt: this.#claim.submittedAt }
    const steps = result.results.map((step) => storedOf(step, 0))
    return storedPlanOf(about, result.status, steps, this.#parts.writer.lines)
  }

  /** The results of steps that have ended, and whose ends were told. */
  async #known(): Promise<ExecutionResult[]> {
    const { store } = this.#parts.source
    const known = []
    for (const { id } of this.#data.steps) {
      const fields = await this.#insist(() => store.about(id))
      if (fields?.['told'] !== TOLD) continue
      const json = await this.#insist(() => store.result(id))
      if (json !== undefined) known.push(resultOf(JSON.parse(json) as StoredResult))
    }
    return known.sort((a, b) => (a.completedAt < b.completedAt ? -1 : 1))
  }

  /** Submits a step, unless that was done before, tells what it tells, and waits for its end. */
  async #step(request: ExecutionRequest, { id, step, signal }: PlanRunStep): Promise<ExecutionResult> {
    const { source, submitter, writer } = this.#parts
    const { store } = source
    const metadata = metadataOf(request.metadata)
    let prepared: Prepared<WaitingExecution>
    try {
      prepared = prepareStep(this.#data, request, { id, step }, store.names)
    } catch (error) {
      // What a function has made may be no request that can be sent.
      return this.#invalid({ id, step, metadata, command: '' }, messageOf(error))
    }
    const cancelled = signal.aborted ? causeOf(signal) : undefined
    const told = (await this.#insist(() => store.about(id)))?.['told']
    const about = { executionId: id, metadata, planId: this.#data.id, step }
    const start = told === undefined ? {} : { after: told }
    const reading = new Reading(source, { id, kind: 'execution', about, reader: randomUUID(), ...start })
    this.#readings.add(reading)
    try {
      await this.#insist(() => store.describe(id, prepared.data.command, metadata))
      const { state, submittedAt } = await this.#insist(() =>
        submitter.submit(prepared, { before: () => reading.attend(), cancelled }),
      )
      if (told === undefined && (state === 'new' || state === 'known'))
        void writer.event(id, { eventType: 'pending', timestamp: new Date(submittedAt).toISOString() })
      if (signal.aborted && state === 'running') await this.#cancelStep(id, signal)
      const forget = onAbort(signal, () => void this.#cancelStep(id, signal))
      try {
        await this.#tell(id, reading)
      } finally {
        forget()
      }
      writer.end(id, async () => {})
      return await this.#insist(() => reading.result())
    } finally {
      reading.close()
      this.#readings.delete(reading)
    }
  }

  async #invalid(note: StepNote, error: string): Promise<ExecutionResult> {
    const about = { ...note, planId: this.#data.id, submittedAt: this.#claim.submittedAt, startedAt: null }
    const stored = endedResult(about, { status: 'failed', code: 'INVALID_STEP', error })
    this.#parts.writer.end(note.id, () => this.#settleUnrun(resultOf(stored)))
    return resultOf(stored)
  }

  async #tell(id: string, reading: Reading): Promise<void> {
    const batches = reading.batches()
    for (;;) {
      const step = await batches.next()
      if (step.done === true) {
        if (step.value === 'closed') throw new Stopped('it was stopped')
        return
      }
      // Who reads the plan holds its steps back.
      await this.#parts.writer.entry(id, step.value.entry)
      step.value.taken()
    }
  }

  async #cancelStep(id: string, signal: AbortSignal): Promise<void> {
    // It may have ended meanwhile.
    await this.#parts.canceller.cancel(id, causeOf(signal)).catch(() => {})
  }

  #event(event: ExecutionEvent | PlanEvent): Promise<void> | void {
    const { writer } = this.#parts
    if (event.eventType === 'plan_completed') return undefined
    if (event.eventType === 'progress') {
      const { planId: _, ...told } = event
      return writer.event(null, withoutAbout(told))
    }
    // A step that never ran: there is no worker that could have told of it.
    if ('result' in event) writer.end(event.executionId, () => this.#settleUnrun(event.result))
    return undefined
  }

  async #settleUnrun(result: ExecutionResult): Promise<void> {
    const { store } = this.#parts.source
    const { id, status, durationMs } = result
    const json = JSON.stringify(storedOf(result, 0))
    const end = { id, run: this.#claim.run, result: json, status, durationMs, lines: 0, within: this.#data.id }
    await this.#insist(() => store.settle(end))
  }

  /** Asks until Redis does it, or it was stopped. */
  #insist<T>(question: () => Promise<T>): Promise<T> {
    return insist({ closed: this.#stop.signal, warn: this.#parts.warn }, question)
  }
}

/** Why a step is to end: a cancel, or a time that is over. */
function causeOf({ reason }: AbortSignal): Cancellation {
  if (reason instanceof DOMException && reason.name === 'TimeoutError') return { timedOut: reason.message }
  return { reason: typeof reason === 'string' ? reason : undefined }
}

import type { ExecutionEvent, ExecutionRequest, ExecutionResult, RetryingEvent } from '@escher-dbai/execution-engine'
import { messageOf } from '../errors'
import type { Claimed } from '../redis/store'
import { unrunOf } from '../client/canceller'
import { decodeRequest } from '../request/decode'
import { endedResult, storedOf, unstarted } from '../request/results'
import type { Ending, StoredResult } from '../request/results'
import type { WaitingExecution } from '../request/wire'
import { withoutAbout } from './events'
import type { Taken } from './job-source'
import { Run } from './run'
import type { Outcome } from './run'
import type { Workshop } from './workshop'

export const LOST: Ending = { status: 'failed', code: 'WORKER_LOST', error: 'the worker that ran it was lost' }
export const CLOSED = { status: 'failed', errorCode: 'WORKER_LOST', error: 'the worker was closed' } as const

/** The grace of a request, in milliseconds. */
export const graceOf = (request: { readonly terminationGraceMs?: number | undefined }, shop: Workshop): number =>
  request.terminationGraceMs ?? shop.engine.config.terminationGraceMs

/** That another run follows one whose worker was lost: how its process ended nobody knows. */
function runAgain(attempt: number) {
  const { error } = LOST
  const event: Omit<RetryingEvent, 'executionId' | 'metadata' | 'planId' | 'step'> = {
    eventType: 'retrying',
    attempt,
    delayMs: 0,
    error,
    ended: { exitCode: null, signal: null, startedAt: null, durationMs: 0, error },
    timestamp: new Date().toISOString(),
  }
  return { ...event }
}

/** One run of an execution. */
export class ExecutionRun extends Run {
  readonly #waiting: WaitingExecution
  #isTold = false

  constructor(shop: Workshop, job: Taken, claim: Claimed, waiting: WaitingExecution) {
    super(shop, job, claim, graceOf(waiting.request, shop))
    this.#waiting = waiting
  }

  async start(): Promise<Outcome> {
    if (this.claim.state === 'lost') {
      if (this.cancellation !== undefined) return this.#end(unstarted(this.cancellation))
      if (this.#waiting.policy.loss === 'fail') return this.#end(LOST)
      void this.writer.event(null, runAgain(this.claim.run))
    }
    let request: ExecutionRequest
    try {
      request = await decodeRequest(this.#waiting.request, this.shop.resolve)
    } catch (error) {
      return this.refuse(messageOf(error))
    }
    if (this.cancellation !== undefined) return this.#end(unstarted(this.cancellation))
    const leaseMs = this.lease()
    if (leaseMs === undefined || this.isAbandoned) return this.giveBackUnstarted()
    const ended = this.shop.engine.run({ ...request, leaseMs }, { onEvent: (event) => this.#event(event) })
    this.inEngine = ended
    this.isStarted = true
    let result: ExecutionResult
    try {
      result = await ended
    } catch (error) {
      this.isStarted = false
      return this.refusedBy(error)
    }
    return this.#ended(result)
  }

  get #isCancelled(): boolean {
    return this.cancellation !== undefined
  }

  #event(event: ExecutionEvent): Promise<void> | void {
    const { writer } = this
    if (event.eventType === 'stdout' || event.eventType === 'stderr') {
      const { line: text, partial, unfinished = false } = event
      return writer.line(null, { stream: event.eventType, text, partial, unfinished, at: Date.parse(event.timestamp) })
    }
    // That it waits was told when it was submitted, and its end is told with the result.
    if (event.eventType === 'pending' || 'result' in event) return undefined
    if (event.eventType === 'started' && !this.#isTold) {
      this.#isTold = true
      writer.start({ startedAt: event.timestamp, command: event.command })
    }
    return writer.event(null, withoutAbout(event))
  }

  async #ended(result: ExecutionResult): Promise<Outcome> {
    await this.writer.flush()
    const { policy } = this.#waiting
    const isClosed = this.isAbandoned && result.status === 'cancelled' && !this.#isCancelled
    const isLost = isClosed || result.errorCode === 'LEASE_LOST'
    if (isLost && policy.loss === 'rerun' && !this.#isCancelled) return this.giveBack()
    return this.settle(this.job.id, this.#stored(result, isClosed))
  }

  #stored(result: ExecutionResult, isClosed: boolean): StoredResult {
    const { planId, step, metadata } = this.#waiting
    const queuedMs = Math.max(this.claim.now - this.claim.submittedAt, 0) + result.queuedMs
    const more = { ...this.#otherEnd(result, isClosed), planId, step, metadata, queuedMs }
    // The queue has codes of its own besides those of the engine.
    return storedOf(result, this.writer.lines, more as Partial<ExecutionResult>)
  }

  /** What the engine took for a cancel. */
  #otherEnd({ status }: ExecutionResult, isClosed: boolean): object {
    if (isClosed) return { ...CLOSED, success: false, cancelReason: null }
    const timedOut = this.cancellation?.timedOut
    // Whoever drives its plan has asked for the end.
    return timedOut !== undefined && status === 'cancelled' ? { status: 'timeout', error: timedOut } : {}
  }

  protected refuse(problem: string): Promise<Outcome> {
    return this.#end({ status: 'failed', code: 'SPAWN_FAILED', error: problem })
  }

  async #end(ending: Ending): Promise<Outcome> {
    const { id } = this.job
    const fields = (await this.shop.store.about(id)) ?? {}
    const { claim } = this
    return this.settle(
      id,
      endedResult({ ...unrunOf(id, fields), submittedAt: claim.submittedAt }, ending, this.writer.lines),
    )
  }
}

import type {
  ExecutionEvent,
  ExecutionPlan,
  ExecutionResult,
  PlanEvent,
  PlanExecutionResult,
} from '@escher-dbai/execution-engine'
import { unrunOf } from '../client/canceller'
import { messageOf } from '../errors'
import { insist } from '../redis/errors'
import type { Claimed, Fields } from '../redis/store'
import { decodePlan } from '../request/decode'
import { stepsOf } from '../request/encode'
import { endedResult, storedOf, storedPlanOf, unstarted } from '../request/results'
import type { Ending, Stored, StoredResult } from '../request/results'
import type { WaitingPlan } from '../request/wire'
import { withoutAbout } from './events'
import { CLOSED, graceOf, LOST } from './execution-run'
import type { Taken } from './job-source'
import { Run } from './run'
import type { Outcome } from './run'
import type { Workshop } from './workshop'

type Terminal = Extract<ExecutionEvent, { result: ExecutionResult }>

/** The longest grace of the steps of a plan, in milliseconds. */
const longestGraceOf = ({ plan }: WaitingPlan, shop: Workshop): number =>
  Math.max(shop.engine.config.terminationGraceMs, ...stepsOf(plan).map(([, step]) => graceOf(step, shop)))

/** One run of a plan, all of whose steps run on this worker. */
export class PlanRun extends Run {
  readonly #waiting: WaitingPlan
  /** Steps that were cancelled one by one, and how. */
  readonly #cancelled = new Set<string>()
  /** How many lines each step has printed. */
  readonly #lines = new Map<string, number>()

  constructor(shop: Workshop, job: Taken, claim: Claimed, waiting: WaitingPlan) {
    super(shop, job, claim, longestGraceOf(waiting, shop))
    this.#waiting = waiting
  }

  async start(): Promise<Outcome> {
    const { steps, policy, plan } = this.#waiting
    if (this.cancellation !== undefined) return this.#cancelledUnstarted()
    if (this.claim.state === 'lost') {
      if (policy.loss === 'fail') return this.#end(LOST)
      const ids = steps.map(({ id }) => id)
      await insist(this.shop, () => this.shop.store.reset(this.job.id, this.claim.run, ids))
    }
    let decoded: ExecutionPlan
    try {
      decoded = await decodePlan(plan, this.shop.resolve)
    } catch (error) {
      return this.refuse(messageOf(error))
    }
    if (this.cancellation !== undefined) return this.#cancelledUnstarted()
    const leaseMs = this.lease()
    if (leaseMs === undefined || this.isAbandoned) return this.giveBackUnstarted()
    const ended = this.shop.engine.runPlan({ ...decoded, leaseMs }, { onEvent: (event) => this.#event(event) })
    this.inEngine = ended
    this.isStarted = true
    // Steps can be cancelled from now on; what was asked before is asked of the engine again.
    const asked = this.asked(undefined)
    let result: PlanExecutionResult
    try {
      result = await ended
    } catch (error) {
      this.isStarted = false
      return this.refusedBy(error)
    } finally {
      await asked.catch(() => {})
    }
    return this.#ended(result)
  }

  #cancelledUnstarted(): Promise<Outcome> {
    return this.#end(unstarted(this.cancellation ?? {}))
  }

  protected override async asked(id: string | undefined): Promise<void> {
    await super.asked(id)
    const ids = id === undefined ? this.#waiting.steps.map((step) => step.id) : [id]
    if (!this.isStarted) return
    for (const step of ids) {
      if (step === this.job.id) continue
      const found = await this.shop.store.cancellation(step)
      if (found === undefined) continue
      this.#cancelled.add(step)
      this.cancelInEngine(step, found.reason)
    }
  }

  #event(event: ExecutionEvent | PlanEvent): Promise<void> | void {
    const { writer, shop } = this
    switch (event.eventType) {
      case 'stdout':
      case 'stderr': {
        const { eventType: stream, line: text, partial, unfinished = false, executionId } = event
        // What is not finished is told again.
        if (!unfinished) this.#lines.set(executionId, (this.#lines.get(executionId) ?? 0) + 1)
        return writer.line(executionId, { stream, text, partial, unfinished, at: Date.parse(event.timestamp) })
      }
      case 'plan_completed':
        return undefined
      case 'progress': {
        const { planId: _, ...told } = event
        return writer.event(null, withoutAbout(told))
      }
      case 'started':
        // What it is for is told by the end as well.
        shop.store.started(event.executionId, event.timestamp, event.command).catch(() => {})
        return writer.event(event.executionId, withoutAbout(event))
      case 'pending':
      case 'retrying':
        return writer.event(event.executionId, withoutAbout(event))
      default:
        return this.#stepEnded(event)
    }
  }

  #stepEnded({ executionId, result }: Terminal): void {
    this.writer.end(executionId, async () => {
      try {
        await this.settle(executionId, this.#storedStep(result), this.job.id)
      } catch {
        // The connections were closed; the plan is found to have been lost.
      }
    })
  }

  #storedStep(result: ExecutionResult): StoredResult {
    const waited = Math.max(this.claim.now - this.claim.submittedAt, 0)
    const isClosed = this.isAbandoned && result.status === 'cancelled' && !this.#cancelled.has(result.id)
    const closed = isClosed ? { ...CLOSED, success: false, cancelReason: null } : {}
    // The queue has codes of its own besides those of the engine.
    const more = { ...closed, queuedMs: result.queuedMs + waited } as Partial<ExecutionResult>
    return storedOf(result, this.#lines.get(result.id) ?? 0, more)
  }

  async #ended(result: PlanExecutionResult): Promise<Outcome> {
    await this.writer.flush()
    const isClosed = this.isAbandoned && this.cancellation === undefined && result.status === 'cancelled'
    const isLost = isClosed || result.results.some((step) => this.#lostWithLease(step))
    if (isLost && this.#waiting.policy.loss === 'rerun' && this.cancellation === undefined) return this.giveBack()
    const steps = result.results.map((step) => this.#storedStep(step))
    const stored = storedPlanOf(this.#about, isClosed ? 'failed' : result.status, steps, this.writer.lines)
    return this.settle(this.job.id, stored)
  }

  /** What waited for its turn when the lease of the plan ended is cancelled, and nobody had asked for that. */
  #lostWithLease({ id, status, errorCode }: ExecutionResult): boolean {
    return errorCode === 'LEASE_LOST' || (status === 'cancelled' && !this.#cancelled.has(id))
  }

  get #about() {
    const { id, plan } = this.#waiting
    return { id, description: String(plan['description'] ?? ''), submittedAt: this.claim.submittedAt }
  }

  protected refuse(problem: string): Promise<Outcome> {
    return this.#end({ status: 'failed', code: 'SPAWN_FAILED', error: problem })
  }

  /** Ends all steps that have not ended, and the plan. */
  async #end(ending: Ending): Promise<Outcome> {
    const ended: StoredResult[] = []
    for (const { id, step, command, metadata } of this.#waiting.steps) {
      const fields: Fields = { command, ...(await this.shop.store.about(id)) }
      const about = { ...unrunOf(id, fields), metadata, planId: this.job.id, step }
      const outcome = await this.settle(
        id,
        endedResult({ ...about, submittedAt: this.claim.submittedAt }, ending),
        this.job.id,
      )
      if (outcome.kind !== 'ended') return outcome
      // The end of one that ran was told by the worker that was lost, if that came to it.
      if (fields['told'] !== 'end') this.writer.end(id, async () => {})
      if (isExecution(outcome.stored)) ended.push(outcome.stored)
    }
    await this.writer.flush()
    return this.settle(this.job.id, storedPlanOf(this.#about, ending.status, ended, this.writer.lines))
  }
}

const isExecution = (stored: Stored): stored is StoredResult => stored.kind === 'execution'

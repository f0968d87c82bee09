import { messageOf } from '../errors'
import { insist } from '../redis/errors'
import { submissionsOf } from '../request/prepare'
import type { Claim, Claimed } from '../redis/store'
import type { Stored } from '../request/results'
import { isJobData } from '../request/wire'
import { ExecutionRun } from './execution-run'
import type { Taken } from './job-source'
import { PlanRun } from './plan-run'
import type { Outcome, Runner } from './run'
import { SpreadRun } from './spread-run'
import { count, leaseOf, renewalOf } from './workshop'
import type { Workshop } from './workshop'

/** Why a job fails that nobody has submitted as it is. */
const FOREIGN = 'not a request of this queue, as it was submitted to it'

/** Does what a job asks for: from the moment it was taken until it is done, in BullMQ as well. */
export class Handler {
  readonly #shop: Workshop

  constructor(shop: Workshop) {
    this.#shop = shop
  }

  async handle(job: Taken): Promise<void> {
    const { locks, running, lockDurationMs, engine, closed, warn } = this.#shop
    const leaseMs = leaseOf(lockDurationMs, engine.config.terminationGraceMs)
    let run: Runner | undefined
    const lock = {
      source: job.source,
      jobId: job.id,
      token: job.token,
      leaseMs,
      everyMs: renewalOf(leaseMs),
      renewed: (sentAt: number) => run?.renewed(sentAt),
      lost: () => run?.lost(),
    }
    locks.hold(lock, job.takenAt)
    try {
      if (!isJobData(job.data, { id: job.id, queue: job.source.name })) {
        return await job.fail(FOREIGN)
      }
      // A worker that was stopped gets its own job again; what it had started may not be gone yet.
      await running.get(job.id)?.over
      const claim = await this.#claim(job)
      if (claim === undefined) return await job.fail(FOREIGN)
      if (claim.state === 'finished') return await this.#finish(job, JSON.parse(claim.result) as Stored)
      if (this.#isEnding(job)) return await this.#giveBack(job)
      run = this.#runOf(job, claim)
      running.set(job.id, run)
      await this.#done(job, await run.whole())
    } catch (error) {
      // Else the connections were closed before it was done. The job is found when it has stalled.
      if (!closed.aborted) warn(`the job ${job.id} could not be done, and is left to stall: ${messageOf(error)}`)
    } finally {
      if (run !== undefined && running.get(job.id) === run) running.delete(job.id)
      locks.release(job.token)
    }
  }

  /** Nothing new is begun by a worker that ends what it has. What drives a plan goes on elsewhere in any case. */
  #isEnding({ data }: Taken): boolean {
    const { closing, abandoned } = this.#shop
    return data.kind === 'plan' && data.spread ? closing.aborted : abandoned.aborted
  }

  async #giveBack(job: Taken): Promise<void> {
    const { store } = this.#shop
    await insist(this.#shop, () => store.unclaim(job.id, job.token))
    await job.giveBack()
  }

  #runOf(job: Taken, claim: Claimed): Runner {
    const { data } = job
    if (data.kind === 'execution') return new ExecutionRun(this.#shop, job, claim, data)
    if (data.spread) return new SpreadRun(this.#shop.driving, job, claim, data)
    return new PlanRun(this.#shop, job, claim, data)
  }

  /** Nothing: what waits under one of its ids is not of this job. */
  async #claim(job: Taken): Promise<Exclude<Claim, { state: 'unknown' }> | undefined> {
    const { store } = this.#shop
    const { data } = job
    for (;;) {
      const claim = await insist(this.#shop, () => store.claim(job.id, job.token))
      if (claim.state === 'unknown') {
        // Whoever submitted it has died before it was accepted, or Redis has lost what it knew last.
        const again = await insist(this.#shop, () => store.submit(...submissionsOf(data, store.names)))
        if (again.state === 'other') return undefined
        continue
      }
      // What is run is kept, though whoever submitted it has died before it was accepted.
      if (data.kind === 'plan') await insist(this.#shop, () => store.accept(data.steps.map(({ id }) => id)))
      return claim
    }
  }

  async #done(job: Taken, outcome: Outcome): Promise<void> {
    if (outcome.kind !== 'ended') return
    if (outcome.isOwn) count(this.#shop.counts, isLost(outcome.stored) ? 'lost' : statusOf(outcome.stored))
    await this.#finish(job, outcome.stored)
  }

  /** What looks at the queue is told the truth. */
  async #finish(job: Taken, { result }: Stored): Promise<void> {
    try {
      if (result.status === 'completed') await job.complete(summaryOf(result))
      else await job.fail('error' in result && result.error !== null ? result.error : result.status)
    } catch {
      // The lock was lost: whoever has the job sees that it has ended.
    }
  }
}

const statusOf = ({ result }: Stored) =>
  result.status === 'running' || result.status === 'pending' ? 'failed' : result.status

const isLost = ({ result }: Stored): boolean =>
  'errorCode' in result && ['WORKER_LOST', 'LEASE_LOST'].includes(String(result.errorCode))

function summaryOf(result: Stored['result']): object {
  if (!('exitCode' in result)) return { status: result.status, durationMs: result.totalDurationMs, stats: result.stats }
  const { status, exitCode, signal, errorCode, durationMs, error } = result
  return { status, exitCode, signal, errorCode, durationMs, error }
}

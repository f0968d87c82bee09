import { ExecutionError } from '@escher-dbai/execution-engine'
import { Queue } from 'bullmq'
import type { QueueOptions, Telemetry } from 'bullmq'
import type { Store } from '../redis/store'
import { endedResult, storedPlanOf, unstarted } from '../request/results'
import { submissionsOf } from '../request/prepare'
import type { Prepared } from '../request/prepare'
import type { JobData } from '../request/wire'
import type { Cancellation, Results, Submitted } from '../redis/store'

/** What became of a submission. */
export interface Accepted {
  /** When it was submitted first, in milliseconds since 1970. */
  readonly submittedAt: number
  /** What was known of it before. */
  readonly state: Exclude<Submitted['state'], 'other'>
}

/** Adds jobs to the queues of BullMQ, and to what is known of executions. */
export class Submitter {
  readonly #store: Store
  readonly #options: QueueOptions
  readonly #queues = new Map<string, Queue>()

  constructor(store: Store, telemetry: Telemetry | undefined) {
    this.#store = store
    const own = telemetry === undefined ? {} : { telemetry }
    // BullMQ takes each client of `ioredis`, whatever copy of its types describes it.
    this.#options = {
      connection: store.client,
      prefix: store.names.bullmq,
      skipVersionCheck: true,
      ...own,
    } as QueueOptions
  }

  /**
   * Submits what was prepared; what is known already is not submitted again. `before` is called before a worker can take
   * it. Resolves once Redis has acknowledged all of it.
   */
  async submit(prepared: Prepared, { before, cancelled }: Submission = {}): Promise<Accepted> {
    const { data, labels } = prepared
    const store = this.#store
    const submitted = await store.submit(...submissionsOf(data, store.names), labels)
    if (submitted.state === 'other') throw taken(data, submitted.id)
    const { state, submittedAt } = submitted
    if (cancelled !== undefined && (state === 'new' || state === 'known')) {
      await this.#store.cancel(data.id, cancelled, unrunOf(data, submittedAt, cancelled))
    } else if (state === 'new' || state === 'known') {
      await before?.()
      await this.#add(prepared)
    }
    const steps = data.kind === 'plan' ? data.steps.map(({ id }) => id) : []
    await this.#store.accept([data.id, ...steps])
    return { submittedAt, state }
  }

  /** What waits in no queue is driven by who submits it. */
  async #add({ data, priority, delayMs }: Prepared): Promise<void> {
    if (data.queue === '') return
    const { keep, most } = data.policy
    const removed = { age: keep, count: most }
    await this.#queue(data.queue).add(data.kind, data, {
      jobId: data.id,
      attempts: 1,
      priority,
      delay: delayMs,
      removeOnComplete: removed,
      removeOnFail: removed,
    })
  }

  /** Takes a job that nobody will run out of its queue. */
  async remove(queue: string, id: string): Promise<void> {
    await this.#queue(queue).remove(id)
  }

  #queue(name: string): Queue {
    const known = this.#queues.get(name)
    if (known !== undefined) return known
    const queue = new Queue(name, this.#options)
    // Who waits for an answer is told of the connection's errors.
    queue.on('error', () => {})
    this.#queues.set(name, queue)
    return queue
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#queues.values()].map((queue) => queue.close()))
  }
}

function taken(data: JobData, id: string): ExecutionError {
  const step = data.kind === 'plan' ? data.steps.find((note) => note.id === id) : undefined
  const message =
    step === undefined
      ? `id: expected one that is not taken, found that of another request, "${id}"`
      : `the id of step ${JSON.stringify(step.step)} is that of another execution, "${id}"`
  return new ExecutionError('DUPLICATE_ID', message, { field: 'id', executionId: id })
}

export interface Submission {
  readonly before?: (() => Promise<void>) | undefined
  /** It was cancelled before it was submitted: it is accepted, and never started. */
  readonly cancelled?: Cancellation | undefined
}

/** How it has ended, and its steps, when it was cancelled before a worker had claimed it. */
export function unrunOf(data: JobData, submittedAt: number, asked: Cancellation): Results {
  const ending = unstarted(asked)
  const { status } = ending
  const common = { submittedAt, startedAt: null }
  if (data.kind === 'execution') {
    return { status, own: JSON.stringify(endedResult({ ...data, ...common }, ending)), steps: [] }
  }
  const steps = data.steps.map((note) => endedResult({ ...note, planId: data.id, ...common }, ending))
  const about = { id: data.id, description: String(data.plan['description'] ?? ''), submittedAt }
  return {
    status,
    own: JSON.stringify(storedPlanOf(about, status, steps)),
    steps: steps.map((stored) => [stored.result.id, JSON.stringify(stored)] as const),
  }
}

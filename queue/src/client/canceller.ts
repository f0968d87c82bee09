import { ExecutionError } from '@escher-dbai/execution-engine'
import { notFound } from '../errors'
import type { Cancellation, Fields, Results, Store } from '../redis/store'
import { endedResult, storedPlanOf, unstarted } from '../request/results'
import type { StoredResult, Unrun } from '../request/results'
import { aboutOf } from './reading'
import type { Submitter } from './submitter'

/** What is known of an execution, as its result needs it. */
export function unrunOf(id: string, fields: Fields): Unrun {
  const { metadata, planId, step } = aboutOf(id, fields)
  return {
    id,
    metadata,
    planId,
    step,
    command: fields['command'] ?? '',
    submittedAt: Number(fields['submittedAt'] ?? 0),
    startedAt: fields['startedAt'] ?? null,
  }
}

/** Cancels what waits at once, and asks the worker of what runs. */
export class Canceller {
  readonly #store: Store
  readonly #submitter: Submitter

  constructor(store: Store, submitter: Submitter) {
    this.#store = store
    this.#submitter = submitter
  }

  /**
   * Answers whether its end is still to come, and who makes that: a worker, a submitter who drives the plan, or nobody, as who
   * drove it is gone.
   */
  async cancel(id: string, asked: Cancellation): Promise<'ended' | 'asked' | 'driven' | 'left'> {
    const fields = await this.#store.about(id)
    if (fields === undefined) throw notFound(id)
    const results = await this.#results(id, fields, asked)
    const state = await this.#store.cancel(id, asked, results)
    if (state === 'unknown') throw notFound(id)
    if (state === 'finished') {
      throw new ExecutionError('ALREADY_FINISHED', `the execution or plan ${id} has already finished`, {
        executionId: id,
      })
    }
    // A worker that gets the job all the same sees that it has ended.
    const queue = fields['queue']
    if (state === 'settled' && queue !== undefined) await this.#submitter.remove(queue, id).catch(() => {})
    return state === 'settled' ? 'ended' : state
  }

  async #results(id: string, fields: Fields, asked: Cancellation): Promise<Results> {
    const ending = unstarted(asked)
    const { status } = ending
    if (fields['kind'] !== 'plan') {
      return { status, own: JSON.stringify(endedResult(unrunOf(id, fields), ending)), steps: [] }
    }
    const steps = await this.#steps(fields, (about) => endedResult(about, ending))
    const about = { id, description: fields['description'] ?? '', submittedAt: Number(fields['submittedAt'] ?? 0) }
    return {
      status,
      own: JSON.stringify(storedPlanOf(about, status, steps)),
      steps: steps.map((stored) => [stored.result.id, JSON.stringify(stored)] as const),
    }
  }

  async #steps(fields: Fields, make: (about: Unrun) => StoredResult): Promise<StoredResult[]> {
    const ids = fields['steps'] === undefined || fields['steps'] === '' ? [] : fields['steps'].split(',')
    const made = []
    for (const id of ids) made.push(make(unrunOf(id, (await this.#store.about(id)) ?? {})))
    return made
  }
}

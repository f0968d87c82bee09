import type { ExecutionStatus } from '@escher-dbai/execution-engine'
import type { Names } from '../names'
import type { Client } from './connections'
import { listOf, numberOf, script, textOf } from './scripts'

/** What is known of an execution or a plan, as it is stored. */
export type Fields = Readonly<Record<string, string>>

/** An execution, a plan or a step of one, to be submitted. */
export interface Submission {
  readonly id: string
  readonly digest: string
  readonly fields: Fields
}

/** What became of a submission. */
export type Submitted =
  | { readonly state: 'new' | 'known' | 'running' | 'finished'; readonly submittedAt: number }
  | { readonly state: 'other'; readonly id: string }

/** A job that a worker has taken. */
export type Claim = { readonly state: 'unknown' } | { readonly state: 'finished'; readonly result: string } | Claimed

export interface Claimed {
  /** `lost`: another worker had it before, and did not end it. */
  readonly state: 'run' | 'lost'
  /** The number of the run, from 1 on. */
  readonly run: number
  /** How many lines there are already, of earlier runs. */
  readonly lines: number
  readonly submittedAt: number
  readonly now: number
  /** Why it is to be cancelled, as JSON; empty: it is not. */
  readonly cancel: string
  readonly loss: string
}

/** The end of an execution or a plan, as it is stored. */
export interface End {
  readonly id: string
  readonly run: number
  /** As JSON. */
  readonly result: string
  readonly status: ExecutionStatus
  readonly durationMs: number
  /** How many lines it has printed. */
  readonly lines: number
  /** The plan with which it is run, if that has a stream for all of it. */
  readonly within?: string | undefined
}

/** Why something is to end before its time. */
export interface Cancellation {
  readonly reason?: string | undefined
  /** In words, which time is over, if that is why. */
  readonly timedOut?: string | undefined
}

/** How an execution or a plan has ended that was never started, as JSON. */
export interface Results {
  readonly status: ExecutionStatus
  readonly own: string
  readonly steps: readonly (readonly [id: string, result: string])[]
}

/** The keys of a queue, changed by nothing but the scripts. */
export class Store {
  constructor(
    readonly client: Client,
    readonly names: Names,
  ) {}

  /** Nothing is submitted if one of the ids, of which it answers, is another's. */
  async submit(given: Submission, steps: readonly Submission[] = [], labels = ''): Promise<Submitted> {
    const { about, result, index, labels: sets, news, base } = this.names
    const keys = [about(given.id), result(given.id), index, sets]
    const all: (string | number)[] = []
    for (const { id, digest, fields } of [given, ...steps]) {
      const { queue = '' } = fields
      const words = Object.entries(fields).flat()
      all.push(id, digest, queue === '' ? '' : this.names.jobs(queue), words.length, ...words)
    }
    const [state, more] = listOf(await script(this.client, 'SUBMIT', keys, [base, labels, news, ...all]))
    if (state === 'other') return { state, id: textOf(more) }
    return { state: textOf(state) as 'new', submittedAt: numberOf(more) }
  }

  async accept(ids: readonly string[]): Promise<void> {
    const { about, result } = this.names
    for (let i = 0; i < ids.length; i += 500) {
      const keys = ids.slice(i, i + 500).flatMap((id) => [about(id), result(id)])
      await script(this.client, 'ACCEPT', keys, [])
    }
  }

  /** `presentMs`: no lock says that the caller is there, but {@link Store.present}. */
  async claim(id: string, token: string, presentMs?: number): Promise<Claim> {
    const keys = [this.names.about(id), this.names.result(id)]
    const answer = listOf(await script(this.client, 'CLAIM', keys, [token, presentMs ?? '']))
    const state = textOf(answer[0])
    if (state === 'finished') return { state, result: textOf(answer[1]) }
    if (state !== 'run' && state !== 'lost') return { state: 'unknown' }
    const [run, lines, submittedAt, now] = answer.slice(1, 5).map(numberOf) as [number, number, number, number]
    return { state, run, lines, submittedAt, now, cancel: textOf(answer[5]), loss: textOf(answer[6]) }
  }

  /** Whoever drives a plan says that it is there. */
  async present(id: string, token: string, presentMs: number): Promise<void> {
    await script(this.client, 'PRESENT', [this.names.about(id)], [token, presentMs])
  }

  async unclaim(id: string, token: string): Promise<void> {
    await script(this.client, 'UNCLAIM', [this.names.about(id)], [token])
  }

  /** The steps of a plan are run again with it. */
  async reset(planId: string, run: number, steps: readonly string[]): Promise<void> {
    const { about, result } = this.names
    for (let i = 0; i < steps.length; i += 500) {
      const keys = steps.slice(i, i + 500).flatMap((id) => [about(id), result(id)])
      await script(this.client, 'RESET', [about(planId), ...keys], [run])
    }
  }

  /** Why it is to be cancelled, if it is. */
  async cancellation(id: string): Promise<Cancellation | undefined> {
    const json = await this.client.hget(this.names.about(id), 'cancel')
    return json === null ? undefined : (JSON.parse(json) as Cancellation)
  }

  /** How often a cancel was asked for, of an execution that runs, or of a step of a plan that does. */
  async asks(id: string): Promise<number> {
    return Number((await this.client.hget(this.names.about(id), 'asks')) ?? 0)
  }

  /** What is known of a step, once its request is. */
  async describe(id: string, command: string, metadata: object): Promise<void> {
    await this.client.hset(this.names.about(id), 'command', command, 'metadata', JSON.stringify(metadata))
  }

  async started(id: string, startedAt: string, command: string): Promise<void> {
    await script(this.client, 'STARTED', [this.names.about(id)], [startedAt, command])
  }

  /** Answers `lost` if the run is no longer the caller's, and the result there is if somebody else was first. */
  async settle(end: End): Promise<{ state: 'settled' | 'lost' } | { state: 'known'; result: string }> {
    const { about, lines, result, base } = this.names
    const { id, run, status, durationMs } = end
    const keys = [about(id), lines(id), result(id), about(end.within ?? id)]
    const args = [base, id, run, end.result, status, durationMs, end.lines]
    const answer = listOf(await script(this.client, 'SETTLED', keys, args))
    const state = textOf(answer[0])
    if (state === 'known') return { state, result: textOf(answer[1]) }
    return { state: state === 'settled' ? 'settled' : 'lost' }
  }

  /** `results` are those of the execution and, of a plan, of its steps, if no worker has claimed it. */
  async cancel(
    id: string,
    asked: Cancellation,
    results: Results,
  ): Promise<'finished' | 'unknown' | 'settled' | 'asked' | 'driven' | 'left'> {
    const { about, lines, result: resultKey, base } = this.names
    const keys = [about(id), lines(id), resultKey(id)]
    const args = [base, id, JSON.stringify(asked), results.own, results.status, ...results.steps.flat()]
    return textOf(await script(this.client, 'CANCEL', keys, args)) as 'finished'
  }

  /** Says what a reader has taken, and that it is there. Answers the last entry there is. */
  async acknowledge(stream: string, reader: string, entry: string, presentMs: number): Promise<string> {
    const { readers, lines, control } = this.names
    const args = [reader, entry, presentMs, control(stream)]
    return textOf(await script(this.client, 'ACK', [readers(stream), lines(stream)], args))
  }

  async about(id: string): Promise<Fields | undefined> {
    const found = await this.client.hgetall(this.names.about(id))
    return Object.keys(found).length === 0 ? undefined : found
  }

  async result(id: string): Promise<string | undefined> {
    return (await this.client.get(this.names.result(id))) ?? undefined
  }
}

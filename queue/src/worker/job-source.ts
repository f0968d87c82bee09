import { setTimeout as delay } from 'node:timers/promises'
import { randomUUID } from 'node:crypto'
import { SpanKind, UnrecoverableError, Worker } from 'bullmq'
import type { Job, WorkerOptions } from 'bullmq'
import type { Client } from '../redis/connections'
import type { JobData } from '../request/wire'
import type { Slots } from './slots'

/** How long it waits for a job before it asks again, in seconds, as BullMQ does. */
const BLOCK_SECS = 5
const LONGEST_BLOCK_SECS = 10
/** How long it waits for a job that is just being taken when it is stopped, in milliseconds. */
const STOP_MS = 2000
/** How long after an error it asks again, in milliseconds. */
const RETRY_MS = 1000

/** A job that was taken. */
export interface Taken {
  readonly id: string
  readonly data: JobData
  readonly token: string
  /** Before its lock began, by `performance.now()`. */
  readonly takenAt: number
  readonly source: JobSource
  /** In BullMQ it is done, too. */
  complete(value: unknown): Promise<void>
  fail(error: string): Promise<void>
  /** It waits again, before others. */
  giveBack(): Promise<void>
}

/** For which slots jobs are taken, and who gets them. */
export interface Takes {
  readonly slots: Slots
  readonly onJob: (job: Taken) => Promise<void>
}

/**
 * Takes the jobs of one queue of BullMQ: those of one set of labels, one for each slot that there is. BullMQ's own loop would
 * take at least one job for each queue, whether or not there is a slot.
 */
export class JobSource extends Worker<JobData> {
  readonly #client: Client
  readonly #slots: Slots
  readonly #onJob: (job: Taken) => Promise<void>
  readonly #stop = new AbortController()
  #looping: Promise<void> | undefined

  constructor(name: string, client: Client, options: Omit<WorkerOptions, 'connection'>, { slots, onJob }: Takes) {
    super(name, null, {
      ...options,
      // BullMQ takes each client of `ioredis`, whatever copy of its types describes it.
      connection: client as unknown as WorkerOptions['connection'],
      autorun: false,
      skipLockRenewal: true,
      // What becomes of a job whose worker was lost is not BullMQ's to say.
      maxStalledCount: Number.MAX_SAFE_INTEGER,
    })
    this.#client = client
    this.#slots = slots
    this.#onJob = onJob
    // Whoever waits sees it; the connection is tried again.
    this.on('error', () => {})
  }

  /** Resolves once it takes jobs. */
  async start(): Promise<void> {
    await this.waitUntilReady()
    if (this.#stop.signal.aborted) return
    void this.startStalledCheckTimer()
    this.#looping = this.#loop()
  }

  /** Takes no more jobs. Resolves once none is being taken. */
  async stop(): Promise<void> {
    this.#stop.abort()
    // It may wait for a job, on a connection of its own. One that is not there is not to be waited for.
    this.backend.disconnectBlocking(false).catch(() => {})
    // A Redis that does not answer is not waited for: a job that it has given to nobody is found when it has stalled.
    await Promise.race([this.#looping, delay(STOP_MS, undefined, { ref: false })])
  }

  async #loop(): Promise<void> {
    const { signal } = this.#stop
    while (!signal.aborted) {
      const slot = await this.#slots.take()
      if (slot === undefined) return
      try {
        const [blockSecs, limitMs] = await this.#next(slot)
        if (signal.aborted) return
        if (limitMs > 0) await delay(limitMs, undefined, { signal })
        else if (blockSecs > 0) await this.#wait(blockSecs)
      } catch {
        slot()
        if (!signal.aborted) await delay(RETRY_MS, undefined, { signal }).catch(() => {})
      }
    }
  }

  /** Takes a job, if there is one, and says for how long to wait for another. */
  async #next(slot: () => void): Promise<[blockSecs: number, limitMs: number]> {
    const token = randomUUID()
    const takenAt = performance.now()
    const [data, id, limitMs, delayUntil] = (await this.backend.moveToActive(token, this.opts.name)) as Found
    const job = await this.nextJobFromJobData(data, id, token)
    if (job?.id !== undefined) {
      const taken = this.#taken(job, job.id, token, takenAt)
      const { telemetry } = job.opts
      const process = (): Promise<void> => this.#onJob(taken)
      // What has come since it was stopped is for others.
      const whole = this.#stop.signal.aborted
        ? taken.giveBack()
        : this.trace(SpanKind.CONSUMER, 'process', this.name, process, telemetry?.metadata)
      // What telemetry throws is its own; a job that cannot be given back is found when it has stalled.
      void whole.catch(() => {}).finally(slot)
      return [0, 0]
    }
    slot()
    if (limitMs > 0) return [0, Math.min(limitMs, LONGEST_BLOCK_SECS * 1000)]
    if (!(delayUntil > 0)) return [BLOCK_SECS, 0]
    const secs = (delayUntil - Date.now()) / 1000
    return [Math.min(Math.max(secs, this.minimumBlockTimeout), LONGEST_BLOCK_SECS), 0]
  }

  async #wait(secs: number): Promise<void> {
    let marker
    try {
      marker = await this.backend.waitForJob(secs)
    } catch (error) {
      if (this.#stop.signal.aborted) return
      await this.backend.reconnectBlocking()
      throw error
    }
    // One who was woken for nothing wakes another.
    if (marker !== null && this.#slots.isFull) await this.#mark(marker)
  }

  async #mark({ member, score }: { readonly member: string; readonly score: number }): Promise<void> {
    await this.#client.zadd(this.toKey('marker'), score, member)
  }

  #taken(job: Job<JobData>, id: string, token: string, takenAt: number): Taken {
    return {
      id,
      token,
      takenAt,
      data: job.data,
      source: this,
      complete: async (value) => void (await job.moveToCompleted(value, token, false)),
      fail: async (message) => {
        const error = new UnrecoverableError(message)
        // Where it was made says nothing to who looks at the job.
        error.stack = message
        await job.moveToFailed(error, token, false)
      },
      giveBack: async () => {
        await job.moveToWait(token)
        // BullMQ wakes nobody for what waits by its priority.
        await this.#mark({ member: '0', score: 0 })
      },
    }
  }
}

type Found = [data: never, id: string | undefined, limitMs: number, delayUntil: number]

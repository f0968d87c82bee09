import type { WorkerOptions } from 'bullmq'
import type { Bells } from '../client/bells'
import type { Names } from '../names'
import type { Client } from '../redis/connections'
import { JobSource } from './job-source'
import type { Takes } from './job-source'

interface SourcesOptions {
  readonly client: Client
  readonly bells: Bells
  readonly names: Names
  /** Those of the worker. */
  readonly labels: readonly string[]
  readonly takes: Takes
  /** For plans that are only driven. */
  readonly drives: Takes
  readonly options: Omit<WorkerOptions, 'connection'>
}

/** The queues from which a worker takes jobs: one for each set of labels that somebody has asked for, and that it has. */
export class Sources {
  readonly #options: SourcesOptions
  readonly #sources = new Map<string, JobSource>()
  #leave: () => void = () => {}
  #isStopped = false

  constructor(options: SourcesOptions) {
    this.#options = options
  }

  /** Resolves once jobs are taken from all that are known. */
  async start(): Promise<void> {
    const { bells, names } = this.#options
    const { takes, drives } = this.#options
    await Promise.all([this.#open(names.queueOf([]), takes), this.#open(names.plans, drives)])
    this.#leave()
    this.#leave = await bells.listen(names.news, () => void this.#look().catch(() => {}))
    await this.#look()
  }

  /** Opens what is new. What cannot be asked now is asked when the connection is back. */
  async #look(): Promise<void> {
    const { client, names, takes } = this.#options
    const own = new Set(this.#options.labels)
    const sets = (await client.smembers(names.labels)).map((set) => set.split(','))
    const fitting = sets.filter((set) => set.every((label) => own.has(label)))
    await Promise.all(fitting.map((set) => this.#open(names.queueOf(set), takes)))
  }

  async #open(name: string, takes: Takes): Promise<void> {
    const { client, drives } = this.#options
    const { limiter, ...unlimited } = this.#options.options
    // What limits commands does not limit who only waits for them.
    const options = takes === drives || limiter === undefined ? unlimited : { ...unlimited, limiter }
    if (this.#isStopped || this.#sources.has(name)) return
    const source = new JobSource(name, client, options, takes)
    this.#sources.set(name, source)
    try {
      await source.start()
    } catch (error) {
      // It may be opened again.
      this.#sources.delete(name)
      void source.close(true).catch(() => {})
      throw error
    }
  }

  /** Takes no more jobs. */
  async stop(): Promise<void> {
    this.#isStopped = true
    this.#leave()
    await Promise.all([...this.#sources.values()].map((source) => source.stop()))
  }

  async close(): Promise<void> {
    await Promise.allSettled([...this.#sources.values()].map((source) => source.close(true)))
  }
}

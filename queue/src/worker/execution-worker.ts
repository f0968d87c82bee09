import { setTimeout as delay } from 'node:timers/promises'
import { ExecutionEngine, ExecutionError } from '@escher-dbai/execution-engine'
import type { ExecutionConfig } from '@escher-dbai/execution-engine'
import { Bells } from '../client/bells'
import { Canceller } from '../client/canceller'
import { Submitter } from '../client/submitter'
import { describe, emitWarning, messageOf, refused } from '../errors'
import { checkedCount, checkedKeys, checkedLabels, checkedName, Names } from '../names'
import type { ExecutionWorkerOptions, WorkerCounts, WorkerHealth } from '../options'
import { Connections } from '../redis/connections'
import { insist } from '../redis/errors'
import { defineScripts } from '../redis/scripts'
import { Store } from '../redis/store'
import { Handler } from './handler'
import { Locks } from './locks'
import { Slots } from './slots'
import { Sources } from './sources'
import { SpreadRun } from './spread-run'
import { warningsOf } from './warnings'
import { leaseOf, SHORTEST_LEASE_MS } from './workshop'
import type { Counts, Workshop } from './workshop'

const OPTIONS = [
  'connection',
  'name',
  'prefix',
  'telemetry',
  'engine',
  'labels',
  'concurrency',
  'lockDurationMs',
  'stalledIntervalMs',
  'resolveSecret',
  'limiter',
  'onWarning',
]

/** How many plans whose steps are spread a worker drives at once: that takes no slot, and little else. */
const MOST_DRIVEN = 1000

/** How long Redis may take for the ends of what was ended by force, in milliseconds. */
const PATIENCE_MS = 5000

/** How long a probe waits for Redis, in milliseconds. */
const PROBE_MS = 2000

/**
 * Takes executions from the queue, and runs them with an engine of this process. It takes work at once.
 *
 * A command is ended before another worker may get its job: by a lease, which the engine keeps whatever becomes of this
 * process's event loop and of Redis. Nothing else should run on the event loop of a worker all the same.
 *
 * @example
 * ```ts
 * import { ExecutionWorker } from '@escher-dbai/execution-queue'
 *
 * const worker = new ExecutionWorker({ connection: { host: '127.0.0.1', port: 6379 }, labels: ['gpu'] })
 * await worker.ready()
 * process.once('SIGTERM', () => void worker.close())
 * ```
 */
export class ExecutionWorker implements AsyncDisposable {
  readonly #connections: Connections
  readonly #shop: Workshop
  readonly #slots: Slots
  readonly #drives = new Slots(MOST_DRIVEN)
  readonly #submitter: Submitter
  readonly #sources: Sources
  readonly #isOwnEngine: boolean
  readonly #closingBegun = new AbortController()
  readonly #abandoned = new AbortController()
  readonly #closed = new AbortController()
  readonly #counts: Counts = { completed: 0, failed: 0, cancelled: 0, timeout: 0, lost: 0 }
  readonly #warn: (message: string) => void
  readonly #ready: Promise<void>
  readonly #release: () => void
  #closing: Promise<void> | undefined
  /** Why it could not begin to take work. */
  #problem: string | undefined

  /**
   * Connects in the background.
   *
   * @throws `ExecutionError` `INVALID_CONFIG`, with the `field`.
   */
  constructor(options: ExecutionWorkerOptions) {
    checkedKeys(options, OPTIONS)
    const names = new Names(
      checkedName('prefix', options.prefix, 'escher'),
      checkedName('name', options.name, 'executions'),
    )
    const labels = checkedLabels(options.labels, 'INVALID_CONFIG')
    const lockDurationMs = checkedCount('lockDurationMs', options.lockDurationMs, 60_000)
    const stalledIntervalMs = checkedCount('stalledIntervalMs', options.stalledIntervalMs, 30_000)
    const concurrency = checkedCount('concurrency', options.concurrency, Number.MAX_SAFE_INTEGER)
    checkedCallback('resolveSecret', options.resolveSecret)
    checkedCallback('onWarning', options.onWarning)
    this.#warn = options.onWarning ?? emitWarning
    this.#connections = new Connections(options.connection)
    this.#isOwnEngine = !isEngine(options.engine)
    const engine = isEngine(options.engine) ? options.engine : engineOf(options.engine)
    checkLease(lockDurationMs, engine)
    this.#slots = new Slots(Math.min(concurrency, engine.config.maxConcurrentExecutions))

    const client = this.#connections.open()
    defineScripts(client)
    const lines = this.#connections.open()
    defineScripts(lines)
    const bells = new Bells(this.#connections.open('listening'))
    const store = new Store(client, names)
    this.#submitter = new Submitter(store, options.telemetry)
    const canceller = new Canceller(store, this.#submitter)
    this.#shop = {
      engine,
      names,
      lines,
      bells,
      store,
      driving: { source: { store, bells }, lines, submitter: this.#submitter, canceller, warn: this.#warn },
      locks: new Locks(lockDurationMs),
      resolve: options.resolveSecret,
      lockDurationMs,
      counts: this.#counts,
      running: new Map(),
      closing: this.#closingBegun.signal,
      abandoned: this.#abandoned.signal,
      closed: this.#closed.signal,
      warn: this.#warn,
      onShutDown: () => void this.#engineShutDown(),
    }
    const handler = new Handler(this.#shop)
    const { telemetry, limiter } = options
    this.#sources = new Sources({
      client,
      bells,
      names,
      labels,
      takes: { slots: this.#slots, onJob: (job) => handler.handle(job) },
      drives: { slots: this.#drives, onJob: (job) => handler.handle(job) },
      options: {
        prefix: names.bullmq,
        lockDuration: lockDurationMs,
        stalledInterval: stalledIntervalMs,
        ...(telemetry === undefined ? {} : { telemetry }),
        ...(limiter === undefined ? {} : { limiter }),
      },
    })
    // A worker is there to wait for work.
    this.#release = this.#connections.hold()
    this.#ready = this.#start()
    // Whoever asks for it is told.
    this.#ready.catch(() => {})
  }

  async #start(): Promise<void> {
    const { closed } = this.#shop
    const early = new Promise<never>((_, reject) => {
      const refuse = () => reject(new ExecutionError('SHUT_DOWN', 'the worker was closed before it took work'))
      closed.addEventListener('abort', refuse, { once: true })
    })
    await Promise.race([this.#begin(), early])
    try {
      for (const warning of await warningsOf(this.#shop.store.client)) this.#warn(warning)
    } catch {
      // A Redis that does not tell is none of which something is known.
    }
  }

  /** Asks for work until it may: what it needs of Redis may be missing for now. */
  async #begin(): Promise<void> {
    const warn = (): void => {}
    await insist({ closed: this.#closed.signal, warn }, async () => {
      try {
        await this.#sources.start()
        this.#problem = undefined
      } catch (error) {
        const problem = `the worker cannot take work: ${messageOf(error)}`
        if (problem !== this.#problem) this.#warn(problem)
        this.#problem = problem
        throw error
      }
    })
  }

  /** Resolves once it takes work. Rejects with `SHUT_DOWN` if it was closed before. */
  ready(): Promise<void> {
    return this.#ready
  }

  /** How many executions it runs, and how those that it ran have ended; a plan counts as one. */
  get counts(): WorkerCounts {
    return { running: this.#shop.running.size, ...this.#counts }
  }

  /** Whether it can do its work. */
  async isHealthy(): Promise<boolean> {
    return (await this.health()).healthy
  }

  /** Whether it can do its work, and what is wrong if not. */
  async health(): Promise<WorkerHealth> {
    const renewals = this.#shop.locks.isHealthy
    const problem = await this.#redisProblem()
    const redis = problem === undefined
    const isOpen = this.#closing === undefined
    const wrong = [
      ...(isOpen ? [] : ['the worker was closed']),
      ...(redis ? [] : [problem]),
      ...(this.#problem === undefined ? [] : [this.#problem]),
      ...(renewals ? [] : ['locks of running executions were not renewed in time']),
    ]
    return { healthy: wrong.length === 0, redis, renewals, problem: wrong.length === 0 ? null : wrong.join('; ') }
  }

  async #redisProblem(): Promise<string | undefined> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<string>((resolve) => {
      timer = setTimeout(() => {
        const reason = this.#connections.lastError?.message
        resolve(`Redis did not answer within ${PROBE_MS} ms${reason ? `: ${reason}` : ''}`)
      }, PROBE_MS)
    })
    try {
      return await Promise.race([this.#shop.store.client.ping().then(() => undefined), late])
    } catch (error) {
      return `Redis could not be asked: ${messageOf(error)}`
    } finally {
      clearTimeout(timer)
    }
  }

  /**
   * Takes no more work, and resolves once nothing of it is left. With `drain` (default) it waits for what runs; else that is
   * cancelled, and counts as lost with its worker: it has failed, with `WORKER_LOST`, or is run again elsewhere, as its request
   * says. Calling it again with `drain: false` ends what the first call waits for.
   *
   * Where Redis cannot be reached, it waits until it can; with `drain: false` for a few seconds after the last command has
   * ended. What could not be written then has been lost with its worker.
   */
  async close({ drain = true }: { readonly drain?: boolean | undefined } = {}): Promise<void> {
    this.#closing ??= this.#close()
    if (!drain && !this.#abandoned.signal.aborted) {
      this.#abandoned.abort()
      for (const run of this.#shop.running.values()) run.abandon()
    }
    await this.#closing
  }

  async #close(): Promise<void> {
    this.#closingBegun.abort()
    this.#slots.close()
    this.#drives.close()
    await Promise.race([this.#done(), this.#outOfPatience()])
    // What waits for Redis is rejected.
    this.#closed.abort()
    this.#connections.close()
    await Promise.all([this.#sources.close(), this.#submitter.close()])
    this.#release()
    if (this.#isOwnEngine) await this.#shop.engine.shutdown()
  }

  /** Resolves once nothing is left of what was taken. */
  async #done(): Promise<void> {
    // Another worker goes on with these; their steps may run for long.
    for (const run of this.#shop.running.values()) if (run instanceof SpreadRun) run.abandon()
    await this.#sources.stop()
    await Promise.all([this.#slots.idle(), this.#drives.idle()])
  }

  /** Resolves once what was abandoned has ended, and Redis had the time to be told. What it was not told, it finds stalled. */
  async #outOfPatience(): Promise<void> {
    const { signal } = this.#abandoned
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
    await Promise.all([...this.#shop.running.values()].map((run) => run.stopped()))
    await delay(PATIENCE_MS, undefined, { ref: false })
  }

  /** The same as {@link ExecutionWorker.close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #engineShutDown(): Promise<void> {
    if (this.#closing === undefined) this.#warn('the engine of the worker was shut down: the worker is closed')
    return this.close()
  }
}

/** Also one of another copy of the package. */
const isEngine = (value: ExecutionWorkerOptions['engine']): value is ExecutionEngine =>
  value instanceof ExecutionEngine ||
  (typeof value === 'object' && value !== null && 'renewLease' in value && 'runPlan' in value)

/** One of the worker's own. What a plan has taken more than its slot, waits in the engine. */
function engineOf(config: ExecutionConfig | undefined): ExecutionEngine {
  if (config !== undefined && (typeof config !== 'object' || config === null)) {
    throw refused('engine', 'a configuration or an ExecutionEngine', describe(config), 'INVALID_CONFIG')
  }
  const own = new ExecutionEngine(config)
  const { maxQueuedExecutions, maxConcurrentExecutions } = own.config
  if (maxQueuedExecutions >= maxConcurrentExecutions) return own
  void own.shutdown()
  return new ExecutionEngine({ ...config, maxQueuedExecutions: maxConcurrentExecutions })
}

function checkLease(lockDurationMs: number, engine: ExecutionEngine): void {
  const { terminationGraceMs } = engine.config
  if (leaseOf(lockDurationMs, terminationGraceMs) >= SHORTEST_LEASE_MS) return
  const expected = `one that leaves a lease of ${SHORTEST_LEASE_MS} ms after a terminationGraceMs of ${terminationGraceMs} and a margin of a quarter, at most 5000`
  throw refused('lockDurationMs', expected, String(lockDurationMs), 'INVALID_CONFIG')
}

function checkedCallback(field: string, value: unknown): void {
  if (value === undefined || typeof value === 'function') return
  throw refused(field, 'a function', describe(value), 'INVALID_CONFIG')
}

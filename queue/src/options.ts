import type { ExecutionConfig, ExecutionEngine, ExecutionPlan, ExecutionRequest } from '@escher-dbai/execution-engine'
import type { RateLimiterOptions, Telemetry } from 'bullmq'
import type { Cluster, Redis, RedisOptions } from 'ioredis'

/**
 * How Redis (6.2 or later, or Valkey) is reached: an address (`redis://user:password@host:6379/0`, `rediss://…` with TLS,
 * `unix:///path`), the options of an `ioredis` client, or a client, of which only the options are used: it is left to its
 * owner. It must not have a `keyPrefix`. An engine opens two connections, a worker three, and one more for each set of
 * labels.
 */
export type Connection = string | RedisOptions | Redis | Cluster

/** Where the executions are, which submitters and workers must agree on. */
export interface QueuePlace {
  /** How Redis is reached. */
  readonly connection: Connection
  /** The name of the queue. Default: `executions`. */
  readonly name?: string | undefined
  /** What the names of all keys begin with. Default: `escher`. */
  readonly prefix?: string | undefined
  /** What BullMQ tells of its jobs, such as `bullmq-otel`. Default: nobody. */
  readonly telemetry?: Telemetry | undefined
}

/** How a {@link QueueEngine} behaves. */
export interface QueueEngineOptions extends QueuePlace {
  /**
   * Where the steps of a plan run: all on the worker that takes the plan, in its directories (`worker`); or each on the
   * worker that takes the step (`spread`). Default: `worker`.
   */
  readonly placement?: 'worker' | 'spread' | undefined
  /** How long the result of a finished execution is kept, in seconds. Default: 3600. */
  readonly retentionSecs?: number | undefined
  /** How many finished executions are kept; a plan counts as one, with its steps. Default: 10 000. */
  readonly maxFinished?: number | undefined
  /**
   * How long Redis may take to acknowledge a request, and to answer a question, in milliseconds. Default: 30 000.
   */
  readonly acceptTimeoutMs?: number | undefined
}

/** What becomes of an execution whose worker was lost. */
export type WorkerLoss = 'fail' | 'rerun'

/** What a request says to the queue, besides what it says to the engine. */
export interface QueueRequestOptions {
  /**
   * What a worker must have to run it, such as `gpu`: each of 1 to 64 letters, digits, `.`, `_` and `-`. Default: none,
   * so that any worker may.
   */
  readonly labels?: readonly string[] | undefined
  /**
   * What happens when the worker that runs it is lost: it has failed, with `WORKER_LOST`, or it is run again. Default:
   * `fail`.
   */
  readonly onWorkerLoss?: WorkerLoss | undefined
  /** How long it waits before a worker may take it, in milliseconds. Default: 0. */
  readonly delayMs?: number | undefined
  /**
   * Whether the values of secrets may be stored in Redis, in clear. Default: `false`: they are refused, and to be named
   * in `secretEnv`, which the worker resolves.
   */
  readonly allowSecretValues?: boolean | undefined
}

/** A request for a {@link QueueEngine}. */
export type QueueRequest = ExecutionRequest & QueueRequestOptions

/** A plan for a {@link QueueEngine}. What it says to the queue holds for all of its steps. */
export type QueuePlan = ExecutionPlan & QueueRequestOptions

/** How an {@link ExecutionWorker} behaves. */
export interface ExecutionWorkerOptions extends QueuePlace {
  /** The engine that runs the commands, or the configuration of one of its own. Default: one with the defaults. */
  readonly engine?: ExecutionConfig | ExecutionEngine | undefined
  /** What this worker has, for requests that name labels. Default: none. */
  readonly labels?: readonly string[] | undefined
  /** How many executions it runs at once. Default, and at most: `maxConcurrentExecutions` of its engine. */
  readonly concurrency?: number | undefined
  /**
   * How long an execution is this worker's without being renewed, in milliseconds. The command is ended before that:
   * its lease is this less the `terminationGraceMs` of the engine and a margin, a quarter of this and at most 5 s.
   * Default: 60 000.
   */
  readonly lockDurationMs?: number | undefined
  /** How often it looks for executions whose worker was lost, in milliseconds. Default: 30 000. */
  readonly stalledIntervalMs?: number | undefined
  /**
   * The value of a variable that a request names in `secretEnv` without giving it. What it rejects with fails the
   * execution; `undefined` means that it does not know the name. Default: the environment of the worker.
   */
  readonly resolveSecret?: ((name: string) => Promise<string | undefined> | string | undefined) | undefined
  /**
   * No more executions than `max` are taken in `duration` milliseconds from the queue of each set of labels, by all workers
   * that say the same. Default: no limit.
   */
  readonly limiter?: RateLimiterOptions | undefined
  /** Called with what an operator should know, such as a Redis that may forget. Default: `process.emitWarning`. */
  readonly onWarning?: ((message: string) => void) | undefined
}

/** How many executions a worker has taken, and how they ended. */
export interface WorkerCounts {
  /** Those that run now. */
  readonly running: number
  /** Those that completed. */
  readonly completed: number
  /** Those that failed. */
  readonly failed: number
  /** Those that were cancelled. */
  readonly cancelled: number
  /** Those whose deadline passed. */
  readonly timeout: number
  /** Those of another worker that was lost, and those of which this worker lost the lease. */
  readonly lost: number
}

/** Whether a worker can do its work, for a probe. */
export interface WorkerHealth {
  /** Whether all is well. */
  readonly healthy: boolean
  /** Whether Redis has answered. */
  readonly redis: boolean
  /** Whether all locks of running executions were renewed in time. */
  readonly renewals: boolean
  /** What is wrong, in words, or `null`. */
  readonly problem: string | null
}

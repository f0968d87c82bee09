// What runs the commands: this machine, or the workers of a queue. All else takes it as what it is: an `Executor`.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { ExecutionEngine, type Executor } from '@escher-dbai/execution-engine'

export interface ExecutorOptions {
  /** The directory of the history, beside which the logs are. */
  readonly data: string
  /** The Redis of a queue, as `redis://host:6379`. Default: none, this machine runs the steps. */
  readonly queue?: string | undefined
  /** How many steps run at once on this machine. */
  readonly concurrency?: number | undefined
}

export async function makeExecutor({ data, queue, concurrency }: ExecutorOptions): Promise<Executor> {
  if (queue !== undefined) {
    const { QueueEngine } = await import('@escher-dbai/execution-queue')
    return new QueueEngine({ connection: queue, placement: 'spread' })
  }
  mkdirSync(data, { recursive: true, mode: 0o700 })
  return new ExecutionEngine({
    logDir: join(data, 'logs'),
    maxConcurrentExecutions: concurrency,
    maxQueuedExecutions: 10_000,
    // Lines are read from the logs, by each watcher at its own pace.
    streamOutput: false,
  })
}

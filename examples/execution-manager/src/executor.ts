// What runs the commands. All else takes it as what it is: an `Executor`.

import { join } from 'node:path'
import { ExecutionEngine, type Executor } from '@escher-dbai/execution-engine'

export interface ExecutorOptions {
  /** The directory of the history, beside which the logs are. */
  readonly data: string
  /** How many steps run at once on this machine. */
  readonly concurrency?: number | undefined
}

export function makeExecutor({ data, concurrency }: ExecutorOptions): Executor {
  return new ExecutionEngine({
    logDir: join(data, 'logs'),
    maxConcurrentExecutions: concurrency,
    maxQueuedExecutions: 10_000,
    // Lines are read from the logs, by each watcher at its own pace.
    streamOutput: false,
  })
}

// This package.

import { ExecutionWorker, QueueEngine } from '@escher-dbai/execution-queue'

/** @typedef {import('./contender').Contender} Contender */

/** @type {Contender['work']} */
export async function work(connection, name, concurrency) {
  const engine = { maxConcurrentExecutions: concurrency, logOutput: false }
  await new ExecutionWorker({ connection, name, engine, onWarning: () => {} }).ready()
}

/** @type {Contender['submit']} */
export async function submit(connection, name) {
  const queue = new QueueEngine({ connection, name })
  return {
    async run(program, args, onLine) {
      const result = await queue.run({ command: { type: 'exec', program, args } }, onLine && { onStdout: onLine })
      if (!result.success) throw new Error(`${result.command}: ${result.error}`)
    },
    close: () => queue.shutdown(),
  }
}

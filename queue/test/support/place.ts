// A queue of its own for a test, with who submits and who works in this process.

import { afterEach } from 'vitest'
import {
  ExecutionWorker,
  QueueEngine,
  type ExecutionWorkerOptions,
  type QueueEngineOptions,
} from '@escher-dbai/execution-queue'

export interface Place {
  readonly name: string
  queue(options?: Partial<QueueEngineOptions>): QueueEngine
  worker(options?: Partial<ExecutionWorkerOptions>): Promise<ExecutionWorker>
}

const cleanUps: (() => unknown)[] = []
let places = 0

afterEach(async () => {
  for (let cleanUp; (cleanUp = cleanUps.pop()) !== undefined;) await cleanUp()
})

/** What is ended behind the test, the last one first. */
export const cleanUp = (end: () => unknown): void => void cleanUps.push(end)

export function newPlace(port: number): Place {
  const name = `place-${process.pid}-${(places += 1)}`
  const connection = { host: '127.0.0.1', port }
  return {
    name,
    queue(options = {}) {
      const queue = new QueueEngine({ connection, name, ...options })
      cleanUp(() => queue.shutdown())
      return queue
    },
    async worker(options = {}) {
      const worker = new ExecutionWorker({ connection, name, engine: { logOutput: false }, ...options })
      cleanUp(() => worker.close({ drain: false }))
      await worker.ready()
      return worker
    },
  }
}

export const shell = (command: string) => ({ command: { type: 'shell', command, shell: 'sh' } }) as const
export const exec = (program: string, ...args: string[]) => ({ command: { type: 'exec', program, args } }) as const

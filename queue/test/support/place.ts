// A server for the tests of a file, and a queue of its own for each, with who submits and who works in this process.

import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Queue } from 'bullmq'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll } from 'vitest'
import {
  ExecutionWorker,
  QueueEngine,
  type ExecutionWorkerOptions,
  type QueueEngineOptions,
} from '@escher-dbai/execution-queue'
import { startServer, type Server } from './server.mjs'

/** What the tests of a file share, and goes with them: a server, a client of it, a directory. */
export class Shared {
  readonly dir = mkdtempSync(join(tmpdir(), 'queue-test-'))
  #server: Server | undefined
  #redis: Redis | undefined

  /** `settings` are more words of the command line of the server. */
  constructor(settings: readonly string[] = []) {
    beforeAll(async () => {
      this.#server = await startServer(settings)
    })
    afterAll(async () => {
      this.#redis?.disconnect()
      await this.#server?.close()
      rmSync(this.dir, { recursive: true })
    })
  }

  get server(): Server {
    if (this.#server === undefined) throw new Error('the server is there once the tests run')
    return this.#server
  }

  get port(): number {
    return this.server.port
  }

  get redis(): Redis {
    return (this.#redis ??= new Redis(this.port, '127.0.0.1'))
  }

  /** The jobs of a queue, as BullMQ has them. */
  jobsOf(queue: QueueEngine): Queue {
    const jobs = new Queue(queue.queueName(), { connection: this.server.connection, prefix: queue.keyPrefix })
    cleanUp(() => jobs.close())
    return jobs
  }

  /** A path that nobody else has. */
  newPath(): string {
    return join(this.dir, randomUUID())
  }

  /** A file that each run of a command writes a line into. */
  newFile(): { file: string; lines: () => string[] } {
    const file = this.newPath()
    return { file, lines: () => (existsSync(file) ? readFileSync(file, 'utf8').trim().split('\n') : []) }
  }
}

/** Locks that run out soon. */
export const SHORT = {
  lockDurationMs: 2500,
  stalledIntervalMs: 500,
  engine: { terminationGraceMs: 300, logOutput: false },
}

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

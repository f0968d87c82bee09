// Who keeps the promises: the engine, and the queue with a worker behind it. In what they differ stands here, as data.

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach } from 'vitest'
import { ExecutionEngine, type ExecutionConfig, type ExecutionRequest } from '@escher-dbai/execution-engine'
import { ExecutionWorker, QueueEngine } from '@escher-dbai/execution-queue'
import { startServer, type Server } from '../support/server.mjs'

/** What both are. `subscribe` and the verbs of plans are no part of a smaller interface that somebody may implement. */
export type Promising = Pick<
  ExecutionEngine,
  | 'execute'
  | 'run'
  | 'stream'
  | 'subscribe'
  | 'executePlan'
  | 'runPlan'
  | 'getStatus'
  | 'getResult'
  | 'waitForCompletion'
  | 'getPlanResult'
  | 'waitForPlan'
  | 'listExecutions'
  | 'cancel'
  | 'readLogLines'
  | 'followLogs'
  | 'shutdown'
>

/** How a call ended that may be refused: with what it resolved to, or with why it was refused. */
export type Outcome = object

/** In what executors differ, as the documents say: what comes of the same call. */
export interface Differences {
  /** How much of each stream a result holds, in bytes, whatever `maxOutputSizeBytes` says. */
  readonly most: number
  /** How much a command may print that nobody takes, in bytes, before it waits: pipes, buffers, what is under way. */
  readonly window: number
  /** A second request with the id of one that has ended. */
  readonly secondSubmission: Outcome
  /** A request whose directory is not there. */
  readonly missingDirectory: Outcome
  /** `cat` with a stream as its input, and with an input that is written later. */
  readonly streamed: Outcome
  readonly writtenLater: Outcome
  /** `printf world`, then a step that is made of its output. */
  readonly madeStep: Outcome
  /** A command that prints the value of a secret, which the request holds. */
  readonly secretValue: Outcome
  /** What runs when the executor is shut down, and how many processes of it are left. */
  readonly shutDown: Outcome
  readonly leftRunning: number
}

/** What a call came to. */
export const outcomeOf = (call: Promise<object>): Promise<Outcome> =>
  call.catch(({ code, field }: { code: string; field?: string }) => ({ refused: code, field }))

export interface Contender {
  readonly name: string
  readonly differs: Differences
  /** One with this configuration: of the engine, or of that of the worker. It is ended with the test. */
  readonly start: (config?: ExecutionConfig) => Promise<Promising>
}

const cleanUps: (() => Promise<void> | void)[] = []
let server: Promise<Server> | undefined
let queues = 0

afterEach(async () => {
  for (let cleanUp; (cleanUp = cleanUps.pop()) !== undefined;) await cleanUp()
})

afterAll(async () => {
  await (await server)?.close()
  server = undefined
})

/** A directory that goes with the test. */
export function temporary(): string {
  const dir = mkdtempSync(join(tmpdir(), 'queue-test-'))
  cleanUps.push(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

const engine: Contender = {
  name: 'the engine',
  differs: {
    most: Infinity,
    window: 2 * 1024 * 1024,
    secondSubmission: { refused: 'DUPLICATE_ID', field: 'id' },
    missingDirectory: { refused: 'VALIDATION', field: 'workingDir' },
    streamed: { stdout: 'from a stream' },
    writtenLater: { status: 'timeout' },
    madeStep: { results: [{ stdout: 'world' }, { stdout: 'hello world\n' }] },
    secretValue: { stdout: '***\n', stderr: '[***]\n' },
    shutDown: { status: 'cancelled' },
    leftRunning: 0,
  },
  start: async (config) => {
    const engine = new ExecutionEngine({ logDir: join(temporary(), 'logs'), maxQueuedExecutions: 1000, ...config })
    cleanUps.push(() => engine.shutdown())
    return engine
  },
}

const queueWith = (placement: 'worker' | 'spread'): Contender['start'] => {
  return async (config) => {
    const { connection } = await (server ??= startServer())
    const name = `promises-${(queues += 1)}`
    const worker = new ExecutionWorker({
      connection,
      name,
      engine: { logDir: join(temporary(), 'logs'), ...config },
      onWarning: () => {},
    })
    const queue = new QueueEngine({ connection, name, placement })
    cleanUps.push(async () => {
      await queue.shutdown()
      await worker.close({ drain: false })
    })
    await worker.ready()
    return queue
  }
}

const queue: Contender = {
  name: 'the queue',
  differs: {
    most: 64 * 1024,
    window: 4 * 1024 * 1024,
    secondSubmission: { status: 'completed', stdout: '1\n' },
    missingDirectory: { status: 'failed', errorCode: 'SPAWN_FAILED', pid: null },
    streamed: { refused: 'VALIDATION', field: 'stdin' },
    writtenLater: { refused: 'VALIDATION', field: 'stdin' },
    madeStep: { refused: 'VALIDATION', field: 'steps.greet.request' },
    secretValue: { refused: 'VALIDATION', field: 'env.PASSWORD' },
    shutDown: { refused: 'SHUT_DOWN' },
    leftRunning: 1,
  },
  start: queueWith('worker'),
}

/** Everybody who keeps the promises. */
export const everybody: readonly Contender[] = [engine, queue]

/** Those with a way of their own to run plans as well. */
export const planners: readonly Contender[] = [
  engine,
  queue,
  {
    name: 'the queue with steps on any worker',
    differs: { ...queue.differs, madeStep: engine.differs.madeStep },
    start: queueWith('spread'),
  },
]

export const shell = (command: string, more: Partial<ExecutionRequest> = {}): ExecutionRequest => ({
  command: { type: 'shell', command, shell: 'sh' },
  ...more,
})

export const exec = (program: string, ...args: string[]): ExecutionRequest => ({
  command: { type: 'exec', program, args },
})

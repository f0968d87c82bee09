// `play demo`: a Redis, two workers and the service, on this machine, with a run to watch. The engine runs them, so that
// nothing is left when the demo has ended, however that happens.

import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { type Command, ExecutionEngine } from '@escher-dbai/execution-engine'
import { InputError } from './exit-codes.js'
import { serve } from './serve.js'

export interface DemoOptions {
  readonly playbooks: string
  readonly port?: number
  readonly workers: number
  readonly redisServer?: string
  readonly run: string
}

/** What runs as long as the demo: a week. */
const longMs = 7 * 24 * 3_600_000

/** What it says when it is ready has to come within so many milliseconds. */
const readyMs = 30_000

function redisServer(): string {
  for (const name of ['redis-server', 'valkey-server']) {
    const found = (process.env['PATH'] ?? '').split(delimiter).find((path) => existsSync(join(path, name)))
    if (found !== undefined) return join(found, name)
  }
  throw new InputError('demo: there is no redis-server: install it, or name it with --redis-server')
}

function workerProgram(): string {
  const require = createRequire(import.meta.url)
  return join(dirname(require.resolve('@escher-dbai/execution-queue/package.json')), 'dist/cli/main.js')
}

/** Starts what does not end, and resolves once it has said that it is ready. */
async function start(engine: ExecutionEngine, command: Command, ready: RegExp): Promise<void> {
  const said: string[] = []
  const isReady = new Promise<void>((resolve) => {
    const hear = (line: string): void => {
      said.push(line)
      if (ready.test(line)) resolve()
    }
    void engine.run({ command, timeoutMs: longMs }, { onStdout: hear, onStderr: hear }).finally(resolve)
  })
  const late = AbortSignal.timeout(readyMs)
  await Promise.race([isReady, once(late, 'abort')])
  if (!said.some((line) => ready.test(line))) throw new Error(`it did not get ready:\n${said.join('\n')}`)
}

/** @returns the exit code. */
export async function demo(options: DemoOptions): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'execution-manager-demo-'))
  const engine = new ExecutionEngine({
    logDir: join(directory, 'machines'),
    maxTimeoutMs: longMs,
    maxConcurrentExecutions: options.workers + 1,
  })
  try {
    const socket = join(directory, 'redis.sock')
    const server = options.redisServer ?? redisServer()
    const settings = ['--port', '0', '--unixsocket', socket, '--save', '', '--appendonly', 'no', '--dir', directory]
    await start(engine, { type: 'exec', program: server, args: settings }, /ready to accept connections/i)
    const queue = `unix://${socket}`
    const args = [workerProgram(), '--redis', queue]
    const worker: Command = { type: 'exec', program: process.execPath, args }
    await Promise.all(Array.from({ length: options.workers }, () => start(engine, worker, /taking work/)))
    process.stdout.write(`Redis and ${String(options.workers)} workers run on this machine\n`)
    return await serve({
      playbooks: options.playbooks,
      data: join(directory, 'data'),
      queue,
      port: options.port,
      run: options.run,
    })
  } finally {
    await engine.shutdown()
    rmSync(directory, { recursive: true, force: true })
  }
}

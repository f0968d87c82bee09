// A worker from its start to the end that the operator asks for.

import { constants } from 'node:os'
import { ExecutionEngine, ExecutionError } from '@escher-dbai/execution-engine'
import { ExecutionWorker } from '../index'
import type { Arguments } from './arguments'
import { startProbe, type Probe } from './health'
import type { Log } from './log'
import { reachRedis } from './reach'
import { shownAddress } from '../redis/address'

const FAILED = 1
const BAD_INPUT = 2

/** How long what is left may take after a forced end, in milliseconds: the connection to Redis may be gone. */
const FORCED_MS = 5000

/** How often it looks whether it can work, in milliseconds. */
const LOOK_MS = 5000

type StopSignal = 'SIGINT' | 'SIGTERM'

/** One line for each start and each end. Commands are shown as the engine shows them: without secrets. */
function logExecutions(engine: ExecutionEngine, log: Log): void {
  engine.onEvent((event) => {
    if (event.eventType === 'started') {
      log('info', 'started', { id: event.executionId, command: event.command, pid: event.pid })
    }
    if (!('result' in event) || event.eventType === 'plan_completed') return
    const { status, exitCode, signal, errorCode, durationMs, error } = event.result
    log(status === 'completed' ? 'info' : 'warning', status, {
      id: event.executionId,
      exitCode,
      signal,
      errorCode,
      durationMs,
      error,
    })
  })
}

/** One line whenever it cannot work any more, or can again. */
function logHealth(worker: ExecutionWorker, log: Log): NodeJS.Timeout {
  let known: string | null = null
  const look = async (): Promise<void> => {
    const { problem } = await worker.health()
    if (problem === known) return
    known = problem
    if (problem === null) log('info', 'can work again')
    else log('warning', 'cannot work', { problem })
  }
  return setInterval(() => void look().catch(() => {}), LOOK_MS).unref()
}

/** Waits for the end that the operator asks for. Resolves with the exit code. */
function drained(worker: ExecutionWorker, graceMs: number, log: Log, onDrain: () => void): Promise<number> {
  return new Promise((resolve, reject) => {
    let asked = 0
    const stop = (signal: StopSignal): void => {
      asked += 1
      if (asked === 1) {
        log('info', 'draining: no more work is taken, what runs is finished', {
          signal,
          running: worker.counts.running,
        })
        onDrain()
        worker.close().then(() => asked === 1 && resolve(0), reject)
        return
      }
      const code = 128 + constants.signals[signal]
      if (asked > 2) process.exit(code)
      log('warning', 'ending what runs', { signal, running: worker.counts.running })
      const forced = (): void => resolve(code)
      worker.close({ drain: false }).then(forced, forced)
      setTimeout(forced, graceMs + FORCED_MS).unref()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}

/** Resolves with the exit code. */
async function workUntilAsked(given: Arguments, version: string, log: Log): Promise<number> {
  const { connection, health, jsonLogs: _, ...options } = given
  const engine = new ExecutionEngine(given.engine)
  logExecutions(engine, log)
  const worker = new ExecutionWorker({
    ...options,
    connection,
    engine,
    onWarning: (message) => log('warning', message),
  })
  let isDraining = false
  const code = drained(worker, engine.config.terminationGraceMs, log, () => (isDraining = true))
  const looking = logHealth(worker, log)
  let probe: Probe | undefined
  try {
    if (health !== undefined) {
      probe = await startProbe(health, worker, () => isDraining)
      log('info', 'probe listens', { url: probe.url })
    }
    const problem = await reachRedis(connection)
    if (problem !== undefined) log('warning', 'Redis cannot be reached yet', { problem })
    const ready = worker.ready().then(() =>
      log('info', 'taking work', {
        queue: given.name ?? 'executions',
        redis: shownAddress(connection),
        labels: given.labels.length > 0 ? given.labels.join(',') : null,
        concurrency: engine.config.maxConcurrentExecutions,
        version,
      }),
    )
    // Until it takes work, a signal ends it as well; what it was not yet ready for is no failure then.
    ready.catch(() => {})
    return await Promise.race([code, ready.then(() => code)])
  } finally {
    clearInterval(looking)
    await worker.close({ drain: false }).catch(() => {})
    await probe?.close()
    await engine.shutdown()
    log('info', 'ended', { ...worker.counts })
  }
}

/** Runs a worker, and resolves with the exit code. What makes that impossible is a line of the log. */
export async function work(given: Arguments, version: string, log: Log): Promise<number> {
  try {
    return await workUntilAsked(given, version, log)
  } catch (error) {
    log('error', error instanceof Error ? error.message : String(error))
    const isInput = error instanceof ExecutionError && ['INVALID_CONFIG', 'VALIDATION'].includes(error.code)
    return isInput ? BAD_INPUT : FAILED
  }
}

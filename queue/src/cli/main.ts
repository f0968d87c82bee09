#!/usr/bin/env node
// The program `execution-worker`.

import { readFileSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import { ExecutionEngine, ExecutionError } from '@escher-dbai/execution-engine'
import { ExecutionWorker } from '../index'
import { HELP, readArguments, UsageError, type Arguments } from './arguments'
import { startProbe, type Probe } from './health'
import { newLog, type Log } from './log'
import { shownAddress } from './redis-url'

const FAILED = 1
const BAD_INPUT = 2

/** How long what is left may take after a forced end, in milliseconds: the connection to Redis may be gone. */
const FORCED_MS = 5000

type StopSignal = 'SIGINT' | 'SIGTERM'

function version(): string {
  const file = join(__dirname, '../../package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

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

/** Waits for the end that the operator asks for. Resolves with the exit code. */
function drained(worker: ExecutionWorker, graceMs: number, log: Log, onDrain: () => void): Promise<number> {
  return new Promise((resolve, reject) => {
    let asked = 0
    const stop = (signal: StopSignal) => {
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
      const forced = () => resolve(code)
      worker.close({ drain: false }).then(forced, forced)
      setTimeout(forced, graceMs + FORCED_MS).unref()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
  })
}

async function work(given: Arguments, log: Log): Promise<number> {
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
  let probe: Probe | undefined
  try {
    if (health !== undefined) {
      probe = await startProbe(health, worker, () => isDraining)
      log('info', 'probe listens', { url: probe.url })
    }
    const ready = worker.ready().then(() =>
      log('info', 'taking work', {
        queue: given.name ?? 'executions',
        redis: shownAddress(connection),
        labels: given.labels.length > 0 ? given.labels.join(',') : null,
        concurrency: engine.config.maxConcurrentExecutions,
        version: version(),
      }),
    )
    // Until it takes work, a signal ends it as well; what it was not yet ready for is no failure then.
    await Promise.race([ready, code])
    if (isDraining) ready.catch(() => {})
    return await code
  } finally {
    await worker.close({ drain: false }).catch(() => {})
    await probe?.close()
    await engine.shutdown()
    log('info', 'ended', { ...worker.counts })
  }
}

/** A worker that was told wrongly what to do says so in one line. */
function failure(error: unknown, log: Log): number {
  const isInput = error instanceof ExecutionError && ['INVALID_CONFIG', 'VALIDATION'].includes(error.code)
  log('error', error instanceof Error ? error.message : String(error))
  return isInput ? BAD_INPUT : FAILED
}

async function main(): Promise<number> {
  let given: ReturnType<typeof readArguments>
  try {
    given = readArguments(process.argv.slice(2), process.env)
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    process.stderr.write(`execution-worker: ${error.message}\nexecution-worker --help lists the options.\n`)
    return BAD_INPUT
  }
  if (given === 'help' || given === 'version') {
    process.stdout.write(given === 'help' ? HELP : `${version()}\n`)
    return 0
  }
  const log = newLog(given.jsonLogs, (line) => process.stdout.write(line))
  try {
    return await work(given, log)
  } catch (error) {
    return failure(error, log)
  }
}

void main().then((code) => process.exit(code))

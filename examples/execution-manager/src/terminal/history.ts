// `play runs` and `play logs`: what there is of runs, of this program and others.

import type { RunFilter, RunSummary } from '../api.js'
import { makeExecutor } from '../executor.js'
import { feed } from '../runs/feed.js'
import { Runs } from '../runs/runs.js'
import { pageOf } from '../runs/step-log.js'
import type { WatchedRun } from '../runs/watched.js'
import { findStep } from '../service/logs.js'
import { InputError } from './exit-codes.js'
import type { CommonOptions } from './options.js'
import { onSignals } from './signals.js'
import { duration, table } from './words.js'

const row = ({ id, playbook, status, startedAt, durationMs, error }: RunSummary): string[] => [
  id.slice(0, 8),
  playbook,
  status,
  startedAt.replace('T', ' ').replace(/\.\d+Z$/, ''),
  duration(durationMs),
  error ?? '',
]

const titles = ['run', 'playbook', 'status', 'started (UTC)', 'duration', '']

async function withRuns<T>(options: CommonOptions, use: (runs: Runs) => T | Promise<T>): Promise<T> {
  const runs = new Runs(await makeExecutor(options), options.data)
  try {
    await runs.recover()
    return await use(runs)
  } finally {
    await runs.close('play has ended')
  }
}

export interface ListOptions extends CommonOptions, RunFilter {
  readonly json?: boolean
}

export async function listRuns({ status, playbook, text, limit, ...options }: ListOptions): Promise<void> {
  const filter: RunFilter = {
    ...(status !== undefined && { status }),
    ...(playbook !== undefined && { playbook }),
    ...(text !== undefined && { text }),
    ...(limit !== undefined && { limit }),
  }
  await withRuns(options, (runs) => {
    const found = runs.list(filter)
    if (options.json === true) process.stdout.write(`${JSON.stringify(found)}\n`)
    else if (found.length === 0) process.stdout.write('no runs\n')
    else process.stdout.write(`${table([titles, ...found.map(row)])}\n`)
  })
}

export interface LogsOptions extends CommonOptions {
  readonly follow?: boolean
}

/** What the steps of a run have printed, to the stream that they printed it to. */
export async function showLogs(beginning: string, step: string | undefined, options: LogsOptions): Promise<number> {
  return await withRuns(options, async (runs) => {
    const watched = runs.find(runs.resolve(beginning))
    if (step !== undefined && !watched.run.steps.some(({ name }) => name === step)) {
      throw new InputError(
        `the run has no step ${step}: it has ${watched.run.steps.map(({ name }) => name).join(', ')}`,
      )
    }
    const leave = new AbortController()
    const exitCode = onSignals(() => {
      leave.abort()
    })
    await (options.follow === true ? follow(runs, watched, step, leave.signal) : printAll(runs, watched, step))
    return exitCode() ?? 0
  })
}

function print(step: string | undefined, name: string, stream: 'stdout' | 'stderr', line: string): void {
  process[stream].write(step === undefined ? `[${name}] ${line}\n` : `${line}\n`)
}

async function follow(runs: Runs, watched: WatchedRun, step: string | undefined, signal: AbortSignal): Promise<void> {
  for await (const { event } of feed(runs.engine, watched, signal, { replayed: Infinity })) {
    if (event.event === 'gap' && (step ?? event.data.step) === event.data.step) {
      const { from, to } = event.data
      process.stderr.write(`play: ${event.data.step}: ${String(to - from)} lines are not kept any more\n`)
    }
    if (event.event !== 'lines' || (step ?? event.data.step) !== event.data.step) continue
    for (const line of event.data.lines) print(step, event.data.step, event.data.stream, line)
  }
}

async function printAll(runs: Runs, watched: WatchedRun, step: string | undefined): Promise<void> {
  const steps = step === undefined ? watched.run.steps : [findStep(watched, step)]
  for (const { name, executionId, lines } of steps) {
    if (watched.log(name) === undefined) continue
    let from = 0
    let printed = 0
    for (;;) {
      const page = await pageOf(runs.engine, executionId, { from })
      for (const entry of page?.lines ?? []) print(step, name, entry.stream, entry.line)
      printed += page?.lines.length ?? 0
      if (page === undefined || page.lines.length === 0) break
      from = page.next
    }
    if (printed < lines) process.stderr.write(`play: ${name}: ${String(lines - printed)} lines are not kept any more\n`)
  }
}

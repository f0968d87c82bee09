// The log of a step, by page and as it grows.

import type { Executor } from '@escher-dbai/execution-engine'
import type { LogPage, LogQuery, Step } from '../api.js'
import { isOver } from '../runs/record.js'
import type { WatchedRun } from '../runs/watched.js'
import { Refusal } from './security.js'
import type { ServerEvent } from './sse.js'

/** Entries of a page. */
const pageSize = 1000

export function findStep(watched: WatchedRun, name: string): Step {
  const step = watched.run.steps.find((one) => one.name === name)
  if (step === undefined) {
    const known = watched.run.steps.map((one) => one.name).join(', ')
    throw new Refusal(404, 'NOT_FOUND', `the run has no step ${name}: it has ${known}`)
  }
  return step
}

const nothing = (step: Step): LogPage => ({ lines: [], next: 0, ended: isOver(step.status), first: 0 })

async function start(
  watched: WatchedRun,
  step: Step,
  { from, line }: LogQuery,
): Promise<{ from: number; first: number | null }> {
  if (line === undefined) return { from: from ?? 0, first: (from ?? 0) === 0 ? 0 : null }
  if (from !== undefined) throw new Refusal(400, 'VALIDATION', 'expected either from or line', 'line')
  const found = await watched.log(step.name)?.offsetOf(line)
  return { from: found?.offset ?? 0, first: found?.line ?? 0 }
}

export async function logPage(engine: Executor, watched: WatchedRun, step: Step, query: LogQuery): Promise<LogPage> {
  if (step.executionId === null || watched.log(step.name) === undefined) return nothing(step)
  const { from, first } = await start(watched, step, query)
  const page = await engine.readLogLines(step.executionId, { from, limit: query.limit ?? pageSize })
  const lines = page.lines.map(({ stream, line, timestamp, offset }) => ({ stream, line, timestamp, offset }))
  return { lines, next: page.next, ended: page.ended, first }
}

/** The entries as they come, and then `end`. */
export async function* followLog(
  engine: Executor,
  watched: WatchedRun,
  name: string,
  from: number,
  signal: AbortSignal,
): AsyncGenerator<ServerEvent> {
  let log = watched.log(name)
  while (log === undefined && !watched.isComplete && !signal.aborted) {
    await watched.bell.after(watched.bell.turn, signal)
    log = watched.log(name)
  }
  let next = from
  while (log !== undefined && !signal.aborted) {
    const { turn } = watched.bell
    const { ended } = log
    const page = await engine.readLogLines(log.executionId, { from: next, limit: pageSize })
    if (page.lines.length > 0) {
      const data = page.lines.map(({ stream, line, timestamp, offset }) => ({ stream, line, timestamp, offset }))
      yield { id: String(page.next), event: 'entries', data }
      next = page.next
    } else if (ended) {
      break
    } else {
      await watched.bell.after(turn, signal)
    }
  }
  if (!signal.aborted) yield { id: String(next), event: 'end', data: { next } }
}

// The log of a step, by page and as it grows.

import type { Executor, LogLine } from '@escher-dbai/execution-engine'
import type { Entry, LogPage, LogQuery, Step } from '../api.js'
import { hasBegun, isOver } from '../runs/record.js'
import { pageOf } from '../runs/step-log.js'
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

const entriesOf = ({ lines }: { readonly lines: readonly LogLine[] }): Entry[] =>
  lines.map(({ stream, line, timestamp, offset }) => ({ stream, line, timestamp, offset }))

/** @param step of a run that is watched. */
export async function logPage(engine: Executor, step: Step, query: LogQuery): Promise<LogPage> {
  const { from = 0, line, limit = pageSize } = query
  if (line !== undefined && query.from !== undefined) {
    throw new Refusal(400, 'VALIDATION', 'expected either from or line', 'line')
  }
  const start = line === undefined ? { from } : { fromLine: line }
  const page = hasBegun(step.status) ? await pageOf(engine, step.executionId, { ...start, limit }) : undefined
  if (page !== undefined) {
    const first = line ?? (from === 0 ? 0 : null)
    return { lines: entriesOf(page), next: page.next, ended: page.ended, first }
  }
  if (step.lines > 0) throw new Refusal(404, 'NOT_FOUND', `what ${step.name} has printed is not kept any more`)
  return { lines: [], next: 0, ended: isOver(step.status), first: 0 }
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
    const { end, ended } = log
    const page = next < end ? await engine.readLogLines(log.executionId, { from: next, limit: pageSize }) : undefined
    if (page !== undefined && page.lines.length > 0) {
      yield { id: String(page.next), event: 'entries', data: entriesOf(page) }
      next = page.next
    } else if (ended) {
      break
    } else {
      await watched.bell.after(turn, signal)
    }
  }
  if (!signal.aborted) yield { id: String(next), event: 'end', data: { next } }
}

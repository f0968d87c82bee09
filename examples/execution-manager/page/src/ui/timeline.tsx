import type { JSX } from 'preact'

import type { RunSummary, Step } from '../../../src/api.js'
import { spanOf, type Span } from '../run/path.js'
import { duration, stepTook } from './format.js'
import { Glyph, labelOf } from './status.js'

interface TimelineProps {
  readonly run: RunSummary
  readonly steps: readonly Step[]
  readonly critical: ReadonlySet<string>
  readonly selected: string | undefined
  readonly now: number
  readonly onSelect: (step: string | undefined) => void
}

/** When each step waited and ran, attempt by attempt. */
export function Timeline({ run, steps, critical, selected, now, onSelect }: TimelineProps): JSX.Element {
  const start = Date.parse(run.startedAt)
  const end = Math.max(
    run.durationMs === null ? now : start + run.durationMs,
    ...steps.map((step) => spanOf(step, now)?.to ?? 0),
    start + 1,
  )
  const ticks = ticksOf(end - start)
  const scale = end - start
  const at = (time: number): string => `${(Math.max(0, Math.min(1, (time - start) / scale)) * 100).toFixed(3)}%`
  const wide = (from: number, to: number): string => `${((Math.max(0, to - from) / scale) * 100).toFixed(3)}%`
  return (
    <div class="timeline">
      <div class="axis" aria-hidden="true">
        {ticks.map((tick) => (
          <span key={tick} style={{ left: at(start + tick) }}>
            {tick === 0 ? '0' : duration(tick).replace('.0 s', ' s')}
          </span>
        ))}
      </div>
      <ul>
        {steps.map((step) => {
          const span = spanOf(step, now)
          const queued = step.queuedMs ?? 0
          return (
            <li key={step.name}>
              <button
                type="button"
                class={`lane ${critical.has(step.name) ? 'critical' : ''}`}
                aria-pressed={step.name === selected}
                onClick={() => {
                  onSelect(step.name === selected ? undefined : step.name)
                }}
              >
                <span class="lane-name">
                  <Glyph status={step.status} />
                  <span>{step.name}</span>
                  <span class="unseen">{spokenOf(step, start)}</span>
                </span>
                <span class="lane-room">
                  {ticks.map((tick) => (
                    <i key={tick} class="grid" style={{ left: at(start + tick) }} />
                  ))}
                  {span && queued > 0 && (
                    <i
                      class="bar queued"
                      style={{ left: at(span.from - queued), width: wide(span.from - queued, span.from) }}
                    />
                  )}
                  {span &&
                    partsOf(step, span).map((part) => (
                      <i
                        key={`${part.look} ${String(part.from)}`}
                        class={`bar ${part.look}`}
                        style={{ left: at(part.from), width: wide(part.from, part.to) }}
                      />
                    ))}
                </span>
                <span class="lane-took" aria-hidden={step.status === 'running'}>
                  {stepTook(step, now) ?? labelOf(step.status)}
                </span>
              </button>
            </li>
          )
        })}
      </ul>
    </div>
  )
}

interface Part {
  readonly from: number
  readonly to: number
  readonly look: 'queued' | `is-${Step['status']}`
}

/** A step as its attempts, if it was tried several times, and its waits for them. */
function partsOf(step: Step, { from, to }: Span): Part[] {
  const own = `is-${step.status}` as const
  const tried = step.attempts.flatMap(({ startedAt, durationMs }): Part[] => {
    const began = startedAt === null ? undefined : Date.parse(startedAt)
    return began === undefined ? [] : [{ from: began, to: began + durationMs, look: 'is-failed' }]
  })
  const last = tried.at(-1)
  if (!last) return [{ from, to, look: own }]
  const { attemptStartedAt, retrying } = step
  if (attemptStartedAt !== null) tried.push({ from: Date.parse(attemptStartedAt), to, look: own })
  else if (retrying === null) tried.splice(-1, 1, { ...last, look: own })
  const waits = tried.map((part, i): Part => {
    const next = tried[i + 1]?.from ?? (retrying === null ? part.to : to)
    return { from: part.to, to: next, look: 'queued' }
  })
  return [...tried, ...waits.filter((wait) => wait.from < wait.to)]
}

/** What the bar shows, in words. */
function spokenOf(step: Step, start: number): string {
  if (step.startedAt === null) return ''
  return `${labelOf(step.status)}, began after ${duration(Date.parse(step.startedAt) - start)}, took`
}

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 21_600, 86_400]
const MOST = 8

/** Round times along the axis, some eight of them. */
function ticksOf(ms: number): number[] {
  const rough = ms / MOST
  const step =
    rough < 1_000
      ? ([10, 20, 50, 100, 200, 500, 1_000].find((one) => one >= rough) ?? 1_000)
      : (STEPS.find((one) => one * 1_000 >= rough) ?? 86_400) * 1_000
  return Array.from({ length: Math.floor(ms / step) + 1 }, (_, index) => index * step)
}

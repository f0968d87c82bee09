import type { Step } from '../../../src/api.js'

/** When a step began and ended, in milliseconds since 1970; what runs ends now, and of what was interrupted nobody knows. */
export interface Span {
  readonly from: number
  readonly to: number
}

export function spanOf(step: Step, now: number): Span | undefined {
  if (step.startedAt === null) return undefined
  const from = Date.parse(step.startedAt)
  if (step.durationMs !== null) return { from, to: from + step.durationMs }
  return { from, to: step.status === 'running' ? Math.max(from, now) : from }
}

/**
 * The critical path so far: the steps that decide when the run ends. From the one that ended last, or still runs, back to
 * the one that it had to wait for, which is the last to end of those that it depends on.
 */
export function criticalPath(steps: readonly Step[], now: number): ReadonlySet<string> {
  const ends = new Map(steps.map((step) => [step.name, spanOf(step, now)?.to ?? -Infinity]))
  const byName = new Map(steps.map((step) => [step.name, step]))
  const last = (names: readonly string[]): string | undefined => {
    const ran = names.filter((name) => (ends.get(name) ?? -Infinity) > -Infinity)
    return ran.sort((a, b) => (ends.get(b) ?? 0) - (ends.get(a) ?? 0))[0]
  }
  const path = new Set<string>()
  for (
    let at = last([...byName.keys()]);
    at !== undefined && !path.has(at);
    at = last(byName.get(at)?.dependsOn ?? [])
  ) {
    path.add(at)
  }
  return path
}

import type { Step } from '../../../src/api.js'
import { spanOf } from '../run/path.js'

/** `840 ms`, `12.4 s`, `3 m 07 s`, `1 h 02 m` */
export function duration(ms: number): string {
  if (ms < 1_000) return `${String(Math.max(0, Math.round(ms)))} ms`
  if (ms < 59_950) return `${(ms / 1_000).toFixed(1)} s`
  const seconds = Math.round(ms / 1_000)
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${String(minutes)} m ${two(seconds % 60)} s`
  return `${String(Math.floor(minutes / 60))} h ${two(minutes % 60)} m`
}

/** How long a run took, or has taken; of one that was interrupted nobody knows. */
export function took(
  run: { readonly status: string; readonly startedAt: string; readonly durationMs: number | null },
  now: number,
): string {
  if (run.durationMs !== null) return duration(run.durationMs)
  return run.status === 'interrupted' ? 'unknown' : rough(now - Date.parse(run.startedAt))
}

/** The same of a step; undefined of one that was not started. */
export function stepTook(step: Step, now: number): string | undefined {
  const span = spanOf(step, now)
  if (span === undefined) return undefined
  return step.status === 'interrupted' ? 'unknown' : duration(span.to - span.from)
}

/** A duration without fractions, for what changes all the time: `12 s`. */
function rough(ms: number): string {
  return ms < 60_000 ? `${String(Math.floor(Math.max(0, ms) / 1_000))} s` : duration(ms)
}

const two = (value: number): string => String(value).padStart(2, '0')

const time = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' })
const day = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' })
const full = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'medium' })

/** `20:31:05`, and the day if it is another one. */
export function clock(iso: string, now: number): string {
  const date = new Date(iso)
  return date.toDateString() === new Date(now).toDateString()
    ? time.format(date)
    : `${day.format(date)}, ${time.format(date)}`
}

export const moment = (iso: string): string => full.format(new Date(iso))

const numbers = new Intl.NumberFormat('en-GB')

export const count = (value: number): string => numbers.format(value)

export const counted = (value: number, one: string): string => `${count(value)} ${one}${value === 1 ? '' : 's'}`

/** A parameter or an output for display. */
export function value(of: unknown): string {
  if (typeof of === 'string') return of
  if (Array.isArray(of) && of.every((item) => typeof item === 'string')) return of.join(', ')
  return of === undefined ? '' : JSON.stringify(of)
}

import type { OtherEvent } from '../lines/entry'

/** What an event says besides what each event tells of its execution. */
export function withoutAbout(event: object): OtherEvent {
  const { executionId: _, metadata: _m, planId: _p, step: _s, ...rest } = event as OtherEvent
  return rest as OtherEvent
}

import type { JSX } from 'preact'

import type { RunStatus, StepStatus } from '../../../src/api.js'

export type Status = RunStatus | StepStatus

const LABELS: Readonly<Record<Status, string>> = {
  waiting: 'Waiting',
  pending: 'Queued',
  running: 'Running',
  completed: 'Completed',
  failed: 'Failed',
  cancelled: 'Cancelled',
  timeout: 'Timed out',
  skipped: 'Skipped',
  interrupted: 'Interrupted',
}

export const labelOf = (status: Status): string => LABELS[status]

export const isOver = (status: Status): boolean => !['waiting', 'pending', 'running'].includes(status)

/** Each status has a shape of its own, so that none is told by its colour alone. */
const SHAPES: Readonly<Record<Status, JSX.Element>> = {
  waiting: <circle cx="8" cy="8" r="5.5" class="line dashed" />,
  pending: (
    <g>
      <circle cx="8" cy="8" r="5.5" class="line" />
      <circle cx="8" cy="8" r="1.6" class="fill" />
    </g>
  ),
  running: (
    <g>
      <circle cx="8" cy="8" r="5.5" class="line faint" />
      <path d="M8 2.5a5.5 5.5 0 0 1 5.5 5.5" class="line turning" />
    </g>
  ),
  completed: (
    <g>
      <circle cx="8" cy="8" r="7" class="fill" />
      <path d="M4.8 8.3l2.2 2.2 4.3-4.7" class="cut" />
    </g>
  ),
  failed: (
    <g>
      <path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" class="fill" />
      <path d="M5.5 5.5l5 5m0-5l-5 5" class="cut" />
    </g>
  ),
  cancelled: (
    <g>
      <rect x="1.5" y="1.5" width="13" height="13" rx="2.5" class="fill" />
      <path d="M5 8h6" class="cut" />
    </g>
  ),
  timeout: (
    <g>
      <circle cx="8" cy="8" r="6.3" class="line" />
      <path d="M8 4.6V8l2.4 1.7" class="line" />
    </g>
  ),
  skipped: (
    <g>
      <circle cx="8" cy="8" r="5.8" class="line" />
      <path d="M4 12l8-8" class="line" />
    </g>
  ),
  interrupted: (
    <g>
      <path d="M8 .8l7.2 13.2H.8z" class="fill" />
      <path d="M8 5.6v4m0 1.6v.6" class="cut" />
    </g>
  ),
}

export function Glyph({ status }: { readonly status: Status }): JSX.Element {
  return (
    <svg class={`glyph is-${status}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      {SHAPES[status]}
    </svg>
  )
}

export function Badge({ status }: { readonly status: Status }): JSX.Element {
  return (
    <span class={`badge is-${status}`}>
      <Glyph status={status} />
      {LABELS[status]}
    </span>
  )
}

import type { JSX } from 'preact'

/** The sign of the program. */
export function Mark(): JSX.Element {
  return (
    <svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true">
      <path d="M3 5h5l4 10h5M12 5h5" />
    </svg>
  )
}

import type { JSX } from 'preact'

const LEAST = 18
const MOST = 78
const KEY_STEP = 4

/** Divides the room between the steps and their output, by pointer or arrow keys. In per cent. */
export function Splitter({
  value,
  onChange,
}: {
  readonly value: number
  readonly onChange: (value: number) => void
}): JSX.Element {
  const set = (next: number): void => {
    onChange(Math.round(Math.max(LEAST, Math.min(MOST, next))))
  }
  return (
    <div
      class="splitter"
      role="separator"
      tabIndex={0}
      aria-orientation="horizontal"
      aria-label="Height of the steps"
      aria-valuenow={value}
      aria-valuemin={LEAST}
      aria-valuemax={MOST}
      onKeyDown={(event) => {
        if (event.key !== 'ArrowUp' && event.key !== 'ArrowDown') return
        event.preventDefault()
        set(value + (event.key === 'ArrowUp' ? -KEY_STEP : KEY_STEP))
      }}
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId)
      }}
      onPointerMove={(event) => {
        const { currentTarget } = event
        if (!currentTarget.hasPointerCapture(event.pointerId)) return
        const room = currentTarget.parentElement?.getBoundingClientRect()
        if (room) set(((event.clientY - room.top) / room.height) * 100)
      }}
    />
  )
}

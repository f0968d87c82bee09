import { useEffect, useState } from 'preact/hooks'

import { serviceNow } from '../run/clock.js'
import type { Signal } from '../run/signal.js'

/** Draws the component again when the signal tells. */
export function useSignal(signal: Signal | undefined): void {
  const [, again] = useState(0)
  useEffect(
    () =>
      signal?.on(() => {
        again((n) => n + 1)
      }),
    [signal],
  )
}

/** The time at the service, which goes on while `active`. */
export function useNow(active: boolean, everyMs = 100): number {
  const [now, set] = useState(serviceNow)
  useEffect(() => {
    set(serviceNow())
    if (!active) return undefined
    const timer = setInterval(() => {
      set(serviceNow())
    }, everyMs)
    return () => {
      clearInterval(timer)
    }
  }, [active, everyMs])
  return now
}

/** A choice that this browser remembers. */
export function useRemembered(name: string, initial: string): [string, (value: string) => void] {
  const [value, set] = useState(() => recall(name) ?? initial)
  return [
    value,
    (next) => {
      set(next)
      remember(name, next)
    },
  ]
}

// A browser may refuse to keep anything: then the choice holds until the page is left.
export function recall(name: string): string | undefined {
  try {
    return localStorage.getItem(name) ?? undefined
  } catch {
    return undefined
  }
}

export function remember(name: string, value: string): void {
  try {
    localStorage.setItem(name, value)
  } catch {
    // See above.
  }
}

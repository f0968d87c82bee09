// What ends `play` from outside. The first time asks, the second time does not wait.

import { constants } from 'node:os'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * Calls `stop` each time, until the program has ended.
 *
 * @returns what tells 128 and the number of the signal that came first, or undefined.
 */
export function onSignals(stop: () => void): () => number | undefined {
  let first: (typeof signals)[number] | undefined
  const receive = (signal: (typeof signals)[number]): void => {
    first ??= signal
    stop()
  }
  for (const signal of signals) {
    process.on(signal, () => {
      receive(signal)
    })
  }
  // Whoever has read has gone, as with `play run … | head`.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    receive('SIGTERM')
  })
  return () => (first === undefined ? undefined : 128 + constants.signals[first])
}

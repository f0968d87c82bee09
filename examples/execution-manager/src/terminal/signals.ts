// What ends `play` from outside. The first time asks, the second time does not wait.

import { constants } from 'node:os'

const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

export class Signals {
  #received: (typeof signals)[number] | undefined
  readonly #listeners: (readonly [(typeof signals)[number], () => void])[]

  /** `stop` is called each time. */
  constructor(stop: () => void) {
    this.#listeners = signals.map((signal) => [
      signal,
      () => {
        this.#received ??= signal
        stop()
      },
    ])
    for (const [signal, listener] of this.#listeners) process.on(signal, listener)
    // Whoever has read has gone, as with `play run … | head`.
    process.stdout.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      this.#received ??= 'SIGTERM'
      stop()
    })
  }

  /** 128 and the number of the signal that came first, or undefined. */
  get exitCode(): number | undefined {
    return this.#received === undefined ? undefined : 128 + constants.signals[this.#received]
  }

  /** Signals do what they did before. */
  release(): void {
    for (const [signal, listener] of this.#listeners) process.off(signal, listener)
  }
}

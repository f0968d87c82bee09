import { createParser, type EventSourceMessage } from 'eventsource-parser'

import { serviceNow } from './clock.js'
import { send, ServiceError } from './service.js'

export type Connection =
  | { readonly state: 'connecting' }
  | { readonly state: 'live' }
  /** It was lost, and is tried again `at` that time. */
  | { readonly state: 'waiting'; readonly at: number; readonly reason: string }
  /** All has been told. */
  | { readonly state: 'ended' }
  /** It makes no sense to try again. */
  | { readonly state: 'refused'; readonly error: ServiceError }

interface Listener {
  /** Returns whether it was the last one. */
  event(message: EventSourceMessage): boolean
  connection(connection: Connection): void
}

const FIRST_WAIT_MS = 500
const MAX_WAIT_MS = 10_000
// The service says something at least each 15 seconds.
const SILENCE_MS = 40_000

/**
 * Server-sent events, kept up: what was lost is tried again with growing pauses, from behind the last event that was
 * taken. `EventSource` does not tell why it was refused, nor when it tries again, and notices no silence.
 */
export class Events {
  #lastId: string | undefined
  #stop = new AbortController()
  #wake: (() => void) | undefined

  constructor(
    private readonly path: string,
    private readonly listener: Listener,
  ) {
    void this.#keepUp()
  }

  close(): void {
    this.#stop.abort()
    this.#wake?.()
  }

  /** Tries again without waiting any longer. */
  retryNow = (): void => {
    this.#wake?.()
  }

  async #keepUp(): Promise<void> {
    for (let wait = FIRST_WAIT_MS; !this.#isClosed(); wait = Math.min(wait * 2, MAX_WAIT_MS)) {
      const outcome = await this.#listen(() => {
        wait = FIRST_WAIT_MS / 2
      })
      if (this.#isClosed()) return
      if (outcome === 'ended') {
        this.listener.connection({ state: 'ended' })
        return
      }
      if (outcome.status >= 400 && outcome.status < 500 && outcome.status !== 408 && outcome.status !== 429) {
        this.listener.connection({ state: 'refused', error: outcome })
        return
      }
      const pause = wait * (0.75 + Math.random() / 2)
      this.listener.connection({ state: 'waiting', at: serviceNow() + pause, reason: outcome.message })
      await this.#sleep(pause)
    }
  }

  #isClosed(): boolean {
    return this.#stop.signal.aborted
  }

  /** One connection, to its end. */
  async #listen(onHeard: () => void): Promise<'ended' | ServiceError> {
    const silence = new AbortController()
    let timer = setTimeout(() => {
      silence.abort()
    }, SILENCE_MS)
    this.listener.connection({ state: 'connecting' })
    try {
      const response = await send(this.path, {
        headers: {
          accept: 'text/event-stream',
          ...(this.#lastId !== undefined && { 'last-event-id': this.#lastId }),
        },
        signal: AbortSignal.any([this.#stop.signal, silence.signal]),
        cache: 'no-store',
      })
      if (!response.body) return new ServiceError('The service sent nothing', 0)
      this.listener.connection({ state: 'live' })
      const state = { ended: false }
      const parser = createParser({
        onEvent: (message) => {
          state.ended ||= this.listener.event(message)
          if (message.id !== undefined) this.#lastId = message.id
        },
      })
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { done, value } = await reader.read()
        if (done) return new ServiceError('The connection was closed', 0)
        clearTimeout(timer)
        timer = setTimeout(() => {
          silence.abort()
        }, SILENCE_MS)
        onHeard()
        parser.feed(value)
        if (state.ended) return 'ended'
      }
    } catch (error) {
      if (error instanceof ServiceError) return error
      return new ServiceError(silence.signal.aborted ? 'The service fell silent' : 'The connection broke', 0)
    } finally {
      clearTimeout(timer)
    }
  }

  #sleep(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms)
      this.#wake = () => {
        clearTimeout(timer)
        resolve()
      }
      addEventListener('online', this.#wake, { once: true })
    })
  }
}

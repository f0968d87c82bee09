import type { Client } from '../redis/connections'

type Listener = (message: string | undefined) => void

/**
 * Listens to channels over one connection. Whoever listens is also called, without a message, after each time the
 * connection was down: what was said meanwhile is not known.
 */
export class Bells {
  readonly #client: Client
  readonly #listeners = new Map<string, Set<Listener>>()
  #isFirst = true

  constructor(client: Client) {
    this.#client = client
    client.on('message', (channel: string, message: string) => {
      for (const listener of [...(this.#listeners.get(channel) ?? [])]) listener(message)
    })
    client.on('ready', () => void this.#again())
  }

  /** Resolves once it listens, with what ends that. */
  async listen(channel: string, listener: Listener): Promise<() => void> {
    const listeners = this.#listeners.get(channel) ?? new Set()
    this.#listeners.set(channel, listeners.add(listener))
    const leave = (): void => {
      listeners.delete(listener)
      if (listeners.size > 0 || this.#listeners.get(channel) !== listeners) return
      this.#listeners.delete(channel)
      // Where the connection is down or closed there is nothing to be left.
      this.#client.unsubscribe(channel).catch(() => {})
    }
    try {
      await this.#client.subscribe(channel)
      return leave
    } catch (error) {
      leave()
      throw error
    }
  }

  async #again(): Promise<void> {
    if (this.#isFirst) {
      this.#isFirst = false
      return
    }
    const channels = [...this.#listeners.keys()]
    try {
      if (channels.length > 0) await this.#client.subscribe(...channels)
    } catch {
      // It is down again, and this is called when it is back.
      return
    }
    for (const channel of channels)
      for (const listener of [...(this.#listeners.get(channel) ?? [])]) listener(undefined)
  }
}

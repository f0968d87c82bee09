'use strict'

const { onAbort } = require('./abort')
const { seenFrom } = require('./error')

/** @typedef {import('../index').LogLine} LogLine */

/**
 * What follows a log: `take` resolves with the next entries, none if there are none to come or it was stopped.
 *
 * @typedef {{ take: () => Promise<LogLine[]>, stop: () => void }} Follower
 */

/**
 * The entries of a log, taken one by one. What was not taken yet stays in the file.
 *
 * @implements {AsyncGenerator<LogLine, void, undefined>}
 */
class LogStream {
  #entries
  #stopped = false
  /** @type {Follower | undefined} */
  #follower

  /** @param {() => Promise<Follower & { signal: AbortSignal | undefined }>} open called when the first entry is asked for */
  constructor(open) {
    this.#entries = this.#read(open)
  }

  /**
   * @param {() => Promise<Follower & { signal: AbortSignal | undefined }>} open
   * @returns {AsyncGenerator<LogLine, void, undefined>}
   */
  async *#read(open) {
    const { signal, ...follower } = await open()
    this.#follower = follower
    if (signal?.aborted) this.#stopped = true
    const forget = signal && onAbort(signal, () => this.#stop())
    try {
      while (!this.#stopped) {
        const lines = await follower.take()
        if (lines.length === 0) return
        for (const line of lines) {
          if (this.#stopped) return
          yield line
        }
      }
    } finally {
      forget?.()
      follower.stop()
    }
  }

  #stop() {
    this.#stopped = true
    this.#follower?.stop()
  }

  /** @returns {Promise<IteratorResult<LogLine, void>>} */
  async next() {
    try {
      return await this.#entries.next()
    } catch (error) {
      throw seenFrom(error, this.next)
    }
  }

  /** Ends what waits for an entry as well. @returns {Promise<IteratorResult<LogLine, void>>} */
  return() {
    this.#stop()
    return this.#entries.return()
  }

  /** @param {unknown} error @returns {Promise<any>} */
  async throw(error) {
    await this.return()
    throw error
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async [Symbol.asyncDispose]() {
    await this.return()
  }
}

module.exports = { LogStream }

'use strict'

const { onAbort } = require('./abort')
const channel = require('./channel')
const { seenFrom } = require('./error')
const { toLogPage } = require('./result')

/** @typedef {import('../index').LogLine} LogLine */
/** @typedef {{ follower: import('../binding').NativeLogFollower, signal: AbortSignal | undefined }} Opened */

/**
 * The entries of a log, taken one by one. What was not taken yet stays in the file.
 *
 * @implements {AsyncGenerator<LogLine, void, undefined>}
 */
class LogStream {
  #entries
  #stopped = false
  /** @type {import('../binding').NativeLogFollower | undefined} */
  #follower

  /** @param {() => Promise<Opened>} open called when the first entry is asked for */
  constructor(open) {
    this.#entries = this.#read(open)
  }

  /** @param {() => Promise<Opened>} open @returns {AsyncGenerator<LogLine, void, undefined>} */
  async *#read(open) {
    const { follower, signal } = await open()
    this.#follower = follower
    if (signal?.aborted) this.#stopped = true
    const forget = signal && onAbort(signal, () => this.#stop())
    try {
      while (!this.#stopped) {
        const json = await channel.ask((token) => follower.next(token))
        if (json === undefined) return
        for (const line of toLogPage(json).lines) {
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

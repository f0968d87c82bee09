'use strict'

// Lines come as one string for up to 64 KiB of output, and are cut here: one call from Rust per line would be
// slower than what it replaces.

/**
 * @typedef {object} Batch
 * @property {'stdout' | 'stderr'} stream
 * @property {string} text lines, each followed by a newline
 * @property {number[] | undefined} partial the indices of those that go on in the next, ascending
 * @property {number} at when they were read, in milliseconds since 1970
 */

/**
 * Gives every line to the callback of a user, one after the other. Returns a promise only if the callback
 * returned one: then the next line waits until it has settled, and does not come if its execution has ended by then.
 *
 * @param {{ over?: boolean }} run
 * @param {(line: string) => unknown} callback
 * @param {string} text
 * @param {number} [start]
 * @returns {Promise<void> | undefined}
 */
function deliverLines(run, callback, text, start = 0) {
  for (;;) {
    try {
      for (let end; (end = text.indexOf('\n', start)) !== -1;) {
        const line = text.slice(start, end)
        start = end + 1
        const returned = callback(line)
        if (returned !== undefined) {
          const pending = settling(returned)
          if (pending) return pending.then(() => (run.over ? undefined : deliverLines(run, callback, text, start)))
        }
      }
      return undefined
    } catch (error) {
      report(error)
    }
  }
}

/**
 * Calls the callback of a user once.
 *
 * @template T
 * @param {(value: T) => unknown} callback
 * @param {T} value
 * @returns {Promise<void> | undefined}
 */
function call(callback, value) {
  try {
    return settling(callback(value))
  } catch (error) {
    report(error)
    return undefined
  }
}

/**
 * What a callback throws is an uncaught exception, as with any event listener; the execution goes on.
 *
 * @param {unknown} error
 */
function report(error) {
  queueMicrotask(() => {
    throw error
  })
}

/**
 * Waits for what a callback returned, if it is a promise. What it rejects is an unhandled rejection.
 *
 * @param {any} returned
 * @returns {Promise<void> | undefined}
 */
function settling(returned) {
  if (typeof returned?.then !== 'function') return undefined
  return Promise.resolve(returned).then(nothing, (error) => {
    void Promise.reject(error)
  })
}

function nothing() {}

/**
 * Takes a batch apart, line by line, as events.
 */
class BatchEvents {
  #batch
  #about
  #timestamp
  #start = 0
  #index = 0
  /** How many of the partial lines were taken. */
  #partials = 0

  /**
   * @param {Batch} batch
   * @param {import('./about').About} about
   */
  constructor(batch, about) {
    this.#batch = batch
    this.#about = about
    this.#timestamp = new Date(batch.at).toISOString()
  }

  next() {
    const { stream, text, partial } = this.#batch
    const end = text.indexOf('\n', this.#start)
    if (end === -1) return undefined
    const isPartial = partial !== undefined && partial[this.#partials] === this.#index
    const { executionId, metadata, planId, step } = this.#about
    const event = {
      eventType: stream,
      executionId,
      metadata,
      planId,
      step,
      line: text.slice(this.#start, end),
      partial: isPartial,
      timestamp: this.#timestamp,
    }
    this.#start = end + 1
    this.#index += 1
    if (isPartial) this.#partials += 1
    return event
  }
}

module.exports = { BatchEvents, call, deliverLines }

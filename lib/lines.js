'use strict'

// Lines come as one string for up to 64 KiB of output, and are cut here: one call from Rust per line would be
// slower than what it replaces. How long each line is comes along, in a string that is a list of numbers: to search
// for the newlines would take this thread a third of its time.

/** A length in that string that goes on in the next one. */
const MORE = 0xffff

/**
 * @typedef {object} Batch
 * @property {'stdout' | 'stderr'} stream
 * @property {string} text lines, each followed by a newline
 * @property {string} lengths of the lines, one code unit each; one that is `MORE` goes on in the next
 * @property {number[] | undefined} partial the indices of those that go on in the next, ascending
 * @property {number} at when they were read, in milliseconds since 1970
 */

/**
 * Gives every line to the callback of a user, one after the other. Returns a promise only if the callback
 * returned one: then the next line waits until it has settled, and does not come if its execution has ended by then.
 *
 * @param {{ over?: boolean }} run
 * @param {(line: string) => unknown} callback
 * @param {Batch} batch
 * @param {number} [start]
 * @param {number} [index]
 * @returns {Promise<void> | undefined}
 */
function deliverLines(run, callback, batch, start = 0, index = 0) {
  const { text, lengths } = batch
  for (;;) {
    try {
      while (index < lengths.length) {
        let /** @type {number} */ end = start
        for (let length = MORE; length === MORE; end += length) length = lengths.charCodeAt(index++)
        const line = text.slice(start, end)
        start = end + 1
        const returned = callback(line)
        if (returned !== undefined) {
          const pending = settling(returned)
          if (pending)
            return pending.then(() => (run.over ? undefined : deliverLines(run, callback, batch, start, index)))
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
  #executionId
  #timestamp
  #start = 0
  /** How many lines were taken. */
  #line = 0
  /** How many of their lengths. */
  #index = 0
  /** How many of the partial lines. */
  #partials = 0

  /**
   * @param {Batch} batch
   * @param {string} executionId
   */
  constructor(batch, executionId) {
    this.#batch = batch
    this.#executionId = executionId
    this.#timestamp = new Date(batch.at).toISOString()
  }

  next() {
    const { stream, text, lengths, partial } = this.#batch
    if (this.#index === lengths.length) return undefined
    let end = this.#start
    for (let length = MORE; length === MORE; end += length) length = lengths.charCodeAt(this.#index++)
    const isPartial = partial !== undefined && partial[this.#partials] === this.#line
    const event = {
      eventType: stream,
      executionId: this.#executionId,
      line: text.slice(this.#start, end),
      partial: isPartial,
      timestamp: this.#timestamp,
    }
    this.#start = end + 1
    this.#line += 1
    if (isPartial) this.#partials += 1
    return event
  }
}

module.exports = { BatchEvents, call, deliverLines }

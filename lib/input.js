'use strict'

// What a command reads from a source in JavaScript: an async iterable, a stream of Node or one of the web. It is pulled
// no faster than the command reads.

const { isUint8Array } = require('node:util').types

/**
 * What is pulled: the next chunk, and an end before its own.
 *
 * @typedef {object} Chunks
 * @property {() => Promise<{ done?: boolean | undefined, value?: unknown }>} next
 * @property {() => unknown} leave
 */

/** @param {any} value */
const isWebStream = (value) => typeof value?.getReader === 'function'

/** @param {any} value */
const isSource = (value) =>
  typeof value === 'object' &&
  value !== null &&
  (isWebStream(value) || typeof value[Symbol.asyncIterator] === 'function')

/** @param {any} stream @returns {Chunks} */
function chunksOfWebStream(stream) {
  const reader = stream.getReader()
  // A read that waits is answered by this.
  return { next: () => reader.read(), leave: () => reader.cancel() }
}

/** @param {any} iterable @returns {Chunks} */
function chunksOfIterable(iterable) {
  const iterator = iterable[Symbol.asyncIterator]()
  const leave = () => {
    // An iterator that waits for its next value would answer only then, and a stream of Node does not have to.
    if (typeof iterable.destroy === 'function') iterable.destroy()
    return iterator.return?.()
  }
  return { next: async () => iterator.next(), leave }
}

/** What an execution reads. It is pulled once the command runs, and left when the execution has ended. */
class Source {
  #given
  /** @type {Chunks | undefined} */
  #chunks
  #isOver = false
  #onError = () => {}
  #isRead = false

  /** @param {unknown} given */
  constructor(given) {
    this.#given = given
  }

  /** From now on, an error of a stream that nobody reads yet is told when it is read, and not to the whole process. */
  hold() {
    const { on } = /** @type {any} */ (this.#given)
    if (typeof on === 'function') on.call(this.#given, 'error', this.#onError)
  }

  /** Leaves it as it was, as what was to read it was refused. It feeds nothing: its id may be that of another execution. */
  release() {
    this.#isOver = true
    const { off } = /** @type {any} */ (this.#given)
    if (typeof off === 'function') off.call(this.#given, 'error', this.#onError)
  }

  /** @returns {Chunks} */
  #open() {
    return (this.#chunks ??= isWebStream(this.#given) ? chunksOfWebStream(this.#given) : chunksOfIterable(this.#given))
  }

  /**
   * Feeds the command, until its end or that of the source.
   *
   * @param {{ write(chunk: string | Uint8Array): Promise<void>, close(): Promise<void>, fail(problem: string): void }} input
   */
  async feed(input) {
    try {
      if (this.#isOver) return
      // Answered once the command runs. What never does takes nothing from its source.
      if (!(await this.#wasTaken(input.write('')))) return
      while (!this.#isOver) {
        const { done, value } = await this.#open().next()
        // It has ended meanwhile, and its id may be that of another execution.
        if (this.#isOver) return
        if (done) {
          this.#isRead = true
          await input.close()
          return
        }
        if (typeof value !== 'string' && !isUint8Array(value)) throw new TypeError(wrongChunk(value))
        if (!(await this.#wasTaken(input.write(value)))) return
      }
    } catch (error) {
      this.#isRead = true
      if (!this.#isOver) input.fail(wordsOf(error))
    }
  }

  /**
   * What is over takes no more, and whether it was refused, which leaves the source as it is, or has ended, is told apart. A
   * command that closes its input takes no more either, and nothing else may keep it waiting.
   *
   * @param {Promise<void>} written
   */
  async #wasTaken(written) {
    try {
      await written
      return true
    } catch (/** @type {any} */ error) {
      if (error.code === 'IO') this.end()
      else if (!IS_OVER.has(error.code)) throw error
      return false
    }
  }

  /** Lets go of the source, whose rest nobody reads. */
  end() {
    if (this.#isOver) return
    this.#isOver = true
    if (this.#isRead) return
    this.#isRead = true
    // What a source says to that is nobody's concern.
    try {
      Promise.resolve(this.#open().leave()).catch(() => {})
    } catch {}
  }
}

/** What is said of what is over. */
const IS_OVER = new Set(['ALREADY_FINISHED', 'NOT_FOUND'])

/** @param {unknown} value */
function wrongChunk(value) {
  const found = value === null || typeof value !== 'object' ? typeof value : Object.prototype.toString.call(value)
  return `expected chunks that are strings or Uint8Arrays, found ${found}`
}

/** @param {any} error */
function wordsOf(error) {
  try {
    return String(error?.message || error)
  } catch {
    return 'an error without words'
  }
}

module.exports = { Source, isSource }

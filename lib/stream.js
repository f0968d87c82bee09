'use strict'

const { seenFrom } = require('./error')

/** @typedef {{ next(): any }} Events what is to be taken, one event at a time, until there is none */
/** @typedef {{ events: Events, taken: () => void }} Item */
/** @typedef {{ resolve: (step: IteratorResult<any, void>) => void, reject: (error: unknown) => void }} Waiting */

/**
 * The events of one execution, taken one by one. Output that was not taken yet is held back in the command.
 *
 * @implements {AsyncGenerator<any, void, undefined>}
 */
class EventStream {
  /** @type {Item[]} */
  #items = []
  /** @type {Waiting[]} */
  #waiting = []
  #begun = false
  #over = false
  /** @type {Error | undefined} */
  #error
  #start
  #stop
  /** Called when an event was taken. @type {(() => void) | undefined} */
  onTake

  /**
   * @param {(stream: EventStream) => void} start called when the first event is asked for, or by `begin`
   * @param {() => Promise<void>} stop
   */
  constructor(start, stop) {
    this.#start = start
    this.#stop = stop
  }

  /**
   * Takes events from the engine. The promise, if there is one, settles once they have been taken from here.
   *
   * @param {Events} events
   * @returns {Promise<void> | undefined}
   */
  push(events) {
    if (this.#over) return undefined
    const taken = new Promise((/** @type {(value: void) => void} */ resolve) => {
      this.#items.push({ events, taken: resolve })
    })
    while (this.#waiting.length > 0) {
      const value = this.#take()
      if (value === undefined) return undefined
      this.#waiting.shift()?.resolve({ value, done: false })
    }
    return taken
  }

  /** The next event, if one is there. */
  #take() {
    for (let item; (item = this.#items[0]) !== undefined;) {
      const value = item.events.next()
      if (value !== undefined) {
        this.onTake?.()
        return value
      }
      this.#items.shift()
      item.taken()
    }
    return undefined
  }

  /**
   * Nothing more comes.
   *
   * @param {Error} [error]
   */
  end(error) {
    this.#over = true
    this.#error ??= error
    for (const waiting of this.#waiting.splice(0)) this.#finish(waiting)
  }

  /** @param {Waiting} waiting */
  #finish({ resolve, reject }) {
    const error = this.#error
    this.#error = undefined
    if (error) reject(error)
    else resolve({ value: undefined, done: true })
  }

  /** Starts it now, and not when the first event is asked for. */
  begin() {
    this.#begun = true
    this.#start(this)
    return this
  }

  /** @returns {Promise<IteratorResult<any, void>>} */
  next() {
    if (this.#begun) return this.#next()
    this.begin()
    return this.#over ? this.#next() : this.#first()
  }

  /** The only one that a request which is refused later can reject. @returns {Promise<IteratorResult<any, void>>} */
  async #first() {
    try {
      return await this.#next()
    } catch (error) {
      throw seenFrom(error, this.#first)
    }
  }

  /** @returns {Promise<IteratorResult<any, void>>} */
  #next() {
    const value = this.#take()
    if (value !== undefined) return Promise.resolve({ value, done: false })
    return new Promise((resolve, reject) => {
      if (this.#over) this.#finish({ resolve, reject })
      else this.#waiting.push({ resolve, reject })
    })
  }

  /** Leaving early stops it, and waits until that has happened. */
  async return() {
    const running = this.#begun && !this.#over
    this.#begun = true
    this.#over = true
    for (const item of this.#items.splice(0)) item.taken()
    if (running) await this.#stop()
    // Who leaves does not ask why it ended.
    this.#error = undefined
    this.end()
    return { value: undefined, done: /** @type {const} */ (true) }
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

module.exports = { EventStream }

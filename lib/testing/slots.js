'use strict'

const { ExecutionError } = require('../error')

/** Who may run, and who waits, in the order of arrival. */
class Slots {
  #limit
  #maxQueued
  #running = 0
  /** @type {{ isStep: boolean, begin: () => void }[]} */
  #waiting = []

  /** @param {{ maxConcurrentExecutions: number, maxQueuedExecutions: number }} config */
  constructor({ maxConcurrentExecutions, maxQueuedExecutions }) {
    this.#limit = maxConcurrentExecutions
    this.#maxQueued = maxQueuedExecutions
  }

  get running() {
    return this.#running
  }

  get queued() {
    return this.#waiting.length
  }

  get available() {
    return this.#limit - this.#running
  }

  /** Throws where no place is left for what is no step of a plan. */
  expectPlace() {
    const queued = this.#waiting.filter(({ isStep }) => !isStep).length
    if (this.available > 0 || queued < this.#maxQueued) return
    throw new ExecutionError(
      'CONCURRENCY_LIMIT_REACHED',
      `${this.#running} of ${this.#limit} executions are running and ${queued} of ${this.#maxQueued} are waiting: no slot is free`,
    )
  }

  /**
   * A place in the line: `turn` resolves when it is its turn, `leave` gives the slot back, or the place.
   *
   * @param {boolean} isStep
   */
  take(isStep) {
    let hasSlot = false
    /** @type {() => void} */
    let begin = () => {}
    const turn = new Promise((/** @type {(value: void) => void} */ resolve) => {
      begin = () => {
        hasSlot = true
        this.#running += 1
        resolve()
      }
    })
    const waiting = { isStep, begin }
    this.#waiting.push(waiting)
    this.#advance()
    const leave = () => {
      if (hasSlot) this.#running -= 1
      else this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
      this.#advance()
    }
    return { turn, leave }
  }

  #advance() {
    while (this.available > 0 && this.#waiting.length > 0) this.#waiting.shift()?.begin()
  }
}

module.exports = { Slots }

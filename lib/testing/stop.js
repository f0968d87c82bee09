'use strict'

const { Moment } = require('./time')

/** @typedef {import('./cause').Cause} Cause */

/** What an execution is asked to end for. The first cause stays, for the attempt that runs. */
class Stop {
  /** @type {Cause | undefined} */
  cause
  /** The first that ends not only the attempt that runs, also where it came too late for that. @type {Cause | undefined} */
  #last
  #hasEnded = false
  #moment = new Moment()

  /** Resolves once there is a cause. */
  get asked() {
    return this.#moment.reached
  }

  /** @param {Cause} cause */
  ask(cause) {
    if (cause.isLast) this.#last ??= cause
    if (this.#hasEnded) return
    this.cause ??= cause
    this.#moment.reach()
  }

  /** Notes that the attempt has ended; returns what it was ended for. */
  end() {
    this.#hasEnded = true
    return this.cause
  }

  /** For the next attempt, which may begin unless there is a cause already. */
  beginAgain() {
    this.cause = undefined
    this.#hasEnded = false
    this.#moment = new Moment()
    if (this.#last !== undefined) this.ask(this.#last)
  }
}

module.exports = { Stop }

'use strict'

const { Moment } = require('./time')

/** @typedef {import('./cause').Cause} Cause */

/** What an execution is asked to end for. The first cause stays, for the attempt that runs. */
class Stop {
  /** @type {Cause | undefined} */
  cause
  /** The first that ends not only the attempt that runs, also where another came before it. @type {Cause | undefined} */
  #last
  #moment = new Moment()

  /** Resolves once there is a cause. */
  get asked() {
    return this.#moment.reached
  }

  /** @param {Cause} cause */
  ask(cause) {
    if (cause.isLast) this.#last ??= cause
    this.cause ??= cause
    this.#moment.reach()
  }

  /** For the next attempt, which may begin unless there is a cause already. */
  beginAgain() {
    this.cause = undefined
    this.#moment = new Moment()
    if (this.#last !== undefined) this.ask(this.#last)
  }
}

module.exports = { Stop }

'use strict'

const { after } = require('../timer')

/** What ends an execution unless it is renewed in time. */
class Lease {
  #ms
  #end
  #hasEnded = false
  /** @type {() => void} */
  release = () => {}

  /** It counts from here on. @param {number} ms @param {() => void} end */
  constructor(ms, end) {
    this.#ms = ms
    this.#end = end
    this.renew()
  }

  /** Lets it end that many milliseconds from now; false if it has ended. @param {number} [ms] */
  renew(ms = this.#ms) {
    if (this.#hasEnded) return false
    this.release()
    this.release = after(ms, () => {
      this.#hasEnded = true
      this.#end()
    })
    return true
  }
}

module.exports = { Lease }

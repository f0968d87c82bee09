'use strict'

// Waiting, with the timers that a test may have replaced by its own: they are looked up at each call.

const { onAbort } = require('../abort')
const { after } = require('../timer')

/** Something that happens once, and who waits for it. */
class Moment {
  /** @type {() => void} */
  reach = () => {}
  reached = new Promise((/** @type {(value: void) => void} */ resolve) => (this.reach = resolve))
}

/** Waits for a promise, and no longer than that. @param {Promise<unknown>} promise @param {number} ms */
async function within(promise, ms) {
  const over = new Moment()
  const clear = after(ms, over.reach)
  await Promise.race([promise, over.reached])
  clear()
}

/** Waits for a promise, or until it is aborted; answers whether it is not. @param {Promise<unknown>} promise @param {AbortSignal | undefined} signal */
async function untilAborted(promise, signal) {
  const aborted = new Moment()
  const forget = signal && onAbort(signal, aborted.reach)
  if (signal?.aborted !== true) await Promise.race([promise, aborted.reached])
  forget?.()
  return signal?.aborted !== true
}

module.exports = { Moment, untilAborted, within }

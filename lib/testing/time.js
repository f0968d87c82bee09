'use strict'

// Waiting, with the timers that a test may have replaced by its own: they are looked up at each call.

const { onAbort } = require('../abort')

/** Longer than this no timer waits. */
const LONGEST = 2 ** 31 - 1

/** Something that happens once, and who waits for it. */
class Moment {
  /** @type {() => void} */
  reach = () => {}
  reached = new Promise((/** @type {(value: void) => void} */ resolve) => (this.reach = resolve))
}

/** @param {number} ms */
function pause(ms) {
  /** @type {ReturnType<typeof setTimeout>} */
  let timer
  const over = new Promise((/** @type {(value: void) => void} */ resolve) => {
    timer = setTimeout(resolve, Math.min(ms, LONGEST))
  })
  return { over, clear: () => clearTimeout(timer) }
}

/** Waits for a promise, and no longer than that. @param {Promise<unknown>} promise @param {number} ms */
async function within(promise, ms) {
  const { over, clear } = pause(ms)
  await Promise.race([promise, over])
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

module.exports = { Moment, pause, untilAborted, within }

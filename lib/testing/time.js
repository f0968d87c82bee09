'use strict'

// Waiting, with the timers that a test may have replaced by its own: they are looked up at each call.

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

module.exports = { Moment, pause, within }

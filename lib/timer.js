'use strict'

/** Longer than this no timer of JavaScript waits. */
const LONGEST = 2 ** 31 - 1

/**
 * Calls back after that many milliseconds, however many; returns what prevents it.
 *
 * @param {number} ms
 * @param {() => void} done
 */
function after(ms, done) {
  /** @type {ReturnType<typeof setTimeout>} */
  let timer
  /** @param {number} left */
  const wait = (left) => {
    if (left > LONGEST) timer = setTimeout(() => wait(left - LONGEST), LONGEST)
    else timer = setTimeout(done, left)
  }
  wait(ms)
  return () => clearTimeout(timer)
}

module.exports = { after }

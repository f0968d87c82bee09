// What the long runs ask of processes and of numbers besides what all tests do.

import { setTimeout as sleep } from 'node:timers/promises'
import { survivors } from '../processes.mjs'

export { newMark, survivors } from '../processes.mjs'

/**
 * Waits until nothing is left, at most so long; returns what is.
 *
 * @param {string} mark
 * @param {number} ms
 */
export async function survivorsAfter(mark, ms) {
  const end = Date.now() + ms
  for (;;) {
    const left = survivors(mark)
    if (left.length === 0 || Date.now() > end) return left
    await sleep(5)
  }
}

/**
 * Waits until that many are there.
 *
 * @param {string} mark
 * @param {number} count
 */
export async function started(mark, count) {
  const end = Date.now() + 10_000
  while (survivors(mark).length < count) {
    if (Date.now() > end) throw new Error(`expected ${count} processes, found ${survivors(mark)}`)
    await sleep(5)
  }
}

/** Ends what a failed trial left, by number. @param {number[]} pids */
export function clear(pids) {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // It has ended by itself.
    }
  }
}

/** Numbers between 0 and 1 that repeat with the seed. @param {number} seed */
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** @param {number[]} values @param {number} share */
export function percentile(values, share) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]
}

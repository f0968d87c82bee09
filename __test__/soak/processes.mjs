// The survivors are counted by the operating system: a mark on the command line, found in /proc.

import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

let marks = 0

/** A number of seconds to sleep that nobody else sleeps: it marks a process on its command line. */
export function newMark() {
  marks += 1
  return `${7000 + (process.pid % 1000)}.${String(Date.now() % 1e6).padStart(6, '0')}${String(marks).padStart(5, '0')}`
}

/** @param {string} mark */
export function survivors(mark) {
  return readdirSync('/proc').filter((name) => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return false
    try {
      return (
        readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(mark) &&
        // A zombie is dead.
        !/^State:\s+Z/m.test(readFileSync(`/proc/${name}/status`, 'latin1'))
      )
    } catch {
      return false
    }
  })
}

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

/** Ends what a failed trial left, by number. @param {string[]} pids */
export function clear(pids) {
  for (const pid of pids) {
    try {
      process.kill(Number(pid), 'SIGKILL')
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

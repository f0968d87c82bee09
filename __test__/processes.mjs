// Processes that carry a mark on their command line, counted by the operating system; and waiting for what nothing tells of.
// The tests of each package and the long runs share it, so it is a program that needs no build.

import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'

let marks = 0

/**
 * A number of seconds to sleep that nobody else sleeps: it marks a process on its command line. All are of one length, so that
 * none is a part of another.
 */
export function newMark() {
  marks += 1
  const [pid, time, count] = [String(process.pid), String(Date.now() % 1e8), String(marks)]
  return `9${pid.padStart(7, '0')}.${time.padStart(8, '0')}${count.padStart(5, '0')}1`
}

/** The live processes that carry the mark. A zombie is dead. @param {string} mark @returns {number[]} */
export const survivors = (mark) =>
  readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!(pid > 0) || pid === process.pid) return false
      try {
        const line = readFileSync(`/proc/${pid}/cmdline`, 'latin1')
        return line.includes(mark) && !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'))
      } catch {
        return false
      }
    })

/** Whether a process runs `sleep`, and is no shell that is going to. @param {number} pid */
export function isSleep(pid) {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'latin1') === 'sleep\n'
  } catch {
    return false
  }
}

/**
 * Waits until that many processes carry the mark; fails after a while.
 *
 * @param {string} mark
 * @param {number} count
 * @param {number} [ms]
 */
export async function untilThere(mark, count, ms) {
  await until(() => survivors(mark).length === count, `${count} processes with the mark`, ms)
}

/**
 * Waits for a condition that nothing tells of.
 *
 * @param {() => boolean | Promise<boolean>} condition
 * @param {string} what it is, for the error
 * @param {number} [ms]
 */
export async function until(condition, what, ms = 15_000) {
  const end = Date.now() + ms
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`expected ${what} within ${ms} ms`)
    await sleep(5)
  }
}

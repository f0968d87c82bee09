// What is watched while something else is measured.

import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setImmediate } from 'node:timers'

export const sleep = (/** @type {number} */ ms) => new Promise((resolve) => void setTimeout(resolve, ms))

/** Time for the loop to turn before and after: a loop that never turned meanwhile is one long delay. */
const MARGIN_MS = 5

/**
 * How long the event loop kept a timer waiting meanwhile, in milliseconds, and what it took of the processor for each
 * of what was done, in microseconds: of this process, its threads and its part in a fork included, not of its children.
 *
 * @template {{ amount: number }} T
 * @param {() => Promise<T>} work
 */
export async function whileWatchingLoop(work) {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  delay.enable()
  await sleep(MARGIN_MS)
  const before = process.cpuUsage()
  const result = await work()
  const { user, system } = process.cpuUsage(before)
  await sleep(MARGIN_MS)
  delay.disable()
  return { ...result, cpu: (user + system) / result.amount, p99: delay.percentile(99) / 1e6, longest: delay.max / 1e6 }
}

/**
 * The longest turn meanwhile of a loop that does nothing else, in milliseconds: for what takes less than a timer tells.
 *
 * @param {() => Promise<unknown>} work
 */
export async function longestTurn(work) {
  let longest = 0
  let last = performance.now()
  let done = false
  const turn = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    if (!done) setImmediate(turn)
  }
  setImmediate(turn)
  await work()
  done = true
  return longest
}

/** The memory of this process, in bytes, without what only waits to be collected. */
export async function settledMemory() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await sleep(100)
  }
  return process.memoryUsage.rss()
}

/** The largest memory of this process meanwhile, in bytes. */
export function watchMemory() {
  let most = process.memoryUsage.rss()
  const look = () => {
    most = Math.max(most, process.memoryUsage.rss())
  }
  const timer = setInterval(look, 10)
  return () => {
    clearInterval(timer)
    look()
    return most
  }
}

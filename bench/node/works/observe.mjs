// What is watched while something else is measured.

import { openSync, readSync } from 'node:fs'
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
 * `busy` is the longest without the time in which the thread could have run and no processor was free: that is the
 * machine's.
 *
 * @param {() => Promise<unknown>} work
 */
export async function longestTurn(work) {
  const longest = { turn: 0, busy: 0 }
  let last = { at: performance.now(), waited: waitedForProcessor() }
  let done = false
  const turn = () => {
    const now = { at: performance.now(), waited: waitedForProcessor() }
    const took = now.at - last.at
    longest.turn = Math.max(longest.turn, took)
    longest.busy = Math.max(longest.busy, took - (now.waited - last.waited))
    last = now
    if (!done) setImmediate(turn)
  }
  setImmediate(turn)
  await work()
  done = true
  return longest
}

/** @type {number | undefined} */
let schedule
const text = Buffer.alloc(128)

/** Of the main thread so far, in milliseconds. Read so that little is left to collect, which would take its time. */
function waitedForProcessor() {
  schedule ??= openSync(`/proc/self/task/${process.pid}/schedstat`, 'r')
  readSync(schedule, text, 0, text.length, 0)
  const start = text.indexOf(' ') + 1
  return Number(text.toString('latin1', start, text.indexOf(' ', start))) / 1e6
}

/** The memory of this process, in bytes, without what only waits to be collected. */
export async function settledMemory() {
  for (let i = 0; i < 3; i++) {
    globalThis.gc?.()
    await sleep(100)
  }
  return process.memoryUsage.rss()
}

/**
 * The same without the room that V8 keeps for new objects: that grows with what a program does, to a bound, and holds
 * nothing.
 */
export async function memoryInUse() {
  await settledMemory()
  const { rss, heapTotal, heapUsed } = process.memoryUsage()
  return rss - (heapTotal - heapUsed)
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

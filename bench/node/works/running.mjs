// What running executions keep, and how many threads they take.

import { readFileSync } from 'node:fs'
import { exec, open } from '../contenders/engine.mjs'
import { memoryInUse, sleep } from './observe.mjs'

const threads = () => Number(/^Threads:\s+(\d+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1])

/** @param {{ executions: number }} spec */
export async function measure({ executions }) {
  const { engine, start } = open({ config: { maxConcurrentExecutions: executions } })
  /** @type {Promise<unknown>[]} */
  const running = []
  const runUpTo = async (/** @type {number} */ count) => {
    while (running.length < count) running.push(engine.run(exec('sleep', ['600'])))
    while (engine.runningCount < count) await sleep(10)
    await memoryInUse()
  }
  await Promise.all(Array.from({ length: 16 }, start))
  const before = await memoryInUse()
  await runUpTo(1)
  const threadsOfOne = threads()
  await runUpTo(executions / 2)
  const threadsOfMany = threads()
  await runUpTo(executions)
  const kept = ((await memoryInUse()) - before) / executions / 1024
  await engine.shutdown()
  return { kept, threadsOfOne, threadsOfMany }
}

// What the host grows by while commands print without end and their consumer cannot keep up, and whether a deadline
// and a cancel end them meanwhile.

import { readFileSync, readdirSync } from 'node:fs'
import { exec, open } from '../contenders/engine.mjs'
import { settledMemory, sleep, watchMemory } from './observe.mjs'

/** @type {Record<string, () => void | Promise<any>>} */
const consumers = {
  stuck: () => new Promise(() => {}),
  waiting: () => sleep(1),
  busy() {
    const until = performance.now() + 0.01
    while (performance.now() < until);
  },
}

/** @param {{ consumer: string, commands: number, seconds: number }} spec */
export async function measure({ consumer, commands, seconds }) {
  const { engine, start } = open({})
  const endless = exec('yes', ['x'.repeat(80)])
  const options = { onStdout: consumers[consumer] }
  await start()
  const before = await settledMemory()

  const memory = watchMemory()
  const timeoutMs = seconds * 1000
  const begun = performance.now()
  const runs = Array.from({ length: commands }, () => engine.run({ ...endless, timeoutMs }, options))
  await sleep(timeoutMs / 2)
  await untilNone('yes')
  const deadline = performance.now() - begun - timeoutMs
  const results = await Promise.all(runs)
  const growth = (memory() - before) / commands / 1e6
  for (const { status } of results) if (status !== 'timeout') throw new Error(`expected a timeout, found ${status}`)

  const id = await engine.execute(endless, options)
  await sleep(300)
  const asked = performance.now()
  const cancelled = engine.cancel(id)
  await untilNone('yes')
  const cancel = performance.now() - asked
  await cancelled
  return { growth, deadline, cancel, settled: performance.now() - asked }
}

/** Resolves once this process has no living child of that name. @param {string} name */
async function untilNone(name) {
  while (children().some((status) => status.startsWith(`Name:\t${name}\n`) && !/^State:\tZ/m.test(status))) {
    await sleep(5)
  }
}

/** What the system tells of each child, living or not yet reaped. */
function children() {
  const tasks = readdirSync('/proc/self/task')
  const pids = tasks.flatMap((task) => contents(`/proc/self/task/${task}/children`).split(' ').filter(Boolean))
  return pids.map((pid) => contents(`/proc/${pid}/status`))
}

/** @param {string} file of a process or thread that may be gone by now */
function contents(file) {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}

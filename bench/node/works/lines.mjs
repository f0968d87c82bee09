// Lines of 80 characters, each given to JavaScript, and what the event loop has of it.

import { rmSync } from 'node:fs'
import { whileWatchingLoop } from './observe.mjs'

/**
 * @param {{ contender: string, method: 'lines' | 'iterate', tools: string, commands: number, lines: number, forget?: string }}
 *   spec `lines` of each of the `commands`, which run at once; `forget`: a directory of logs to remove afterwards
 */
export async function measure(spec) {
  const { open } = await import(`../contenders/${spec.contender}.mjs`)
  const contender = open(spec)
  const run = (/** @type {number} */ count) => contender[spec.method](`${spec.tools}/lines`, [String(count)])
  await run(1000)
  const measured = await whileWatchingLoop(async () => {
    const begun = performance.now()
    const counts = await Promise.all(Array.from({ length: spec.commands }, () => run(spec.lines)))
    const seconds = (performance.now() - begun) / 1000
    for (const count of counts) if (count !== spec.lines) throw new Error(`${spec.lines} lines, ${count} of them seen`)
    const amount = (spec.lines * spec.commands) / 1e6
    return { rate: amount / seconds, amount }
  })
  if (spec.forget !== undefined) rmSync(spec.forget, { recursive: true })
  return measured
}

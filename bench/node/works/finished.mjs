// What finished executions without output keep, and what forgetting them costs.

import { open } from '../contenders/engine.mjs'
import { memoryInUse, sleep, longestTurn } from './observe.mjs'

/** @param {{ executions: number }} spec */
export async function measure({ executions }) {
  const config = { maxInMemoryExecutions: 2 * executions, executionRetentionSecs: 1, enableAutoCleanup: false }
  const { engine, start } = open({ config })
  const run = async (/** @type {number} */ count) => {
    let left = count
    const lane = async () => {
      while (left-- > 0) await start()
    }
    await Promise.all(Array.from({ length: 16 }, lane))
  }
  await run(500)
  const before = await memoryInUse()
  await run(executions)
  const kept = ((await memoryInUse()) - before) / executions / 1024

  await sleep(1500)
  let [forgotten, cleanup] = [0, 0]
  const { turn, busy } = await longestTurn(async () => {
    const begun = performance.now()
    forgotten = await engine.cleanup()
    cleanup = performance.now() - begun
  })
  if (forgotten !== executions + 500) throw new Error(`${forgotten} forgotten of ${executions + 500}`)
  return { kept, cleanup, turn, busy }
}

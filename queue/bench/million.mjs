// What a million finished executions cost Redis: `node bench/million.mjs [COUNT]`. They are made by a script, and not run.

import { startServer } from '../test/support/server.mjs'
import { makeFinished, whatRedisHolds } from '../test/support/finished.mjs'

const count = Number(process.argv[2] ?? 1_000_000)
const server = await startServer()
const { connection } = server
const begun = Date.now()
const seconds = () => ((Date.now() - begun) / 1000).toFixed(0)
const mib = (/** @type {number} */ bytes) => (bytes / 2 ** 20).toFixed(1)

const before = await whatRedisHolds(connection)
let most = 0
await makeFinished({
  connection,
  name: 'million',
  count,
  maxFinished: 10_000,
  outputBytes: 1000,
  async onProgress(finished) {
    const { memory, keys } = await whatRedisHolds(connection)
    most = Math.max(most, memory)
    if (finished % (count / 10) < count / 100)
      console.log(`${seconds()} s: ${finished}: ${mib(memory)} MiB, ${keys} keys`)
  },
})
const after = await whatRedisHolds(connection)
console.log(
  `${seconds()} s: ${count} finished: from ${mib(before.memory)} to ${mib(after.memory)} MiB, at most ${mib(most)}`,
)
console.log(after.kinds)
await server.close()

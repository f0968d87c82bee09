// A worker in a process of its own, to be killed, stopped, blocked and cut off: forked by workers.mjs, with its options as
// JSON in the first argument.

import { ExecutionWorker } from '@escher-dbai/execution-queue'

/** @type {import('@escher-dbai/execution-queue').ExecutionWorkerOptions} */
const options = JSON.parse(process.argv[2] ?? '{}')
const worker = new ExecutionWorker({ ...options, onWarning: () => {} })

/** @param {number} ms */
function block(ms) {
  const end = performance.now() + ms
  while (performance.now() < end);
}

/** @type {Record<string, (ms: number) => unknown>} */
const orders = {
  block,
  counts: () => worker.counts,
  async drain() {
    await worker.close()
    process.disconnect()
  },
  async abandon() {
    await worker.close({ drain: false })
    process.disconnect()
  },
}

process.on('message', (/** @type {{ order: string, ms: number, id: number }} */ { order, ms, id }) => {
  const perform = async () => orders[order]?.(ms)
  // It is answered first: a blocked loop can say nothing.
  if (order === 'block') process.send?.({ id, answer: null }, perform)
  else void perform().then((answer) => process.connected && process.send?.({ id, answer }))
})
// Whoever has started it is gone.
process.on('disconnect', () => process.exit())

await worker.ready()
process.send?.({ id: 0, answer: 'ready' })

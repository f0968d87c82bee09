// BullMQ with a sandboxed processor: each job in a child process of the worker, which are kept for the next.

import { fileURLToPath } from 'node:url'
import { Worker } from 'bullmq'

export { submit } from './bullmq.mjs'

const file = fileURLToPath(new URL('./sandbox.mjs', import.meta.url))

/** @type {import('./contender').Contender['work']} */
export async function work(connection, name, concurrency) {
  await new Worker(name, file, { connection, concurrency }).waitUntilReady()
}

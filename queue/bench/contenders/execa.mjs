// BullMQ with execa inside a processor.

import { Worker } from 'bullmq'
import { execa } from 'execa'

export { submit } from './bullmq.mjs'

/** @param {import('bullmq').Job} job */
export async function processor(job) {
  const { program, args, lines } = job.data
  const child = execa(program, args)
  if (lines) for await (const line of child) await job.updateProgress({ line })
  const { exitCode } = await child
  return { exitCode }
}

/** @type {import('./contender').Contender['work']} */
export async function work(connection, name, concurrency) {
  await new Worker(name, processor, { connection, concurrency }).waitUntilReady()
}

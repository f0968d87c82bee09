// BullMQ as its documents have it: a processor runs the command and tells of each line by the progress of its job.

import { Queue, QueueEvents } from 'bullmq'

/** @typedef {import('./contender').Contender} Contender */

/** @type {Contender['submit']} */
export async function submit(connection, name) {
  const queue = new Queue(name, { connection })
  const events = new QueueEvents(name, { connection })
  // One listener for each job would be a list that every event goes through.
  /** @type {Map<string, (line: string) => void>} */
  const listeners = new Map()
  events.on('progress', ({ jobId, data }) => listeners.get(jobId)?.(/** @type {{ line: string }} */ (data).line))
  events.setMaxListeners(0)
  await events.waitUntilReady()
  return {
    async run(program, args, onLine) {
      const options = { removeOnComplete: { count: 1000 } }
      const job = await queue.add('command', { program, args, lines: onLine !== undefined }, options)
      if (onLine !== undefined) listeners.set(String(job.id), onLine)
      await job.waitUntilFinished(events)
      listeners.delete(String(job.id))
    },
    async close() {
      await events.close()
      await queue.close()
    },
  }
}

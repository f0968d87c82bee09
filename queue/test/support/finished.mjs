// Makes executions that have finished, as many as are asked for, by a script: they are submitted, claimed, told of and
// settled as any other, and nothing is run.

import { randomUUID } from 'node:crypto'
import { fakeResult } from '@escher-dbai/execution-engine/testing'
import { QueueEngine } from '@escher-dbai/execution-queue'
import { Worker } from 'bullmq'
import { Redis } from 'ioredis'
import { LineWriter } from '../../dist/worker/line-writer.js'
import { Names } from '../../dist/names.js'
import { defineScripts } from '../../dist/redis/scripts.js'
import { Store } from '../../dist/redis/store.js'
import { storedOf } from '../../dist/request/results.js'

/** How many are on their way at once. */
const AT_ONCE = 200

/**
 * @typedef {object} Asked
 * @property {{ host: string, port: number }} connection
 * @property {string} name of the queue
 * @property {number} count
 * @property {number} maxFinished
 * @property {number} outputBytes that each has printed, as one line
 * @property {(finished: number) => Promise<void> | void} [onProgress] called for each hundredth of them
 */

/** @param {Asked} asked */
export async function makeFinished({ connection, name, count, maxFinished, outputBytes, onProgress }) {
  const queue = new QueueEngine({ connection, name, maxFinished })
  const client = new Redis({ ...connection, maxRetriesPerRequest: null })
  defineScripts(client)
  const names = new Names('escher', name)
  const store = new Store(client, names)
  const line = 'x'.repeat(outputBytes)
  /** Those that have not been settled. @type {Map<string, (value: undefined) => void>} */
  const open = new Map()

  /** @param {import('bullmq').Job} job */
  const settle = async (job) => {
    const id = String(job.id)
    const claim = await store.claim(id, job.token ?? '')
    if (claim.state !== 'run') throw new Error(`expected to run ${id}, found ${claim.state}`)
    const { run } = claim
    const result = { ...fakeResult({ status: 'completed', stdout: `${line}\n` }), id }
    const writer = new LineWriter(client, names, { id, run, lines: 0, warn: () => {} })
    writer.start({ startedAt: new Date().toISOString(), command: 'printf x' })
    void writer.line(null, { stream: 'stdout', text: line, at: Date.now(), partial: false, unfinished: false })
    await writer.flush()
    const stored = JSON.stringify(storedOf(result, 1))
    await store.settle({ id, run, result: stored, status: 'completed', durationMs: 1, lines: 1 })
    open.get(id)?.(undefined)
    open.delete(id)
    return { status: 'completed', exitCode: 0, durationMs: 1 }
  }

  const worker = new Worker(name, settle, { connection, prefix: queue.keyPrefix, concurrency: AT_ONCE })
  worker.on('error', () => {})
  let [next, finished] = [0, 0]
  const make = async () => {
    while (next < count) {
      next += 1
      const id = randomUUID()
      const settled = new Promise((resolve) => open.set(id, resolve))
      await queue.execute({ id, command: { type: 'exec', program: 'printf', args: ['x'] } })
      await settled
      finished += 1
      if (onProgress !== undefined && finished % Math.ceil(count / 100) === 0) await onProgress(finished)
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, make))
  await worker.close()
  await queue.shutdown()
  client.disconnect()
}

/**
 * What Redis holds: its memory, and how many keys of each kind.
 *
 * @param {{ host: string, port: number }} connection
 */
export async function whatRedisHolds(connection) {
  const client = new Redis(connection)
  const memory = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1])
  /** @type {Map<string, number>} */
  const kinds = new Map()
  for await (const keys of client.scanStream({ count: 1000 })) {
    for (const key of /** @type {string[]} */ (keys)) {
      const kind = key.replaceAll(/[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}/g, '<id>')
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1)
    }
  }
  client.disconnect()
  return { memory, keys: [...kinds.values()].reduce((sum, n) => sum + n, 0), kinds: Object.fromEntries(kinds) }
}

// What finished executions cost Redis: `bench/million.mjs` makes a million of them, these are fewer.

import { expect, test } from 'vitest'
import { makeFinished, whatRedisHolds } from './support/finished.mjs'
import { Shared } from './support/place'

const shared = new Shared()

test('ten times as many finished executions cost Redis no more', async () => {
  const { connection } = shared.server
  const asked = { connection, name: 'finished', maxFinished: 100, outputBytes: 1000 }
  const empty = await whatRedisHolds(connection)
  await makeFinished({ ...asked, count: 300 })
  const some = await whatRedisHolds(connection)
  await makeFinished({ ...asked, count: 3000 })
  const many = await whatRedisHolds(connection)
  // What is known, lines, the result, a job; and a few of the queue itself.
  expect(many.keys).toBeLessThan(100 * 5 + 20)
  expect(many.keys).toBeLessThanOrEqual(some.keys + 5)
  expect(many.memory - empty.memory).toBeLessThan(2 * (some.memory - empty.memory) + 1_000_000)
}, 60_000)

// What the queue itself tells of plans and their steps: those that are refused, cancelled, lost, or left by who drove them.

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { Redis } from 'ioredis'
import { expect, test, vi } from 'vitest'
import { Names } from '../src/names'
import { defineScripts } from '../src/redis/scripts'
import { Store } from '../src/redis/store'
import { newMark, survivors, until, untilThere } from '../../__test__/processes.mjs'
import { cleanUp, exec, newPlace, SHORT, Shared } from './support/place'
import { startWorker } from './support/workers.mjs'

vi.setConfig({ testTimeout: 60_000 })

const shared = new Shared()

const serial = { strategy: { type: 'serial' } } as const

test('a plan that is refused leaves nothing behind', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const [taken, own, planId] = [randomUUID(), randomUUID(), randomUUID()]
  await queue.execute({ ...exec('true'), id: taken })
  const refused = {
    ...serial,
    id: planId,
    commands: [
      { ...exec('true'), id: own },
      { ...exec('true'), id: taken },
    ],
  }
  const error = await queue.executePlan(refused).catch((error: unknown) => error)
  expect(error).toMatchObject({ code: 'DUPLICATE_ID', executionId: taken })
  for (const id of [planId, own]) await expect(queue.getStatus(id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect((await queue.listExecutions()).map(({ id }) => id)).toEqual([taken])
  await place.worker()
  const corrected = { ...refused, commands: [{ ...exec('echo', 'other'), id: own }] }
  expect(await queue.runPlan(corrected)).toMatchObject({ status: 'completed' })
})

test('each step of a plan that was cancelled before it was taken has one terminal event', async () => {
  for (const placement of ['worker', 'spread'] as const) {
    const place = newPlace(shared.port)
    const queue = place.queue({ placement })
    const events: unknown[] = []
    const id = randomUUID()
    const running = queue.runPlan(
      { ...serial, id, commands: [exec('true'), exec('true')] },
      { onEvent: (event) => void events.push([event.eventType, 'step' in event ? event.step : null]) },
    )
    const isKnown = () =>
      queue.getStatus(id).then(
        () => true,
        () => false,
      )
    await until(isKnown, 'it to be known')
    await queue.cancel(id)
    await running
    expect(events).toEqual([
      ['cancelled', 0],
      ['cancelled', 1],
      ['plan_completed', null],
    ])
  }
})

test('each step of a plan whose worker was lost has one terminal event', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const connection = { host: '127.0.0.1', port: shared.port }
  const first = await startWorker({ connection, name: place.name, ...SHORT })
  cleanUp(() => first.kill())
  const mark = newMark()
  const ends: unknown[] = []
  const running = queue.runPlan(
    { ...serial, commands: [exec('true'), exec('sleep', mark), exec('true')] },
    {
      onEvent: (event) => void ('result' in event && ends.push([event.eventType, 'step' in event ? event.step : null])),
    },
  )
  await untilThere(mark, 1)
  await until(() => ends.length === 1, 'the end of the first step')
  await first.kill()
  await place.worker(SHORT)
  await running
  expect(ends).toEqual([
    ['completed', 0],
    ['failed', 1],
    ['failed', 2],
    ['plan_completed', null],
  ])
})

test('a plan whose submitter drove it, and died, is cancelled from anywhere', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker()
  const [id, mark] = [randomUUID(), newMark()]
  const options = { connection: shared.server.connection, name: place.name, placement: 'spread' }
  const program = `const { QueueEngine } = require('@escher-dbai/execution-queue')
    const queue = new QueueEngine(${JSON.stringify(options)})
    const request = () => ({ command: { type: 'exec', program: 'sleep', args: ['${mark}'] } })
    const done = { command: { type: 'exec', program: 'true' } }
    void queue.runPlan({ id: '${id}', strategy: { type: 'serial' }, commands: [done, { request }, { request }] })`
  const child = spawn(process.execPath, ['-e', program], { cwd: new URL('..', import.meta.url), stdio: 'inherit' })
  cleanUp(() => child.kill('SIGKILL'))
  // Its own command line has the mark, too.
  await untilThere(mark, 2)
  child.kill('SIGKILL')
  await once(child, 'exit')
  await queue.cancel(id, 'left')
  expect(survivors(mark)).toEqual([])
  const result = await queue.waitForPlan(id)
  expect(result).toMatchObject({ status: 'cancelled', stats: { total: 3, completed: 1, cancelled: 2 } })
})

test('a claim that is given back twice is taken from nobody else', async () => {
  const place = newPlace(shared.port)
  const client = new Redis(shared.port, '127.0.0.1')
  cleanUp(() => client.disconnect())
  defineScripts(client)
  const store = new Store(client, new Names('escher', place.name))
  await store.submit({ id: 'job', digest: 'one', fields: { kind: 'execution' } })
  await store.claim('job', 'A')
  await store.unclaim('job', 'A')
  const claim = await store.claim('job', 'B')
  expect(claim).toMatchObject({ state: 'run' })
  // The answer of the first was lost, so it was sent again.
  await store.unclaim('job', 'A')
  const end = { id: 'job', result: '{}', status: 'completed', durationMs: 1, lines: 0 } as const
  expect(await store.claim('job', 'C')).toMatchObject({ state: 'lost' })
  expect(await store.settle({ ...end, run: claim.state === 'run' ? claim.run : 0 })).toEqual({ state: 'lost' })
  // What nobody has waits, and is cancelled at once.
  await store.unclaim('job', 'C')
  expect(await store.cancel('job', {}, { status: 'cancelled', own: '{}', steps: [] })).toBe('settled')
})

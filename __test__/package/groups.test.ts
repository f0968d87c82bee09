// Who runs when: slots, the queue, groups and priorities.

import { expect, test } from 'vitest'
import type { ExecutionEngine, ExecutionEvent, ExecutionRequest, PlanEvent } from '../../index.js'
import { exec, newEngine, until } from './support.js'

/** One that runs until it is cancelled. */
const long = (more: Partial<ExecutionRequest> = {}): ExecutionRequest => ({ ...exec('sleep', '60'), ...more })

/** One that ends at once. */
const short = (more: Partial<ExecutionRequest>): ExecutionRequest => ({ ...exec('true'), ...more })

/** The ids of those that were started, in that order. */
function startsOf(engine: ExecutionEngine): string[] {
  const ids: string[] = []
  engine.onEvent((event: ExecutionEvent | PlanEvent) => {
    if (event.eventType === 'started') ids.push(event.executionId)
  })
  return ids
}

test('of a group at most so many run at once, the one that came first first, and nobody else waits for them', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 10, groups: { 'eu-west-1': 2 } })
  const starts = startsOf(engine)
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.push(await engine.execute(long({ group: 'eu-west-1' })))
  const other = await engine.execute(long())
  await until(() => starts.length === 3, 'three to run')
  expect(starts.slice().sort()).toEqual([ids[0], ids[1], other].sort())
  expect(engine.runningCount).toBe(3)
  for (const id of ids) {
    const next = ids[starts.length - 1]
    expect(await engine.getStatus(id)).toBe('running')
    await engine.cancel(id)
    if (next === undefined) continue
    await until(() => starts.includes(next), 'the next to run')
  }
  expect(starts.filter((id) => id !== other).slice(2)).toEqual(ids.slice(2))
})

test('waiting for a group is no place in the queue, and allowed without one', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 3, maxQueuedExecutions: 0, groups: { deploy: 1, test: 5 } })
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.push(await engine.execute(long({ group: 'deploy' })))
  expect([engine.runningCount, engine.queuedCount, engine.availablePermits]).toEqual([1, 0, 2])
  expect(await engine.getStatus(ids[1]!)).toBe('pending')
  await engine.execute(long())
  await engine.execute(long())
  // No slot is left. Who has room in its group waits for one, which is a place in the queue.
  const refused = { code: 'CONCURRENCY_LIMIT_REACHED', message: expect.stringContaining('0 of 0 are waiting') }
  await expect(engine.execute(long())).rejects.toMatchObject(refused)
  await expect(engine.execute(long({ group: 'test' }))).rejects.toMatchObject(refused)
  await engine.execute(long({ group: 'deploy' }))
  expect([engine.runningCount, engine.queuedCount, engine.availablePermits]).toEqual([3, 0, 0])
})

test('the count of those that wait is that of those that wait for a slot', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 2, maxQueuedExecutions: 10, groups: { deploy: 1 } })
  const starts = startsOf(engine)
  const first = await engine.execute(long({ group: 'deploy' }))
  const second = await engine.execute(long({ group: 'deploy' }))
  const third = await engine.execute(long())
  await engine.execute(long())
  expect([engine.runningCount, engine.queuedCount]).toEqual([2, 1])
  // With its group free, the second waits for a slot like any other, and has come first.
  await engine.cancel(first)
  await until(() => starts.length === 3, 'the second to run')
  expect(starts.slice().sort()).toEqual([first, second, third].sort())
  expect(engine.queuedCount).toBe(1)
  await engine.execute(long({ group: 'deploy' }))
  expect(engine.queuedCount).toBe(1)
})

test('what is cancelled while it waits for its group never starts, and leaves its place to the next', async () => {
  const engine = newEngine({ groups: { deploy: 1 } })
  const starts = startsOf(engine)
  const [first, second, third] = await Promise.all([1, 2, 3].map(() => engine.execute(long({ group: 'deploy' }))))
  await engine.cancel(second!)
  expect(await engine.getResult(second!)).toMatchObject({ status: 'cancelled', pid: null })
  await engine.cancel(first!)
  await until(() => starts.length === 2, 'the third to run')
  expect(starts).toEqual([first, third])
})

test('the highest priority runs first, and of the same the one that came first', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 10 })
  const starts = startsOf(engine)
  const running = await engine.execute(long())
  const request = (priority?: number): ExecutionRequest => ({ ...exec('true'), priority })
  const ids: string[] = []
  for (const priority of [undefined, -5, 7, 0, 7, 100]) ids.push(await engine.execute(request(priority)))
  await engine.cancel(running)
  await Promise.all(ids.map((id) => engine.waitForCompletion(id)))
  const order = [5, 2, 4, 0, 3, 1].map((index) => ids[index])
  expect(starts).toEqual([running, ...order])
})

test('priority counts among those that wait for a group, too', async () => {
  const engine = newEngine({ groups: { deploy: 1 } })
  const starts = startsOf(engine)
  const running = await engine.execute(long({ group: 'deploy' }))
  const ids: string[] = []
  for (const priority of [0, 3, 1]) ids.push(await engine.execute({ ...exec('true'), group: 'deploy', priority }))
  await engine.cancel(running)
  await Promise.all(ids.map((id) => engine.waitForCompletion(id)))
  expect(starts).toEqual([running, ids[1], ids[2], ids[0]])
})

test('the steps of plans keep to their groups, and one that waits for its group keeps no other step waiting', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 10, groups: { deploy: 1 } })
  const running = await engine.execute(long({ group: 'deploy' }))
  const ids = ['a', 'b', 'c'].map((digit) => `3f0d8f56-3c0b-4a0e-9b3c-0d5b4cfae00${digit}`)
  const [deploy, free, last] = ids
  const plan = engine.runPlan({
    strategy: { type: 'parallel' },
    commands: [
      { ...exec('true'), id: deploy, group: 'deploy' },
      { ...exec('true'), id: free },
      { ...exec('true'), id: last, group: 'deploy' },
    ],
  })
  expect((await engine.waitForCompletion(free!)).status).toBe('completed')
  expect(await engine.getStatus(deploy!)).toBe('pending')
  expect(engine.queuedCount).toBe(0)
  await engine.cancel(running)
  const { results, status } = await plan
  expect(status).toBe('completed')
  const [one, , other] = results.map(({ startedAt, completedAt }) => [startedAt ?? '', completedAt])
  expect(one![1]! <= other![0]!).toBe(true)
})

test('of the steps of a plan that may start, the one with the highest priority is started first', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1 })
  const starts = startsOf(engine)
  const commands = [0, -1, 2, 0].map((priority) => short({ priority }))
  const { results } = await engine.runPlan({ strategy: { type: 'parallel' }, commands })
  expect(starts).toEqual([2, 0, 3, 1].map((index) => results[index]!.id))
})

test('a plan that is cancelled while its steps wait for a group leaves the line', async () => {
  const engine = newEngine({ groups: { deploy: 1 } })
  const running = await engine.execute(long({ group: 'deploy' }))
  const commands = [1, 2].map(() => short({ group: 'deploy' }))
  const id = await engine.executePlan({ strategy: { type: 'parallel' }, commands })
  await engine.cancel(id, 'superseded')
  const { stats } = await engine.getPlanResult(id)
  expect(stats).toMatchObject({ cancelled: 2 })
  const next = await engine.execute({ ...exec('true'), group: 'deploy' })
  await engine.cancel(running)
  expect((await engine.waitForCompletion(next)).status).toBe('completed')
})

test('a group that is not known is refused, and the nearest are named', async () => {
  const groups = { 'eu-west-1': 1, 'eu-west-2': 1, 'us-east-1': 1, other: 2 }
  const engine = newEngine({ groups })
  const request = { ...exec('true'), group: 'eu-wset-1' }
  const refusal = {
    code: 'VALIDATION',
    field: 'group',
    message:
      'group: expected a group of the configuration, such as "eu-west-1", "eu-west-2", "us-east-1", found "eu-wset-1"',
  }
  await expect(engine.run(request)).rejects.toMatchObject(refusal)
  const plan = engine.runPlan({ strategy: { type: 'serial' }, commands: [exec('true'), request] })
  await expect(plan).rejects.toMatchObject({ code: 'VALIDATION', field: 'commands[1].group' })
  await expect(newEngine().run(request)).rejects.toMatchObject({
    message: 'group: expected none, as the configuration has no groups, found "eu-wset-1"',
  })
  expect(engine.config.groups).toEqual(groups)
})

test('priorities and limits that are none are refused', async () => {
  for (const priority of [1.5, Number.NaN, '1', 2 ** 60]) {
    const refused = newEngine().run({ ...exec('true'), priority: priority as never })
    await expect(refused).rejects.toMatchObject({ code: 'VALIDATION', field: 'priority' })
  }
  const config = (groups: unknown) => () => newEngine({ groups } as never)
  expect(config({ a: 0 })).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', field: 'groups.a' }))
  expect(config({ a: '2' })).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', field: 'groups.a' }))
  expect(config({ '': 1 })).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', field: 'groups' }))
  expect(config(['a'])).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', field: 'groups' }))
})

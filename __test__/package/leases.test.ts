// An execution with a lease lives only as long as somebody renews that.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { ExecutionRequest } from '../../index.js'
import { exec, host, newEngine, newMark, shell, survivors } from './support.js'

const lost = {
  status: 'failed',
  success: false,
  errorCode: 'LEASE_LOST',
  error: 'ended because its lease was not renewed in time',
}

const leased = (leaseMs: number, more: Partial<ExecutionRequest> = {}): ExecutionRequest => ({
  ...exec('sleep', '60'),
  leaseMs,
  ...more,
})

test('a lease that is not renewed ends the execution, with all that it has started', async () => {
  const mark = newMark()
  const result = await newEngine().run(shell(`sleep ${mark} & sleep ${mark}`, { leaseMs: 300 }))
  expect(result).toMatchObject({ ...lost, signal: 'SIGTERM', cancelReason: null })
  expect(result.durationMs + result.queuedMs).toBeGreaterThanOrEqual(295)
  expect(survivors(mark)).toEqual([])
})

test('a lease that is renewed in time holds, and a renewal counts from its call', async () => {
  const engine = newEngine()
  const begun = performance.now()
  const id = await engine.execute(leased(700))
  for (let i = 0; i < 5; i++) {
    await sleep(300)
    await engine.renewLease(id)
  }
  expect(await engine.getStatus(id)).toBe('running')
  await engine.renewLease(id, 200)
  const renewed = performance.now()
  expect(await engine.waitForCompletion(id)).toMatchObject(lost)
  expect(performance.now() - renewed).toBeGreaterThanOrEqual(195)
  expect(performance.now() - renewed).toBeLessThan(690)
  expect(performance.now() - begun).toBeGreaterThanOrEqual(1695)
})

test('a lease is kept by the engine, whatever the JavaScript thread does', async () => {
  const { ended } = host(`
    engine.run({ command: { type: 'exec', program: 'sleep', args: ['60'] }, leaseMs: 300 })
      .then(({ errorCode, durationMs }) => console.log(errorCode, durationMs < 1500))
    const end = Date.now() + 2500
    while (Date.now() < end);`)
  expect((await ended).printed).toBe('LEASE_LOST true\n')
})

test('what waits in the queue, or for its group, as its lease ends never starts', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 5, groups: { deploy: 1 } })
  await engine.execute({ ...exec('sleep', '60'), group: 'deploy' })
  const results = await Promise.all([engine.run(leased(200)), engine.run(leased(200, { group: 'deploy' }))])
  for (const result of results) {
    const error = `${lost.error}, before it was started`
    expect(result).toMatchObject({ ...lost, error, pid: null, startedAt: null })
  }
  expect([engine.runningCount, engine.queuedCount]).toEqual([1, 0])
})

test('the lease of a step counts from the acceptance of its plan, also while it waits for its turn', async () => {
  const engine = newEngine()
  const id = '3f0d8f56-3c0b-4a0e-9b3c-0d5b4cfae00d'
  const commands = [exec('sleep', '0.8'), leased(300, { id }), exec('true')]
  const plan = await engine.runPlan({ strategy: { type: 'serial' }, commands })
  expect(plan).toMatchObject({ status: 'failed', stats: { completed: 1, failed: 1, skipped: 1 } })
  expect(plan.results[1]).toMatchObject({ ...lost, error: `${lost.error}, before it was started`, pid: null })
  const running = await engine.runPlan({ strategy: { type: 'parallel' }, commands: [leased(200)] })
  expect(running.results[0]).toMatchObject({ ...lost, signal: 'SIGTERM' })
})

test('a step is renewed under its own id, before and after its start', async () => {
  const engine = newEngine()
  const id = '3f0d8f56-3c0b-4a0e-9b3c-0d5b4cfae00e'
  const commands = [exec('sleep', '0.6'), leased(400, { ...exec('sleep', '0.6'), id })]
  const plan = engine.runPlan({ strategy: { type: 'serial' }, commands })
  const timer = setInterval(() => void engine.renewLease(id).catch(() => {}), 100)
  expect((await plan).status).toBe('completed')
  clearInterval(timer)
})

test('the lease that ends after the command only hurries', async () => {
  const stubborn = `sh -c "trap '' TERM; while :; do sleep 0.01; done" >/dev/null 2>&1 & sleep 0.1; exit 0`
  const engine = newEngine({ terminationGraceMs: 60_000 })
  const result = await engine.run(shell(stubborn, { leaseMs: 600 }))
  expect(result).toMatchObject({ status: 'completed', exitCode: 0, errorCode: null, forced: true })
})

test('a renewal that cannot be is refused', async () => {
  const engine = newEngine()
  const refused = (id: string, ms?: unknown) =>
    engine.renewLease(id, ms as never).then(
      () => undefined,
      (error) => error,
    )
  expect(await refused('3f0d8f56-3c0b-4a0e-9b3c-0d5b4cfae00f')).toMatchObject({ code: 'NOT_FOUND' })
  expect(await refused('no id')).toMatchObject({ code: 'VALIDATION', field: 'id' })
  const without = await engine.execute(exec('sleep', '60'))
  expect(await refused(without)).toMatchObject({
    code: 'VALIDATION',
    field: 'id',
    message: `id: expected the id of an execution or a plan that has a lease, found ${without}, which has none`,
  })
  const plan = await engine.executePlan({ strategy: { type: 'serial' }, commands: [exec('sleep', '60')] })
  expect(await refused(plan)).toMatchObject({ code: 'VALIDATION', field: 'id' })
  const id = await engine.execute(leased(60_000))
  for (const ms of [0, -1, 1.5, '1']) expect(await refused(id, ms)).toMatchObject({ field: 'leaseMs' })
  await engine.cancel(id)
  expect(await refused(id)).toMatchObject({ code: 'ALREADY_FINISHED', executionId: id })
})

test('a renewal that comes too late is refused, also while the execution is still being ended', async () => {
  const engine = newEngine({ terminationGraceMs: 60_000 })
  const stubborn = shell("trap 'echo asked' TERM; while :; do sleep 0.01; done", { leaseMs: 300 })
  let asked = () => {}
  const isAsked = new Promise<void>((resolve) => (asked = resolve))
  const id = await engine.execute(stubborn, { onStdout: () => asked() })
  await isAsked
  expect(await engine.getStatus(id)).toBe('running')
  const message = `the lease of ${id} has ended`
  await expect(engine.renewLease(id)).rejects.toMatchObject({ code: 'ALREADY_FINISHED', message })
  await engine.cancel(id)
  expect(await engine.getResult(id)).toMatchObject(lost)
})

test('a lease that is none is refused', async () => {
  const refused = newEngine().run(leased(0))
  await expect(refused).rejects.toMatchObject({ code: 'VALIDATION', field: 'leaseMs' })
  const plan = newEngine().runPlan({ steps: {}, leaseMs: 0 })
  await expect(plan).rejects.toMatchObject({ code: 'VALIDATION', field: 'leaseMs' })
})

// Of a whole plan

const lostWithPlan = { ...lost, error: 'ended because the lease of its plan was not renewed in time' }
const neverStarted = {
  status: 'cancelled',
  error: 'the lease of its plan was not renewed in time, before it was started',
  errorCode: null,
  cancelReason: null,
  pid: null,
}

test('the lease of a plan that is not renewed ends what runs of it, and lets nothing more start', async () => {
  const mark = newMark()
  const engine = newEngine({ maxConcurrentExecutions: 2 })
  let calls = 0
  const plan = await engine.runPlan({
    leaseMs: 400,
    steps: {
      tree: shell(`sleep ${mark} & sleep ${mark}`),
      allowed: { ...exec('sleep', mark), allowFailure: true },
      'without a slot': exec('sleep', mark),
      'to be made': { request: () => (calls++, exec('sleep', mark)), dependsOn: ['tree'], when: 'always' },
      after: { ...exec('sleep', mark), dependsOn: ['tree'], when: 'always' },
    },
  })
  expect(plan).toMatchObject({ status: 'failed', success: false, stats: { failed: 2, cancelled: 3 } })
  const [tree, allowed, ...others] = plan.results
  for (const result of [tree, allowed]) expect(result).toMatchObject({ ...lostWithPlan, signal: 'SIGTERM' })
  for (const result of others) expect(result).toMatchObject(neverStarted)
  expect(plan.totalDurationMs).toBeGreaterThanOrEqual(395)
  expect(survivors(mark)).toEqual([])
  expect(calls).toBe(0)
})

test('a plan of which only steps that may fail are lost has failed', async () => {
  const steps = { it: { ...exec('sleep', '60'), allowFailure: true } }
  expect(await newEngine().runPlan({ leaseMs: 200, steps })).toMatchObject({ status: 'failed', success: false })
})

test('the lease of a plan is renewed under its id, from step to step', async () => {
  const engine = newEngine()
  const commands = Array.from({ length: 4 }, () => exec('sleep', '0.3'))
  const id = await engine.executePlan({ strategy: { type: 'serial' }, commands, leaseMs: 500 })
  for (let i = 0; i < 8; i++) {
    await sleep(100)
    await engine.renewLease(id)
  }
  await engine.renewLease(id, 60_000)
  expect(await engine.waitForPlan(id)).toMatchObject({ status: 'completed', stats: { completed: 4 } })
  await expect(engine.renewLease(id)).rejects.toMatchObject({ code: 'ALREADY_FINISHED', executionId: id })
})

test('the lease of a plan is kept by the engine, whatever the JavaScript thread does', async () => {
  const { ended } = host(`
    const step = { command: { type: 'exec', program: 'sleep', args: ['0.2'] } }
    const commands = Array.from({ length: 50 }, () => step)
    engine.runPlan({ strategy: { type: 'serial' }, commands, leaseMs: 500 })
      .then(({ status, totalDurationMs, stats }) => console.log(status, totalDurationMs < 1500, stats.completed <= 2))
    const end = Date.now() + 2500
    while (Date.now() < end);`)
  expect((await ended).printed).toBe('failed true true\n')
})

test('a step that waits for its function, or for its next attempt, ends with the lease of its plan', async () => {
  const plan = await newEngine().runPlan({
    leaseMs: 300,
    steps: {
      made: { request: () => new Promise(() => {}) },
      retried: { ...exec('false'), retry: { attempts: 2, delayMs: 60_000 } },
    },
  })
  expect(plan.status).toBe('failed')
  expect(plan.results[0]).toMatchObject(neverStarted)
  expect(plan.results[1]).toMatchObject({
    ...lostWithPlan,
    error: `${lostWithPlan.error}, before attempt 2 was started`,
  })
})

test('a lease of a plan that ends after a cancel changes nothing', async () => {
  const engine = newEngine({ terminationGraceMs: 500 })
  const stubborn = shell("trap 'echo asked' TERM; while :; do sleep 0.01; done")
  const id = await engine.executePlan({ strategy: { type: 'serial' }, commands: [stubborn], leaseMs: 300 })
  await engine.cancel(id, 'enough')
  expect(await engine.getPlanResult(id)).toMatchObject({
    status: 'cancelled',
    results: [{ status: 'cancelled', cancelReason: 'enough' }],
  })
})

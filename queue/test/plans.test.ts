// Plans: whole on one worker, and with their steps on any.

import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { describe, expect, test, vi } from 'vitest'
import type { NamedPlan } from '@escher-dbai/execution-engine'
import { stepId } from '@escher-dbai/execution-engine/plans'
import { exec, newPlace, shell, Shared } from './support/place'
import { newMark, survivors, until, untilThere } from '../../__test__/processes.mjs'

vi.setConfig({ testTimeout: 60_000 })

const shared = new Shared()

describe.each(['worker', 'spread'] as const)('placement %s', (placement) => {
  test('a step can be followed, listened to, waited for and asked about by its own id', async () => {
    const place = newPlace(shared.port)
    const queue = place.queue({ placement })
    const go = shared.newPath()
    const planId = randomUUID()
    const steps = {
      a: shell('echo 1; echo 2 >&2; echo 3'),
      b: { ...shell(`echo begun; until [ -e ${go} ]; do sleep 0.02; done; echo done`), dependsOn: ['a'] },
      c: shell('seq 5'),
    }
    await queue.executePlan({ id: planId, steps })
    const [a, b, c] = ['a', 'b', 'c'].map((step) => stepId(planId, step)) as [string, string, string]
    expect(await Promise.all([a, b, c].map((id) => queue.getStatus(id)))).toEqual(['pending', 'pending', 'pending'])
    await place.worker()
    await until(async () => (await queue.readLogLines(b)).lines.length === 1, 'b to have begun')
    const listening = queue.subscribe(b)
    await until(
      async () => (await shared.redis.keys(`*${placement === 'worker' ? planId : b}:readers`)).length === 1,
      'a reader',
    )
    writeFileSync(go, '')
    const told: string[] = []
    for await (const event of listening) told.push('line' in event ? event.line : `${event.eventType} ${event.step}`)
    expect(told).toEqual(['done', 'completed b'])
    expect(await queue.waitForCompletion(b)).toMatchObject({ stdout: 'begun\ndone\n', planId, step: 'b' })
    const followed: string[] = []
    for await (const { stream, line } of queue.followLogs(a)) followed.push(`${stream} ${line}`)
    expect(followed.sort()).toEqual(['stderr 2', 'stdout 1', 'stdout 3'])
    const lines: string[] = []
    for (let page, from = 0; page?.ended !== true; from = page.next) {
      page = await queue.readLogLines(c, { from, limit: 2 })
      lines.push(...page.lines.map(({ line }) => line))
    }
    expect(lines).toEqual(['1', '2', '3', '4', '5'])
    expect(await queue.waitForPlan(planId)).toMatchObject({ status: 'completed', stats: { completed: 3 } })
    const listed = await queue.listExecutions({ status: 'completed' })
    expect(listed.map(({ step }) => step).sort()).toEqual(['a', 'b', 'c'])
    await expect(queue.getResult(planId)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(queue.getPlanResult(a)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('a plan that waits is cancelled with all of its steps, and never starts', async () => {
    const place = newPlace(shared.port)
    const queue = place.queue({ placement })
    const file = shared.newPath()
    const planId = await queue.executePlan({
      steps: { a: shell(`echo > ${file}`), b: { ...exec('true'), dependsOn: ['a'] } },
    })
    await queue.cancel(planId, 'not needed')
    const result = await queue.getPlanResult(planId)
    expect(result).toMatchObject({ status: 'cancelled', stats: { total: 2, cancelled: 2 } })
    expect(result.results.map(({ status, cancelReason }) => [status, cancelReason])).toEqual([
      ['cancelled', 'not needed'],
      ['cancelled', 'not needed'],
    ])
    await place.worker()
    await queue.run(exec('true'))
    expect(existsSync(file)).toBe(false)
    await expect(queue.cancel(planId)).rejects.toMatchObject({ code: 'ALREADY_FINISHED' })
  })

  test('a plan and its steps are forgotten together', async () => {
    const place = newPlace(shared.port)
    const queue = place.queue({ placement, maxFinished: 2 })
    await place.worker()
    const plans: string[] = []
    for (let i = 0; i < 4; i++) {
      const { planId } = await queue.runPlan({ steps: { a: exec('true'), b: { ...exec('true'), dependsOn: ['a'] } } })
      plans.push(planId)
    }
    const [, old, ...kept] = plans as [string, string, string, string]
    await expect(queue.getPlanResult(old)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(queue.getStatus(stepId(old, 'a'))).rejects.toMatchObject({ code: 'NOT_FOUND' })
    for (const id of kept) expect(await queue.getPlanResult(id)).toMatchObject({ stats: { completed: 2 } })
    expect(await queue.listExecutions()).toHaveLength(4)
    const keys = (await shared.redis.keys(`{escher:${place.name}}:x:*`)).map((key) => /:x:([^:]*)/.exec(key)?.[1] ?? '')
    expect([...new Set(keys)].sort()).toEqual(kept.flatMap((id) => [id, stepId(id, 'a'), stepId(id, 'b')]).sort())
  })

  test('a command with nobody to read it is not held back by its plan', async () => {
    const place = newPlace(shared.port)
    const queue = place.queue({ placement })
    await place.worker()
    const result = await queue.runPlan({ steps: { a: exec('seq', '600000'), b: exec('seq', '600000') } })
    expect(result).toMatchObject({
      status: 'completed',
      results: [{ stdoutBytes: 4_088_895 }, { stdoutBytes: 4_088_895 }],
    })
    const step = result.results[0]!.id
    await expect(queue.readLogLines(step, { fromLine: 3 })).rejects.toMatchObject({ code: 'IO', executionId: step })
  })

  test('each line of each step is told once, in its order, and before the end of its step', async () => {
    const place = newPlace(shared.port)
    const queue = place.queue({ placement })
    await place.worker()
    const lines: Record<string, string[]> = {}
    const ended = new Set<string>()
    const steps = Object.fromEntries(['a', 'b', 'c', 'd'].map((name) => [name, exec('seq', '40000')]))
    const result = await queue.runPlan(
      { steps },
      {
        onEvent: (event) => {
          if (event.eventType === 'progress' || event.eventType === 'plan_completed') return
          const step = String(event.step)
          if (event.eventType === 'stdout' && !ended.has(step)) (lines[step] ??= []).push(event.line)
          if ('result' in event) ended.add(step)
        },
      },
    )
    expect(result.status).toBe('completed')
    const all = Array.from({ length: 40_000 }, (_, i) => String(i + 1))
    for (const step of Object.keys(steps)) expect(lines[step]).toEqual(all)
  })
})

test('lines of a step that went with those of its plan are not passed over in silence', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker()
  const { planId, results } = await queue.runPlan({ steps: { loud: exec('seq', '3'), silent: exec('true') } })
  const [loud, silent] = results.map(({ id }) => id) as [string, string]
  await shared.redis.del(`{escher:${place.name}}:x:${planId}:lines`)
  const refusal = { code: 'IO', message: 'what it has printed, 3 lines, is no longer kept', executionId: loud }
  for (const options of [{}, { from: 1 }, { fromLine: 2 }]) {
    await expect(queue.readLogLines(loud, options)).rejects.toMatchObject(refusal)
  }
  await expect(queue.followLogs(loud).next()).rejects.toMatchObject(refusal)
  expect(await queue.readLogLines(loud, { fromLine: 3 })).toMatchObject({ lines: [], ended: true })
  expect(await queue.readLogLines(silent)).toEqual({ lines: [], next: 0, ended: true })
  expect(await queue.followLogs(silent).next()).toEqual({ done: true, value: undefined })
})

test('with functions, whoever submits a plan again goes on where it was', async () => {
  const place = newPlace(shared.port)
  const [first, second] = [place.queue({ placement: 'spread' }), place.queue({ placement: 'spread' })]
  await place.worker()
  const [file, go] = [shared.newPath(), shared.newPath()]
  const plan = (): NamedPlan & { id: string } => ({
    id: planId,
    steps: {
      a: shell(`echo a >> ${file}; echo from a`),
      b: { ...shell(`echo b >> ${file}; until [ -e ${go} ]; do sleep 0.02; done; echo from b`), dependsOn: ['a'] },
      c: { dependsOn: ['b'], request: ({ a, b }) => exec('echo', a!.stdout.trim(), b!.stdout.trim()) },
    },
  })
  const planId = randomUUID()
  await first.executePlan(plan())
  await until(() => existsSync(file) && readFileSync(file, 'utf8') === 'a\nb\n', 'the second step')
  await first.shutdown()
  writeFileSync(go, '')
  const told: string[] = []
  const result = await second.runPlan(plan(), {
    onEvent: (event) => {
      if (event.eventType === 'stdout') told.push(`${event.step} ${event.line}`)
    },
  })
  expect(result).toMatchObject({ status: 'completed', results: [{}, {}, { stdout: 'from a from b\n' }] })
  expect(readFileSync(file, 'utf8')).toBe('a\nb\n')
  expect(told).toEqual(['a from a', 'b from b', 'c from a from b'])
})

test('a function that makes what cannot be sent fails its step', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue({ placement: 'spread' })
  await place.worker()
  const command = exec('true')
  const result = await queue.runPlan({
    steps: {
      secret: { request: () => ({ ...command, secrets: ['a-secret-value'] }) },
      open: { request: () => ({ ...command, stdin: { open: true } as const }) },
      bad: { request: () => ({ ...command, timeoutMs: -1 }) },
      good: { request: () => command },
    },
  })
  expect(result.results.map(({ status, errorCode }) => [status, errorCode])).toEqual([
    ['failed', 'INVALID_STEP'],
    ['failed', 'INVALID_STEP'],
    ['failed', 'INVALID_STEP'],
    ['completed', null],
  ])
  expect(result.results.map(({ error }) => error)).toEqual([
    expect.stringContaining('secrets[0]'),
    expect.stringContaining('stdin'),
    expect.stringContaining('timeoutMs'),
    null,
  ])
})

test('steps wait for workers that have their labels, and who only drives takes no slot of one', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue({ placement: 'spread' })
  await place.worker({ concurrency: 1 })
  const plans = await Promise.all(
    Array.from({ length: 5 }, () => queue.executePlan({ steps: { a: exec('true') }, labels: ['gpu'] })),
  )
  // Five plans are driven, and the only slot is free.
  expect(await queue.run(exec('echo', 'free'))).toMatchObject({ stdout: 'free\n' })
  await until(async () => (await queue.listExecutions({ status: 'pending' })).length === 5, 'the steps to wait')
  await place.worker({ concurrency: 1, labels: ['gpu'] })
  for (const id of plans) expect(await queue.waitForPlan(id)).toMatchObject({ status: 'completed' })
})

test('a cancel of a plan whose steps are spread ends what runs, wherever it runs', async () => {
  const place = newPlace(shared.port)
  const [queue, other] = [place.queue({ placement: 'spread' }), place.queue()]
  await Promise.all([place.worker({ concurrency: 1 }), place.worker({ concurrency: 1 })])
  const mark = newMark()
  const planId = await queue.executePlan({
    steps: { a: exec('sleep', mark), b: exec('sleep', mark), c: { ...exec('true'), dependsOn: ['a'] } },
  })
  await untilThere(mark, 2)
  await other.cancel(planId, 'enough')
  expect(survivors(mark)).toEqual([])
  expect(await other.getPlanResult(planId)).toMatchObject({
    status: 'cancelled',
    results: [{ cancelReason: 'enough' }, { cancelReason: 'enough' }, { status: 'cancelled', startedAt: null }],
  })
})

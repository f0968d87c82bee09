// Contract, section 2, "Plans".

import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'
import type { ExecutionEvent, ExecutionPlan, ExecutionRequest, IndexedPlan, PlanEvent } from '../../index.js'
import {
  exec,
  newEngine,
  newMark,
  packagePath,
  shell,
  speaksRust,
  survivors,
  temporary,
  until,
  untilThere,
} from './support.js'

const ok = exec('true')
const serial = { type: 'serial' } as const
const parallel = { type: 'parallel' } as const

const statuses = ({ results }: { results: { status: string }[] }) => results.map(({ status }) => status)

test('a diamond runs in the order of its dependencies, with one result', async () => {
  const engine = newEngine()
  const events: (ExecutionEvent | PlanEvent)[] = []
  const lines: string[] = []
  const plan: ExecutionPlan = {
    description: 'a diamond',
    strategy: { type: 'dependency_graph', dependencies: { 1: [0], 2: [0], 3: [1, 2] } },
    commands: [shell('echo a'), shell('echo b'), shell('echo c >&2'), shell('cat', { stdin: 'from the plan\n' })],
    metadata: { source: 'test' },
  }
  const result = await engine.runPlan(plan, {
    onEvent: (event) => void events.push(event),
    onStdout: (line) => void lines.push(line),
    onStderr: (line) => void lines.push(`err ${line}`),
  })
  expect(result).toMatchObject({ description: 'a diamond', status: 'completed', success: true })
  expect(result.stats).toEqual({ total: 4, completed: 4, failed: 0, cancelled: 0, timeout: 0, skipped: 0 })
  expect(result.results.map(({ stdout }) => stdout)).toEqual(['a\n', 'b\n', '', 'from the plan\n'])
  expect([...lines].sort()).toEqual(['a', 'b', 'err c', 'from the plan'])
  const ids = result.results.map(({ id }) => id)
  const order = events.flatMap((event) =>
    event.eventType === 'started' || event.eventType === 'completed'
      ? [`${event.eventType} ${ids.indexOf(event.executionId)}`]
      : [],
  )
  expect(order[0]).toBe('started 0')
  expect(order[1]).toBe('completed 0')
  expect(order.indexOf('started 3')).toBeGreaterThan(order.indexOf('completed 1'))
  expect(order.indexOf('started 3')).toBeGreaterThan(order.indexOf('completed 2'))
  expect(events.at(-1)).toMatchObject({ eventType: 'plan_completed', planId: result.planId, result })
  const printed = events.find((event) => event.eventType === 'stdout' && event.line === 'b')
  expect(printed).toMatchObject({ executionId: ids[1] })
})

test('progress comes after every step that ended, in order, and never goes back', async () => {
  const engine = newEngine()
  const seen: (ExecutionEvent | PlanEvent)[] = []
  engine.onEvent((event) => seen.push(event))
  const { planId } = await engine.runPlan({ strategy: parallel, commands: [ok, ok, exec('false'), ok, ok] })
  const progress = seen.filter((event) => event.eventType === 'progress')
  expect(progress.map(({ completed }) => completed)).toEqual([1, 2, 3, 4, 5])
  expect(progress.every((event) => event.planId === planId && event.total === 5)).toBe(true)
  expect(progress.at(-1)!.currentCommand).toBeNull()
  for (const [index, event] of seen.entries()) {
    if (event.eventType !== 'progress') continue
    const ended = seen.slice(0, index).filter(({ eventType }) => eventType === 'completed' || eventType === 'failed')
    expect(ended.length).toBeGreaterThanOrEqual(event.completed)
  }
})

test('every step is an execution of its own, visible under its own id', async () => {
  const engine = newEngine()
  const id = '11111111-1111-4111-8111-111111111111'
  const step = '22222222-2222-4222-8222-222222222222'
  expect(await engine.executePlan({ id, strategy: serial, commands: [{ id: step, ...shell('echo x') }] })).toBe(id)
  const result = await engine.waitForPlan(id)
  expect(await engine.getResult(step)).toEqual(result.results[0])
  expect(await engine.getPlanResult(id)).toEqual(result)
  expect([await engine.getStatus(id), await engine.getStatus(step)]).toEqual(['completed', 'completed'])
  expect((await engine.listExecutions()).map((summary) => summary.id)).toEqual([step])
  await expect(engine.getResult(id)).rejects.toMatchObject({ code: 'NOT_FOUND', executionId: id })
  await expect(engine.getPlanResult(step)).rejects.toMatchObject({ code: 'NOT_FOUND', executionId: step })
  await engine.removeExecution(id)
  expect(engine.totalCount).toBe(0)
})

test('a skipped step names the step that caused it', async () => {
  const engine = newEngine()
  const commands = [ok, shell('exit 3'), ok]
  const result = await engine.runPlan({ strategy: serial, commands })
  expect(statuses(result)).toEqual(['completed', 'failed', 'skipped'])
  expect(result.status).toBe('failed')
  expect(result.results[2]).toMatchObject({
    success: false,
    pid: null,
    exitCode: null,
    error: 'skipped because commands[1] failed: exited with code 3',
  })
  const going = await engine.runPlan({ strategy: { type: 'serial', stopOnError: false }, commands })
  expect(statuses(going)).toEqual(['completed', 'failed', 'completed'])
})

test('cancelling a plan ends what runs and what waits, and resolves when nothing is left', async () => {
  const engine = newEngine()
  const mark = newMark()
  const id = await engine.executePlan({
    strategy: { type: 'parallel', maxConcurrency: 2 },
    commands: [exec('sleep', mark), exec('sleep', mark), exec('sleep', mark)],
  })
  await untilThere(mark, 2)
  await expect(engine.getPlanResult(id)).rejects.toMatchObject({ code: 'NOT_FINISHED', executionId: id })
  await engine.cancel(id)
  expect(survivors(mark)).toEqual([])
  const result = await engine.getPlanResult(id)
  expect(statuses(result)).toEqual(['cancelled', 'cancelled', 'cancelled'])
  expect(result.status).toBe('cancelled')
  await expect(engine.cancel(id)).rejects.toMatchObject({ code: 'ALREADY_FINISHED' })
})

test('who asks for a result with the id of the other kind is told so', async () => {
  const engine = newEngine()
  const { planId, results } = await engine.runPlan({ strategy: serial, commands: [ok] })
  const step = results[0]!.id
  const [plan, execution] = [`${planId} is a plan, and no execution`, `${step} is an execution, and no plan`]
  for (const ask of [engine.getResult, engine.waitForCompletion]) {
    await expect(ask.call(engine, planId)).rejects.toMatchObject({ code: 'NOT_FOUND', message: plan })
  }
  for (const ask of [engine.getPlanResult, engine.waitForPlan]) {
    await expect(ask.call(engine, step)).rejects.toMatchObject({ code: 'NOT_FOUND', message: execution })
  }
})

test('a plan is known under its id as soon as it was submitted', async () => {
  const engine = newEngine()
  const plan = (id: string): ExecutionPlan => ({ id, strategy: serial, commands: [shell('sleep 60')] })
  const ids = ['44444444-4444-4444-8444-444444444444', '55555555-5555-4555-8555-555555555555']
  const runs = ids.map((id) => engine.runPlan(plan(id)))
  expect(await engine.getStatus(ids[0]!)).toBe('running')
  await engine.cancel(ids[1]!)
  await engine.cancel(ids[0]!)
  expect((await Promise.all(runs)).map(({ status }) => status)).toEqual(['cancelled', 'cancelled'])
  expect(await engine.waitForPlan(ids[0]!)).toEqual(await runs[0])
})

test('a step is known under the id it was given as soon as its plan was submitted', async () => {
  const engine = newEngine()
  const step = '66666666-6666-4666-8666-666666666666'
  const commands = [{ ...shell('sleep 60'), id: step }, ...Array.from({ length: 500 }, () => ok)]
  const calls = ['getStatus', 'getResult', 'removeExecution', 'readLogs', 'waitForCompletion', 'cancel'] as const
  for (const call of calls) {
    const running = engine.runPlan({ strategy: serial, commands })
    const asked = engine[call](step)
    if (call === 'waitForCompletion') await engine.cancel(step)
    const refusal: unknown = await asked.then(
      () => undefined,
      ({ code }) => code,
    )
    expect(['NOT_FINISHED', undefined]).toContain(refusal)
    if (call !== 'cancel' && call !== 'waitForCompletion') await engine.cancel(step)
    const { planId } = await running
    await engine.removeExecution(planId)
  }
})

test('the signal of a plan cancels it, before and after its start', async () => {
  const engine = newEngine()
  const mark = newMark()
  const before = await engine.runPlan(
    { strategy: serial, commands: [exec('sleep', mark), ok] },
    { signal: AbortSignal.abort() },
  )
  expect(statuses(before)).toEqual(['cancelled', 'cancelled'])
  const stop = new AbortController()
  const running = engine.runPlan({ strategy: serial, commands: [exec('sleep', mark), ok] }, { signal: stop.signal })
  await untilThere(mark, 1)
  stop.abort()
  expect(statuses(await running)).toEqual(['cancelled', 'cancelled'])
  expect(survivors(mark)).toEqual([])
})

test('no step of a plan is started whose signal is aborted already, 200 times', async () => {
  const engine = newEngine({ logOutput: false })
  const types = new Set<string>()
  for (let round = 0; round < 200; round++) {
    const { status, results } = await engine.runPlan(
      { strategy: parallel, commands: [ok, ok] },
      { signal: AbortSignal.abort(), onEvent: ({ eventType }) => void types.add(eventType) },
    )
    expect([status, ...results.map(({ pid }) => pid)]).toEqual(['cancelled', null, null])
  }
  expect([...types].sort()).toEqual(['cancelled', 'plan_completed', 'progress'])
})

test('the deadline of a plan ends it', async () => {
  const mark = newMark()
  const plan: ExecutionPlan = { strategy: serial, commands: [exec('sleep', mark), ok], timeoutMs: 200 }
  const result = await newEngine().runPlan(plan)
  expect(result).toMatchObject({ status: 'timeout', success: false })
  expect(statuses(result)).toEqual(['timeout', 'cancelled'])
  expect(result.results[0]!.error).toBe('its plan timed out after 200 ms')
  expect(survivors(mark)).toEqual([])
})

test('each step has its own grace', async () => {
  const stubborn = "trap '' TERM; while :; do sleep 0.01; done"
  const commands = [shell(stubborn, { terminationGraceMs: 100 }), shell(stubborn, { terminationGraceMs: 700 })]
  const plan: ExecutionPlan = { strategy: parallel, commands, timeoutMs: 200 }
  const { results } = await newEngine({ terminationGraceMs: 60_000 }).runPlan(plan)
  expect(results.map(({ status, forced }) => [status, forced])).toEqual([
    ['timeout', true],
    ['timeout', true],
  ])
  const [short = 0, long = 0] = results.map(({ durationMs }) => durationMs)
  expect(long - short).toBeGreaterThan(300)
})

test('a callback that has not returned holds back its own step, not the others', async () => {
  const engine = newEngine()
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  const seen: string[] = []
  const running = engine.runPlan(
    { strategy: parallel, commands: [shell('echo held'), shell('echo free')] },
    {
      onStdout: (line) => {
        if (line === 'held') return held
        return void seen.push(line)
      },
      onEvent: (event) => {
        if (event.eventType === 'completed') seen.push(event.result.stdout)
      },
    },
  )
  await until(() => seen.includes('free\n'), 'the end of the free step')
  expect(seen).not.toContain('held\n')
  release()
  expect(await running).toMatchObject({ status: 'completed' })
  expect(seen).toContain('held\n')
})

/** What is passed, the field that is to be blamed, and what the message must say. */
const refused: [unknown, string, string][] = [
  [undefined, 'plan', 'undefined'],
  [{ commands: [ok] }, 'strategy', 'undefined'],
  [{ strategy: 'serial', commands: [ok] }, 'strategy', '"serial"'],
  [{ strategy: { type: 'random' }, commands: [ok] }, 'strategy.type', '"random"'],
  [{ strategy: { type: 'serial', maxConcurrency: 1 }, commands: [] }, 'strategy.maxConcurrency', 'maxConcurrency'],
  [{ strategy: { type: 'parallel', maxConcurrency: 0 }, commands: [] }, 'strategy.maxConcurrency', '0'],
  [{ strategy: { type: 'dependency_graph' }, commands: [] }, 'strategy.dependencies', 'undefined'],
  [
    { strategy: { type: 'dependency_graph', dependencies: { a: [0] } }, commands: [ok] },
    'strategy.dependencies[a]',
    '"a"',
  ],
  [
    { strategy: { type: 'dependency_graph', dependencies: { 0: [-1] } }, commands: [ok] },
    'strategy.dependencies[0][0]',
    '-1',
  ],
  [
    { strategy: { type: 'dependency_graph', dependencies: { 3: [0] } }, commands: [ok] },
    'strategy.dependencies[3]',
    '3',
  ],
  [
    { strategy: { type: 'dependency_graph', dependencies: { 0: [2], 1: [0], 2: [1] } }, commands: [ok, ok, ok] },
    'strategy.dependencies',
    '0 -> 2 -> 1 -> 0',
  ],
  [{ strategy: serial }, 'commands', 'undefined'],
  [{ strategy: serial, commands: [ok, {}] }, 'commands[1].command', 'undefined'],
  [{ strategy: serial, commands: [ok, 'ls'] }, 'commands[1]', '"ls"'],
  [{ strategy: serial, commands: [ok, ok, exec('')] }, 'commands[2].command.program', 'empty'],
  [{ strategy: serial, commands: [{ ...ok, workingDir: '/no/such' }] }, 'commands[0].workingDir', '/no/such'],
  [{ strategy: serial, commands: [{ ...ok, env: { A_B: '\0' } }] }, 'commands[0].env.A_B', 'NUL'],
  [{ strategy: serial, commands: [ok], timeoutMs: 0 }, 'timeoutMs', '0'],
  [{ strategy: serial, commands: [ok, { ...ok, terminationGraceMs: 0 }] }, 'commands[1].terminationGraceMs', '0'],
  [{ strategy: serial, commands: [ok], timeout: 1 }, 'timeout', '"timeout"'],
  [
    {
      strategy: serial,
      commands: [
        { ...ok, id: '33333333-3333-4333-8333-333333333333' },
        { ...ok, id: '33333333-3333-4333-8333-333333333333' },
      ],
    },
    'commands[1].id',
    'commands[0]',
  ],
]

test.each(refused)('refuses the plan %j and blames %s', async (plan, field, found) => {
  const engine = newEngine()
  const touched = join(temporary(), 'touched')
  if (Array.isArray((plan as IndexedPlan | undefined)?.commands)) {
    const first: ExecutionRequest = exec('touch', touched)
    const { commands, ...rest } = plan as IndexedPlan
    plan = { ...rest, commands: [...commands, first] }
  }
  for (const submit of ['executePlan', 'runPlan'] as const) {
    const error: Error = await engine[submit](plan as ExecutionPlan).then(
      () => expect.unreachable('it was accepted'),
      (error) => error,
    )
    expect(error).toMatchObject({ name: 'ExecutionError', code: 'VALIDATION', field })
    expect(error.message).toContain(found)
    expect(error.message).not.toSatisfy(speaksRust)
  }
  expect([engine.totalCount, engine.runningCount, existsSync(touched)]).toEqual([0, 0, false])
})

test('a step whose directory has gone fails, and says so in no spelling of Rust', async () => {
  const dir = join(temporary(), 'gone')
  mkdirSync(dir)
  const { results } = await newEngine().runPlan({
    strategy: serial,
    commands: [exec('rmdir', dir), { ...ok, workingDir: dir }],
  })
  expect(results[1]).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED' })
  expect(results[1]!.error).toBe(
    `not started: expected a directory that exists, found "${dir}": no such file or directory`,
  )
})

test('a worker that ends takes its plan with it', async () => {
  const mark = newMark()
  const worker = new Worker(
    `const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
     const command = { type: 'exec', program: 'sleep', args: ['${mark}'] }
     new ExecutionEngine().runPlan({ strategy: { type: 'serial' }, commands: [{ command }, { command }] })`,
    { eval: true },
  )
  await untilThere(mark, 1)
  await worker.terminate()
  await until(() => survivors(mark).length === 0, 'the end of the steps')
})

test('to accept 10 000 steps takes no longer for each', async () => {
  const engine = newEngine({ logOutput: false, maxConcurrentExecutions: 16 })
  const timeToAccept = async (total: number) => {
    const dependencies = Object.fromEntries(Array.from({ length: total - 1 }, (_, i) => [i + 1, [i >> 1]]))
    const commands = Array.from({ length: total }, () => exec('/no/such/program'))
    const begun = performance.now()
    const id = await engine.executePlan({ strategy: { type: 'dependency_graph', dependencies }, commands })
    const accepted = performance.now() - begun
    const { stats } = await engine.waitForPlan(id)
    expect(stats).toMatchObject({ total, failed: 1, skipped: total - 1 })
    return accepted
  }
  let [few, many] = [Infinity, Infinity]
  for (let round = 0; round < 3; round++) {
    few = Math.min(few, await timeToAccept(1_000))
    many = Math.min(many, await timeToAccept(10_000))
  }
  // Ten times as many steps; the rest is for caches and for other work of the machine.
  expect(many).toBeLessThan(40 * few)
})

test('a plan whose file was written meanwhile sees it', async () => {
  const dir = temporary()
  const script = join(dir, 'first.sh')
  writeFileSync(script, 'echo second > made\n')
  const result = await newEngine().runPlan({
    strategy: serial,
    commands: [{ command: { type: 'script', path: script }, workingDir: dir }, exec('cat', join(dir, 'made'))],
  })
  expect(result.results[1]!.stdout).toBe('second\n')
})

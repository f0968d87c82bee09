// Many commands as one unit, whoever runs them, and wherever their steps run.

import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type {
  ExecutionEvent,
  ExecutionPlan,
  NamedPlan,
  PlanEvent,
  PlanExecutionResult,
} from '@escher-dbai/execution-engine'
import { newMark, survivors, untilThere } from '../../../__test__/processes.mjs'
import { exec, outcomeOf, planners, shell, temporary } from './executors'

const ok = exec('true')
const bad = shell('exit 3')

const statuses = ({ results }: PlanExecutionResult) => results.map(({ status }) => status)
const ends = ({ results }: PlanExecutionResult) => Object.fromEntries(results.map(({ step, status }) => [step, status]))

/** Plans that nobody accepts, with the field that is to blame and what the message says of it. */
const refused: [plan: unknown, field: string, found: string][] = [
  [{ strategy: { type: 'serial' } }, 'commands', 'undefined'],
  [{ strategy: { type: 'serial' }, commands: [ok, {}] }, 'commands[1].command', 'undefined'],
  [{ strategy: { type: 'serial' }, commands: [ok], timeout: 1 }, 'timeout', 'timeout'],
  [
    { strategy: { type: 'dependency_graph', dependencies: { 0: [2], 1: [0], 2: [1] } }, commands: [ok, ok, ok] },
    'strategy.dependencies',
    '0 -> 2 -> 1 -> 0',
  ],
  [{ steps: { a: { ...ok, dependsOn: ['b'] } } }, 'steps.a.dependsOn[0]', '"b"'],
]

describe.each(planners)('$name', ({ start, differs }) => {
  test('a diamond runs in the order of its dependencies, with one result and one story', async () => {
    const executor = await start()
    const events: (ExecutionEvent | PlanEvent)[] = []
    const lines: string[] = []
    const plan: ExecutionPlan = {
      description: 'a diamond',
      strategy: { type: 'dependency_graph', dependencies: { 1: [0], 2: [0], 3: [1, 2] } },
      commands: [shell('echo a'), shell('echo b'), shell('echo c >&2'), shell('cat', { stdin: 'd\n' })],
      metadata: { source: 'test' },
    }
    const result = await executor.runPlan(plan, {
      onEvent: (event) => void events.push(event),
      onStdout: (line) => void lines.push(line),
      onStderr: (line) => void lines.push(`err ${line}`),
    })
    expect(result).toMatchObject({ description: 'a diamond', status: 'completed', success: true })
    expect(result.stats).toEqual({ total: 4, completed: 4, failed: 0, cancelled: 0, timeout: 0, skipped: 0 })
    expect(result.results.map(({ stdout, planId, step }) => [stdout, planId, step])).toEqual([
      ['a\n', result.planId, 0],
      ['b\n', result.planId, 1],
      ['', result.planId, 2],
      ['d\n', result.planId, 3],
    ])
    expect([...lines].sort()).toEqual(['a', 'b', 'd', 'err c'])
    const ids = result.results.map(({ id }) => id)
    const order = events.flatMap((event) =>
      event.eventType === 'started' || event.eventType === 'completed'
        ? [`${event.eventType} ${ids.indexOf(event.executionId)}`]
        : [],
    )
    expect(order.slice(0, 2)).toEqual(['started 0', 'completed 0'])
    expect(order.indexOf('started 3')).toBeGreaterThan(order.indexOf('completed 1'))
    expect(order.indexOf('started 3')).toBeGreaterThan(order.indexOf('completed 2'))
    const progress = events.flatMap((event) => (event.eventType === 'progress' ? [event.completed] : []))
    expect(progress).toEqual([1, 2, 3, 4])
    expect(events.at(-1)).toMatchObject({
      eventType: 'plan_completed',
      planId: result.planId,
      result: { stats: result.stats },
    })
  })

  test('every step is an execution of its own, visible under its own id', async () => {
    const executor = await start()
    const [planId, stepId] = [randomUUID(), randomUUID()]
    const id = await executor.executePlan({
      id: planId,
      strategy: { type: 'parallel' },
      commands: [{ ...shell('echo one; exit 4'), id: stepId }, shell('echo two')],
    })
    expect(id).toBe(planId)
    const result = await executor.waitForPlan(planId)
    expect(await executor.getPlanResult(planId)).toEqual(result)
    expect(await executor.getStatus(planId)).toBe('failed')
    expect(await executor.getStatus(stepId)).toBe('failed')
    expect(await executor.getResult(stepId)).toEqual(result.results[0])
    expect((await executor.readLogLines(stepId)).lines.map(({ line }) => line)).toEqual(['one'])
    const listed = await executor.listExecutions({ status: 'failed' })
    expect(listed.some((summary) => summary.id === stepId && summary.planId === planId && summary.step === 0)).toBe(
      true,
    )
    await expect(executor.getPlanResult(stepId)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await expect(executor.getResult(planId)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })

  test('the lines of a step are numbered by themselves, and waited for before there is a plan', async () => {
    const executor = await start()
    const [loud, quiet, behind] = [randomUUID(), randomUUID(), randomUUID()]
    const followed = [quiet, behind].map(async (id) => {
      const lines: string[] = []
      for await (const { line } of executor.followLogs(id, { wait: true })) lines.push(line)
      return lines
    })
    // What the steps of a plan print is mixed.
    const counted = (name: string) => shell(`for i in 1 2 3 4 5 6 7 8; do echo ${name}$i; sleep 0.02; done`)
    await executor.runPlan({
      steps: {
        loud: { ...counted('l'), id: loud },
        quiet: { ...counted('q'), id: quiet },
        behind: { ...shell('echo b1; echo b2'), id: behind, dependsOn: ['loud', 'quiet'] },
      },
    })
    const numbered = (name: string, numbers: number[]) => numbers.map((number) => `${name}${number}`)
    expect(await Promise.all(followed)).toEqual([numbered('q', [1, 2, 3, 4, 5, 6, 7, 8]), ['b1', 'b2']])
    const page = async (id: string, fromLine: number, limit: number) => {
      const { lines, next, ended } = await executor.readLogLines(id, { fromLine, limit })
      return { lines: lines.map(({ line }) => line), next, ended }
    }
    for (const [id, name] of [[loud, 'l'] as const, [quiet, 'q'] as const]) {
      expect((await page(id, 0, 2)).lines).toEqual(numbered(name, [1, 2]))
      const { lines, next } = await page(id, 3, 2)
      expect(lines).toEqual(numbered(name, [4, 5]))
      const rest = await executor.readLogLines(id, { from: next })
      expect([rest.lines.map(({ line }) => line), rest.ended]).toEqual([numbered(name, [6, 7, 8]), true])
      expect(await page(id, 7, 9)).toMatchObject({ lines: numbered(name, [8]), ended: true })
      expect(await page(id, 8, 9)).toEqual({ lines: [], next: rest.next, ended: true })
    }
    expect((await page(behind, 1, 5)).lines).toEqual(['b2'])
  })

  test('after a failure a serial plan skips the rest, and says because of whom', async () => {
    const executor = await start()
    const result = await executor.runPlan({ strategy: { type: 'serial' }, commands: [ok, bad, ok, ok] })
    expect(statuses(result)).toEqual(['completed', 'failed', 'skipped', 'skipped'])
    expect(result).toMatchObject({ status: 'failed', stats: { completed: 1, failed: 1, skipped: 2 } })
    expect(result.results[2]?.error).toContain('commands[1]')
    const goesOn = { type: 'serial', stopOnError: false } as const
    expect(statuses(await executor.runPlan({ strategy: goesOn, commands: [bad, ok] }))).toEqual(['failed', 'completed'])
  })

  test('named steps: what is for failures, what is always, what may fail', async () => {
    const executor = await start()
    const plan: NamedPlan = {
      steps: {
        build: bad,
        lint: { ...bad, allowFailure: true },
        deploy: { ...ok, dependsOn: ['build'] },
        rollBack: { ...ok, dependsOn: ['deploy'], when: 'failure' },
        cleanUp: { ...ok, dependsOn: ['deploy', 'rollBack', 'lint'], when: 'always' },
      },
    }
    const result = await executor.runPlan(plan)
    expect(ends(result)).toEqual({
      build: 'failed',
      lint: 'failed',
      deploy: 'skipped',
      rollBack: 'completed',
      cleanUp: 'completed',
    })
    expect(result.results[2]?.error).toBe('skipped because steps.build failed: exited with code 3')
    expect(result.status).toBe('failed')
    const allowed = await executor.runPlan({ steps: { lint: { ...bad, allowFailure: true }, test: ok } })
    expect(allowed).toMatchObject({ status: 'completed', success: true })
  })

  test('an empty plan completes', async () => {
    const executor = await start()
    expect(await executor.runPlan({ steps: {} })).toMatchObject({ status: 'completed', results: [] })
  })

  test('no more steps run at once than the plan says', async () => {
    const executor = await start()
    const file = join(temporary(), 'steps')
    // The first two wait for each other.
    const step = shell(
      `echo + >> ${file}; until [ $(grep -c + ${file}) -ge 2 ]; do sleep 0.02; done; sleep 0.1; echo - >> ${file}`,
    )
    const commands = Array.from({ length: 6 }, () => step)
    await executor.runPlan({ strategy: { type: 'parallel', maxConcurrency: 2 }, commands })
    let [running, most] = [0, 0]
    for (const change of readFileSync(file, 'utf8').trim().split('\n')) {
      running += change === '+' ? 1 : -1
      most = Math.max(most, running)
    }
    expect([running, most]).toEqual([0, 2])
  })

  test('cancelling a plan ends what runs and what waits, and resolves when nothing is left', async () => {
    const executor = await start({ terminationGraceMs: 200 })
    const mark = newMark()
    const file = join(temporary(), 'touched')
    const planId = await executor.executePlan({
      steps: {
        a: exec('sleep', mark),
        b: exec('sleep', mark),
        c: { ...exec('touch', file), dependsOn: ['a'], when: 'always' },
      },
    })
    await untilThere(mark, 2)
    await executor.cancel(planId, 'enough')
    expect(survivors(mark)).toEqual([])
    const result = await executor.getPlanResult(planId)
    expect(result.status).toBe('cancelled')
    expect(statuses(result).slice(0, 2)).toEqual(['cancelled', 'cancelled'])
    expect(result.results[0]?.cancelReason).toBe('enough')
    expect(existsSync(file)).toBe(false)
    await expect(executor.cancel(planId)).rejects.toMatchObject({ code: 'ALREADY_FINISHED' })
  })

  test('one step is cancelled without the others', async () => {
    const executor = await start({ terminationGraceMs: 200 })
    const mark = newMark()
    const id = randomUUID()
    const running = executor.runPlan({ steps: { long: { ...exec('sleep', mark), id }, short: ok } })
    await untilThere(mark, 1)
    await executor.cancel(id, 'this one')
    const result = await running
    expect(ends(result)).toEqual({ long: 'cancelled', short: 'completed' })
    expect(result.results[0]?.cancelReason).toBe('this one')
  })

  test('the signal of a plan and its deadline end it', async () => {
    const executor = await start({ terminationGraceMs: 200 })
    const plan = { steps: { a: exec('sleep', '60'), b: { ...ok, dependsOn: ['a'] } } }
    const timed = await executor.runPlan({ ...plan, timeoutMs: 400 })
    expect(timed.status).toBe('timeout')
    expect(timed.results[0]?.status).toBe('timeout')
    const controller = new AbortController()
    const aborted = await executor.runPlan(plan, {
      signal: controller.signal,
      onEvent: ({ eventType }) => void (eventType === 'started' && controller.abort('signal')),
    })
    expect(aborted).toMatchObject({ status: 'cancelled', results: [{ cancelReason: 'signal' }, {}] })
    const before = await executor.runPlan(plan, { signal: AbortSignal.abort() })
    expect(before.status).toBe('cancelled')
    expect(before.results.map(({ startedAt }) => startedAt)).toEqual([null, null])
  })

  test('steps may be made of the results of others, where functions can be called', async () => {
    const executor = await start()
    const plan: NamedPlan = {
      steps: {
        name: shell('printf world'),
        greet: { dependsOn: ['name'], request: (results) => exec('echo', 'hello', results['name']!.stdout) },
      },
    }
    expect(await outcomeOf(executor.runPlan(plan))).toMatchObject(differs.madeStep)
  })

  test('bad plans are refused, and the culprit is named', async () => {
    const executor = await start()
    for (const [plan, field, found] of refused) {
      const error = await executor.executePlan(plan as never).catch((error: unknown) => error)
      expect(error).toMatchObject({ code: 'VALIDATION', field })
      expect((error as Error).message).toContain(found)
    }
  })

  test('a callback that has not returned holds back its own step, not the others', async () => {
    const executor = await start()
    let release = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    const running = executor.runPlan(
      { steps: { loud: shell('seq 200'), quiet: shell('seq 200 >&2') } },
      {
        onStdout: () => held,
        onEvent: (event) => {
          if (event.eventType === 'completed' && event.step === 'quiet') release()
        },
      },
    )
    expect(await running).toMatchObject({ status: 'completed' })
  })
})

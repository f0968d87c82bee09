// Contract, section 2, "Plans": steps with names, and when they run.

import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ExecutionEvent, ExecutionPlan, NamedPlan, NamedStep, PlanExecutionResult } from '../../index.js'
import { exec, newEngine, newMark, shell, temporary, untilThere } from './support.js'

const ok = exec('true')
const bad = shell('exit 3')

/** How each step ended, by its name. */
const ends = ({ results }: PlanExecutionResult) => Object.fromEntries(results.map(({ step, status }) => [step, status]))

test('named steps run after those that they depend on, and their results carry their names', async () => {
  const dir = temporary()
  const events: ExecutionEvent[] = []
  const plan: NamedPlan = {
    steps: {
      test: { ...shell('cat made'), workingDir: dir, dependsOn: ['build'] },
      build: { ...shell('echo made > made'), workingDir: dir },
    },
  }
  const engine = newEngine()
  engine.onEvent((event) => 'executionId' in event && events.push(event))
  const result = await engine.runPlan(plan)
  expect(result).toMatchObject({ status: 'completed', success: true, stats: { total: 2, completed: 2 } })
  expect(result.results.map(({ step, stdout, planId }) => [step, stdout, planId])).toEqual([
    ['test', 'made\n', result.planId],
    ['build', '', result.planId],
  ])
  expect(events.filter(({ eventType }) => eventType === 'started').map(({ step }) => step)).toEqual(['build', 'test'])
})

test('a clean-up runs after a failure and after a success, a step for failures only after one', async () => {
  const plan = (build: NamedStep): NamedPlan => ({
    steps: {
      build,
      deploy: { ...ok, dependsOn: ['build'] },
      rollBack: { ...ok, dependsOn: ['deploy'], when: 'failure' },
      cleanUp: { ...ok, dependsOn: ['deploy', 'rollBack'], when: 'always' },
    },
  })
  const engine = newEngine()
  const good = await engine.runPlan(plan(ok))
  expect(ends(good)).toEqual({ build: 'completed', deploy: 'completed', rollBack: 'skipped', cleanUp: 'completed' })
  expect(good).toMatchObject({ status: 'completed', success: true })
  expect(good.results[2]!.error).toBe('skipped because nothing that it depends on has failed')
  const failed = await engine.runPlan(plan(bad))
  expect(ends(failed)).toEqual({ build: 'failed', deploy: 'skipped', rollBack: 'completed', cleanUp: 'completed' })
  expect(failed).toMatchObject({ status: 'failed', success: false })
  expect(failed.results[1]!.error).toBe('skipped because steps.build failed: exited with code 3')
})

test('a step for failures behind a skipped one waits for all that it depends on, not only for the skipped one', async () => {
  const dir = temporary()
  const plan: NamedPlan = {
    steps: {
      fails: bad,
      slow: { ...shell('sleep 0.3; touch done'), workingDir: dir },
      both: { ...ok, dependsOn: ['fails', 'slow'] },
      cleanUp: { ...shell('ls'), workingDir: dir, dependsOn: ['both'], when: 'always' },
    },
  }
  const { results } = await newEngine().runPlan(plan)
  expect(results[3]).toMatchObject({ status: 'completed', stdout: 'done\n' })
})

test('a failure that is allowed is none to the plan and to other steps, and stands in its own result', async () => {
  const plan: NamedPlan = {
    steps: {
      lint: { ...bad, allowFailure: true },
      build: { ...ok, dependsOn: ['lint'] },
      report: { ...ok, dependsOn: ['lint'], when: 'failure' },
    },
    stopOnError: true,
  }
  const result = await newEngine().runPlan(plan)
  expect(ends(result)).toEqual({ lint: 'failed', build: 'completed', report: 'skipped' })
  expect(result).toMatchObject({ status: 'completed', success: true, stats: { completed: 1, failed: 1, skipped: 1 } })
  expect(result.results[0]).toMatchObject({ success: false, exitCode: 3 })
})

test('with stopOnError nothing more starts after a failure but what is there for failures', async () => {
  const plan: NamedPlan = {
    steps: { fails: bad, other: ok, last: { ...ok, dependsOn: ['other'], when: 'always' } },
    maxConcurrency: 1,
    stopOnError: true,
  }
  const result = await newEngine().runPlan(plan)
  expect(ends(result)).toEqual({ fails: 'failed', other: 'skipped', last: 'completed' })
})

test('nothing runs once the plan was cancelled or its deadline passed, a clean-up neither', async () => {
  const engine = newEngine()
  const mark = newMark()
  const plan: NamedPlan = {
    steps: { runs: exec('sleep', mark), cleanUp: { ...ok, dependsOn: ['runs'], when: 'always' } },
  }
  const id = await engine.executePlan(plan)
  await untilThere(mark, 1)
  await engine.cancel(id)
  const cancelled = await engine.getPlanResult(id)
  expect(ends(cancelled)).toEqual({ runs: 'cancelled', cleanUp: 'cancelled' })
  expect(cancelled.status).toBe('cancelled')
  const late = await engine.runPlan({ ...plan, timeoutMs: 100 })
  expect(ends(late)).toEqual({ runs: 'timeout', cleanUp: 'cancelled' })
  expect(late.status).toBe('timeout')
})

test('an allowed failure does not hide that the plan was stopped', async () => {
  const engine = newEngine()
  const mark = newMark()
  const id = await engine.executePlan({ steps: { runs: { ...exec('sleep', mark), allowFailure: true } } })
  await untilThere(mark, 1)
  await engine.cancel(id)
  expect(await engine.getPlanResult(id)).toMatchObject({ status: 'cancelled', success: false })
})

test('numbered steps have when and allowFailure as well', async () => {
  const engine = newEngine()
  const serial = await engine.runPlan({
    strategy: { type: 'serial' },
    commands: [{ ...bad, allowFailure: true }, bad, ok, { ...ok, when: 'failure' }, { ...ok, when: 'always' }],
  })
  expect(serial.results.map(({ status }) => status)).toEqual(['failed', 'failed', 'skipped', 'completed', 'completed'])
  expect(serial.results.map(({ step }) => step)).toEqual([0, 1, 2, 3, 4])
  const going = await engine.runPlan({
    strategy: { type: 'serial', stopOnError: false },
    commands: [bad, ok, { ...ok, when: 'success' }, { ...ok, when: 'failure' }],
  })
  expect(going.results.map(({ status }) => status)).toEqual(['failed', 'completed', 'skipped', 'completed'])
  const parallel = await engine.runPlan({
    strategy: { type: 'parallel' },
    commands: [bad, { ...ok, when: 'failure' }],
  })
  expect(parallel.results.map(({ status }) => status)).toEqual(['failed', 'skipped'])
  const graph = await engine.runPlan({
    strategy: { type: 'dependency_graph', dependencies: { 1: [0], 2: [1] } },
    commands: [bad, ok, { ...ok, when: 'failure' }],
  })
  expect(graph.results.map(({ status }) => status)).toEqual(['failed', 'skipped', 'completed'])
})

test('a plan without steps is complete', async () => {
  expect(await newEngine().runPlan({ steps: {} })).toMatchObject({ status: 'completed', results: [] })
})

test('names may be any texts, those of the prototypes of objects among them', async () => {
  const names = ['__proto__', 'constructor', 'build all', 'a.b_c', 'ä']
  const steps = Object.fromEntries(names.map((name): [string, NamedStep] => [name, ok]))
  const { results } = await newEngine().runPlan({ steps: { ...steps, last: { ...ok, dependsOn: names } } })
  expect(results.map(({ step }) => step)).toEqual([...names, 'last'])
})

/** What is passed, the field that is to be blamed, and what the message must say. */
const refused: [unknown, string, string][] = [
  [{ steps: { test: { ...ok, dependsOn: ['biuld'] }, build: ok } }, 'steps.test.dependsOn[0]', '"build"'],
  [{ steps: { test: { ...ok, dependsOn: ['xyz'] }, build: ok } }, 'steps.test.dependsOn[0]', 'found "xyz"'],
  [
    {
      steps: { a: { ...ok, dependsOn: ['c'] }, b: { ...ok, dependsOn: ['a'] }, c: { ...ok, dependsOn: ['b'] } },
    },
    'steps.a.dependsOn',
    'a -> c -> b -> a, each waiting for the next',
  ],
  [{ steps: { it: { ...ok, dependsOn: ['it'] } } }, 'steps.it.dependsOn', 'it -> it'],
  [{ steps: { build_all: { ...ok, timeoutMs: 0 } } }, 'steps.build_all.timeoutMs', '0'],
  [{ steps: { build_all: exec('') } }, 'steps.build_all.command.program', 'empty'],
  [{ steps: { 'a b_c.d': { ...ok, workingDir: '/no/such' } } }, 'steps["a b_c.d"].workingDir', '/no/such'],
  [{ steps: { 'a b': { ...ok, when: 'never' } } }, 'steps["a b"].when', '"never"'],
  [{ steps: { '': ok } }, 'steps', 'empty'],
  [{ steps: { it: { ...ok, allowFailure: 1 } } }, 'steps.it.allowFailure', '1'],
  [{ steps: { it: { ...ok, dependOn: [] } } }, 'steps.it.dependOn', '"dependsOn"'],
  [{ steps: { it: {} } }, 'steps.it.command', 'undefined'],
  [{ steps: [ok] }, 'steps', 'an array of 1'],
  [{ steps: { it: ok }, maxConcurrency: 0 }, 'maxConcurrency', '0'],
  [{ steps: { it: ok }, strategy: { type: 'serial' } }, 'strategy', '"strategy"'],
  [{ strategy: { type: 'serial' }, commands: [{ ...ok, dependsOn: [] }] }, 'commands[0].dependsOn', 'dependsOn'],
  [{ steps: { it: { request: 'ls' } } }, 'steps.it.request', '"ls"'],
  [{ steps: { it: { request: () => ok, timeoutMs: 1 } } }, 'steps.it.timeoutMs', '"timeoutMs"'],
]

test.each(refused)('refuses the plan %j and blames %s', async (plan, field, found) => {
  const engine = newEngine()
  const touched = join(temporary(), 'touched')
  const { steps } = plan as NamedPlan
  if (steps !== undefined && !Array.isArray(steps)) {
    plan = { ...(plan as NamedPlan), steps: { ...steps, first: exec('touch', touched) } }
  }
  const error: Error = await engine.runPlan(plan as ExecutionPlan).then(
    () => expect.unreachable('it was accepted'),
    (error) => error,
  )
  expect(error).toMatchObject({ name: 'ExecutionError', code: 'VALIDATION', field })
  expect(error.message).toContain(found)
  expect([engine.totalCount, existsSync(touched)]).toEqual([0, false])
})

test('an id that is in use is refused with the name of its step', async () => {
  const engine = newEngine()
  const { id } = await engine.run(ok)
  const refusal = engine.runPlan({ steps: { it: { ...ok, id } } })
  await expect(refusal).rejects.toMatchObject({ code: 'DUPLICATE_ID', field: 'steps.it.id' })
})

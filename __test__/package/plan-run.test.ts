// A plan whose steps somebody else runs: it goes as with the engine, and goes on after a restart.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import type {
  ExecutionEngine,
  ExecutionEvent,
  ExecutionPlan,
  ExecutionRequest,
  ExecutionResult,
  NamedStep,
  PlanEvent,
  PlanExecutionResult,
} from '../../index.js'
import { PlanRun, stepId, type PlanRunOptions, type PlanRunStep } from '../../plans.js'
import { fakeResult } from '../../testing.js'
import { exec, newEngine, newMark, shell, survivors } from './support.js'

const ok = exec('true')
const bad = shell('exit 4')

/** Has the steps run by an engine that knows nothing of the plan. */
const on =
  (engine: ExecutionEngine): PlanRunOptions['run'] =>
  async (request, { planId, step, signal }) => ({ ...(await engine.run(request, { signal })), planId, step })

/** A step that ends when the test says so. */
interface Held {
  request: ExecutionRequest
  step: PlanRunStep
  end: (fields?: Parameters<typeof fakeResult>[0]) => Promise<void>
  fail: (error: Error) => void
}

/** Holds each step until the test lets it end. */
function held() {
  const steps = new Map<string | number, Held>()
  const run: PlanRunOptions['run'] = (request, step) =>
    new Promise((resolve, reject) => {
      const { id, planId, step: key } = step
      const end: Held['end'] = async (fields = {}) => {
        resolve(fakeResult({ id, planId, step: key, completedAt: new Date().toISOString(), ...fields }))
        await sleep(2)
      }
      steps.set(key, { request, step, end, fail: reject })
    })
  const at = (key: string | number): Held => {
    const found = steps.get(key)
    if (found === undefined) throw new Error(`${key} does not run`)
    return found
  }
  return { run, at, begun: () => [...steps.keys()] }
}

const settled = () => sleep(2)

// As with the engine

/** Without what is different each time. */
const timeless = (result: PlanExecutionResult): unknown =>
  JSON.parse(
    JSON.stringify(result)
      .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
      .replace(/"(id|planId)":"[^"]*"/g, '"$1":"<id>"')
      .replace(/"(pid|durationMs|queuedMs|totalDurationMs)":\d+/g, '"$1":0')
      .replace(/"usage":\{[^}]*\}/g, '"usage":null')
      .replace(/"logPath":"[^"]*"/g, '"logPath":null'),
  )

/** Numbers that look random, and are the same each time. */
function numbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31
    return Math.floor((state / 2 ** 31) * below)
  }
}

/** A plan of named steps, in which all may happen that does not depend on who is faster. */
function planOf(seed: number): ExecutionPlan {
  const random = numbers(seed)
  const steps: Record<string, NamedStep> = {}
  const count = 1 + random(7)
  for (let index = 0; index < count; index++) {
    const request = random(3) === 0 ? bad : ok
    const dependsOn = Object.keys(steps).filter(() => random(3) === 0)
    const when = (['success', 'success', 'failure', 'always'] as const)[random(4)]
    const rest = { dependsOn, when, allowFailure: random(4) === 0 }
    steps[`s${index}`] = random(4) === 0 ? { request: () => request, ...rest } : { ...request, ...rest }
  }
  return random(2) === 0 ? { steps } : { steps, maxConcurrency: 1, stopOnError: random(2) === 0 }
}

test.each(Array.from({ length: 40 }, (_, seed) => seed))('it goes as the engine has it: plan %i', async (seed) => {
  const plan = planOf(seed)
  const engine = newEngine({ logOutput: false })
  const ofEngine = await engine.runPlan(plan)
  const own = await new PlanRun(plan, { run: on(engine) }).result
  expect(timeless(own)).toEqual(timeless(ofEngine))
})

const indexed: [string, ExecutionPlan][] = [
  ['serial', { strategy: { type: 'serial' }, commands: [ok, bad, ok, { ...ok, when: 'always' }] }],
  ['serial, going on', { strategy: { type: 'serial', stopOnError: false }, commands: [bad, ok], description: 'two' }],
  ['parallel', { strategy: { type: 'parallel' }, commands: [ok, { ...bad, allowFailure: true }] }],
  ['a graph', { strategy: { type: 'dependency_graph', dependencies: { 1: [0], 2: [1] } }, commands: [ok, bad, ok] }],
  ['made', { strategy: { type: 'serial' }, commands: [ok, { request: ([first]) => (first?.success ? bad : ok) }] }],
  ['empty', { strategy: { type: 'serial' }, commands: [] }],
]

test.each(indexed)('a plan of numbered steps goes as the engine has it: %s', async (_, plan) => {
  const engine = newEngine({ logOutput: false })
  const ofEngine = await engine.runPlan(plan)
  expect(timeless(await new PlanRun(plan, { run: on(engine) }).result)).toEqual(timeless(ofEngine))
})

test('what is told of the plan, and of steps that never run, is what the engine tells', async () => {
  const plan: ExecutionPlan = {
    steps: {
      fails: { ...bad, metadata: { tags: { of: 'it' } } },
      skipped: { ...ok, dependsOn: ['fails'] },
      always: { ...ok, dependsOn: ['fails'], when: 'always' },
      unmade: {
        request: () => {
          throw new Error('no idea')
        },
        dependsOn: ['always'],
        when: 'always',
      },
    },
    maxConcurrency: 1,
    metadata: { source: 'a test' },
  }
  const engine = newEngine({ logOutput: false })
  const events = { own: [] as unknown[], ofEngine: [] as unknown[] }
  const notes =
    (list: unknown[]) =>
    (event: ExecutionEvent | PlanEvent): void => {
      const isOfRunning = 'executionId' in event && !['skipped', 'unmade'].includes(String(event.step))
      // Which step has begun by then is not certain.
      const certain = { ...event, executionId: null, currentCommand: null }
      if (!isOfRunning) list.push(timeless(certain as never))
    }
  await engine.runPlan(plan, { onEvent: notes(events.ofEngine) })
  await new PlanRun(plan, { run: on(engine), onEvent: notes(events.own) }).result
  const sorted = (list: unknown[]) =>
    [...list].sort((one, other) => keyOf(one as Record<string, unknown>).localeCompare(keyOf(other as never)))
  const keyOf = ({ eventType, step, completed }: Record<string, unknown>) => `${eventType} ${step} ${completed}`
  expect(sorted(events.own)).toEqual(sorted(events.ofEngine))
  expect(events.own).toHaveLength(7)
  expect(events.own.at(-1)).toMatchObject({ eventType: 'plan_completed', metadata: { source: 'a test', tags: {} } })
})

test('the result waits for who is told, and for nobody who hangs', async () => {
  const seen: string[] = []
  const onEvent = async ({ eventType }: { eventType: string }) => {
    await sleep(20)
    seen.push(eventType)
  }
  const run = async (_: ExecutionRequest, { id }: PlanRunStep) => fakeResult({ id })
  await new PlanRun({ steps: { a: ok, b: ok } }, { run, onEvent }).result
  expect(seen).toEqual(['progress', 'progress', 'plan_completed'])
  const hanging = new PlanRun({ steps: { a: ok } }, { run, onEvent: () => new Promise(() => {}) })
  expect((await hanging.result).success).toBe(true)
})

// What the caller is given

test('a step is given its request with its id and the secrets of the plan, and nothing that is of the plan alone', async () => {
  const { run, at } = held()
  const args = ['one']
  const command = { type: 'exec', program: 'true', args } as const
  const steps: Record<string, NamedStep> = {
    build: { command, secrets: ['own-secret'], timeoutMs: 7, when: 'always', allowFailure: true },
    made: { request: () => ({ ...ok, workingDir: new URL('file:///tmp') }), dependsOn: ['build'] },
  }
  const id = randomUUID()
  const plan = new PlanRun({ id, steps, secrets: ['of-the-plan'], secretEnv: ['KEY'] }, { run })
  expect(plan.steps).toEqual([
    { step: 'build', id: stepId(id, 'build'), command: 'true one' },
    { step: 'made', id: stepId(id, 'made'), command: null },
  ])
  // What is changed after the call is not seen.
  args.push('two')
  await settled()
  expect(at('build').request).toEqual({
    ...exec('true', 'one'),
    timeoutMs: 7,
    id: stepId(id, 'build'),
    secrets: ['own-secret', 'of-the-plan'],
    secretEnv: ['KEY'],
  })
  expect(at('build').step).toMatchObject({ id: stepId(id, 'build'), step: 'build', index: 0, planId: id })
  await at('build').end()
  const { request } = at('made')
  expect(request).toMatchObject({ ...ok, id: stepId(id, 'made'), secrets: ['of-the-plan'], secretEnv: ['KEY'] })
  expect(String(request.workingDir)).toBe('file:///tmp')
  await at('made').end()
  expect((await plan.result).success).toBe(true)
  expect(plan.steps[1]?.command).toBe('true')
})

test('secrets are in nothing that is made here', async () => {
  const secret = 'a secret of mine'
  const { run, at } = held()
  const events: unknown[] = []
  const plan = new PlanRun(
    {
      secrets: [secret],
      steps: {
        runs: exec('echo', secret),
        thrown: {
          request: () => {
            throw new Error(`no ${secret}`)
          },
        },
        // Where the message is cut, within the secret.
        'thrown at length': {
          request: () => {
            throw new Error(`${'x'.repeat(8192 - 5)}${secret}`)
          },
        },
        waits: { ...exec('echo', secret), dependsOn: ['runs'] },
      },
    },
    { run, onEvent: (event) => void events.push(event) },
  )
  await settled()
  plan.cancel(`because of ${secret}`)
  await at('runs').end({ status: 'cancelled' })
  const result = await plan.result
  expect(result.results[1]).toMatchObject({ error: 'its request could not be made: no ***', errorCode: 'INVALID_STEP' })
  expect(result.results[2]?.error).toMatch(/x{8187}\*\*\*$/)
  expect(result.results[3]).toMatchObject({ command: "echo '***'", cancelReason: 'because of ***' })
  expect(JSON.stringify([result, events, plan.steps])).not.toContain(secret)
})

test('what the engine would refuse is refused, and so are options that are none', () => {
  const { run } = held()
  const refused = (plan: unknown, options: unknown = { run }): unknown => {
    try {
      return new PlanRun(plan as ExecutionPlan, options as PlanRunOptions)
    } catch (error) {
      return error
    }
  }
  expect(refused({ steps: { a: { ...ok, dependsOn: ['a'] } } })).toMatchObject({
    code: 'VALIDATION',
    field: 'steps.a.dependsOn',
  })
  expect(refused({ steps: {} }, {})).toMatchObject({ code: 'VALIDATION', field: 'options.run' })
  expect(refused({ steps: {} }, { run, results: 5 })).toMatchObject({ field: 'options.results' })
  expect(refused({ steps: {} }, { run, acceptedAt: 'now' })).toMatchObject({ field: 'options.acceptedAt' })
  expect(() => stepId('no id', 0)).toThrow('planId')
})

test('where it cannot be known how a step ends, the result rejects, and nothing more is started or stopped', async () => {
  const { run, at, begun } = held()
  const plan = new PlanRun({ steps: { a: ok, b: ok, c: { ...ok, dependsOn: ['a'] } } }, { run })
  await settled()
  const lost = new Error('the connection is lost')
  at('b').fail(lost)
  await expect(plan.result).rejects.toBe(lost)
  await at('a').end()
  expect(begun()).toEqual(['a', 'b'])
  expect(at('a').step.signal.aborted).toBe(false)
  const wrong = new PlanRun({ steps: { a: ok } }, { run: async () => ({}) as ExecutionResult })
  await expect(wrong.result).rejects.toThrow('run: expected the result of an execution, found an object')
  const thrown = new PlanRun(
    { steps: { a: ok } },
    {
      run: () => {
        throw lost
      },
    },
  )
  await expect(thrown.result).rejects.toBe(lost)
})

// Ends before its time

test('a cancel ends what runs with its reason, and lets nothing more start', async () => {
  const mark = newMark()
  const engine = newEngine()
  const abort = new AbortController()
  const steps = { runs: exec('sleep', mark), waits: { ...ok, dependsOn: ['runs'], when: 'always' } } as const
  const plan = new PlanRun({ steps }, { run: on(engine), signal: abort.signal })
  while (survivors(mark).length === 0) await sleep(5)
  abort.abort('not wanted any more')
  expect(await plan.result).toMatchObject({
    status: 'cancelled',
    results: [
      { status: 'cancelled', signal: 'SIGTERM', cancelReason: 'not wanted any more' },
      {
        status: 'cancelled',
        error: 'its plan was cancelled before it was started',
        cancelReason: 'not wanted any more',
        pid: null,
      },
    ],
  })
  expect(survivors(mark)).toEqual([])
})

test('a signal that is aborted already starts nothing', async () => {
  const { run, begun } = held()
  const { result } = new PlanRun({ steps: { a: ok, b: ok } }, { run, signal: AbortSignal.abort('too late') })
  expect(await result).toMatchObject({ status: 'cancelled', stats: { cancelled: 2 } })
  expect(begun()).toEqual([])
})

test('a step is cancelled by itself, before its turn and while it runs', async () => {
  const { run, at, begun } = held()
  const plan = new PlanRun(
    { steps: { a: ok, b: { ...ok, dependsOn: ['a'] }, c: { ...ok, dependsOn: ['b'] } } },
    { run },
  )
  await settled()
  const [a = '', b = ''] = plan.steps.map(({ id }) => id)
  plan.cancelStep(b, 'not this one')
  expect(() => plan.cancelStep(b)).toThrow(expect.objectContaining({ code: 'ALREADY_FINISHED', executionId: b }))
  expect(() => plan.cancelStep(randomUUID())).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
  plan.cancelStep(a, 'nor this one')
  expect(at('a').step.signal).toMatchObject({ aborted: true, reason: 'nor this one' })
  await at('a').end({ status: 'cancelled' })
  const { status, results } = await plan.result
  expect([status, begun()]).toEqual(['failed', ['a']])
  expect(results.slice(1)).toMatchObject([
    { status: 'cancelled', error: 'cancelled before it was started', cancelReason: 'not this one' },
    { status: 'skipped', error: 'skipped because steps.b was cancelled: cancelled before it was started' },
  ])
})

test('the deadline of a plan counts from its acceptance, and ends what runs', async () => {
  const { run, at } = held()
  const commands = [ok, ok]
  const begun = Date.now()
  const plan = new PlanRun(
    { strategy: { type: 'serial' }, commands, timeoutMs: 60_100 },
    { run, acceptedAt: begun - 60_000 },
  )
  await settled()
  const { signal } = at(0).step
  await new Promise((resolve) => signal.addEventListener('abort', resolve))
  expect(Date.now() - begun).toBeGreaterThanOrEqual(99)
  expect(signal.reason).toMatchObject({ name: 'TimeoutError', message: 'its plan timed out after 60100 ms' })
  await at(0).end({ status: 'cancelled' })
  const { status, results, totalDurationMs } = await plan.result
  expect([status, results[1]?.status, results[1]?.error]).toEqual([
    'timeout',
    'cancelled',
    'its plan timed out after 60100 ms, before it was started',
  ])
  expect(totalDurationMs).toBeGreaterThanOrEqual(60_100)
})

test('a lease that is not renewed ends the plan, also where only what may fail was left', async () => {
  vi.useFakeTimers()
  try {
    const { run, at } = held()
    const plan = new PlanRun({ steps: { it: { ...ok, allowFailure: true } }, leaseMs: 1000 }, { run })
    await vi.advanceTimersByTimeAsync(900)
    plan.renewLease()
    await vi.advanceTimersByTimeAsync(900)
    plan.renewLease(500)
    expect(at('it').step.signal.aborted).toBe(false)
    await vi.advanceTimersByTimeAsync(500)
    expect(at('it').step.signal.aborted).toBe(true)
    expect(() => plan.renewLease()).toThrow(expect.objectContaining({ code: 'ALREADY_FINISHED' }))
    const ending = at('it').end({ errorCode: 'LEASE_LOST' })
    await vi.advanceTimersByTimeAsync(10)
    await ending
    expect(await plan.result).toMatchObject({ status: 'failed', success: false })
    const without = new PlanRun({ steps: {} }, { run })
    expect(() => without.renewLease()).toThrow(expect.objectContaining({ code: 'VALIDATION', field: 'id' }))
  } finally {
    vi.useRealTimers()
  }
})

// After a restart

describe('after a restart', () => {
  const id = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
  const at = (second: number): string => new Date(Date.UTC(2026, 0, 1, 0, 0, second)).toISOString()
  const ended = (step: string | number, completedAt: string, fields = {}): ExecutionResult =>
    fakeResult({ id: stepId(id, step), planId: id, step, completedAt, ...fields })

  test('steps that had ended are not run again, nor told again, and the others go on under the same ids', async () => {
    const { run, at: stepAt, begun } = held()
    const events: string[] = []
    let calls = 0
    const steps = {
      build: ok,
      made: { request: () => (calls++, ok), dependsOn: ['build'] },
      test: { ...ok, dependsOn: ['made'] },
      other: ok,
    }
    const results = [ended('build', at(1)), ended('made', at(2)), fakeResult()]
    const plan = new PlanRun({ id, steps }, { run, results, onEvent: ({ eventType }) => void events.push(eventType) })
    await settled()
    expect([begun().sort(), calls]).toEqual([['other', 'test'], 0])
    expect(stepAt('test').step.id).toBe(stepId(id, 'test'))
    expect(events).toEqual([])
    await stepAt('test').end()
    await stepAt('other').end()
    const { results: all, success } = await plan.result
    expect(success).toBe(true)
    expect(all.slice(0, 2)).toEqual(results.slice(0, 2))
    expect(events).toEqual(['progress', 'progress', 'plan_completed'])
  })

  test('a step that ran as another failed is still known as one that runs', async () => {
    const { run, at: stepAt, begun } = held()
    const plan: ExecutionPlan = {
      id,
      strategy: { type: 'parallel', maxConcurrency: 2, stopOnError: true },
      commands: [ok, bad, ok, ok],
    }
    // The third began as the first ended, and ran as the second failed.
    const results = [ended(1, at(2), { exitCode: 4 }), ended(0, at(1))]
    const again = new PlanRun(plan, { run, results })
    await settled()
    expect(begun()).toEqual([2])
    await stepAt(2).end()
    expect((await again.result).results.map(({ status }) => status)).toEqual([
      'completed',
      'failed',
      'completed',
      'skipped',
    ])
  })

  test('a step whose request was made as another failed is made again', async () => {
    const { run, at: stepAt, begun } = held()
    const steps = {
      first: ok,
      made: { request: () => ok, dependsOn: ['first'] },
      fails: bad,
      waits: { ...ok, dependsOn: ['made'] },
    }
    const results = [ended('first', at(1)), ended('fails', at(2), { exitCode: 4 })]
    const again = new PlanRun({ id, steps, stopOnError: true }, { run, results })
    await settled()
    expect(begun()).toEqual(['made'])
    await stepAt('made').end()
    expect((await again.result).results.map(({ status }) => status)).toEqual([
      'completed',
      'completed',
      'failed',
      'skipped',
    ])
  })

  test('the order of a chain holds where the clocks of two machines differ', async () => {
    const { run, begun } = held()
    const results = [ended(0, at(9)), ended(1, at(1), { exitCode: 1 })]
    const { result } = new PlanRun({ id, strategy: { type: 'serial' }, commands: [ok, ok, ok] }, { run, results })
    expect((await result).results.map(({ status }) => status)).toEqual(['completed', 'failed', 'skipped'])
    expect(begun()).toEqual([])
  })

  test('what had ended before the deadline is not undone by it', async () => {
    const { run, begun } = held()
    const commands = [ok, ok]
    const options = { run, acceptedAt: Date.now() - 60_000 }
    const plan: ExecutionPlan = { id, strategy: { type: 'parallel' }, commands, timeoutMs: 1000 }
    const results = [ended(0, at(1)), ended(1, at(2))]
    expect(await new PlanRun(plan, { ...options, results }).result).toMatchObject({ status: 'completed' })
    expect(begun()).toEqual([])
  })

  test('what ran as the plan was cancelled is told so, and what waited never starts', async () => {
    const { run, at: stepAt, begun } = held()
    const steps = { build: ok, test: { ...ok, dependsOn: ['build'] }, deploy: { ...ok, dependsOn: ['test'] } }
    const signal = AbortSignal.abort('enough')
    const plan = new PlanRun({ id, steps }, { run, results: [ended('build', at(1))], signal })
    await settled()
    expect(begun()).toEqual(['test'])
    expect(stepAt('test').step.signal).toMatchObject({ aborted: true, reason: 'enough' })
    await stepAt('test').end({ status: 'cancelled' })
    expect((await plan.result).results.map(({ status }) => status)).toEqual(['completed', 'cancelled', 'cancelled'])
  })

  test('a plan of which all is known ends at once with the same result', async () => {
    const engine = newEngine({ logOutput: false })
    const plan = { ...planOf(11), id }
    const first = await new PlanRun(plan, { run: on(engine) }).result
    const { run, begun } = held()
    const again = await new PlanRun(plan, { run, results: first.results }).result
    expect({ ...again, totalDurationMs: 0 }).toEqual({ ...first, totalDurationMs: 0 })
    expect(begun()).toEqual([])
  })
})

// What stands in for the engine in the tests of its users: it does as the engine does, and runs nothing.

import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { copyFileSync, cpSync, mkdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  ExecutionError,
  ExecutionFailedError,
  type ExecutionConfig,
  type ExecutionEngine,
  type ExecutionEvent,
  type ExecutionPlan,
  type ExecutionRequest,
  type ExecutionResult,
  type PlanEvent,
  type PlanExecutionResult,
  type Retry,
} from '../../index.js'
import { FakeEngine, fakeResult, sh, type FakeResultFields, type FakeScript } from '../../testing.js'
import { exec, newEngine, newMark, packagePath, shell, temporary, until } from './support.js'

afterEach(() => {
  vi.useRealTimers()
})

const root = dirname(packagePath)
const ls = { command: sh`ls` }

test('it is loaded without the addon', () => {
  const dir = join(temporary(), 'node_modules/@escher-dbai/execution-engine')
  mkdirSync(dir, { recursive: true })
  for (const file of ['index.js', 'testing.js', 'package.json', 'schema.json']) {
    copyFileSync(join(root, file), join(dir, file))
  }
  cpSync(join(root, 'lib'), join(dir, 'lib'), { recursive: true })
  const program = `
    const { FakeEngine, sh } = require('@escher-dbai/execution-engine/testing')
    const engine = new FakeEngine().otherwise({ output: ['here'] })
    engine.run({ command: sh\`ls\` }).then(({ stdout }) => process.stdout.write(stdout))
    try { require('@escher-dbai/execution-engine') } catch ({ code }) { console.log(code) }`
  const options = { cwd: join(dir, '../../..'), encoding: 'utf8' } as const
  expect(execFileSync(process.execPath, ['-e', program], options)).toBe('ERR_NATIVE_PACKAGE\nhere\n')
  const asModule = `import { FakeEngine } from '@escher-dbai/execution-engine/testing'; console.log(typeof FakeEngine)`
  expect(execFileSync(process.execPath, ['--input-type=module', '-e', asModule], options)).toBe('function\n')
})

test('its errors are those of the package', async () => {
  const engine = new FakeEngine().otherwise({ exitCode: 1 })
  await expect(engine.getStatus('1')).rejects.toBeInstanceOf(ExecutionError)
  await expect(engine.run(ls, { throwOnFailure: true })).rejects.toBeInstanceOf(ExecutionFailedError)
})

// fakeResult

describe('fakeResult', () => {
  const { $defs } = JSON.parse(readFileSync(join(root, 'schema.json'), 'utf8')) as {
    $defs: Record<string, { properties: object }>
  }

  test('has what a result has, and is a command that has completed', async () => {
    const result = fakeResult()
    expect(Object.keys(result).sort()).toEqual(Object.keys($defs['ExecutionResult']?.properties ?? {}).sort())
    expect(result).toMatchObject({ status: 'completed', success: true, exitCode: 0, signal: null, error: null })
    const real = await newEngine().run(exec('true'))
    expect(Object.getOwnPropertyNames(result).sort()).toEqual(Object.getOwnPropertyNames(real).sort())
    expect(fakeResult({ stdout: '[1]' }).json()).toEqual([1])
  })

  test.each<[FakeResultFields, Partial<ExecutionResult>]>([
    [{ stdout: 'é\n' }, { stdoutBytes: 3, success: true }],
    [{ exitCode: 2 }, { status: 'failed', success: false, error: 'exited with code 2' }],
    [{ success: false }, { status: 'failed', exitCode: 1, signal: null }],
    [{ signal: 'SIGKILL' }, { status: 'failed', exitCode: null, error: 'ended by SIGKILL' }],
    [
      { status: 'timeout', durationMs: 50 },
      { exitCode: null, signal: 'SIGTERM', error: 'timed out after 50 ms' },
    ],
    [{ status: 'cancelled' }, { success: false, exitCode: null, signal: 'SIGTERM', error: 'cancelled' }],
    [
      { status: 'cancelled', startedAt: null },
      { pid: null, exitCode: null, signal: null },
    ],
    [{ status: 'skipped' }, { success: false, pid: null, startedAt: null, exitCode: null, signal: null }],
    [{ errorCode: 'SPAWN_FAILED' }, { status: 'failed', pid: null, startedAt: null, exitCode: null }],
    [
      { completedAt: '2026-01-01T00:00:01.000Z', durationMs: 1000 },
      { startedAt: '2026-01-01T00:00:00.000Z', status: 'completed' },
    ],
    [
      { status: 'completed', exitCode: 2 },
      { success: true, exitCode: 2, error: null },
    ],
    [{ id: undefined, exitCode: undefined }, { status: 'completed' }],
  ])('what is not given of %j follows from it', (given, expected) => {
    expect(fakeResult(given)).toMatchObject(expected)
  })

  test.each<[FakeResultFields, string]>([
    [{ status: 'failed', success: true }, 'success'],
    [{ status: 'completed', exitCode: null }, 'exit code'],
    [{ exitCode: 1, signal: 'SIGTERM' }, 'exit code or a signal'],
    [{ errorCode: 'SPAWN_FAILED', exitCode: 1 }, 'never ran'],
    [{ exitcode: 1 } as object, '"exitcode"'],
  ])('what no engine says is refused: %j', (given, message) => {
    expect(() => fakeResult(given)).toThrow(message)
  })
})

// FakeEngine, beside the real one

/** Without what is different each time. */
const timeless = (text: string): string =>
  text
    .replace(/[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/g, '<id>')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '<time>')
    .replace(/"(pid|durationMs|queuedMs|totalDurationMs)":\d+/g, '"$1":"<number>"')
    // What a fake has cost, nobody can know.
    .replace(/"usage":\{[^}]*\}/g, '"usage":null')
    .replace(/"logPath":"[^"]*"/g, '"logPath":null')

const told = (value: unknown): unknown => JSON.parse(timeless(JSON.stringify(value)))

interface Scenario {
  request: ExecutionRequest
  script: FakeScript
  /** When it is cancelled: as its first line comes. */
  cancelled?: boolean
}

const scenarios: Record<string, Scenario> = {
  completes: {
    request: { ...shell('echo a; sleep 0.05; echo b >&2'), metadata: { source: 's', tags: { a: 'b' } } },
    script: { output: ['a', { stderr: 'b' }] },
  },
  'an exit code': { request: shell('echo a; exit 3'), script: { output: ['a'], exitCode: 3 } },
  'a signal': { request: shell('kill -9 $$'), script: { signal: 'SIGKILL' } },
  'a deadline': { request: { ...exec('sleep', '60'), timeoutMs: 50 }, script: { hangs: true } },
  'a cancel': { request: shell('echo a; sleep 60'), script: { output: ['a'], hangs: true }, cancelled: true },
  quoting: { request: exec('echo', 'a b', 'c'), script: { output: ['a b c'] } },
}

/** All that an engine tells of a request. */
async function runOn(engine: ExecutionEngine, { request, cancelled = false }: Scenario): Promise<unknown> {
  const seen: unknown[] = []
  const abort = new AbortController()
  const line = (stream: string) => (line: string) => {
    seen.push([stream, line])
    if (cancelled) abort.abort()
  }
  const unsubscribe = engine.onEvent((event) => void seen.push(['subscriber', event]))
  const result = await engine.run(request, {
    onStdout: line('stdout'),
    onStderr: line('stderr'),
    onEvent: (event) => void seen.push(['event', event]),
    signal: abort.signal,
  })
  seen.push(['result', result])
  unsubscribe()
  const { id } = result
  seen.push(await engine.getStatus(id), await engine.getResult(id), await engine.waitForCompletion(id))
  seen.push(await engine.listExecutions(), await engine.readLogs(id).catch((error: ExecutionError) => error.code))
  seen.push([engine.runningCount, engine.queuedCount, engine.totalCount, engine.availablePermits])
  await engine.removeExecution(id)
  seen.push(await engine.getStatus(id).catch(({ code, message, executionId }) => [code, message, executionId]))
  const events: unknown[] = []
  for await (const event of engine.stream({ ...request, timeoutMs: request.timeoutMs ?? 5000 })) {
    events.push(event)
    if (cancelled && event.eventType === 'stdout') break
  }
  await engine.shutdown()
  seen.push(events, await engine.run(request).catch(({ code, message }) => [code, message]))
  return seen
}

test.each(Object.entries(scenarios))('it tells all that the engine tells: %s', async (_, scenario) => {
  const real = newEngine()
  const fake = new FakeEngine({ logDir: real.config.logDir }).otherwise(scenario.script)
  expect(told(await runOn(fake, scenario))).toEqual(told(await runOn(real, scenario)))
})

const failing = shell('exit 4')
const succeeding = shell('true')

const plans: Record<string, ExecutionPlan> = {
  serial: { strategy: { type: 'serial' }, commands: [succeeding, failing, succeeding, succeeding] },
  'serial, going on': { strategy: { type: 'serial', stopOnError: false }, commands: [failing, succeeding] },
  'parallel, one at a time': {
    strategy: { type: 'parallel', maxConcurrency: 1 },
    commands: [succeeding, failing, succeeding],
    description: 'three',
  },
  'parallel, up to a failure': {
    strategy: { type: 'parallel', maxConcurrency: 1, stopOnError: true },
    commands: [failing, succeeding, succeeding],
  },
  'a graph': {
    strategy: { type: 'dependency_graph', dependencies: { 1: [0], 2: [1], 3: [0] }, maxConcurrency: 1 },
    commands: [succeeding, failing, succeeding, succeeding],
  },
  empty: { strategy: { type: 'serial' }, commands: [] },
  'a deadline': {
    strategy: { type: 'serial' },
    commands: [shell('sleep 60'), succeeding],
    timeoutMs: 100,
  },
  'named steps, one after the other': {
    steps: {
      build: succeeding,
      test: { ...failing, dependsOn: ['build'] },
      deploy: { ...succeeding, dependsOn: ['test'] },
    },
    metadata: { source: 'a test', tags: { of: 'plans' } },
  },
  'what runs after a failure': {
    steps: {
      fails: failing,
      'for failures': { ...succeeding, dependsOn: ['fails'], when: 'failure' },
      'in any case': { ...succeeding, dependsOn: ['fails'], when: 'always' },
      skipped: { ...succeeding, dependsOn: ['fails'] },
      'never needed': { ...succeeding, dependsOn: ['in any case'], when: 'failure' },
    },
    maxConcurrency: 1,
  },
  'a failure that is allowed': {
    strategy: { type: 'serial' },
    commands: [{ ...failing, allowFailure: true }, succeeding],
  },
  'serial, with a last step': {
    strategy: { type: 'serial' },
    commands: [failing, succeeding, { ...succeeding, when: 'always' }],
  },
  'steps that are made': {
    steps: {
      first: { ...succeeding, metadata: { tags: { one: '1' } } },
      made: {
        request: ({ first }) => ({ ...failing, metadata: { source: first?.metadata.tags['one'] } }),
        dependsOn: ['first'],
      },
      thrown: {
        request: () => {
          throw new Error('no idea')
        },
        dependsOn: ['first'],
        allowFailure: true,
      },
      unacceptable: { request: async () => ({ command: { type: 'exec', program: 5 as never } }), dependsOn: ['first'] },
      'with an id': {
        request: () => ({ ...succeeding, id: '00000000-0000-4000-8000-000000000000' }),
        dependsOn: ['first'],
      },
    },
    maxConcurrency: 1,
  },
  'numbered steps that are made': {
    strategy: { type: 'serial' },
    commands: [succeeding, { request: ([first, second]) => (first && !second ? succeeding : failing) }],
  },
  'stop on error': {
    steps: { fails: failing, waits: succeeding, always: { ...succeeding, when: 'always' } },
    maxConcurrency: 1,
    stopOnError: true,
  },
  'a function that does not end': {
    steps: {
      it: { request: () => new Promise(() => {}) },
      after: { ...succeeding, dependsOn: ['it'], when: 'always' },
    },
    timeoutMs: 100,
  },
}

test.each(Object.entries(plans))('it runs a plan as the engine does: %s', async (_, plan) => {
  const on = async (engine: ExecutionEngine): Promise<[PlanExecutionResult, unknown[], unknown]> => {
    const events: (ExecutionEvent | PlanEvent)[] = []
    const result = await engine.runPlan(plan, {
      // Which step has begun by the time that another is skipped is not certain.
      onEvent: (event) => void events.push('currentCommand' in event ? { ...event, currentCommand: null } : event),
    })
    // Nor is which of several steps is told first that it was skipped, or how far the plan is meanwhile.
    const ofSteps = events.filter((event) => 'executionId' in event)
    const placeOf = ({ step }: ExecutionEvent) => result.results.findIndex((one) => one.step === step)
    const inOrder = [...ofSteps].sort((one, other) => placeOf(one) - placeOf(other))
    const ofPlan = events.filter((event) => !('executionId' in event))
    return [result, [inOrder, ofPlan], await engine.getStatus(result.planId)]
  }
  const fake = new FakeEngine()
    .when({ command: 'true' }, {})
    .when({ command: 'exit 4' }, { exitCode: 4 })
    .when({ command: /sleep/ }, { hangs: true })
  expect(told(await on(fake))).toEqual(told(await on(newEngine({ logOutput: false }))))
})

test.each<[string, (engine: ExecutionEngine) => Promise<unknown>]>([
  ['an unknown key', (engine) => engine.run({ ...ls, timeout: 5 } as never)],
  ['a wrong type', (engine) => engine.run({ command: { type: 'exec', program: 'ls', args: [5 as never] } })],
  ['an option', (engine) => engine.execute(ls, { throwOnFailure: true } as never)],
  ['no UUID', (engine) => engine.getStatus('5')],
  ['no execution', (engine) => engine.cancel('00000000-0000-4000-8000-000000000000')],
  ['no plan', (engine) => engine.waitForPlan('00000000-0000-4000-8000-000000000000')],
  ['a stream', (engine) => engine.stream({ command: { type: 'exec' } as never }).next()],
  ['names in a cycle', (engine) => engine.runPlan({ steps: { a: { ...ls, dependsOn: ['a'] } } })],
  ['a name that is none', (engine) => engine.runPlan({ steps: { build: ls, it: { ...ls, dependsOn: ['biuld'] } } })],
  [
    'a cycle',
    (engine) =>
      engine.runPlan({ strategy: { type: 'dependency_graph', dependencies: { 0: [1], 1: [0] } }, commands: [ls, ls] }),
  ],
  [
    'an index that is none',
    (engine) => engine.runPlan({ strategy: { type: 'dependency_graph', dependencies: { 0: [5] } }, commands: [ls] }),
  ],
])('it refuses as the engine does: %s', async (_, call) => {
  const refusal = async (engine: ExecutionEngine): Promise<unknown> => {
    const { code, field, message, executionId } = (await call(engine).catch(
      (error: unknown) => error,
    )) as ExecutionError
    return { code, field, message, executionId }
  }
  const refused = await refusal(new FakeEngine().otherwise({}))
  expect(refused).toEqual(await refusal(newEngine()))
  expect(refused).toMatchObject({ code: expect.any(String) })
})

test('it has the configuration that an engine has', () => {
  const config = { maxConcurrentExecutions: 2, logDir: '/tmp/x' }
  expect(new FakeEngine(config).config).toEqual(newEngine(config).config)
  expect(() => new FakeEngine({ maxConcurrentExecutions: 0 })).toThrow(
    expect.objectContaining({ code: 'INVALID_CONFIG', field: 'maxConcurrentExecutions' }),
  )
})

test('slots, the queue and ids that are taken are as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const seen: unknown[] = []
    const mark = newMark()
    const first = await engine.execute(exec('sleep', mark))
    const second = await engine.execute(exec('sleep', mark))
    seen.push(await engine.getStatus(second), engine.runningCount, engine.queuedCount, engine.availablePermits)
    for (const call of [
      () => engine.run(exec('sleep', mark)),
      () => engine.run({ ...exec('sleep', mark), id: second }),
      () => engine.getResult(first),
      () => engine.removeExecution(first),
    ]) {
      seen.push(await call().catch(({ code, message, field }) => [code, message, field]))
    }
    await engine.cancel(second)
    const { status, error, pid } = await engine.getResult(second)
    seen.push(status, error, pid)
    await engine.cancel(first)
    seen.push(await engine.cancel(first).catch(({ code, message }) => [code, message]), await engine.cleanup())
    return seen
  }
  const config = { maxConcurrentExecutions: 1, maxQueuedExecutions: 1 }
  const fake = new FakeEngine(config).otherwise({ hangs: true })
  expect(told(await on(fake))).toEqual(told(await on(newEngine(config))))
})

test('a secret is added, or refused, as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const id = await engine.execute(exec('sleep', newMark()))
    const seen: unknown[] = ['abc', '', '   ', 'x'.repeat(65_537), 12345678].map((value) => {
      try {
        return engine.addSecret(id, value as string)
      } catch (error) {
        return [(error as ExecutionError).message, (error as ExecutionError).field]
      }
    })
    seen.push(engine.addSecret(id, 'a secret'))
    await engine.cancel(id)
    expect(() => engine.addSecret(id, 'a secret')).toThrow(expect.objectContaining({ code: 'ALREADY_FINISHED' }))
    expect(() => engine.addSecret(randomUUID(), 'a secret')).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
    return seen
  }
  expect(await on(new FakeEngine().otherwise({ hangs: true }))).toEqual(await on(newEngine()))
})

test('cancelling a plan ends what runs, and starts nothing more', async () => {
  const plan: ExecutionPlan = { strategy: { type: 'serial' }, commands: [exec('sleep', '60'), succeeding] }
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    let begin = (): void => {}
    const started = new Promise<void>((resolve) => (begin = resolve))
    const id = await engine.executePlan(plan, { onEvent: begin })
    await started
    await engine.cancel(id)
    const { status, results } = await engine.getPlanResult(id)
    return [status, results.map(({ status, error }) => [status, error]), await engine.waitForPlan(id)]
  }
  const fake = new FakeEngine().otherwise({ hangs: true })
  expect(told(await on(fake))).toEqual(told(await on(newEngine())))
})

test('an abort before the call starts nothing', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => [
    await engine.run(exec('true'), { signal: AbortSignal.abort() }),
    await engine.runPlan({ strategy: { type: 'serial' }, commands: [exec('true')] }, { signal: AbortSignal.abort() }),
  ]
  expect(told(await on(new FakeEngine().otherwise({})))).toEqual(told(await on(newEngine())))
})

test('progress names the command that runs', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const commands: (string | null)[] = []
    await engine.runPlan(
      { strategy: { type: 'parallel' }, commands: [exec('true'), exec('sleep', '0.2')] },
      { onEvent: (event) => void (event.eventType === 'progress' && commands.push(event.currentCommand)) },
    )
    return commands
  }
  const fake = new FakeEngine().when({ program: 'true' }, {}).when({ program: 'sleep' }, { endsAfterMs: 10 })
  expect(await on(fake)).toEqual(await on(newEngine()))
})

test('a step is cancelled before its turn as in the engine', async () => {
  const id = 'aaaaaaaa-0000-4000-8000-000000000000'
  const [real, fake] = await onBoth({ hangs: true }, async (engine) => {
    const steps = {
      runs: exec('sleep', '60'),
      waits: { ...exec('sleep', '60'), id, dependsOn: ['runs'] },
      after: { ...exec('true'), dependsOn: ['waits'] },
    }
    let begin = (): void => {}
    const begun = new Promise<void>((resolve) => (begin = resolve))
    const planId = await engine.executePlan(
      { steps },
      { onEvent: ({ eventType }) => void (eventType === 'started' && begin()) },
    )
    await begun
    await engine.cancel(id, 'not wanted')
    expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', cancelReason: 'not wanted', step: 'waits' })
    await engine.cancel(planId)
    return told((await engine.getPlanResult(planId)).results.map(({ status, error, step }) => [status, error, step]))
  })
  expect(fake).toEqual(real)
})

test('after a failure that stops all, what waits for its slot is skipped as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const events: unknown[] = []
    const onEvent = (event: ExecutionEvent | PlanEvent): void => {
      if (event.eventType === 'failed' || event.eventType === 'started') events.push([event.eventType, event.step])
    }
    const steps = {
      tolerated: { ...exec('false'), allowFailure: true },
      fails: exec('false'),
      waits: exec('true'),
      cleans: { ...exec('true'), when: 'always' },
    } as const
    const { results } = await engine.runPlan({ steps, stopOnError: true }, { onEvent })
    const { results: parallel } = await engine.runPlan({
      strategy: { type: 'parallel', stopOnError: true },
      commands: [exec('false'), exec('true'), exec('true')],
    })
    return [events, told([...results, ...parallel].map(({ status, error, step }) => [status, error, step]))]
  }
  const config = { maxConcurrentExecutions: 1 }
  const fake = new FakeEngine(config).when({ program: 'false' }, { exitCode: 1 }).otherwise({})
  expect(await on(fake)).toEqual(await on(newEngine(config)))
})

test('what must wait for a slot is told so as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const seen: Record<string, string[]> = {}
    const onEvent = (event: ExecutionEvent | PlanEvent): void => {
      if (!('executionId' in event) || event.eventType === 'stdout') return
      const name = String(event.step ?? event.metadata.source)
      seen[name] = [...(seen[name] ?? []), event.eventType]
    }
    const run = (source: string) => engine.run({ ...exec('sleep', '0.1'), metadata: { source } }, { onEvent })
    const steps = {
      one: exec('sleep', '0.1'),
      two: { ...exec('sleep', '0.1'), priority: 1 },
      three: { ...exec('sleep', '0.1'), group: 'deploy' },
    }
    await Promise.all([run('first'), run('second'), engine.runPlan({ steps }, { onEvent })])
    return seen
  }
  const config = { maxConcurrentExecutions: 1, maxQueuedExecutions: 1, groups: { deploy: 1 } }
  const fake = new FakeEngine(config).otherwise({ endsAfterMs: 100 })
  expect(await on(fake)).toEqual(await on(newEngine(config)))
})

test('groups and priorities decide who runs, as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const order: string[] = []
    const run = (name: string, more: Partial<ExecutionRequest>) =>
      engine.run({ ...exec('sleep', '0.1'), ...more }, { onEvent: (event) => started(event, name) })
    const started = ({ eventType }: ExecutionEvent, name: string): void => {
      if (eventType === 'started') order.push(name)
    }
    const first = [run('one', { group: 'deploy' }), run('two', { group: 'deploy' }), run('three', {})]
    const counts = [engine.runningCount, engine.queuedCount]
    const others = [run('four', {}), run('five', { priority: 5 }), run('six', { group: 'deploy', priority: 1 })]
    const refused = await run('seven', {}).catch(({ code }) => code)
    await Promise.all([...first, ...others])
    return [counts, refused, order]
  }
  const config = { maxConcurrentExecutions: 1, maxQueuedExecutions: 3, groups: { deploy: 1 } }
  const fake = new FakeEngine(config).otherwise({ endsAfterMs: 100 })
  expect(await on(fake)).toEqual(await on(newEngine(config)))
})

// What only a fake has

test('the requests of all steps are recorded, those that are made as their turn comes', async () => {
  const engine = new FakeEngine().otherwise({})
  const steps = {
    build: { ...ls, timeoutMs: 5, when: 'always' },
    made: { request: () => ({ command: sh`deploy` }), dependsOn: ['build'] },
  } as const
  const { planId, results } = await engine.runPlan({ steps })
  const [build, made] = results.map(({ id }) => id)
  expect(engine.requests).toEqual([
    { ...ls, timeoutMs: 5, id: build },
    { command: sh`deploy`, id: made },
  ])
  expect(engine.plans).toEqual([{ id: planId, steps: { ...steps, build: { ...steps.build, id: build } } }])
})

test('a made request without a script rejects its plan', async () => {
  const engine = new FakeEngine().when({ program: 'ls' }, {})
  const made = { request: () => ({ command: sh`git` }) }
  await expect(engine.runPlan({ steps: { made, ls } })).rejects.toThrow('there is no script for `git`')
})

test('only plans that say more than their requests load the addon', () => {
  const program = `
    const { FakeEngine } = require('./testing.js')
    const addons = () => process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node')).length
    const command = { type: 'exec', program: 'true' }
    const seen = []
    ;(async () => {
      const engine = new FakeEngine().otherwise({})
      await engine.runPlan({ strategy: { type: 'dependency_graph', dependencies: { 1: [0] } }, commands: [{ command }, { command }] })
      seen.push(addons())
      await engine.runPlan({ steps: { it: { command } } })
      console.log(seen[0], addons())
    })()`
  expect(execFileSync(process.execPath, ['-e', program], { cwd: root, encoding: 'utf8' })).toBe('0 1\n')
})

test('requests are recorded as they were passed', async () => {
  const engine = new FakeEngine().otherwise({})
  const env = { TOKEN: 'a' }
  const request: ExecutionRequest = { ...ls, env, timeoutMs: 5, metadata: { tags: { camelCase: 'x' } } }
  const running = engine.run(request)
  env.TOKEN = 'b'
  const { id } = await running
  await engine.runPlan({ strategy: { type: 'serial' }, commands: [ls], description: 'one' })
  expect(engine.requests).toEqual([
    { ...request, id, env: { TOKEN: 'a' } },
    { ...ls, id: expect.any(String) },
  ])
  expect(engine.plans).toMatchObject([{ description: 'one', commands: [{ id: engine.requests[1]?.id }] }])
  await expect(engine.run({ command: {} as never })).rejects.toThrow('command.type')
  expect(engine.requests).toHaveLength(2)
})

test('scripts are found by id, by fields of the command and by a function; the last one said counts', async () => {
  const id = '6f1f0f9e-2f6e-4d2a-9c63-0f5f4a2f5c11'
  const engine = new FakeEngine()
    .otherwise({ output: ['other'] })
    .when({ program: 'git' }, { output: ['git'] })
    .when(sh`git log -n ${5}`, { output: ['log'] })
    .when({ program: 'git', args: ['show', /^v\d/] }, { output: ['tag'] })
    .when((request) => request.env?.['CI'] === '1', { output: ['ci'] })
    .when(id.toUpperCase(), { output: ['id'] })
  const outputOf = async (request: ExecutionRequest): Promise<string> => (await engine.run(request)).stdout.trim()
  expect(await outputOf({ command: sh`git` })).toBe('git')
  expect(await outputOf({ command: sh`git log -n 5` })).toBe('log')
  expect(await outputOf({ command: sh`git show v1` })).toBe('tag')
  expect(await outputOf({ command: sh`git show main` })).toBe('git')
  expect(await outputOf({ command: sh`git`, env: { CI: '1' } })).toBe('ci')
  expect(await outputOf({ command: sh`git`, id })).toBe('id')
  expect(await outputOf(shell('git'))).toBe('other')
})

test('several scripts are for one request each, and the last one for all others; a function makes one', async () => {
  const engine = new FakeEngine()
    .when({ program: 'ls' }, { exitCode: 1 }, {})
    .when({ program: 'echo' }, ({ command }) => ({ output: command.type === 'exec' ? [...(command.args ?? [])] : [] }))
  const codes = [await engine.run(ls), await engine.run(ls), await engine.run(ls)].map(({ exitCode }) => exitCode)
  expect(codes).toEqual([1, 0, 0])
  expect((await engine.run({ command: sh`echo a b` })).stdout).toBe('a\nb\n')
})

test('a request without a script is rejected, and the message names it', async () => {
  const engine = new FakeEngine().when({ program: 'git' }, {})
  await expect(engine.run(shell('ls | wc -l'))).rejects.toThrow('there is no script for `ls | wc -l`')
  expect([engine.totalCount, engine.requests]).toEqual([0, []])
})

test('a plan that comes to a step without a script is rejected, and one that skips it needs none', async () => {
  const engine = new FakeEngine().when({ program: 'git' }, { exitCode: 1 })
  const git = { command: sh`git` }
  const results = (await engine.runPlan({ steps: { git, ls: { ...ls, dependsOn: ['git'] } } })).results
  expect(results.map(({ status }) => status)).toEqual(['failed', 'skipped'])
  const plan = { strategy: { type: 'serial', stopOnError: false }, commands: [git, ls] } as const
  const id = await engine.executePlan(plan)
  await expect(engine.waitForPlan(id)).rejects.toThrow('there is no script for `ls`')
  const last = { status: 'failed', errorCode: 'INVALID_STEP', error: expect.stringContaining('no script for `ls`') }
  expect((await engine.getPlanResult(id)).results[1]).toMatchObject(last)
})

test.each<[string, FakeScript, string]>([
  ['two ends', { exitCode: 1, signal: 'SIGTERM' }, 'exitCode and signal'],
  ['an unknown key', { stdout: 'x' } as object, '"stdout"'],
  ['an unknown key of a line', { output: [{ text: 'x' } as object] }, '"text"'],
  ['a result that no engine gives', { result: { success: true, status: 'failed' } }, 'success'],
])('a script is refused that has %s', (_, script, message) => {
  expect(() => new FakeEngine().otherwise(script)).toThrow(message)
})

test('a script that contradicts itself rejects who waits for its execution', async () => {
  const engine = new FakeEngine().otherwise({ exitCode: 1, result: { success: true } })
  await expect(engine.run(ls)).rejects.toThrow('fakeResult')
  await expect(engine.runPlan({ strategy: { type: 'serial' }, commands: [ls] })).rejects.toThrow('fakeResult')
  await engine.shutdown()
})

test('a result says what its script says of it', async () => {
  const engine = new FakeEngine()
    .when({ program: 'a' }, { output: ['x'], result: { durationMs: 1234, leftoverProcesses: true } })
    .when({ program: 'b' }, { result: { status: 'failed', errorCode: 'OUTPUT_SIZE_EXCEEDED', truncated: true } })
    .when({ program: 'c' }, { spawnError: 'no such program: c' })
    .when({ program: 'd' }, { timesOut: true })
  const result = async (program: string): Promise<ExecutionResult> => engine.run({ ...exec(program), timeoutMs: 9 })
  expect(await result('a')).toMatchObject({ stdout: 'x\n', durationMs: 1234, leftoverProcesses: true, success: true })
  expect(await result('b')).toMatchObject({ status: 'failed', errorCode: 'OUTPUT_SIZE_EXCEEDED', exitCode: 1 })
  expect(await result('c')).toMatchObject({ errorCode: 'SPAWN_FAILED', error: 'no such program: c', pid: null })
  expect(await result('d')).toMatchObject({ status: 'timeout', error: 'timed out after 9 ms', durationMs: 9 })
})

test('secrets are in nothing that is told', async () => {
  const request: ExecutionRequest = {
    command: sh`login hunter22`,
    env: { TOKEN: 'swordfish' },
    secrets: ['hunter22'],
    secretEnv: ['TOKEN'],
  }
  const engine = new FakeEngine().otherwise({ output: ['hunter22', 'swordfish', { stdout: 'sesame!', afterMs: 20 }] })
  const seen: unknown[] = []
  const id = await engine.execute(request, {
    onEvent: (event) => void seen.push(event),
    onStdout: (line) => void seen.push(line),
  })
  engine.addSecret(id, 'sesame!')
  seen.push(await engine.waitForCompletion(id), await engine.listExecutions(), await engine.readLogs(id))
  expect(seen).toContain('***')
  expect(JSON.stringify(seen)).not.toMatch(/hunter22|swordfish|sesame/)
  expect(() => engine.addSecret(id, 'sesame!')).toThrow(expect.objectContaining({ code: 'ALREADY_FINISHED' }))
})

/** What two engines say of the same, the second of which is a fake. */
const onBoth = async (
  script: FakeScript,
  tell: (engine: ExecutionEngine) => Promise<unknown>,
  config: ExecutionConfig = {},
): Promise<[real: unknown, fake: unknown]> => [
  await tell(newEngine(config)),
  await tell(new FakeEngine(config).otherwise(script)),
]

test('secrets are masked as the engine does in reasons of a cancel', async () => {
  const secrets = ['hunter22', 'hunter22-long']
  const reason = 'hunter22-long and hunter22'
  const request = { ...exec('sleep', '60'), secrets }
  const [real, fake] = await onBoth({ hangs: true }, async (engine) => {
    const id = await engine.execute(request)
    await engine.cancel(id, reason)
    const plan: ExecutionPlan = { strategy: { type: 'serial' }, commands: [exec('sleep', '60'), succeeding], secrets }
    const { results } = await engine.runPlan(plan, { signal: AbortSignal.timeout(50) })
    const planId = await engine.executePlan(plan)
    await engine.cancel(planId, reason)
    return [
      (await engine.getResult(id)).cancelReason,
      (await engine.run(request, { signal: AbortSignal.abort(reason) })).cancelReason,
      results.map(({ cancelReason }) => cancelReason),
      (await engine.getPlanResult(planId)).results.map(({ cancelReason }) => cancelReason),
    ]
  })
  expect(fake).toEqual(real)
  expect(fake).toMatchObject(['*** and ***', '*** and ***', {}, ['*** and ***', '*** and ***']])
})

test('secrets are masked in why a command could not be started, and in what a script says of its result', async () => {
  const attempt = { attempt: 1, error: 'no hunter22' }
  const script = { spawnError: 'no such program: hunter22', result: { attempts: [attempt as never] } }
  const result = await new FakeEngine().otherwise(script).run({ ...ls, secrets: ['hunter22'] })
  expect(result).toMatchObject({ error: 'no such program: ***', attempts: [{ error: 'no ***' }] })
  expect(attempt.error).toBe('no hunter22')
})

test('secrets of several lines, and secrets in quotes, are masked as by the engine', async () => {
  const secrets = ['BEGIN of a key\nab\n}}}}}}}}}\nend of the key\n', "it's a secret"]
  const printed = [...secrets.map((secret) => secret.trimEnd()), 'end of the key', 'ab', '}}}}}}}}}', 'a secret']
  const [real, fake] = await onBoth({ output: printed }, async (engine) => {
    const { command, stdout } = await engine.run({ ...exec('printf', '%s\\n', ...printed), secrets })
    return [command.slice(command.indexOf("'*")), stdout]
  })
  expect(fake).toEqual(real)
  expect(fake).toMatchObject({ 1: '***\n***\n***\nab\n}}}}}}}}}\na secret\n' })
})

test('the values of variables are secrets where they are those of the engine', async () => {
  const ofHost = { FAKE_OF_HOST: 'value-of-host', FAKE_A_TOKEN: 'token-of-host', AWS_SESSION_TOKEN: 'session-of-host' }
  for (const [name, value] of Object.entries(ofHost)) vi.stubEnv(name, value)
  const printed = [...Object.values(ofHost), 'value-of-request', 'short', 'token-of-request']
  const command = exec('printf', '%s\\n', ...printed).command
  const own = { FAKE_OF_HOST: 'value-of-request' }
  const secretEnv = ['FAKE_OF_HOST', 'FAKE_MISSING']
  const requests: ExecutionRequest[] = [
    { command },
    { command, secretEnv },
    { command, secretEnv, env: own },
    { command, secretEnv, inheritEnv: false },
    { command, secretEnv, inheritEnv: ['FAKE_*'] },
    { command, secretEnv, inheritEnv: false, env: own },
    { command, env: { FAKE_A_TOKEN: 'short', FAKE_B_TOKEN: 'token-of-request' } },
    { command, env: { AWS_SESSION_TOKEN: null } },
  ]
  const tell = async (engine: ExecutionEngine): Promise<unknown> => {
    const alone = await Promise.all(requests.map(async (request) => (await engine.run(request)).stdout))
    const strategy = { type: 'parallel' } as const
    const plan = await engine.runPlan({ strategy, commands: requests.slice(0, 6), secretEnv, secrets: ['short'] })
    return [alone, plan.results.map(({ stdout }) => stdout)]
  }
  try {
    for (const config of [{}, { secretEnvPatterns: ['FAKE_*_TOKEN'] }, { secretEnvPatterns: [] }]) {
      const [real, fake] = await onBoth({ output: printed }, tell, config)
      expect(fake).toEqual(real)
      expect(JSON.stringify(fake)).toContain('***')
    }
  } finally {
    vi.unstubAllEnvs()
  }
})

test('what cannot be a secret, and a group that is not known, are refused as by the engine', async () => {
  const groups = { terraform: 1, docker: 2, kubectl: 1, helm: 3 }
  const strategy = { type: 'serial' } as const
  const tell = async (engine: ExecutionEngine): Promise<unknown> => {
    const calls = [
      engine.run({ ...ls, secrets: ['fine', 'abc'] }),
      engine.run({ ...ls, env: { A: 'abc' }, secretEnv: ['A'] }),
      engine.run({ ...ls, group: 'dokcer' }),
      engine.run({ ...ls, group: 'hunter22', secrets: ['hunter22'] }),
      engine.runPlan({ strategy, commands: [ls, { ...ls, group: 'helmm' }] }),
      engine.runPlan({ strategy, commands: [{ ...ls, secrets: [' '] }], secrets: ['fine'] }),
      engine.runPlan({ strategy, commands: [ls], secrets: ['abc'] }),
    ]
    const refused = await Promise.allSettled(calls)
    await engine.run({ ...exec('true'), group: 'docker' }).catch(() => {})
    await engine.shutdown()
    const late = await engine.run({ ...ls, group: 'dokcer' }).catch(({ code }) => code)
    return [
      refused.map((one) => one.status === 'rejected' && [one.reason.code, one.reason.field, one.reason.message]),
      late,
    ]
  }
  for (const config of [{ groups }, {}]) {
    const [real, fake] = await onBoth({}, tell, config)
    expect(fake).toEqual(real)
    expect(JSON.stringify(fake)).not.toContain('hunter22')
  }
})

test('a log that is not written is read as that of the engine', async () => {
  const tellOf = (logOutput?: boolean) => async (engine: ExecutionEngine) => {
    const id = await engine.execute({ ...exec('echo', 'a'), logOutput })
    const lines: string[] = []
    for await (const { line } of engine.followLogs(id)) lines.push(line)
    await engine.waitForCompletion(id)
    const log = (await engine.readLogs(id)).replace(/^\S+ /, '')
    const pages = logOutput ? [] : [await engine.readLogLines(id), await engine.readLogLines(id, { from: 5 })]
    return [lines, log, pages]
  }
  const empty = [[], '', [0, 5].map((next) => ({ lines: [], next, ended: true }))]
  const script = { output: ['a'] }
  expect(await onBoth(script, tellOf(false))).toEqual([empty, empty])
  expect(await onBoth(script, tellOf(), { logOutput: false })).toEqual([empty, empty])
  const logged = [['a'], 'stdout F a\n', []]
  expect(await onBoth(script, tellOf(true), { logOutput: false })).toEqual([logged, logged])
})

test.each<Partial<ExecutionRequest>>([
  { stdout: 'ignore' },
  { stderr: 'ignore' },
  { stderr: 'stdout' },
  { stdout: 'ignore', stderr: 'stdout' },
  { keepBytes: true },
  { keepBytes: true, stderr: 'stdout' },
])('where output goes is as in the engine: %j', async (targets) => {
  const [real, fake] = await onBoth({ output: ['a', { stderr: 'é' }] }, async (engine) => {
    const seen: unknown[] = []
    const request = shell('echo a; sleep 0.05; echo é >&2', targets)
    const { stdout, stderr, stdoutBytes, stderrBytes, bytes, id } = await engine.run(request, {
      onStdout: (line) => void seen.push(['stdout', line]),
      onStderr: (line) => void seen.push(['stderr', line]),
      onStdoutBytes: (chunk) => void seen.push(['stdout', chunk]),
      onStderrBytes: (chunk) => void seen.push(['stderr', chunk]),
      onEvent: ({ eventType }) => void seen.push(eventType),
    })
    return [seen, stdout, stderr, stdoutBytes, stderrBytes, bytes, timeless(await engine.readLogs(id))]
  })
  expect(fake).toEqual(real)
})

test('what runs already can be listened to, and its log followed', async () => {
  const engine = new FakeEngine().otherwise({ output: ['a', { stderr: 'b', afterMs: 20 }], endsAfterMs: 5 })
  const id = await engine.execute(ls)
  await sleep(5)
  const events: string[] = []
  const lines: string[] = []
  const listening = (async () => {
    for await (const event of engine.subscribe(id)) events.push(event.eventType)
  })()
  for await (const { line } of engine.followLogs(id)) lines.push(line)
  await listening
  expect([events, lines]).toEqual([
    ['stderr', 'completed'],
    ['a', 'b'],
  ])

  const page = await engine.readLogLines(id, { limit: 1 })
  expect(page).toMatchObject({ lines: [{ line: 'a', stream: 'stdout' }], ended: false })
  expect(await engine.readLogLines(id, { from: page.next })).toMatchObject({ lines: [{ line: 'b' }], ended: true })
  const late: string[] = []
  for await (const event of engine.subscribe(id)) late.push(event.eventType)
  expect(late).toEqual(['completed'])
  await expect(engine.subscribe('5').next()).rejects.toMatchObject({ code: 'VALIDATION' })
})

test('following a log ends when its signal is aborted', async () => {
  const engine = new FakeEngine().otherwise({ output: ['a'], hangs: true })
  const id = await engine.execute(ls)
  const abort = new AbortController()
  const lines: string[] = []
  for await (const { line } of engine.followLogs(id, { signal: abort.signal })) {
    lines.push(line)
    setTimeout(() => abort.abort(), 5)
  }
  expect(lines).toEqual(['a'])
  await engine.shutdown()
})

test('executions are listed by what they say of themselves', async () => {
  const engine = new FakeEngine().when({ program: 'ls' }, {}).when({ program: 'cat' }, { exitCode: 1 })
  const a = await engine.run({ ...ls, metadata: { source: 'ui', tags: { team: 'x' } } })
  const b = await engine.run({ command: sh`cat` })
  const ids = async (filter: Parameters<FakeEngine['listExecutions']>[0]): Promise<string[]> =>
    (await engine.listExecutions(filter)).map(({ id }) => id)
  expect(await ids({})).toEqual([b.id, a.id])
  expect(await ids({ limit: 1 })).toEqual([b.id])
  expect(await ids({ status: 'completed' })).toEqual([a.id])
  expect(await ids({ source: 'ui', tag: { team: 'x' } })).toEqual([a.id])
  expect(await ids({ tag: { team: 'y' } })).toEqual([])
})

test('tells of what is printed as bytes, before the line', async () => {
  const engine = new FakeEngine().otherwise({ output: ['a', { stderr: 'b' }] })
  const told: string[] = []
  await engine.run(ls, {
    onStdout: (line) => void told.push(line),
    onStdoutBytes: (chunk) => void told.push(chunk.toString()),
    onStderrBytes: (chunk) => void told.push(chunk.toString()),
  })
  expect(told).toEqual(['a\n', 'a', 'b\n'])
})

test('callbacks are waited for, one line after the other', async () => {
  const steps: string[] = []
  await new FakeEngine().otherwise({ output: ['a', 'b'] }).run(ls, {
    onStdout: async (line) => {
      steps.push(`${line} begins`)
      await sleep(5)
      steps.push(`${line} ends`)
    },
  })
  expect(steps).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
})

test('a callback that hangs holds up neither a deadline nor a cancel', async () => {
  const engine = new FakeEngine({ drainMaxMs: 10 }).otherwise({ output: ['a', 'b'] })
  const lines: string[] = []
  const onStdout = (line: string): Promise<void> => {
    lines.push(line)
    return new Promise(() => {})
  }
  expect((await engine.run({ ...ls, timeoutMs: 10 }, { onStdout })).status).toBe('timeout')
  const id = await engine.execute(ls, { onStdout })
  await engine.cancel(id)
  expect(lines).not.toContain('b')
})

test('time passes as the timers of the test say', async () => {
  vi.useFakeTimers()
  const engine = new FakeEngine().otherwise({ output: [{ stdout: 'a', afterMs: 60_000 }], hangs: true })
  const lines: string[] = []
  const running = engine.run({ ...ls, timeoutMs: 3_600_000 }, { onStdout: (line) => void lines.push(line) })
  await vi.advanceTimersByTimeAsync(59_000)
  expect(lines).toEqual([])
  await vi.advanceTimersByTimeAsync(1_000)
  expect(lines).toEqual(['a'])
  await vi.advanceTimersByTimeAsync(3_540_000)
  expect(await running).toMatchObject({ status: 'timeout', durationMs: 3_600_000, error: 'timed out after 3600000 ms' })
  expect(vi.getTimerCount()).toBe(0)
})

test('it reads and follows logs as the engine does', async () => {
  const seen = await Promise.all(
    [newEngine(), new FakeEngine().otherwise({ output: ['one', 'two', 'drei €'] })].map(async (engine) => {
      const id = await engine.execute(shell("echo one; sleep 0.1; echo two; echo 'drei €'"))
      const lines = []
      for await (const { timestamp: _, ...line } of engine.followLogs(id)) lines.push(line)
      const from = Number(lines[0]?.offset)
      const page = await engine.readLogLines(id, { from, limit: 1 })
      const unknown = await engine
        .readLogLines('00000000-0000-4000-8000-000000000000')
        .catch(({ code }: ExecutionError) => code)
      const aborted = await engine.followLogs(id, { signal: AbortSignal.abort() }).next()
      const last = await engine.readLogLines(id, { from })
      const numbered = []
      for (const fromLine of [0, 1, 3]) numbered.push((await engine.readLogLines(id, { fromLine, limit: 1 })).lines)
      const early = '00000000-0000-4000-8000-000000000001'
      const awaited = engine.followLogs(early, { wait: true }).next()
      await engine.run({ id: early, ...shell('echo one') })
      const late = engine.followLogs('00000000-0000-4000-8000-000000000002', { wait: true }).next()
      const told = late.catch(({ code }: ExecutionError) => code)
      await engine.removeExecution(id, { logs: true })
      await engine.shutdown()
      expect(await told).toBe('SHUT_DOWN')
      const text = (line?: { line: string }) => line?.line
      return [
        lines.map(({ stream, line, complete }) => [stream, line, complete]),
        [page.lines.map(text), page.ended, last.lines.map(text), last.ended, unknown, aborted],
        [numbered.map((page) => page.map(text)), text((await awaited).value ?? undefined)],
      ]
    }),
  )
  expect(seen[1]).toEqual(seen[0])
})

// Attempts, silence and leases, beside the real one

/** A shell that counts its attempts in a file, and does something else each time: `$n` is the number of the attempt. */
function counting(command: string, more: Partial<ExecutionRequest> = {}): ExecutionRequest {
  const file = join(temporary(), 'attempts')
  return shell(`echo x >> ${file}; n=$(grep -c x ${file}); ${command}`, { retry: twice, ...more })
}

const twice = { attempts: 3, delayMs: 10, jitter: false }
const slowly = { attempts: 3, delayMs: 60_000, jitter: false }
const lastAfter = (...scripts: FakeScript[]) => new FakeEngine().otherwise(...scripts)

/** All that an engine tells of an execution with attempts. */
async function attemptsOn(engine: ExecutionEngine, request: ExecutionRequest): Promise<unknown> {
  const seen: unknown[] = []
  const line = (stream: string) => (line: string) => void seen.push([stream, line])
  const unsubscribe = engine.onEvent((event) => void seen.push(['subscriber', event]))
  const result = await engine.run(request, {
    onStdout: line('stdout'),
    onStderr: line('stderr'),
    onEvent: (event) => void seen.push(event),
  })
  unsubscribe()
  const first = result.attempts.find(({ startedAt }) => startedAt !== null)
  const isSummedUp = result.startedAt === (first?.startedAt ?? null)
  return [seen, result, isSummedUp, await engine.listExecutions(), await engine.readLogs(result.id).catch(() => '')]
}

const noProgram = 'program not started: "/no/such/program": no such file or directory'

const retries: Record<string, { request: () => ExecutionRequest; scripts: FakeScript[] }> = {
  'the last one succeeds': {
    request: () => counting('echo out $n; sleep 0.05; echo error >&2; sleep 0.05; exit $((3 - n))'),
    scripts: [2, 1, 0].map((exitCode, n) => ({ output: [`out ${n + 1}`, { stderr: 'error' }], exitCode })),
  },
  'all fail': { request: () => counting('exit 7'), scripts: [{ exitCode: 7 }] },
  'the first succeeds': { request: () => counting('exit 0'), scripts: [{}] },
  'there is only one': { request: () => counting('exit 1', { retry: { attempts: 1 } }), scripts: [{ exitCode: 1 }] },
  signals: { request: () => counting('kill -KILL $$'), scripts: [{ signal: 'SIGKILL' }] },
  deadlines: {
    request: () => counting('[ $n = 3 ] || exec sleep 60; echo done', { timeoutMs: 600 }),
    scripts: [{ hangs: true }, { hangs: true }, { output: ['done'] }],
  },
  silence: {
    request: () => counting('echo $n; [ $n = 2 ] || exec sleep 60', { idleTimeoutMs: 500 }),
    scripts: [{ output: ['1'], hangs: true }, { output: ['2'] }],
  },
  'programs that are not there': {
    request: () => ({ ...exec('/no/such/program'), retry: twice }),
    scripts: [{ spawnError: noProgram }],
  },
  'exit codes that are named': {
    request: () => counting('[ $n = 1 ] && exit 3; exit 4', { retry: { ...twice, exitCodes: [3, 75] } }),
    scripts: [{ exitCode: 3 }, { exitCode: 4 }],
  },
  'signals, where exit codes are named': {
    request: () => counting('kill -KILL $$', { retry: { ...twice, exitCodes: [3] } }),
    scripts: [{ signal: 'SIGKILL' }],
  },
  'deadlines, where exit codes are named': {
    request: () => ({ ...exec('sleep', '60'), timeoutMs: 100, retry: { ...twice, exitCodes: [3] } }),
    scripts: [{ hangs: true }],
  },
  'programs that are not there, where exit codes are named': {
    request: () => ({ ...exec('/no/such/program'), retry: { ...twice, exitCodes: [3] } }),
    scripts: [{ spawnError: noProgram }],
  },
  'a named exit code that means success': {
    request: () => counting('exit 3', { retry: { ...twice, exitCodes: [3] }, successExitCodes: [3] }),
    scripts: [{ exitCode: 3 }],
  },
  'delays that grow': {
    request: () =>
      counting('exit 1', { retry: { attempts: 5, delayMs: 10, backoff: 1.5, maxDelayMs: 20, jitter: false } }),
    scripts: [{ exitCode: 1 }],
  },
  'no delay': {
    request: () => counting('exit 1', { retry: { attempts: 3, delayMs: 0 } }),
    scripts: [{ exitCode: 1 }],
  },
  'a lease that ends in an attempt': {
    request: () => ({ ...exec('sleep', '60'), leaseMs: 200, retry: twice }),
    scripts: [{ hangs: true }],
  },
  'a lease that ends between two attempts': {
    request: () => counting('echo one; exit 3', { leaseMs: 800, retry: slowly }),
    scripts: [{ output: ['one'], exitCode: 3 }],
  },
}

test.each(Object.entries(retries))('attempts are told as in the engine: %s', async (_, { request, scripts }) => {
  const given = request()
  const real = newEngine()
  const seen = told(await attemptsOn(lastAfter(...scripts), given))
  expect(seen).toEqual(told(await attemptsOn(real, given)))
})

test('with keepBytes the bytes are those of the last attempt, as in the engine', async () => {
  const request = counting('echo $n; exit $((2 - n))', { keepBytes: true })
  const tell = async (engine: ExecutionEngine) => (await engine.run(request)).bytes?.stdout.toString()
  const fake = await tell(lastAfter({ output: ['1'], exitCode: 1 }, { output: ['2'] }))
  expect([fake, await tell(newEngine())]).toEqual(['2\n', '2\n'])
})

test('too much output, and what is left running, is not tried again', async () => {
  const results: FakeResultFields[] = [
    { status: 'failed', errorCode: 'OUTPUT_SIZE_EXCEEDED' },
    { exitCode: 1, status: 'failed', survivors: [5] },
    { status: 'cancelled' },
  ]
  for (const result of results) {
    const { attempts } = await lastAfter({ result }).run({ ...ls, retry: twice })
    expect(attempts).toHaveLength(1)
  }
  const result = { status: 'failed', errorCode: 'IO' } as const
  expect((await lastAfter({ result }).run({ ...ls, retry: twice })).attempts).toHaveLength(3)
})

test('the slot of an attempt is given back before the next, which waits for one again, as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const ends: unknown[] = []
    let between: Promise<unknown> | undefined
    const retry = { attempts: 2, delayMs: 300, jitter: false }
    const result = await engine.run(counting('exit $((2 - n))', { group: 'deploy', retry }), {
      onEvent: ({ eventType }) => {
        // It takes the place of the group for longer than the delay: then the attempt waits for that.
        if (eventType !== 'retrying') return
        between = engine.run({ ...exec('sleep', '0.8'), group: 'deploy' }).then(({ status }) => ends.push(status))
      },
    })
    ends.push(result.durationMs >= 790)
    await between
    return [ends, result.status, result.attempts.length]
  }
  const config = { maxConcurrentExecutions: 2, maxQueuedExecutions: 0, groups: { deploy: 1 } }
  const fake = new FakeEngine(config).when({ program: 'sleep' }, { endsAfterMs: 800 })
  fake.otherwise({ exitCode: 1 }, {})
  expect(await on(fake)).toEqual(await on(newEngine(config)))
})

const between: Record<string, (engine: ExecutionEngine, request: ExecutionRequest) => Promise<unknown>> = {
  'a cancel': async (engine, request) => {
    const seen: unknown[] = []
    let cancelled: Promise<void> | undefined
    const result = await engine.run(request, {
      onEvent: async (event) => {
        if (event.eventType !== 'retrying') return
        seen.push(engine.runningCount, engine.queuedCount, engine.availablePermits)
        seen.push(await engine.getStatus(event.executionId), (await engine.listExecutions()).length)
        cancelled = engine.cancel(event.executionId, 'no more')
      },
    })
    await cancelled
    return [result, seen, engine.runningCount, engine.queuedCount]
  },
  'a cancel of what never started': async (engine) => {
    const statuses: unknown[] = []
    const result = await engine.run(
      { ...exec('/no/such/program'), retry: slowly },
      {
        onEvent: async (event) => {
          if (event.eventType !== 'retrying') return
          statuses.push(await engine.getStatus(event.executionId))
          void engine.cancel(event.executionId)
        },
      },
    )
    return [result, statuses]
  },
  'a cancel, while it waits for its slot': async (engine, request) => {
    let first: Promise<ExecutionResult> | undefined
    const id = randomUUID()
    const result = engine.run(
      { ...request, id, retry: { attempts: 2, delayMs: 100 } },
      {
        onEvent: ({ eventType }) =>
          void (eventType === 'retrying' && (first = engine.run({ ...exec('sleep', '60'), timeoutMs: 1500 }))),
      },
    )
    await until(() => engine.queuedCount === 1, 'the next attempt to wait')
    const running = engine.runningCount
    await engine.cancel(id)
    return [await result, running, engine.queuedCount, (await first)?.status]
  },
  'an abort': async (engine, request) => {
    const abort = new AbortController()
    const onEvent = ({ eventType }: ExecutionEvent) => void (eventType === 'retrying' && abort.abort('enough'))
    return engine.run(request, { onEvent, signal: abort.signal })
  },
  'a shutdown': async (engine, request) => {
    let down: Promise<void> | undefined
    const onEvent = ({ eventType }: ExecutionEvent) => void (eventType === 'retrying' && (down = engine.shutdown()))
    const result = await engine.run(request, { onEvent })
    await down
    return result
  },
  'a cancel, while its listener is waited for': async (engine, request) => {
    const onEvent = ({ eventType, ...event }: ExecutionEvent) => {
      if (eventType !== 'retrying' || !('executionId' in event)) return undefined
      void engine.cancel(event.executionId)
      return new Promise<void>(() => {})
    }
    return engine.run(request, { onEvent })
  },
  'the deadline of its plan': async (engine, request) =>
    engine.runPlan({ strategy: { type: 'serial' }, commands: [request, exec('true')], timeoutMs: 800 }),
  'the lease of its plan': async (engine, request) =>
    engine.runPlan({ strategy: { type: 'serial' }, commands: [request, exec('true')], leaseMs: 800 }),
  'a cancel of its plan': async (engine, request) => {
    const id = '3f0d8f56-3c0b-4a0e-9b3c-0d5b4cfae0aa'
    let cancelled: Promise<void> | undefined
    const onEvent = ({ eventType }: ExecutionEvent | PlanEvent) =>
      void (eventType === 'retrying' && (cancelled = engine.cancel(id, 'superseded')))
    const result = await engine.runPlan(
      { id, strategy: { type: 'serial' }, commands: [request, exec('true')] },
      { onEvent },
    )
    await cancelled
    return result
  },
  'a cancel of the step': async (engine, request) => {
    let cancelled: Promise<void> | undefined
    const onEvent = (event: ExecutionEvent | PlanEvent) =>
      void (event.eventType === 'retrying' && (cancelled = engine.cancel(event.executionId, 'not that one')))
    const result = await engine.runPlan({ steps: { it: request, next: exec('true') } }, { onEvent })
    await cancelled
    return result
  },
}

test.each(Object.entries(between))('what ends the waiting is told as in the engine: %s', async (_, act) => {
  const request = counting('echo one; exit 3', { retry: slowly })
  const config = { maxConcurrentExecutions: 1, logOutput: false }
  const fake = new FakeEngine(config)
    .when({ program: 'true' }, {})
    .when({ program: 'sleep' }, { hangs: true })
    .when({ program: '/no/such/program' }, { spawnError: noProgram })
    .otherwise({ output: ['one'], exitCode: 3 })
  expect(told(await act(fake, request))).toEqual(told(await act(newEngine(config), request)))
})

test('what is ended before its turn has the attempts that it has in the engine', async () => {
  const retry = twice
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const first = await engine.execute(exec('sleep', '60'))
    const queued = await engine.execute({ ...exec('true'), retry })
    await engine.cancel(queued, 'not needed')
    const leased = await engine.run({ ...exec('true'), retry, leaseMs: 50 })
    const aborted = await engine.run({ ...exec('true'), retry }, { signal: AbortSignal.abort() })
    const plan = await engine.runPlan({ steps: { it: { ...exec('true'), retry } }, timeoutMs: 50 })
    await engine.cancel(first)
    return [await engine.getResult(queued), leased, aborted, plan.results]
  }
  const config = { maxConcurrentExecutions: 1, maxQueuedExecutions: 2 }
  const fake = new FakeEngine(config).otherwise({ hangs: true })
  expect(told(await on(fake))).toEqual(told(await on(newEngine(config))))
})

test('a step that waits for its next attempt keeps no other from its slot, as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const ends: unknown[] = []
    const ofRetried: unknown[] = []
    const retry = { attempts: 2, delayMs: 600, jitter: false }
    const steps = {
      retried: { ...counting('exit $((2 - n))', { retry }), priority: 1 },
      other: exec('true'),
      behind: { ...exec('true'), dependsOn: ['retried'] },
    }
    // A failure that another attempt follows stops nothing.
    const plan = await engine.runPlan(
      { steps, stopOnError: true },
      {
        onEvent: (event) => {
          if ('result' in event) ends.push([event.eventType, 'step' in event && event.step])
          if ('step' in event && event.step === 'retried') ofRetried.push(event.eventType)
        },
      },
    )
    // Nor is it stopped by the failure of another, as it has begun.
    const second = { retried: { ...counting('exit $((2 - n))', { retry }), priority: 1 }, fails: exec('false') }
    const { results } = await engine.runPlan({ steps: second, stopOnError: true })
    return [
      [ends, ofRetried, plan.status],
      [...plan.results, ...results].map(({ status, attempts }) => [status, attempts.length]),
    ]
  }
  const config = { maxConcurrentExecutions: 1 }
  const fake = new FakeEngine(config).when({ program: 'true' }, {}).when({ program: 'false' }, { exitCode: 1 })
  fake.otherwise({ exitCode: 1 }, {}, { exitCode: 1 }, {})
  expect(await on(fake)).toEqual(await on(newEngine(config)))
})

test('the deadline of a plan that passes in an attempt lets no other follow, as in the engine', async () => {
  const steps = { it: { ...exec('sleep', '60'), retry: twice } }
  const [real, fake] = await onBoth({ hangs: true }, (engine) => engine.runPlan({ steps, timeoutMs: 200 }), {
    logOutput: false,
  })
  expect(told(fake)).toEqual(told(real))
})

test('secrets are told by no attempt, as in the engine', async () => {
  const request = { ...exec('/no/such/program/of/hunter22'), secrets: ['hunter22'], retry: twice }
  const error = noProgram.replace('/program', '/program/of/hunter22')
  const fake = told(await attemptsOn(lastAfter({ spawnError: error }), request))
  expect(fake).toEqual(told(await attemptsOn(newEngine(), request)))
  expect(JSON.stringify(fake)).not.toContain('hunter22')
  const events: ExecutionEvent[] = []
  const engine = lastAfter({ spawnError: 'no open sesame' })
  const { attempts } = await engine.run(
    { ...ls, retry: slowly },
    {
      onEvent: (event) => {
        events.push(event)
        if (event.eventType !== 'retrying') return
        engine.addSecret(event.executionId, 'open sesame')
        void engine.cancel(event.executionId)
      },
    },
  )
  expect(events[0]).toMatchObject({ error: 'no open sesame' })
  expect(attempts).toMatchObject([{ error: 'no ***' }])
})

test.each<[string, ExecutionRequest]>([
  ['a longest delay below the first', { ...ls, retry: { attempts: 2, maxDelayMs: 10 } }],
  ['no exit codes', { ...ls, retry: { attempts: 2, exitCodes: [] } }],
  ['an exit code that is none', { ...ls, retry: { attempts: 2, exitCodes: [1, 256] } }],
  ['no exit code that means success', { ...ls, successExitCodes: [] }],
  ['an input that can be read only once', { ...ls, retry: { attempts: 2 }, stdin: { open: true } }],
  ['silence of what is ignored', { ...ls, idleTimeoutMs: 5, stdout: 'ignore', stderr: 'stdout' }],
])('what cannot be asked for is refused as by the engine: %s', async (_, request) => {
  const refusal = async (engine: ExecutionEngine): Promise<unknown> => {
    const [alone, step] = await Promise.allSettled([engine.run(request), engine.runPlan({ steps: { it: request } })])
    return [alone, step].map(
      (one) => one.status === 'rejected' && [one.reason.code, one.reason.field, one.reason.message],
    )
  }
  const refused = await refusal(lastAfter({}))
  expect(refused).toEqual(await refusal(newEngine()))
  expect(refused).not.toContain(false)
})

test('what a function may not ask for is told as by the engine', async () => {
  const [real, fake] = await onBoth({}, async (engine) => {
    const wrong = [{ retry: { attempts: 2, maxDelayMs: 10 } }, { group: 'unknown' }, { secrets: ['abc'] }]
    const commands = wrong.map((more) => ({ request: () => ({ ...ls, ...more }) }))
    const { results } = await engine.runPlan({ strategy: { type: 'parallel' }, commands })
    return results.map(({ status, error, errorCode }) => [status, error, errorCode])
  })
  expect(fake).toEqual(real)
})

const silences: Record<string, Scenario> = {
  'it prints nothing': { request: { ...exec('sleep', '60'), idleTimeoutMs: 150 }, script: { hangs: true } },
  'it prints nothing any more': {
    request: shell('echo a; sleep 0.2; echo b >&2; exec sleep 60', { idleTimeoutMs: 600 }),
    script: { output: ['a', { stderr: 'b', afterMs: 200 }], hangs: true },
  },
  'it prints in time': {
    request: shell('for i in 1 2 3 4 5; do sleep 0.2; echo $i; done', { idleTimeoutMs: 800 }),
    script: { output: ['1', '2', '3', '4', '5'].map((stdout) => ({ stdout, afterMs: 200 })) },
  },
  'what it prints is ignored': {
    request: shell('for i in 1 2 3 4 5 6 7; do sleep 0.1; echo $i >&2; done', {
      idleTimeoutMs: 400,
      stderr: 'ignore',
    }),
    script: { output: Array.from({ length: 7 }, () => ({ stderr: 'x', afterMs: 100 })) },
  },
}

test.each(Object.entries(silences))('silence ends a command as in the engine: %s', async (_, scenario) => {
  const real = newEngine()
  const fake = new FakeEngine({ logDir: real.config.logDir }).otherwise(scenario.script)
  expect(told(await runOn(fake, scenario))).toEqual(told(await runOn(real, scenario)))
})

test('the time of a callback is no silence, as in the engine', async () => {
  const [real, fake] = await onBoth({ output: ['a'], endsAfterMs: 50 }, async (engine) => {
    const request = shell('echo a; sleep 0.05', { idleTimeoutMs: 400 })
    const { status, errorCode } = await engine.run(request, { onStdout: () => sleep(800) })
    return [status, errorCode]
  })
  expect(real).toEqual(['completed', null])
  expect(fake).toEqual(real)
})

const leases: Record<string, (engine: ExecutionEngine) => Promise<unknown>> = {
  'of what runs': async (engine) => {
    const events: unknown[] = []
    const request = { ...exec('sleep', '60'), leaseMs: 150 }
    return [await engine.run(request, { onEvent: (event) => void events.push(event) }), events]
  },
  'of what waits in the queue': async (engine) => {
    const first = await engine.execute(exec('sleep', '60'))
    const result = await engine.run({ ...exec('sleep', '60'), leaseMs: 100 })
    const counts = [engine.runningCount, engine.queuedCount]
    await engine.cancel(first)
    return [result, counts]
  },
  'that is renewed': async (engine) => {
    const id = await engine.execute({ ...exec('sleep', '1'), leaseMs: 500 })
    const seen: unknown[] = []
    for (let i = 0; i < 6; i++) {
      await sleep(100)
      seen.push(await engine.renewLease(id))
    }
    seen.push(await engine.renewLease(id, 60_000))
    return [seen, (await engine.waitForCompletion(id)).status]
  },
  'that is renewed for less': async (engine) => {
    const id = await engine.execute({ ...exec('sleep', '60'), leaseMs: 60_000 })
    await engine.renewLease(id, 50)
    return engine.waitForCompletion(id)
  },
  'of steps': async (engine) => {
    const id = '3f0d8f56-3c0b-4a0e-9b3c-0d5b4cfae00d'
    const steps = {
      runs: exec('sleep', '1'),
      waits: { ...exec('sleep', '60'), id, leaseMs: 200, dependsOn: ['runs'] },
      after: { ...exec('sleep', '60'), dependsOn: ['waits'] },
      tolerated: { ...exec('sleep', '60'), leaseMs: 400, allowFailure: true },
      made: { request: () => ({ ...exec('sleep', '60'), leaseMs: 200 }), dependsOn: ['tolerated'] },
    }
    const ends: unknown[] = []
    const plan = await engine.runPlan(
      { steps },
      { onEvent: (event) => void ('result' in event && ends.push([event.eventType, 'step' in event && event.step])) },
    )
    return [plan, ends]
  },
  'of a plan': async (engine) => {
    const events: unknown[] = []
    const plan = await engine.runPlan(
      {
        steps: {
          runs: exec('sleep', '60'),
          // There is one slot.
          waits: exec('sleep', '60'),
          made: { request: () => exec('sleep', '60'), dependsOn: ['runs'], when: 'always' },
          after: { ...exec('sleep', '60'), dependsOn: ['runs'], when: 'always' },
        },
        leaseMs: 200,
      },
      { onEvent: ({ eventType }) => void (eventType === 'plan_completed' && events.push(eventType)) },
    )
    return [plan, events]
  },
  'of a plan with what may fail': async (engine) =>
    engine.runPlan({ steps: { it: { ...exec('sleep', '60'), allowFailure: true } }, leaseMs: 100 }),
  'of a plan, renewed': async (engine) => {
    const id = await engine.executePlan({ steps: { it: exec('sleep', '1') }, leaseMs: 500 })
    for (let i = 0; i < 6; i++) {
      await sleep(100)
      await engine.renewLease(id)
    }
    await engine.renewLease(id, 60_000)
    const { status } = await engine.waitForPlan(id)
    return [status, await engine.renewLease(id).catch(({ code, message }) => [code, message])]
  },
}

test.each(Object.entries(leases))('a lease is kept as in the engine: %s', async (_, act) => {
  const config = { maxConcurrentExecutions: 1, maxQueuedExecutions: 1, logOutput: false }
  const isLong = ({ command }: ExecutionRequest) => command.type === 'exec' && command.args?.[0] === '60'
  const fake = new FakeEngine(config).when(isLong, { hangs: true }).otherwise({ endsAfterMs: 1000 })
  expect(told(await act(fake))).toEqual(told(await act(newEngine(config))))
})

test('a renewal that cannot be is refused as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    const refusal = (id: string, ms?: unknown) =>
      engine
        .renewLease(id, ms as never)
        .catch(({ code, field, message, executionId }) => [code, field, message, executionId])
    const strategy = { type: 'serial' } as const
    const ids = [
      await engine.execute(exec('sleep', '60')),
      await engine.executePlan({ strategy, commands: [exec('sleep', '60')] }),
      await engine.execute({ ...exec('sleep', '60'), leaseMs: 60_000 }),
      await engine.executePlan({ strategy, commands: [exec('sleep', '60')], leaseMs: 60_000 }),
    ]
    const seen: unknown[] = []
    for (const id of [...ids, randomUUID(), 'no id']) seen.push(await refusal(id))
    for (const ms of [0, -1, 1.5, '1']) seen.push(await refusal(String(ids[2]), ms))
    for (const id of ids) {
      await engine.cancel(id)
      seen.push(await refusal(id))
    }
    return seen
  }
  const fake = lastAfter({ hangs: true })
  expect(told(await on(fake))).toEqual(told(await on(newEngine())))
})

test('a renewal that comes too late is refused, also while the execution is still being ended', async () => {
  vi.useFakeTimers()
  const engine = new FakeEngine({ drainMaxMs: 1000 }).otherwise({ output: ['a'], hangs: true })
  const onStdout = () => new Promise<void>(() => {})
  const id = await engine.execute({ ...ls, leaseMs: 100 }, { onStdout })
  const planId = await engine.executePlan({ strategy: { type: 'serial' }, commands: [ls], leaseMs: 100 }, { onStdout })
  await vi.advanceTimersByTimeAsync(500)
  expect([await engine.getStatus(id), await engine.getStatus(planId)]).toEqual(['running', 'running'])
  for (const one of [id, planId]) {
    const refused = { code: 'ALREADY_FINISHED', message: `the lease of ${one} has ended`, executionId: one }
    await expect(engine.renewLease(one)).rejects.toMatchObject(refused)
  }
  await vi.advanceTimersByTimeAsync(600)
  expect([await engine.getStatus(id), await engine.getStatus(planId)]).toEqual(['failed', 'failed'])
  expect(vi.getTimerCount()).toBe(0)
})

test('the lease of a plan that is being cancelled may be renewed, as in the engine', async () => {
  const on = async (engine: ExecutionEngine): Promise<unknown> => {
    let print = (): void => {}
    const printed = new Promise<void>((resolve) => (print = resolve))
    const command = shell("trap '' TERM; echo a; while :; do sleep 0.01; done")
    const plan: ExecutionPlan = { strategy: { type: 'serial' }, commands: [command], leaseMs: 60_000 }
    const id = await engine.executePlan(plan, { onStdout: () => (print(), new Promise(() => {})) })
    await printed
    const cancelled = engine.cancel(id)
    const seen = [await engine.renewLease(id), await engine.getStatus(id)]
    await cancelled
    return [seen, await engine.getStatus(id)]
  }
  const [real, fake] = await onBoth({ output: ['a'], hangs: true }, on, { terminationGraceMs: 500, drainMaxMs: 500 })
  expect(fake).toEqual(real)
})

// Their time, by the timers of the test

/** The delays that are told of, each of which is waited for. */
async function delaysOf(retry: Retry): Promise<number[]> {
  const delays: number[] = []
  const waited: number[] = []
  let since = Date.now()
  const running = lastAfter({ exitCode: 1 }).run(
    { ...ls, retry },
    {
      onEvent: (event) => {
        if (event.eventType === 'started') waited.push(Date.now() - since)
        else if (event.eventType === 'retrying') delays.push(event.delayMs)
        since = Date.now()
      },
    },
  )
  await vi.runAllTimersAsync()
  expect((await running).attempts).toHaveLength(retry.attempts)
  expect(waited).toEqual([0, ...delays])
  return delays
}

test('delays grow up to the longest, and a random one is between half and the whole', async () => {
  vi.useFakeTimers()
  const jitter = false
  expect(await delaysOf({ attempts: 8, jitter })).toEqual([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  expect(await delaysOf({ attempts: 4, jitter, delayMs: 40_000 })).toEqual([40_000, 40_000, 40_000])
  expect(await delaysOf({ attempts: 4, jitter, delayMs: undefined, backoff: 1 })).toEqual([1000, 1000, 1000])
  expect(await delaysOf({ attempts: 4, jitter, delayMs: 0, backoff: 1e300 })).toEqual([0, 0, 0])
  expect(await delaysOf({ attempts: 1000, jitter, delayMs: 1, maxDelayMs: 1 })).toEqual(Array(999).fill(1))
  const random = vi.spyOn(Math, 'random').mockReturnValue(0)
  try {
    expect(await delaysOf({ attempts: 4 })).toEqual([500, 1000, 2000])
    random.mockReturnValue(1)
    expect(await delaysOf({ attempts: 4 })).toEqual([1000, 2000, 4000])
  } finally {
    random.mockRestore()
  }
})

test('the time of a result is that of all attempts, from the first that was started', async () => {
  vi.useFakeTimers({ now: 0 })
  const engine = new FakeEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 1 })
  engine.when({ program: 'first' }, { endsAfterMs: 1000 })
  engine.otherwise(
    { spawnError: 'not yet' },
    { endsAfterMs: 100, exitCode: 1 },
    { timesOut: true },
    { endsAfterMs: 200 },
  )
  void engine.run(exec('first'))
  const running = engine.run({ ...ls, timeoutMs: 5000, retry: { attempts: 4, delayMs: 10, backoff: 1, jitter: false } })
  await vi.runAllTimersAsync()
  const { attempts, startedAt, queuedMs, durationMs, completedAt } = await running
  expect(attempts).toMatchObject([
    { startedAt: null, durationMs: 0, error: 'not yet' },
    { startedAt: '1970-01-01T00:00:01.010Z', durationMs: 100 },
    // It took that long, as its script says, though nobody has waited for it.
    { durationMs: 5000, error: 'timed out after 5000 ms' },
    { durationMs: 200, error: null },
  ])
  expect([startedAt, queuedMs, durationMs]).toEqual(['1970-01-01T00:00:01.010Z', 1010, 100 + 10 + 5000 + 10 + 200])
  expect(completedAt).toBe('1970-01-01T00:00:01.330Z')
  expect(await engine.listExecutions()).toMatchObject([{ startedAt, durationMs }, {}])
})

test('each attempt has a script of its own, and a function makes one for each', async () => {
  vi.useFakeTimers()
  const engine = new FakeEngine().when({ program: 'curl' }, { exitCode: 7 }, { output: ['ok'] })
  let calls = 0
  engine.when({ program: 'echo' }, () => ({ output: [`call ${++calls}`], exitCode: calls === 3 ? 0 : 1 }))
  const curl = engine.run({ command: sh`curl http://localhost`, retry: slowly })
  const echo = engine.run({ command: sh`echo`, retry: { attempts: 5 } })
  await vi.runAllTimersAsync()
  expect(await curl).toMatchObject({ success: true, stdout: 'ok\n', attempts: [{ exitCode: 7 }, { exitCode: 0 }] })
  expect(await echo).toMatchObject({ success: true, stdout: 'call 3\n', attempts: { length: 3 } })
  expect((await engine.readLogLines((await echo).id)).lines.map(({ line }) => line)).toEqual([
    'call 1',
    'call 2',
    'call 3',
  ])
  expect(engine.requests).toHaveLength(2)
})

test('what is wrong with the script of a later attempt rejects who waits for its execution', async () => {
  const engine = new FakeEngine({ maxConcurrentExecutions: 1 }).when(
    { program: 'ls' },
    { exitCode: 1 },
    () => ({ exitCode: 1, signal: 'SIGTERM' }) as FakeScript,
  )
  await expect(engine.run({ ...ls, retry: twice })).rejects.toThrow('exitCode and signal')
  expect(engine.availablePermits).toBe(1)
})

test('silence is counted from the last line, and by what is left of a callback', async () => {
  vi.useFakeTimers()
  const output = [1, 2, 3].map((n) => ({ stdout: `${n}`, afterMs: 900 }))
  const running = lastAfter({ output, hangs: true }).run(
    { ...ls, idleTimeoutMs: 1000 },
    { onStdout: (line) => (line === '2' ? sleepFaked(5000) : undefined) },
  )
  await vi.advanceTimersByTimeAsync(2700 + 5000 + 999)
  const ended = vi.fn<() => void>()
  void running.then(ended)
  await vi.advanceTimersByTimeAsync(0)
  expect(ended).not.toHaveBeenCalled()
  await vi.advanceTimersByTimeAsync(1)
  const error = 'timed out because it printed nothing for 1000 ms'
  expect(await running).toMatchObject({
    status: 'timeout',
    errorCode: 'IDLE',
    error,
    durationMs: 8700,
    stdout: '1\n2\n3\n',
  })
  expect(vi.getTimerCount()).toBe(0)
})

const sleepFaked = (ms: number): Promise<void> =>
  new Promise((resolve) => {
    setTimeout(resolve, ms)
  })

test('a lease counts from the acceptance, and from its renewal; nothing of it is left behind', async () => {
  vi.useFakeTimers()
  const month = 31 * 24 * 3600 * 1000
  const engine = lastAfter({ hangs: true })
  const id = await engine.execute({ ...ls, leaseMs: 1000, timeoutMs: 2 * month })
  await vi.advanceTimersByTimeAsync(999)
  await engine.renewLease(id, month)
  const strategy = { type: 'serial' } as const
  const planId = await engine.executePlan({ strategy, commands: [{ ...ls, timeoutMs: 2 * month }], leaseMs: month + 1 })
  await vi.advanceTimersByTimeAsync(month - 1)
  expect(await engine.getStatus(id)).toBe('running')
  await vi.advanceTimersByTimeAsync(1)
  expect(await engine.getResult(id)).toMatchObject({ errorCode: 'LEASE_LOST', durationMs: month + 999 })
  expect(await engine.getStatus(planId)).toBe('running')
  await vi.advanceTimersByTimeAsync(1)
  expect(await engine.getPlanResult(planId)).toMatchObject({ status: 'failed', results: [{ errorCode: 'LEASE_LOST' }] })
  const done = lastAfter({})
  await done.run({ ...ls, leaseMs: 1000, idleTimeoutMs: 1000, retry: twice })
  await done.runPlan({ strategy, commands: [{ ...ls, leaseMs: 1000 }], leaseMs: 1000 })
  const abort = new AbortController()
  const onEvent = ({ eventType }: ExecutionEvent) => void (eventType === 'retrying' && abort.abort())
  await lastAfter({ exitCode: 1 }).run({ ...ls, leaseMs: 1000, retry: twice }, { onEvent, signal: abort.signal })
  expect(vi.getTimerCount()).toBe(0)
})

test('a cancel that comes too late for an attempt lets no other follow', async () => {
  vi.useFakeTimers()
  const engine = new FakeEngine({ drainMaxMs: 1000 }).otherwise({ output: ['a'], hangs: true })
  const id = await engine.execute({ ...ls, timeoutMs: 100, retry: twice }, { onStdout: () => new Promise(() => {}) })
  await vi.advanceTimersByTimeAsync(500)
  const cancelled = engine.cancel(id, 'enough')
  await vi.advanceTimersByTimeAsync(600)
  await cancelled
  expect(await engine.getResult(id)).toMatchObject({
    status: 'cancelled',
    error: 'cancelled before attempt 2 was started',
    cancelReason: 'enough',
    signal: 'SIGTERM',
    attempts: [{ error: 'timed out after 100 ms' }],
  })
  expect(vi.getTimerCount()).toBe(0)
})

// Contract, section 2, "Plans": requests that are made from the results so far.

import { AsyncLocalStorage } from 'node:async_hooks'
import { randomUUID } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect, test } from 'vitest'
import { checkPlan } from '../../index.js'
import type { ExecutionEvent, ExecutionRequest, NamedPlan, PlanEvent } from '../../index.js'
import { exec, host, newEngine, newMark, shell, survivors, temporary, until, untilThere } from './support.js'

const ok = exec('true')
const never = () => new Promise<ExecutionRequest>(() => {})

test('the output of one step feeds another', async () => {
  const plan: NamedPlan = {
    steps: {
      version: shell('echo 1.2.3'),
      tag: {
        dependsOn: ['version'],
        request: ({ version }) => shell(`echo v${version!.stdout.trim()}`, { metadata: { source: 'made' } }),
      },
      push: {
        dependsOn: ['tag'],
        request: async ({ tag, version, ...others }) => {
          expect(others).toEqual({})
          return shell('cat', { stdin: `${tag!.stdout}${version!.stdout}` })
        },
      },
    },
  }
  const { status, results } = await newEngine().runPlan(plan)
  expect(status).toBe('completed')
  expect(results.map(({ stdout }) => stdout)).toEqual(['1.2.3\n', 'v1.2.3\n', 'v1.2.3\n1.2.3\n'])
  expect(results[1]).toMatchObject({ step: 'tag', command: 'echo v1.2.3', metadata: { source: 'made' } })
})

test('a step whose request is made later has the id that it was given', async () => {
  const id = randomUUID()
  const engine = newEngine()
  const seen: string[] = []
  const onEvent = (event: ExecutionEvent | PlanEvent) => void ('executionId' in event && seen.push(event.executionId))
  const made = { id, request: () => shell('echo made') }
  expect(checkPlan({ steps: { made } }).steps[0]!.id).toBe(id)
  const { results } = await engine.runPlan({ steps: { made } }, { onEvent })
  expect(results[0]).toMatchObject({ id, step: 'made', stdout: 'made\n' })
  expect(new Set(seen)).toEqual(new Set([id]))
  expect((await engine.getResult(id)).stdout).toBe('made\n')
  await expect(engine.runPlan({ steps: { made } })).rejects.toMatchObject({
    code: 'DUPLICATE_ID',
    field: 'steps.made.id',
  })
  const twice = { steps: { one: { id: randomUUID(), request: () => ok }, other: ok } }
  const plan = { steps: { ...twice.steps, other: { ...ok, id: twice.steps.one.id } } }
  await expect(engine.runPlan(plan)).rejects.toMatchObject({ code: 'VALIDATION', field: 'steps.other.id' })
})

test('numbered steps are given the results by index, undefined where there is none yet', async () => {
  const seen: unknown[] = []
  const { results } = await newEngine().runPlan({
    strategy: { type: 'serial', stopOnError: false },
    commands: [
      shell('exit 3'),
      {
        request: (results) => {
          seen.push(results.map((result) => result?.exitCode))
          return exec('echo', String(results[0]?.exitCode))
        },
      },
      ok,
    ],
  })
  expect(seen).toEqual([[3, undefined, undefined]])
  expect(results[1]!.stdout).toBe('3\n')
})

test('a step that was skipped has a result for those that come after it', async () => {
  const { results } = await newEngine().runPlan({
    steps: {
      fails: shell('exit 3'),
      skipped: { ...ok, dependsOn: ['fails'] },
      tells: {
        dependsOn: ['skipped'],
        when: 'always',
        request: ({ fails, skipped }) => exec('echo', fails!.status, skipped!.status),
      },
    },
  })
  expect(results[2]!.stdout).toBe('failed skipped\n')
})

/** What a function does, and what the error of its step says. */
const failing: [string, () => unknown, string][] = [
  ['throws', () => { throw new Error('boom') }, 'boom'],
  ['throws no error', () => { throw 'words' }, 'words'],
  ['throws what cannot be a text', () => { throw Object.create(null) }, 'something without words was thrown'],
  ['rejects', () => Promise.reject(new TypeError('no such thing')), 'no such thing'],
  ['returns nothing', () => undefined, 'request: expected a request object, found undefined'],
  ['returns what is no request', () => ({ command: 'ls' }), 'command: expected a command object, found "ls"'],
  ['returns an empty program', () => exec(''), 'command.program: expected a text that is not empty'],
  ['returns too long a deadline', () => ({ ...ok, timeoutMs: 1e12 }), 'timeoutMs: expected a positive integer up to maxTimeoutMs'],
  ['returns another id', () => ({ ...ok, id: '11111111-1111-4111-8111-111111111111' }), 'id: expected none'],
] // prettier-ignore

test.each(failing)('a function that %s fails its step alone', async (what, request, words) => {
  const message = what.startsWith('returns') ? `the function returned what is not acceptable: ${words}` : words
  const events: ExecutionEvent[] = []
  const plan = { steps: { made: { request: request as never }, other: ok, behind: { ...ok, dependsOn: ['made'] } } }
  const { status, results } = await newEngine().runPlan(plan, {
    onEvent: (event) => void ('executionId' in event && events.push(event)),
  })
  expect(status).toBe('failed')
  expect(results.map(({ status }) => status)).toEqual(['failed', 'completed', 'skipped'])
  expect(results[0]).toMatchObject({ errorCode: 'INVALID_STEP', pid: null, success: false })
  expect(results[0]!.error).toContain(`its request could not be made: ${message}`)
  expect(results[2]!.error).toContain('skipped because steps.made failed: its request could not be made')
  expect(events.filter(({ step }) => step === 'made').map(({ eventType }) => eventType)).toEqual(['failed'])
})

test('a request that is made is checked as any other: also its files', async () => {
  const { results } = await newEngine().runPlan({
    steps: {
      directory: { request: () => ({ ...ok, workingDir: '/no/such' }) },
      program: { request: () => exec('/no/such/program') },
    },
  })
  expect(results[0]).toMatchObject({ status: 'failed', errorCode: 'INVALID_STEP' })
  expect(results[0]!.error).toMatch(
    /^its request could not be made: the function returned what is not acceptable: .*expected a directory that exists/,
  )
  // As anywhere else, this is no bad request, but a failed start.
  expect(results[1]).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED' })
})

test('a request that is made has the environment and the directory of the call of its plan', async () => {
  const name = 'PLAN_MADE_TEST'
  process.env[name] = 'call'
  const running = newEngine().runPlan({
    steps: {
      made: {
        request: () => {
          process.env[name] = 'turn'
          return shell(`echo $${name}`)
        },
      },
    },
  })
  const { results } = await running
  delete process.env[name]
  expect(results[0]!.stdout).toBe('call\n')
})

test('a function that never returns keeps its step pending, which a cancel of the step ends', async () => {
  const engine = newEngine()
  let called = false
  const id = await engine.executePlan({
    steps: {
      made: { request: () => ((called = true), never()) },
      behind: { ...ok, dependsOn: ['made'] },
      other: ok,
    },
  })
  await until(() => called, 'the call')
  const pending = await engine.listExecutions({ status: 'pending' })
  const made = pending.find(({ step }) => step === 'made')!
  expect(made).toMatchObject({ planId: id, command: '', startedAt: null })
  await engine.cancel(made.id)
  const { results, status } = await engine.waitForPlan(id)
  expect(status).toBe('failed')
  expect(results.map(({ status }) => status)).toEqual(['cancelled', 'skipped', 'completed'])
})

test('a cancel of the plan, and its deadline, do not wait for a function', async () => {
  const engine = newEngine()
  let called = false
  const plan: NamedPlan = { steps: { made: { request: () => ((called = true), never()) } } }
  const id = await engine.executePlan(plan)
  await until(() => called, 'the call')
  await engine.cancel(id)
  expect(await engine.getPlanResult(id)).toMatchObject({ status: 'cancelled', results: [{ status: 'cancelled' }] })
  const late = await engine.runPlan({ ...plan, timeoutMs: 50 })
  expect(late).toMatchObject({ status: 'timeout', results: [{ status: 'cancelled', errorCode: null }] })
  expect(late.results[0]!.error).toBe('its plan timed out after 50 ms, before it was started')
})

/** Fails once that file is there. */
const failsAfter = (file: string) => shell(`while [ ! -e ${file} ]; do sleep 0.01; done; exit 1`)

test('with stopOnError, a step that was made and waits for its slot does not start after a failure', async () => {
  const file = join(temporary(), 'waits')
  const plan: NamedPlan = {
    stopOnError: true,
    steps: {
      fails: failsAfter(file),
      made: { request: () => shell('echo ran after failure') },
      known: ok,
      tells: { when: 'failure', dependsOn: ['fails'], request: () => exec('echo', 'told') },
    },
  }
  const { status, results } = await newEngine({ maxConcurrentExecutions: 1 }).runPlan(plan, {
    onEvent: (event) => {
      if (event.eventType === 'pending' && event.step === 'made') writeFileSync(file, '')
    },
  })
  expect(status).toBe('failed')
  expect(results.map(({ status }) => status)).toEqual(['failed', 'skipped', 'skipped', 'completed'])
  expect(results[1]).toMatchObject({ stdout: '', pid: null, command: 'echo ran after failure' })
  expect(results[1]!.error).toContain('skipped because steps.fails failed')
})

test('with stopOnError, a failure does not wait for a function, and what that returns later is not run', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 4 })
  const [asked, ran] = [join(temporary(), 'asked'), join(temporary(), 'ran')]
  const answers: ((request: ExecutionRequest) => void)[] = []
  const request = () =>
    new Promise<ExecutionRequest>((resolve) => {
      if (answers.push(resolve) === 2) writeFileSync(asked, '')
    })
  const { status, results } = await engine.runPlan({
    stopOnError: true,
    steps: {
      fails: failsAfter(asked),
      late: { request },
      never: { request },
      tells: {
        when: 'failure',
        dependsOn: ['fails'],
        request: async () => {
          answers[0]!(exec('touch', ran))
          await engine.run(exec('sleep', '0.1'))
          return ok
        },
      },
    },
  })
  expect(status).toBe('failed')
  expect(results.map(({ status }) => status)).toEqual(['failed', 'skipped', 'skipped', 'completed'])
  expect(existsSync(ran)).toBe(false)
})

test('a function may run commands of the same engine, also where it has one slot', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 10 })
  const { results } = await engine.runPlan({
    steps: {
      made: { request: async () => exec('echo', (await engine.run(shell('echo inner'))).stdout.trim()) },
      other: ok,
    },
  })
  expect(results[0]!.stdout).toBe('inner\n')
})

test('no more functions are called at once than there are slots, and each sees what has ended before', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 2 })
  let calls = 0
  let most = 0
  const seen: number[] = []
  const request = async (results: readonly unknown[]) => {
    calls += 1
    most = Math.max(most, calls)
    seen.push(results.filter((result) => result !== undefined).length)
    await new Promise((resolve) => setTimeout(resolve, 5))
    calls -= 1
    return ok
  }
  const commands = Array.from({ length: 10 }, () => ({ request }))
  const { stats } = await engine.runPlan({ strategy: { type: 'parallel' }, commands })
  expect(stats.completed).toBe(10)
  expect(most).toBe(2)
  expect(seen.at(-1)).toBeGreaterThan(4)
})

test('a JavaScript thread that is blocked delays only the step that it is to make', async () => {
  const file = join(temporary(), 'order')
  const { ended } = host(`
    const shell = (command) => ({ command: { type: 'shell', command, shell: 'sh' } })
    engine.runPlan({
      strategy: { type: 'dependency_graph', dependencies: { 1: [0], 3: [2] } },
      commands: [
        shell('sleep 0.2'), { request: () => shell('echo made >> ${file}') },
        shell('sleep 0.4'), shell('echo known >> ${file}'),
      ],
    }).then(({ status }) => console.log(status, require('fs').readFileSync('${file}', 'utf8')))
    setImmediate(() => { const end = Date.now() + 1500; while (Date.now() < end); })`)
  expect(await ended).toMatchObject({ complained: '', printed: 'completed known\nmade\n\n' })
})

test('a function is called in the asynchronous context of the call', async () => {
  const storage = new AsyncLocalStorage<string>()
  const { results } = await storage.run('here', () =>
    newEngine().runPlan({ steps: { made: { request: () => exec('echo', storage.getStore() ?? 'nowhere') } } }),
  )
  expect(results[0]!.stdout).toBe('here\n')
})

test('a program ends although a function of a plan that was cancelled never returns', async () => {
  const { ended } = host(`
    const stop = new AbortController()
    const steps = { made: { request: () => { stop.abort(); return new Promise(() => {}) } } }
    engine.runPlan({ steps }, { signal: stop.signal }).then(({ status }) => console.log(status))`)
  expect(await ended).toMatchObject({ code: 0, printed: 'cancelled\n' })
})

test('a plan with functions is cancelled in the middle and leaves nothing', async () => {
  const mark = newMark()
  const engine = newEngine()
  const id = await engine.executePlan({ steps: { made: { request: () => exec('sleep', mark) } } })
  await untilThere(mark, 1)
  await engine.cancel(id)
  expect(survivors(mark)).toEqual([])
})

test('secrets of the plan, and of a request that is made, are nowhere: not in its output, command or error', async () => {
  const events: unknown[] = []
  const engine = newEngine()
  engine.onEvent((event) => events.push(event))
  const { results } = await engine.runPlan({
    secrets: ['plan-s3cr3t'],
    steps: {
      throws: { request: () => Promise.reject(new Error('no plan-s3cr3t today')) },
      refused: { request: () => ({ ...exec('true'), workingDir: '/no/such/own-s3cr3t', secrets: ['own-s3cr3t'] }) },
      prints: { request: () => ({ ...exec('echo', 'plan-s3cr3t', 'own-s3cr3t'), secrets: ['own-s3cr3t'] }) },
    },
  })
  expect(results[0]!.error).toBe('its request could not be made: no *** today')
  expect(results[1]!.error).toContain('/no/such/***')
  expect(results[2]).toMatchObject({ stdout: '*** ***\n', command: "echo '***' '***'" })
  expect(JSON.stringify([results, events])).not.toContain('s3cr3t')
})

test('a request that is made may read a source, which is left where its step never runs', async () => {
  async function* failing() {
    yield 'half'
    throw new Error('the disk is full')
  }
  let isLeft = false
  const leave = async () => {
    isLeft = true
    return { done: true as const, value: undefined }
  }
  const iterator = { next: async () => ({ value: 'x' }), return: leave }
  const refused = { [Symbol.asyncIterator]: () => iterator } as unknown as AsyncIterable<string>
  const cat = (stdin: ExecutionRequest['stdin']) => ({ ...exec('cat'), stdin, timeoutMs: 20_000 })
  const { results } = await newEngine().runPlan({
    strategy: { type: 'serial', stopOnError: false },
    commands: [
      { request: () => cat(Readable.from(['a ', 'stream'])) },
      { request: () => cat(new Blob(['of the web']).stream()) },
      { request: async () => cat((async function* () { yield 'an iterable' })()) },
      { request: () => cat(failing()) },
      { request: () => ({ ...cat(refused), workingDir: '/no/such' }) },
    ],
  }) // prettier-ignore
  expect(results.slice(0, 3).map(({ stdout }) => stdout)).toEqual(['a stream', 'of the web', 'an iterable'])
  expect(results[3]).toMatchObject({ status: 'failed', errorCode: 'IO' })
  expect(results[3]!.error).toContain('the disk is full')
  expect(results[4]).toMatchObject({ errorCode: 'INVALID_STEP' })
  await until(() => isLeft, 'the source to be left')
})

test('what is written to a step before its request is made waits, and is refused where that takes no input', async () => {
  const engine = newEngine()
  let go = () => {}
  const isWritten = new Promise<void>((resolve) => (go = resolve))
  const made = (request: ExecutionRequest) => ({ request: () => isWritten.then(() => request) })
  const running = engine.runPlan({
    strategy: { type: 'parallel' },
    commands: [made({ ...exec('cat'), stdin: { open: true } }), made(ok)],
  })
  let ids: string[] = []
  while (ids.length < 2) ids = (await engine.listExecutions()).map(({ id }) => id)
  const writes = ids.map((id) => engine.writeStdin(id, 'early'))
  const closed = ids.map((id) => engine.closeStdin(id))
  go()
  const said = await Promise.allSettled(writes)
  const refused = said.flatMap((write) => (write.status === 'rejected' ? [write.reason] : []))
  expect(refused).toEqual([expect.objectContaining({ code: 'IO' })])
  expect(refused[0].message).toContain('does not leave it open')
  await Promise.all(closed)
  const { status, results } = await running
  expect([status, ...results.map(({ stdout }) => stdout)]).toEqual(['completed', 'early', ''])
})

test('of what a function throws, the result keeps the beginning, and no part of a secret', async () => {
  const secret = 's3cr3t-'.repeat(4)
  const message = `${'é'.repeat(4090)}${secret}${'x'.repeat(1_000_000)}`
  const { results } = await newEngine().runPlan({
    secrets: [secret],
    steps: { throws: { request: () => Promise.reject(new Error(message)) }, behind: { ...ok, dependsOn: ['throws'] } },
  })
  expect(results[0]!.error).toMatch(/^its request could not be made: é{4090}\*\*\*x{9}\.\.\. \(999991 more bytes\)$/)
  expect(results[1]!.error!.length).toBeLessThan(10_000)
})

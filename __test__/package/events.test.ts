// Contract, section 1: what is told of an execution, and to whom.

import { execFileSync } from 'node:child_process'
import { channel, tracingChannel, type TracingChannel } from 'node:diagnostics_channel'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, expect, test, vi } from 'vitest'
import type {
  ExecutionEngine,
  ExecutionError,
  ExecutionEvent,
  ExecutionTrace,
  PlanEvent,
  PlanExecutionResult,
} from '../../index.js'
import { exec, host, newEngine, newMark, shell, survivors, temporary, until, untilThere } from './support.js'

const ok = exec('true')
const metadata = { source: 'ui', conversationId: 'c-1', tags: { team: 'blue' } }
const none = { tags: {} }

/** All events of an engine. */
function eventsOf(engine: ExecutionEngine): (ExecutionEvent | PlanEvent)[] {
  const events: (ExecutionEvent | PlanEvent)[] = []
  engine.onEvent((event) => events.push(event))
  return events
}

async function all<T>(generator: AsyncIterable<T>): Promise<T[]> {
  const taken: T[] = []
  for await (const one of generator) taken.push(one)
  return taken
}

const types = (events: { eventType: string }[]) => events.map(({ eventType }) => eventType)

/** A command that goes on once a file is there. */
function held(then = 'true') {
  const go = join(temporary(), 'go')
  return { request: shell(`until [ -e ${go} ]; do sleep 0.01; done; ${then}`), release: () => writeFileSync(go, '') }
}

test('each event, summary and result says what its request says about itself, and is frozen as far as it is shared', async () => {
  const engine = newEngine()
  const events = eventsOf(engine)
  const result = await engine.run({ ...shell('echo a; echo b >&2'), metadata })
  expect(types(events).sort()).toEqual(['completed', 'started', 'stderr', 'stdout'])
  for (const event of events)
    expect(event).toMatchObject({ executionId: result.id, metadata, planId: null, step: null })
  expect(result).toMatchObject({ metadata, planId: null, step: null })
  expect(await engine.listExecutions()).toMatchObject([{ metadata, planId: null, step: null }])
  const [event] = events
  expect(() => ((event as ExecutionEvent).metadata.tags['team'] = 'red')).toThrow(TypeError)
  expect(Object.keys(events[0]!.metadata)).toEqual(['source', 'conversationId', 'tags'])
})

test('events of steps name their plan and step, those of the plan what it says about itself', async () => {
  const engine = newEngine()
  const events = eventsOf(engine)
  const streamed: ExecutionEvent[] = []
  const plan = {
    metadata,
    steps: {
      first: { ...shell('echo a; exit 3'), metadata: { source: 'step' } },
      behind: { ...ok, dependsOn: ['first'] },
      made: { request: () => ({ ...ok, metadata: { tags: { made: 'yes' } } }) },
    },
  }
  const { planId, results } = await engine.runPlan(plan, {
    onEvent: (event) => void ('executionId' in event && streamed.push(event)),
  })
  const ofStep = (name: string) => streamed.filter(({ step }) => step === name)
  expect(types(ofStep('first'))).toEqual(['started', 'stdout', 'failed'])
  expect(types(ofStep('behind'))).toEqual(['skipped'])
  expect(ofStep('behind')[0]).toMatchObject({ planId, metadata: none, result: results[1]! })
  for (const event of ofStep('first')) expect(event).toMatchObject({ planId, metadata: { source: 'step', tags: {} } })
  for (const event of ofStep('made')) expect(event).toMatchObject({ planId, metadata: { tags: { made: 'yes' } } })
  const ofPlan = events.filter((event) => !('executionId' in event))
  expect([...new Set(types(ofPlan))]).toEqual(['progress', 'plan_completed'])
  for (const event of ofPlan) expect(event).toMatchObject({ planId, metadata })
  expect(events.filter((event) => 'executionId' in event)).toEqual(streamed)
})

test('what must wait for a slot is told to, once, and before its start', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 10 })
  const events = eventsOf(engine)
  const { request, release } = held()
  const first = engine.run(request)
  const second = engine.run({ ...ok, metadata })
  const third = await engine.execute(ok)
  await until(() => types(events).filter((type) => type === 'pending').length === 2, 'two that wait')
  await engine.cancel(third)
  release()
  const ids = (await Promise.all([first, second])).map(({ id }) => id)
  const of = (id: string | undefined) => events.filter((event) => 'executionId' in event && event.executionId === id)
  expect(types(of(ids[0]))).toEqual(['started', 'completed'])
  expect(types(of(ids[1]))).toEqual(['pending', 'started', 'completed'])
  expect(types(of(third))).toEqual(['pending', 'cancelled'])
  expect(of(ids[1])[0]).toMatchObject({ metadata, planId: null, step: null })
})

test('of a plan only the step is told to wait whose turn has come', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 10 })
  const events = eventsOf(engine)
  const { request, release } = held()
  const first = engine.run(request)
  const plan = engine.runPlan({ steps: { a: ok, b: { ...ok, dependsOn: ['a'] }, c: ok } })
  const pending = () => events.filter(({ eventType }) => eventType === 'pending')
  await until(() => pending().length === 1, 'the step that waits')
  expect(pending()[0]).toMatchObject({ step: 'a' })
  release()
  await Promise.all([first, plan])
  for (const step of ['a', 'b', 'c']) {
    const ofStep = types(events.filter((event) => 'step' in event && event.step === step))
    expect(ofStep.filter((type) => type !== 'pending')).toEqual(['started', 'completed'])
    expect(ofStep.lastIndexOf('pending')).toBeLessThan(1)
  }
})

test('executions are listed by status, source, tags and number, newest first', async () => {
  const engine = newEngine()
  const run = async (request = ok, more = {}) => (await engine.run({ ...request, metadata: more })).id
  const a = await run(ok, { source: 'ui', tags: { team: 'blue', env: 'prod' } })
  const b = await run(exec('false'), { source: 'ui' })
  const c = await run(ok, { source: 'job', tags: { team: 'blue' } })
  const { request, release } = held()
  const d = await engine.execute(request)
  const listed = async (...filter: Parameters<ExecutionEngine['listExecutions']>) =>
    (await engine.listExecutions(...filter)).map(({ id }) => id)
  expect(await listed()).toEqual([d, c, b, a])
  expect(await listed({})).toEqual([d, c, b, a])
  await vi.waitFor(async () => expect(await listed({ status: 'running' })).toEqual([d]))
  expect(await listed({ status: 'completed' })).toEqual([c, a])
  expect(await listed({ source: 'ui' })).toEqual([b, a])
  expect(await listed({ tag: { team: 'blue' } })).toEqual([c, a])
  expect(await listed({ tag: { team: 'blue', env: 'prod' } })).toEqual([a])
  expect(await listed({ tag: { constructor: 'x' } })).toEqual([])
  expect(await listed({ limit: 2 })).toEqual([d, c])
  expect(await listed({ status: 'completed', source: 'ui', tag: { team: 'blue' }, limit: 1 })).toEqual([a])
  release()
  for (const [filter, field] of [
    [{ state: 'running' }, 'state'],
    [{ status: 'done' }, 'status'],
    [{ limit: 0 }, 'limit'],
    [{ tag: { a: 1 } }, 'tag.a'],
    ['running', 'filter'],
  ] as const) {
    await expect(engine.listExecutions(filter as never)).rejects.toMatchObject({ code: 'VALIDATION', field })
  }
})

// subscribe

test('a subscription tells of an execution from its call on, to the end', async () => {
  const engine = newEngine()
  const { request, release } = held('echo late; echo later')
  const id = await engine.execute({ ...request, metadata })
  const events = engine.subscribe(id)
  const other = all(engine.subscribe(id))
  release()
  const seen = await all(events)
  expect(types(seen)).toContain('completed')
  expect(types(seen).filter((type) => type !== 'started')).toEqual(['stdout', 'stdout', 'completed'])
  for (const event of seen) expect(event).toMatchObject({ executionId: id, metadata, planId: null, step: null })
  expect(seen.at(-1)).toMatchObject({ result: await engine.getResult(id) })
  const late = ({ eventType }: ExecutionEvent) => eventType !== 'started'
  expect((await other).filter(late)).toEqual(seen.filter(late))
})

test('a subscription to a step tells of its plan and its name, also of one that waits', async () => {
  const engine = newEngine()
  const { request, release } = held()
  const id = '77777777-7777-4777-8777-777777777777'
  const running = engine.runPlan({
    steps: { first: request, second: { ...shell('echo a'), id, dependsOn: ['first'] } },
  })
  const events = engine.subscribe(id)
  release()
  const seen = await all(events)
  const { planId } = await running
  expect(types(seen)).toEqual(['started', 'stdout', 'completed'])
  for (const event of seen) expect(event).toMatchObject({ planId, step: 'second' })
})

test('a subscription to what has ended tells only how', async () => {
  const engine = newEngine()
  const result = await engine.run(shell('echo a; exit 3', { metadata }))
  const seen = await all(engine.subscribe(result.id))
  expect(seen).toEqual([
    {
      eventType: 'failed',
      executionId: result.id,
      metadata,
      planId: null,
      step: null,
      result,
      timestamp: result.completedAt,
    },
  ])
})

test('who subscribes to nothing, or to a plan, is told so', async () => {
  const engine = newEngine()
  const { planId } = await engine.runPlan({ steps: {} })
  for (const id of [planId, '88888888-8888-4888-8888-888888888888']) {
    await expect(engine.subscribe(id).next()).rejects.toMatchObject({ code: 'NOT_FOUND', executionId: id })
  }
  await expect(engine.subscribe('x').next()).rejects.toMatchObject({ code: 'VALIDATION', field: 'id' })
})

test('leaving a subscription early does not end the execution, and holds nothing back', async () => {
  const engine = newEngine()
  const { request, release } = held('seq 200000')
  const id = await engine.execute(request)
  const events = engine.subscribe(id)
  release()
  let lines = 0
  for await (const { eventType } of events) {
    if (eventType === 'stdout') lines += 1
    if (lines === 3) break
  }
  expect(lines).toBe(3)
  expect(await events.next()).toEqual({ value: undefined, done: true })
  const { status, stdoutBytes } = await engine.waitForCompletion(id)
  expect([status, stdoutBytes]).toEqual(['completed', 1_288_895])
})

test('a subscription that is not read holds the command back, and a cancel does not wait for it', async () => {
  const engine = newEngine({ logOutput: false, drainMaxMs: 200 })
  const count = join(temporary(), 'count')
  const { request, release } = held(`yes | head -c 50000000 | tee ${count} | cat; touch ${count}.done`)
  const id = await engine.execute(request)
  const events = engine.subscribe(id)
  release()
  let value: ExecutionEvent | undefined
  do value = (await events.next()).value ?? undefined
  while (value?.eventType !== 'stdout')
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(await engine.getStatus(id)).toBe('running')
  await engine.cancel(id)
  const result = await engine.getResult(id)
  expect(result.status).toBe('cancelled')
  expect(result.stdoutBytes).toBeLessThan(20_000_000)
  await events.return(undefined)
})

/** An execution that has printed so many lines and exited, and a subscription that has taken the first. */
async function printed(engine: ExecutionEngine, count: number) {
  const { request, release } = held(`seq ${count}`)
  const id = await engine.execute(request)
  const events = engine.subscribe(id)
  release()
  let taken: ExecutionEvent | undefined
  do taken = (await events.next()).value ?? undefined
  while (taken?.eventType !== 'stdout')
  return { id, events }
}

test('a subscription that takes nothing once the command has exited is given up, and the result knows nothing of it', async () => {
  const engine = newEngine({ drainMaxMs: 200 })
  const { id, events } = await printed(engine, 100_000)
  const result = await engine.waitForCompletion(id)
  expect(result).toMatchObject({ status: 'completed', stdoutBytes: 588_895, error: null, errorCode: null })
  expect(result.durationMs).toBeLessThan(30_000)
  let lines = 1
  const reading = (async () => {
    for await (const { eventType } of events) {
      expect(eventType).toBe('stdout')
      lines += 1
    }
  })()
  await expect(reading).rejects.toMatchObject({
    code: 'IO',
    message: expect.stringMatching(/not all events were taken: the command had exited, .* for 200 ms/),
  })
  expect(lines).toBeLessThanOrEqual(100_000)
  expect(await events.next()).toEqual({ value: undefined, done: true })
})

test('a subscription that is given up can be left, and holds up neither a callback nor a cancel', async () => {
  const engine = newEngine({ drainMaxMs: 200 })
  const { request, release } = held('seq 100000; sleep 100 & wait')
  let lines = 0
  const running = engine.run({ ...request, terminationGraceMs: 100 }, { onStdout: () => void (lines += 1) })
  await until(() => engine.runningCount === 1, 'its start')
  const [{ id } = expect.fail('it is listed')] = await engine.listExecutions()
  const events = engine.subscribe(id)
  release()
  await until(() => lines === 100_000, 'all lines')
  await engine.cancel(id)
  expect(await running).toMatchObject({ status: 'cancelled', error: 'cancelled', errorCode: null })
  await events.return(undefined)
  expect(await events.next()).toEqual({ value: undefined, done: true })
})

test('a subscription that takes its time, or whose thread is busy, is not given up', async () => {
  const engine = newEngine({ drainMaxMs: 200 })
  const { id, events } = await printed(engine, 5000)
  let last: ExecutionEvent | undefined
  let count = 1
  for await (const event of events) {
    last = event
    count += 1
    if (count < 20) await new Promise((resolve) => setTimeout(resolve, 50))
    if (count === 20) execFileSync('sleep', ['0.7'])
  }
  expect(last).toMatchObject({ eventType: 'completed', result: { id, errorCode: null } })
  expect(count).toBe(5001)
})

test('a subscription sees every line that the callback of the call sees, in order', async () => {
  const engine = newEngine({ logOutput: false })
  const { request, release } = held('seq 50000')
  const own: string[] = []
  const running = engine.run(request, { onStdout: (line) => void own.push(line) })
  await until(() => engine.runningCount === 1, 'its start')
  const [{ id } = expect.fail('it is listed')] = await engine.listExecutions()
  const seen = all(engine.subscribe(id))
  release()
  await running
  const lines = (await seen).flatMap((event) => (event.eventType === 'stdout' ? [event.line] : []))
  expect(lines).toEqual(own)
  expect(lines.length).toBe(50_000)
})

test('a subscription keeps the program alive until the end, and not after it was left', async () => {
  const followed = await host(`
    engine.execute({ command: { type: 'shell', command: 'sleep 0.2; echo a' } }).then(async (id) => {
      for await (const { eventType } of engine.subscribe(id)) console.log(eventType)
    })`).ended
  expect(followed).toMatchObject({ code: 0, printed: expect.stringContaining('stdout\ncompleted\n') })
  const left = await host(`
    engine.execute({ command: { type: 'shell', command: 'echo a' } }).then(async (id) => {
      const events = engine.subscribe(id)
      await events.return()
      console.log('left')
    })`).ended
  expect(left).toMatchObject({ code: 0, printed: 'left\n' })
})

// The tracing channel

const traced: TracingChannel<unknown, ExecutionTrace> = tracingChannel('escher.execution')
const undo: (() => void)[] = []

afterEach(() => {
  for (const back of undo.splice(0)) back()
})

/** Notes what the channel tells. */
function tracer(onStart: (trace: ExecutionTrace) => void = () => {}) {
  const told: [string, ExecutionTrace][] = []
  const note = (name: string) => (trace: unknown) => void told.push([name, trace as ExecutionTrace])
  const subscribers = {
    start: (trace: ExecutionTrace) => {
      told.push(['start', trace])
      onStart(trace)
    },
    end: note('end'),
    asyncStart: note('asyncStart'),
    asyncEnd: note('asyncEnd'),
    error: note('error'),
  }
  traced.subscribe(subscribers as never)
  undo.push(() => traced.unsubscribe(subscribers as never))
  return told
}

test('the tracing channel tells of each execution, with one object from its start to its result', async () => {
  const engine = newEngine()
  const told = tracer(({ result }) => expect(result).toBeUndefined())
  const request = { command: { type: 'exec', program: 'sh', args: ['-c', 'exit 3'] }, metadata } as const
  const result = await engine.run(request)
  expect(told.map(([name]) => name)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
  const [[, trace] = expect.fail('told')] = told
  expect(told.every(([, other]) => other === trace)).toBe(true)
  expect(trace).toEqual({
    id: result.id,
    kind: 'execution',
    commandType: request.command.type,
    metadata,
    env: {},
    result,
  })
})

test('it tells of executions whose result nobody waits for, and of streams', async () => {
  const engine = newEngine()
  const told = tracer()
  const id = await engine.execute(ok)
  await until(() => told.length === 4, 'its end')
  expect(told[3]![1].result).toMatchObject({ id, status: 'completed' })
  await all(engine.stream(ok))
  expect(told.slice(4).map(([name]) => name)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
})

test('a refusal is an error there, and a failed command is none', async () => {
  const engine = newEngine()
  const { id } = await engine.run(ok)
  const told = tracer()
  await expect(engine.run({ ...ok, id })).rejects.toMatchObject({ code: 'DUPLICATE_ID' })
  expect(told.map(([name]) => name)).toEqual(['start', 'error', 'end'])
  expect(told[1]![1].error).toMatchObject({ code: 'DUPLICATE_ID' } satisfies Partial<ExecutionError>)
  told.length = 0
  await expect(engine.run({ ...ok, workingDir: '/no/such' })).rejects.toMatchObject({ code: 'VALIDATION' })
  expect(told.map(([name]) => name)).toEqual(['start', 'end', 'error', 'asyncStart', 'asyncEnd'])
})

test('a tracer hands variables to the command, which what the request says is stronger than', async () => {
  const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  tracer((trace) => Object.assign(trace.env, { TRACEPARENT, OWN: 'tracer', NUMBER: 1 }))
  const { stdout } = await newEngine().run(shell('echo $TRACEPARENT $OWN $NUMBER', { env: { OWN: 'request' } }))
  expect(stdout).toBe(`${TRACEPARENT} request\n`)
})

test('a plan is told of as one, and its variables are those of all its steps', async () => {
  const told = tracer((trace) => void (trace.env['TRACEPARENT'] = 'parent'))
  const { results } = await newEngine().runPlan({
    metadata,
    steps: {
      known: shell('echo $TRACEPARENT'),
      made: { request: () => shell('echo made $TRACEPARENT') },
    },
  })
  expect(results.map(({ stdout }) => stdout)).toEqual(['parent\n', 'made parent\n'])
  expect(told.map(([name]) => name)).toEqual(['start', 'end', 'asyncStart', 'asyncEnd'])
  const [, trace] = told[3]!
  expect(trace).toMatchObject({ kind: 'plan', commandType: null, metadata })
  expect((trace.result as PlanExecutionResult).results).toEqual(results)
})

test('one subscriber of one of its channels is enough, and without any nothing is told', async () => {
  const seen: string[] = []
  const onEnd = (trace: unknown) => void seen.push((trace as ExecutionTrace).id)
  channel('tracing:escher.execution:asyncEnd').subscribe(onEnd)
  const { id } = await newEngine().run(ok)
  channel('tracing:escher.execution:asyncEnd').unsubscribe(onEnd)
  await newEngine().run(ok)
  expect(seen).toEqual([id])
})

test('nothing of a traced execution is left when its signal is aborted', async () => {
  const told = tracer()
  const stop = new AbortController()
  const mark = newMark()
  const running = newEngine().run(exec('sleep', mark), { signal: stop.signal })
  await untilThere(mark, 1)
  stop.abort()
  expect((await running).status).toBe('cancelled')
  expect(survivors(mark)).toEqual([])
  expect(told.at(-1)![1].result).toMatchObject({ status: 'cancelled' })
})

test('the example makes spans of executions and plans, and hands their context to the commands', async () => {
  const { subscribe } = await import(new URL('../../examples/opentelemetry.mjs', import.meta.url).href)
  type Span = { name: string; parent: string; attributes: Record<string, unknown>; status?: unknown; ended: number }
  const spans: Span[] = []
  const startSpan = (name: string, _: unknown, parent: string) => {
    const span: Span = { name, parent, attributes: {}, ended: 0 }
    spans.push(span)
    return {
      setAttribute: (key: string, value: unknown) => void (span.attributes[key] = value),
      setStatus: (status: unknown) => void (span.status = status),
      end: () => void (span.ended += 1),
    }
  }
  const back = subscribe({
    context: { active: () => 'parent' },
    propagation: {
      inject: (_: unknown, carrier: Record<string, string>) => void (carrier['traceparent'] = '00-1-2-01'),
    },
    trace: { getTracer: () => ({ startSpan }), setSpan: (context: unknown) => context },
  })
  undo.push(back)
  const engine = newEngine()
  const { id, stdout } = await engine.run(shell('echo $TRACEPARENT; exit 3', { metadata: { source: 'ui' } }))
  expect(stdout).toBe('00-1-2-01\n')
  await engine.runPlan({ steps: { it: ok } })
  await expect(engine.run({ ...ok, id })).rejects.toMatchObject({ code: 'DUPLICATE_ID' })
  back()
  await engine.run(ok)
  expect(spans.map(({ name, parent, ended }) => [name, parent, ended])).toEqual([
    ['execution shell', 'parent', 1],
    ['plan', 'parent', 1],
    ['execution exec', 'parent', 1],
  ])
  expect(spans[0]).toMatchObject({
    attributes: { 'escher.id': id, 'escher.source': 'ui', 'escher.status': 'failed', 'process.exit.code': 3 },
    status: { code: 2, message: 'exited with code 3' },
  })
  expect(spans[1]).not.toHaveProperty('status')
  expect(spans[2]!.status).toMatchObject({ code: 2 })
})

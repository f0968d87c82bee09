// Runs with an engine that runs nothing: what is scripted happens.

import { FakeEngine } from '@escher-dbai/execution-engine/testing'
import { afterEach, expect, onTestFinished, test, vi } from 'vitest'
import { type LoadedPlaybook, loadPlaybook } from '../src/playbook/load.js'
import { planOf } from '../src/playbook/plan.js'
import { feed } from '../src/runs/feed.js'
import { History } from '../src/runs/history.js'
import { newRecord, withStep } from '../src/runs/record.js'
import { Runs } from '../src/runs/runs.js'
import { folder, playbook, write } from './support.js'

afterEach(() => {
  vi.useRealTimers()
})

function runsOf(engine: FakeEngine, data = folder()): Runs {
  const runs = new Runs(engine, data)
  onTestFinished(() => runs.close('the test has ended'))
  return runs
}

const load = async (content: Record<string, unknown>): Promise<LoadedPlaybook> =>
  await loadPlaybook(write(folder(), content))

test('what a playbook says of a step is what the engine is asked for', async () => {
  const engine = new FakeEngine().otherwise({})
  const runs = runsOf(engine)
  const content = playbook(
    'all',
    {
      a: {
        command: { type: 'script', path: './x.sh', args: ['$${n} is ${n}', { param: 'list' }, { param: 'none' }] },
        env: { N: { param: 'n' }, NONE: { param: 'none' } },
        stdin: '${flag}',
        workingDir: '/tmp',
        timeoutMs: 5000,
        successExitCodes: [0, 3],
        retry: { attempts: 2 },
      },
    },
    {
      parameters: {
        n: { type: 'integer' },
        list: { type: 'list' },
        flag: { type: 'boolean', default: false },
        none: { type: 'string', required: false },
      },
    },
  )
  const id = await runs.start(await load(content), { n: 3, list: ['x y', ''] })
  await runs.ended(id)
  expect(engine.requests).toMatchObject([
    {
      command: { type: 'script', path: './x.sh', args: ['${n} is 3', 'x y', ''] },
      env: { N: '3' },
      stdin: 'false',
      workingDir: '/tmp',
      timeoutMs: 5000,
      successExitCodes: [0, 3],
      retry: { attempts: 2 },
    },
  ])
  expect(engine.requests[0]?.env).not.toHaveProperty('NONE')
  expect(engine.plans).toMatchObject([{ id, metadata: { source: 'execution-manager', tags: { playbook: 'all' } } }])
})

test('a run takes as long as its steps say, and its deadline ends it', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'] })
  const engine = new FakeEngine().otherwise({ hangs: true })
  const runs = runsOf(engine)
  const id = await runs.start(await load(playbook('slow', { a: 'x', b: 'y' }, { timeoutMs: 60_000 })), {})
  await vi.advanceTimersByTimeAsync(59_000)
  expect(runs.find(id).run.status).toBe('running')
  await vi.advanceTimersByTimeAsync(2000)
  await runs.ended(id)
  expect(runs.find(id).run).toMatchObject({ status: 'timeout', durationMs: 60_000 })
})

test('the end of a step is told behind its last line, and that of the run behind all', async () => {
  const engine = new FakeEngine()
    .when({ command: /^a/ }, { output: ['one', { stderr: 'two' }, 'three'] })
    .when({ command: /^b/ }, { output: ['four'], exitCode: 1 })
  const runs = runsOf(engine)
  const steps = { a: 'a', b: { command: { type: 'shell', command: 'b' }, dependsOn: ['a'] } }
  const id = await runs.start(await load(playbook('ordered', steps)), {})
  await runs.ended(id)
  const told: string[] = []
  // From the beginning, as a watcher that had seen nothing but the start.
  for await (const { event } of feed(engine, runs.find(id), new AbortController().signal, { lastId: '1' })) {
    if (event.event === 'step') told.push(`${event.data.name} ${event.data.status}`)
    if (event.event === 'lines') told.push(`${event.data.step} ${event.data.stream} ${event.data.lines.join(',')}`)
    if (event.event === 'end') told.push(event.data.status)
  }
  expect(told).toEqual([
    'a running',
    'a stdout one',
    'a stderr two',
    'a stdout three',
    'a completed',
    'b running',
    'b stdout four',
    'b failed',
    'failed',
  ])
})

test('what a dead program has left in a queue is cancelled before its run is told to be interrupted', async () => {
  // The workers of a queue go on when the program that asked them is killed.
  const engine = new FakeEngine().otherwise({ hangs: true })
  const loaded = await load(
    playbook('lost', { a: 'x', b: { command: { type: 'shell', command: 'y' }, dependsOn: ['a'] } }),
  )
  const fresh = newRecord(loaded.playbook, {})
  const { id } = fresh.run
  await engine.executePlan(planOf(loaded.playbook, '/', new Map(), fresh.run))
  await expect.poll(async () => await engine.listExecutions({ status: 'running' })).toHaveLength(1)
  const [left] = await engine.listExecutions({ status: 'running' })
  const data = folder()
  const record = withStep(fresh, 'a', { status: 'running', startedAt: new Date().toISOString() })
  const history = new History(data)
  history.save(record, 'a program that is no more')
  history.close()

  const runs = runsOf(engine, data)
  expect(await runs.recover()).toBe(1)
  expect(await engine.getStatus(left?.id ?? '')).toBe('cancelled')
  expect(runs.find(id).run).toMatchObject({
    status: 'interrupted',
    steps: [{ status: 'interrupted' }, { status: 'skipped' }],
  })
  expect(await runs.recover()).toBe(0)
})

test('a slow watcher is told what is there when it comes to it, and of the lines it missed', async () => {
  const lines = Array.from({ length: 7000 }, (_, i) => String(i))
  const engine = new FakeEngine().otherwise({ output: lines })
  const runs = runsOf(engine)
  const id = await runs.start(await load(playbook('much', { a: 'x' })), {})
  await runs.ended(id)
  const seen: string[] = []
  const gaps: unknown[] = []
  for await (const { event } of feed(engine, runs.find(id), new AbortController().signal, { replayed: 2500 })) {
    if (event.event === 'lines') seen.push(...event.data.lines)
    if (event.event === 'gap') gaps.push(event.data)
  }
  expect(gaps).toEqual([{ step: 'a', from: 0, to: 4500 }])
  expect(seen).toEqual(lines.slice(4500))
})

test('an id that is no position begins anew, and says so with the whole run', async () => {
  const engine = new FakeEngine().otherwise({ output: ['x'] })
  const runs = runsOf(engine)
  const id = await runs.start(await load(playbook('one', { a: 'x' })), {})
  await runs.ended(id)
  for (const lastId of ['nonsense', '1~a', '1~0.0', '-1']) {
    const events: string[] = []
    for await (const { event } of feed(engine, runs.find(id), new AbortController().signal, { lastId })) {
      events.push(event.event)
    }
    expect(events).toEqual(['run', 'lines', 'end'])
  }
})

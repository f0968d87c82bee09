// Contract, section 1: streams, subscribers, callbacks and abort signals, at their edges.

import { AsyncLocalStorage } from 'node:async_hooks'
import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { type ExecutionEvent, type PlanEvent } from '../../index.js'
import { exec, host, newEngine, newMark, shell, survivors, until, untilThere } from './support.js'

const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

test('a stream starts when its first event is asked for', async () => {
  const engine = newEngine()
  const stream = engine.stream(exec('echo', 'hi'))
  expect(engine.totalCount).toBe(0)
  expect((await stream.next()).value).toMatchObject({ eventType: 'started' })
  expect(engine.totalCount).toBe(1)
  await stream.return()
})

test('a stream that is left before it began starts nothing', async () => {
  const engine = newEngine()
  const stream = engine.stream(exec('echo', 'hi'))
  expect(await stream.return()).toEqual({ value: undefined, done: true })
  expect(await stream.next()).toEqual({ value: undefined, done: true })
  expect(engine.totalCount).toBe(0)
})

test('events can be asked for before they are there, and each is given once', async () => {
  const stream = newEngine().stream(shell('echo 1; sleep 0.05; echo 2'))
  const steps = await Promise.all(Array.from({ length: 6 }, () => stream.next()))
  expect(steps.map(({ value, done }) => (done ? 'done' : (value as ExecutionEvent).eventType))).toEqual([
    'started',
    'stdout',
    'stdout',
    'completed',
    'done',
    'done',
  ])
})

test('an error in the loop over a stream cancels its execution, and surfaces', async () => {
  const mark = newMark()
  const engine = newEngine()
  const loop = async () => {
    for await (const event of engine.stream(shell(`echo hi; sleep ${mark}`))) {
      if (event.eventType === 'stdout') throw new Error('meant')
    }
  }
  await expect(loop()).rejects.toThrow('meant')
  expect(survivors(mark)).toEqual([])
  expect((await engine.listExecutions())[0].status).toBe('cancelled')
})

test('a stream tells of a failed start in its only event', async () => {
  const events: ExecutionEvent[] = []
  for await (const event of newEngine().stream(exec('no-such-program'))) events.push(event)
  expect(events).toMatchObject([{ eventType: 'failed', result: { errorCode: 'SPAWN_FAILED' } }])
})

test('the last event of a stream has the result, also with all that was printed', async () => {
  const events: ExecutionEvent[] = []
  for await (const event of newEngine().stream(shell('echo out; echo err >&2; exit 4'))) events.push(event)
  expect(events.at(-1)).toMatchObject({
    eventType: 'failed',
    result: { stdout: 'out\n', stderr: 'err\n', exitCode: 4 },
  })
})

test('abort ends a stream with the event of the cancel; an aborted signal starts nothing', async () => {
  const engine = newEngine()
  const abort = new AbortController()
  const types: string[] = []
  for await (const event of engine.stream(exec('sleep', '60'), { signal: abort.signal })) {
    types.push(event.eventType)
    if (event.eventType === 'started') abort.abort()
  }
  expect(types).toEqual(['started', 'cancelled'])
  const again: ExecutionEvent[] = []
  for await (const event of engine.stream(exec('sleep', '60'), { signal: abort.signal })) again.push(event)
  expect(again).toMatchObject([{ eventType: 'cancelled', result: { pid: null } }])
})

test('streams leave no listener on their signal, however they end', async () => {
  const engine = newEngine()
  const { signal } = new AbortController()
  for await (const event of engine.stream(exec('echo', 'hi'), { signal })) void event
  expect(listeners(signal)).toBe(0)
  for await (const event of engine.stream(exec('yes'), { signal })) if (event.eventType === 'stdout') break
  expect(listeners(signal)).toBe(0)
  await expect(engine.stream(exec(''), { signal }).next()).rejects.toMatchObject({ code: 'VALIDATION' })
  expect(listeners(signal)).toBe(0)
})

test('one signal serves many streams without a warning', async () => {
  const { ended } = host(`;(async () => {
    const abort = new AbortController()
    const read = async () => {
      const types = []
      const request = { command: { type: 'exec', program: 'sleep', args: ['60'] } }
      for await (const event of engine.stream(request, { signal: abort.signal })) {
        types.push(event.eventType)
        if (++begun === 30) abort.abort()
      }
      return types.join()
    }
    let begun = 0
    console.log(new Set(await Promise.all(Array.from({ length: 30 }, read))))
  })()`)
  expect(await ended).toMatchObject({ code: 0, printed: "Set(1) { 'started,cancelled' }\n", complained: '' })
})

test('no execution leaves a listener on its signal, however it ends', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1 })
  const abort = new AbortController()
  const { signal } = abort
  await engine.run(exec('true'), { signal })
  await engine.run(exec('no-such-program'), { signal })
  await engine.run(exec(''), { signal }).catch(() => {})
  await engine.run({ command: { type: 'script', path: '/no/such' } }, { signal }).catch(() => {})
  await engine.run(shell('sleep 60', { timeoutMs: 50 }), { signal })
  const id = await engine.execute(exec('sleep', '60'), { signal })
  await expect(engine.run(exec('true'), { signal })).rejects.toMatchObject({ code: 'CONCURRENCY_LIMIT_REACHED' })
  expect(listeners(signal)).toBe(1)
  await engine.cancel(id)
  await until(() => listeners(signal) === 0, 'no listener')
  // An abort after the end is no cancel.
  const last = await engine.run(exec('true'), { signal })
  abort.abort()
  expect(await engine.getStatus(last.id)).toBe('completed')
})

test('an abort in the turn of the call, or while it waits in the queue, leaves nothing', async () => {
  const mark = newMark()
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 1 })
  const now = new AbortController()
  const running = engine.run(exec('sleep', mark), { signal: now.signal })
  now.abort()
  expect((await running).status).toBe('cancelled')
  expect(survivors(mark)).toEqual([])
  const first = await engine.execute(exec('sleep', '60'))
  const later = new AbortController()
  const waiting = engine.run(exec('sleep', mark), { signal: later.signal })
  later.abort()
  expect(await waiting).toMatchObject({ status: 'cancelled', pid: null })
  expect(survivors(mark)).toEqual([])
  await engine.cancel(first)
})

test('AbortSignal.timeout and any other signal are signals', async () => {
  const signal = AbortSignal.any([AbortSignal.timeout(50), new AbortController().signal])
  expect((await newEngine().run(exec('sleep', '60'), { signal })).status).toBe('cancelled')
})

test('two subscribers hear each event, the same function twice; one leaves without the other, twice', async () => {
  const engine = newEngine()
  const heard: string[] = []
  const subscriber = (event: ExecutionEvent | PlanEvent) => void heard.push(event.eventType)
  const leave = engine.onEvent(subscriber)
  engine.onEvent(subscriber)
  await engine.run(exec('true'))
  expect(heard.splice(0)).toEqual(['started', 'started', 'completed', 'completed'])
  leave()
  leave()
  await engine.run(exec('true'))
  expect(heard).toEqual(['started', 'completed'])
})

test('a subscriber that subscribes anew for each event is told of each once', async () => {
  const engine = newEngine()
  const heard: string[] = []
  const others: string[] = []
  const listen = () => {
    const leave = engine.onEvent((event) => {
      leave()
      heard.push(event.eventType)
      // The bound makes a failure of what would never end.
      if (heard.length < 1000) listen()
    })
  }
  listen()
  engine.onEvent((event) => void others.push(event.eventType))
  await engine.run(shell('echo 1; echo 2'))
  expect(heard).toEqual(['started', 'stdout', 'stdout', 'completed'])
  expect(others).toEqual(heard)
})

test('a subscriber that is no function is refused', () => {
  expect(() => newEngine().onEvent('no' as never)).toThrow(expect.objectContaining({ code: 'VALIDATION' }))
})

test('a subscriber hears of what waits, is cancelled and fails to start as well', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 1 })
  const heard: string[] = []
  engine.onEvent((event) => void ('executionId' in event && heard.push(`${event.eventType} ${event.executionId}`)))
  const first = await engine.execute(exec('sleep', '60'))
  const second = await engine.execute(exec('sleep', '60'))
  await engine.cancel(second)
  await engine.cancel(first)
  const third = await engine.run(exec('no-such-program'))
  await until(() => heard.length === 5, 'five events')
  expect([...heard].sort()).toEqual(
    [`started ${first}`, `pending ${second}`, `cancelled ${second}`, `cancelled ${first}`, `failed ${third.id}`].sort(),
  )
})

test('what any callback throws or rejects surfaces, and the others are called', async () => {
  const { ended } = host(`
    const seen = []
    process.on('uncaughtException', (error) => seen.push('thrown ' + error.message))
    process.on('unhandledRejection', (error) => seen.push('rejected ' + error.message))
    engine.onEvent((event) => { throw new Error('subscriber ' + event.eventType) })
    let count = 0
    const request = { command: { type: 'shell', command: 'echo out; echo err >&2', shell: 'sh' } }
    engine.run(request, {
      onStdout: async () => { throw new Error('out') },
      onStderr() { throw new Error('err') },
      onEvent(event) { count++; return Promise.reject(new Error('event ' + event.eventType)) },
    }).then((result) => setImmediate(() => {
      console.log(result.status, count, result.stdout + result.stderr)
      console.log(seen.sort().join('\\n'))
    }))`)
  const { printed, complained } = await ended
  expect(complained).toBe('')
  expect(printed.split('\n')).toEqual([
    'completed 4 out',
    'err',
    '',
    'rejected event completed',
    'rejected event started',
    'rejected event stderr',
    'rejected event stdout',
    'rejected out',
    'thrown err',
    'thrown subscriber completed',
    'thrown subscriber started',
    'thrown subscriber stderr',
    'thrown subscriber stdout',
    '',
  ])
})

test('a callback sees the asynchronous context of its call, also after it has waited', async () => {
  const engine = newEngine()
  const storage = new AsyncLocalStorage<string>()
  const seen: string[] = []
  const note = async (what: string) => {
    seen.push(`${what} ${storage.getStore()}`)
    await new Promise(setImmediate)
    seen.push(`${what} ${storage.getStore()}`)
  }
  const listen = (name: string) => ({
    onStdout: () => note(name),
    onStderr: () => note(name),
    onEvent: (event: ExecutionEvent | PlanEvent) => note(`${name} ${'executionId' in event}`),
  })
  const command = shell('echo out; echo out; echo err >&2')
  const plan = { strategy: { type: 'parallel' as const }, commands: [command, command] }
  await Promise.all([
    storage.run('one', () => engine.run(command, listen('one'))),
    storage.run('two', () => engine.execute(command, listen('two'))).then((id) => engine.waitForCompletion(id)),
    storage.run('three', () => engine.runPlan(plan, listen('three'))),
  ])
  expect(new Set(seen)).toEqual(
    new Set([
      'one one',
      'one true one',
      'two two',
      'two true two',
      'three three',
      'three true three',
      'three false three',
    ]),
  )
})

test('a callback may use the engine', async () => {
  const engine = newEngine()
  const nested = await new Promise<string>((resolve) => {
    void engine.run(exec('echo', 'outer'), {
      onStdout: async () => resolve((await engine.run(exec('echo', 'inner'))).stdout),
    })
  })
  expect(nested).toBe('inner\n')
})

test('a callback may cancel its own execution', async () => {
  const engine = newEngine()
  const mark = newMark()
  let cancelled = Promise.resolve()
  const id = await engine.execute(shell(`echo hi; sleep ${mark}`), {
    onEvent: (event) => {
      if (event.eventType === 'stdout') cancelled = engine.cancel(event.executionId)
    },
  })
  expect((await engine.waitForCompletion(id)).status).toBe('cancelled')
  await cancelled
  expect(survivors(mark)).toEqual([])
})

test('await using and asyncDispose of a stream end what it started', async () => {
  const mark = newMark()
  const engine = newEngine()
  const stream = engine.stream(exec('sleep', mark))
  await stream.next()
  await untilThere(mark, 1)
  await stream[Symbol.asyncDispose]()
  expect(survivors(mark)).toEqual([])
})

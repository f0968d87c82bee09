// Contract, section 1: queries, events, streams, signals, the global engine.

import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { ExecutionEngine, type ExecutionEvent, type PlanEvent } from '../../index.js'
import { exec, host, newEngine, newMark, shell, survivors } from './support.js'

test('queries tell where an execution stands', async () => {
  const engine = newEngine()
  const id = await engine.execute(shell('sleep 0.2; exit 2', { metadata: { source: 'test', tags: { a: 'b' } } }))
  expect(['pending', 'running']).toContain(await engine.getStatus(id))
  await expect(engine.getResult(id)).rejects.toMatchObject({ code: 'NOT_FINISHED', executionId: id })
  await expect(engine.removeExecution(id)).rejects.toMatchObject({ code: 'NOT_FINISHED' })
  const result = await engine.waitForCompletion(id)
  expect(result).toMatchObject({
    id,
    exitCode: 2,
    command: 'sleep 0.2; exit 2',
    metadata: { source: 'test', tags: { a: 'b' } },
  })
  expect(await engine.getResult(id)).toEqual(result)
  expect(result.startedAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  const [summary] = await engine.listExecutions()
  expect(summary).toEqual({
    id,
    status: 'failed',
    command: result.command,
    startedAt: result.startedAt,
    durationMs: result.durationMs,
    metadata: { source: 'test', tags: { a: 'b' } },
    planId: null,
    step: null,
  })
  await engine.removeExecution(id)
  expect(engine.totalCount).toBe(0)
})

test('the list is newest first, and no longer than the bound', async () => {
  const engine = newEngine({ maxInMemoryExecutions: 3 })
  const ids: string[] = []
  for (let i = 0; i < 5; i++) ids.unshift((await engine.run(exec('true'))).id)
  expect((await engine.listExecutions()).map(({ id }) => id)).toEqual(ids.slice(0, 3))
})

test('cleanup removes what finished longer ago than the retention', async () => {
  const engine = newEngine({ executionRetentionSecs: 1 })
  await engine.run(exec('true'))
  expect(await engine.cleanup()).toBe(0)
  await sleep(1050)
  const id = await engine.execute(exec('sleep', '60'))
  expect(await engine.cleanup()).toBe(1)
  expect(['pending', 'running']).toContain(await engine.getStatus(id))
})

test('onEvent hears of every execution until it is unsubscribed', async () => {
  const engine = newEngine()
  const events: (ExecutionEvent | PlanEvent)[] = []
  const unsubscribe = engine.onEvent((event) => void events.push(event))
  const { id } = await engine.run(exec('echo', 'hi'))
  unsubscribe()
  await engine.run(exec('echo', 'unheard'))
  expect(events).toMatchObject([
    { eventType: 'started', executionId: id, command: 'echo hi' },
    { eventType: 'stdout', executionId: id, line: 'hi', partial: false },
    { eventType: 'completed', executionId: id, result: { stdout: 'hi\n' } },
  ])
})

test('a stream gives the events in order, and ends with the execution', async () => {
  const types: string[] = []
  for await (const event of newEngine().stream(shell('seq 1 2000; exit 1'))) types.push(event.eventType)
  expect(types).toEqual(['started', ...Array.from({ length: 2000 }, () => 'stdout'), 'failed'])
})

test('leaving a stream cancels its execution', async () => {
  const engine = newEngine()
  const mark = newMark()
  for await (const event of engine.stream(shell(`while :; do echo ${mark}; done`))) {
    if (event.eventType === 'stdout') break
  }
  expect(engine.runningCount).toBe(0)
  expect(survivors(mark)).toEqual([])
})

test('a slow consumer of a stream holds the command back', async () => {
  const engine = newEngine({ logOutput: false })
  const before = process.memoryUsage().rss
  let count = 0
  for await (const event of engine.stream(exec('yes', '0123456789'.repeat(10)))) {
    if (event.eventType !== 'stdout') continue
    if (count === 0) await sleep(500)
    if (++count === 200_000) break
  }
  expect(process.memoryUsage().rss - before).toBeLessThan(60e6)
})

test('a refused request rejects the first step of its stream', async () => {
  const stream = newEngine().stream({ command: { type: 'exec', program: '' } })
  await expect(stream.next()).rejects.toMatchObject({ code: 'VALIDATION' })
  expect(await stream.next()).toEqual({ value: undefined, done: true })
})

test('abort is cancel; a signal that is aborted already starts nothing', async () => {
  const engine = newEngine()
  const mark = newMark()
  const abort = new AbortController()
  const running = engine.run(exec('sleep', mark), { signal: abort.signal })
  setTimeout(() => abort.abort(), 100)
  expect((await running).status).toBe('cancelled')
  expect(await engine.run(exec('sleep', mark), { signal: abort.signal })).toMatchObject({
    status: 'cancelled',
    pid: null,
  })
  expect(survivors(mark)).toEqual([])
})

test('one signal serves many executions, without a warning and without listeners left', async () => {
  const { ended } = host(`
    const { getEventListeners } = require('node:events')
    const abort = new AbortController()
    const request = { command: { type: 'exec', program: 'sleep', args: ['60'] } }
    ;(async () => {
      await engine.run({ command: { type: 'exec', program: 'true' } }, { signal: abort.signal })
      console.log(getEventListeners(abort.signal, 'abort').length)
      const runs = Array.from({ length: 100 }, () => engine.run(request, { signal: abort.signal }))
      abort.abort()
      const statuses = (await Promise.all(runs)).map((r) => r.status)
      console.log(statuses.filter((s) => s === 'cancelled').length, getEventListeners(abort.signal, 'abort').length)
    })()`)
  expect(await ended).toMatchObject({ printed: '0\n100 0\n', complained: '' })
})

test('what a callback throws or rejects surfaces once, and the execution goes on', async () => {
  const { ended } = host(`
    const seen = []
    process.on('uncaughtException', (error) => seen.push('thrown ' + error.message))
    process.on('unhandledRejection', (error) => seen.push('rejected ' + error.message))
    const request = { command: { type: 'exec', program: 'seq', args: ['4'] } }
    let count = 0
    engine.run(request, { onStdout(line) {
      count++
      if (line === '2') throw new Error(line)
      if (line === '3') return Promise.reject(new Error(line))
    } }).then((result) => setImmediate(() => console.log(result.status, count, seen.join(', '))))`)
  expect(await ended).toMatchObject({ printed: 'completed 4 thrown 2, rejected 3\n', complained: '' })
})

test('the global engine exists once per environment and runs one execution at a time', async () => {
  const { ended } = host(`
    try { ExecutionEngine.global() } catch (error) { console.log(error.code) }
    const global = ExecutionEngine.initGlobal({ maxConcurrentExecutions: 50 })
    console.log(global === ExecutionEngine.global(), global.config.maxConcurrentExecutions)
    try { ExecutionEngine.initGlobal() } catch (error) { console.log(error.code) }`)
  expect((await ended).printed).toBe('NOT_INITIALIZED\ntrue 1\nALREADY_INITIALIZED\n')
})

test('the configuration is complete and cannot be changed', () => {
  const { config } = new ExecutionEngine({ maxQueuedExecutions: 7 })
  expect(config).toMatchObject({
    maxQueuedExecutions: 7,
    defaultTimeoutMs: 300_000,
    orphanProtection: true,
    drainIdleMs: 250,
  })
  expect(Object.keys(config)).toHaveLength(22)
  expect(() => Object.assign(config, { drainIdleMs: 1 })).toThrow(TypeError)
  expect(() => (config.secretEnvPatterns as string[]).push('*_TOKEN')).toThrow(TypeError)
})

test('asyncDispose shuts down', async () => {
  const engine = newEngine()
  const running = engine.run(exec('sleep', '60'))
  await engine[Symbol.asyncDispose]()
  expect((await running).status).toBe('cancelled')
})

test('the command is shown without what a terminal would obey, on one line', async () => {
  const engine = newEngine()
  const shown: string[] = []
  engine.onEvent((event) => {
    if (event.eventType === 'started') shown.push(event.command)
  })
  const word = await engine.run(exec('printf', '%s', "\u001b[2J\u202eit's\n\u0007"))
  const line = await engine.run(shell("printf 'a\\n'\n\tprintf '\u001b]0;title\u0007\u2028'"))
  expect(word.command).toBe("printf '%s' $'\\e[2J\\u202eit\\'s\\n\\x07'")
  expect(line.command).toBe("printf 'a\\n'\\n\\tprintf '\\e]0;title\\x07\\u2028'")
  expect(shown).toEqual([word.command, line.command])
  expect((await engine.listExecutions()).map(({ command }) => command)).toEqual([line.command, word.command])
  expect([word.stdout, line.stdout]).toEqual(["\u001b[2J\u202eit's\n\u0007", 'a\n\u001b]0;title\u0007\u2028'])
})

test('the command is shown shell-quoted', async () => {
  const engine = newEngine()
  const result = await engine.run(exec('printf', '%s', "it's", 'a b'))
  const again = await engine.run(shell(result.command))
  expect(again.stdout).toBe(result.stdout)
})

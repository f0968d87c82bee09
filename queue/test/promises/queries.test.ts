// What is there to be asked, and what is refused.

import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ExecutionError, type ExecutionEvent } from '@escher-dbai/execution-engine'
import { newMark, survivors, untilThere } from '../../../__test__/processes.mjs'
import { everybody, exec, outcomeOf, shell, temporary } from './executors'

const ok = exec('true')

/** Requests that nobody accepts, with the field that is to blame and what the message says of it. */
const refused: [request: unknown, field: string, found: string][] = [
  [{ ...ok, timeoutMS: 1 }, 'timeoutMS', 'timeoutMs'],
  [{ ...ok, timeoutMs: 0 }, 'timeoutMs', '0'],
  [{ ...ok, timeoutMs: Number.NaN }, 'timeoutMs', 'NaN'],
  [{ ...ok, timeoutMs: 1.5 }, 'timeoutMs', '1.5'],
  [{ ...ok, terminationGraceMs: -1 }, 'terminationGraceMs', '-1'],
  [{ ...ok, id: 'mine' }, 'id', '"mine"'],
  [{ command: { type: 'exec', program: '' } }, 'command.program', 'empty'],
  [{ command: { type: 'exec', program: 'a', args: ['b', 7] } }, 'command.args[1]', '7'],
  [{ command: { type: 'exec', program: 'a\0b' } }, 'command.program', 'NUL'],
  [{ command: { type: 'other' } }, 'command.type', '"other"'],
  [{}, 'command', 'undefined'],
  [{ ...ok, env: { A: 7 } }, 'env.A', 'a number'],
  [{ ...ok, env: { 'A=B': 'c' } }, 'env.A=B', 'A=B'],
  [{ ...ok, secrets: ['abc'] }, 'secrets[0]', '4 to'],
  [{ command: { type: 'aws_cli', service: '-s3', operation: 'ls' } }, 'command.service', '-s3'],
  [{ ...ok, retry: { attempts: 0 } }, 'retry.attempts', '0'],
  [{ ...ok, metadata: { tags: { a: 1 } } }, 'metadata.tags.a', '1'],
]

describe.each(everybody)('$name', ({ start, differs }) => {
  test('bad input is refused before anything starts, and the culprit is named', async () => {
    const executor = await start()
    for (const [request, field, found] of refused) {
      const error = await executor.execute(request as never).catch((error: unknown) => error)
      expect(error).toBeInstanceOf(ExecutionError)
      expect(error).toMatchObject({ code: 'VALIDATION', field })
      expect((error as Error).message).toContain(found)
    }
    expect(await executor.listExecutions()).toEqual([])
  })

  test('what cannot be sent is refused, and what can is run', async () => {
    const executor = await start()
    async function* words() {
      yield 'from '
      yield 'a stream'
    }
    const cat = exec('cat')
    expect(await outcomeOf(executor.run({ ...cat, stdin: words() }))).toMatchObject(differs.streamed)
    const open = executor.run({ ...cat, stdin: { open: true }, timeoutMs: 200 })
    expect(await outcomeOf(open)).toMatchObject(differs.writtenLater)
  })

  test('an id that nobody knows is told so', async () => {
    const executor = await start()
    const id = randomUUID()
    const asked = [
      executor.getStatus(id),
      executor.getResult(id),
      executor.waitForCompletion(id),
      executor.getPlanResult(id),
      executor.waitForPlan(id),
      executor.cancel(id),
      executor.readLogLines(id),
      executor.followLogs(id).next(),
      executor.subscribe(id).next(),
    ]
    for (const { status, reason } of (await Promise.allSettled(asked)) as PromiseRejectedResult[]) {
      expect([status, reason]).toMatchObject(['rejected', { code: 'NOT_FOUND', executionId: id }])
    }
    await expect(executor.getStatus('x')).rejects.toMatchObject({ code: 'VALIDATION', field: 'id' })
  })

  test('methods that promise reject, and never throw', async () => {
    const executor = await start()
    for (const verb of ['execute', 'run', 'executePlan', 'runPlan', 'getStatus', 'getResult', 'cancel'] as const) {
      const call = executor[verb] as (value: unknown) => Promise<unknown>
      let answer: Promise<unknown> | undefined
      expect(() => (answer = call.call(executor, null))).not.toThrow()
      await expect(answer).rejects.toBeInstanceOf(ExecutionError)
    }
  })

  test('a status goes from pending to running to its end, and a result is there at the end', async () => {
    const executor = await start({ maxConcurrentExecutions: 1 })
    const mark = newMark()
    const first = await executor.execute(exec('sleep', mark))
    await untilThere(mark, 1)
    const second = await executor.execute(ok)
    expect([await executor.getStatus(first), await executor.getStatus(second)]).toEqual(['running', 'pending'])
    await expect(executor.getResult(first)).rejects.toMatchObject({ code: 'NOT_FINISHED', executionId: first })
    await executor.cancel(first)
    await executor.waitForCompletion(second)
    expect([await executor.getStatus(first), await executor.getStatus(second)]).toEqual(['cancelled', 'completed'])
    expect((await executor.getResult(second)).id).toBe(second)
  })

  test('the list has the newest first, and what the filter says', async () => {
    const executor = await start()
    const tagged = (team: string) => ({ metadata: { source: 'test', tags: { team } } })
    const a = await executor.run({ ...ok, ...tagged('blue') })
    const b = await executor.run({ ...exec('false'), ...tagged('blue') })
    const c = await executor.run({ ...ok, ...tagged('red') })
    const ids = async (filter?: Parameters<typeof executor.listExecutions>[0]) =>
      (await executor.listExecutions(filter)).map(({ id }) => id)
    expect(await ids()).toEqual([c.id, b.id, a.id])
    expect(await ids({ limit: 2 })).toEqual([c.id, b.id])
    expect(await ids({ status: 'failed' })).toEqual([b.id])
    expect(await ids({ tag: { team: 'blue' }, status: 'completed' })).toEqual([a.id])
    expect(await ids({ source: 'other' })).toEqual([])
    expect((await executor.listExecutions({ limit: 1 }))[0]).toEqual({
      id: c.id,
      status: 'completed',
      command: c.command,
      startedAt: c.startedAt,
      durationMs: c.durationMs,
      metadata: c.metadata,
      planId: null,
      step: null,
    })
    await expect(executor.listExecutions({ limit: 0 })).rejects.toMatchObject({ code: 'VALIDATION', field: 'limit' })
  })

  test('stream yields all events, and leaving it cancels', async () => {
    const executor = await start({ terminationGraceMs: 200 })
    const types: string[] = []
    for await (const event of executor.stream(shell('echo a; echo b >&2'))) types.push(event.eventType)
    expect(types.filter((type) => type !== 'pending').sort()).toEqual(['completed', 'started', 'stderr', 'stdout'])
    expect(types.at(-1)).toBe('completed')
    const mark = newMark()
    let id = ''
    for await (const event of executor.stream(shell(`echo here; exec sleep ${mark}`))) {
      id = event.executionId
      if (event.eventType === 'stdout') break
    }
    expect((await executor.waitForCompletion(id)).status).toBe('cancelled')
    expect(survivors(mark)).toEqual([])
  })

  test('subscribe tells from its call on until the end; leaving it ends nothing', async () => {
    const executor = await start()
    const gate = join(temporary(), 'gate')
    const id = await executor.execute(shell(`while ! test -e ${gate}; do echo tick; sleep 0.02; done; seq 3`))
    const left = executor.subscribe(id)
    await left.return()
    const events: ExecutionEvent[] = []
    for await (const event of executor.subscribe(id)) {
      events.push(event)
      if (event.eventType === 'stdout') writeFileSync(gate, '')
    }
    const printed = events.flatMap((event) => (event.eventType === 'stdout' ? [event.line] : []))
    expect(printed.filter((line) => line !== 'tick')).toEqual(['1', '2', '3'])
    expect(events.at(-1)).toMatchObject({ eventType: 'completed', result: { id } })
    const after: string[] = []
    for await (const { eventType } of executor.subscribe(id)) after.push(eventType)
    expect(after).toEqual(['completed'])
  })
})

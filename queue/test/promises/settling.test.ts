// How an execution ends and who hears of it, whoever runs it.

import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { ExecutionFailedError, type ExecutionEvent, type ExecutionResult } from '@escher-dbai/execution-engine'
import { newMark, survivors, until, untilThere } from '../../../__test__/processes.mjs'
import { everybody, exec, outcomeOf, shell, temporary } from './executors'

describe.each(everybody)('$name', ({ start, differs }) => {
  test('whatever happens to a process is a result', async () => {
    const executor = await start()
    expect(await executor.run(shell('echo out; echo err >&2; exit 3'))).toMatchObject({
      status: 'failed',
      success: false,
      exitCode: 3,
      signal: null,
      stdout: 'out\n',
      stderr: 'err\n',
      errorCode: null,
    })
    expect(await executor.run(shell('kill -9 $$'))).toMatchObject({
      status: 'failed',
      exitCode: null,
      signal: 'SIGKILL',
    })
    const missing = await executor.run(exec('no-such-program-anywhere'))
    expect(missing).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED', pid: null, startedAt: null })
    expect(missing.error).toContain('no-such-program-anywhere')
    expect(await executor.run(shell('exit 3', { successExitCodes: [0, 3] }))).toMatchObject({
      status: 'completed',
      success: true,
      exitCode: 3,
    })
  })

  test('a directory that is not there starts nothing', async () => {
    const executor = await start()
    const nowhere = { ...exec('true'), workingDir: '/no/such/directory' }
    expect(await outcomeOf(executor.run(nowhere))).toMatchObject(differs.missingDirectory)
  })

  test('throwOnFailure rejects with the result, and only where it did not succeed', async () => {
    const executor = await start()
    const failing = executor.run(shell('echo why >&2; exit 2'), { throwOnFailure: true })
    const error = await failing.catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ExecutionFailedError)
    expect((error as ExecutionFailedError).result).toMatchObject({ status: 'failed', exitCode: 2, stderr: 'why\n' })
    expect((await executor.run(exec('true'), { throwOnFailure: true })).success).toBe(true)
  })

  test('a result has the same fields, whoever made it', async () => {
    const executor = await start()
    const metadata = { source: 'test', conversationId: 'c', tags: { team: 'blue' } }
    const result = await executor.run(shell('echo \'{"a":1}\'; echo two >&2', { metadata }))
    expect(Object.keys(result).sort()).toEqual(FIELDS)
    expect(result).toMatchObject({
      status: 'completed',
      success: true,
      exitCode: 0,
      signal: null,
      stdout: '{"a":1}\n',
      stderr: 'two\n',
      bytes: null,
      stdoutBytes: 8,
      stderrBytes: 4,
      truncated: false,
      forced: false,
      leftoverProcesses: false,
      survivors: [],
      error: null,
      errorCode: null,
      cancelReason: null,
      attempts: [],
      planId: null,
      step: null,
      metadata,
    })
    expect(result.command).toContain('echo')
    expect(result.all).toHaveLength(12)
    expect(result.json()).toEqual({ a: 1 })
    for (const time of [result.startedAt, result.completedAt]) expect(time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/)
    for (const number of [result.pid, result.durationMs, result.queuedMs]) expect(number).toBeTypeOf('number')
    expect(result.usage).toEqual({ userCpuMs: expect.any(Number), systemCpuMs: expect.any(Number) })
  })

  test('there is exactly one terminal event, of the type of the status, after all lines', async () => {
    const executor = await start({ terminationGraceMs: 200 })
    const ends: [string, () => Promise<[ExecutionResult, ExecutionEvent[]]>][] = [
      ['completed', () => told('seq 3')],
      ['failed', () => told('seq 3; exit 1')],
      ['timeout', () => told('seq 3; exec sleep 30', { timeoutMs: 1000 })],
      ['cancelled', () => told('seq 3; exec sleep 30', {}, '3')],
    ]
    async function told(command: string, more = {}, cancelAt?: string): Promise<[ExecutionResult, ExecutionEvent[]]> {
      const events: ExecutionEvent[] = []
      const controller = new AbortController()
      const result = await executor.run(shell(command, more), {
        signal: controller.signal,
        onEvent: (event) => {
          events.push(event)
          if (event.eventType === 'stdout' && event.line === cancelAt) controller.abort('enough')
        },
      })
      return [result, events]
    }
    for (const [status, run] of ends) {
      const [result, events] = await run()
      const types = events.map(({ eventType }) => eventType).filter((type) => type !== 'pending')
      // A deadline may come before the command has printed all.
      const lines = status === 'timeout' ? result.stdout.split('\n').slice(0, -1) : ['1', '2', '3']
      expect(types).toEqual(['started', ...lines.map(() => 'stdout'), status])
      expect(result.status).toBe(status)
      expect(events.at(-1)).toMatchObject({ executionId: result.id, result: { id: result.id, status } })
      expect(new Set(events.map(({ executionId }) => executionId))).toEqual(new Set([result.id]))
    }
  })

  test('callbacks see every line before run, waitForCompletion and the terminal event', async () => {
    const executor = await start()
    let [count, atEnd] = [0, 0]
    const id = await executor.execute(exec('seq', '20000'), {
      onStdout: () => void (count += 1),
      onEvent: ({ eventType }) => {
        if (eventType === 'completed') atEnd = count
      },
    })
    await executor.waitForCompletion(id)
    expect([count, atEnd]).toEqual([20_000, 20_000])
  })

  test('a callback that takes its time is waited for', async () => {
    const executor = await start()
    const done: string[] = []
    await executor.run(exec('seq', '5'), {
      onStdout: async (line) => {
        await sleep(20)
        done.push(line)
      },
    })
    expect(done).toEqual(['1', '2', '3', '4', '5'])
  })

  test('an abort before the start means that it never starts', async () => {
    const executor = await start()
    const file = join(temporary(), 'touched')
    const result = await executor.run(exec('touch', file), { signal: AbortSignal.abort('too late') })
    expect(result).toMatchObject({ status: 'cancelled', cancelReason: 'too late', startedAt: null, pid: null })
    expect(existsSync(file)).toBe(false)
  })

  test('the first of a cancel and a deadline decides', async () => {
    const executor = await start({ terminationGraceMs: 400 })
    const stubborn = "trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"
    const printed = (id: string, count: number): Promise<void> =>
      until(async () => (await executor.readLogLines(id)).lines.length >= count, `${count} lines`)
    const late = await executor.execute(shell(stubborn, { timeoutMs: 1500 }))
    // The deadline has asked it to end.
    await printed(late, 2)
    await executor.cancel(late).catch(() => {})
    expect(await executor.waitForCompletion(late)).toMatchObject({ status: 'timeout', forced: true })
    const early = await executor.execute(shell(stubborn, { timeoutMs: 60_000 }))
    await printed(early, 1)
    await executor.cancel(early, 'first')
    expect(await executor.getResult(early)).toMatchObject({ status: 'cancelled', cancelReason: 'first' })
  })

  test('a background process that holds the output open holds nothing up', async () => {
    const executor = await start()
    const mark = newMark()
    const begun = Date.now()
    const result = await executor.run(shell(`sleep ${mark} & echo done`))
    expect(result).toMatchObject({ status: 'completed', stdout: 'done\n', leftoverProcesses: true })
    expect(Date.now() - begun).toBeLessThan(5000)
    expect(survivors(mark)).toEqual([])
  })

  test('the deadline counts from the start of the process, not from the queue', async () => {
    const executor = await start({ maxConcurrentExecutions: 1 })
    const first = executor.run(exec('sleep', '2.5'))
    const second = executor.run(shell('sleep 0.1; echo ran', { timeoutMs: 2000 }))
    expect((await first).status).toBe('completed')
    expect(await second).toMatchObject({ status: 'completed', stdout: 'ran\n' })
  })

  test('idleness ends a command', async () => {
    const executor = await start({ terminationGraceMs: 200 })
    const result = await executor.run(shell('echo once; exec sleep 30', { idleTimeoutMs: 1000 }))
    expect(result).toMatchObject({ status: 'timeout', errorCode: 'IDLE', stdout: 'once\n' })
  })

  test('a second request with the id of one that is known does not run', async () => {
    const executor = await start()
    const file = join(temporary(), 'runs')
    const request = { ...shell(`echo run >> ${file}; wc -l < ${file} | tr -d ' '`), id: randomUUID() }
    const first = await executor.run(request)
    expect([first.id, first.stdout.trim()]).toEqual([request.id, '1'])
    expect(await outcomeOf(executor.run(request))).toMatchObject(differs.secondSubmission)
    expect((await executor.run(exec('cat', file))).stdout).toBe('run\n')
  })

  test('fifty at once keep apart', async () => {
    const executor = await start({ maxConcurrentExecutions: 8 })
    const results = await Promise.all(
      Array.from({ length: 50 }, async (_, i) => {
        const lines: string[] = []
        const { stdout } = await executor.run(shell(`echo ${i}; echo ${i}`), {
          onStdout: (line) => void lines.push(line),
        })
        return stdout === `${i}\n${i}\n` && lines.join() === `${i},${i}`
      }),
    )
    expect(results.filter(Boolean)).toHaveLength(50)
  })

  test('each attempt of a retry is seen, and the result is that of the last', async () => {
    const executor = await start()
    const file = join(temporary(), 'tried')
    const lines: string[] = []
    const types: string[] = []
    const result = await executor.run(
      shell(`echo try; test -e ${file} && exit 0; touch ${file}; exit 7`, { retry: { attempts: 3, delayMs: 10 } }),
      { onStdout: (line) => void lines.push(line), onEvent: ({ eventType }) => void types.push(eventType) },
    )
    expect(result).toMatchObject({ status: 'completed', stdout: 'try\n', attempts: [{ exitCode: 7 }, { exitCode: 0 }] })
    expect(lines).toEqual(['try', 'try'])
    expect(types.filter((type) => type === 'retrying' || type === 'completed')).toEqual(['retrying', 'completed'])
  })

  test('cancel resolves when nothing is left of the tree', async () => {
    const executor = await start({ terminationGraceMs: 300 })
    const mark = newMark()
    const id = await executor.execute(
      shell(`setsid sleep ${mark} & (trap '' TERM; sleep ${mark}; sleep ${mark}) & wait`),
    )
    await untilThere(mark, 4)
    await executor.cancel(id, 'not needed')
    expect(survivors(mark)).toEqual([])
    expect(await executor.getResult(id)).toMatchObject({ status: 'cancelled', cancelReason: 'not needed' })
    await expect(executor.cancel(id)).rejects.toMatchObject({ code: 'ALREADY_FINISHED', executionId: id })
  })

  test('what waits and is cancelled never starts', async () => {
    const executor = await start({ maxConcurrentExecutions: 1 })
    const [file, mark] = [join(temporary(), 'touched'), newMark()]
    const controller = new AbortController()
    const first = executor.run(exec('sleep', mark), { signal: controller.signal })
    await untilThere(mark, 1)
    const waiting = await executor.execute(exec('touch', file))
    expect(await executor.getStatus(waiting)).toBe('pending')
    await executor.cancel(waiting)
    expect(await executor.getResult(waiting)).toMatchObject({ status: 'cancelled', startedAt: null, pid: null })
    controller.abort()
    expect((await first).status).toBe('cancelled')
    expect((await executor.run(exec('true'))).status).toBe('completed')
    expect(existsSync(file)).toBe(false)
  })

  test('ending is asked for first, and enforced after the grace', async () => {
    const executor = await start({ terminationGraceMs: 300 })
    /** It is ended once it says that it is ready for that. */
    const ended = (command: string, more = {}): Promise<ExecutionResult> => {
      const controller = new AbortController()
      return executor.run(shell(command, more), { signal: controller.signal, onStdout: () => controller.abort() })
    }
    // A child of the shell that is asked between its birth and its program has forgotten that: it ends by itself.
    const polite = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.05; done"
    const asked = await ended(polite, { terminationGraceMs: 10_000 })
    expect(asked).toMatchObject({ status: 'cancelled', exitCode: 5, stdout: 'ready\nbye\n', forced: false })
    const stubborn = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    expect(await ended(stubborn)).toMatchObject({ status: 'cancelled', signal: 'SIGKILL', forced: true })
  })

  test('shutdown may be called twice, and refuses all that comes after it', async () => {
    const executor = await start({ terminationGraceMs: 200 })
    const mark = newMark()
    const running = outcomeOf(executor.run(exec('sleep', mark)))
    await untilThere(mark, 1)
    await Promise.all([executor.shutdown(), executor.shutdown()])
    expect(await running).toMatchObject(differs.shutDown)
    expect(survivors(mark)).toHaveLength(differs.leftRunning)
    await expect(executor.run(exec('true'))).rejects.toMatchObject({ code: 'SHUT_DOWN' })
    await expect(executor.execute(exec('true'))).rejects.toMatchObject({ code: 'SHUT_DOWN' })
  })
})

const FIELDS = [
  'attempts',
  'bytes',
  'cancelReason',
  'command',
  'completedAt',
  'durationMs',
  'error',
  'errorCode',
  'exitCode',
  'forced',
  'id',
  'leftoverProcesses',
  'logPath',
  'metadata',
  'pid',
  'planId',
  'queuedMs',
  'signal',
  'startedAt',
  'status',
  'stderr',
  'stderrBytes',
  'stderrOverflowFile',
  'stdout',
  'stdoutBytes',
  'stdoutOverflowFile',
  'step',
  'success',
  'survivors',
  'truncated',
  'usage',
]

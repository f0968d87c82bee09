// A command that did not succeed is tried again: one id, one result, and no slot held in between.

import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ExecutionEvent, ExecutionRequest, PlanEvent } from '../../index.js'
import { exec, isSleep, newEngine, newMark, shell, survivors, temporary, until, untilThere } from './support.js'

/** What counts its attempts in a file, and ends in its own way each time: `$n` is the number of the attempt. */
function counting(command: string, more: Partial<ExecutionRequest> = {}): ExecutionRequest {
  const file = join(temporary(), 'attempts')
  return shell(`echo x >> ${file}; n=$(grep -c x ${file}); ${command}`, {
    retry: { attempts: 3, delayMs: 10, jitter: false },
    ...more,
  })
}

/** Events without what differs from run to run. */
const kinds = (events: (ExecutionEvent | PlanEvent)[]) =>
  events.map((event) => (event.eventType === 'retrying' ? `retrying ${event.attempt}` : event.eventType))

test('one id, one result: output and exit are those of the last attempt, callbacks and log have all', async () => {
  const engine = newEngine()
  const lines: string[] = []
  const events: ExecutionEvent[] = []
  const result = await engine.run(counting('echo attempt $n; echo error $n >&2; [ $n = 3 ] || exit $n'), {
    onStdout: (line) => void lines.push(line),
    onEvent: (event) => void events.push(event),
  })
  expect(result).toMatchObject({
    status: 'completed',
    success: true,
    exitCode: 0,
    stdout: 'attempt 3\n',
    stderr: 'error 3\n',
    stdoutBytes: 10,
    error: null,
    attempts: [
      { exitCode: 1, signal: null, error: 'exited with code 1' },
      { exitCode: 2, signal: null, error: 'exited with code 2' },
      { exitCode: 0, signal: null, error: null },
    ],
  })
  expect(lines).toEqual(['attempt 1', 'attempt 2', 'attempt 3'])
  const log = await engine.readLogs(result.id)
  expect([...log.matchAll(/stdout F (.*)/g)].map(([, line]) => line)).toEqual(lines)
  expect(kinds(events).filter((kind) => !kind.startsWith('std'))).toEqual([
    'started',
    'retrying 2',
    'started',
    'retrying 3',
    'started',
    'completed',
  ])
  expect(events.find(({ eventType }) => eventType === 'retrying')).toEqual({
    eventType: 'retrying',
    executionId: result.id,
    metadata: result.metadata,
    planId: null,
    step: null,
    attempt: 2,
    delayMs: 10,
    error: 'exited with code 1',
    ended: result.attempts[0],
    timestamp: expect.any(String),
  })
  // The time of the result is that of all attempts.
  const [first, , last] = result.attempts
  expect(result.startedAt).toBe(first!.startedAt)
  expect(result.durationMs).toBeGreaterThanOrEqual(30)
  expect(Date.parse(last!.startedAt!) + last!.durationMs).toBeLessThanOrEqual(Date.parse(result.completedAt) + 2)
  const pids = events.flatMap((event) => (event.eventType === 'started' ? [event.pid] : []))
  expect(pids[2]).toBe(result.pid)
})

test('the last of the attempts decides, and without retry there are none', async () => {
  const engine = newEngine()
  const result = await engine.run(counting('exit 7'))
  expect(result).toMatchObject({ status: 'failed', exitCode: 7, error: 'exited with code 7' })
  expect(result.attempts).toHaveLength(3)
  const first = await engine.run(counting('exit 0'))
  expect(first.attempts).toHaveLength(1)
  expect((await engine.run(shell('exit 7'))).attempts).toEqual([])
})

test('delays grow, and a random one is between half and the whole', async () => {
  const engine = newEngine()
  const delays = async (retry: ExecutionRequest['retry']): Promise<number[]> => {
    const found: number[] = []
    const onEvent = (event: ExecutionEvent) => void (event.eventType === 'retrying' && found.push(event.delayMs))
    await engine.run(counting('exit 1', { retry }), { onEvent })
    return found
  }
  expect(await delays({ attempts: 5, delayMs: 10, backoff: 1.5, maxDelayMs: 20, jitter: false })).toEqual([
    10, 15, 20, 20,
  ])
  const random = await delays({ attempts: 3, delayMs: 100, backoff: 1 })
  for (const delay of random) expect(delay).toBeGreaterThanOrEqual(50)
  for (const delay of random) expect(delay).toBeLessThanOrEqual(100)
})

test('each attempt is given the input again', async () => {
  for (const stdin of ['text', new TextEncoder().encode('text')]) {
    const result = await newEngine().run(counting('echo $n $(cat); exit $((3 - n))', { stdin }))
    expect(result).toMatchObject({ status: 'completed', stdout: '3 text\n' })
  }
})

test('each attempt reads a file from its beginning, and what can be read only once is refused', async () => {
  const file = join(temporary(), 'input')
  writeFileSync(file, 'text')
  const engine = newEngine()
  const read = await engine.run(counting('echo $n $(cat); exit $((3 - n))', { stdin: { file } }))
  expect(read).toMatchObject({ status: 'completed', stdout: '3 text\n' })
  async function* lines() {
    yield 'text'
  }
  for (const stdin of [lines(), { open: true } as const]) {
    const refused = engine.run({ ...exec('cat'), stdin, retry: { attempts: 2 } })
    await expect(refused).rejects.toMatchObject({
      code: 'VALIDATION',
      field: 'stdin',
      message: expect.stringMatching(
        /found a stream, or an input that is left open, which the first attempt would use/,
      ),
    })
  }
})

test('a file that takes the output has that of the last attempt', async () => {
  const file = join(temporary(), 'output')
  await newEngine().run(counting('echo $n; exit $((3 - n))', { stdout: { file } }))
  expect(readFileSync(file, 'utf8')).toBe('3\n')
})

test('what an earlier attempt has left running prints into the log, and into no file of the next', async () => {
  const dir = temporary()
  const [go, raw, file] = ['go', 'raw', 'file'].map((name) => join(dir, name)) as [string, string, string]
  const config = { maxOutputSizeBytes: 4, oversizedOutputStrategy: 'stream_to_file' } as const
  const late = `(until [ -e ${go} ]; do sleep 0.01; done; echo late-out; echo late-err >&2; touch ${go}.done) &`
  // The second attempt goes on until the other has printed.
  const second = `echo second; echo second >&2; touch ${go}; until [ -e ${go}.done ]; do sleep 0.01; done; sleep 0.3; exit 0`
  const command = `mkdir ${dir}/first 2>/dev/null || { ${second}; }; ${late} echo first; exit 1`
  const retry = { attempts: 2, delayMs: 1 }
  const request = shell(command, { keepBackground: true, retry, outputLogPath: raw, stderr: { file } })
  const result = await newEngine(config).run(request)
  expect(result).toMatchObject({ status: 'completed', stdout: 'seco', stdoutBytes: 7, error: null })
  expect(readFileSync(result.stdoutOverflowFile!, 'utf8')).toBe('nd\n')
  expect(readFileSync(file, 'utf8')).toBe('second\n')
  for (const all of [raw, result.logPath!]) {
    expect(readFileSync(all, 'utf8')).toMatch(/first[^]*second[^]*late-out/)
  }
})

test('each attempt has a deadline of its own, and one that times out or is silent is followed by another', async () => {
  const slow = '[ $n = 3 ] || exec sleep 60; sleep 0.2; echo done'
  const result = await newEngine().run(counting(slow, { timeoutMs: 400 }))
  expect(result).toMatchObject({ status: 'completed', stdout: 'done\n' })
  expect(result.attempts.map(({ error }) => error)).toEqual(['timed out after 400 ms', 'timed out after 400 ms', null])
  const silent = await newEngine().run(counting('[ $n = 2 ] || exec sleep 60; echo done', { idleTimeoutMs: 200 }))
  expect(silent).toMatchObject({ status: 'completed', attempts: [{ signal: 'SIGTERM' }, { exitCode: 0 }] })
})

test('of an attempt that is followed by another nothing is left', async () => {
  const mark = newMark()
  const result = await newEngine().run(
    counting(`sleep ${mark} & [ $n = 2 ] && exit 0; sleep ${mark}`, { timeoutMs: 300 }),
  )
  expect(result.status).toBe('completed')
  expect(survivors(mark)).toEqual([])
})

test('with exit codes only these are followed by another attempt', async () => {
  const engine = newEngine()
  const attempts = async (command: string, more: Partial<ExecutionRequest> = {}) => {
    const retry = { attempts: 3, delayMs: 0, exitCodes: [3, 75] }
    return (await engine.run(counting(command, { retry, ...more }))).attempts.map(({ exitCode }) => exitCode)
  }
  expect(await attempts('[ $n = 1 ] && exit 3; [ $n = 2 ] && exit 75; exit 3')).toEqual([3, 75, 3])
  expect(await attempts('[ $n = 1 ] && exit 3; exit 4')).toEqual([3, 4])
  expect(await attempts("trap 'exit 3' TERM; while :; do sleep 0.01; done", { timeoutMs: 200 })).toEqual([3])
  expect(await attempts('kill -KILL $$')).toEqual([null])
  expect(await attempts('', { command: { type: 'exec', program: '/no/such/program' } })).toEqual([null])
  // A code that means success is none that is tried again.
  expect(await attempts('exit 3', { successExitCodes: [3] })).toEqual([3])
})

test('a start that could not be made counts, and is looked for again', async () => {
  const program = join(temporary(), 'late')
  const engine = newEngine()
  const result = await engine.run(
    { ...exec(program), retry: { attempts: 5, delayMs: 1 } },
    {
      onEvent: (event) => {
        if (event.eventType !== 'retrying' || event.attempt !== 3) return
        expect(event.error).toContain(program)
        writeFileSync(program, '#!/bin/sh\necho here\n', { mode: 0o755 })
      },
    },
  )
  expect(result).toMatchObject({ status: 'completed', stdout: 'here\n', errorCode: null })
  expect(result.attempts.map(({ startedAt }) => startedAt !== null)).toEqual([false, false, true])
  expect(result.startedAt).toBe(result.attempts[2]!.startedAt)
  const never = await engine.run({ ...exec('/no/such/program'), retry: { attempts: 3, delayMs: 1 } })
  expect(never).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED', startedAt: null, pid: null })
  expect(never.attempts).toHaveLength(3)
})

test('a request that is refused is not tried again', async () => {
  const request = { ...exec('true'), workingDir: '/no/such', retry: { attempts: 3 } }
  await expect(newEngine().run(request)).rejects.toMatchObject({ code: 'VALIDATION', field: 'workingDir' })
})

test('too much output is not tried again, and what is kept is that of the last attempt', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 4, oversizedOutputStrategy: 'fail_execution' })
  const failed = await engine.run(counting('printf 12345'))
  expect(failed).toMatchObject({ status: 'failed', errorCode: 'OUTPUT_SIZE_EXCEEDED' })
  expect(failed.attempts).toHaveLength(1)
  const files = newEngine({ maxOutputSizeBytes: 4, oversizedOutputStrategy: 'stream_to_file' })
  const kept = await files.run(counting('printf ${n}234 rest; printf ${n}; exit $((2 - n))'))
  expect(kept.stdout).toBe('2234')
  expect(readFileSync(kept.stdoutOverflowFile!, 'utf8')).toBe('2')
  let overflow = ''
  const nothing = await files.run(counting('[ $n = 1 ] && printf 12345 && exit 1; exit 0'), {
    onEvent: (event) => {
      if (event.eventType === 'retrying') overflow = join(files.config.logDir, `${event.executionId}.stdout.overflow`)
    },
  })
  expect(nothing).toMatchObject({ stdout: '', stdoutOverflowFile: null, truncated: false })
  expect(existsSync(overflow)).toBe(false)
})

test('while the next attempt is awaited no slot is held, and no place in its group', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 0, groups: { deploy: 1 } })
  let between: Promise<unknown> | undefined
  const result = await engine.run(
    counting('exit $((2 - n))', { group: 'deploy', retry: { attempts: 2, delayMs: 300, jitter: false } }),
    {
      onEvent: (event) => {
        if (event.eventType !== 'retrying') return
        expect([engine.runningCount, engine.queuedCount, engine.availablePermits]).toEqual([0, 0, 1])
        // It takes the slot for longer than the delay: then the attempt waits for it, also where the queue has no place.
        between = engine.run({ ...exec('sleep', '0.8'), group: 'deploy' })
      },
    },
  )
  expect(result).toMatchObject({ status: 'completed', exitCode: 0 })
  expect(await between).toMatchObject({ status: 'completed' })
  expect(result.durationMs).toBeGreaterThanOrEqual(790)
  expect(result.attempts).toHaveLength(2)
})

test('a cancel ends the waiting at once, with what the last attempt came to', async () => {
  const engine = newEngine()
  let cancelled: Promise<void> | undefined
  const begun = performance.now()
  const retry = { attempts: 3, delayMs: 60_000 }
  const result = await engine.run(counting('echo one; exit 3', { retry }), {
    onEvent: (event) => {
      if (event.eventType === 'retrying') cancelled = engine.cancel(event.executionId, 'it will not help')
    },
  })
  await cancelled
  expect(performance.now() - begun).toBeLessThan(5000)
  expect(result).toMatchObject({
    status: 'cancelled',
    success: false,
    exitCode: 3,
    stdout: 'one\n',
    error: 'cancelled before attempt 2 was started',
    errorCode: null,
    cancelReason: 'it will not help',
    attempts: [{ exitCode: 3, error: 'exited with code 3' }],
  })
})

test('a cancel while the output of an attempt is still read lets no other follow', async () => {
  const engine = newEngine({ drainIdleMs: 60_000, drainMaxMs: 60_000 })
  const mark = newMark()
  const id = await engine.execute(counting(`sleep ${mark} & exit 3`))
  const isAlone = () => survivors(mark).map(isSleep).join() === 'true'
  await until(isAlone, 'the command to exit, and what it has left')
  await engine.cancel(id)
  const result = await engine.getResult(id)
  expect(result).toMatchObject({ status: 'cancelled', exitCode: 3 })
  expect(result.attempts).toHaveLength(1)
  expect(survivors(mark)).toEqual([])
})

test('a cancel, and a shutdown, during an attempt let no other follow', async () => {
  for (const end of ['cancel', 'shutdown'] as const) {
    const engine = newEngine()
    const mark = newMark()
    const id = await engine.execute(counting(`exec sleep ${mark}`))
    await untilThere(mark, 1)
    await (end === 'cancel' ? engine.cancel(id) : engine.shutdown())
    const result = await engine.getResult(id)
    expect(result).toMatchObject({ status: 'cancelled', error: 'cancelled', attempts: [{ signal: 'SIGTERM' }] })
  }
})

test('a lease that ends lets no other attempt follow, whenever that is', async () => {
  const engine = newEngine()
  const running = await engine.run(counting('exec sleep 60', { leaseMs: 300 }))
  expect(running).toMatchObject({ status: 'failed', errorCode: 'LEASE_LOST', attempts: [{ signal: 'SIGTERM' }] })
  const retry = { attempts: 3, delayMs: 60_000 }
  const waiting = await engine.run(counting('exit 1', { retry, leaseMs: 400 }))
  expect(waiting).toMatchObject({
    status: 'failed',
    errorCode: 'LEASE_LOST',
    exitCode: 1,
    error: 'ended because its lease was not renewed in time, before attempt 2 was started',
  })
})

test('a step is tried again before others depend on it, and counts as one', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1 })
  const events: (ExecutionEvent | PlanEvent)[] = []
  const plan = await engine.runPlan(
    { strategy: { type: 'serial' }, commands: [counting('exit $((3 - n))'), exec('true')] },
    { onEvent: (event) => void events.push(event) },
  )
  expect(plan).toMatchObject({ status: 'completed', stats: { total: 2, completed: 2 } })
  expect(plan.results.map(({ attempts }) => attempts.length)).toEqual([3, 0])
  expect(kinds(events).filter((kind) => kind !== 'progress')).toEqual(
    ['started', 'retrying 2', 'started', 'retrying 3', 'started', 'completed'].concat([
      'started',
      'completed',
      'plan_completed',
    ]),
  )
})

test('the deadline of its plan, and a cancel of that, end the waiting of a step', async () => {
  const engine = newEngine()
  const waiting = () => counting('exit 1', { retry: { attempts: 3, delayMs: 60_000 } })
  const timedOut = await engine.runPlan({ strategy: { type: 'serial' }, commands: [waiting()], timeoutMs: 500 })
  expect(timedOut.status).toBe('timeout')
  expect(timedOut.results[0]).toMatchObject({
    status: 'timeout',
    error: 'its plan timed out after 500 ms, before attempt 2 was started',
    exitCode: 1,
  })
  let cancelled: Promise<void> | undefined
  const id = '3f0d8f56-3c0b-4a0e-9b3c-0d5b4cfae0aa'
  const plan = await engine.runPlan(
    { id, strategy: { type: 'serial' }, commands: [waiting(), exec('true')] },
    { onEvent: ({ eventType }) => void (eventType === 'retrying' && (cancelled = engine.cancel(id, 'superseded'))) },
  )
  await cancelled
  expect(plan.status).toBe('cancelled')
  expect(plan.results.map(({ status, cancelReason }) => [status, cancelReason])).toEqual([
    ['cancelled', 'superseded'],
    ['cancelled', 'superseded'],
  ])
})

test('an execution is running while its next attempt is awaited', async () => {
  const engine = newEngine()
  let waits = false
  const id = await engine.execute(counting('exit 1', { retry: { attempts: 2, delayMs: 60_000 } }), {
    onEvent: ({ eventType }) => void (waits ||= eventType === 'retrying'),
  })
  await until(() => waits, 'the end of the first attempt')
  expect(await engine.getStatus(id)).toBe('running')
  await expect(engine.getResult(id)).rejects.toMatchObject({ code: 'NOT_FINISHED' })
})

const refused: [unknown, string, string][] = [
  [{}, 'retry.attempts', 'an integer from 1 to 1000'],
  [{ attempts: 0 }, 'retry.attempts', 'an integer from 1 to 1000'],
  [{ attempts: 1001 }, 'retry.attempts', 'an integer from 1 to 1000'],
  [{ attempts: 2, delayMs: -1 }, 'retry.delayMs', 'zero or a positive integer'],
  [{ attempts: 2, backoff: 0.5 }, 'retry.backoff', 'a number of at least 1'],
  [{ attempts: 2, backoff: Number.POSITIVE_INFINITY }, 'retry.backoff', 'a number of at least 1'],
  [{ attempts: 2, maxDelayMs: 10 }, 'retry.maxDelayMs', 'at least delayMs, 1000'],
  [{ attempts: 2, exitCodes: [] }, 'retry.exitCodes', 'at least one exit code'],
  [{ attempts: 2, exitCodes: [1, 256] }, 'retry.exitCodes[1]', 'an exit code, 0 to 255'],
  [{ attempts: 2, delay: 3 }, 'retry.delay', 'a known key, such as "delayMs"'],
  [3, 'retry', 'a retry object'],
]

test.each(refused)('retry %j is refused, and its field named', async (retry, field, expected) => {
  const request = { ...exec('true'), retry } as ExecutionRequest
  const message = expect.stringContaining(expected)
  await expect(newEngine().run(request)).rejects.toMatchObject({ code: 'VALIDATION', field, message })
})

test('a secret is told neither by attempts nor by the reason of a cancel', async () => {
  const engine = newEngine()
  const program = '/no/such/program/of/hunter2hunter2'
  const errors: string[] = []
  const request = { ...exec(program), secrets: ['hunter2hunter2'], retry: { attempts: 2, delayMs: 60_000 } }
  let cancelled: Promise<void> | undefined
  const result = await engine.run(request, {
    onEvent: (event) => {
      if (event.eventType !== 'retrying') return
      errors.push(event.error)
      cancelled = engine.cancel(event.executionId, 'hunter2hunter2 was wrong')
    },
  })
  await cancelled
  expect(errors).toEqual([expect.stringContaining('/no/such/program/of/***')])
  expect(result.cancelReason).toBe('*** was wrong')
  expect(result.attempts[0]!.error).toContain('/no/such/program/of/***')
  expect(JSON.stringify(result)).not.toContain('hunter2')
})

test('what a retry that is stopped while it waits has printed too much of is in its file', async () => {
  const engine = newEngine({ oversizedOutputStrategy: 'stream_to_file', maxOutputSizeBytes: 16 })
  const stop = new AbortController()
  const request = shell('echo 0123456789abcdefghij; exit 1', { retry: { attempts: 2, delayMs: 60_000 } })
  const result = await engine.run(request, {
    onEvent: ({ eventType }) => void (eventType === 'retrying' && stop.abort()),
    signal: stop.signal,
  })
  expect(result).toMatchObject({ status: 'cancelled', stdout: '0123456789abcdef' })
  expect(readFileSync(result.stdoutOverflowFile!, 'utf8')).toBe('ghij\n')
})

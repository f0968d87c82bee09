// When a command is ended, by what it is asked, what counts as success, and what is told of a cancel.

import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { ExecutionRequest, ExecutionResult } from '../../index.js'
import { exec, host, newEngine, newMark, shell, survivors, temporary } from './support.js'

// How each is run: by itself, and as a step of a plan.

type Run = (request: ExecutionRequest) => Promise<ExecutionResult>
const ways: [string, (engine: ReturnType<typeof newEngine>) => Run][] = [
  ['an execution', (engine) => (request) => engine.run(request)],
  [
    'a step of a plan',
    (engine) => async (request) =>
      (await engine.runPlan({ strategy: { type: 'serial' }, commands: [request] })).results[0] ??
      expect.fail('no step'),
  ],
]

test.each(ways)('the silence of %s ends it, with all that it has started', async (_, way) => {
  const mark = newMark()
  const request = shell(`echo begun; sleep ${mark} & sleep ${mark}`, { idleTimeoutMs: 300 })
  const result = await way(newEngine())(request)
  expect(result).toMatchObject({
    status: 'timeout',
    errorCode: 'IDLE',
    error: 'timed out because it printed nothing for 300 ms',
    stdout: 'begun\n',
    signal: 'SIGTERM',
  })
  expect(result.durationMs).toBeGreaterThanOrEqual(295)
  expect(survivors(mark)).toEqual([])
})

test('any byte on either stream, also of an unfinished line, is no silence', async () => {
  const noisy = 'for i in 1 2 3 4; do printf .; sleep 0.2; printf , >&2; sleep 0.2; done'
  const result = await newEngine().run(shell(noisy, { idleTimeoutMs: 380 }))
  expect(result).toMatchObject({ status: 'completed', stdout: '....', stderr: ',,,,' })
})

test('output that goes into a file, or one stream of two, is no silence', async () => {
  const noisy = 'for i in 1 2 3 4; do echo .; sleep 0.2; done'
  const file = join(temporary(), 'output')
  for (const more of [{ stdout: { file } }, { stderr: 'ignore' }, { stderr: 'stdout' }] as const) {
    const result = await newEngine().run(shell(noisy, { idleTimeoutMs: 600, ...more }))
    expect(result.status).toBe('completed')
  }
})

test('a command that has closed its output is silent', async () => {
  const result = await newEngine().run(shell('exec >&- 2>&-; exec sleep 60', { idleTimeoutMs: 300 }))
  expect(result).toMatchObject({ status: 'timeout', errorCode: 'IDLE' })
})

test('time in which a callback is waited for is no silence of the command', async () => {
  let lines = 0
  // More than may be on its way to a callback, and more than the pipe holds: the command blocks meanwhile.
  const request = shell(`yes ${'x'.repeat(99)} | head -n 40000`, { idleTimeoutMs: 400, maxOutputSizeBytes: 1000 })
  const result = await newEngine({ logOutput: false }).run(request, {
    onStdout: async () => {
      lines += 1
      if (lines === 1) await sleep(1200)
    },
  })
  expect([result.status, result.errorCode, lines]).toEqual(['completed', null, 40_000])
})

test('a command that printed, or ended, while the host was stopped was not silent', async () => {
  const { child, ended, said } = host(`
    const run = (command) => engine.run({ command: { type: 'shell', command, shell: 'sh' }, idleTimeoutMs: 1000 })
    const dots = run('for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo .; sleep 0.2; done')
    Promise.all([dots, run('sleep 0.8; exit 3')]).then((all) => console.log(...all.map(({ status }) => status)))
    console.log('started')`)
  await said('started')
  await sleep(200)
  child.kill('SIGSTOP')
  await sleep(1500)
  child.kill('SIGCONT')
  expect((await ended).printed).toBe('started\ncompleted failed\n')
})

test('silence is ended while the JavaScript thread is blocked', async () => {
  const { ended } = host(`
    engine.run({ command: { type: 'shell', command: 'sleep 60', shell: 'sh' }, idleTimeoutMs: 300 })
      .then(({ durationMs, errorCode }) => console.log(errorCode, durationMs < 1500))
    const end = Date.now() + 2500
    while (Date.now() < end);`)
  expect((await ended).printed).toBe('IDLE true\n')
})

test.each(ways)('%s is asked to end by its own signal, and so is what it has left running', async (_, way) => {
  const run = way(newEngine())
  for (const stopSignal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'] as const) {
    const name = stopSignal.slice(3)
    const stubborn = `trap 'echo ${name}; exit 7' ${name}; echo ready; while :; do sleep 0.01; done`
    const asked = await run(shell(stubborn, { stopSignal, timeoutMs: 300 }))
    expect(asked).toMatchObject({ status: 'timeout', exitCode: 7, stdout: `ready\n${name}\n`, forced: false })
  }
  // Not SIGINT: a shell lets what it starts in the background ignore that.
  const left = `sh -c 'trap "echo asked; exit" HUP; echo ready; while :; do sleep 0.01; done' & sleep 0.3`
  const result = await run(shell(left, { stopSignal: 'SIGHUP' }))
  expect(result).toMatchObject({
    status: 'completed',
    stdout: 'ready\nasked\n',
    leftoverProcesses: true,
    forced: false,
  })
})

test('what ignores its signal is killed after the grace', async () => {
  const stubborn = "trap '' INT; while :; do sleep 0.01; done"
  const request = shell(stubborn, { stopSignal: 'SIGINT', timeoutMs: 200, terminationGraceMs: 300 })
  expect(await newEngine().run(request)).toMatchObject({ status: 'timeout', signal: 'SIGKILL', forced: true })
})

test.each(ways)('the exit codes of %s that mean success decide what is completed', async (_, way) => {
  const run = way(newEngine())
  const exits = (code: number, successExitCodes?: number[]) => run(shell(`exit ${code}`, { successExitCodes }))
  expect(await exits(2, [0, 2])).toMatchObject({ status: 'completed', success: true, exitCode: 2, error: null })
  expect(await exits(0, [0, 2])).toMatchObject({ status: 'completed', exitCode: 0 })
  expect(await exits(1, [0, 2])).toMatchObject({ status: 'failed', exitCode: 1, error: 'exited with code 1' })
  expect(await exits(0, [2])).toMatchObject({
    status: 'failed',
    success: false,
    exitCode: 0,
    error: 'exited with code 0',
  })
  expect(await exits(2)).toMatchObject({ status: 'failed', exitCode: 2 })
})

test('a step that ends with one of its own codes has not failed for its plan', async () => {
  const commands = [shell('exit 2', { successExitCodes: [0, 2] }), exec('true')]
  const result = await newEngine().runPlan({ strategy: { type: 'serial' }, commands })
  expect(result).toMatchObject({ status: 'completed', stats: { completed: 2 } })
})

test('a timeout is none of the codes that mean success', async () => {
  const request = shell("trap 'exit 2' TERM; while :; do sleep 0.01; done", { successExitCodes: [2], timeoutMs: 200 })
  expect(await newEngine().run(request)).toMatchObject({ status: 'timeout', success: false, exitCode: 2 })
})

test.each(ways)('the output of %s is kept up to its own limit', async (_, way) => {
  const run = way(newEngine({ maxOutputSizeBytes: 10, oversizedOutputStrategy: 'fail_execution' }))
  expect(await run(shell('printf 12345678901', { maxOutputSizeBytes: 20 }))).toMatchObject({
    status: 'completed',
    stdout: '12345678901',
    truncated: false,
  })
  expect(await run(shell('printf 123456', { maxOutputSizeBytes: 5 }))).toMatchObject({
    status: 'failed',
    errorCode: 'OUTPUT_SIZE_EXCEEDED',
    error: 'ended because it printed more than 5 bytes to one stream',
    stdout: '12345',
  })
})

// Why it was cancelled.

test('the reason of a cancel is in the result, and the first of several stays', async () => {
  const engine = newEngine()
  let ready = () => {}
  const isReady = new Promise<void>((resolve) => (ready = resolve))
  const stubborn = shell("trap '' TERM; echo ready; while :; do sleep 0.01; done")
  const id = await engine.execute(stubborn, { onStdout: () => ready() })
  await isReady
  const all = [engine.cancel(id, 'not needed any more'), engine.cancel(id, 'in a hurry')]
  await Promise.all(all)
  const result = await engine.getResult(id)
  expect(result).toMatchObject({ status: 'cancelled', cancelReason: 'not needed any more', error: 'cancelled' })
})

test('without a cancel, or a reason for it, there is none', async () => {
  const engine = newEngine()
  expect((await engine.run(exec('true'))).cancelReason).toBeNull()
  expect((await engine.run({ ...exec('sleep', '60'), timeoutMs: 50 })).cancelReason).toBeNull()
  const id = await engine.execute(exec('sleep', '60'))
  await engine.cancel(id)
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', cancelReason: null })
})

const aborts: [string, unknown, string | null][] = [
  ['an error', new Error('the tab was closed'), 'the tab was closed'],
  ['a string', 'the tab was closed', 'the tab was closed'],
  ['nothing', undefined, 'This operation was aborted'],
  ['an error without a message', new RangeError(), 'RangeError'],
  ['half of a character', 'a\ud800', 'a\ufffd'],
  ['something else', { code: 3 }, null],
]

test.each(aborts)('the reason of a signal arrives, also before the start: %s', async (_, reason, told) => {
  const engine = newEngine()
  const running = new AbortController()
  const { signal } = running
  const onEvent = ({ eventType }: { eventType: string }) => {
    if (eventType === 'started') running.abort(reason)
  }
  const result = await engine.run(exec('sleep', '60'), { signal, onEvent })
  expect(result).toMatchObject({ status: 'cancelled', cancelReason: told })
  const before = await engine.run(exec('sleep', '60'), { signal: AbortSignal.abort(reason) })
  expect(before).toMatchObject({ status: 'cancelled', cancelReason: told, pid: null })
  const commands = [exec('sleep', '60')]
  const plan = await engine.runPlan({ strategy: { type: 'serial' }, commands }, { signal: AbortSignal.abort(reason) })
  expect(plan.results[0]).toMatchObject({ status: 'cancelled', cancelReason: told, pid: null })
})

test('a signal that is aborted by time says so', async () => {
  const result = await newEngine().run(exec('sleep', '60'), { signal: AbortSignal.timeout(100) })
  expect(result).toMatchObject({ status: 'cancelled', cancelReason: 'The operation was aborted due to timeout' })
})

test('the reason for which a plan is cancelled is that of each of its steps', async () => {
  const engine = newEngine()
  let cancelled: Promise<void> | undefined
  const plan = await engine.runPlan(
    { strategy: { type: 'serial' }, commands: [exec('true'), exec('sleep', '60'), exec('true')] },
    {
      onEvent: (event) => {
        if (event.eventType === 'progress' && event.completed === 1)
          cancelled = engine.cancel(event.planId, 'superseded')
      },
    },
  )
  await cancelled
  expect(plan.status).toBe('cancelled')
  expect(plan.results.map(({ status, cancelReason }) => [status, cancelReason])).toEqual([
    ['completed', null],
    ['cancelled', 'superseded'],
    ['cancelled', 'superseded'],
  ])
})

test('a step that is cancelled before its turn has the reason, and others have none', async () => {
  const engine = newEngine()
  const id = '3f0d8f56-3c0b-4a0e-9b3c-0d5b4cfae001'
  let cancelled: Promise<void> | undefined
  const onEvent = ({ eventType }: { eventType: string }) => {
    if (eventType === 'started') cancelled ??= engine.cancel(id, 'not this one')
  }
  const commands = [exec('sleep', '0.2'), { ...exec('true'), id }]
  const plan = await engine.runPlan({ strategy: { type: 'serial' }, commands }, { onEvent })
  await cancelled
  expect(plan.results.map(({ cancelReason }) => cancelReason)).toEqual([null, 'not this one'])
})

test('what the engine cancels itself says why', async () => {
  const engine = newEngine()
  const id = await engine.execute(exec('sleep', '60'))
  await engine.shutdown()
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', cancelReason: 'the engine was shut down' })
})

test('a stream that is left early says so, and passes the reason of its signal on', async () => {
  const engine = newEngine()
  for await (const event of engine.stream(exec('sleep', '60'))) if (event.eventType === 'started') break
  const controller = new AbortController()
  for await (const event of engine.stream(exec('sleep', '60'), { signal: controller.signal })) {
    if (event.eventType === 'started') controller.abort('enough')
  }
  const ids = (await engine.listExecutions()).map(({ id }) => id)
  const results = await Promise.all(ids.map((id) => engine.getResult(id)))
  expect(results.map(({ cancelReason }) => cancelReason)).toEqual(['enough', 'the loop over its events was left'])
})

// What is refused.

const refused: [Partial<Record<keyof ExecutionRequest, unknown>>, string, string][] = [
  [{ idleTimeoutMs: 0 }, 'idleTimeoutMs', 'a positive integer'],
  [{ idleTimeoutMs: 100, stdout: 'ignore', stderr: 'stdout' }, 'idleTimeoutMs', 'none, as nobody can tell'],
  [{ terminationGraceMs: 0 }, 'terminationGraceMs', 'a positive integer'],
  [{ maxOutputSizeBytes: -1 }, 'maxOutputSizeBytes', 'a positive integer'],
  [{ stopSignal: 'SIGKILL' }, 'stopSignal', '"SIGTERM" or "SIGINT"'],
  [{ successExitCodes: [] }, 'successExitCodes', 'at least one exit code'],
  [{ successExitCodes: [0, 256] }, 'successExitCodes[1]', 'an exit code, 0 to 255'],
  [{ successExitCodes: [-1] }, 'successExitCodes[0]', 'zero or a positive integer'],
  [{ successExitCodes: 2 }, 'successExitCodes', 'an array'],
]

test.each(refused)('%j is refused, and its field named', async (more, field, expected) => {
  const engine = newEngine()
  const request = { ...exec('true'), ...more } as ExecutionRequest
  const message = expect.stringContaining(expected)
  await expect(engine.run(request)).rejects.toMatchObject({ code: 'VALIDATION', field, message })
  const plan = engine.runPlan({ strategy: { type: 'serial' }, commands: [exec('true'), request] })
  await expect(plan).rejects.toMatchObject({ code: 'VALIDATION', field: `commands[1].${field}`, message })
})

test('a reason that is no string is refused, and cancels nothing', async () => {
  const engine = newEngine()
  const id = await engine.execute(exec('sleep', '0.2'))
  await expect(engine.cancel(id, 3 as never)).rejects.toMatchObject({ code: 'VALIDATION', field: 'reason' })
  expect((await engine.waitForCompletion(id)).status).toBe('completed')
})

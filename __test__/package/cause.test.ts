// Contract, section 2, 2 and 5: the earliest cause decides, in every phase alike, and what comes after the exit only
// hurries.

import { setTimeout as sleep } from 'node:timers/promises'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { ExecutionEvent, PlanEvent } from '../../index.js'
import { exec, host, isSleep, newEngine, newMark, shell, survivors, until } from './support.js'

test('what is over the output limit is never completed, also when the command ended at once', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 1000, oversizedOutputStrategy: 'fail_execution', logOutput: false })
  const runs = Array.from({ length: 100 }, () => engine.run(shell('printf %2000d 1')))
  for (const result of await Promise.all(runs)) {
    expect(result).toMatchObject({
      status: 'failed',
      success: false,
      errorCode: 'OUTPUT_SIZE_EXCEEDED',
      truncated: true,
    })
    expect(result.stdout).toHaveLength(1000)
  }
})

test('an abort in the tick of the call cancels, 500 times', async () => {
  const engine = newEngine({ logOutput: false, maxConcurrentExecutions: 1000 })
  const statuses: Record<string, number> = {}
  for (let i = 0; i < 500;) {
    const controller = new AbortController()
    const begun = performance.now()
    const running = engine.run(exec('true'), { signal: controller.signal })
    controller.abort()
    // Where other programs held this thread up for as long as `true` takes, that may have ended first, and then decides.
    const isHeldUp = performance.now() - begun > 0.3
    const { status } = await running
    if (isHeldUp) continue
    statuses[status] = (statuses[status] ?? 0) + 1
    i += 1
  }
  expect(statuses).toEqual({ cancelled: 500 })
})

test('a step that the deadline of its plan ends has timed out, whatever it was doing', async () => {
  const engine = newEngine({ logOutput: false, maxConcurrentExecutions: 1000 })
  const statuses: Record<string, number> = {}
  for (let round = 0; round < 30; round++) {
    const result = await engine.runPlan({
      strategy: { type: 'parallel' },
      commands: Array.from({ length: 20 }, () => exec('sleep', '60')),
      timeoutMs: 1 + round,
    })
    expect(result.status).toBe('timeout')
    for (const { status, error } of result.results) {
      const isWaiting = status === 'cancelled' && error?.endsWith('before it was started')
      const kind = isWaiting ? 'never had its turn' : status
      statuses[kind] = (statuses[kind] ?? 0) + 1
    }
  }
  expect(Object.keys(statuses).filter((kind) => kind !== 'never had its turn')).toEqual(['timeout'])
})

test('a step that ends after the deadline of its plan ends the plan by that, and starts nothing more', async () => {
  const engine = newEngine({ terminationGraceMs: 400 })
  const stubborn = shell("trap '' TERM; while :; do sleep 0.01; done")
  const result = await engine.runPlan({
    strategy: { type: 'serial', stopOnError: false },
    commands: [stubborn, exec('true')],
    timeoutMs: 100,
  })
  expect(result.status).toBe('timeout')
  expect(result.results.map(({ status, pid }) => [status, pid !== null])).toEqual([
    ['timeout', true],
    ['cancelled', false],
  ])
})

test('the deadline bounds what a command leaves that ignores SIGTERM, and the status is that of its exit', async () => {
  const mark = newMark()
  const begun = Date.now()
  const stubborn = `sh -c "trap '' TERM; echo on; while :; do sleep 0.01; : ${mark}; done" >/dev/null & sleep 0.1; exit 3`
  const result = await newEngine().run(shell(stubborn, { timeoutMs: 500 }))
  expect(Date.now() - begun).toBeLessThan(1500)
  expect(result).toMatchObject({ status: 'failed', exitCode: 3, forced: true, leftoverProcesses: true })
  expect(survivors(mark)).toEqual([])
})

test('a cancel while left-overs are asked ends them at once, and the status is that of the exit', async () => {
  const engine = newEngine({ terminationGraceMs: 60_000 })
  const stubborn = `sh -c "trap '' TERM; while :; do sleep 0.01; done" >/dev/null 2>&1 & sleep 0.1; echo over; exit 0`
  const id = await engine.execute(shell(stubborn))
  await sleep(400)
  expect(await engine.getStatus(id)).toBe('running')
  const begun = Date.now()
  await engine.cancel(id)
  expect(Date.now() - begun).toBeLessThan(1500)
  expect(await engine.getResult(id)).toMatchObject({
    status: 'completed',
    exitCode: 0,
    forced: true,
    leftoverProcesses: true,
  })
})

test('a command that ended by itself while the host was stopped has not timed out', async () => {
  const { child, ended, said } = host(`
    engine.run({ command: { type: 'exec', program: 'sleep', args: ['0.4'] }, timeoutMs: 800 })
      .then(({ status, exitCode }) => console.log(status, exitCode))
    console.log('started')`)
  await said('started')
  await sleep(100)
  child.kill('SIGSTOP')
  await sleep(1500)
  child.kill('SIGCONT')
  expect((await ended).printed).toBe('started\ncompleted 0\n')
})

test('a JavaScript thread that is blocked past a deadline has all output delivered, and is told so', async () => {
  const { ended } = host(`
    const lines = []
    engine.run({ command: { type: 'shell', command: 'sleep 0.3; echo late; sleep 60', shell: 'sh' }, timeoutMs: 600 },
      { onStdout: (line) => void lines.push(line) })
      .then(({ status, error, errorCode }) => console.log(JSON.stringify({ status, error, errorCode, lines })))
    const end = Date.now() + 4000
    while (Date.now() < end);`)
  expect(JSON.parse((await ended).printed)).toEqual({
    status: 'timeout',
    error: 'timed out after 600 ms',
    errorCode: null,
    lines: ['late'],
  })
})

test('what keepBackground leaves running goes on to print, and is logged', async () => {
  const mark = newMark()
  const engine = newEngine()
  const line = `sh -c 'sleep 0.8; echo one; sleep 0.2; echo two; exec sleep ${mark}' & echo begun`
  const result = await engine.run(shell(line, { keepBackground: true }))
  expect(result).toMatchObject({ status: 'completed', stdout: 'begun\n', leftoverProcesses: false })
  const log = () => readFileSync(engine.getLogPath(result.id), 'utf8')
  await until(() => log().endsWith('stdout F two\n'), 'the last line in the log')
  const kept = survivors(mark)
  expect(kept).toHaveLength(1)
  process.kill(kept[0]!, 'SIGKILL')
})

test('a stop before the command has exited ends also what keepBackground would leave', async () => {
  const mark = newMark()
  const result = await newEngine().run(
    shell(`setsid sleep ${mark} & sleep ${mark}`, { keepBackground: true, timeoutMs: 300 }),
  )
  expect(result.status).toBe('timeout')
  expect(survivors(mark)).toEqual([])
})

// Contract, section 2, 4 and 8.

test('what waits for a callback as the last process ends is read to its end', async () => {
  const engine = newEngine({ logOutput: false, drainIdleMs: 100, drainMaxMs: 200 })
  const run = async (): Promise<[string, number, number]> => {
    let lines = 0
    // More than may be on its way to a callback; the rest fills the pipe, which somebody else holds open.
    const { status, stdout } = await engine.run(shell(`sleep 60 & yes ${'x'.repeat(99)} | head -n 12000`), {
      onStdout: async () => {
        lines += 1
        if (lines === 1) await sleep(1000)
      },
    })
    return [status, stdout.length, lines]
  }
  // Whether the end of reading is noticed before all was read is a matter of chance.
  const runs = await Promise.all(Array.from({ length: 6 }, run))
  expect(runs).toEqual(runs.map(() => ['completed', 1_200_000, 12_000]))
})

test('a line waits for the promises of all callbacks that were told of the one before', async () => {
  const engine = newEngine({ logOutput: false })
  for (const slow of ['onStdout', 'onEvent', 'engine']) {
    const order: string[] = []
    const listen = (name: string) => async (line: string) => {
      order.push(`${name} ${line}`)
      await sleep(name === slow ? 50 : 1)
      order.push(`${name} is done with ${line}`)
    }
    const onEvent = (name: string) => {
      const told = listen(name)
      return (event: ExecutionEvent | PlanEvent) => (event.eventType === 'stdout' ? told(event.line) : undefined)
    }
    const unsubscribe = engine.onEvent(onEvent('engine'))
    await engine.run(shell('echo 1; sleep 0.02; echo 2'), { onStdout: listen('onStdout'), onEvent: onEvent('onEvent') })
    unsubscribe()
    const begun = order.findIndex((step) => step.endsWith(' 2') && !step.includes('done'))
    const done = order.slice(0, begun).filter((step) => step.endsWith('is done with 1'))
    const all = ['engine', 'onEvent', 'onStdout'].map((name) => `${name} is done with 1`)
    expect([slow, ...done.sort()]).toEqual([slow, ...all])
  }
})

// Contract, section 2, 11.

test('what keepBackground leaves running is let go as the command exits, also if the host dies while it is still read', async () => {
  const mark = newMark()
  const { child, ended } = host(`
    const patient = new ExecutionEngine({ logOutput: false, drainIdleMs: 60_000, drainMaxMs: 60_000 })
    const command = 'sleep ${mark} & exit 0'
    patient.execute({ command: { type: 'shell', command, shell: 'sh' }, keepBackground: true })`)
  const kept = () => survivors(mark).filter(isSleep)
  await until(() => {
    const [pid] = kept()
    if (pid === undefined) return false
    const [, parent, leader] = /\) \S (\d+) (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'latin1')) ?? []
    return parent !== leader
  }, 'the command to exit')
  await sleep(200)
  child.kill('SIGKILL')
  await ended
  await sleep(900)
  const left = kept()
  for (const pid of left) process.kill(pid, 'SIGKILL')
  expect(left).toHaveLength(1)
})

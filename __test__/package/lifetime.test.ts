// Contract, section 2, 11 to 17, beyond one tree: queues, hosts, workers, event loops.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { expect, onTestFinished, test } from 'vitest'
import { exec, host, newEngine, newMark, packagePath, shell, survivors, until, untilThere } from './support.js'

/** A worker with an engine of its own; `source` has `engine` and `port`. */
const newWorker = (source: string) =>
  new Worker(
    `const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
     const port = require('node:worker_threads').parentPort
     const engine = new ExecutionEngine({ logOutput: false })
     ${source}`,
    { eval: true },
  )

test('three levels that all ignore SIGTERM are dead after the grace', async () => {
  const mark = newMark()
  const engine = newEngine({ terminationGraceMs: 200 })
  const tree = `trap '' TERM; sh -c "sh -c \\"sleep ${mark} & sleep ${mark}\\" & sleep ${mark}" & sleep ${mark}`
  const id = await engine.execute(shell(tree))
  await untilThere(mark, 7)
  await engine.cancel(id)
  expect(survivors(mark)).toEqual([])
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', forced: true })
})

test('every process of the tree is asked before it is killed, also one that left the group', async () => {
  const engine = newEngine()
  const polite = (name: string) => `trap 'echo ${name} asked; exit' TERM; echo ready; while :; do sleep 0.01; done`
  const lines: string[] = []
  let ready = 0
  const id = await engine.execute(
    shell(`setsid sh -c "${polite('far')}" 2>/dev/null & sh -c "${polite('near')}" 2>/dev/null`),
    {
      onStdout: (line) => {
        lines.push(line)
        if (line === 'ready') ready += 1
      },
    },
  )
  await until(() => ready === 2, 'both to be ready')
  await engine.cancel(id)
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', forced: false })
  expect(lines.sort()).toEqual(['far asked', 'near asked', 'ready', 'ready'])
})

test('a command that starts processes faster than they can be found is ended all the same', async () => {
  const mark = newMark()
  const engine = newEngine({ terminationGraceMs: 300 })
  const storm = `trap '' TERM; while :; do (sleep ${mark} &) ; (setsid sleep ${mark} &); sleep 0.002; done`
  const id = await engine.execute(shell(storm))
  await until(() => survivors(mark).length > 40, 'forty processes')
  await engine.cancel(id)
  expect(survivors(mark)).toEqual([])
})

test('of two executions of one command only the cancelled one ends', async () => {
  const [one, other] = [newMark(), newMark()]
  const engine = newEngine()
  const first = await engine.execute(shell(`setsid sleep ${one} & sleep ${one}`))
  const second = await engine.execute(shell(`setsid sleep ${other} & sleep ${other}`))
  await Promise.all([untilThere(one, 3), untilThere(other, 3)])
  await engine.cancel(first)
  expect([survivors(one).length, survivors(other).length]).toEqual([0, 3])
  await engine.cancel(second)
})

test('shutdown ends what runs and what waits, also what left its group', async () => {
  const mark = newMark()
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 5 })
  const runs = Array.from({ length: 6 }, () => engine.run(shell(`setsid sleep ${mark} & sleep ${mark}`)))
  await untilThere(mark, 3)
  await engine.shutdown()
  expect(survivors(mark)).toEqual([])
  expect((await Promise.all(runs)).map(({ status, pid }) => [status, pid !== null])).toEqual([
    ['cancelled', true],
    ...Array.from({ length: 5 }, () => ['cancelled', false]),
  ])
  // What is known is still told.
  expect(await engine.listExecutions()).toHaveLength(6)
  expect([engine.runningCount, engine.queuedCount, engine.availablePermits]).toEqual([0, 0, 1])
})

test('an engine that is shut down leaves the others alone', async () => {
  const [one, other] = [newEngine(), newEngine()]
  const mark = newMark()
  const running = other.execute(exec('sleep', mark))
  await untilThere(mark, 1)
  await one.shutdown()
  expect(survivors(mark)).toHaveLength(1)
  await other.cancel(await running)
})

test('cancelling one place in the queue does not disturb the others', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 3 })
  const first = await engine.execute(shell('sleep 0.2'))
  const waiting = await Promise.all(['a', 'b', 'c'].map((name) => engine.execute(exec('echo', name))))
  await engine.cancel(waiting[1])
  expect(engine.queuedCount).toBe(2)
  const results = await Promise.all([first, ...waiting].map((id) => engine.waitForCompletion(id)))
  expect(results.map(({ status }) => status)).toEqual(['completed', 'completed', 'cancelled', 'completed'])
  expect(results[2]).toMatchObject({ pid: null, startedAt: null, durationMs: 0 })
})

test('keepBackground outlives the host as well, and so does everything without orphanProtection', async () => {
  const [kept, open] = [newMark(), newMark()]
  onTestFinished(() => {
    for (const pid of [...survivors(kept), ...survivors(open)]) process.kill(pid, 'SIGKILL')
  })
  const { child, ended, said } = host(`
    const free = new ExecutionEngine({ logOutput: false, orphanProtection: false })
    engine.run({ command: { type: 'shell', command: 'sleep ${kept} >/dev/null 2>&1 &', shell: 'sh' }, keepBackground: true })
      .then(() => free.execute({ command: { type: 'exec', program: 'sleep', args: ['${open}'] } }))
      .then(() => console.log('started'))`)
  await said('started')
  // The host carries the marks in its source.
  await Promise.all([untilThere(kept, 2), untilThere(open, 2)])
  child.kill('SIGKILL')
  await ended
  await sleep(1200)
  expect([survivors(kept).length, survivors(open).length]).toEqual([1, 1])
})

test("a host's death ends nothing of another host", async () => {
  const [mine, theirs] = [newMark(), newMark()]
  const engine = newEngine()
  const id = await engine.execute(exec('sleep', mine))
  const { child, ended } = host(`engine.execute({ command: { type: 'exec', program: 'sleep', args: ['${theirs}'] } })`)
  await Promise.all([untilThere(mine, 1), untilThere(theirs, 2)])
  child.kill('SIGKILL')
  await ended
  await until(() => survivors(theirs).length === 0, 'no survivor', 1000)
  await sleep(200)
  expect(survivors(mine)).toHaveLength(1)
  await engine.cancel(id)
})

test('a host in a command of another host is ended with all it started', async () => {
  const mark = newMark()
  const engine = newEngine()
  const inner = `const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    new ExecutionEngine({ logOutput: false }).execute(
      { command: { type: 'shell', command: 'setsid sleep ${mark} & sleep ${mark}', shell: 'sh' } })`
  const id = await engine.execute(exec(process.execPath, '-e', inner))
  // The inner host carries the mark in its source.
  await untilThere(mark, 4)
  await engine.cancel(id)
  expect(survivors(mark)).toEqual([])
})

test('an exception that a callback throws ends the host, and its commands with it', async () => {
  const mark = newMark()
  const { ended } = host(`
    engine.run({ command: { type: 'shell', command: 'echo hi; sleep ${mark}', shell: 'sh' } },
      { onStdout() { throw new Error('meant') } })`)
  const { code, complained } = await ended
  expect(code).toBe(1)
  expect(complained).toContain('Error: meant')
  await until(() => survivors(mark).length === 0, 'no survivor', 1000)
})

const waits: [string, string][] = [
  ['waitForCompletion', `engine.waitForCompletion(id)`],
  ['readLogs', `engine.waitForCompletion(id).then(() => engine.readLogs(id))`],
  ['cancel', `engine.cancel(id)`],
  ['shutdown', `engine.shutdown()`],
  ['cleanup', `engine.waitForCompletion(id).then(() => engine.cleanup())`],
  ['a place in the queue', `narrow.run(short).then(() => {}, () => {}); narrow.run(short)`],
]

test.each(waits)('%s keeps the event loop alive until it has settled', async (_, wait) => {
  const { ended } = host(`
    const narrow = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1, maxQueuedExecutions: 1 })
    const short = { command: { type: 'exec', program: 'sleep', args: ['0.2'] } }
    engine.execute(short).then((id) => { (() => { ${wait.replace(/(.*; )?(.*)$/, '$1return $2')} })().then(() => console.log('settled')) })`)
  expect(await ended).toMatchObject({ code: 0, printed: 'settled\n', complained: '' })
})

test('a refused request, an aborted one and a stream that was left let the event loop go', async () => {
  const { ended } = host(`;(async () => {
    const sleep = { command: { type: 'exec', program: 'sleep', args: ['60'] } }
    await engine.run({ command: { type: 'script', path: '/no/such' } }).catch(() => {})
    await engine.run(sleep, { signal: AbortSignal.abort() })
    for await (const event of engine.stream({ command: { type: 'exec', program: 'yes' } })) if (event.eventType === 'stdout') break
    engine.stream(sleep)
    console.log('done')
  })()`)
  expect(await ended).toMatchObject({ code: 0, printed: 'done\n', complained: '' })
})

test('a call that throws on its way to the engine lets the event loop go', async () => {
  const { ended } = host(`;(async () => {
    const request = { command: { type: 'exec', program: 'true' } }
    const plan = { strategy: { type: 'serial' }, commands: [request] }
    const signal = { aborted: false, addEventListener() { throw new Error('mine') }, removeEventListener() {} }
    for (const call of [engine.execute, engine.run]) await call.call(engine, request, { signal }).catch(say)
    for (const call of [engine.executePlan, engine.runPlan]) await call.call(engine, plan, { signal }).catch(say)
    await engine.stream(request, { signal }).next().catch(say)
    function say({ message }) { console.log(message) }
  })()`)
  expect(await ended).toMatchObject({ code: 0, printed: 'mine\n'.repeat(5), complained: '' })
})

test('a worker with an idle engine ends by itself', async () => {
  const worker = newWorker(`engine.run({ command: { type: 'exec', program: 'echo', args: ['hi'] } })
    .then((result) => port.postMessage(result.stdout))`)
  const exit = once(worker, 'exit')
  expect(await once(worker, 'message')).toEqual(['hi\n'])
  expect(await exit).toEqual([0])
})

test('a worker that calls process.exit takes its executions with it', async () => {
  const mark = newMark()
  const worker = newWorker(`port.on('message', () => process.exit(3))
    engine.run({ command: { type: 'shell', command: 'setsid sleep ${mark} & sleep ${mark}', shell: 'sh' } })`)
  const exit = once(worker, 'exit')
  await untilThere(mark, 3)
  worker.postMessage('exit', [])
  expect(await exit).toEqual([3])
  await until(() => survivors(mark).length === 0, 'no survivor', 2000)
})

test('engines in the main thread and four workers see all their exits', async () => {
  const source = `Promise.all(Array.from({ length: 100 }, () => engine.run({ command: { type: 'exec', program: 'true' } })))
    .then((all) => port.postMessage(all.filter((result) => result.success).length))`
  const engine = newEngine({ logOutput: false })
  const workers = Array.from({ length: 4 }, () => once(newWorker(source), 'message'))
  const own = await Promise.all(Array.from({ length: 100 }, () => engine.run(exec('true'))))
  expect(own.filter(({ success }) => success)).toHaveLength(100)
  expect(await Promise.all(workers)).toEqual([[100], [100], [100], [100]])
})

test('listeners for SIGCHLD hear of the children of others, and disturb nothing', async () => {
  const { ended } = host(`
    const { spawn } = require('node:child_process')
    process.on('SIGCHLD', () => {})
    const runs = Array.from({ length: 50 }, () => engine.run({ command: { type: 'exec', program: 'true' } }))
    const children = Array.from({ length: 50 }, () => new Promise((resolve) => spawn('true').on('exit', resolve)))
    Promise.all([...runs, ...children]).then((all) => { console.log(all.length); process.exit() })`)
  expect(await ended).toMatchObject({ code: 0, printed: '100\n' })
})

test('execute does not block the JavaScript thread, and costs the same in a host of 500 MB', async () => {
  const { ended } = host(`
    const request = { command: { type: 'exec', program: 'true' } }
    const measure = async () => {
      const times = []
      for (let i = 0; i < 60; i++) {
        const begun = performance.now()
        const running = engine.run(request)
        times.push(performance.now() - begun)
        await running
      }
      return times.sort((a, b) => a - b)[30]
    }
    ;(async () => {
      await measure()
      const small = await measure()
      const ballast = Array.from({ length: 500 }, () => Buffer.alloc(1024 * 1024, 1))
      const large = await measure()
      console.log(JSON.stringify([small, large, ballast.length]))
    })()`)
  const [small, large] = JSON.parse((await ended).printed)
  expect(small).toBeLessThan(2)
  // A fork would have to copy page tables: more than 10 ms.
  expect(large).toBeLessThan(2)
})

test('a whole start costs the same in a host of 500 MB', async () => {
  const { ended } = host(`
    const request = { command: { type: 'exec', program: 'true' } }
    const measure = async () => {
      const times = []
      for (let i = 0; i < 60; i++) {
        const begun = performance.now()
        await engine.run(request)
        times.push(performance.now() - begun)
      }
      return times.sort((a, b) => a - b)[30]
    }
    ;(async () => {
      await measure()
      const ballast = Array.from({ length: 500 }, () => Buffer.alloc(1024 * 1024, 1))
      console.log(await measure(), ballast.length)
    })()`)
  expect(Number.parseFloat((await ended).printed)).toBeLessThan(8)
})

test('a child of the engine is reaped, and none of Node is taken', async () => {
  const engine = newEngine()
  const child = spawn('sleep', ['0.2'])
  await Promise.all(Array.from({ length: 20 }, () => engine.run(exec('true'))))
  expect(await once(child, 'exit')).toEqual([0, null])
})

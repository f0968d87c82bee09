// What happens when something happens: each row of the table in the README, by its name.

import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test, vi } from 'vitest'
import type { ExecutionResult } from '@escher-dbai/execution-engine'
import { QueueEngine, type ExecutionWorkerOptions, type QueueEngineOptions } from '@escher-dbai/execution-queue'
import { newMark, survivors, until, untilThere } from '../../__test__/processes.mjs'
import { startProxy, type Proxy } from './support/proxy.mjs'
import { startServer } from './support/server.mjs'
import { shell, SHORT, Shared } from './support/place'
import { startWorker, type WorkerProcess } from './support/workers.mjs'

/** The first column of the table. */
const told = (() => {
  const readme = readFileSync(new URL('../README.md', import.meta.url), 'utf8')
  const [, table = ''] = /\n\| What happens[^\n]*\n\|[^\n]*\n((?:\|[^\n]*\n)+)/.exec(readme) ?? []
  return table
    .trim()
    .split('\n')
    .map((row) => row.split('|')[1]?.trim() ?? '')
})()

// Locks have to run out.
vi.setConfig({ testTimeout: 60_000 })

const shared = new Shared()
/** Where a test says what is to be done when it is over. They run side by side. */
type AtEnd = (cleanUp: () => Promise<void>) => void

let queues = 0

/** A lease is 1450 ms. */
const WORKER = { ...SHORT, engine: { ...SHORT.engine, drainMaxMs: 500, maxConcurrentExecutions: 4 } }

type WorkerOptions = Omit<Partial<ExecutionWorkerOptions>, 'connection' | 'resolveSecret' | 'telemetry' | 'onWarning'>

/** A queue of its own for a test, with who submits and who works. */
function newPlace(atEnd: AtEnd, port = shared.port) {
  const name = `happens-${(queues += 1)}`
  return {
    queue(options: Partial<QueueEngineOptions> = {}): QueueEngine {
      const queue = new QueueEngine({ connection: { host: '127.0.0.1', port }, name, ...options })
      atEnd(() => queue.shutdown())
      return queue
    },
    async worker(options: WorkerOptions = {}, proxy?: Proxy): Promise<WorkerProcess> {
      const connection = proxy?.connection ?? { host: '127.0.0.1', port }
      const worker = await startWorker({ connection, name, ...WORKER, ...options })
      atEnd(() => worker.kill())
      return worker
    },
  }
}

async function newProxy(atEnd: AtEnd): Promise<Proxy> {
  const proxy = await startProxy(shared.port)
  atEnd(() => proxy.close())
  return proxy
}

/** It says that it runs, and goes on until it is ended; a second run ends at once. It does not start beside another run. */
const onceLong = (file: string, mark: string) =>
  shell(
    `exec 9>> ${file}.lock; flock -n 9 || echo twice >> ${file}; echo run >> ${file}; echo begun
     [ $(wc -l < ${file}) -gt 1 ] || exec sleep ${mark}`,
  )

/** Waits until a command has printed something. */
const begun = (queue: QueueEngine, id: string) =>
  until(async () => (await queue.readLogLines(id)).lines.length > 0, 'the command to print a line')

const failedWith = (code: string) => ({ status: 'failed', success: false, errorCode: code })

/** Two workers, and a command of each kind on the first; then something happens to that, for longer than its lease. */
async function beyondTheLease(atEnd: AtEnd, happen: (worker: WorkerProcess, proxy: Proxy) => Promise<unknown>) {
  const place = newPlace(atEnd)
  const [queue, proxy] = [place.queue(), await newProxy(atEnd)]
  const [mark, { file, lines }] = [newMark(), shared.newFile()]
  const first = await place.worker({}, proxy)
  const failing = await queue.execute({ command: { type: 'exec', program: 'sleep', args: [mark] } })
  const again = await queue.execute({ ...onceLong(file, mark), onWorkerLoss: 'rerun' })
  await untilThere(mark, 2)
  await begun(queue, again)
  await place.worker()
  const since = Date.now()
  await happen(first, proxy)
  const livedFor = (await lastSeen(mark)) - since
  proxy.heal()
  const [failed, ran] = await Promise.all([queue.waitForCompletion(failing), queue.waitForCompletion(again)])
  return { failed, ran, runs: lines().length, livedFor, twice: readFileSync(file, 'utf8').includes('twice') }
}

/** When processes with a mark were known to live, once none does: however late somebody comes to look. */
async function lastSeen(mark: string): Promise<number> {
  let [seenAt, lookedAt] = [0, 0]
  await until(() => {
    lookedAt = Date.now()
    const isGone = survivors(mark).length === 0
    if (!isGone) seenAt = lookedAt
    return isGone
  }, 'none of the processes to live')
  return seenAt
}

const LOST = expect.stringMatching(/^(WORKER|LEASE)_LOST$/) as unknown as string

describe.concurrent('what happens', () => {
  test('the same id is submitted twice', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const { file, lines } = shared.newFile()
    const [a, b] = [place.queue(), place.queue()]
    const request = { ...shell(`echo run >> ${file}; echo done`), id: randomUUID() }
    const both = [a.run(request), b.run(request)]
    await place.worker()
    const [first, second] = await Promise.all(both)
    expect(first).toEqual(second)
    expect(await a.run(request)).toEqual(first)
    expect(lines().length).toBe(1)
    await expect(a.run({ ...request, ...shell('echo other') })).rejects.toMatchObject({ code: 'DUPLICATE_ID' })
  })

  test('the submitter dies', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const [first, second] = [place.queue(), place.queue()]
    await place.worker()
    const id = await first.execute(shell('for i in 1 2 3 4 5; do echo $i; sleep 0.1; done'))
    await first.shutdown()
    const lines: string[] = []
    for await (const { line } of second.followLogs(id)) lines.push(line)
    expect(lines).toEqual(['1', '2', '3', '4', '5'])
    expect(await second.waitForCompletion(id)).toMatchObject({ status: 'completed' })
  })

  test('the connection of the submitter is cut', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const proxy = await newProxy(atEnd)
    const queue = place.queue({ connection: proxy.connection })
    await place.worker()
    const lines: string[] = []
    let cuts = 0
    const result = await queue.run(shell('i=0; while [ $i -lt 60 ]; do i=$((i+1)); echo $i; sleep 0.02; done'), {
      onStdout: (line) => {
        lines.push(line)
        if (Number(line) % 15 !== 0) return
        cuts += 1
        proxy.cut()
        setTimeout(() => proxy.heal(), 150)
      },
    })
    expect(result).toMatchObject({ status: 'completed', error: null })
    expect(lines).toEqual(Array.from({ length: 60 }, (_, i) => String(i + 1)))
    expect(cuts).toBe(4)
  })

  test('Redis does not answer while something is submitted', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const proxy = await newProxy(atEnd)
    const queue = place.queue({ connection: proxy.connection, acceptTimeoutMs: 500 })
    const request = { ...shell('echo ran'), id: randomUUID() }
    proxy.stall()
    const error = await queue.execute(request).catch((error: Error) => error)
    expect(error).toMatchObject({ code: 'IO' })
    expect((error as Error).message).toContain('again')
    proxy.heal()
    await place.worker()
    const patient = place.queue({ connection: proxy.connection })
    expect(await patient.run(request)).toMatchObject({ status: 'completed', stdout: 'ran\n' })
  })

  test('no worker has the labels', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    await place.worker({ labels: ['linux'] })
    const waiting = await queue.execute({ ...shell('echo gpu'), labels: ['gpu'] })
    expect(await queue.run({ ...shell('echo linux'), labels: ['linux'] })).toMatchObject({ stdout: 'linux\n' })
    expect(await queue.getStatus(waiting)).toBe('pending')
    await place.worker({ labels: ['gpu', 'linux'] })
    expect(await queue.waitForCompletion(waiting)).toMatchObject({ stdout: 'gpu\n' })
  })

  test('the worker is closed', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    const worker = await place.worker()
    const id = await queue.execute(shell('echo begun; sleep 0.5; echo done'))
    await begun(queue, id)
    await worker.drain()
    expect(await queue.getResult(id)).toMatchObject({ status: 'completed', stdout: 'begun\ndone\n' })
  })

  test('the worker is closed without waiting', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    const [mark, { file }] = [newMark(), shared.newFile()]
    const first = await place.worker()
    const failing = await queue.execute({ command: { type: 'exec', program: 'sleep', args: [mark] } })
    const again = await queue.execute({ ...onceLong(file, newMark()), onWorkerLoss: 'rerun' })
    await untilThere(mark, 1)
    await begun(queue, again)
    const second = place.worker()
    await first.abandon()
    expect(survivors(mark)).toEqual([])
    expect(await queue.waitForCompletion(failing)).toMatchObject(failedWith('WORKER_LOST'))
    await second
    expect(await queue.waitForCompletion(again)).toMatchObject({ status: 'completed', stdout: 'begun\n' })
  })

  test('the process of the worker is killed', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    const [mark, { file, lines }] = [newMark(), shared.newFile()]
    const first = await place.worker()
    const failing = await queue.execute({ command: { type: 'exec', program: 'sleep', args: [mark] } })
    const again = await queue.execute({ ...onceLong(file, mark), onWorkerLoss: 'rerun' })
    await untilThere(mark, 2)
    await begun(queue, again)
    await first.kill()
    // Its guardian ends the commands, long before anybody else may run them.
    await untilThere(mark, 0, 2000)
    await place.worker()
    expect(await queue.waitForCompletion(failing)).toMatchObject(failedWith('WORKER_LOST'))
    expect(await queue.waitForCompletion(again)).toMatchObject({ status: 'completed' })
    expect(lines().length).toBe(2)
  })

  test('the event loop of the worker is blocked beyond the lease', async ({ onTestFinished: atEnd }) => {
    const { failed, ran, runs, livedFor, twice } = await beyondTheLease(atEnd, (worker) => worker.block(6000))
    expect(failed).toMatchObject(failedWith(LOST))
    expect(ran).toMatchObject({ status: 'completed' })
    // Less than the lock: nobody else had it yet.
    expect(livedFor).toBeLessThan(2500)
    expect([runs, twice]).toEqual([2, false])
  })

  test('the worker is cut off from Redis beyond the lease', async ({ onTestFinished: atEnd }) => {
    for (const how of ['cut', 'stall'] as const) {
      const { failed, ran, runs, livedFor, twice } = await beyondTheLease(atEnd, async (_, proxy) => proxy[how]())
      expect(failed).toMatchObject(failedWith(LOST))
      expect(ran).toMatchObject({ status: 'completed' })
      expect(livedFor).toBeLessThan(2500)
      expect([runs, twice]).toEqual([2, false])
    }
  })

  test('the worker is cut off for less than the lease', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const [queue, proxy] = [place.queue(), await newProxy(atEnd)]
    await place.worker({ lockDurationMs: 10_000 }, proxy)
    const lines: string[] = []
    const result = await queue.run(shell('i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i; sleep 0.05; done'), {
      onStdout: (line) => {
        lines.push(line)
        if (line === '5') proxy.drop()
        if (line !== '15') return
        proxy.cut()
        setTimeout(() => proxy.heal(), 300)
      },
    })
    expect(result).toMatchObject({ status: 'completed', error: null })
    expect(lines).toEqual(Array.from({ length: 40 }, (_, i) => String(i + 1)))
  })

  test('the process of the worker is stopped and resumed', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    const [mark, { file }] = [newMark(), shared.newFile()]
    const first = await place.worker()
    const failing = await queue.execute({ command: { type: 'exec', program: 'sleep', args: [mark] } })
    const again = await queue.execute({ ...onceLong(file, mark), onWorkerLoss: 'rerun' })
    await untilThere(mark, 2)
    await begun(queue, again)
    await place.worker()
    const terminal: string[] = []
    const listening = [failing, again].map(async (id) => {
      for await (const event of queue.subscribe(id)) if ('result' in event) terminal.push(event.eventType)
    })
    await first.stop()
    const both = () => Promise.all([failing, again].map((id) => queue.waitForCompletion(id)))
    const results = await both()
    expect(results).toMatchObject([failedWith('WORKER_LOST'), { status: 'completed' }])
    // The one hole: who is stopped ends nothing, so the second run was beside the first.
    expect(survivors(mark)).toHaveLength(2)
    expect(readFileSync(file, 'utf8')).toContain('twice')
    first.resume()
    await untilThere(mark, 0)
    await first.drain()
    await Promise.all(listening)
    expect(terminal.sort()).toEqual(['completed', 'failed'])
    // What the first worker says of its own runs comes too late.
    expect(await both()).toEqual(results)
  })

  test('what waits is cancelled', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    const { file, lines } = shared.newFile()
    const id = await queue.execute(shell(`echo run >> ${file}`))
    await queue.cancel(id, 'not needed')
    expect(await queue.getResult(id)).toMatchObject({ status: 'cancelled', cancelReason: 'not needed', pid: null })
    await place.worker()
    expect(await queue.run(shell('echo next'))).toMatchObject({ status: 'completed' })
    expect(lines().length).toBe(0)
    await expect(queue.cancel(id)).rejects.toMatchObject({ code: 'ALREADY_FINISHED' })
  })

  test('what runs is cancelled', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const [here, there] = [place.queue(), place.queue()]
    await place.worker()
    const mark = newMark()
    const id = await here.execute(shell(`setsid sleep ${mark} & sleep ${mark} & wait`))
    await untilThere(mark, 3)
    await there.cancel(id, 'not needed')
    expect(survivors(mark)).toEqual([])
    expect(await here.getResult(id)).toMatchObject({ status: 'cancelled', cancelReason: 'not needed' })
  })

  test('what runs is cancelled while its worker is cut off', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const [queue, proxy] = [place.queue(), await newProxy(atEnd)]
    await place.worker({}, proxy)
    const mark = newMark()
    const id = await queue.execute({ command: { type: 'exec', program: 'sleep', args: [mark] } })
    await untilThere(mark, 1)
    proxy.cut()
    const cancelled = queue.cancel(id, 'meanwhile')
    await sleep(300)
    proxy.heal()
    await cancelled
    expect(survivors(mark)).toEqual([])
    expect(await queue.getResult(id)).toMatchObject({ status: 'cancelled', cancelReason: 'meanwhile' })
  })

  test('a secret is not known to the worker', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    await place.worker()
    const result = await queue.run({ ...shell('echo never'), secretEnv: ['NO_SUCH_SECRET_ANYWHERE'] })
    expect(result).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED', pid: null })
    expect(result.error).toContain('NO_SUCH_SECRET_ANYWHERE')
  })

  test('a command prints more than anybody reads', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    await place.worker({ lockDurationMs: 30_000 })
    const result = await queue.run(shell('seq 1000000'))
    expect(result).toMatchObject({ status: 'completed', stdoutBytes: 6_888_896, truncated: true })
    // The last MiB is kept; whoever asks for what went before is told so, and goes on behind it.
    const error = await queue.readLogLines(result.id).catch((error: unknown) => error)
    expect(error).toMatchObject({
      code: 'IO',
      message: expect.stringMatching(/^lines 1 to \d+ are no longer kept/) as string,
    })
  })

  test('Redis restarts', async ({ onTestFinished: atEnd }) => {
    const own = await startServer()
    atEnd(() => own.close())
    const place = newPlace(atEnd, own.port)
    const queue = place.queue()
    await place.worker()
    const lines: string[] = []
    const running = queue.run(shell('i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo $i; sleep 0.03; done'), {
      onStdout: (line) => void lines.push(line),
    })
    const waiting = await queue.execute({ ...shell('echo later'), labels: ['late'] })
    await until(() => lines.length > 3, 'lines')
    await own.stop()
    await own.start()
    expect(await running).toMatchObject({ status: 'completed', error: null })
    expect(lines).toEqual(Array.from({ length: 40 }, (_, i) => String(i + 1)))
    await place.worker({ labels: ['late'] })
    expect(await queue.waitForCompletion(waiting)).toMatchObject({ stdout: 'later\n' })
  })

  test('Redis loses its last second', async ({ onTestFinished: atEnd }) => {
    const own = await startServer()
    atEnd(() => own.close())
    const place = newPlace(atEnd, own.port)
    const queue = place.queue()
    const kept = await queue.execute(shell('echo kept'))
    const disk = await own.appended()
    const request = { ...shell('echo lost'), id: randomUUID() }
    await queue.execute(request)
    await own.kill()
    own.lose(disk)
    await own.start()
    expect(await queue.getStatus(kept)).toBe('pending')
    await expect(queue.getStatus(request.id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
    await place.worker()
    expect(await queue.waitForCompletion(kept)).toMatchObject({ stdout: 'kept\n' })
    // Whoever is in doubt submits the same id again.
    expect(await queue.run(request)).toMatchObject({ stdout: 'lost\n' })
  })

  test('Redis is full', async ({ onTestFinished: atEnd }) => {
    const own = await startServer(['--maxmemory', '8mb'])
    atEnd(() => own.close())
    const place = newPlace(atEnd, own.port)
    const queue = place.queue()
    const big = 'x'.repeat(500_000)
    const submit = (): Promise<string> => queue.execute({ ...shell('wc -c'), stdin: big })
    const accepted: string[] = []
    const refusal = (async () => {
      for (let i = 0; i < 40; i++) accepted.push(await submit())
    })()
    await expect(refusal).rejects.toMatchObject({ code: 'IO', message: expect.stringContaining('OOM') as string })
    expect(accepted.length).toBeGreaterThan(2)
    // There is room again once something is taken out of it.
    await queue.cancel(accepted.pop()!)
    await queue.cancel(accepted.pop()!)
    await place.worker()
    const results: ExecutionResult[] = await Promise.all(accepted.map((id) => queue.waitForCompletion(id)))
    expect(results.map(({ stdout }) => stdout.trim())).toEqual(accepted.map(() => '500000'))
  })

  test('whoever drives a plan with steps on any worker dies', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue({ placement: 'spread' })
    const [driver, { file, lines }] = [await place.worker(), shared.newFile()]
    const planId = await queue.executePlan({
      steps: {
        a: shell(`echo a >> ${file}; sleep 0.7`),
        b: { ...shell(`echo b >> ${file}`), dependsOn: ['a'] },
        c: { ...shell(`echo c >> ${file}`), dependsOn: ['b'] },
      },
      onWorkerLoss: 'rerun',
    })
    await until(() => lines().length === 1, 'the first step')
    await driver.kill()
    await place.worker()
    const result = await queue.waitForPlan(planId)
    expect(result).toMatchObject({ status: 'completed', stats: { completed: 3 } })
    expect([...new Set(readFileSync(file, 'utf8').trim().split('\n'))]).toEqual(['a', 'b', 'c'])
  })

  test('a worker that runs a whole plan dies', async ({ onTestFinished: atEnd }) => {
    const place = newPlace(atEnd)
    const queue = place.queue()
    const first = await place.worker()
    const mark = newMark()
    const id = randomUUID()
    const plan = { steps: { a: { ...shell('echo a'), id }, b: { ...shell(`exec sleep ${mark}`), dependsOn: ['a'] } } }
    const planId = await queue.executePlan(plan)
    await untilThere(mark, 1)
    // The second may begin before it is known everywhere how the first has ended.
    expect(await queue.waitForCompletion(id)).toMatchObject({ status: 'completed' })
    await first.kill()
    await untilThere(mark, 0, 2000)
    await place.worker()
    const result = await queue.waitForPlan(planId)
    expect(result).toMatchObject({ status: 'failed', success: false })
    expect(result.results.map(({ status, errorCode }) => [status, errorCode])).toEqual([
      ['completed', null],
      ['failed', 'WORKER_LOST'],
    ])
  })
})

test('the table in the README has these rows, and no others', ({ task }) => {
  const [rows] = task.file.tasks
  expect(rows?.type === 'suite' && rows.tasks.map(({ name }) => name)).toEqual(told)
})

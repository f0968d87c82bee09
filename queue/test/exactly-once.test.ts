// Each accepted request ends exactly once in exactly one result, whoever races with whom.

import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { expect, test, vi } from 'vitest'
import type { ExecutionEvent } from '@escher-dbai/execution-engine'
import { until, untilThere, newMark, survivors } from '../../__test__/processes.mjs'
import { cleanUp, exec, newPlace, shell, SHORT, Shared } from './support/place'
import { startWorker } from './support/workers.mjs'

vi.setConfig({ testTimeout: 60_000 })

const shared = new Shared()

test('a request that many submit at once, again and again, is run once', async () => {
  const place = newPlace(shared.port)
  const [one, other] = [place.queue(), place.queue()]
  await place.worker()
  await place.worker()
  const { file, lines } = shared.newFile()
  const requests = Array.from({ length: 30 }, (_, i) => ({
    ...shell(`echo ${i} >> ${file}; echo ${i}`),
    id: randomUUID(),
  }))
  const runs = requests.map((request) => [
    one.run(request),
    other.run(request),
    one.execute(request),
    other.run(request),
  ])
  for (const [i, [a, b, id, c]] of runs.entries()) {
    const first = await a
    expect(first).toMatchObject({ status: 'completed', stdout: `${i}\n`, error: null })
    expect([await b, await c]).toEqual([first, first])
    expect(await id).toBe(requests[i]!.id)
  }
  for (const request of requests) await one.run(request)
  expect(lines().sort()).toEqual(requests.map((_, i) => String(i)).sort())
})

test('a cancel and a claim at the same time: one of them is first', async () => {
  const place = newPlace(shared.port)
  const [queue, other] = [place.queue(), place.queue()]
  await place.worker({ engine: { logOutput: false, terminationGraceMs: 200 } })
  const { file, lines } = shared.newFile()
  const ends = await Promise.all(
    Array.from({ length: 60 }, async (_, i) => {
      const id = randomUUID()
      const terminal: string[] = []
      const onEvent = ({ eventType }: { eventType: string }) => void terminal.push(eventType)
      const running = queue.run({ ...shell(`echo ${id} >> ${file}; exec sleep 30`), id }, { onEvent })
      await until(
        async () =>
          other.getStatus(id).then(
            () => true,
            () => false,
          ),
        'it to be known',
      )
      if (i % 2 === 0) await new Promise((resolve) => setTimeout(resolve, i / 2))
      await other.cancel(id, 'raced')
      const result = await running
      expect(result).toMatchObject({ status: 'cancelled', cancelReason: 'raced' })
      expect(terminal.filter((type) => type === 'cancelled')).toHaveLength(1)
      expect(terminal.at(-1)).toBe('cancelled')
      await expect(other.cancel(id)).rejects.toMatchObject({ code: 'ALREADY_FINISHED' })
      return { id, started: result.pid !== null }
    }),
  )
  // What was cancelled before it was started has left nothing; and nothing was started twice.
  const ran = lines()
  expect(new Set(ran).size).toBe(ran.length)
  const unstarted = new Set<string>(ends.filter(({ started }) => !started).map(({ id }) => id))
  expect(ran.filter((id) => unstarted.has(id))).toEqual([])
})

test('of several cancels the first reason stays', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker({ engine: { logOutput: false, terminationGraceMs: 300 } })
  const mark = newMark()
  const id = await queue.execute(shell(`trap '' TERM; sleep ${mark}; sleep ${mark}`))
  await untilThere(mark, 2)
  await Promise.all([queue.cancel(id, 'first'), queue.cancel(id, 'second'), queue.cancel(id, 'third')])
  expect((await queue.getResult(id)).cancelReason).toBe('first')
  expect(survivors(mark)).toEqual([])
})

test('what a lost worker writes late is in no stream and no result', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const connection = { host: '127.0.0.1', port: shared.port }
  const first = await startWorker({ connection, name: place.name, ...SHORT })
  cleanUp(() => first.kill())
  const [{ file, lines }, go] = [shared.newFile(), shared.newPath()]
  const line = `echo run >> ${file}; n=$(wc -l < ${file}); echo "$n begins"; until [ -e ${go} ]; do sleep 0.02; done
    echo "$n goes on"; [ $n -gt 1 ] || sleep 60`
  const id = await queue.execute({ ...shell(line), onWorkerLoss: 'rerun' })
  await until(async () => (await queue.readLogLines(id)).lines.length > 0, 'the first line')
  await first.stop()
  writeFileSync(go, '')
  await place.worker(SHORT)
  const told: string[] = []
  for await (const { line } of queue.followLogs(id)) told.push(line)
  const result = await queue.getResult(id)
  expect(result).toMatchObject({ status: 'completed', stdout: '2 begins\n2 goes on\n' })
  first.resume()
  await until(async () => (await first.counts()).running === 0, 'the first worker to be done')
  expect(told).toEqual(['1 begins', '2 begins', '2 goes on'])
  expect((await queue.readLogLines(id)).lines.map(({ line }) => line)).toEqual(told)
  expect(await queue.getResult(id)).toEqual(result)
  expect(lines()).toHaveLength(2)
})

test('a worker that is run again says so, and its lines go on behind those of the first', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const first = await place.worker(SHORT)
  const { file } = shared.newFile()
  const events: string[] = []
  const retrying: ExecutionEvent[] = []
  const request = { ...shell(`echo run >> ${file}; wc -l < ${file}; [ $(wc -l < ${file}) -gt 1 ] || sleep 60`) }
  const running = queue.run(
    { ...request, onWorkerLoss: 'rerun' },
    {
      onEvent: (event) => {
        events.push(event.eventType === 'stdout' ? event.line : event.eventType)
        if (event.eventType === 'retrying') retrying.push(event)
      },
    },
  )
  await until(() => events.includes('1'), 'the first line')
  await place.worker({ ...SHORT, stalledIntervalMs: 40_000 })
  const since = Date.now()
  await first.close({ drain: false })
  expect(await running).toMatchObject({ status: 'completed', stdout: '2\n', error: null })
  // What was given back is taken at once, and not when the other looks again.
  expect(Date.now() - since).toBeLessThan(15_000)
  expect(events).toEqual(['pending', 'started', '1', 'retrying', 'started', '2', 'completed'])
  const error = 'the worker that ran it was lost'
  const ended = { exitCode: null, signal: null, startedAt: null, durationMs: 0, error }
  expect(retrying).toEqual([expect.objectContaining({ attempt: 2, delayMs: 0, error, ended })])
})

test('a plan that is run again has the results of its last run', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const first = await place.worker(SHORT)
  const { file } = shared.newFile()
  const mark = newMark()
  const plan = {
    steps: {
      a: shell(`echo a >> ${file}; wc -l < ${file}`),
      b: { ...shell(`[ $(wc -l < ${file}) -gt 1 ] || exec sleep ${mark}; echo b`), dependsOn: ['a'] },
    },
  }
  const planId = await queue.executePlan({ ...plan, onWorkerLoss: 'rerun' })
  await untilThere(mark, 1)
  await Promise.all([first.close({ drain: false }), place.worker(SHORT)])
  const result = await queue.waitForPlan(planId)
  expect(result).toMatchObject({ status: 'completed', results: [{ stdout: '2\n' }, { stdout: 'b\n' }] })
  expect(survivors(mark)).toEqual([])
})

test('two queues of labels take no more than the slots of a worker', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const small = await place.worker({ concurrency: 1, labels: ['a', 'b'] })
  const requests = ['a', 'b', 'a', 'b'].map((label) =>
    queue.run({ ...shell('sleep 0.2; date +%s%N'), labels: [label] }),
  )
  let most = 0
  const watching = setInterval(() => (most = Math.max(most, small.counts.running)), 5)
  const times = (await Promise.all(requests)).map(({ startedAt, completedAt }) => [
    Date.parse(startedAt ?? ''),
    Date.parse(completedAt),
  ])
  clearInterval(watching)
  expect(most).toBe(1)
  times.sort(([a = 0], [b = 0]) => a - b)
  for (let i = 1; i < times.length; i++) expect(times[i]![0]).toBeGreaterThanOrEqual(times[i - 1]![1]!)
  await until(() => small.counts.completed === 4 && small.counts.running === 0, 'the worker to be done with all')
})

test('a set of labels that nobody asked for before reaches the workers that have it', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker({ labels: ['gpu', 'linux', 'big'] })
  const run = (labels: string[]) => queue.run({ ...exec('echo', ...labels), labels })
  expect(await run(['linux', 'gpu'])).toMatchObject({ stdout: 'linux gpu\n' })
  expect(await run(['big'])).toMatchObject({ stdout: 'big\n' })
  expect(await run([])).toMatchObject({ stdout: '\n' })
  const other = queue.execute({ ...exec('echo'), labels: ['gpu', 'windows'] })
  await run(['gpu'])
  expect(await queue.getStatus(await other)).toBe('pending')
})

test('the higher priority is first, then who came first; what is delayed waits', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const order: string[] = []
  const run = async (name: string, priority: number, delayMs = 0) => {
    await queue.run({ ...exec('true'), priority, delayMs })
    order.push(name)
  }
  const began = Date.now()
  const jobs = shared.jobsOf(queue)
  // Longer than the others take.
  const runs = [run('delayed', 100, 5000), run('low', -1), run('first', 0), run('second', 0), run('high', 10)]
  const waiting = () => jobs.getJobCounts('prioritized', 'delayed')
  await until(async () => isDeepStrictEqual(await waiting(), { prioritized: 4, delayed: 1 }), 'all to be submitted')
  await place.worker({ concurrency: 1 })
  await Promise.all(runs)
  expect(order).toEqual(['high', 'first', 'second', 'low', 'delayed'])
  expect(Date.now() - began).toBeGreaterThan(4990)
})

test('who looks at the jobs of BullMQ sees how they have ended', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker()
  const good = await queue.run({ ...exec('echo', 'x'.repeat(1000)), labels: [] })
  const bad = await queue.run(shell('exit 3'))
  const jobs = shared.jobsOf(queue)
  const done = () => jobs.getJobCounts('completed', 'failed')
  await until(async () => isDeepStrictEqual(await done(), { completed: 1, failed: 1 }), 'both to be done')
  const [completed, failed] = [await jobs.getJob(good.id), await jobs.getJob(bad.id)]
  expect(await completed?.getState()).toBe('completed')
  expect(completed?.returnvalue).toMatchObject({ status: 'completed', exitCode: 0, error: null })
  expect(JSON.stringify(completed?.returnvalue).length).toBeLessThan(300)
  expect([await failed?.getState(), failed?.failedReason]).toEqual(['failed', 'exited with code 3'])
})

test('a limit of how many are taken in a time is kept', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker({ limiter: { max: 2, duration: 500 } })
  const results = await Promise.all(Array.from({ length: 5 }, () => queue.run(exec('true'))))
  // When each was taken: how long it takes to start a process depends on the machine.
  const queued = shared.jobsOf(queue)
  const jobs = await Promise.all(results.map(({ id }) => queued.getJob(id)))
  const taken = jobs.map((job) => job?.processedOn ?? 0).sort((a, b) => a - b)
  expect(taken[0]).toBeGreaterThan(0)
  expect(taken[2]! - taken[0]!).toBeGreaterThan(400)
  expect(taken[4]! - taken[0]!).toBeGreaterThan(900)
})

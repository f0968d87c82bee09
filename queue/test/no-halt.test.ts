// Nothing brings a worker or a caller to a halt: whatever happens, what is waited for comes to an end.

import { randomUUID } from 'node:crypto'
import { Redis, type Command, type RedisOptions } from 'ioredis'
import { expect, test, vi } from 'vitest'
import { newMark, survivors, until, untilThere } from '../../__test__/processes.mjs'
import { cleanUp, exec, newPlace, shell, Shared } from './support/place'
import { startProxy, type Proxy } from './support/proxy.mjs'
import { startServer, type Server } from './support/server.mjs'

vi.setConfig({ testTimeout: 60_000 })

const shared = new Shared()

async function newServer(): Promise<Server> {
  const own = await startServer()
  cleanUp(() => own.close())
  return own
}

async function newProxy(target = shared.server): Promise<Proxy> {
  const proxy = await startProxy(target.port)
  cleanUp(() => proxy.close())
  return proxy
}

const numbered = (letter: string, count: number) => Array.from({ length: count }, (_, i) => `${letter}${i}`)

test('many short lines of both streams come through while Redis does not answer', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const proxy = await newProxy()
  await place.worker({ connection: proxy.connection })
  const script = `const fs = require('fs'); let i = 0
    const timer = setInterval(() => {
      for (let k = 0; k < 3; k++, i++) { fs.writeSync(1, 'o' + i + '\\n'); fs.writeSync(2, 'e' + i + '\\n') }
      if (i >= 9000) clearInterval(timer)
    }, 1)`
  const [out, err]: [string[], string[]] = [[], []]
  const running = queue.run(exec(process.execPath, '-e', script), {
    onStdout: (line) => void out.push(line),
    onStderr: (line) => void err.push(line),
  })
  await until(() => out.length > 0, 'a line')
  proxy.stall()
  setTimeout(() => proxy.heal(), 8000)
  expect(await running).toMatchObject({ status: 'completed', error: null })
  expect(out).toEqual(numbered('o', 9000))
  expect(err).toEqual(numbered('e', 9000))
})

test('an id whose retention is over runs again', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue({ retentionSecs: 3 })
  await place.worker()
  const request = { ...exec('date', '+%s%N'), id: randomUUID() }
  const first = await queue.run(request)
  const isForgotten = () =>
    queue.getStatus(request.id).then(
      () => false,
      () => true,
    )
  await until(isForgotten, 'it to be forgotten')
  const again = await Promise.all([queue.run(request), place.queue({ retentionSecs: 3 }).run(request)])
  expect(again[0]).toMatchObject({ status: 'completed' })
  expect(again[0].stdout).not.toBe(first.stdout)
  expect(again[1].stdout).toBe(again[0].stdout)
})

test('an id that was forgotten to make room runs again', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue({ maxFinished: 1 })
  await place.worker()
  const request = { ...shell('exit 3'), id: randomUUID() }
  await queue.run(request)
  const jobs = shared.jobsOf(queue)
  await until(async () => (await jobs.getJobState(request.id)) === 'failed', 'its job to be done')
  await queue.run(exec('true'))
  await expect(queue.getStatus(request.id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(await queue.run(request)).toMatchObject({ exitCode: 3 })
})

test('connections on which nothing comes back are noticed', async () => {
  const place = newPlace(shared.port)
  const proxy = await newProxy()
  await place.worker()
  const queue = place.queue({ connection: proxy.connection })
  const id = await queue.execute(shell('echo a; sleep 3; echo b'))
  const lines: string[] = []
  const following = (async () => {
    for await (const { line } of queue.followLogs(id)) lines.push(line)
  })()
  const waiting = queue.waitForCompletion(id)
  await until(() => lines.length === 1, 'the first line')
  proxy.silence()
  expect(await waiting).toMatchObject({ status: 'completed' })
  await following
  expect(lines).toEqual(['a', 'b'])
})

test('a job that is no request of the queue fails, and those behind it run', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const jobs = shared.jobsOf(queue)
  await jobs.add('foreign', { hello: 1 }, { jobId: 'foreign' })
  await jobs.add('foreign', null, { jobId: 'empty' })
  const worker = await place.worker({ concurrency: 1 })
  const { id } = await queue.run(exec('true'))
  // As a button of a dashboard does.
  const copied = (await jobs.getJob(id))?.data as object
  await jobs.add('execution', copied, { jobId: 'copy' })
  await jobs.add('execution', { ...copied, id: 'part', request: undefined }, { jobId: 'part' })
  expect(await queue.run(exec('true'))).toMatchObject({ status: 'completed' })
  for (const jobId of ['foreign', 'empty', 'copy', 'part']) {
    await until(async () => (await jobs.getJobState(jobId)) === 'failed', `${jobId} to have failed`)
    expect((await jobs.getJob(jobId))?.failedReason).toContain('not a request of this queue')
  }
  await worker.close({ drain: false })
  expect(worker.counts).toMatchObject({ completed: 2, failed: 0, running: 0 })
})

test('a callback that never returns keeps no submission, no cancel and no deadline', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker({ engine: { logOutput: false, terminationGraceMs: 200 } })
  const onEvent = (): Promise<void> => new Promise(() => {})
  const mark = newMark()
  const stop = new AbortController()
  const id = await queue.execute(exec('sleep', mark), { onEvent, signal: stop.signal })
  await untilThere(mark, 1)
  stop.abort('enough')
  await until(async () => (await queue.getStatus(id)) === 'cancelled', 'the cancel')
  expect(await queue.run({ ...exec('sleep', '30'), timeoutMs: 500 }, { onEvent })).toMatchObject({ status: 'timeout' })
})

test('closing without waiting ends what is being taken at that moment', async () => {
  for (const afterMs of [0, 600]) {
    const place = newPlace(shared.port)
    const queue = place.queue()
    const proxy = await newProxy()
    const worker = await place.worker({ connection: proxy.connection })
    const jobs = shared.jobsOf(queue)
    proxy.slow(400)
    const mark = newMark()
    const id = await queue.execute(exec('sleep', mark))
    await until(async () => (await jobs.getJobState(id)) === 'active', 'it to be taken')
    // Its answer is on the way, or that of the claim.
    await new Promise((resolve) => setTimeout(resolve, afterMs))
    await worker.close({ drain: false })
    expect(survivors(mark)).toEqual([])
    expect(worker.counts).toMatchObject({ completed: 0, failed: 0, cancelled: 0 })
    // Nothing of it was started, so another worker takes it.
    await place.worker()
    await untilThere(mark, 1)
  }
})

test('closing without waiting comes to an end while Redis is away', async () => {
  const own = await newServer()
  const place = newPlace(own.port)
  const queue = place.queue()
  const worker = await place.worker()
  const mark = newMark()
  await queue.execute(exec('sleep', mark))
  await untilThere(mark, 1)
  await own.kill()
  await worker.close({ drain: false })
  expect(survivors(mark)).toEqual([])
})

test('a worker that Redis refuses at its start says so, and takes work once it may', async () => {
  const own = await newServer()
  const redis = new Redis(own.port, '127.0.0.1')
  cleanUp(() => redis.disconnect())
  await redis.acl('SETUSER', 'narrow', 'on', 'nopass', '~*', '&*', '+@all', '-smembers')
  const place = newPlace(own.port)
  const warnings: string[] = []
  const connection = { ...own.connection, username: 'narrow', password: 'any' }
  const starting = place.worker({ connection, onWarning: (message) => void warnings.push(message) })
  await until(() => warnings.some((warning) => warning.includes('smembers')), 'a warning')
  await redis.acl('SETUSER', 'narrow', '+smembers')
  await starting
  expect(await place.queue().run(exec('true'))).toMatchObject({ status: 'completed' })
})

test('a plan with functions comes to its end though Redis refuses each command of its driver once', async () => {
  const own = await newServer()
  const place = newPlace(own.port)
  await place.worker()
  let isRefusing = false
  const refused = new Set<unknown>()
  /** A connection whose scripts are refused once each, as by a server that has no memory for the moment. */
  class Refusing extends Redis {
    override duplicate(options?: Partial<RedisOptions>): Redis {
      return new Refusing({ ...this.options, ...options })
    }
    override sendCommand(command: Command, ...more: never[]): unknown {
      const [digest] = command.args
      if (!isRefusing || command.name !== 'evalsha' || refused.has(digest)) return super.sendCommand(command, ...more)
      refused.add(digest)
      const error = new Error("OOM command not allowed when used memory > 'maxmemory'.")
      command.reject(Object.defineProperty(error, 'name', { value: 'ReplyError' }))
      return command.promise
    }
  }
  const connection = new Refusing(own.port, '127.0.0.1', { lazyConnect: true })
  cleanUp(() => connection.disconnect())
  const queue = place.queue({ connection, placement: 'spread' })
  const request = (): typeof command => {
    isRefusing = true
    return command
  }
  const command = exec('echo', 'made')
  const result = await queue.runPlan({ strategy: { type: 'serial' }, commands: [{ request }] })
  expect(result).toMatchObject({ status: 'completed', results: [{ stdout: 'made\n' }] })
  expect(refused.size).toBeGreaterThan(2)
})

test('lines that Redis will never take are given up, which is said, and the command has its result', async () => {
  const redis = new Redis(shared.port, '127.0.0.1')
  cleanUp(() => redis.disconnect())
  const place = newPlace(shared.port)
  const queue = place.queue()
  const warnings: string[] = []
  const worker = await place.worker({ onWarning: (message) => void warnings.push(message) })
  const id = randomUUID()
  await redis.set(`{escher:${place.name}}:x:${id}:lines`, 'no stream')
  await queue.execute({ ...exec('echo', 'printed'), id })
  expect(await queue.waitForCompletion(id)).toMatchObject({ status: 'completed', stdout: 'printed\n' })
  expect(warnings).toEqual(expect.arrayContaining([expect.stringMatching(/will never take some lines.*WRONGTYPE/)]))
  await worker.close()
})

// Who follows an execution that nobody has submitted yet is told once somebody does, whatever happens meanwhile.

import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { LogLine } from '@escher-dbai/execution-engine'
import { stepId } from '@escher-dbai/execution-engine/plans'
import { until } from '../../__test__/processes.mjs'
import { cleanUp, exec, newPlace, shell, Shared } from './support/place'
import { startProxy, type Proxy } from './support/proxy.mjs'

const shared = new Shared()

async function newProxy(): Promise<Proxy> {
  const proxy = await startProxy(shared.port)
  cleanUp(() => proxy.close())
  return proxy
}

type Lines = AsyncGenerator<LogLine, void, undefined>

async function all(following: Lines): Promise<string[]> {
  const lines: string[] = []
  for await (const { line } of following) lines.push(line)
  return lines
}

/** Why it yields nothing. */
const refusalOf = (following: Lines): Promise<unknown> => following.next().catch((error: unknown) => error)

/** How many of the connections of a server listen to an id. */
const listeners = async (id: string): Promise<number> => {
  const channels = (await shared.redis.pubsub('CHANNELS', `*${id}:bell`)) as string[]
  const counts = (await shared.redis.pubsub('NUMSUB', ...channels)) as (string | number)[]
  return channels.length === 0 ? 0 : Number(counts[1])
}

const untilListening = (id: string) => until(async () => (await listeners(id)) > 0, 'somebody to listen')

/** What a server is asked from now on: the keys of what is known of ids, and of their lines, which who waits asks for next. */
async function asked(): Promise<{ known: string[]; lines: Set<string> }> {
  const seen = { known: [] as string[], lines: new Set<string>() }
  const monitor = await shared.redis.monitor()
  cleanUp(() => monitor.disconnect())
  monitor.on('monitor', (_time: string, [command = '', key = '']: string[]) => {
    if (command === 'hgetall') seen.known.push(key)
    if (command === 'xrange') seen.lines.add(key)
  })
  return seen
}

test('it is told by the submission, and does not look again and again', async () => {
  const place = newPlace(shared.port)
  const [reader, submitter] = [place.queue(), place.queue()]
  const id = randomUUID()
  const seen = await asked()
  const lines = all(reader.followLogs(id, { wait: true }))
  await until(() => seen.known.length === 2, 'a look, and another once it listens')
  await sleep(1500)
  expect([seen.known.length, seen.lines.size]).toEqual([2, 0])
  await submitter.execute({ ...shell('echo 1; echo 2'), id })
  // No worker has told of anything yet.
  await until(() => seen.lines.size === 1, 'it to be found')
  await place.worker()
  expect(await lines).toEqual(['1', '2'])
  await until(async () => (await listeners(id)) === 0, 'nobody to listen any more')
})

test('however close the submission is to the look, it is not missed', async () => {
  const place = newPlace(shared.port)
  const [reader, submitter] = [place.queue(), place.queue()]
  const ids = Array.from({ length: 300 }, () => randomUUID())
  const seen = await asked()
  const submitted = ids.map(async (id, i) => {
    await sleep(i % 4)
    await submitter.execute({ ...exec('echo', id), id })
  })
  const lines = ids.map(async (id, i) => {
    await sleep(i % 3)
    return all(reader.followLogs(id, { wait: true }))
  })
  await Promise.all(submitted)
  // No worker has told of anything yet.
  await until(() => seen.lines.size === ids.length, 'each to be found')
  await place.worker({ concurrency: 20 })
  expect(await Promise.all(lines)).toEqual(ids.map((id) => [id]))
}, 60_000)

test.each(['cut', 'silence'] as const)(
  'it goes on waiting behind a connection that is lost: %s',
  async (how) => {
    const place = newPlace(shared.port)
    const proxy = await newProxy()
    const reader = place.queue({ connection: proxy.connection })
    const submitter = place.queue()
    const [submittedMeanwhile, submittedLater] = [randomUUID(), randomUUID()]
    const lines = [submittedMeanwhile, submittedLater].map((id) => all(reader.followLogs(id, { wait: true })))
    await untilListening(submittedMeanwhile)
    await untilListening(submittedLater)
    proxy[how]()
    await submitter.execute({ ...exec('echo', 'meanwhile'), id: submittedMeanwhile })
    proxy.heal()
    await place.worker()
    expect(await lines[0]).toEqual(['meanwhile'])
    await submitter.execute({ ...exec('echo', 'later'), id: submittedLater })
    expect(await lines[1]).toEqual(['later'])
  },
  60_000,
)

describe.each(['worker', 'spread'] as const)('placement %s', (placement) => {
  test('a step is there with its plan, long before its turn', async () => {
    const place = newPlace(shared.port)
    const reader = place.queue()
    const planId = randomUUID()
    const first = stepId(planId, 'a')
    const [last, made] = [stepId(planId, 'b'), stepId(planId, 'c')]
    const lines = [first, last].map((id) => all(reader.followLogs(id, { wait: true })))
    const skipped = all(reader.followLogs(made, { wait: true }))
    for (const id of [first, last, made]) await untilListening(id)
    const steps = {
      a: shell('echo a'),
      b: { ...shell('echo b'), dependsOn: ['a'] },
      c: { ...shell('echo c'), dependsOn: ['b'], when: 'failure' as const },
    }
    await place.queue({ placement }).executePlan({ id: planId, steps })
    await place.worker()
    expect(await Promise.all(lines)).toEqual([['a'], ['b']])
    expect(await skipped).toEqual([])
  })
})

test('the id of a plan is refused once it is known, and not waited for', async () => {
  const place = newPlace(shared.port)
  const [reader, submitter] = [place.queue(), place.queue()]
  const planId = randomUUID()
  const refusal = { code: 'NOT_FOUND', executionId: planId }
  const refused = refusalOf(reader.followLogs(planId, { wait: true }))
  await untilListening(planId)
  await submitter.executePlan({ id: planId, steps: { a: exec('true') } })
  expect(await refused).toMatchObject(refusal)
  await expect(reader.followLogs(planId, { wait: true }).next()).rejects.toMatchObject(refusal)
})

test('an id that was forgotten is waited for as one that was never submitted', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue({ maxFinished: 1 })
  await place.worker()
  const request = { ...exec('echo', 'once more'), id: randomUUID() }
  await queue.run(request)
  await queue.run(exec('true'))
  await expect(queue.getStatus(request.id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await expect(queue.followLogs(request.id).next()).rejects.toMatchObject({ code: 'NOT_FOUND' })
  const lines = all(queue.followLogs(request.id, { wait: true }))
  await untilListening(request.id)
  await queue.run(request)
  expect(await lines).toEqual(['once more'])
})

test('an engine that is shut down says so to who waits', async () => {
  const queue = newPlace(shared.port).queue()
  const id = randomUUID()
  const refused = refusalOf(queue.followLogs(id, { wait: true }))
  await untilListening(id)
  await queue.shutdown()
  expect(await refused).toMatchObject({ code: 'SHUT_DOWN' })
  await expect(queue.followLogs(id, { wait: true }).next()).rejects.toMatchObject({ code: 'SHUT_DOWN' })
})

test('while Redis does not answer, a loop is left at once, and one that begins is told so', async () => {
  const place = newPlace(shared.port)
  const proxy = await newProxy()
  const queue = place.queue({ connection: proxy.connection, acceptTimeoutMs: 1000 })
  await place.worker()
  const running = await place.queue().execute(shell('echo 1; sleep 60'))
  const [waitsFor, leave] = [randomUUID(), new AbortController()]
  const { signal } = leave
  const loops = [queue.followLogs(waitsFor, { wait: true, signal }), queue.followLogs(running, { signal })] as const
  const waiting = loops[0].next()
  expect(await loops[1].next()).toMatchObject({ value: { line: '1' } })
  const ends = [waiting, loops[1].next()]
  const returned = queue.followLogs(randomUUID(), { wait: true })
  const left = returned.next()
  await untilListening(waitsFor)
  proxy.stall()
  const refused = refusalOf(queue.followLogs(randomUUID(), { wait: true }))
  const aborted = queue.followLogs(running, { signal }).next()
  leave.abort()
  for (const end of [...ends, aborted]) expect(await end).toEqual({ done: true, value: undefined })
  expect(await returned.return()).toEqual({ done: true, value: undefined })
  expect(await left).toEqual({ done: true, value: undefined })
  expect(await refused).toMatchObject({ code: 'IO' })
})

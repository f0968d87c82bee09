// Lines arrive in order, once, with backpressure to the command; a reader that comes back goes on where it was.

import { fork } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis, type Command, type RedisOptions } from 'ioredis'
import { expect, test, vi } from 'vitest'
import type { LogLine } from '@escher-dbai/execution-engine'
import { cleanUp, exec, newPlace, shell, Shared } from './support/place'
import { until } from '../../__test__/processes.mjs'

vi.setConfig({ testTimeout: 60_000 })

const shared = new Shared()

const MIB = 1_048_576

/** The stream of an execution. */
const streamOf = (name: string, id: string) => `{escher:${name}}:x:${id}:lines`

/** How many bytes a stream holds. */
const bytesIn = async (key: string): Promise<number> => {
  const rows = await shared.redis.xrange(key, '-', '+')
  return rows.flatMap(([, fields]) => fields).reduce((sum, field) => sum + Buffer.byteLength(field), 0)
}

const numbers = (count: number) => Array.from({ length: count }, (_, i) => String(i + 1))

test('each line comes once and in order, whatever connections are killed', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker()
  const command = shell('i=0; while [ $i -lt 300 ]; do i=$((i+1)); seq $((i*100-99)) $((i*100)); sleep 0.01; done')
  const [own, followed]: [string[], string[]] = [[], []]
  const id = randomUUID()
  const over = new AbortController()
  const killed: number[] = []
  const killing = (async () => {
    for (; !over.signal.aborted; await sleep(120)) {
      // Once something has come through again, however long that takes here.
      if (own.length === killed.at(-1)) continue
      killed.push(own.length)
      await shared.redis.call('CLIENT', 'KILL', 'SKIPME', 'yes')
    }
  })()
  const running = queue.run({ ...command, id }, { onStdout: (line) => void own.push(line) })
  await until(() => own.length > 0, 'a line')
  for await (const { line } of place.queue().followLogs(id)) followed.push(line)
  const result = await running
  over.abort()
  await killing
  expect(result).toMatchObject({ status: 'completed', error: null })
  expect(killed.length).toBeGreaterThan(5)
  expect(own).toEqual(numbers(30_000))
  expect(followed).toEqual(numbers(30_000))
})

test('both streams keep their order, pieces of long lines and what is not finished are told as by the engine', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker({ engine: { logOutput: false, maxLineSizeBytes: 1000 } })
  const told: unknown[] = []
  const path = shared.newPath()
  // It prints what is next once what is before was told; the long line at once.
  const line = `long=$(head -c 2500 /dev/zero | tr '\\0' x); told() { until [ -e ${path}.$1 ]; do sleep 0.01; done; }
    echo out; told 1; echo err >&2; told 2; printf 'name? '; told 3; echo ok; told 4; printf '%s€\\n' $long`
  const result = await queue.run(shell(line), {
    onEvent: (event) => {
      if (event.eventType !== 'stdout' && event.eventType !== 'stderr') return
      told.push([event.eventType, event.line, event.partial, event.unfinished ?? false])
      writeFileSync(`${path}.${told.length}`, '')
    },
  })
  expect(told).toEqual([
    ['stdout', 'out', false, false],
    ['stderr', 'err', false, false],
    ['stdout', 'name? ', true, true],
    ['stdout', 'name? ok', false, false],
    ['stdout', 'x'.repeat(1000), true, false],
    ['stdout', 'x'.repeat(1000), true, false],
    ['stdout', `${'x'.repeat(500)}€`, false, false],
  ])
  expect(result.all).toBe(`out\nerr\nname? ok\n${'x'.repeat(2500)}€\n`)
  const { lines } = await queue.readLogLines(result.id)
  expect(lines.map(({ offset }) => offset)).toEqual([1, 2, 3, 4, 5, 6])
  expect(lines.map(({ complete }) => complete)).toEqual([true, true, true, false, false, true])
})

test('a reader that does not take lines holds the command, and little is kept anywhere', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker()
  const progress = shared.newPath()
  const id = randomUUID()
  let release = () => {}
  const held = new Promise<void>((resolve) => (release = resolve))
  let count = 0
  const line = `i=0; while [ $i -lt 200 ]; do i=$((i+1)); seq 10000; echo $i > ${progress}; done`
  const running = queue.run(
    { ...shell(line), id },
    {
      onStdout: () => {
        count += 1
        return count === 100 ? held : undefined
      },
    },
  )
  const made = () => (existsSync(progress) ? Number(readFileSync(progress, 'utf8')) : 0)
  let before = -1
  await until(async () => {
    const now = made()
    const isStill = now > 0 && now === before
    before = now
    await sleep(300)
    // It may stand still for want of a processor, too.
    return isStill && (await bytesIn(streamOf(place.name, id))) > MIB / 2
  }, 'the command to stand still')
  // 49 kB each: a megabyte in the stream, and what the engine and the pipes hold.
  expect(before).toBeLessThan(100)
  expect(await bytesIn(streamOf(place.name, id))).toBeLessThan(1.2 * MIB)
  expect(count).toBe(100)
  release()
  expect(await running).toMatchObject({ status: 'completed', error: null })
  expect(count).toBe(2_000_000)
})

test('nobody who reads: the command is not held, and the last megabyte is kept', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker()
  const result = await queue.run(exec('seq', '2000000'))
  expect(result).toMatchObject({ status: 'completed', stdoutBytes: 14_888_896, truncated: true, error: null })
  expect(Buffer.byteLength(result.stdout)).toBe(65_536)
  const size = await bytesIn(streamOf(place.name, result.id))
  expect(size).toBeGreaterThan(0.9 * MIB)
  expect(size).toBeLessThan(1.2 * MIB)
  expect(await shared.redis.ttl(streamOf(place.name, result.id))).toBeGreaterThan(290)

  const error = (await queue.readLogLines(result.id).catch((error: unknown) => error)) as Error
  expect(error).toMatchObject({ code: 'IO', executionId: result.id })
  const from = Number(/from: (\d+)$/.exec(error.message)?.[1])
  expect(error.message).toMatch(new RegExp(`^lines 1 to ${from} are no longer kept`))
  const followed: LogLine[] = []
  for await (const line of queue.followLogs(result.id, { from })) followed.push(line)
  expect(followed[0]).toMatchObject({ line: String(from + 1), offset: from + 1 })
  expect(followed.at(-1)).toMatchObject({ line: '2000000', offset: 2_000_000 })
  expect(followed).toHaveLength(2_000_000 - from)
  await expect(queue.followLogs(result.id).next()).rejects.toMatchObject({ code: 'IO' })
  await expect(queue.readLogLines(result.id, { fromLine: from - 1 })).rejects.toMatchObject({ code: 'IO' })
  const first = await queue.readLogLines(result.id, { fromLine: from, limit: 1 })
  expect(first.lines).toMatchObject([{ line: String(from + 1) }])
  const beyond = await queue.readLogLines(result.id, { fromLine: 3_000_000 })
  expect(beyond).toEqual({ lines: [], next: 2_000_000, ended: true })

  // Who submits it again is told of what is left, and that it is not all.
  let told = 0
  const again = await queue.run({ ...exec('seq', '2000000'), id: result.id }, { onStdout: () => void (told += 1) })
  expect(told).toBe(2_000_000 - from)
  expect(again).toMatchObject({
    status: 'completed',
    errorCode: 'IO',
    error: `${from} lines were no longer kept when they were to be read`,
  })
}, 90_000)

test('a reader that comes back goes on where it was, page by page and line by line', async () => {
  const place = newPlace(shared.port)
  const [one, other] = [place.queue(), place.queue()]
  await place.worker()
  const id = await one.execute(shell('for i in 1 2 3 4 5 6 7 8; do echo $i; sleep 0.1; done'))
  let from = 0
  const lines: string[] = []
  for await (const { line, offset } of one.followLogs(id)) {
    lines.push(line)
    from = offset
    if (offset === 3) break
  }
  await one.shutdown()
  for await (const { line } of other.followLogs(id, { from })) lines.push(line)
  expect(lines).toEqual(numbers(8))
  const paged: string[] = []
  for (let page, next = 0; page?.ended !== true; next = page.next) {
    page = await other.readLogLines(id, { from: next, limit: 3 })
    paged.push(...page.lines.map(({ line }) => line))
  }
  expect(paged).toEqual(numbers(8))
  await expect(other.readLogLines(id, { from: 9 })).rejects.toMatchObject({ code: 'VALIDATION', field: 'from' })
})

test('a page that is read while an execution ends has its last lines', async () => {
  const place = newPlace(shared.port)
  const other = place.queue()
  await place.worker()
  const go = shared.newPath()
  const id = await other.execute(shell(`echo 1; until [ -e ${go} ]; do sleep 0.02; done; echo 2`))
  await until(async () => (await other.readLogLines(id)).lines.length === 1, 'the first line')
  const held: string[] = []
  /** Whoever asks for the result gets it once there is one. */
  class Holding extends Redis {
    override duplicate(options?: Partial<RedisOptions>): Redis {
      return new Holding({ ...this.options, ...options })
    }
    override sendCommand(command: Command, ...more: never[]): unknown {
      if (command.name !== 'get') return super.sendCommand(command, ...more)
      held.push(String(command.args[0]))
      writeFileSync(go, '')
      void other.waitForCompletion(id).then(() => super.sendCommand(command, ...more))
      return command.promise
    }
  }
  const connection = new Holding(shared.port, '127.0.0.1', { lazyConnect: true })
  cleanUp(() => connection.disconnect())
  const page = await place.queue({ connection }).readLogLines(id)
  expect(held).toHaveLength(1)
  expect([page.lines.map(({ line }) => line), page.ended]).toEqual([['1', '2'], true])
})

test('who subscribes later is told from then on, and who leaves lets the command go on', async () => {
  const place = newPlace(shared.port)
  const [one, other] = [place.queue(), place.queue()]
  await place.worker()
  const go = shared.newPath()
  const id = await one.execute(
    shell(`echo before; until [ -e ${go} ]; do sleep 0.02; done; echo after; sleep 0.2; echo end`),
  )
  await until(async () => (await one.readLogLines(id)).lines.length === 1, 'the first line')
  const events = other.subscribe(id)
  const left = other.subscribe(id)
  await until(
    async () => (await shared.redis.hlen(`{escher:${place.name}}:x:${id}:readers`)) === 2,
    'both to be present',
  )
  await left.return()
  await until(async () => (await shared.redis.hlen(`{escher:${place.name}}:x:${id}:readers`)) === 1, 'one to have left')
  writeFileSync(go, '')
  const told: string[] = []
  for await (const event of events) told.push('line' in event ? event.line : event.eventType)
  expect(told).toEqual(['after', 'end', 'completed'])
  const late: string[] = []
  for await (const event of other.subscribe(id)) late.push(event.eventType)
  expect(late).toEqual(['completed'])
  await expect(other.subscribe(randomUUID()).next()).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('a reader that dies without a word holds the command for half a minute, and no longer', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker({ engine: { logOutput: false, defaultTimeoutMs: 120_000 } })
  const id = randomUUID()
  const done = shared.newPath()
  const program = join(shared.dir, 'reader.cjs')
  writeFileSync(
    program,
    `const { QueueEngine } = require(${JSON.stringify(require.resolve('@escher-dbai/execution-queue'))})
     const [port, name, id, command] = process.argv.slice(2)
     const queue = new QueueEngine({ connection: { host: '127.0.0.1', port: Number(port) }, name })
     queue.run({ command: { type: 'shell', command }, id }, { onStdout: () => new Promise(() => {}) })`,
  )
  const reader = fork(program, [String(shared.port), place.name, id, `seq 1000000; echo done > ${done}`], {
    execArgv: [],
  })
  cleanUp(() => reader.kill('SIGKILL'))
  await until(async () => (await bytesIn(streamOf(place.name, id))) > MIB / 2, 'lines')
  const since = Date.now()
  reader.kill('SIGKILL')
  await once(reader, 'exit')
  expect(existsSync(done)).toBe(false)
  expect(await queue.waitForCompletion(id)).toMatchObject({ status: 'completed', stdoutBytes: 6_888_896 })
  expect(Date.now() - since).toBeGreaterThan(15_000)
  expect(Date.now() - since).toBeLessThan(40_000)
  expect(statSync(done).size).toBeGreaterThan(0)
})

// Logs: whole lines, read by page and followed, from this process and others, and kept within their bounds.

import { randomUUID } from 'node:crypto'
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ExecutionEngine, type LogLine } from '../../index.js'
import { exec, host, newEngine, shell, temporary, until, wakeUps } from './support.js'

const entries = (path: string): string[] => readFileSync(path, 'utf8').split('\n').slice(0, -1)
const untimed = (path: string): string[] => entries(path).map((entry) => entry.replace(/^\S+ /, ''))

async function all(lines: AsyncIterable<LogLine>): Promise<LogLine[]> {
  const taken = []
  for await (const line of lines) taken.push(line)
  return taken
}

/** A directory of logs that the engine takes for its own. */
function logDir(within?: string): string {
  const dir = join(temporary(within), 'logs')
  mkdirSync(dir, { mode: 0o700 })
  return dir
}

/** A host in which an engine logs to that directory. */
const hostIn = (dir: string, source: string) =>
  host(
    `{ const engine = new ExecutionEngine({ logDir: ${JSON.stringify(dir)}, maxConcurrentExecutions: 1000 }); ${source} }`,
  )

/** A log of an execution that finished so many seconds ago. */
function finished(dir: string, secondsAgo: number, bytes: number, suffix = '.log', id: string = randomUUID()): string {
  const path = join(dir, `${id}${suffix}`)
  writeFileSync(path, 'x'.repeat(bytes), { mode: 0o600 })
  const at = Date.now() / 1000 - secondsAgo
  utimesSync(path, at, at)
  return path
}

const sizeOf = (dir: string): number => readdirSync(dir).reduce((sum, name) => sum + statSync(join(dir, name)).size, 0)

// Whole lines

test('a line is one entry, however it was split into writes, and both streams are apart', async () => {
  const script = `
    const { writeSync } = require('node:fs')
    const text = Array.from({ length: 20000 }, (_, i) => 'line ' + i + ' ' + 'x'.repeat(i % 50) + '\\n').join('')
    let at = 0
    for (let size = 1; at < text.length; size = (size * 7 + 3) % 4099) {
      writeSync(1, text.slice(at, at + size))
      if (at % 5 === 0) writeSync(2, 'err')
      at += size
    }
    writeSync(2, '\\n')`
  const result = await newEngine().run(exec(process.execPath, '-e', script))
  const logged = untimed(String(result.logPath))
  expect(logged.filter((entry) => entry.startsWith('stdout'))).toEqual(
    result.stdout
      .split('\n')
      .slice(0, -1)
      .map((line) => `stdout F ${line}`),
  )
  expect(logged.filter((entry) => entry.startsWith('stderr'))).toEqual([`stderr F ${result.stderr.trim()}`])
})

test('grep finds each of 200 000 lines', async () => {
  const engine = newEngine()
  const script = `
    const { writeSync } = require('node:fs')
    let text = ''
    for (let i = 0; i < 200000; i++) {
      text += 'number ' + i + ' is here\\n'
      if (text.length > 1000 + (i * 31) % 5000) {
        const cut = (i * 17) % text.length
        writeSync(1, text.slice(0, cut))
        text = text.slice(cut)
      }
    }
    writeSync(1, text)`
  const { logPath } = await engine.run(exec(process.execPath, '-e', script))
  const found = await engine.run(exec('grep', '-cE', '^[^ ]+Z stdout F number [0-9]+ is here$', String(logPath)))
  expect(found.stdout).toBe('200000\n')
  expect(entries(String(logPath))).toHaveLength(200_000)
})

test('what nobody finishes for a second is logged as a piece, and its end as a full entry', async () => {
  const engine = newEngine()
  const id = await engine.execute(shell("printf half; sleep 1.5; echo ' whole'"))
  const lines = engine.followLogs(id)
  expect(await lines.next()).toMatchObject({ value: { line: 'half', complete: false } })
  expect(await engine.getStatus(id)).toBe('running')
  expect(await lines.next()).toMatchObject({ value: { line: ' whole', complete: true } })
  const result = await engine.waitForCompletion(id)
  expect(untimed(engine.getLogPath(id))).toEqual(['stdout P half', 'stdout F  whole'])
  expect(result.stdout).toBe('half whole\n')
})

test('a piece comes also while the other stream never stops', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 1000 })
  const id = await engine.execute(shell("printf 'Password: ' >&2; i=0; while :; do echo $i; i=$((i+1)); done"))
  const grep = exec('grep', '-c', ' stderr ', engine.getLogPath(id))
  for (let found = ''; found !== '1\n';) found = (await engine.run({ ...grep, logOutput: false })).stdout
  await engine.cancel(id)
  const logged = untimed(engine.getLogPath(id)).filter((entry) => entry.startsWith('stderr'))
  expect(logged).toEqual(['stderr P Password: ', 'stderr F '])
})

test('a long line comes in pieces of 16 KiB, the last of them full', async () => {
  const engine = newEngine()
  const { id } = await engine.run(exec(process.execPath, '-e', "console.log('x'.repeat(40000))"))
  const { lines } = await engine.readLogLines(id)
  expect(lines.map(({ line, complete }) => [line.length, complete])).toEqual([
    [16_384, false],
    [16_384, false],
    [7_232, true],
  ])
})

test('what has no end is logged at the end of the execution, also of one that was cancelled', async () => {
  const engine = newEngine()
  const id = randomUUID()
  let heard = () => {}
  const said = new Promise<void>((resolve) => (heard = resolve))
  const run = engine.run({ id, ...shell("printf 'one\\ntwo'; sleep 60") }, { onStdout: () => heard() })
  await said
  await engine.cancel(id)
  await run
  expect(untimed(engine.getLogPath(id))).toEqual(['stdout F one', 'stdout F two'])
})

// Per request

test('a request says whether it is logged, whatever the engine says', async () => {
  const engine = newEngine({ logOutput: false })
  expect((await engine.run(exec('echo', 'no'))).logPath).toBeNull()
  const logged = await engine.run({ ...exec('echo', 'yes'), logOutput: true })
  expect(logged.logPath).toBe(engine.getLogPath(logged.id))
  const other = await newEngine().run({ ...exec('echo', 'no'), logOutput: false })
  expect(other.logPath).toBeNull()
  const plan = await engine.runPlan({
    strategy: { type: 'serial' },
    commands: [exec('echo', 'no'), { ...exec('echo', 'yes'), logOutput: true }],
  })
  expect(plan.results.map(({ logPath }) => logPath !== null)).toEqual([false, true])
})

// Pages

test('a log is read page by page, without a gap or a double', async () => {
  const engine = newEngine()
  const { id } = await engine.run(shell("seq 1 2500; printf 'é\\r\\n' >&2"))
  const taken: LogLine[] = []
  let from = 0
  for (let ended = false; !ended;) {
    const page = await engine.readLogLines(id, { from, limit: 700 })
    expect(page.lines.length).toBeLessThanOrEqual(700)
    taken.push(...page.lines)
    ;({ next: from, ended } = page)
  }
  const numbers = taken.filter(({ stream }) => stream === 'stdout').map(({ line }) => line)
  expect(numbers).toEqual(Array.from({ length: 2500 }, (_, i) => String(i + 1)))
  expect(taken.filter(({ stream }) => stream === 'stderr').map(({ line }) => line)).toEqual(['é'])
  expect(taken.at(-1)?.offset).toBe(statSync(engine.getLogPath(id)).size)
  expect(taken[0]?.timestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  expect(await engine.readLogLines(id, { from })).toEqual({ lines: [], next: from, ended: true })
  // Of another engine, which does not know the execution.
  const other = new ExecutionEngine({ logDir: engine.config.logDir })
  expect((await other.readLogLines(id, { limit: 1 })).lines).toEqual(taken.slice(0, 1))
})

test('a page of a running execution says that it has not ended', async () => {
  const engine = newEngine()
  const id = await engine.execute(shell('sleep 60'))
  expect(await engine.readLogLines(id)).toEqual({ lines: [], next: 0, ended: false })
  await engine.cancel(id)
  expect(await engine.readLogLines(id)).toEqual({ lines: [], next: 0, ended: true })
})

test('a page of long lines holds some megabytes', async () => {
  const engine = newEngine()
  const { id } = await engine.run(
    exec(process.execPath, '-e', "for (let i = 0; i < 600; i++) console.log('x'.repeat(10000))"),
  )
  const page = await engine.readLogLines(id, { limit: 100_000 })
  expect(page.lines.length).toBeLessThan(450)
  expect(page.ended).toBe(false)
  expect(await all(engine.followLogs(id, { from: page.next }))).toHaveLength(600 - page.lines.length)
})

const noOffsets: [string, number][] = [
  ['inside of an entry', 3],
  ['beyond the end', 1000],
]

test.each(noOffsets)('an offset %s is refused', async (_, from) => {
  const engine = newEngine()
  const { id } = await engine.run(exec('echo', 'hi'))
  const refused = { code: 'VALIDATION', field: 'from', message: expect.stringMatching(`expected .*, found ${from}`) }
  await expect(engine.readLogLines(id, { from })).rejects.toMatchObject(refused)
  await expect(engine.followLogs(id, { from }).next()).rejects.toMatchObject(refused)
})

test('what is no log is an error that says what was found', async () => {
  const dir = logDir()
  const engine = newEngine({ logDir: dir })
  for (const text of ['garbage\n', 'garbage without an end', '2026-11-20T12:00:00Z stdin F x\n']) {
    const id = randomUUID()
    writeFileSync(engine.getLogPath(id), text, { mode: 0o600 })
    const told = { code: 'IO', message: expect.stringContaining(`found ${JSON.stringify(text.trim())}`) }
    await expect(engine.readLogLines(id)).rejects.toMatchObject(told)
    await expect(engine.followLogs(id).next()).rejects.toMatchObject(told)
  }
  const link = randomUUID()
  symlinkSync('/etc/passwd', engine.getLogPath(link))
  await expect(engine.readLogLines(link)).rejects.toMatchObject({ code: 'IO' })
  await expect(engine.followLogs(link).next()).rejects.toMatchObject({ code: 'IO' })
})

test('an entry that a killed host did not finish is no line, and holds up nobody', async () => {
  const engine = newEngine({ logDir: logDir() })
  const id = randomUUID()
  writeFileSync(
    engine.getLogPath(id),
    '2026-11-20T12:00:00.000000000Z stdout F whole\n2026-11-20T12:00:00.000000000Z stdout F not who',
    { mode: 0o600 },
  )
  expect(await all(engine.followLogs(id))).toMatchObject([{ line: 'whole', complete: true }])
  expect(await engine.readLogLines(id)).toMatchObject({ lines: [{ line: 'whole' }], ended: true })
})

test('what has no log is not found', async () => {
  const engine = newEngine()
  const id = randomUUID()
  const told = { code: 'NOT_FOUND', executionId: id }
  await expect(engine.readLogLines(id)).rejects.toMatchObject(told)
  await expect(engine.followLogs(id).next()).rejects.toMatchObject(told)
  const { id: deleted, logPath } = await engine.run(exec('echo', 'hi'))
  rmSync(String(logPath))
  await expect(engine.readLogLines(deleted)).rejects.toMatchObject({ code: 'NOT_FOUND', executionId: deleted })
  await expect(engine.followLogs(deleted).next()).rejects.toMatchObject({ code: 'NOT_FOUND', executionId: deleted })
})

test('of what has no log, or none any more, every way to read it says the same', async () => {
  const engine = newEngine()
  const { planId } = await engine.runPlan({ steps: { one: exec('echo', 'hi') } })
  const { id: deleted, logPath } = await engine.run(exec('echo', 'hi'))
  rmSync(String(logPath))
  for (const [id, message] of [
    [planId, `${planId} is a plan, and no execution`],
    [deleted, `there is no log of an execution with the id ${deleted}`],
    [randomUUID(), expect.stringMatching(/with the id .*/)],
  ] as const) {
    for (const read of [
      () => engine.readLogs(id),
      () => engine.readLogLines(id),
      () => engine.followLogs(id).next(),
    ] as (() => Promise<unknown>)[]) {
      await expect(read()).rejects.toMatchObject({ code: 'NOT_FOUND', executionId: id, message })
    }
  }
  // One that has printed nothing has an empty log.
  const { id: silent } = await engine.run(exec('true'))
  expect([await engine.readLogs(silent), (await engine.readLogLines(silent)).lines]).toEqual(['', []])
  expect(await all(engine.followLogs(silent))).toEqual([])
})

test('options that are none are refused', async () => {
  const engine = newEngine()
  const id = randomUUID()
  const wrong: [() => Promise<unknown>, string][] = [
    [() => engine.readLogLines(id, { from: -1 }), 'options.from'],
    [() => engine.readLogLines(id, { limit: 0 }), 'options.limit'],
    [() => engine.readLogLines(id, { fromLine: -1 }), 'options.fromLine'],
    [() => engine.readLogLines(id, { from: 0, fromLine: 0 }), 'options.fromLine'],
    [() => engine.followLogs(id, { wait: 1 as never }).next(), 'options.wait'],
    [() => engine.readLogLines('x'), 'id'],
    [() => engine.followLogs(id, { from: 1.5 }).next(), 'options.from'],
    [() => engine.followLogs(id, { signal: {} as AbortSignal }).next(), 'options.signal'],
    [() => engine.followLogs('x').next(), 'id'],
    [() => engine.removeExecution(id, { logs: 1 as never }), 'options.logs'],
  ]
  for (const [call, field] of wrong) await expect(call()).rejects.toMatchObject({ code: 'VALIDATION', field })
})

test('a page begins at the entry with a number, wherever that stands in the log', async () => {
  const engine = newEngine()
  // Over several of the pieces in which it is counted, and a last entry that is empty.
  const { id } = await engine.run(shell('seq 1 30500; echo'))
  const numbers = async (fromLine: number, limit: number): Promise<string[]> =>
    (await engine.readLogLines(id, { fromLine, limit })).lines.map(({ line }) => line)
  expect(await numbers(0, 2)).toEqual(['1', '2'])
  const places = [1, 999, 5432, 29_999, 30_000, 30_499]
  for (const place of places) expect(await numbers(place, 1)).toEqual([String(place + 1)])
  expect(await numbers(30_500, 5)).toEqual([''])
  const page = await engine.readLogLines(id, { fromLine: 20_000, limit: 1 })
  expect((await engine.readLogLines(id, { from: page.next, limit: 1 })).lines).toMatchObject([{ line: '20002' }])
  const { size } = statSync(engine.getLogPath(id))
  for (const fromLine of [30_501, 1_000_000]) {
    expect(await engine.readLogLines(id, { fromLine })).toEqual({ lines: [], next: size, ended: true })
  }
  const silent = await engine.execute(shell('sleep 60'))
  expect(await engine.readLogLines(silent, { fromLine: 7 })).toEqual({ lines: [], next: 0, ended: false })
})

// Following

test('a follower waits for the first line of a running execution, and ends with it', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 1 })
  const first = await engine.execute(shell('sleep 0.3'))
  const id = await engine.execute(shell('sleep 0.2; echo one; sleep 0.2; echo two >&2; sleep 0.2; printf three'))
  const lines = await all(engine.followLogs(id))
  expect(lines.map(({ stream, line, complete }) => [stream, line, complete])).toEqual([
    ['stdout', 'one', true],
    ['stderr', 'two', true],
    ['stdout', 'three', true],
  ])
  expect(await engine.getStatus(id)).toBe('completed')
  // Nothing was printed.
  expect(await all(engine.followLogs(first))).toEqual([])
})

test('the follower of an execution that is not logged ends with it', async () => {
  const engine = newEngine()
  const id = await engine.execute({ ...shell('echo one; sleep 0.2'), logOutput: false })
  expect(await all(engine.followLogs(id))).toEqual([])
  expect(await engine.getStatus(id)).toBe('completed')
})

test('a follower goes on from an offset', async () => {
  const engine = newEngine()
  const { id } = await engine.run(exec('seq', '5000'))
  const whole = await all(engine.followLogs(id))
  expect(whole.map(({ line }) => line)).toEqual(Array.from({ length: 5000 }, (_, i) => String(i + 1)))
  for (const at of [0, 1, 999, 1000, 4998]) {
    expect(await all(engine.followLogs(id, { from: Number(whole[at]?.offset) }))).toEqual(whole.slice(at + 1))
  }
})

test('an abort ends a follower at once, without an error, and so does a return', async () => {
  const engine = newEngine()
  const id = await engine.execute(shell('echo one; sleep 60'))
  const leave = new AbortController()
  const lines = engine.followLogs(id, { signal: leave.signal })
  expect(await lines.next()).toMatchObject({ done: false, value: { line: 'one' } })
  const waiting = lines.next()
  leave.abort()
  expect(await waiting).toEqual({ done: true, value: undefined })
  expect(await all(engine.followLogs(id, { signal: AbortSignal.abort() }))).toEqual([])
  const others = engine.followLogs(id)
  await others.next()
  const left = others.next()
  expect(await others.return()).toEqual({ done: true, value: undefined })
  expect(await left).toEqual({ done: true, value: undefined })
  for await (const line of engine.followLogs(id)) {
    expect(line.line).toBe('one')
    break
  }
  expect(await engine.getStatus(id)).toBe('running')
})

test('a follower that takes nothing holds the command up no more than none', async () => {
  const engine = newEngine()
  const id = await engine.execute(exec('seq', '100000'))
  const lines = engine.followLogs(id)
  await lines.next()
  expect((await engine.waitForCompletion(id)).durationMs).toBeLessThan(5000)
  const rest = await all(lines)
  expect(rest.at(-1)?.line).toBe('100000')
  expect(rest).toHaveLength(99_999)
})

test('what a command leaves running is followed on', async () => {
  const engine = newEngine()
  const id = await engine.execute({ ...shell('echo one; (sleep 1; echo two) &'), keepBackground: true })
  expect((await all(engine.followLogs(id))).map(({ line }) => line)).toEqual(['one', 'two'])
})

test('a log that is deleted while it is followed is followed to its end', async () => {
  const engine = newEngine()
  const { id: other } = await engine.run(exec('seq', '3000'))
  const lines = engine.followLogs(other)
  await lines.next()
  await engine.removeExecution(other, { logs: true })
  expect(await all(lines)).toHaveLength(2999)
})

test('a running execution whose log somebody deletes says so, and loses nothing else', async () => {
  const engine = newEngine()
  const id = randomUUID()
  const run = engine.run({ id, ...shell('echo one; sleep 0.5; echo two') })
  const lines = engine.followLogs(id)
  expect(await lines.next()).toMatchObject({ value: { line: 'one' } })
  rmSync(engine.config.logDir, { recursive: true })
  // Who has it open reads on.
  expect((await all(lines)).map(({ line }) => line)).toEqual(['two'])
  const result = await run
  expect(result).toMatchObject({ status: 'completed', stdout: 'one\ntwo\n', errorCode: 'IO' })
  expect(result.error).toMatch(/somebody has deleted/)
  // The directory is made again.
  expect((await engine.run(exec('echo', 'hi'))).errorCode).toBeNull()
})

test('a follower in another process sees each line within 50 ms', async () => {
  const dir = logDir()
  const engine = newEngine({ logDir: dir })
  const script = `
    let left = 100
    const say = () => { console.log(Date.now()); if (--left > 0) setTimeout(say, 12) }
    setTimeout(say, 1000)
    console.log(0)`
  const id = await engine.execute(exec(process.execPath, '-e', script))
  await until(() => existsSync(engine.getLogPath(id)), 'a log')
  const { ended } = hostIn(
    dir,
    `(async () => {
      const late = []
      for await (const { line } of engine.followLogs('${id}')) late.push(Date.now() - Number(line))
      console.log(JSON.stringify(late))
    })()`,
  )
  const { printed, complained } = await ended
  expect(complained).toBe('')
  const late: number[] = (JSON.parse(printed) as number[]).slice(1).sort((a, b) => a - b)
  expect(late).toHaveLength(100)
  console.log(`a line was seen after ${late[50]} ms (median), ${late[98]} ms (99 %)`)
  expect(late[50]).toBeLessThan(50)
})

test('a log that is not there yet is waited for where that is asked for, whichever process writes it', async () => {
  const engine = newEngine({ logDir: logDir() })
  const ids = Array.from({ length: 100 }, () => randomUUID())
  const following = ids.map((id) => all(engine.followLogs(id, { wait: true })))
  // It begins a log and prints much or little, at once or later, or exits in the moment in which it is begun.
  const { ended } = hostIn(
    engine.config.logDir,
    `(async () => {
      for (const [i, id] of ${JSON.stringify(ids)}.entries()) {
        const command = ['echo 1', 'seq 3', 'echo 1; sleep 0.2; echo 2', 'sleep 0.1; seq 2000'][i % 4]
        const run = engine.run({ id, command: { type: 'shell', command } })
        if (i % 10 === 9) await run
      }
    })()`,
  )
  const counts = [1, 3, 2, 2000]
  for (const [i, lines] of (await Promise.all(following)).entries()) {
    expect(lines.map(({ line }) => line)).toEqual(Array.from({ length: counts[i % 4] ?? 0 }, (_, n) => String(n + 1)))
  }
  expect(await ended).toMatchObject({ complained: '' })
})

test('a log in a directory that is not there yet is waited for as well', async () => {
  const dir = join(temporary(), 'later')
  const id = randomUUID()
  const engine = newEngine({ logDir: dir })
  rmSync(dir, { recursive: true, force: true })
  const first = engine.followLogs(id, { wait: true }).next()
  const { ended: other } = hostIn(dir, `engine.run({ id: '${id}', command: { type: 'shell', command: 'echo hi' } })`)
  expect(await first).toMatchObject({ value: { line: 'hi' } })
  expect(await other).toMatchObject({ complained: '' })
})

test('waiting for a log ends with an abort and with a return, and is not for what this engine knows', async () => {
  const engine = newEngine()
  const leave = new AbortController()
  const aborted = engine.followLogs(randomUUID(), { wait: true, signal: leave.signal })
  const waiting = aborted.next()
  leave.abort()
  expect(await waiting).toEqual({ done: true, value: undefined })
  const returned = engine.followLogs(randomUUID(), { wait: true })
  const left = returned.next()
  expect(await returned.return()).toEqual({ done: true, value: undefined })
  expect(await left).toEqual({ done: true, value: undefined })
  const { id: silent } = await engine.run(exec('true'))
  expect(await all(engine.followLogs(silent, { wait: true }))).toEqual([])
  const { id: deleted } = await engine.run(exec('echo', 'hi'))
  rmSync(engine.getLogPath(deleted))
  await expect(engine.followLogs(deleted, { wait: true }).next()).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('after a shutdown nobody waits for another process, and what is there is read to its end', async () => {
  const dir = logDir()
  const other = newEngine({ logDir: dir })
  const id = await other.execute(shell('echo one; sleep 60'))
  const engine = newEngine({ logDir: dir })
  const running = engine.followLogs(id, { wait: true })
  expect(await running.next()).toMatchObject({ value: { line: 'one' } })
  const waiting = [running.next(), engine.followLogs(randomUUID(), { wait: true }).next()]
  const told = Promise.allSettled(waiting)
  await engine.shutdown()
  const refused = { status: 'rejected', reason: { code: 'SHUT_DOWN' } }
  expect(await told).toMatchObject([refused, refused])
  await other.cancel(id)
  expect((await all(engine.followLogs(id))).map(({ line }) => line)).toEqual(['one'])
})

test('who waits for a log is told of it, and does not look for it again and again', async () => {
  const dir = logDir()
  const [id, other] = [randomUUID(), randomUUID()]
  const { child, said, ended } = hostIn(
    dir,
    `{ const seen = async (id) => {
        for await (const { line } of engine.followLogs(id, { wait: true })) console.log(Date.now() - Number(line))
        process.exit()
      }
      for (const id of ${JSON.stringify([id, other])}) void seen(id)
      setTimeout(() => console.log('waits'), 1000) }`,
  )
  await said('waits')
  const before = wakeUps(child.pid)
  await new Promise((resolve) => setTimeout(resolve, 2000))
  expect(wakeUps(child.pid) - before).toBeLessThanOrEqual(10)
  await newEngine({ logDir: dir }).run({ id, ...exec(process.execPath, '-p', 'Date.now()') })
  expect(Number((await ended).printed.split('\n')[1])).toBeLessThan(1000)
})

test('a follower in another process is not found before there is a log', async () => {
  const dir = logDir()
  const engine = newEngine({ logDir: dir })
  const id = await engine.execute(exec('sleep', '60'))
  const { ended } = hostIn(dir, `engine.followLogs('${id}').next().catch((error) => console.log(error.code))`)
  expect(await ended).toMatchObject({ printed: 'NOT_FOUND\n', complained: '' })
})

test('a follower in another process ends within a second of a host that is killed, and reads all that was logged', async () => {
  const dir = logDir()
  const id = randomUUID()
  const killed = hostIn(
    dir,
    `engine.execute({ id: '${id}', command: { type: 'shell', command: 'seq 0 4999; sleep 60' } })`,
  )
  const follower = newEngine({ logDir: dir })
  await until(() => existsSync(follower.getLogPath(id)), 'a log')
  const taken: string[] = []
  let enough = () => {}
  const many = new Promise<void>((resolve) => (enough = resolve))
  const following = (async () => {
    for await (const { line } of follower.followLogs(id)) if (taken.push(line) === 5000) enough()
  })()
  await many
  killed.child.kill('SIGKILL')
  await killed.ended
  const begun = performance.now()
  await following
  expect(performance.now() - begun).toBeLessThan(1000)
  expect(taken).toEqual(Array.from({ length: taken.length }, (_, i) => String(i)))
  expect(entries(follower.getLogPath(id))).toHaveLength(taken.length)
  expect(await all(follower.followLogs(id))).toHaveLength(taken.length)
})

test('a follower that is interrupted goes on without a gap or a double', async () => {
  const engine = newEngine()
  const id = await engine.execute(shell('i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done'))
  const taken: string[] = []
  let from = 0
  let interruptions = 0
  for (let ended = false; !ended; interruptions++) {
    const leave = new AbortController()
    const limit = Math.floor(Math.random() * 50)
    setTimeout(() => leave.abort(), Math.random() * 100)
    let count = 0
    ended = true
    for await (const line of engine.followLogs(id, { from, signal: leave.signal })) {
      taken.push(line.line)
      from = line.offset
      if (++count > limit) {
        ended = false
        break
      }
    }
    ended &&= !leave.signal.aborted
  }
  expect(taken).toEqual(Array.from({ length: 5000 }, (_, i) => String(i)))
  expect(interruptions).toBeGreaterThan(50)
})

// One log per run

test('a second run under the same id is not confused with the first', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 1, oversizedOutputStrategy: 'stream_to_file' })
  const { id } = await engine.run(exec('echo', 'first'))
  await engine.removeExecution(id)
  await engine.execute({ id, ...shell('sleep 0.3; echo second') })
  expect(await engine.readLogs(id)).toBe('')
  expect(await engine.readLogLines(id)).toMatchObject({ lines: [], ended: false })
  expect((await all(engine.followLogs(id))).map(({ line }) => line)).toEqual(['second'])
  const { stdoutOverflowFile } = await engine.getResult(id)
  expect(readFileSync(String(stdoutOverflowFile), 'utf8')).toBe('econd\n')
  await engine.removeExecution(id)
  await engine.run({ id, ...exec('true') })
  expect(await engine.readLogs(id)).toBe('')
  expect(await all(engine.followLogs(id))).toEqual([])
})

test('the log of a running execution of another host is not written to by one with the same id', async () => {
  const dir = logDir()
  const id = randomUUID()
  const first = hostIn(
    dir,
    `engine.execute({ id: '${id}', command: { type: 'shell', command: 'echo first; sleep 60' } })`,
  )
  const engine = newEngine({ logDir: dir })
  await until(() => existsSync(engine.getLogPath(id)) && statSync(engine.getLogPath(id)).size > 0, 'a log')
  const result = await engine.run({ id, ...exec('echo', 'second') })
  expect(result).toMatchObject({ status: 'completed', stdout: 'second\n', errorCode: 'IO', logPath: null })
  expect(result.error).toMatch(/another execution with this id still writes/)
  expect(untimed(engine.getLogPath(id))).toEqual(['stdout F first'])
  first.child.kill('SIGKILL')
  await first.ended
  await engine.removeExecution(id)
  expect(await engine.run({ id, ...exec('echo', 'third') })).toMatchObject({ errorCode: null })
  expect(untimed(engine.getLogPath(id))).toEqual(['stdout F third'])
})

// Retention

test('logs and overflow files past their retention are deleted, and nothing else is touched', async () => {
  const dir = logDir()
  const id = randomUUID()
  const old = ['.log', '.stdout.overflow', '.stderr.overflow'].map((suffix) => finished(dir, 90, 10, suffix, id))
  old.push(finished(dir, 90, 10), finished(dir, 3600, 10, '.stdout.overflow'))
  const young = finished(dir, 30, 10)
  // One of the three was written lately.
  const mixed = randomUUID()
  const together = [finished(dir, 90, 10, '.log', mixed), finished(dir, 10, 10, '.stderr.overflow', mixed)]
  const foreign = [finished(dir, 9999, 10, '', 'notes.log'), finished(dir, 9999, 10, '.log.gz')]
  const outside = join(temporary(), 'outside')
  writeFileSync(outside, 'unharmed')
  const link = join(dir, `${randomUUID()}.log`)
  symlinkSync(outside, link)
  const engine = newEngine({ logDir: dir, logRetentionSecs: 60 })
  expect(await engine.cleanup()).toBe(0)
  expect(old.filter(existsSync)).toEqual([])
  expect([young, ...together, ...foreign, link, outside].filter((path) => !existsSync(path))).toEqual([])
})

test('logs are within their total before one grows, the oldest finished first', async () => {
  const dir = logDir()
  const ages = [50, 40, 30, 20, 10]
  const logs = ages.map((age) => finished(dir, age, 10_000))
  const overflow = finished(dir, 45, 10_000, '.stdout.overflow')
  const engine = newEngine({ logDir: dir, maxTotalLogBytes: 45_000, enableAutoCleanup: false })
  const result = await engine.run(exec(process.execPath, '-e', "console.log('x'.repeat(9000))"))
  expect(result).toMatchObject({ success: true, error: null, errorCode: null })
  await until(() => sizeOf(dir) <= 45_000, 'the logs to fit')
  // What is being written counts twice for a look that sees it already: then one more goes.
  const [fifty, forty, , twenty, ten] = logs.map((path) => existsSync(path))
  expect([fifty, existsSync(overflow), forty]).toEqual([false, false, false])
  expect([twenty, ten, existsSync(String(result.logPath))]).toEqual([true, true, true])
})

test('what many executions log stays within the total', async () => {
  const engine = newEngine({ maxTotalLogBytes: 200_000, maxLogSizeBytes: 20_000 })
  const dir = engine.config.logDir
  let most = 0
  for (let round = 0; round < 20; round++) {
    await Promise.all(Array.from({ length: 5 }, () => engine.run(exec('seq', '1000'))))
    most = Math.max(most, sizeOf(dir))
  }
  expect(most).toBeGreaterThan(150_000)
  expect(most).toBeLessThanOrEqual(200_000 + 5 * 20_000)
  await engine.cleanup()
  expect(sizeOf(dir)).toBeLessThanOrEqual(200_000)
})

test('the log of a running execution is never deleted, of another host either', async () => {
  const dir = logDir()
  const id = randomUUID()
  const other = hostIn(
    dir,
    `engine.execute({ id: '${id}', command: { type: 'shell', command: 'seq 1 2000; sleep 60' } })
     process.stdin.resume()`,
  )
  const engine = newEngine({ logDir: dir, logRetentionSecs: 1, maxTotalLogBytes: 1000 })
  const path = engine.getLogPath(id)
  const own = await engine.execute(shell('seq 1 2000; sleep 60'))
  for (const each of [path, engine.getLogPath(own)]) {
    await until(() => existsSync(each) && entries(each).length === 2000, 'all lines')
    const at = Date.now() / 1000 - 9999
    utimesSync(each, at, at)
  }
  const gone = finished(dir, 10, 10)
  await engine.cleanup()
  expect([path, engine.getLogPath(own), gone].map((each) => existsSync(each))).toEqual([true, true, false])
  await expect(engine.removeExecution(id, { logs: true })).rejects.toMatchObject({
    code: 'NOT_FINISHED',
    executionId: id,
  })
  other.child.kill('SIGKILL')
  await other.ended
  await engine.cleanup()
  expect([path, engine.getLogPath(own)].map((each) => existsSync(each))).toEqual([false, true])
})

test('a directory of 10 000 logs holds nothing up', async () => {
  // In memory, where there is a place for that: to make so many files takes a busy disk seconds.
  const dir = logDir(existsSync('/dev/shm') ? '/dev/shm' : undefined)
  for (let i = 0; i < 10_000; i++) closeSync(openSync(join(dir, `${randomUUID()}.log`), 'w', 0o600))
  const engine = newEngine({ logDir: dir, maxTotalLogBytes: 100 })
  for (let i = 0; i < 3; i++) {
    const begun = performance.now()
    await engine.run(exec('echo', 'hi'))
    expect(performance.now() - begun).toBeLessThan(1000)
  }
})

test('an overflow file keeps its limit, and the result says so', async () => {
  const engine = newEngine({ maxLogSizeBytes: 1000, maxOutputSizeBytes: 10, oversizedOutputStrategy: 'stream_to_file' })
  const result = await engine.run(shell('seq 1 1000; seq 1 3 >&2'))
  expect(result).toMatchObject({ status: 'completed', stdoutBytes: 3893, truncated: true })
  expect(statSync(String(result.stdoutOverflowFile)).size).toBe(1000)
  expect(result.error).toMatch(/the overflow file of stdout holds the first 1000 bytes/)
  expect(result.error).not.toMatch(/stderr/)
})

test('removeExecution takes logs and overflow files away, also of an earlier process and of the steps of a plan', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 1, oversizedOutputStrategy: 'stream_to_file' })
  const dir = engine.config.logDir
  const { id } = await engine.run(shell('echo one; echo two >&2'))
  const plan = await engine.runPlan({ strategy: { type: 'serial' }, commands: [exec('echo', 'a'), exec('echo', 'b')] })
  expect(readdirSync(dir)).toHaveLength(7)
  await engine.removeExecution(plan.planId, { logs: true })
  await expect(engine.getPlanResult(plan.planId)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(readdirSync(dir)).toHaveLength(3)
  const later = newEngine({ logDir: dir })
  await later.removeExecution(id, { logs: true })
  expect(readdirSync(dir)).toEqual([])
  await expect(later.removeExecution(id, { logs: true })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  await engine.removeExecution(id, { logs: true })
  await expect(engine.getStatus(id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('removeExecution with logs says who still writes the log of what has finished', async () => {
  const engine = newEngine()
  const go = join(logDir(), 'go')
  const background = `(until [ -e ${go} ]; do sleep 0.01; done; echo late) &`
  const { id } = await engine.run({ ...shell(`echo first; ${background}`), keepBackground: true })
  await expect(engine.removeExecution(id, { logs: true })).rejects.toMatchObject({
    code: 'NOT_FINISHED',
    executionId: id,
    message: expect.stringMatching(/still written, by what the command has left running or by another host/),
  })
  writeFileSync(go, '')
  await until(() => readFileSync(engine.getLogPath(id), 'utf8').includes('late'), 'its last line')
  for (let isGone = false; !isGone;) {
    isGone = await engine.removeExecution(id, { logs: true }).then(
      () => true,
      () => false,
    )
  }
  expect(existsSync(engine.getLogPath(id))).toBe(false)
})

test('removeExecution with logs refuses what runs', async () => {
  const engine = newEngine()
  const id = await engine.execute(shell('echo one; sleep 60'))
  await engine.followLogs(id).next()
  await expect(engine.removeExecution(id, { logs: true })).rejects.toMatchObject({ code: 'NOT_FINISHED' })
  expect(existsSync(engine.getLogPath(id))).toBe(true)
})

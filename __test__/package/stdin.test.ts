// What a command reads: bytes, a file, a source in JavaScript, or what is written while it runs.

import { execFileSync } from 'node:child_process'
import { createReadStream, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { expect, test, vi } from 'vitest'
import type { ExecutionRequest, Stdin } from '../../index.js'
import { exec, host, newEngine, shell, temporary, until } from './support.js'

const reading = (stdin: Stdin, more: Partial<ExecutionRequest> = {}): ExecutionRequest => ({
  ...exec('cat'),
  ...more,
  stdin,
})

/** An iterable that counts what was asked of it. */
function counting(next: (index: number) => Promise<IteratorResult<string | Uint8Array>>) {
  const asked = { next: 0, return: 0 }
  const iterator = {
    next: () => next(asked.next++),
    return: async () => {
      asked.return++
      return { done: true as const, value: undefined }
    },
  }
  const iterable = { [Symbol.asyncIterator]: () => iterator as unknown as AsyncIterator<string | Uint8Array> }
  return { asked, source: iterable as AsyncIterable<string | Uint8Array> }
}

const never = new Promise<never>(() => {})

/** Waits until the execution runs. */
const untilRunning = async (engine: ReturnType<typeof newEngine>, id: string) => {
  while ((await engine.getStatus(id)) === 'pending') await sleep(5)
}

// A file

test('a command reads a file from its start, at a path relative to its directory', async () => {
  const dir = temporary()
  const text = 'line\n'.repeat(100_000)
  writeFileSync(join(dir, 'input'), text)
  const engine = newEngine()
  for (const file of [join(dir, 'input'), pathToFileURL(join(dir, 'input'))]) {
    expect(await engine.run(reading({ file }))).toMatchObject({ status: 'completed', stdout: text })
  }
  const relative = await engine.run(reading({ file: 'input' }, { workingDir: dir }))
  expect(relative).toMatchObject({ status: 'completed', stdout: text })
  // It is the file itself, and no pipe in between.
  const seek = await engine.run({ ...shell('tail -c +499996'), stdin: { file: join(dir, 'input') } })
  expect(seek.stdout).toBe('line\n')
  const kind = await engine.run({ ...shell('stat -Lc %F /dev/fd/0'), stdin: { file: join(dir, 'input') } })
  expect(kind.stdout).toBe('regular file\n')
  const device = await engine.run({ ...exec('head', '-c', '3'), stdin: { file: '/dev/zero' } })
  expect(device.stdout).toBe('\0\0\0')
})

test.each([
  [(dir: string) => join(dir, 'none'), 'no such file or directory'],
  [(dir: string) => dir, 'which is a directory'],
  [(dir: string) => join(dir, 'pipe'), 'which is a pipe or a socket'],
])('a file that cannot be read is refused, before anything is started (%#)', async (path, found) => {
  const dir = temporary()
  const engine = newEngine()
  await engine.run(exec('mkfifo', join(dir, 'pipe')))
  const refused = engine.run(reading({ file: path(dir) }))
  await expect(refused).rejects.toMatchObject({
    code: 'VALIDATION',
    field: 'stdin.file',
    message: expect.stringContaining(found),
  })
})

test('in a plan, an earlier step may write the file that a later one reads', async () => {
  const file = join(temporary(), 'made')
  const { results } = await newEngine().runPlan({
    strategy: { type: 'serial', stopOnError: false },
    commands: [reading({ file }), shell(`echo made > '${file}'`), reading({ file })],
  })
  expect(results.map(({ status }) => status)).toEqual(['failed', 'completed', 'completed'])
  expect(results[0]).toMatchObject({ errorCode: 'SPAWN_FAILED', error: expect.stringContaining(file) })
  expect(results[2]?.stdout).toBe('made\n')
})

// A source in JavaScript

test('a command reads an async iterable of texts and bytes, whole and in order', async () => {
  const parts = Array.from({ length: 2000 }, (_, i) => `part ${i} é\n`)
  async function* source() {
    for (const [i, part] of parts.entries()) {
      if (i % 100 === 0) await sleep(1)
      yield i % 2 === 0 ? part : Buffer.from(part)
    }
  }
  expect(await newEngine().run(reading(source()))).toMatchObject({ status: 'completed', stdout: parts.join('') })
  async function* nothing() {}
  expect(await newEngine().run(reading(nothing()))).toMatchObject({ status: 'completed', stdout: '' })
})

test('a command reads a stream of Node, and one of the web', async () => {
  const file = join(temporary(), 'input')
  const text = 'some text\n'.repeat(50_000)
  writeFileSync(file, text)
  const engine = newEngine()
  const stream = createReadStream(file)
  expect(await engine.run(reading(stream))).toMatchObject({ status: 'completed', stdout: text })
  expect(stream.destroyed).toBe(true)
  expect((await engine.run(reading(Readable.from(['a', 'b', Buffer.from('c')])))).stdout).toBe('abc')
  const web = new ReadableStream<string | Uint8Array>({
    start(controller) {
      controller.enqueue('of the ')
      controller.enqueue(new TextEncoder().encode('web'))
      controller.close()
    },
  })
  expect((await engine.run(reading(web))).stdout).toBe('of the web')
  expect((await engine.run(reading(new Blob([text]).stream()))).stdout).toBe(text)
})

test('a source is pulled no faster than the command reads', async () => {
  const chunk = 'x'.repeat(64 * 1024)
  const { asked, source } = counting(async () => ({ value: chunk }))
  const go = join(temporary(), 'go')
  const engine = newEngine()
  const id = await engine.execute({
    ...shell(`until [ -e '${go}' ]; do sleep 0.02; done; head -c 1000000 | wc -c`),
    stdin: source,
  })
  await until(() => asked.next > 1, 'the source to be pulled')
  await sleep(100)
  // A pipe holds 64 KiB, one write waits.
  expect(asked.next).toBeLessThanOrEqual(3)
  writeFileSync(go, '')
  expect(await engine.waitForCompletion(id)).toMatchObject({ status: 'completed', stdout: '1000000\n' })
  expect(asked.next).toBeLessThan(25)
  await until(() => asked.return === 1, 'the source to be left')
})

test('a source that never ends does not keep the execution, and is left when the command has ended', async () => {
  const { asked, source } = counting(async (index) => (index === 0 ? { value: 'first\n' } : never))
  const engine = newEngine()
  expect(await engine.run({ ...exec('head', '-n', '1'), stdin: source })).toMatchObject({ stdout: 'first\n' })
  await until(() => asked.return === 1, 'the iterator to be told to return')
  const stream = new PassThrough()
  stream.write('first\n')
  expect(await engine.run({ ...exec('head', '-n', '1'), stdin: stream })).toMatchObject({ stdout: 'first\n' })
  await until(() => stream.destroyed, 'the stream to be destroyed')
  const cancel = vi.fn<() => void>()
  const web = new ReadableStream<string>({ start: (controller) => controller.enqueue('first\n'), cancel })
  expect(await engine.run({ ...exec('head', '-n', '1'), stdin: web })).toMatchObject({ stdout: 'first\n' })
  await until(() => cancel.mock.calls.length === 1, 'the stream to be cancelled')
})

test('a source that never ends does not keep the host', async () => {
  const { ended } = host(`
    const source = { async *[Symbol.asyncIterator]() { yield 'a'; await new Promise(() => {}) } }
    engine.run({ command: { type: 'exec', program: 'true' }, stdin: source }).then(({ status }) => console.log(status))`)
  expect(await ended).toMatchObject({ code: 0, printed: 'completed\n', complained: '' })
})

test('where a source fails, the command is ended, sees no end of its input, and the result says why', async () => {
  let read = () => {}
  const isRead = new Promise<void>((resolve) => (read = resolve))
  async function* failing() {
    yield 'half\n'
    await isRead
    throw new Error('the disk is full')
  }
  const engine = newEngine()
  const result = await engine.run({ ...shell('cat; echo all'), stdin: failing() }, { onStdout: () => read() })
  expect(result).toMatchObject({ status: 'failed', errorCode: 'IO', signal: 'SIGTERM', stdout: 'half\n' })
  expect(result.error).toBe('ended because its input could not be read: the disk is full')
  const wrong = await engine.run(reading(Readable.from([1])))
  expect(wrong).toMatchObject({ status: 'failed', errorCode: 'IO' })
  expect(wrong.error).toContain('expected chunks that are strings or Uint8Arrays, found number')
  const broken = Readable.from(['a'])
  broken.destroy(new Error('gone'))
  expect((await engine.run(reading(broken))).error).toContain('gone')
  // What fails after the command has read all it wanted changes nothing.
  const { source } = counting(async (index) => {
    if (index === 0) return { value: 'first\n' }
    await sleep(200)
    throw new Error('too late')
  })
  expect(await engine.run({ ...exec('head', '-n', '1'), stdin: source })).toMatchObject({ status: 'completed' })
})

test('a command that closes its input goes on, and the source is left', async () => {
  const { asked, source } = counting(async () => ({ value: 'x'.repeat(100_000) }))
  const go = join(temporary(), 'go')
  const engine = newEngine()
  const id = await engine.execute({
    ...shell(`exec <&-; until [ -e '${go}' ]; do sleep 0.02; done; echo done`),
    stdin: source,
  })
  await until(() => asked.return === 1, 'the source to be left')
  writeFileSync(go, '')
  expect(await engine.waitForCompletion(id)).toMatchObject({ status: 'completed', stdout: 'done\n' })
})

test('a command that has closed its output still reads all of its input', async () => {
  const file = join(temporary(), 'output')
  const text = 'x'.repeat(1_000_000)
  const command = `exec >&- 2>&-; sleep 0.2; cat > '${file}'`
  async function* source() {
    for (let i = 0; i < 10; i++) yield text.slice(i * 100_000, (i + 1) * 100_000)
  }
  for (const stdin of [text, source()]) {
    expect(await newEngine().run({ ...shell(command), stdin })).toMatchObject({ status: 'completed' })
    expect((await newEngine().run(exec('wc', '-c', file))).stdout).toBe(`1000000 ${file}\n`)
  }
})

test('what is never started takes nothing from its source, and what is refused leaves it alone', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 5 })
  const first = await engine.execute(exec('sleep', '60'))
  const queued = counting(async () => ({ value: 'x' }))
  const id = await engine.execute(reading(queued.source))
  await sleep(50)
  expect(queued.asked).toEqual({ next: 0, return: 0 })
  await engine.cancel(id)
  await until(() => queued.asked.return === 1, 'the source to be left')
  expect(queued.asked.next).toBe(0)
  await engine.cancel(first)
  const refused = counting(async () => ({ value: 'x' }))
  const stream = new PassThrough()
  for (const stdin of [refused.source, stream]) {
    await expect(engine.run({ ...reading(stdin), workingDir: '/no/such/dir' })).rejects.toMatchObject({
      field: 'workingDir',
    })
    const plan = {
      strategy: { type: 'serial' as const },
      commands: [{ ...reading(stdin), workingDir: '/no/such/dir' }],
    }
    await expect(engine.runPlan(plan)).rejects.toMatchObject({ field: 'commands[0].workingDir' })
  }
  expect([refused.asked, stream.destroyed]).toEqual([{ next: 0, return: 0 }, false])
})

test('the source of what is refused feeds and ends nothing that has its id', async () => {
  const id = '0b4f4b5e-6d5c-4c4e-9d6a-000000000006'
  const engine = newEngine()
  const running = engine.run(reading({ open: true }, { id }))
  await untilRunning(engine, id)
  const { asked, source } = counting(async () => ({ value: 'of another' }))
  const { asked: failed, source: failing } = counting(() => Promise.reject(new Error('of another')))
  for (const stdin of [source, failing]) {
    const plan = { strategy: { type: 'serial' as const }, commands: [reading(stdin, { id })] }
    await expect(engine.runPlan(plan)).rejects.toMatchObject({ code: 'DUPLICATE_ID' })
    await expect(engine.run(reading(stdin, { id }))).rejects.toMatchObject({ code: 'DUPLICATE_ID' })
  }
  await sleep(50)
  expect([asked, failed]).toEqual([
    { next: 0, return: 0 },
    { next: 0, return: 0 },
  ])
  await engine.writeStdin(id, 'its own')
  await engine.closeStdin(id)
  expect(await running).toMatchObject({ status: 'completed', stdout: 'its own' })
})

test('a chunk that comes after its execution has ended goes to no later one of the same id', async () => {
  const id = '0b4f4b5e-6d5c-4c4e-9d6a-000000000007'
  const engine = newEngine({ maxInMemoryExecutions: 1 })
  const go = join(temporary(), 'go')
  let give: (chunk: IteratorResult<string>) => void = () => {}
  const late = new Promise<IteratorResult<string>>((resolve) => (give = resolve))
  const { asked, source } = counting(async (index) => (index === 0 ? { value: 'first\n' } : late))
  const first = engine.run({ ...shell(`until [ -e '${go}' ]; do sleep 0.02; done`), id, stdin: source })
  await until(() => asked.next === 2, 'the source to be asked for more')
  writeFileSync(go, '')
  expect(await first).toMatchObject({ status: 'completed' })
  // It is forgotten.
  await engine.run(exec('true'))
  const later = engine.run(reading({ open: true }, { id }))
  await untilRunning(engine, id)
  give({ value: 'late' })
  await sleep(50)
  await engine.writeStdin(id, 'its own')
  await engine.closeStdin(id)
  expect(await later).toMatchObject({ status: 'completed', stdout: 'its own' })
})

test('a chunk that comes before the host is told of the end goes to no later execution of the same id', async () => {
  const id = '0b4f4b5e-6d5c-4c4e-9d6a-000000000008'
  const engine = newEngine()
  const go = join(temporary(), 'go')
  let give: (chunk: IteratorResult<string>) => void = () => {}
  const late = new Promise<IteratorResult<string>>((resolve) => (give = resolve))
  const { asked, source } = counting(async (index) => (index === 0 ? { value: 'first\n' } : late))
  const first = engine.run({ ...shell(`until [ -e '${go}' ]; do sleep 0.02; done`), id, stdin: source })
  await until(() => asked.next === 2, 'the source to be asked for more')
  // It ends, and another takes its id, while this thread is busy and cannot be told.
  writeFileSync(go, '')
  while (engine.runningCount > 0) execFileSync('sleep', ['0.1'])
  execFileSync('sleep', ['0.3'])
  const removed = engine.removeExecution(id)
  const later = engine.run(reading({ open: true }, { id }))
  give({ value: 'late' })
  await removed
  expect(await first).toMatchObject({ status: 'completed' })
  await untilRunning(engine, id)
  await engine.writeStdin(id, 'its own')
  await engine.closeStdin(id)
  expect(await later).toMatchObject({ status: 'completed', stdout: 'its own' })
})

test('each step of a plan has a source of its own, and what is skipped leaves it', async () => {
  const skipped = counting(async () => ({ value: 'x' }))
  async function* one() {
    yield 'one'
  }
  const { results } = await newEngine().runPlan({
    strategy: { type: 'serial' },
    commands: [
      reading(one()),
      reading(Readable.from(['two'])),
      reading('three'),
      exec('false'),
      reading(skipped.source),
    ],
  })
  expect(results.map(({ stdout }) => stdout)).toEqual(['one', 'two', 'three', '', ''])
  expect(results[4]?.status).toBe('skipped')
  await until(() => skipped.asked.return === 1, 'the source to be left')
  expect(skipped.asked.next).toBe(0)
})

// Written while it runs

test('what is written while the command runs is read, until the input is closed', async () => {
  const engine = newEngine()
  const lines: string[] = []
  let told = () => {}
  const answered = (count: number) =>
    new Promise<void>((resolve) => {
      told = () => lines.length >= count && resolve()
      told()
    })
  const onStdout = (line: string) => {
    lines.push(line)
    told()
  }
  const echo = 'while read -r line; do echo "got $line"; done; echo end'
  const id = await engine.execute({ ...shell(echo), stdin: { open: true } }, { onStdout })
  await engine.writeStdin(id, 'one\n')
  await answered(1)
  await Promise.all([
    engine.writeStdin(id, 'tw'),
    engine.writeStdin(id, Buffer.from('o\nthr')),
    engine.writeStdin(id, 'ee\n'),
  ])
  await answered(3)
  expect(await engine.getStatus(id)).toBe('running')
  await engine.closeStdin(id)
  await engine.closeStdin(id)
  await expect(engine.writeStdin(id, 'late')).rejects.toMatchObject({
    code: expect.stringMatching(/^(IO|ALREADY_FINISHED)$/),
  })
  expect(await engine.waitForCompletion(id)).toMatchObject({ status: 'completed' })
  expect(lines).toEqual(['got one', 'got two', 'got three', 'end'])
  await expect(engine.writeStdin(id, 'late')).rejects.toMatchObject({ code: 'ALREADY_FINISHED', executionId: id })
  await engine.closeStdin(id)
})

test('a write resolves when all of it is in the pipe, and what is passed may be changed meanwhile', async () => {
  const go = join(temporary(), 'go')
  const engine = newEngine()
  const id = await engine.execute({
    ...shell(`until [ -e '${go}' ]; do sleep 0.02; done; tr -d a | wc -c`),
    stdin: { open: true },
  })
  const data = Buffer.alloc(300_000, 'a')
  let isWritten = false
  const written = engine.writeStdin(id, data).then(() => (isWritten = true))
  data.fill('b')
  const closed = engine.closeStdin(id)
  await untilRunning(engine, id)
  await sleep(50)
  expect(isWritten).toBe(false)
  writeFileSync(go, '')
  await Promise.all([written, closed])
  expect(await engine.waitForCompletion(id)).toMatchObject({ stdout: '0\n' })
})

test('what is written before the command runs waits for it, and is refused where it never does', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 5 })
  const first = await engine.execute(exec('sleep', '60'))
  const [runs, never] = ['0b4f4b5e-6d5c-4c4e-9d6a-000000000001', '0b4f4b5e-6d5c-4c4e-9d6a-000000000002']
  const result = engine.run(reading({ open: true }, { id: runs }))
  const cancelled = engine.run(reading({ open: true }, { id: never }))
  const written = engine.writeStdin(runs, 'early').then(() => engine.closeStdin(runs))
  const refused = engine.writeStdin(never, 'x').catch((error: unknown) => error)
  await engine.cancel(never)
  expect(await refused).toMatchObject({ code: 'ALREADY_FINISHED' })
  await engine.cancel(first)
  await written
  expect(await result).toMatchObject({ status: 'completed', stdout: 'early' })
  expect(await cancelled).toMatchObject({ status: 'cancelled' })
})

test('where the command has closed its input, a write says so', async () => {
  const engine = newEngine()
  const id = await engine.execute({ ...shell('exec <&-; echo closed; sleep 60'), stdin: { open: true } })
  let error: Error & { code?: string } = new Error('none')
  while (error.code === undefined) await engine.writeStdin(id, 'x').catch((found) => (error = found))
  expect(error).toMatchObject({ name: 'ExecutionError', code: 'IO' })
  expect(error.message).toContain('the command has closed its input')
  await expect(engine.writeStdin(id, 'x')).rejects.toMatchObject({ code: 'IO', message: error.message })
  await engine.closeStdin(id)
  await engine.cancel(id)
})

test('a write that waits is refused when the command ends, and keeps nothing', async () => {
  const engine = newEngine()
  const id = await engine.execute({ ...exec('sleep', '60'), stdin: { open: true } })
  const refused = engine.writeStdin(id, Buffer.alloc(1_000_000)).catch((error: unknown) => error)
  const closed = engine.closeStdin(id)
  await untilRunning(engine, id)
  await engine.cancel(id)
  expect(await refused).toMatchObject({ code: expect.stringMatching(/^(ALREADY_FINISHED|IO)$/) })
  await closed
})

test('an input that is not closed does not keep a command that ends by itself', async () => {
  const engine = newEngine()
  expect(await engine.run({ ...exec('true'), stdin: { open: true } })).toMatchObject({ status: 'completed' })
  const timed = await engine.run(reading({ open: true }, { timeoutMs: 200 }))
  expect(timed).toMatchObject({ status: 'timeout' })
})

test('what cannot be written to is refused, and says why', async () => {
  const engine = newEngine()
  const unknown = '0b4f4b5e-6d5c-4c4e-9d6a-000000000003'
  await expect(engine.writeStdin(unknown, 'x')).rejects.toMatchObject({ code: 'NOT_FOUND', executionId: unknown })
  await expect(engine.closeStdin(unknown)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  const { id } = await engine.run(reading('text'))
  for (const refused of [() => engine.writeStdin(id, 'x'), () => engine.closeStdin(id)]) {
    await expect(refused()).rejects.toMatchObject({
      code: 'VALIDATION',
      message: expect.stringContaining('left its input open'),
    })
  }
  await expect(engine.writeStdin('no', 'x')).rejects.toMatchObject({ code: 'VALIDATION', field: 'id' })
  await expect(engine.writeStdin(id, 5 as never)).rejects.toMatchObject({ code: 'VALIDATION', field: 'data' })
})

test.each([
  [5, 'stdin', 'an async iterable'],
  [['a'], 'stdin', 'an async iterable'],
  [null, 'stdin', 'an async iterable'],
  [{}, 'stdin', 'an async iterable'],
  [{ open: false }, 'stdin.open', 'true'],
  [{ open: true, file: '/a' }, 'stdin.file', 'one of the keys open'],
  [{ file: '' }, 'stdin.file', 'a text that is not empty'],
  [{ file: '/a\0b' }, 'stdin.file', 'a text without NUL bytes'],
  [{ file: new URL('https://example.com') }, 'stdin.file', 'a path, or the URL of a file'],
  [{ files: '/a' }, 'stdin.files', '"file"'],
])('%o as input is refused', async (stdin, field, expected) => {
  const refused = newEngine().run({ ...exec('cat'), stdin } as unknown as ExecutionRequest)
  const message = expect.stringContaining(expected)
  await expect(refused).rejects.toMatchObject({ code: 'VALIDATION', field, message })
})

test('steps of a plan can be written to', async () => {
  const engine = newEngine()
  const [id, planId] = ['0b4f4b5e-6d5c-4c4e-9d6a-000000000004', '0b4f4b5e-6d5c-4c4e-9d6a-000000000005']
  const plan = engine.runPlan({
    id: planId,
    strategy: { type: 'serial' },
    commands: [exec('true'), reading({ open: true }, { id })],
  })
  await engine.writeStdin(id, 'to a step')
  await engine.closeStdin(id)
  expect((await plan).results[1]).toMatchObject({ status: 'completed', stdout: 'to a step' })
})

test('a file that is gone, or none any more, when the command is started fails it', async () => {
  const dir = temporary()
  const engine = newEngine({ maxConcurrentExecutions: 1, maxQueuedExecutions: 5 })
  const files = ['gone', 'replaced'].map((name) => join(dir, name))
  for (const file of files) writeFileSync(file, 'text')
  const first = await engine.execute(exec('sleep', '60'))
  const ids = await Promise.all(files.map((file) => engine.execute(reading({ file }))))
  for (const file of files) rmSync(file)
  mkdirSync(join(dir, 'replaced'))
  await engine.cancel(first)
  const results = await Promise.all(ids.map((id) => engine.waitForCompletion(id)))
  expect(results.map(({ errorCode }) => errorCode)).toEqual(['SPAWN_FAILED', 'SPAWN_FAILED'])
  expect(results[0]?.error).toContain(`its input "${files[0]}": No such file`)
  expect(results[1]?.error).toContain('found a directory, a pipe or a socket')
})

// Contract, section 2, 6 to 10, and the files.

import { mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { exec, newEngine, shell, temporary } from './support.js'

test('the result holds byte for byte what was printed', async () => {
  const result = await newEngine().run(shell("printf 'a\\r\\n\\nb'; printf 'x\\n' >&2"))
  expect(result).toMatchObject({ stdout: 'a\r\n\nb', stderr: 'x\n', stdoutBytes: 5, stderrBytes: 2, truncated: false })
})

test('invalid UTF-8 becomes U+FFFD, in the result and in the lines', async () => {
  const lines: string[] = []
  const result = await newEngine().run(shell("printf 'a\\377b\\nc\\342\\202'"), {
    onStdout: (line) => void lines.push(line),
  })
  expect(result.stdout).toBe('a\ufffdb\nc\ufffd')
  expect(lines).toEqual(['a\ufffdb', 'c\ufffd'])
  expect(result.stdoutBytes).toBe(7)
})

test('characters of every width arrive as they were printed, few among many or alone', async () => {
  const engine = newEngine()
  const wide = ['é', 'ÿ', 'Ā', 'ж', '€', '\ud7ff', '\ue000', '\uffff', '😀', '\u{10ffff}']
  const alone = wide.flatMap((one) => wide.map((other) => one + other + one.repeat(50)))
  const among = wide.flatMap((one) => [one + 'x'.repeat(99), 'x'.repeat(99) + one, `${'x'.repeat(50)}${one}x${one}`])
  for (const expected of [alone, among, [...alone, ...among]]) {
    const lines: string[] = []
    const text = expected.map((line) => `${line}\n`).join('')
    const { id, stdout } = await engine.run(
      { ...exec('cat'), stdin: text },
      { onStdout: (line) => void lines.push(line) },
    )
    expect(lines).toEqual(expected)
    expect(stdout).toBe(text)
    expect((await engine.getResult(id)).stdout).toBe(text)
  }
})

test('a line ends at a newline; a carriage return before it is dropped, a lone one is kept', async () => {
  const lines: string[] = []
  await newEngine().run(shell("printf 'a\\r\\nb\\n\\nc\\rd\\ne'"), { onStdout: (line) => void lines.push(line) })
  expect(lines).toEqual(['a', 'b', '', 'c\rd', 'e'])
})

test('a character and a line end that are split between writes arrive whole', async () => {
  const lines: string[] = []
  const split =
    "printf '\\342'; sleep 0.05; printf '\\202'; sleep 0.05; printf '\\254\\r'; sleep 0.05; printf '\\nz\\n'"
  await newEngine().run(shell(split), { onStdout: (line) => void lines.push(line) })
  expect(lines).toEqual(['€', 'z'])
})

test('a line comes while the command runs', async () => {
  const engine = newEngine()
  const seen: number[] = []
  const result = await engine.run(shell('echo now; sleep 0.5'), { onStdout: () => void seen.push(Date.now()) })
  expect(Date.parse(result.completedAt) - seen[0]).toBeGreaterThan(300)
})

test('a line longer than the limit comes in pieces that are marked', async () => {
  const engine = newEngine({ maxLineSizeBytes: 10 })
  const pieces: [string, boolean][] = []
  await engine.run(exec('echo', 'abcdefghijklmnopqrstuvwxyz'), {
    onEvent: (event) => {
      if (event.eventType === 'stdout') pieces.push([event.line, event.partial])
    },
  })
  expect(pieces).toEqual([
    ['abcdefghij', true],
    ['klmnopqrst', true],
    ['uvwxyz', false],
  ])
})

test('memory is bounded while a callback is stuck, and the deadline is kept', async () => {
  const engine = newEngine({ logOutput: false, drainMaxMs: 300 })
  const before = process.memoryUsage().rss
  const result = await engine.run(shell('yes 0123456789012345678901234567890123456789', { timeoutMs: 1000 }), {
    onStdout: () => new Promise(() => {}),
  })
  expect(result.status).toBe('timeout')
  expect(result.error).toContain('callback')
  expect(result.durationMs).toBeLessThan(3000)
  // The command was held back: it printed no more than fits on the way.
  expect(result.stdoutBytes).toBeLessThan(16e6)
  expect(process.memoryUsage().rss - before).toBeLessThan(40e6)
})

test('cancel works while a callback is stuck', async () => {
  const engine = newEngine({ logOutput: false, drainMaxMs: 300 })
  const id = await engine.execute(shell('yes'), { onStdout: () => new Promise(() => {}) })
  await sleep(100)
  await engine.cancel(id)
  expect((await engine.getResult(id)).status).toBe('cancelled')
})

test('the next line waits for the promise of the callback, and run for the last', async () => {
  const steps: string[] = []
  await newEngine().run(exec('seq', '3'), {
    onStdout: async (line) => {
      steps.push(`+${line}`)
      await sleep(10)
      steps.push(`-${line}`)
    },
  })
  expect(steps).toEqual(['+1', '-1', '+2', '-2', '+3', '-3'])
})

test('truncate_with_warning keeps the first bytes, says how much was printed, and lets the command run on', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 1000 })
  let count = 0
  const result = await engine.run(shell('seq 1 1000; echo end >&2'), { onStdout: () => void (count += 1) })
  expect(result).toMatchObject({ status: 'completed', truncated: true, stdoutBytes: 3893, stderr: 'end\n' })
  expect(result.stdout.slice(0, 1000)).toBe(
    Array.from({ length: 1000 }, (_, i) => `${i + 1}\n`)
      .join('')
      .slice(0, 1000),
  )
  expect(result.stdout.slice(1000).trim().split('\n')).toHaveLength(1)
  expect(result.stdout.slice(1000)).toContain('3893 bytes')
  expect(count).toBe(1000)
})

test('fail_execution ends the command and keeps the first bytes', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 1000, oversizedOutputStrategy: 'fail_execution' })
  const result = await engine.run(exec('yes'))
  expect(result).toMatchObject({ status: 'failed', errorCode: 'OUTPUT_SIZE_EXCEEDED', stdout: 'y\n'.repeat(500) })
  expect(result.durationMs).toBeLessThan(3000)
})

test('stream_to_file keeps the first bytes and writes the rest to a file of this user alone', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 1000, oversizedOutputStrategy: 'stream_to_file' })
  const result = await engine.run(exec('seq', '1000'))
  const all = Array.from({ length: 1000 }, (_, i) => `${i + 1}\n`).join('')
  expect(result).toMatchObject({
    status: 'completed',
    truncated: true,
    stdout: all.slice(0, 1000),
    stderrOverflowFile: null,
  })
  const file = String(result.stdoutOverflowFile)
  expect(readFileSync(file, 'utf8')).toBe(all.slice(1000))
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

test('stream_to_file cuts between characters: what the limit would cut in two is in the file', async () => {
  const config = { maxOutputSizeBytes: 4, oversizedOutputStrategy: 'stream_to_file' } as const
  // In one read, and in one for each byte; the log is no reason to write anything, and then it is.
  const bytes = ['a', 'b', '\\342', '\\202', '\\254', 'c', 'd']
  for (const printed of [`printf 'ab€cd'`, bytes.map((byte) => `printf '${byte}'`).join('; sleep 0.02; ')]) {
    for (const logOutput of [false, true]) {
      const result = await newEngine({ ...config, logOutput }).run(shell(printed))
      expect(result).toMatchObject({ status: 'completed', truncated: true, stdout: 'ab', stdoutBytes: 7, error: null })
      expect(readFileSync(String(result.stdoutOverflowFile), 'utf8')).toBe('€cd')
    }
  }
})

test('the log has the format of container runtimes and is private', async () => {
  const engine = newEngine()
  const result = await engine.run(shell("printf 'one\\n'; sleep 0.02; printf 'two' >&2"))
  const path = engine.getLogPath(result.id)
  expect(result.logPath).toBe(path)
  const log = readFileSync(path, 'utf8')
  expect(log).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z stdout F one\n\d{4}-\S+Z stderr F two\n$/)
  expect(await engine.readLogs(result.id)).toBe(log)
  expect(statSync(path).mode & 0o777).toBe(0o600)
  expect(statSync(engine.config.logDir).mode & 0o777).toBe(0o700)
})

test('the log is written as output arrives', async () => {
  const engine = newEngine()
  const id = await engine.execute(shell('echo early; sleep 60'), {
    onStdout: () => {},
  })
  for (let text = ''; !text.includes('early'); text = await engine.readLogs(id)) await sleep(5)
  expect(await engine.getStatus(id)).toBe('running')
})

test('readLogs gives the last bytes, from the start of a line', async () => {
  const engine = newEngine()
  const { id } = await engine.run(exec('seq', '100'))
  const tail = await engine.readLogs(id, { maxBytes: 100 })
  expect(tail.length).toBeLessThanOrEqual(100)
  expect(tail).toMatch(/^\d{4}-\S+ stdout F 99\n\d{4}-\S+ stdout F 100\n$/)
})

test('readLogs keeps a line with which the last bytes begin, and drops one of which they have a part', async () => {
  const engine = newEngine()
  const { id } = await engine.run(shell('echo one; echo two; echo é€'))
  const log = readFileSync(engine.getLogPath(id), 'utf8')
  const lines = log.split(/(?<=\n)/)
  const last = (count: number) => lines.slice(-count).join('')
  for (const count of [1, 2]) {
    const bytes = Buffer.byteLength(last(count))
    expect(await engine.readLogs(id, { maxBytes: bytes })).toBe(last(count))
    expect(await engine.readLogs(id, { maxBytes: bytes + 1 })).toBe(last(count))
    expect(await engine.readLogs(id, { maxBytes: bytes - 1 })).toBe(count === 1 ? '' : last(count - 1))
  }
  expect(await engine.readLogs(id, { maxBytes: Buffer.byteLength(log) })).toBe(log)
  expect(await engine.readLogs(id, { maxBytes: Buffer.byteLength(log) + 1 })).toBe(log)
})

test('a command that prints nothing has no log, and an unknown one is not found', async () => {
  const engine = newEngine()
  const { id, logPath } = await engine.run(exec('true'))
  expect(logPath).toBeNull()
  expect(await engine.readLogs(id)).toBe('')
  await expect(engine.readLogs('00000000-0000-4000-8000-000000000000')).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('outputLogPath gets the raw bytes of both streams, appended', async () => {
  const file = join(temporary(), 'deep', 'raw')
  const engine = newEngine({ logOutput: false })
  await engine.run(shell('printf one', { outputLogPath: file }))
  await engine.run(shell('printf two >&2', { outputLogPath: file }))
  expect(readFileSync(file, 'utf8')).toBe('onetwo')
})

test('a symbolic link in the way is not followed: the command is unharmed, the result says what was lost', async () => {
  const dir = temporary()
  writeFileSync(join(dir, 'victim'), '')
  symlinkSync(join(dir, 'victim'), join(dir, 'link'))
  const result = await newEngine().run(shell('echo hi', { outputLogPath: join(dir, 'link') }))
  expect(result).toMatchObject({ status: 'completed', stdout: 'hi\n', errorCode: 'IO' })
  expect(result.error).toContain('link')
  expect(readFileSync(join(dir, 'victim'), 'utf8')).toBe('')
})

test('a log directory that is a link is an error that the result tells', async () => {
  const dir = temporary()
  mkdirSync(join(dir, 'real'), { mode: 0o700 })
  symlinkSync(join(dir, 'real'), join(dir, 'logs'))
  const result = await newEngine({ logDir: join(dir, 'logs') }).run(exec('echo', 'hi'))
  expect(result).toMatchObject({ status: 'completed', errorCode: 'IO', logPath: null })
})

test('streamOutput false: no lines, only the result, and the events of the start and the end', async () => {
  const lines: string[] = []
  const types: string[] = []
  const engine = newEngine({ streamOutput: false })
  engine.onEvent(({ eventType }) => void types.push(eventType))
  const result = await engine.run(exec('seq', '3'), {
    onStdout: (line) => void lines.push(line),
    onEvent: ({ eventType }) => void types.push(eventType),
  })
  expect(result.stdout).toBe('1\n2\n3\n')
  expect(lines).toEqual([])
  expect(types).toEqual(['started', 'started', 'completed', 'completed'])
  for await (const { eventType } of engine.stream(exec('seq', '3'))) types.push(eventType)
  expect(types.slice(4)).toEqual(['started', 'started', 'completed', 'completed'])
})

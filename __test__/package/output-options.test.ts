// What a request may say about its output: where it goes, how it is told, and what is kept of it.

import { existsSync, linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import type { ExecutionEvent, ExecutionRequest } from '../../index.js'
import { exec, newEngine, shell, temporary } from './support.js'

/** Waits, in the shell, for a file: what goes on then has seen that the test has seen what came before. */
const untilThere = (file: string): string => `while ! [ -e '${file}' ]; do sleep 0.01; done`

/** The lines of the log, without their times. */
const entries = (log: string): string[] => log.split('\n').map((line) => line.replace(/^\S+ /, ''))

// Where a stream goes.

test('standard error in the pipe of standard output keeps the exact order, and is standard output', async () => {
  const engine = newEngine()
  const told: string[] = []
  const streams = new Set<string>()
  const command = 'i=0; while [ $i -lt 300 ]; do echo "out $i"; echo "err $i" >&2; i=$((i+1)); done'
  const result = await engine.run(shell(command, { stderr: 'stdout' }), {
    onStdout: (line) => void told.push(line),
    onStderr: (line) => void told.push(`error: ${line}`),
    onEvent: ({ eventType }) => void streams.add(eventType),
  })
  const expected = Array.from({ length: 300 }, (_, i) => [`out ${i}`, `err ${i}`]).flat()
  expect(result).toMatchObject({ stderr: '', stderrBytes: 0, stdoutBytes: result.stdout.length })
  expect(result.stdout).toBe(expected.map((line) => `${line}\n`).join(''))
  expect(result.all).toBe(result.stdout)
  expect(told).toEqual(expected)
  expect([...streams]).toEqual(['started', 'stdout', 'completed'])
  const log = entries(await engine.readLogs(result.id))
  expect(log.slice(0, 2)).toEqual(['stdout F out 0', 'stdout F err 0'])
})

test('an ignored stream leads to the null device: nothing of it is kept, counted, told or logged', async () => {
  const engine = newEngine()
  const told: string[] = []
  const command = 'echo out; echo err >&2; link=$(readlink /proc/$$/fd/1); echo $link >&2'
  const options = {
    onStdout: (line: string) => void told.push(line),
    onStderr: (line: string) => void told.push(line),
    onStdoutBytes: (chunk: Buffer) => void told.push(chunk.toString()),
  }
  const out = await engine.run(shell(command, { stdout: 'ignore' }), options)
  expect(out).toMatchObject({ success: true, stdout: '', stdoutBytes: 0, stderr: 'err\n/dev/null\n', truncated: false })
  expect(told).toEqual(['err', '/dev/null'])
  expect(entries(await engine.readLogs(out.id))).toEqual(['stderr F err', 'stderr F /dev/null', ''])
  const both = await engine.run(shell(command, { stdout: 'ignore', stderr: 'stdout' }), options)
  expect(both).toMatchObject({ success: true, stdout: '', stderr: '', logPath: null })
  expect(told.length).toBe(2)
})

test.each([
  ['ignored', '', { stdout: 'ignore', stderr: 'ignore' }],
  ['closed', 'exec >&- 2>&-; ', {}],
] as const)('a command whose output is %s reads its input to the end', async (_, before, request) => {
  const count = join(temporary(), 'count')
  const stdin = 'x'.repeat(1_000_000)
  const result = await newEngine().run(shell(`${before}sleep 0.05; wc -c > '${count}'`, { stdin, ...request }))
  expect(result).toMatchObject({ success: true, error: null })
  expect(Number(readFileSync(count, 'utf8'))).toBe(stdin.length)
})

test('a background process is ended and told of although no output is read', async () => {
  const result = await newEngine().run(shell('sleep 600 & echo x', { stdout: 'ignore', stderr: 'ignore' }))
  expect(result).toMatchObject({ success: true, leftoverProcesses: true })
})

test('a file of a stream holds byte for byte what was printed, private, and is the only place', async () => {
  const engine = newEngine()
  const workingDir = temporary()
  const raw = join(workingDir, 'raw')
  const told: unknown[] = []
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
  const request: ExecutionRequest = {
    ...exec('sh', '-c', 'cat; echo err >&2'),
    stdin: bytes,
    workingDir,
    stdout: { file: 'made/out.bin' },
    stderr: { file: join(workingDir, 'err.txt') },
    outputLogPath: raw,
    keepBytes: true,
  }
  const tell = (value: unknown) => void told.push(value)
  const result = await engine.run(request, { onStdout: tell, onStderr: tell, onStdoutBytes: tell })
  expect(result).toMatchObject({
    success: true,
    error: null,
    stdout: '',
    stderr: '',
    truncated: false,
    logPath: null,
    stdoutBytes: 256,
    stderrBytes: 4,
    bytes: { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) },
  })
  expect(told).toEqual([])
  expect(existsSync(raw)).toBe(false)
  expect(readFileSync(join(workingDir, 'made/out.bin'))).toEqual(bytes)
  expect(readFileSync(join(workingDir, 'err.txt'), 'utf8')).toBe('err\n')
  expect(statSync(join(workingDir, 'made')).mode & 0o777).toBe(0o700)
  expect(statSync(join(workingDir, 'made/out.bin')).mode & 0o777).toBe(0o600)
})

test('a file of a stream is written anew, is there although nothing was printed, and takes both streams in order', async () => {
  const engine = newEngine()
  const file = join(temporary(), 'out')
  writeFileSync(file, 'what was there before, and is longer')
  await engine.run(shell('echo a; echo b >&2; echo c', { stdout: { file }, stderr: 'stdout' }))
  expect(readFileSync(file, 'utf8')).toBe('a\nb\nc\n')
  await engine.run(shell(':', { stdout: { file } }))
  expect(readFileSync(file, 'utf8')).toBe('')
})

test('a large stream goes into its file whole, whatever the limits of result and log are', async () => {
  const engine = newEngine({
    maxOutputSizeBytes: 10,
    maxLogSizeBytes: 10,
    oversizedOutputStrategy: 'fail_execution',
  })
  const file = join(temporary(), 'out')
  const result = await engine.run(shell('head -c 5000000 /dev/zero', { stdout: { file } }))
  expect(result).toMatchObject({ success: true, stdoutBytes: 5_000_000, truncated: false, error: null })
  expect(statSync(file).size).toBe(5_000_000)
})

test('a link, another name and a file that cannot be opened fail the start: the command is not run', async () => {
  const engine = newEngine()
  const dir = temporary()
  const [ran, target] = [join(dir, 'ran'), join(dir, 'target')]
  writeFileSync(target, 'untouched')
  symlinkSync(target, join(dir, 'symbolic'))
  mkdirSync(join(dir, 'other'))
  linkSync(target, join(dir, 'other/name'))
  for (const file of ['symbolic', 'other/name', 'other', 'target/within']) {
    const result = await engine.run(shell(`touch '${ran}'`, { stdout: { file: join(dir, file) } }))
    expect(result).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED', pid: null })
    expect(result.error).toContain(`its standard output to "${join(dir, file)}"`)
  }
  expect(existsSync(ran)).toBe(false)
  expect(readFileSync(target, 'utf8')).toBe('untouched')
})

test.each([
  [{ stdout: 'stdout' }, 'stdout', '"capture" or "ignore" or { file }'],
  [{ stderr: 'inherit' }, 'stderr', '"capture" or "ignore" or "stdout" or { file }'],
  [{ stdout: {} }, 'stdout.file', 'a string'],
  [{ stdout: { file: new URL('https://example.org/x') } }, 'stdout.file', 'a path, or the URL of a file'],
  [{ stdout: { file: '' } }, 'stdout.file', 'a text that is not empty'],
  [{ stderr: { file: 'a\0b' } }, 'stderr.file', 'a text without NUL bytes'],
  [{ stdout: { path: 'x' } }, 'stdout.path', 'file'],
  [{ stdout: { file: 'x' }, stderr: { file: 'x' } }, 'stderr.file', 'another file'],
  [{ splitOn: 'crlf' }, 'splitOn', '"lf" or "cr-or-lf"'],
  [{ keepBytes: 1 }, 'keepBytes', 'a boolean'],
])('%j is refused', async (more, field, expected) => {
  const refused = newEngine().run(shell('true', more as object))
  await expect(refused).rejects.toMatchObject({ code: 'VALIDATION', field, message: expect.stringContaining(expected) })
})

test('a file of a stream may be a URL', async () => {
  const dir = temporary()
  const [out, err] = [join(dir, 'out put'), join(dir, 'err')]
  const request = shell('echo one; echo two >&2', { stdout: { file: pathToFileURL(out) }, stderr: { file: err } })
  expect(await newEngine().run(request)).toMatchObject({ status: 'completed', stdout: '', stderr: '' })
  expect([out, err].map((file) => readFileSync(file, 'utf8'))).toEqual(['one\n', 'two\n'])
})

test('one file for both streams is refused however it is spelled, also in a plan, and left as it is', async () => {
  const engine = newEngine()
  const dir = temporary()
  const file = join(dir, 'file')
  mkdirSync(join(dir, 'sub'))
  symlinkSync(dir, join(dir, 'link'))
  for (const isThere of [false, true]) {
    if (isThere) writeFileSync(file, 'untouched')
    for (const other of ['./file', 'sub/../file', 'link/file', join(dir, 'link', 'file'), pathToFileURL(file)]) {
      const request = shell('echo one; echo two >&2', {
        workingDir: dir,
        stdout: { file: 'file' },
        stderr: { file: other },
      })
      const expected = { code: 'VALIDATION', message: expect.stringContaining('another file than that of stdout') }
      await expect(engine.run(request)).rejects.toMatchObject({ ...expected, field: 'stderr.file' })
      await expect(engine.runPlan({ steps: { one: request } })).rejects.toMatchObject({
        ...expected,
        field: 'steps.one.stderr.file',
      })
      expect(existsSync(file) && readFileSync(file, 'utf8')).toBe(isThere && 'untouched')
    }
  }
})

// Bytes, and the order of both streams.

test('the result keeps the bytes unchanged where that is asked for, as far as the text goes', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 1000 })
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, byte) => 255 - byte))
  const request: ExecutionRequest = { ...exec('sh', '-c', 'cat; echo err >&2'), stdin: bytes, keepBytes: true }
  const result = await engine.run(request)
  expect(result.bytes?.stdout).toBeInstanceOf(Buffer)
  expect(result.bytes).toEqual({ stdout: bytes, stderr: Buffer.from('err\n') })
  // Whoever asks later has bytes of their own.
  result.bytes?.stdout.fill(0)
  expect((await engine.getResult(result.id)).bytes?.stdout).toEqual(bytes)
  expect((await engine.waitForCompletion(result.id)).bytes?.stdout).toEqual(bytes)
  const longer = await engine.run({ ...exec('head', '-c', '2000', '/dev/zero'), keepBytes: true })
  expect(longer.bytes?.stdout).toEqual(Buffer.alloc(1000))
  expect((await engine.run(exec('echo', 'x'))).bytes).toBe(null)
})

test('all holds both streams in the order in which they were read, and is not listed', async () => {
  const engine = newEngine()
  const dir = temporary()
  const go = (step: number) => join(dir, String(step))
  const commands = ["printf 'a€'", "printf 'b\\303' >&2", "printf '\\251\\n' >&2", "printf 'c\\377'", 'echo d >&2']
  let seen = 0
  const events: ExecutionEvent[] = []
  const step = () => writeFileSync(go(seen++), '')
  const result = await engine.run(shell(commands.map((one, i) => `${one}; ${untilThere(go(i))}`).join('; ')), {
    onStdoutBytes: step,
    onStderrBytes: step,
    onEvent: (event) => void events.push(event),
  })
  // The half of a character waits for its other half.
  const expected = 'a€bé\nc\ufffdd\n'
  expect(result.all).toBe(expected)
  expect(Object.keys(result)).not.toContain('all')
  expect({ ...result }).not.toHaveProperty('all')
  expect((await engine.getResult(result.id)).all).toBe(expected)
  expect(events.at(-1)).toMatchObject({ result: { all: expected } })
})

test('all has what one stream alone printed, and the warning of what is missing', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 4 })
  expect((await engine.run(shell('echo err >&2'))).all).toBe('err\n')
  expect((await engine.run(shell('echo out'))).all).toBe('out\n')
  const cut = await engine.run(shell('echo outside; echo e >&2'))
  expect(cut.all).toContain('outs')
  expect(cut.all).toContain('e\n')
  expect(cut.all).toContain(cut.stdout.slice(4))
  expect(cut.all.length).toBe(cut.stdout.length + cut.stderr.length)
})

test('chunks come as they are read, unchanged, with lines or without', async () => {
  const engine = newEngine()
  const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7) % 256))
  const chunks: Buffer[] = []
  const lines: string[] = []
  const request = { ...exec('sh', '-c', 'cat; echo err >&2'), stdin: bytes }
  const onStdoutBytes = (chunk: Buffer) => {
    chunks.push(Buffer.from(chunk))
    // It is the callback's own.
    chunk.fill(0)
  }
  const errors: string[] = []
  const onStderrBytes = (chunk: Buffer) => void errors.push(chunk.toString())
  await engine.run(request, { onStdoutBytes, onStderrBytes })
  expect(Buffer.concat(chunks)).toEqual(bytes)
  expect(errors.join('')).toBe('err\n')
  chunks.length = 0
  const result = await engine.run(request, { onStdoutBytes, onStdout: (line) => void lines.push(line) })
  expect(Buffer.concat(chunks)).toEqual(bytes)
  expect(lines.length).toBeGreaterThan(300)
  expect(result.stdout).toBe(new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes))
})

test('a chunk is awaited, and comes before the lines that it completes', async () => {
  const order: string[] = []
  // In one write, of which a shell might make two.
  await newEngine().run(
    { ...exec('cat'), stdin: 'a\nb\n' },
    {
      onStdoutBytes: async (chunk) => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        order.push(chunk.toString())
      },
      onStdout: (line) => void order.push(line),
    },
  )
  expect(order).toEqual(['a\nb\n', 'a', 'b'])
})

test('a callback that does not take its chunks holds the command back, in bounded memory', async () => {
  const engine = newEngine({ logOutput: false, drainMaxMs: 200, maxOutputSizeBytes: 1000 })
  let taken = 0
  const result = await engine.run(shell('yes', { timeoutMs: 700 }), {
    onStdoutBytes: (chunk) => {
      taken += chunk.length
      return new Promise(() => {})
    },
  })
  expect(result).toMatchObject({ status: 'timeout', error: expect.stringContaining('not all output was delivered') })
  expect(result.stdoutBytes).toBeLessThan(4 * 1024 * 1024)
  expect(taken).toBeLessThanOrEqual(result.stdoutBytes)
})

test('without streamOutput there are neither chunks nor unfinished lines', async () => {
  const told: unknown[] = []
  const tell = (value: unknown) => void told.push(value)
  const engine = newEngine({ streamOutput: false })
  const result = await engine.run(shell("printf 'Name: '; sleep 0.4; echo x"), {
    onStdoutBytes: tell,
    onStderrBytes: tell,
    onEvent: ({ eventType }) => tell(eventType),
  })
  expect(told).toEqual(['started', 'completed'])
  expect(result.stdout).toBe('Name: x\n')
})

// How lines are cut.

test('a progress bar is told live, step by step, where a return ends a line', async () => {
  const dir = temporary()
  const go = (step: number) => join(dir, String(step))
  // Each step waits until the one before it was told.
  const steps = [1, 2, 3].map((step) => `printf '${step}0%%\\r'; ${untilThere(go(step))}`)
  const command = `${steps.join('; ')}; printf '\\ndone\\r\\n\\nend'`
  const lines: string[] = []
  const result = await newEngine().run(shell(command, { splitOn: 'cr-or-lf', timeoutMs: 20_000 }), {
    onStdout: (line) => {
      lines.push(line)
      writeFileSync(go(lines.length), '')
    },
  })
  expect(lines).toEqual(['10%', '20%', '30%', 'done', '', 'end'])
  expect(result.stdout).toBe('10%\r20%\r30%\r\ndone\r\n\nend')
})

test('a line that stays unfinished is told as an event, and again as part of its line; callbacks get whole lines', async () => {
  const engine = newEngine()
  const answered = join(temporary(), 'answered')
  const command = `printf 'Password: '; ${untilThere(answered)}; echo given; printf 'rest'`
  const lines: string[] = []
  const chunks: string[] = []
  const events: unknown[] = []
  const unsubscribe = engine.onEvent((event) => {
    if (event.eventType === 'stdout' && event.unfinished) writeFileSync(answered, '')
  })
  const result = await engine.run(shell(command, { timeoutMs: 20_000 }), {
    onStdout: (line) => void lines.push(line),
    onStdoutBytes: (chunk) => void chunks.push(chunk.toString()),
    onEvent: (event) => {
      if (event.eventType === 'stdout') events.push({ ...event, timestamp: '' })
    },
  })
  unsubscribe()
  const of = { executionId: result.id, metadata: { tags: {} }, planId: null, step: null }
  const event = { eventType: 'stdout', ...of, timestamp: '' }
  expect(events).toEqual([
    { ...event, line: 'Password: ', partial: true, unfinished: true },
    { ...event, line: 'Password: given', partial: false },
    { ...event, line: 'rest', partial: false },
  ])
  expect(lines).toEqual(['Password: given', 'rest'])
  expect(chunks.join('')).toBe(result.stdout)
})

test('an unfinished line is told by a stream too, once for each silence, and cut between characters', async () => {
  const dir = temporary()
  const [first, second] = [join(dir, 'first'), join(dir, 'second')]
  const command = `printf 'a\\342' >&2; ${untilThere(first)}; printf '\\202\\254b' >&2; ${untilThere(second)}; echo c >&2`
  const told: [string, boolean | undefined][] = []
  for await (const event of newEngine().stream(shell(command, { timeoutMs: 20_000 }))) {
    if (event.eventType !== 'stderr') continue
    told.push([event.line, event.unfinished])
    writeFileSync(event.line === 'a' ? first : second, '')
  }
  expect(told).toEqual([
    ['a', true],
    ['a€b', true],
    ['a€bc', undefined],
  ])
})

// Colors.

const variables = 'echo "$FORCE_COLOR,$CLICOLOR_FORCE,$TERM,${NO_COLOR-none}"'

test('color asks programs for colors, and what the request says itself wins', async () => {
  const engine = newEngine()
  const before = { TERM: process.env['TERM'], NO_COLOR: process.env['NO_COLOR'] }
  const of = async (request: Partial<ExecutionRequest>) => (await engine.run(shell(variables, request))).stdout.trim()
  try {
    Object.assign(process.env, { TERM: 'dumb', NO_COLOR: '1' })
    expect(await of({ color: true })).toBe('1,1,xterm-256color,none')
    expect(await of({ color: true, env: { FORCE_COLOR: '3', TERM: 'vt100', NO_COLOR: '' } })).toBe('3,1,vt100,')
    expect(await of({ color: true, env: { FORCE_COLOR: undefined } })).toBe(',1,xterm-256color,none')
    expect(await of({})).toMatch(/,dumb,1$/)
    process.env['TERM'] = 'screen'
    expect(await of({ color: true })).toBe('1,1,screen,none')
    // What is not inherited does not count.
    expect(await of({ color: true, inheritEnv: false })).toBe('1,1,xterm-256color,none')
  } finally {
    for (const [name, value] of Object.entries(before)) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }
})

test('escape sequences are left out of result and log, and stay in lines, chunks and files', async () => {
  const engine = newEngine()
  const raw = join(temporary(), 'raw')
  const printed = '\x1b[1;31mred\x1b[0m \x1b]8;;https://example.com\x1b\\link\x1b]8;;\x1b\\\n'
  const lines: string[] = []
  const chunks: string[] = []
  const request = { ...exec('cat'), stdin: printed, stripAnsi: true, outputLogPath: raw, keepBytes: true }
  const result = await engine.run(request, {
    onStdout: (line) => void lines.push(line),
    onStdoutBytes: (chunk) => void chunks.push(chunk.toString()),
  })
  expect(result).toMatchObject({
    stdout: 'red link\n',
    all: 'red link\n',
    truncated: false,
    stdoutBytes: printed.length,
  })
  expect(result.bytes?.stdout.toString()).toBe('red link\n')
  expect(entries(await engine.readLogs(result.id))).toEqual(['stdout F red link', ''])
  expect(lines).toEqual([printed.slice(0, -1)])
  expect(chunks.join('')).toBe(printed)
  expect(readFileSync(raw, 'utf8')).toBe(printed)
})

test('a sequence that is split between writes is left out, and only text counts against the limit', async () => {
  const engine = newEngine({ maxOutputSizeBytes: 5 })
  const dir = temporary()
  const go = (step: number) => join(dir, String(step))
  let seen = 0
  const parts = ["printf 'a\\033'", "printf '[3'", "printf '1mb\\033]0;ti'", "printf 'tle\\007c\\n'"]
  const command = parts.map((part, i) => `${part}; ${untilThere(go(i))}`).join('; ')
  const result = await engine.run(shell(command, { stripAnsi: true, timeoutMs: 20_000 }), {
    onStdoutBytes: () => writeFileSync(go(seen++), ''),
  })
  expect(result).toMatchObject({ success: true, stdout: 'abc\n', truncated: false, stdoutBytes: 19 })
})

// Secrets.

test('a secret is masked in files, chunks, bytes and all', async () => {
  const engine = newEngine()
  const file = join(temporary(), 'out')
  const chunks: string[] = []
  const secrets = ['correct-horse-battery']
  const request: ExecutionRequest = { ...exec('sh', '-c', 'cat; echo x >&2'), stdin: `a ${secrets[0]} b\n`, secrets }
  const onStdoutBytes = (chunk: Buffer) => void chunks.push(chunk.toString())
  const kept = await engine.run({ ...request, keepBytes: true, stderr: 'stdout' }, { onStdoutBytes })
  expect(kept).toMatchObject({ stdout: 'a *** b\nx\n', all: 'a *** b\nx\n' })
  expect(kept.bytes?.stdout.toString()).toBe('a *** b\nx\n')
  expect(chunks.join('')).toBe('a *** b\nx\n')
  await engine.run({ ...request, stdout: { file } })
  expect(readFileSync(file, 'utf8')).toBe('a *** b\n')
  // What may be the beginning of a secret is held back, and is there in the end.
  const half = await engine.run({ ...request, stdin: 'a correct-ho', stdout: { file } })
  expect(readFileSync(file, 'utf8')).toBe('a correct-ho')
  expect(half.stdoutBytes).toBe(12)
})

test('a secret that comes together when escape sequences are left out is masked in result and log', async () => {
  const engine = newEngine()
  const request = { ...exec('cat'), secrets: ['correct-horse-battery'], stripAnsi: true, keepBytes: true }
  const whole = await engine.run({ ...request, stdin: 'a corr\x1b[1mect-horse\x1b[0m-battery b\n' })
  expect(whole).toMatchObject({ stdout: 'a *** b\n', stdoutBytes: 34, truncated: false })
  expect(whole.bytes?.stdout.toString()).toBe('a *** b\n')
  expect(entries(await engine.readLogs(whole.id))).toEqual(['stdout F a *** b', ''])
  const half = await engine.run({ ...request, stdin: 'a corr\x1b[1mect-ho' })
  expect(half).toMatchObject({ stdout: 'a correct-ho', stdoutBytes: 16 })
  expect(entries(await engine.readLogs(half.id)).join('')).toContain('correct-ho')
})

// In plans.

test('each step of a plan has its output as its request says', async () => {
  const engine = newEngine()
  const file = join(temporary(), 'out')
  const chunks: string[] = []
  const unfinished: string[] = []
  const { results } = await engine.runPlan(
    {
      strategy: { type: 'serial' },
      commands: [
        shell('echo a; echo b >&2', { stderr: 'stdout', keepBytes: true }),
        shell('echo a; echo b >&2', { stdout: { file }, stderr: 'ignore' }),
        shell("printf '1\\r2\\r'; printf '\\033[1m3'; sleep 0.4", { splitOn: 'cr-or-lf', stripAnsi: true }),
      ],
    },
    {
      onStdoutBytes: (chunk) => void chunks.push(chunk.toString()),
      onEvent: (event) => {
        if (event.eventType === 'stdout' && event.unfinished) unfinished.push(event.line)
      },
    },
  )
  expect(results.map(({ stdout, stderr, all }) => [stdout, stderr, all])).toEqual([
    ['a\nb\n', '', 'a\nb\n'],
    ['', '', ''],
    ['1\r2\r3', '', '1\r2\r3'],
  ])
  expect(results.map(({ bytes }) => bytes?.stdout.toString())).toEqual(['a\nb\n', undefined, undefined])
  expect(readFileSync(file, 'utf8')).toBe('a\n')
  expect(chunks.join('')).toBe('a\nb\n1\r2\r\x1b[1m3')
  expect(unfinished).toEqual(['\x1b[1m3'])
})

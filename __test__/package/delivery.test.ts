// Contract, section 2, 1 to 3 and 6 to 8, under load and in races.

import { constants } from 'node:buffer'
import { readFileSync, readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { type ExecutionEvent, type ExecutionRequest } from '../../index.js'
import { exec, newEngine, newMark, shell, survivors, temporary, until } from './support.js'

test('a command that prints five megabytes and ends at once loses none of them, 50 times', async () => {
  const engine = newEngine({ logOutput: false })
  for (let i = 0; i < 50; i++) {
    const result = await engine.run(exec('head', '-c', '5000000', '/dev/zero'))
    expect([result.stdout.length, result.stdoutBytes, result.truncated]).toEqual([5_000_000, 5_000_000, false])
  }
})

test('nothing is lost while the JavaScript thread is blocked', async () => {
  let count = 0
  const engine = newEngine({ logOutput: false })
  const running = engine.run(exec('seq', '300000'), { onStdout: () => void (count += 1) })
  await sleep(5)
  const end = Date.now() + 300
  while (Date.now() < end);
  const result = await running
  expect([count, result.stdout.length, result.status]).toEqual([300_000, 1_988_895, 'completed'])
})

test('both streams are read at the same time', async () => {
  const both = 'head -c 2000000 /dev/zero >&2 & head -c 2000000 /dev/zero; wait'
  const result = await newEngine({ logOutput: false }).run(shell(both))
  expect([result.stdoutBytes, result.stderrBytes, result.stderr.length]).toEqual([2_000_000, 2_000_000, 2_000_000])
})

test('lines of both streams reach their own callback', async () => {
  const seen: [string[], string[]] = [[], []]
  await newEngine().run(shell('echo out; echo err >&2; printf last >&2'), {
    onStdout: (line) => void seen[0].push(line),
    onStderr: (line) => void seen[1].push(line),
  })
  expect(seen).toEqual([['out'], ['err', 'last']])
})

test('a million lines arrive all, in order', async () => {
  let next = 1
  let wrong = 0
  await newEngine({ logOutput: false }).run(exec('seq', '1000000'), {
    onStdout: (line) => {
      if (line !== String(next)) wrong += 1
      next += 1
    },
  })
  expect([next, wrong]).toEqual([1_000_001, 0])
})

test('a callback sees every line before waitForCompletion and the terminal event', async () => {
  const engine = newEngine({ logOutput: false })
  for (let i = 0; i < 30; i++) {
    let count = 0
    let told: (count: number) => void
    const atEnd = new Promise<number>((resolve) => (told = resolve))
    const id = await engine.execute(exec('seq', '5000'), {
      onStdout: () => void (count += 1),
      onEvent: ({ eventType }) => {
        if (eventType === 'completed') told(count)
      },
    })
    await engine.waitForCompletion(id)
    const atSettling = count
    expect([atSettling, await atEnd]).toEqual([5000, 5000])
  }
})

test('the warning of a truncation is no line', async () => {
  const lines: string[] = []
  const engine = newEngine({ maxOutputSizeBytes: 2 })
  const result = await engine.run(exec('seq', '3'), { onStdout: (line) => void lines.push(line) })
  expect(result).toMatchObject({ truncated: true, stdoutBytes: 6 })
  expect(lines).toEqual(['1', '2', '3'])
})

test('an output of exactly the limit is not truncated', async () => {
  for (const oversizedOutputStrategy of ['truncate_with_warning', 'fail_execution', 'stream_to_file'] as const) {
    const engine = newEngine({ maxOutputSizeBytes: 6, oversizedOutputStrategy })
    expect(await engine.run(exec('seq', '3'))).toMatchObject({
      status: 'completed',
      stdout: '1\n2\n3\n',
      truncated: false,
      stdoutOverflowFile: null,
      error: null,
    })
  }
})

test('no limit is larger than what a string can hold', () => {
  const { config } = newEngine({ maxOutputSizeBytes: Number.MAX_SAFE_INTEGER, maxLineSizeBytes: 2 ** 40 })
  for (const limit of [config.maxOutputSizeBytes, config.maxLineSizeBytes]) {
    expect(limit).toBeLessThan(constants.MAX_STRING_LENGTH)
    expect(limit).toBeGreaterThan(2 ** 27)
  }
})

test('a long line is cut between characters', async () => {
  const engine = newEngine({ maxLineSizeBytes: 10 })
  const lines: string[] = []
  await engine.run(exec('echo', '€'.repeat(10)), { onStdout: (line) => void lines.push(line) })
  expect(lines.join('')).toBe('€'.repeat(10))
  expect(Math.max(...lines.map((line) => Buffer.byteLength(line)))).toBeLessThanOrEqual(10)
})

test('lines of every length arrive whole, to callbacks and as events', async () => {
  const lengths = [0, 1, 65_534, 65_535, 65_536, 131_069, 131_070, 131_071, 0, 200_000, 7]
  for (const letter of ['x', 'é', '𝄞']) {
    const printed = lengths.map((length) => letter.repeat(length))
    const engine = newEngine({ logOutput: false })
    const request: ExecutionRequest = { ...exec('cat'), stdin: printed.join('\n') + '\n' }
    const seen = { lines: [] as string[], events: [] as string[] }
    await engine.run(request, {
      onStdout: (line) => void seen.lines.push(line),
      onEvent: (event) => void (event.eventType === 'stdout' && seen.events.push(event.line)),
    })
    expect(seen.lines.map((line) => line.length)).toEqual(printed.map((line) => line.length))
    expect(seen.lines.join() === printed.join() && seen.events.join() === printed.join()).toBe(true)
  }
})

test('a line in very many pieces arrives as fast as very many lines', async () => {
  const engine = newEngine({ logOutput: false, maxLineSizeBytes: 4 })
  let [pieces, partial] = [0, 0]
  const begun = performance.now()
  await engine.run(shell('head -c 800000 /dev/zero | tr "\\0" x'), {
    onEvent: (event) => {
      if (event.eventType !== 'stdout') return
      pieces += 1
      partial += Number(event.partial)
    },
  })
  expect([pieces, partial]).toEqual([200_000, 199_999])
  expect(performance.now() - begun).toBeLessThan(4000)
})

test('no line comes after the end, not even to a callback that has fallen behind', async () => {
  const engine = newEngine({ logOutput: false, drainMaxMs: 100 })
  const release: (() => void)[] = []
  const lines: string[] = []
  const hang = (line: string) => {
    lines.push(line)
    return new Promise<void>((resolve) => release.push(resolve))
  }
  const result = await engine.run(shell('seq 1000; sleep 60', { timeoutMs: 100 }), {
    onStdout: hang,
    onEvent: (event) => (event.eventType === 'stdout' ? hang(event.line) : undefined),
  })
  expect(result.status).toBe('timeout')
  expect(result.error).toContain('not all output was delivered')
  for (const resolve of release) resolve()
  await sleep(50)
  expect(lines).toEqual(['1', '1'])
})

test('memory is bounded whatever a command prints, in lines or in none', async () => {
  const engine = newEngine({ logOutput: false, maxOutputSizeBytes: 1_000_000 })
  const before = process.memoryUsage().rss
  let pieces = 0
  const result = await engine.run(exec('head', '-c', '400000000', '/dev/zero'), { onStdout: () => void (pieces += 1) })
  expect(result).toMatchObject({ status: 'completed', stdoutBytes: 400_000_000, truncated: true })
  expect(pieces).toBeGreaterThanOrEqual(381)
  expect(process.memoryUsage().rss - before).toBeLessThan(100e6)
})

test('memory is bounded while a callback is slow', async () => {
  const engine = newEngine({ logOutput: false })
  const before = process.memoryUsage().rss
  let count = 0
  const result = await engine.run(shell('yes 0123456789012345678901234567890123456789', { timeoutMs: 1500 }), {
    onStdout: async () => {
      if (++count % 5000 === 0) await sleep(20)
    },
  })
  expect(result.status).toBe('timeout')
  expect(count).toBeGreaterThan(5000)
  expect(process.memoryUsage().rss - before).toBeLessThan(80e6)
})

test('timers run while a command prints without a pause', async () => {
  const engine = newEngine({ logOutput: false, maxOutputSizeBytes: 1000 })
  const stop = new AbortController()
  let lines = 0
  const begun = Date.now()
  const run = engine.run(exec('yes'), { onStdout: () => void (lines += 1), signal: stop.signal })
  // A timer waits for the queue of the engine to be empty.
  for (let i = 0; i < 20; i++) await sleep(5)
  expect(Date.now() - begun).toBeLessThan(3000)
  await until(() => lines > 100_000, '100 000 lines')
  stop.abort()
  expect((await run).status).toBe('cancelled')
}, 10_000)

test('an end that coincides with the deadline is one of the two, 100 times', async () => {
  const engine = newEngine({ logOutput: false })
  const seen = await Promise.all(
    Array.from({ length: 100 }, async (_, i) => {
      const terminal: string[] = []
      const request = { ...exec('sleep', '0.1'), timeoutMs: 95 + (i % 12) }
      const result = await engine.run(request, {
        onEvent: ({ eventType }) => {
          if (!['started', 'stdout', 'stderr'].includes(eventType)) terminal.push(eventType)
        },
      })
      expect(terminal).toEqual([result.status])
      return result.status
    }),
  )
  expect(seen.filter((status) => status !== 'completed' && status !== 'timeout')).toEqual([])
})

test('an exit code of 0 never overrides a cancel', async () => {
  const engine = newEngine()
  const types: string[] = []
  const id = await new Promise<string>((resolve) => {
    const request = shell("exec 2>/dev/null; trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    const onEvent = (event: ExecutionEvent) => {
      types.push(event.eventType)
      if (event.eventType === 'stdout') resolve(event.executionId)
    }
    void engine.execute(request, { onEvent })
  })
  await engine.cancel(id)
  expect(await engine.getResult(id)).toMatchObject({ status: 'cancelled', success: false, exitCode: 0, forced: false })
  expect(types).toEqual(['started', 'stdout', 'cancelled'])
})

test('what somebody else kills is neither cancelled nor timed out', async () => {
  const engine = newEngine()
  const result = await engine.run(exec('sleep', '60'), {
    onEvent: (event) => {
      if (event.eventType === 'started') process.kill(event.pid, 'SIGKILL')
    },
  })
  expect(result).toMatchObject({ status: 'failed', exitCode: null, signal: 'SIGKILL', errorCode: null })
})

test('a hundred waits for one execution get the same result', async () => {
  const engine = newEngine()
  const id = await engine.execute(shell('sleep 0.1; echo done'))
  const results = await Promise.all(Array.from({ length: 100 }, () => engine.waitForCompletion(id)))
  results.push(await engine.waitForCompletion(id))
  for (const result of results) expect(result).toEqual(results[0])
  expect(results[0].stdout).toBe('done\n')
})

test('a start that failed gives its slot back', async () => {
  const engine = newEngine({ maxConcurrentExecutions: 1 })
  for (let i = 0; i < 5; i++) expect((await engine.run(exec('no-such-program'))).errorCode).toBe('SPAWN_FAILED')
  expect((await engine.run(exec('true'))).status).toBe('completed')
})

test('arguments that are too long, a bad interpreter line and a directory as a program are results', async () => {
  const engine = newEngine()
  const long = await engine.run(exec('true', 'x'.repeat(3_000_000)))
  expect(long).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED', pid: null })
  expect(await engine.run(exec('/tmp'))).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED' })
})

test('descriptors and threads do not grow with the number of executions', async () => {
  const engine = newEngine({ logOutput: false })
  const count = () => [readdirSync('/proc/self/fd').length, readdirSync('/proc/self/task').length]
  await Promise.all(Array.from({ length: 50 }, () => engine.run(exec('echo', 'x'))))
  const before = count()
  for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 50 }, () => engine.run(exec('echo', 'x'))))
  const after = count()
  expect(after[0]).toBeLessThanOrEqual(before[0] + 3)
  expect(after[1]).toBeLessThanOrEqual(before[1] + 2)
  // No zombie is left either.
  const zombies = readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/stat`, 'latin1').includes(`) Z ${process.pid} `)
    } catch {
      return false
    }
  })
  expect(zombies).toEqual([])
})

test('a background process that still prints is asked to end and is told of, each of 20 times', async () => {
  const engine = newEngine({ logOutput: false, drainMaxMs: 200 })
  const ready = `${temporary()}/$$`
  const background = `(exec 2>/dev/null; trap 'echo asked; exit' TERM; : >${ready}; while :; do echo more; sleep 0.002; done) &
    until [ -e ${ready} ]; do sleep 0.01; done; echo hi`
  const results = await Promise.all(Array.from({ length: 20 }, () => engine.run(shell(background))))
  for (const { status, leftoverProcesses, stdout } of results) {
    expect([status, leftoverProcesses]).toEqual(['completed', true])
    expect(stdout.endsWith('more\nasked\n')).toBe(true)
  }
})

test('what the pipe still holds when reading ends is read, all of it', async () => {
  const mark = newMark()
  const engine = newEngine({ drainIdleMs: 100, drainMaxMs: 200, logOutput: false })
  let lines = 0
  let first = true
  // More than may be on its way to a callback, and the rest fills the pipe. Somebody else holds that open.
  const line = `sleep ${mark} & yes ${'x'.repeat(99)} | head -n 12000`
  const result = await engine.run(shell(line, { keepBackground: true }), {
    onStdout: async () => {
      lines += 1
      if (first) await sleep(800)
      first = false
    },
  })
  for (const pid of survivors(mark)) process.kill(pid, 'SIGKILL')
  expect(result).toMatchObject({ status: 'completed', stdoutBytes: 1_200_000, error: null })
  expect([result.stdout.length, lines]).toEqual([1_200_000, 12_000])
})

// What is printed, and how it is read: by callbacks, in results, in logs.

import { randomUUID } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import type { ExecutionEvent, LogLine } from '@escher-dbai/execution-engine'
import { newMark, until } from '../../../__test__/processes.mjs'
import { everybody, exec, outcomeOf, shell, temporary } from './executors'

describe.each(everybody)('$name', ({ start, differs }) => {
  test('output is byte for byte what was printed, up to a limit, with exact counts', async () => {
    const executor = await start()
    for (const printed of ['one\ntwo\n', 'no end', '\n\n', ' \t é 𝄞 \r\n', '']) {
      const result = await executor.run({ ...exec('cat'), stdin: printed })
      expect([result.stdout, result.stdoutBytes]).toEqual([printed, Buffer.byteLength(printed)])
    }
    const most = Math.min(differs.most, 200_000)
    const long = await executor.run(shell('head -c 200000 /dev/zero | tr "\\0" x; echo two >&2'))
    expect(long).toMatchObject({ status: 'completed', stdoutBytes: 200_000, stderr: 'two\n', stderrBytes: 4 })
    expect(long.stdout.length).toBe(most)
    expect(long.truncated).toBe(most < 200_000)
  })

  test('a head of a result ends between characters', async () => {
    const executor = await start({ maxOutputSizeBytes: 65_536 })
    const { stdout, stdoutBytes, truncated } = await executor.run(shell('yes € | tr -d "\\n" | head -c 150000'))
    expect([truncated, stdoutBytes]).toEqual([true, 150_000])
    expect(/^€+/.exec(stdout)?.[0].length).toBe(21_845)
  })

  test('lines end at line feeds: a carriage return before one is dropped, a lone one stays, the last needs none', async () => {
    const executor = await start()
    const lines: string[] = []
    const stdin = 'a\r\nb\rc\n\nlast €'
    await executor.run({ ...exec('cat'), stdin }, { onStdout: (line) => void lines.push(line) })
    expect(lines).toEqual(['a', 'b\rc', '', 'last €'])
  })

  test('a character that is split between two writes arrives whole', async () => {
    const executor = await start()
    const lines: string[] = []
    await executor.run(shell("printf '\\342\\202'; sleep 0.2; printf '\\254\\n'"), {
      onStdout: (line) => void lines.push(line),
    })
    expect(lines).toEqual(['€'])
  })

  test('a line that is too long comes in pieces, cut between characters', async () => {
    const executor = await start({ maxLineSizeBytes: 1000 })
    const events: ExecutionEvent[] = []
    await executor.run(shell('yes é | tr -d "\\n" | head -c 5000; echo; echo next'), {
      onEvent: (event) => void (event.eventType === 'stdout' && events.push(event)),
    })
    const pieces = events.map((event) => (event.eventType === 'stdout' ? [event.line, event.partial] : []))
    expect(pieces.at(-1)).toEqual(['next', false])
    expect(
      pieces
        .slice(0, -1)
        .map(([text]) => text)
        .join(''),
    ).toBe('é'.repeat(2500))
    expect(pieces.filter(([, partial]) => partial === true).length).toBeGreaterThan(3)
  })

  test('lines of both streams reach their own callback, and events carry them in one order', async () => {
    const executor = await start()
    const seen = { out: [] as string[], err: [] as string[], events: [] as string[] }
    await executor.run(shell('for i in 1 2 3; do echo o$i; echo e$i >&2; done'), {
      onStdout: (line) => void seen.out.push(line),
      onStderr: (line) => void seen.err.push(line),
      onEvent: (event) => {
        if (event.eventType === 'stdout' || event.eventType === 'stderr') seen.events.push(event.line)
      },
    })
    expect([seen.out, seen.err]).toEqual([
      ['o1', 'o2', 'o3'],
      ['e1', 'e2', 'e3'],
    ])
    expect([...seen.events].sort()).toEqual(['e1', 'e2', 'e3', 'o1', 'o2', 'o3'])
  })

  test('a hundred thousand lines arrive all, once, in order', async () => {
    const executor = await start()
    let [next, wrong] = [1, 0]
    const result = await executor.run(exec('seq', '100000'), {
      onStdout: (line) => {
        if (line !== String(next)) wrong += 1
        next += 1
      },
    })
    expect([next, wrong, result.error, result.stdoutBytes]).toEqual([100_001, 0, null, 588_895])
  })

  test('the first line after silence comes at once', async () => {
    const executor = await start()
    const seen: number[] = []
    await executor.run(shell('for i in 1 2 3 4 5 6 7; do date +%s%3N; sleep 0.4; done'), {
      onStdout: (line) => void seen.push(Date.now() - Number(line)),
    })
    expect(seen).toHaveLength(7)
    // Far less than what the command sleeps: nobody waits for more to come. What else the machine does may hold up some.
    expect(seen.sort((a, b) => a - b)[3]).toBeLessThan(200)
  })

  test('a command blocks while a callback has not returned, and loses nothing of what it prints', async () => {
    const executor = await start()
    const file = join(temporary(), 'count')
    const kib = 'x'.repeat(1023)
    // It prints a KiB at a time, and a byte into the file for each.
    const script = `exec 3> ${file}; i=0; while [ $i -lt 8000 ]; do i=$((i+1)); echo ${kib}; printf x >&3; done`
    let release = () => {}
    const held = new Promise<void>((resolve) => (release = resolve))
    let lines = 0
    const running = executor.run(shell(script, { timeoutMs: 60_000 }), {
      onStdout: () => {
        lines += 1
        return lines === 1 ? held : undefined
      },
    })
    const printed = () => statSync(file, { throwIfNoEntry: false })?.size ?? 0
    let before = -1
    await until(async () => {
      const now = printed()
      const stands = now > 0 && now === before
      before = now
      if (!stands) await sleep(300)
      return stands
    }, 'the command to stand still')
    expect(printed() * 1024).toBeLessThan(differs.window)
    expect(lines).toBe(1)
    release()
    const result = await running
    expect(result).toMatchObject({ status: 'completed', stdoutBytes: 8000 * 1024, error: null })
    expect(lines).toBe(8000)
  })

  test('a command whose callback never returns can be cancelled', async () => {
    const executor = await start({ terminationGraceMs: 200, drainMaxMs: 300 })
    const controller = new AbortController()
    let first = () => {}
    const printed = new Promise<void>((resolve) => (first = resolve))
    const running = executor.run(shell('while echo y; do :; done'), {
      signal: controller.signal,
      onStdout: () => {
        first()
        return new Promise(() => {})
      },
    })
    await printed
    controller.abort()
    expect((await running).status).toBe('cancelled')
  })

  test('what a command reads: a text, bytes, a file', async () => {
    const executor = await start()
    const file = join(temporary(), 'input')
    await executor.run(shell(`printf 'from a file' > ${file}`))
    const inputs = [
      ['text €', 'text €'],
      [Buffer.from('bytes'), 'bytes'],
      [{ file }, 'from a file'],
      [undefined, ''],
    ] as const
    for (const [stdin, expected] of inputs) {
      expect((await executor.run({ ...exec('cat'), stdin })).stdout).toBe(expected)
    }
  })

  test('output goes where the request says', async () => {
    const executor = await start()
    const file = join(temporary(), 'out')
    const ignored = await executor.run(shell('echo out; echo err >&2', { stdout: 'ignore' }))
    expect([ignored.stdout, ignored.stderr]).toEqual(['', 'err\n'])
    const filed = await executor.run(shell('echo out; echo err >&2', { stdout: { file } }))
    expect([filed.stdout, filed.stderr, readFileSync(file, 'utf8')]).toEqual(['', 'err\n', 'out\n'])
    const joined = await executor.run(shell('echo 1; echo 2 >&2; echo 3', { stderr: 'stdout' }))
    expect([joined.stdout, joined.stderr]).toEqual(['1\n2\n3\n', ''])
    const kept = await executor.run(shell("printf '\\377a'", { keepBytes: true }))
    expect(kept.bytes?.stdout).toEqual(Buffer.from([0xff, 0x61]))
    expect(kept.stdout).toBe('\ufffda')
    const bare = await executor.run(shell("printf '\\033[1mbold\\033[0m'", { stripAnsi: true }))
    expect(bare.stdout).toBe('bold')
  })

  test('each child knows its execution, and has the variables of the request', async () => {
    const executor = await start()
    const { id, stdout } = await executor.run(
      shell('echo $ESCHER_EXECUTION_ID $ADDED ${HOME-none}', { env: { ADDED: 'yes', HOME: undefined } }),
    )
    expect(stdout).toBe(`${id} yes none\n`)
  })

  test('the lines of an execution can be read by pages, from anywhere on', async () => {
    const executor = await start()
    const id = await executor.execute(shell('for i in 1 2 3 4 5; do echo $i; done; printf last >&2'))
    await executor.waitForCompletion(id)
    const seen: [string, string, boolean][] = []
    let from = 0
    for (let ended = false; !ended;) {
      const page = await executor.readLogLines(id, { from, limit: 2 })
      expect(page.lines.length).toBeLessThanOrEqual(2)
      seen.push(...page.lines.map(({ stream, line, complete }): [string, string, boolean] => [stream, line, complete]))
      ;({ next: from, ended } = page)
    }
    const sorted = [...seen].sort(([a], [b]) => b.localeCompare(a))
    expect(sorted).toEqual([
      ...['1', '2', '3', '4', '5'].map((line) => ['stdout', line, true]),
      ['stderr', 'last', true],
    ])
  })

  test('a page begins at the line with a number, wherever that stands in the log', async () => {
    const executor = await start()
    const { id } = await executor.run(exec('seq', '5000'))
    const lines = async (fromLine: number, limit: number): Promise<string[]> =>
      (await executor.readLogLines(id, { fromLine, limit })).lines.map(({ line }) => line)
    expect(await lines(0, 2)).toEqual(['1', '2'])
    for (const place of [1, 999, 2500, 4999]) expect(await lines(place, 1)).toEqual([String(place + 1)])
    const page = await executor.readLogLines(id, { fromLine: 3000, limit: 1 })
    expect((await executor.readLogLines(id, { from: page.next, limit: 1 })).lines).toMatchObject([{ line: '3002' }])
    const { next, ended } = await executor.readLogLines(id, { fromLine: 4999 })
    expect(ended).toBe(true)
    for (const fromLine of [5000, 1_000_000]) {
      expect(await executor.readLogLines(id, { fromLine })).toEqual({ lines: [], next, ended: true })
    }
    const silent = await executor.execute(exec('sleep', newMark()))
    expect(await executor.readLogLines(silent, { fromLine: 7 })).toEqual({ lines: [], next: 0, ended: false })
    const [both, negative] = [{ from: 0, fromLine: 0 }, { fromLine: -1 }]
    for (const wrong of [both, negative]) {
      const refusal = { code: 'VALIDATION', field: 'options.fromLine' }
      await expect(executor.readLogLines(id, wrong)).rejects.toMatchObject(refusal)
    }
    await expect(executor.readLogLines(id, both)).rejects.toThrow(
      'options.fromLine: expected either this or "from", found both',
    )
  })

  test('an execution that nobody has submitted yet is waited for where that is asked for', async () => {
    const executor = await start()
    const all = async (id: string): Promise<string[]> => {
      const lines: string[] = []
      for await (const { line } of executor.followLogs(id, { wait: true })) lines.push(line)
      return lines
    }
    const counts = Array.from({ length: 40 }, (_, i) => [1, 3, 2000][i % 3] ?? 0)
    const ids = counts.map(() => randomUUID())
    const following = ids.map(all)
    // Some are submitted while they are looked for, others later; some have ended before they are found.
    for (const [i, id] of ids.entries()) {
      const running = executor.run({ ...exec('seq', String(counts[i])), id })
      if (i % 8 === 7) await running
    }
    for (const [i, lines] of (await Promise.all(following)).entries()) {
      expect(lines).toEqual(Array.from({ length: counts[i] ?? 0 }, (_, n) => String(n + 1)))
    }
    const id = ids[0] ?? ''
    expect(await all(id)).toEqual(['1'])
  })

  test('waiting for an execution ends with an abort and with a return, and a plan is not waited for', async () => {
    const executor = await start()
    const leave = new AbortController()
    const aborted = executor.followLogs(randomUUID(), { wait: true, signal: leave.signal })
    const waiting = aborted.next()
    leave.abort()
    expect(await waiting).toEqual({ done: true, value: undefined })
    const returned = executor.followLogs(randomUUID(), { wait: true })
    const left = returned.next()
    expect(await returned.return()).toEqual({ done: true, value: undefined })
    expect(await left).toEqual({ done: true, value: undefined })
    const planId = await executor.executePlan({ steps: { a: exec('true') } })
    const refusal = { code: 'NOT_FOUND', executionId: planId }
    await expect(executor.followLogs(planId, { wait: true }).next()).rejects.toMatchObject(refusal)
    const wrong = executor.followLogs(randomUUID(), { wait: 1 as never })
    await expect(wrong.next()).rejects.toMatchObject({ code: 'VALIDATION', field: 'options.wait' })
  })

  test('the lines of an execution can be followed while it runs, and gone on with after one of them', async () => {
    const executor = await start()
    const id = await executor.execute(shell('for i in 1 2 3 4 5 6; do echo $i; sleep 0.05; done'))
    const first: LogLine[] = []
    for await (const line of executor.followLogs(id)) {
      first.push(line)
      if (line.line === '3') break
    }
    expect(first.map(({ line }) => line)).toEqual(['1', '2', '3'])
    for (const { timestamp } of first) expect(Date.parse(timestamp)).not.toBeNaN()
    const rest: string[] = []
    for await (const { line } of executor.followLogs(id, { from: first.at(-1)!.offset })) rest.push(line)
    expect(rest).toEqual(['4', '5', '6'])
    expect((await executor.waitForCompletion(id)).status).toBe('completed')
  })

  test('a value that is a secret is printed nowhere', async () => {
    const executor = await start()
    const secret = 'hunter2-hunter2'
    const lines: string[] = []
    const request = shell(`echo $PASSWORD; echo "[$PASSWORD]" >&2`, {
      env: { PASSWORD: secret },
      secretEnv: ['PASSWORD'],
    })
    const outcome = await outcomeOf(executor.run(request, { onStdout: (line) => void lines.push(line) }))
    expect(outcome).toMatchObject(differs.secretValue)
    expect(JSON.stringify([outcome, lines])).not.toContain(secret)
  })

  test('a secret that the environment of the machine holds is named, and printed nowhere', async () => {
    const secret = 'of the machine 12345'
    process.env['MACHINE_PASSWORD'] = secret
    try {
      const executor = await start()
      const lines: string[] = []
      const result = await executor.run(shell('echo "<$MACHINE_PASSWORD>"', { secretEnv: ['MACHINE_PASSWORD'] }), {
        onStdout: (line) => void lines.push(line),
      })
      expect([result.stdout, ...lines]).toEqual(['<***>\n', '<***>'])
      const page = await executor.readLogLines(result.id)
      expect(page.lines.map(({ line }) => line)).toEqual(['<***>'])
    } finally {
      delete process.env['MACHINE_PASSWORD']
    }
  })
})

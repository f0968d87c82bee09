// Contract, section 2, "Bad input".

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ExecutionEngine, ExecutionError } from '../../index.js'
import { newEngine, speaksRust, temporary } from './support.js'

const ok = { type: 'exec', program: 'true' }

/** What is passed, the field that is to be blamed, and what the message must say was found. */
const requests: [unknown, string, string][] = [
  [undefined, 'request', 'undefined'],
  [null, 'request', 'null'],
  ['echo', 'request', '"echo"'],
  [{}, 'command', 'undefined'],
  [{ comand: ok }, 'comand', '"comand"'],
  [{ command: ok, timeout: 5 }, 'timeout', '"timeout"'],
  [{ command: { ...ok, arg: [] } }, 'command.arg', '"arg"'],
  [{ command: 'echo hi' }, 'command', '"echo hi"'],
  [{ command: { type: 'exe', program: 'x' } }, 'command.type', '"exe"'],
  [{ command: { type: 'exec', program: '' } }, 'command.program', 'empty'],
  [{ command: { type: 'exec', program: 5 } }, 'command.program', '5'],
  [{ command: { type: 'exec', program: 'a\0b' } }, 'command.program', 'NUL'],
  [{ command: { type: 'exec', program: 'echo', args: 'x' } }, 'command.args', '"x"'],
  [{ command: { type: 'exec', program: 'echo', args: ['a', 'b', 3] } }, 'command.args[2]', '3'],
  [{ command: { type: 'exec', program: 'echo', args: ['a', 'b\0'] } }, 'command.args[1]', 'NUL'],
  [{ command: { type: 'shell', command: ' ' } }, 'command.command', 'white space'],
  [{ command: { type: 'shell', command: 'true', shell: '' } }, 'command.shell', 'empty'],
  [{ command: { type: 'script', path: '/no/such/script.sh' } }, 'command.path', '/no/such/script.sh'],
  [{ command: { type: 'script', path: '/' } }, 'command.path', 'not a regular file'],
  [
    { command: { type: 'script', path: '/etc/passwd', interpreter: 'no-such-interpreter' } },
    'command.interpreter',
    'no-such-interpreter',
  ],
  [{ command: { type: 'aws_cli', service: '', operation: 'list' } }, 'command.service', 'empty'],
  [{ command: { type: 'aws_cli', service: 's3', operation: '--x' } }, 'command.operation', '"--x"'],
  [{ command: ok, id: 'not-a-uuid' }, 'id', '"not-a-uuid"'],
  [{ command: ok, timeoutMs: Number.NaN }, 'timeoutMs', 'NaN'],
  [{ command: ok, timeoutMs: 0 }, 'timeoutMs', '0'],
  [{ command: ok, timeoutMs: -1 }, 'timeoutMs', '-1'],
  [{ command: ok, timeoutMs: 1.5 }, 'timeoutMs', '1.5'],
  [{ command: ok, timeoutMs: '5' }, 'timeoutMs', '"5"'],
  [{ command: ok, timeoutMs: 2 ** 60 }, 'timeoutMs', String(2 ** 60)],
  [{ command: ok, timeoutMs: 3_600_001 }, 'timeoutMs', '3600001'],
  [{ command: ok, terminationGraceMs: 0 }, 'terminationGraceMs', '0'],
  [{ command: ok, terminationGraceMs: 2 ** 53 }, 'terminationGraceMs', String(2 ** 53)],
  [{ command: ok, env: { A: 1 } }, 'env.A', 'a number'],
  [{ command: ok, env: { 'A=B': '' } }, 'env.A=B', 'A=B'],
  [{ command: ok, env: { A: 'x\0' } }, 'env.A', 'NUL'],
  [{ command: ok, env: [] }, 'env', 'array'],
  [{ command: ok, inheritEnv: 1 }, 'inheritEnv', '1'],
  [{ command: ok, workingDir: '/no/such/dir' }, 'workingDir', '/no/such/dir'],
  [{ command: ok, workingDir: '/etc/passwd' }, 'workingDir', 'not a directory'],
  [{ command: ok, workingDir: '' }, 'workingDir', 'empty'],
  [{ command: ok, stdin: 7 }, 'stdin', 'a number'],
  [{ command: ok, metadata: { tags: { a: 1 } } }, 'metadata.tags.a', '1'],
  [{ command: ok, metadata: { sourc: 'x' } }, 'metadata.sourc', '"sourc"'],
  [{ command: ok, keepBackground: 'yes' }, 'keepBackground', '"yes"'],
]

test.each(requests)('%j is refused, and nothing is started', async (request, field, found) => {
  const engine = newEngine()
  for (const call of [engine.run, engine.execute]) {
    const refused: Promise<unknown> = Reflect.apply(call, engine, [request])
    const error: ExecutionError = await refused.then(
      () => expect.fail('accepted'),
      (reason) => reason,
    )
    expect(error).toBeInstanceOf(ExecutionError)
    expect(error).toMatchObject({ code: 'VALIDATION', field })
    expect(error.message).toMatch(/expected .*, found /)
    expect(error.message).not.toSatisfy(speaksRust)
    expect(error.message.split('found ').slice(1).join('')).toContain(found)
  }
  expect([engine.totalCount, engine.runningCount]).toEqual([0, 0])
})

test('a message names other fields too as TypeScript spells them', async () => {
  const engine = newEngine({ defaultTimeoutMs: 5, maxTimeoutMs: 5 })
  const expected = 'timeoutMs: expected a positive integer up to maxTimeoutMs, 5, found 6'
  await expect(engine.run({ command: { type: 'exec', program: 'true' }, timeoutMs: 6 })).rejects.toThrow(expected)
  const make = () => new ExecutionEngine({ defaultTimeoutMs: 10, maxTimeoutMs: 5 })
  expect(make).toThrow('defaultTimeoutMs: expected at most maxTimeoutMs, which is 5, found 10')
})

test('what was found is told as it is', async () => {
  const workingDir = '/no/max_timeout_ms'
  const refused = newEngine().run({ command: { type: 'exec', program: 'true' }, workingDir })
  await expect(refused).rejects.toThrow('workingDir: expected a directory that exists, found "/no/max_timeout_ms"')
})

test('an unknown key is answered with the nearest known one', async () => {
  const request = { command: ok, workingdir: '/' }
  await expect(newEngine().run(request as never)).rejects.toThrow('such as "workingDir", found "workingdir"')
})

test('an unknown key that is near to none is answered with all there are', async () => {
  const message = 'cwd: expected one of the keys id, command, env, inheritEnv, workingDir, umask,'
  await expect(newEngine().run({ command: ok, cwd: '/' } as never)).rejects.toThrow(message)
})

test('options are checked as well', async () => {
  const engine = newEngine()
  const request = { command: { type: 'exec' as const, program: 'true' } }
  await expect(engine.run(request, { onStdout: 5 } as never)).rejects.toMatchObject({ field: 'options.onStdout' })
  await expect(engine.run(request, { onstdout() {} } as never)).rejects.toMatchObject({ field: 'options.onstdout' })
  const half = { aborted: false, addEventListener() {} }
  for (const signal of [{}, half, { ...half, addEventListener: true, removeEventListener: true }]) {
    await expect(engine.run(request, { signal } as never)).rejects.toMatchObject({ field: 'options.signal' })
  }
})

test('what only calls itself a Uint8Array is none', async () => {
  const stdin = { [Symbol.toStringTag]: 'Uint8Array' }
  await expect(newEngine().run({ command: ok, stdin } as never)).rejects.toMatchObject({ field: 'stdin' })
})

const configs: [unknown, string][] = [
  [{ maxTimeoutMs: 0 }, 'maxTimeoutMs'],
  [{ maxConcurrentExecutions: -1 }, 'maxConcurrentExecutions'],
  [{ maxQueuedExecutions: 0.5 }, 'maxQueuedExecutions'],
  [{ defaultTimeoutMs: 10, maxTimeoutMs: 5 }, 'defaultTimeoutMs'],
  [{ logDir: '' }, 'logDir'],
  [{ logDir: 5 }, 'logDir'],
  [{ oversizedOutputStrategy: 'drop' }, 'oversizedOutputStrategy'],
  [{ streamOutput: 'no' }, 'streamOutput'],
  [{ maxConcurentExecutions: 5 }, 'maxConcurentExecutions'],
  [null, 'config'],
]

test.each(configs)('the configuration %j is refused', (config, field) => {
  let refusal: unknown
  const make = () => new ExecutionEngine(config as never)
  try {
    make()
  } catch (error) {
    refusal = error
  }
  expect(refusal).toMatchObject({ code: 'INVALID_CONFIG', field })
  expect((refusal as Error).message).toMatch(/expected .*, found /)
  expect((refusal as Error).message).not.toSatisfy(speaksRust)
})

test('a duplicate id is refused, also once its execution has finished', async () => {
  const engine = newEngine()
  const { id } = await engine.run({ command: { type: 'exec', program: 'true' } })
  const again = engine.run({ id, command: { type: 'exec', program: 'true' } })
  await expect(again).rejects.toMatchObject({ code: 'DUPLICATE_ID', executionId: id })
})

test('methods that take an id refuse one that is none, and do not know a strange one', async () => {
  const engine = newEngine()
  const calls = ['getStatus', 'getResult', 'waitForCompletion', 'cancel', 'readLogs', 'removeExecution'] as const
  for (const name of calls) {
    await expect(engine[name]('nonsense')).rejects.toMatchObject({ code: 'VALIDATION', field: 'id' })
    const strange = engine[name]('00000000-0000-4000-8000-000000000000')
    await expect(strange).rejects.toMatchObject({ code: 'NOT_FOUND' })
  }
})

test('a script is found relative to the working directory, and one in a directory without it is refused', async () => {
  const dir = temporary()
  mkdirSync(join(dir, 'empty'))
  writeFileSync(join(dir, 'hello.sh'), 'echo "hello $1"')
  const engine = newEngine()
  const command = { type: 'script' as const, path: 'hello.sh', args: ['you'] }
  expect((await engine.run({ command, workingDir: dir })).stdout).toBe('hello you\n')
  await expect(engine.run({ command, workingDir: join(dir, 'empty') })).rejects.toMatchObject({ field: 'command.path' })
})

// Contract, section 2, "Bad input", beyond the shape of a request: numbers, strings, files, and how it is told.

import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ExecutionEngine, ExecutionError, type ExecutionConfig, type ExecutionRequest } from '../../index.js'
import { exec, host, newEngine, temporary } from './support.js'

const ok: ExecutionRequest = exec('true')

const refusal = async (request: unknown, engine = newEngine()): Promise<ExecutionError> =>
  engine.run(request as ExecutionRequest).then(
    () => expect.fail('accepted'),
    (reason) => reason,
  )

/** What is no positive integer, and how it is called. */
const numbers: [unknown, string][] = [
  [Number.NaN, 'NaN'],
  [0, '0'],
  [-0, '0'],
  [-5, '-5'],
  [1.5, '1.5'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
  [2 ** 53, '9007199254740992'],
  [5n, '5n'],
  ['5', '"5"'],
  [null, 'null'],
  [true, 'true'],
  [[5], 'an array of 1'],
  [{}, 'an object of type Object'],
]

test.each(numbers)('%s is no time, no limit and no number of bytes', async (value, found) => {
  const error = await refusal({ ...ok, timeoutMs: value })
  expect(error).toMatchObject({ code: 'VALIDATION', field: 'timeoutMs' })
  expect(error.message).toMatch(/^timeoutMs: expected a positive integer/)
  expect(error.message).toContain(`found ${found}`)
  const engine = newEngine()
  const { id } = await engine.run(ok)
  const read = engine.readLogs(id, { maxBytes: value as number })
  await expect(read).rejects.toMatchObject({ code: 'VALIDATION', field: 'options.maxBytes' })
})

const numberFields = [
  'defaultTimeoutMs',
  'maxTimeoutMs',
  'maxConcurrentExecutions',
  'maxInMemoryExecutions',
  'executionRetentionSecs',
  'maxOutputSizeBytes',
  'maxLineSizeBytes',
  'maxLogSizeBytes',
] as const

test.each(numberFields)('the configuration refuses every %s that is no positive integer', (field) => {
  for (const [value, found] of numbers) {
    const make = () => new ExecutionEngine({ [field]: value } as ExecutionConfig)
    expect(make).toThrow(ExecutionError)
    expect(make).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', field }))
    expect(make).toThrow(`found ${found}`)
  }
})

test.each([1, 2, 3])('a line may not be limited to %i bytes, which would cut characters in two', async (limit) => {
  const make = () => new ExecutionEngine({ maxLineSizeBytes: limit })
  expect(make).toThrow(expect.objectContaining({ code: 'INVALID_CONFIG', field: 'maxLineSizeBytes' }))
  expect(make).toThrow(`maxLineSizeBytes: expected an integer of at least 4, up to 2^53 - 1, found ${limit}`)
  const lines: string[] = []
  await newEngine({ maxLineSizeBytes: 4 }).run(exec('echo', 'a€😀'), { onStdout: (line) => void lines.push(line) })
  expect(lines).toEqual(['a€', '😀'])
})

const texts: [string, (text: string) => unknown][] = [
  ['command.program', (text) => ({ command: { type: 'exec', program: text } })],
  ['command.args[0]', (text) => ({ command: { type: 'exec', program: 'true', args: [text] } })],
  ['command.command', (text) => ({ command: { type: 'shell', command: text } })],
  ['command.shell', (text) => ({ command: { type: 'shell', command: 'true', shell: text } })],
  ['command.path', (text) => ({ command: { type: 'script', path: text } })],
  ['command.interpreter', (text) => ({ command: { type: 'script', path: '/etc/hostname', interpreter: text } })],
  ['command.args[0]', (text) => ({ command: { type: 'script', path: '/etc/hostname', args: [text] } })],
  ['command.service', (text) => ({ command: { type: 'aws_cli', service: text, operation: 'x' } })],
  ['command.operation', (text) => ({ command: { type: 'aws_cli', service: 'x', operation: text } })],
  ['command.args[0]', (text) => ({ command: { type: 'aws_cli', service: 'x', operation: 'x', args: [text] } })],
  ['command.profile', (text) => ({ command: { type: 'aws_cli', service: 'x', operation: 'x', profile: text } })],
  ['command.region', (text) => ({ command: { type: 'aws_cli', service: 'x', operation: 'x', region: text } })],
  ['workingDir', (text) => ({ ...ok, workingDir: text })],
  ['outputLogPath', (text) => ({ ...ok, outputLogPath: text })],
  ['env.A', (text) => ({ ...ok, env: { A: text } })],
]

test('half a character in a name is refused by that name', async () => {
  const half = { 'a\ud800': 'x' }
  expect(await refusal({ ...ok, env: half })).toMatchObject({ code: 'VALIDATION', field: 'env.a\ud800' })
  const tags = await refusal({ ...ok, metadata: { tags: half } })
  expect(tags).toMatchObject({ code: 'VALIDATION', field: 'metadata.tags.a\ud800' })
  expect(tags.message).toContain('found "a\\ud800"')
})

test.each(texts)('%s with a NUL byte or of another type is refused by its name', async (field, request) => {
  const nul = await refusal(request('a\0b'))
  expect(nul).toMatchObject({ code: 'VALIDATION', field })
  expect(nul.message).toContain('NUL')
  // A variable of `null` is one that is not inherited.
  const nothing = field.startsWith('env.') ? [] : [null]
  for (const wrong of [5, ...nothing, {}, [], true, Symbol('s'), () => {}]) {
    const error = await refusal(request(wrong as unknown as string))
    expect(error).toMatchObject({ name: 'ExecutionError', code: 'VALIDATION', field })
    expect(error.message).toMatch(/expected a string, found /)
  }
})

test.each(texts)('half a character in %s is refused by its name, not replaced', async (field, request) => {
  const error = await refusal(request('\ud800'))
  expect(error).toMatchObject({ code: 'VALIDATION', field })
  // The value of a variable is told to nobody.
  const found = field === 'env.A' ? 'a string with half of one' : '"\\ud800"'
  expect(error.message).toContain(`expected text of whole Unicode characters, found ${found}`)
})

test('a name of a variable that is empty or has a NUL byte is refused', async () => {
  expect(await refusal({ ...ok, env: { '': 'x' } })).toMatchObject({ code: 'VALIDATION' })
  expect(await refusal({ ...ok, env: { 'A\0': 'x' } })).toMatchObject({ code: 'VALIDATION' })
})

test.each(['-x', '', '--query'])('an AWS service or operation "%s" is refused', async (name) => {
  for (const field of ['service', 'operation']) {
    const command = { type: 'aws_cli', service: 's3', operation: 'list', [field]: name }
    expect(await refusal({ command })).toMatchObject({ code: 'VALIDATION', field: `command.${field}` })
  }
})

test('a script with an interpreter that does not exist is refused', async () => {
  const path = join(temporary(), 'script')
  writeFileSync(path, '#!/no/such/interpreter\n')
  chmodSync(path, 0o755)
  const error = await refusal({ command: { type: 'script', path } })
  expect(error).toMatchObject({ code: 'VALIDATION' })
  expect(error.message).toContain('/no/such/interpreter')
})

/** Calls that are wrong in a way that is easily made, and all of what they are told. */
const easilyWrong: [string, (engine: ExecutionEngine) => Promise<unknown>, string][] = [
  ['a plan of nothing', (engine) => engine.runPlan({} as never),
    'plan: expected a plan object with "commands" and a "strategy", or with named "steps", found an empty object'],
  ['a plan of a name alone', (engine) => engine.runPlan({ description: 'x' } as never),
    'plan: expected a plan object with "commands" and a "strategy", or with named "steps", found an object with only description'],
  ['a strategy by its name', (engine) => engine.runPlan({ strategy: 'serial', commands: [ok] } as never),
    'strategy: expected a strategy object, { type: "serial" }, found "serial"'],
  ['a mask as a text', (engine) => engine.run({ ...ok, umask: '077' } as never),
    'umask: expected an integer from 0 to 511 (0o777), such as 0o077, found "077"'],
  ['a silence of what is ignored', (engine) => engine.run({ ...ok, idleTimeoutMs: 500, stdout: 'ignore', stderr: 'stdout' }),
    'idleTimeoutMs: expected none, as nobody can tell whether output that is ignored is silent, found 500'],
  ['a choice of run for execute', (engine) => engine.execute(ok, { throwOnFailure: true } as never),
    'options.throwOnFailure: expected none, as only `run` has it, found true'],
  ['a choice of run for a plan', (engine) => engine.runPlan({ steps: {} }, { throwOnFailure: true } as never),
    'options.throwOnFailure: expected none, as only `run` has it, found true'],
  ['a choice of run for a stream', (engine) => engine.stream(ok, { throwOnFailure: true } as never).next(),
    'options.throwOnFailure: expected none, as only `run` has it, found true'],
  ['a pattern for every variable', async () => new ExecutionEngine({ secretEnvPatterns: ['*'] }),
    'secretEnvPatterns[0]: expected the name of a variable, or a part of one, in which "*" stands for any characters, such as "*TOKEN", found "*", which would make the value of every variable a secret'],
] // prettier-ignore

test.each(easilyWrong)('%s is refused in words that tell what to do', async (_, call, message) => {
  await expect(call(newEngine())).rejects.toMatchObject({ message })
})

test('keys that every object has are no known keys', async () => {
  expect(await refusal({ ...ok, constructor: 5 })).toMatchObject({ code: 'VALIDATION', field: 'constructor' })
  expect(await refusal({ command: { type: 'constructor' } })).toMatchObject({ field: 'command.type' })
  const polluted = JSON.parse('{"command":{"type":"exec","program":"true"},"__proto__":{"timeoutMs":5}}')
  expect(await refusal(polluted)).toMatchObject({ code: 'VALIDATION', field: '__proto__' })
})

test('objects without a prototype, and keys that are undefined, are accepted', async () => {
  const bare = Object.assign(Object.create(null), { command: Object.assign(Object.create(null), ok.command) })
  expect((await newEngine().run(bare)).status).toBe('completed')
  const undefineds = { ...ok, id: undefined, env: undefined, timeoutMs: undefined, metadata: undefined }
  expect((await newEngine().run(undefineds)).status).toBe('completed')
})

const noRecords: [string, unknown][] = [
  ['a Map', new Map([['A', 'x']])],
  ['a Set', new Set(['A'])],
  ['a promise', Promise.resolve({ A: 'x' })],
  ['a date', new Date(0)],
  ['search parameters', new URLSearchParams('A=x')],
  ['an array', []],
]

test.each(noRecords)('%s does not pass for an empty object', async (_, value) => {
  const engine = newEngine()
  const strategy = { type: 'dependency_graph', dependencies: value }
  const plan = engine.runPlan({ strategy, commands: [ok] } as never)
  await expect(plan).rejects.toMatchObject({ code: 'VALIDATION', field: 'strategy.dependencies' })
  await expect(engine.run(ok, value as never)).rejects.toMatchObject({ code: 'VALIDATION', field: 'options' })
  expect(await refusal({ ...ok, env: value })).toMatchObject({ code: 'VALIDATION', field: 'env' })
  expect(await refusal({ ...ok, metadata: value })).toMatchObject({ field: 'metadata' })
  expect(await refusal({ ...ok, metadata: { tags: value } })).toMatchObject({ field: 'metadata.tags' })
  const refused = expect.objectContaining({ code: 'INVALID_CONFIG', field: 'config' })
  expect(() => new ExecutionEngine(value as never)).toThrow(refused)
  expect(() => ExecutionEngine.initGlobal(value as never)).toThrow(refused)
  expect(() => ExecutionEngine.global()).toThrow(expect.objectContaining({ code: 'NOT_INITIALIZED' }))
})

test('process.env, an instance of a class and a proxy are objects like any other', async () => {
  const env = { PATH: process.env['PATH'], A: 'x' }
  const Request = class {
    command = { type: 'shell', command: 'printf %s "$A"' }
    env = new Proxy(env, {})
    metadata = { tags: process.env }
  }
  const result = await newEngine().run(new Request() as ExecutionRequest)
  expect(result).toMatchObject({ stdout: 'x', metadata: { tags: { PATH: env.PATH } } })
})

test('an unknown key of a million letters is refused at once', async () => {
  const begun = performance.now()
  expect(await refusal({ ...ok, ['timeoutms'.padEnd(1e6, 's')]: 5 })).toMatchObject({ code: 'VALIDATION' })
  expect(performance.now() - begun).toBeLessThan(1000)
})

test('nothing is started for a refused request', async () => {
  const file = join(temporary(), 'started')
  const engine = newEngine()
  const command = { type: 'exec' as const, program: 'touch', args: [file] }
  const wrong: object[] = [{ timeoutMs: 0 }, { workingDir: '/no/such' }, { id: 'x' }, { timeout: 5 }, { stdin: 5 }]
  for (const more of wrong) await refusal({ command, ...more }, engine)
  expect([engine.totalCount, engine.runningCount, engine.availablePermits]).toEqual([0, 0, 100])
  expect(existsSync(file)).toBe(false)
  // The control: the same command leaves its trace, when it is not refused.
  await engine.run({ command })
  expect(existsSync(file)).toBe(true)
})

test('methods that promise reject, and never throw', async () => {
  const engine = newEngine()
  const nonsense = [undefined, null, 5, '', {}, [], Symbol('s'), () => {}]
  const calls = ['execute', 'run', 'getStatus', 'getResult', 'waitForCompletion', 'cancel'] as const
  for (const name of [...calls, 'readLogs', 'removeExecution'] as const) {
    for (const argument of nonsense) {
      const promise = (engine[name] as (argument: unknown) => Promise<unknown>)(argument)
      await expect(promise).rejects.toMatchObject({ name: 'ExecutionError', code: 'VALIDATION' })
    }
  }
  for (const options of [null, 5, 'x', []]) {
    await expect(engine.run(ok, options as never)).rejects.toMatchObject({ code: 'VALIDATION', field: 'options' })
    await expect(engine.stream(ok, options as never).next()).rejects.toMatchObject({ field: 'options' })
  }
  const throwing = {
    get command(): never {
      throw new Error('mine')
    },
  }
  await expect(engine.run(throwing)).rejects.toThrow('mine')
})

test('a refused initGlobal leaves the global engine to the next', async () => {
  const { ended } = host(`
    try { ExecutionEngine.initGlobal({ maxTimeoutMs: 0 }) } catch (error) { console.log(error.code, error.field) }
    const global = ExecutionEngine.initGlobal()
    global.run({ command: { type: 'exec', program: 'echo', args: ['hi'] } }).then((result) => console.log(result.stdout))`)
  expect((await ended).printed).toBe('INVALID_CONFIG maxTimeoutMs\nhi\n\n')
})

test('a request that is changed after the call is run as it was', async () => {
  const args = ['one']
  const request = { command: { type: 'exec' as const, program: 'echo', args } }
  const bytes = new Uint8Array([0x61])
  const engine = newEngine()
  const running = engine.run(request)
  const reading = engine.run({ ...exec('cat'), stdin: bytes })
  args[0] = 'two'
  bytes[0] = 0x62
  expect((await running).stdout).toBe('one\n')
  expect((await reading).stdout).toBe('a')
})

test('an environment of its own is all that a command sees, but for the marks', async () => {
  const { stdout } = await newEngine().run({ ...exec('/usr/bin/env'), inheritEnv: false, env: { ONLY: 'this' } })
  const names = stdout.split('\n').map((line) => line.replace(/=.*/, ''))
  const tag = expect.stringMatching(/^ESCHER_TAG_[0-9a-f]{32}$/) as string
  expect(names.sort()).toEqual(['', 'ESCHER_EXECUTION_ID', tag, 'ONLY'])
})

test('a command cannot take its mark off by its environment', async () => {
  const request = { ...exec('/usr/bin/env'), env: { ESCHER_EXECUTION_ID: 'mine' } }
  const outcome = await newEngine()
    .run(request)
    .then(({ id, stdout }) => stdout.includes(`ESCHER_EXECUTION_ID=${id}\n`) && !stdout.includes('=mine'))
    .catch((error) => error.code === 'VALIDATION')
  expect(outcome).toBe(true)
})

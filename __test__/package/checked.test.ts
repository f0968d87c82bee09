// Contract, section 2: what JavaScript passes is copied once, own properties only, and that copy is what is sent.

import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { ExecutionEngine, type ExecutionError, type ExecutionEvent, type PlanEvent } from '../../index.js'
import { exec, host, newEngine, temporary } from './support.js'

/** Runs a program whose prototypes have been changed, in a host of its own: a test runner would stumble over them. */
async function printed(source: string): Promise<string> {
  const { ended } = host(`
    const pollute = (prototype, key, value) => Object.defineProperty(prototype, key, { value, enumerable: true, writable: true })
    const shell = (command, more) => ({ command: { type: 'shell', command, shell: 'sh' }, ...more })
    // Node's own stream would be aborted as well.
    process.stdout
    const evil = () => { process.stdout.write('called'); process.exit(1) }
    ;(async () => { ${source} })().catch(({ code, field }) => process.stdout.write(code + ' ' + field))`)
  const { printed, complained } = await ended
  expect(complained).toBe('')
  return printed
}

/** What is passed, and how often each of its properties was read. */
function counted<T extends object>(value: T): { value: T; reads: Record<string, number> } {
  const reads: Record<string, number> = {}
  const copy = {} as T
  for (const key of Object.keys(value) as (keyof T & string)[]) {
    reads[key] = 0
    Object.defineProperty(copy, key, {
      enumerable: true,
      get() {
        reads[key] = (reads[key] ?? 0) + 1
        return value[key]
      },
    })
  }
  return { value: copy, reads }
}

test('only what a request has itself counts', async () => {
  const program = `
    pollute(Object.prototype, 'shell', '/tmp/evil')
    pollute(Object.prototype, 'env', { EVIL: '1' })
    pollute(Object.prototype, 'args', ['evil'])
    pollute(Object.prototype, 'workingDir', '/usr')
    pollute(Object.prototype, 'timeoutMs', 1)
    pollute(Object.prototype, 'stdin', 'evil')
    pollute(Object.prototype, 'onStdout', evil)
    pollute(Object.prototype, 'signal', AbortSignal.abort())
    const { status, stdout } = await engine.run({ command: { type: 'shell', command: 'echo "$EVIL$#"; pwd; cat; sleep 0.05' } })
    process.stdout.write(status + ' ' + stdout)
    process.stdout.write((await engine.run({ command: { type: 'exec', program: 'echo' } })).stdout)`
  expect(await printed(program)).toBe(`completed 0\n${process.cwd()}\n\n`)
})

test('nor does what a plan or a configuration inherits count', async () => {
  const program = `
    pollute(Object.prototype, 'stopOnError', false)
    pollute(Object.prototype, 'maxConcurrentExecutions', 7)
    pollute(Object.prototype, 'tags', { evil: 'yes' })
    const { maxConcurrentExecutions } = new ExecutionEngine({ logOutput: false }).config
    const plan = { strategy: { type: 'serial' }, commands: [shell('false'), shell('true', { metadata: {} })] }
    const { results } = await engine.runPlan(plan)
    const seen = [maxConcurrentExecutions, ...results.map(({ status }) => status), JSON.stringify(results[1].metadata)]
    process.stdout.write(seen.join())`
  expect(await printed(program)).toBe('100,failed,skipped,{"tags":{}}')
})

test('a hole of an array is none of what its prototype has', async () => {
  const program = `
    pollute(Array.prototype, '1', 'evil')
    await engine.run({ command: { type: 'exec', program: 'echo', args: ['a', , 'c'] } })`
  expect(await printed(program)).toBe('VALIDATION command.args[1]')
})

test('an instance of a class is what it has itself, without what its class has', async () => {
  class Request {
    command = { type: 'exec' as const, program: 'pwd' }
    get workingDir() {
      return '/'
    }
  }
  expect((await newEngine().run(new Request())).stdout).toBe(`${process.cwd()}\n`)
  class Inherited {
    get command() {
      return exec('true').command
    }
  }
  await expect(newEngine().run(new Inherited())).rejects.toMatchObject({ field: 'command' })
})

test('each property is read once', async () => {
  const engine = newEngine()
  const command = counted({ type: 'exec' as const, program: 'echo', args: ['a'] })
  const env = counted({ A: 'b' })
  const request = counted({ ...exec('true'), command: command.value, env: env.value, stdin: 'x', timeoutMs: 5000 })
  const options = counted({ onStdout: () => {}, onEvent: () => {}, signal: new AbortController().signal })
  await engine.run(request.value, options.value)
  const strategy = counted({ type: 'dependency_graph' as const, dependencies: counted({ 0: [] }).value })
  const plan = counted({ strategy: strategy.value, commands: [exec('true')] })
  await engine.runPlan(plan.value)
  const config = counted({ logOutput: false, logDir: temporary() })
  await new ExecutionEngine(config.value).shutdown()
  for (const { reads } of [command, env, request, options, strategy, plan, config]) {
    expect(Object.values(reads)).toEqual(Object.values(reads).map(() => 1))
  }
})

test('what was checked is what runs, whatever a getter answers the second time', async () => {
  let asked = 0
  const dependencies = {
    get 1() {
      asked += 1
      return asked === 1 ? [0] : [1]
    },
  }
  const plan = { strategy: { type: 'dependency_graph' as const, dependencies }, commands: [exec('true'), exec('true')] }
  expect(await newEngine().runPlan(plan)).toMatchObject({ status: 'completed', stats: { completed: 2 } })
})

test('no toJSON is called, neither of what is passed nor of a prototype', async () => {
  const program = `
    for (const { prototype } of [Object, Array, String, Number, Boolean]) pollute(prototype, 'toJSON', evil)
    const command = { type: 'exec', program: 'echo', args: Object.assign(['a'], { toJSON: evil }) }
    const { stdout } = await engine.run({ command, env: { A: 'b' }, timeoutMs: 5000, inheritEnv: true })
    const strategy = { type: 'dependency_graph', dependencies: { 1: Object.assign([0], { toJSON: evil }) } }
    const { results } = await engine.runPlan({ strategy, commands: [{ command }, shell('echo b')] })
    const { drainMaxMs } = new ExecutionEngine({ drainMaxMs: 5 }).config
    process.stdout.write([stdout, ...results.map((result) => result.stdout), drainMaxMs].join(''))
    await engine.run({ command, toJSON: evil })`
  expect(await printed(program)).toBe('a\na\nb\n5VALIDATION toJSON')
})

test('a setter of a prototype is given nothing', async () => {
  const program = `
    const seen = []
    const set = (value) => void seen.push(value)
    for (const key of ['command', 'args', 'program']) Object.defineProperty(Object.prototype, key, { set })
    Object.defineProperty(Array.prototype, 0, { set })
    const request = JSON.parse('{"command":{"type":"exec","program":"echo","args":["secret"]}}')
    const { stdout } = await engine.run(request)
    process.stdout.write(stdout + seen.some((value) => value === 'secret' || value?.program || value?.includes?.('secret')))`
  expect(await printed(program)).toBe('secret\nfalse')
})

test('what is passed may be changed once the call has returned', async () => {
  const engine = newEngine()
  const stdin = new TextEncoder().encode('before')
  const args = ['-']
  const request = { command: { type: 'exec' as const, program: 'cat', args }, stdin }
  const runs = [engine.run(request), engine.runPlan({ strategy: { type: 'serial' }, commands: [request] })] as const
  stdin.fill(0x78)
  args[0] = '/etc/passwd'
  const [one, { results }] = await Promise.all(runs)
  expect([one.stdout, results[0]?.stdout]).toEqual(['before', 'before'])
})

test('options may be changed once the call has returned', async () => {
  const lines: string[] = []
  const options = { onStdout: (line: string) => void lines.push(line) }
  const run = newEngine().run(exec('echo', 'a'), options)
  options.onStdout = () => expect.fail('called')
  await run
  expect(lines).toEqual(['a'])
})

test('initGlobal reads a configuration as the constructor does', async () => {
  const { ended } = host(`
    const config = Object.defineProperty({ get drainMaxMs() { return 7 } }, 'drainIdleMs', { value: 5 })
    const { drainMaxMs, drainIdleMs, maxConcurrentExecutions } = ExecutionEngine.initGlobal(config).config
    const other = new ExecutionEngine(config).config
    console.log(drainMaxMs, drainIdleMs, maxConcurrentExecutions, other.drainMaxMs, other.drainIdleMs)`)
  expect(await ended).toMatchObject({ printed: '7 5 1 7 5\n', complained: '' })
})

test('everyone who is told has a result and events of their own', async () => {
  const engine = newEngine()
  const seen: string[] = []
  const spoil = (event: ExecutionEvent | PlanEvent) => {
    seen.push('line' in event ? event.line : 'result' in event && 'stdout' in event.result ? event.result.stdout : '')
    if ('line' in event) event.line = 'spoilt'
    if ('result' in event && 'stdout' in event.result) {
      event.result.stdout = 'spoilt'
      event.result.metadata.tags.a = 'spoilt'
    }
    if ('result' in event && 'results' in event.result) event.result.results.length = 0
  }
  engine.onEvent(spoil)
  engine.onEvent(spoil)
  const request = { ...exec('echo', 'a'), metadata: { tags: { a: 'b' } } }
  const result = await engine.run(request, { onEvent: spoil })
  expect(result).toMatchObject({ stdout: 'a\n', metadata: { tags: { a: 'b' } } })
  expect(seen).toEqual(['', '', '', 'a', 'a', 'a', 'a\n', 'a\n', 'a\n'])
  const plan = await engine.runPlan({ strategy: { type: 'serial' }, commands: [request] }, { onEvent: spoil })
  expect(plan.results[0]).toMatchObject({ stdout: 'a\n', metadata: { tags: { a: 'b' } } })
  const streamed: string[] = []
  for await (const event of engine.stream(request)) {
    if ('line' in event) streamed.push(event.line)
    if (event.eventType === 'completed') streamed.push(event.result.stdout)
  }
  expect(streamed).toEqual(['a', 'a\n'])
})

/** The first frame of what a call throws or rejects. */
async function firstFrame(call: () => unknown): Promise<string> {
  try {
    await call()
  } catch (error) {
    const frame = (error as ExecutionError).stack?.split('\n').find((line) => /^ {4}at /.test(line))
    return frame ?? 'none'
  }
  return expect.fail('accepted')
}

test('the stack of a refusal begins at the line of the caller', async () => {
  const engine = newEngine()
  const bad = { command: { type: 'exec', programm: 'x' } } as never
  const late = { ...exec('true'), workingDir: '/no/such/dir' }
  const cycle = { strategy: { type: 'dependency_graph' as const, dependencies: { 0: [0] } }, commands: [exec('true')] }
  const unknown = '00000000-0000-4000-8000-000000000000'
  const calls = [
    async () => await engine.run(bad),
    async () => await engine.execute(bad),
    async () => await engine.run(exec('true'), { onStdout: 5 } as never),
    async () => await engine.run({ ...exec('true'), timeoutMs: 1e10 }),
    async () => await engine.run(late),
    async () => await engine.runPlan({ strategy: { type: 'serial' }, commands: [bad] }),
    async () => await engine.executePlan(cycle),
    async () => await engine.stream(bad).next(),
    async () => await engine.stream(late).next(),
    async () => {
      for await (const event of engine.stream(late)) expect.fail(event.eventType)
    },
    async () => await engine.getStatus('nonsense'),
    async () => await engine.cancel(unknown),
    async () => await engine.readLogs(unknown),
    () => engine.getLogPath('nonsense'),
    () => engine.onEvent(5 as never),
    () => new ExecutionEngine({ logDir: '' }),
    () => ExecutionEngine.initGlobal({ logDir: 5 } as never),
    () => ExecutionEngine.global(),
  ]
  const here = fileURLToPath(import.meta.url)
  for (const call of calls) expect([String(call), await firstFrame(call)].join()).toContain(here)
})

test('also where the promise is not awaited at once, or goes through a helper', async () => {
  const { ended } = host(`
    const bad = { command: 'x' }
    function caller() { return engine.run(bad) }
    caller().catch(({ stack }) => console.log(/at caller /.test(stack.split('\\n')[1])))`)
  expect(await ended).toMatchObject({ printed: 'true\n', complained: '' })
})

test('no message tells the value of a variable or of the input', async () => {
  const engine = newEngine()
  const secret = 'hunter2'
  const attempts: unknown[] = [
    { ...exec('true'), env: secret },
    { ...exec('true'), env: [secret] },
    { ...exec('true'), env: { A: [secret] } },
    { ...exec('true'), env: { A: `${secret}\0` } },
    { ...exec('true'), env: { A: `${secret}\ud800` } },
    { ...exec('true'), env: { A: 4711n } },
    { ...exec('true'), env: { A: 4711 } },
    { ...exec('true'), env: { A: Symbol(secret) } },
    { ...exec('true'), stdin: 4711 },
    { ...exec('true'), stdin: [secret] },
    { ...exec('true'), stdin: Symbol(secret) },
  ]
  for (const request of attempts) {
    for (const call of [
      engine.run(request as never),
      engine.runPlan({ strategy: { type: 'serial' }, commands: [request as never] }),
    ]) {
      const error: ExecutionError = await call.then(
        () => expect.fail('accepted'),
        (reason) => reason,
      )
      expect(error).toMatchObject({ code: 'VALIDATION' })
      expect(error.field).toMatch(/(^|\.)(env(\.A)?|stdin)$/)
      expect(`${error.message} ${error.stack}`).not.toMatch(/hunter2|4711/)
    }
  }
})

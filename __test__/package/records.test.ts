// Contract, section 1, logs and records, and section 2, 9, 10 and the files.

import {
  chmodSync,
  existsSync,
  linkSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ExecutionEngine } from '../../index.js'
import { exec, host, newEngine, packagePath, shell, temporary } from './support.js'

/** What was printed, put together again from a log. */
const printed = (log: string): string =>
  log
    .split('\n')
    .slice(0, -1)
    .map((entry) => {
      const [, tag, text] = /^\S+Z std(?:out|err) ([FP]) (.*)$/s.exec(entry) ?? expect.fail(`no entry: ${entry}`)
      return tag === 'F' ? `${text}\n` : text
    })
    .join('')

const mode = (path: string) => statSync(path).mode & 0o777

test('the log holds every byte', async () => {
  const engine = newEngine()
  const result = await engine.run(shell("seq 1 50000; printf 'no end'"))
  // An entry ends a line, also one that was not ended.
  expect(printed(readFileSync(String(result.logPath), 'utf8'))).toBe(`${result.stdout}\n`)
})

test('the log is written as raw bytes, whatever they are', async () => {
  const result = await newEngine().run(shell("printf 'a\\377b\\n'"))
  expect(readFileSync(String(result.logPath)).subarray(-4)).toEqual(Buffer.from([0x61, 0xff, 0x62, 0x0a]))
})

test('the log stops at its limit, the result says so, and the command runs on', async () => {
  const engine = newEngine({ maxLogSizeBytes: 1000 })
  const result = await engine.run(exec('seq', '1000'))
  expect(result).toMatchObject({ status: 'completed', stdoutBytes: 3893, truncated: false })
  expect(result.error).toMatch(/log .*limit/)
  const size = statSync(String(result.logPath)).size
  expect(size).toBeLessThanOrEqual(1000)
  expect(size).toBeGreaterThan(900)
})

test('the log survives a host that is killed, and the next process reads it', async () => {
  const dir = join(temporary(), 'logs')
  const id = randomUUID()
  const { child, ended, said } = host(`
    new ExecutionEngine({ logDir: ${JSON.stringify(dir)} }).execute(
      { id: '${id}', command: { type: 'shell', command: 'seq 1 3; sleep 60', shell: 'sh' } },
      { onStdout: (line) => console.log('line ' + line) })`)
  await said('line 3')
  child.kill('SIGKILL')
  await ended
  const engine = new ExecutionEngine({ logDir: dir })
  expect(printed(await engine.readLogs(id))).toBe('1\n2\n3\n')
  expect(engine.getLogPath(id)).toBe(join(dir, `${id}.log`))
  await expect(engine.getStatus(id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
})

test('logOutput false: no log', async () => {
  const engine = newEngine({ logOutput: false })
  const result = await engine.run(exec('echo', 'hi'))
  expect(result).toMatchObject({ logPath: null, error: null, errorCode: null })
  expect(existsSync(engine.config.logDir)).toBe(false)
})

test('removing an execution forgets it, and leaves its log', async () => {
  const engine = newEngine()
  const { id } = await engine.run(exec('echo', 'hi'))
  await engine.removeExecution(id)
  const questions = [engine.getStatus(id), engine.getResult(id), engine.waitForCompletion(id), engine.cancel(id)]
  for (const outcome of await Promise.allSettled(questions)) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'NOT_FOUND', executionId: id } })
  }
  await expect(engine.removeExecution(id)).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(printed(await engine.readLogs(id))).toBe('hi\n')
})

test('what was removed may be run again under the same id, with a new log', async () => {
  const engine = newEngine()
  const { id } = await engine.run(exec('echo', 'one'))
  await engine.removeExecution(id)
  expect((await engine.run({ id, ...exec('echo', 'two') })).stdout).toBe('two\n')
  expect(printed(await engine.readLogs(id))).toBe('two\n')
})

test('an id is the same in capitals', async () => {
  const engine = newEngine()
  const id = randomUUID()
  const result = await engine.run({ id: id.toUpperCase(), ...exec('true') })
  expect(result.id).toBe(id)
  expect(await engine.getStatus(id.toUpperCase())).toBe('completed')
})

test('of two requests with one id, at the same time, one is refused', async () => {
  const engine = newEngine()
  const id = randomUUID()
  const both = await Promise.allSettled([engine.run({ id, ...exec('true') }), engine.run({ id, ...exec('true') })])
  expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  expect((both[1] as PromiseRejectedResult).reason).toMatchObject({ code: 'DUPLICATE_ID', executionId: id })
})

test('a running execution is never forgotten for the bound on what is remembered', async () => {
  const engine = newEngine({ maxInMemoryExecutions: 1 })
  const ids = await Promise.all(Array.from({ length: 3 }, () => engine.execute(exec('sleep', '60'))))
  for (let i = 0; i < 3; i++) await engine.run(exec('true'))
  for (const id of ids) expect(['pending', 'running']).toContain(await engine.getStatus(id))
  expect(engine.totalCount).toBe(4)
})

test('the log directory is made private, whatever the umask', async () => {
  const dir = temporary()
  const program = `process.umask(0); const engine = new ExecutionEngine({
      logDir: '${dir}/logs', maxOutputSizeBytes: 1, oversizedOutputStrategy: 'stream_to_file' })
    engine.run({ command: { type: 'shell', command: 'echo one; echo two >&2' }, outputLogPath: '${dir}/raw' })
      .then((result) => console.log(result.stderrOverflowFile))`
  const { ended } = host(`{ ${program} }`)
  const { printed, complained } = await ended
  expect(complained).toBe('')
  expect(readFileSync(printed.trim(), 'utf8')).toBe('wo\n')
  expect(mode(join(dir, 'logs'))).toBe(0o700)
  const files = readdirSync(join(dir, 'logs'))
  expect(files).toHaveLength(3)
  expect(files.map((name) => mode(join(dir, 'logs', name)))).toEqual([0o600, 0o600, 0o600])
  expect(mode(join(dir, 'raw'))).toBe(0o600)
})

test('a directory above that of the logs is not made: the result says that it is missing', async () => {
  const dir = temporary()
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const request = { command: { type: 'exec', program: 'echo', args: ['hi'] } }
    const run = (config) => new ExecutionEngine(config).run(request)
    const overflow = { logOutput: false, maxOutputSizeBytes: 1, oversizedOutputStrategy: 'stream_to_file' }
    Promise.all([run(), run(overflow)]).then((results) => console.log(JSON.stringify(results)))`
  const missing = join(dir, 'missing')
  const { stdout } = await newEngine().run({ ...exec(process.execPath, '-e', program), env: { TMPDIR: missing } })
  const [logged, overflowed] = JSON.parse(stdout)
  expect(logged).toMatchObject({ status: 'completed', stdout: 'hi\n', errorCode: 'IO', logPath: null })
  expect(overflowed).toMatchObject({ status: 'completed', stdout: 'h', errorCode: 'IO', stdoutOverflowFile: null })
  for (const { error } of [logged, overflowed]) {
    expect(error).toMatch(`output was not logged in "${missing}/cloudops-executions-`)
    expect(error).toMatch(/: expected a directory to make it in, found none$/)
  }
  expect(readdirSync(dir)).toEqual([])
})

test('the directories that outputLogPath needs are private, whatever the umask', async () => {
  const dir = temporary()
  const { ended } = host(`
    process.umask(0)
    const request = { command: { type: 'exec', program: 'echo' }, outputLogPath: '${dir}/a/b/raw' }
    engine.run(request).then((result) => console.log(result.error))`)
  expect(await ended).toMatchObject({ printed: 'null\n', complained: '' })
  expect(['a', 'a/b', 'a/b/raw'].map((name) => mode(join(dir, name)))).toEqual([0o700, 0o700, 0o600])
})

/** What may stand where a file is to be written. */
const obstacles: [string, (path: string, dir: string) => void][] = [
  ['a symbolic link', (path, dir) => symlinkSync(join(dir, 'victim'), path)],
  ['a dangling symbolic link', (path, dir) => symlinkSync(join(dir, 'new'), path)],
  ['a file with another name', (path, dir) => linkSync(join(dir, 'victim'), path)],
  ['a pipe', (path) => execFileSync('mkfifo', [path])],
  ['a directory', (path) => mkdirSync(path)],
]

test.each(obstacles)('%s in the place of a file is an error that the result tells, never followed', async (_, put) => {
  const dir = temporary()
  writeFileSync(join(dir, 'victim'), 'unharmed')
  const id = randomUUID()
  const engine = newEngine({ maxOutputSizeBytes: 1, oversizedOutputStrategy: 'stream_to_file' })
  mkdirSync(engine.config.logDir, { mode: 0o700 })
  const raw = join(dir, 'raw')
  put(raw, dir)
  put(engine.getLogPath(id), dir)
  const result = await engine.run({ id, ...exec('echo', 'hello'), outputLogPath: raw })
  expect(result).toMatchObject({ status: 'completed', stdoutBytes: 6, errorCode: 'IO', logPath: null })
  expect(result.error).toContain(raw)
  expect(result.error).toContain(engine.getLogPath(id))
  expect(readFileSync(join(dir, 'victim'), 'utf8')).toBe('unharmed')
  expect(existsSync(join(dir, 'new'))).toBe(false)
  // What was in the way of nothing is there.
  expect(readFileSync(String(result.stdoutOverflowFile), 'utf8')).toBe('ello\n')
})

test('a log directory that others may write to is refused', async () => {
  const dir = temporary()
  chmodSync(dir, 0o777)
  const result = await newEngine({ logDir: dir }).run(exec('echo', 'hi'))
  expect(result).toMatchObject({ status: 'completed', stdout: 'hi\n', errorCode: 'IO', logPath: null })
  expect(readdirSync(dir)).toEqual([])
})

test('readLogs follows no link', async () => {
  const dir = temporary()
  writeFileSync(join(dir, 'secret'), 'secret')
  const engine = newEngine()
  const id = randomUUID()
  mkdirSync(engine.config.logDir, { mode: 0o700 })
  symlinkSync(join(dir, 'secret'), engine.getLogPath(id))
  await expect(engine.readLogs(id)).rejects.toMatchObject({ code: 'IO' })
})

test('a relative outputLogPath and logDir are taken from the directory of the host at the call', async () => {
  const dir = temporary()
  const { ended } = host(`{
    process.chdir(${JSON.stringify(dir)})
    const engine = new ExecutionEngine({ logDir: 'logs' })
    engine.run({ command: { type: 'exec', program: 'echo', args: ['hi'] }, workingDir: '/', outputLogPath: 'raw' })
      .then((result) => console.log(result.error, result.logPath))
  }`)
  expect(await ended).toMatchObject({ complained: '' })
  expect(readdirSync(dir).sort()).toEqual(['logs', 'raw'])
})

test('a directory whose name is no UTF-8 is no reason to withhold a result', async () => {
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine({ logDir: 'logs', maxOutputSizeBytes: 1, oversizedOutputStrategy: 'stream_to_file' })
    const request = { command: { type: 'exec', program: 'echo', args: ['hi'] } }
    const plan = { strategy: { type: 'serial' }, commands: [request] }
    Promise.all([engine.run(request), engine.runPlan(plan)]).then(async ([one, { results: [other] }]) => {
      const paths = [one.logPath, engine.getLogPath(one.id), one.stdoutOverflowFile, other.logPath, engine.config.logDir]
      console.log(paths.map((path) => path.replace(one.id, 'id').replace(other.id, 'id').replace(/.*[/]cafe/, '')).join())
      console.log((await engine.readLogs(one.id)).slice(-3))
    })`
  const { stdout, stderr } = await newEngine().run(
    shell('dir=$(printf "cafe\\351"); mkdir "$dir" && cd "$dir" && exec "$NODE" -e "$PROGRAM"', {
      workingDir: temporary(),
      env: { NODE: process.execPath, PROGRAM: program },
    }),
  )
  expect(stderr).toBe('')
  const logs = '\ufffd/logs'
  expect(stdout).toBe(`${logs}/id.log,${logs}/id.log,${logs}/id.stdout.overflow,${logs}/id.log,${logs}\nhi\n\n`)
})

test('commands that never stop printing do not keep others from their logs', async () => {
  const engine = newEngine({ maxLogSizeBytes: 2 ** 30 })
  const stop = new AbortController()
  const chatty = Array.from({ length: 12 }, () => engine.run(exec('yes'), { signal: stop.signal }))
  const result = await engine.run(shell('echo heard'))
  expect(result).toMatchObject({ success: true, error: null, stdout: 'heard\n' })
  expect(await engine.readLogs(result.id)).toMatch(/stdout F heard\n$/)
  stop.abort()
  for (const { status } of await Promise.all(chatty)) expect(status).toBe('cancelled')
})

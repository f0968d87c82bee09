// The program `execution-worker`, as an operator uses it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { QueueEngine } from '@escher-dbai/execution-queue'
import { newMark, survivors, until, untilThere } from '../../__test__/processes.mjs'
import { startProxy } from './support/proxy.mjs'
import { startServer, type Server } from './support/server.mjs'

const program = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url))
const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }

const PASSWORD = 'a pass:word/1'
const dir = mkdtempSync(join(tmpdir(), 'queue-cli-'))
const cleanUps: (() => unknown)[] = []
let server: Server
let queues = 0

beforeAll(async () => {
  server = await startServer(['--requirepass', PASSWORD])
})

afterEach(async () => {
  for (let cleanUp; (cleanUp = cleanUps.pop()) !== undefined;) await cleanUp()
})

afterAll(async () => {
  await server.close()
  rmSync(dir, { recursive: true })
})

/** Starts it, and keeps what it prints. */
function worker(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, ...env },
  })
  cleanUps.push(() => child.kill('SIGKILL'))
  let [printed, complained] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (printed += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (complained += text))
  let isOver = false
  const ended = once(child, 'close').then(([code]) => {
    isOver = true
    return { code: code as number | null, printed, complained }
  })
  const said = (text: string) =>
    until(() => {
      // It may have said so, and ended since.
      const hasSaid = printed.includes(text)
      if (!hasSaid && isOver) throw new Error(`the worker ended:\n${printed}${complained}`)
      return hasSaid
    }, `the worker to print "${text}"`)
  return { child, ended, said, printed: () => printed }
}

const url = (password = PASSWORD) => `redis://:${encodeURIComponent(password)}@127.0.0.1:${server.port}`

const newQueue = () => {
  const name = `cli-${(queues += 1)}`
  const queue = new QueueEngine({ connection: { ...server.connection, password: PASSWORD }, name })
  cleanUps.push(() => queue.shutdown())
  return { name, queue }
}

const shell = (command: string) => ({ command: { type: 'shell', command, shell: 'sh' } }) as const

test('--help and --version say what they say, and end with 0', async () => {
  const help = await worker(['--help']).ended
  expect(help).toMatchObject({ code: 0, complained: '' })
  for (const option of [
    'redis',
    'name',
    'prefix',
    'labels',
    'concurrency',
    'lock-duration-ms',
    'health',
    'json-logs',
  ]) {
    expect(help.printed).toContain(`--${option}`)
  }
  for (const line of help.printed.split('\n')) expect(line.length).toBeLessThanOrEqual(120)
  expect(await worker(['--version']).ended).toEqual({ code: 0, printed: `${manifest.version}\n`, complained: '' })
})

const badFile = join(dir, 'bad.json')
writeFileSync(badFile, '[1]')

const bad: [args: string[], found: string][] = [
  [['--concurency', '4'], '--concurency'],
  [['--concurrency', 'four'], '--concurrency: expected a positive integer, found "four"'],
  [['--concurrency', '0'], '--concurrency: expected a positive integer, found "0"'],
  [['--lock-duration-ms', '1e3'], '--lock-duration-ms: expected a positive integer, found "1e3"'],
  [['--lock-duration-ms', '2000'], 'lockDurationMs'],
  [['--labels', 'a,,b'], '--labels: expected names between commas, found nothing at 2'],
  [['--labels', 'a b'], 'a b'],
  [['--health', 'here'], '--health: expected a port, or host:port, found "here"'],
  [['--health', '70000'], '--health'],
  [['--engine-config', '/no/such/file'], '--engine-config: /no/such/file'],
  [['--engine-config', badFile], 'expected an object, found [1]'],
  [['--redis', `http://x:${PASSWORD}@y`], '--redis: expected redis://'],
  [['--redis', `redis://:secret@host/name`], '--redis: expected the number of a database, found "name"'],
  [['more'], 'more'],
]

test.each(bad)('%j is bad input: one line says why, and it ends with 2', async (args, found) => {
  const { code, printed, complained } = await worker(args).ended
  expect(`${printed}${complained}`).toContain(found)
  expect(code).toBe(2)
  expect(`${printed}${complained}`).not.toMatch(/secret|pass:word|\n {4}at /)
})

test('runs what waits, tells of each start and end, and on SIGTERM finishes what it has and ends with 0', async () => {
  const { name, queue } = newQueue()
  const running = queue.run(shell('echo begun; sleep 1; echo done'))
  const { child, ended, said } = worker(['--redis', url(), '--name', name, '--concurrency', '2'])
  await said('started')
  child.kill('SIGTERM')
  const [result, { code, printed, complained }] = await Promise.all([running, ended])
  expect(result).toMatchObject({ status: 'completed', stdout: 'begun\ndone\n' })
  expect([code, complained]).toEqual([0, ''])
  for (const line of printed.trim().split('\n')) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z (info|warning|error) /)
  for (const word of ['taking work', 'started', 'draining', 'completed', 'ended']) expect(printed).toContain(word)
  expect(printed).toContain(`id=${result.id}`)
  expect(printed).not.toContain('pass')
})

test('what is asked for after SIGTERM is left to others', async () => {
  const { name, queue } = newQueue()
  const first = worker(['--redis', url(), '--name', name])
  await first.said('taking work')
  const running = queue.run(shell('sleep 0.7'))
  await first.said('started')
  first.child.kill('SIGINT')
  await first.said('draining')
  const later = await queue.execute(shell('echo later'))
  expect((await first.ended).code).toBe(0)
  expect((await running).status).toBe('completed')
  expect(await queue.getStatus(later)).toBe('pending')
  const second = worker(['--redis', url(), '--name', name])
  expect((await queue.waitForCompletion(later)).stdout).toBe('later\n')
  second.child.kill('SIGTERM')
  expect((await second.ended).code).toBe(0)
})

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)('a second %s ends what runs, and it ends with %i', async (signal, expected) => {
  const { name, queue } = newQueue()
  const mark = newMark()
  const { child, ended, said } = worker(['--redis', url(), '--name', name])
  await said('taking work')
  const running = queue.run({ command: { type: 'exec', program: 'sleep', args: [mark] } })
  await untilThere(mark, 1)
  child.kill(signal)
  await said('draining')
  child.kill(signal)
  expect((await ended).code).toBe(expected)
  expect(survivors(mark)).toEqual([])
  expect(await running).toMatchObject({ status: 'failed', errorCode: 'WORKER_LOST' })
})

test('the probe says whether it can work: 200, and 503 without Redis', async () => {
  const { name } = newQueue()
  const proxy = await startProxy(server.port)
  cleanUps.push(() => proxy.close())
  const through = `redis://:${encodeURIComponent(PASSWORD)}@127.0.0.1:${proxy.port}`
  const { child, ended, said, printed } = worker(['--redis', through, '--name', name, '--health', '0', '--json-logs'])
  await said('taking work')
  const log = () =>
    printed()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { message: string; url?: string })
  const probe = log().find(({ message }) => message === 'probe listens')?.url ?? ''
  const ask = async () => {
    const response = await fetch(probe)
    return { status: response.status, body: (await response.json()) as unknown }
  }
  expect(await ask()).toMatchObject({ status: 200, body: { healthy: true, redis: true, counts: { running: 0 } } })
  expect((await fetch(new URL('/other', probe))).status).toBe(404)
  proxy.cut()
  await until(async () => (await ask()).status === 503, 'the probe to say 503')
  expect(await ask()).toMatchObject({ body: { healthy: false, redis: false, problem: expect.any(String) } })
  proxy.heal()
  await until(async () => (await ask()).status === 200, 'the probe to say 200 again')
  child.kill('SIGTERM')
  expect((await ended).code).toBe(0)
  for (const entry of log()) expect(entry).toMatchObject({ time: expect.any(String), level: expect.any(String) })
})

test('labels and the configuration of the engine are those of the command line', async () => {
  const { name, queue } = newQueue()
  const config = join(dir, 'engine.json')
  writeFileSync(config, JSON.stringify({ defaultTimeoutMs: 300, terminationGraceMs: 100 }))
  const args = ['--redis', url(), '--name', name, '--labels', 'gpu,linux', '--engine-config', config]
  const { child, ended, said } = worker(args)
  await said('taking work')
  const result = await queue.run({ ...shell('exec sleep 60'), labels: ['gpu'] })
  expect(result.status).toBe('timeout')
  const other = await queue.execute({ ...shell('true'), labels: ['windows'] })
  expect(await queue.getStatus(other)).toBe('pending')
  await queue.cancel(other)
  child.kill('SIGTERM')
  expect((await ended).code).toBe(0)
})

test('the password is told by REDIS_URL as well, which no command inherits, and is printed nowhere', async () => {
  const { name, queue } = newQueue()
  const { child, ended, said } = worker(['--name', name], { REDIS_URL: url() })
  await said('taking work')
  const result = await queue.run(shell('env'))
  expect(result.stdout).not.toContain('REDIS_URL')
  child.kill('SIGTERM')
  const { code, printed, complained } = await ended
  expect(code).toBe(0)
  expect(`${printed}${complained}`).not.toMatch(/pass|a%20/)
})

test('a wrong password is said, without it, and it ends with 1', async () => {
  const { code, printed, complained } = await worker(['--redis', url('wrong-word')]).ended
  expect(code).toBe(1)
  expect(printed).toMatch(/error +.*WRONGPASS/)
  expect(`${printed}${complained}`).not.toContain('wrong-word')
})

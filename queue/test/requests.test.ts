// What is refused, what is sent, and what is never kept in Redis.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { ExecutionEngine, ExecutionError } from '@escher-dbai/execution-engine'
import { ExecutionWorker, QueueEngine } from '@escher-dbai/execution-queue'
import { cleanUp, exec, newPlace, shell, Shared } from './support/place'
import { startProxy } from './support/proxy.mjs'
import { until } from '../../__test__/processes.mjs'
import { startServer } from './support/server.mjs'

const shared = new Shared()

/** All that a server holds, keys and values. */
async function everything(): Promise<string> {
  const parts: string[] = []
  for (const key of await shared.redis.keys('*')) {
    const type = await shared.redis.type(key)
    parts.push(key)
    if (type === 'string') parts.push((await shared.redis.get(key)) ?? '')
    else if (type === 'hash') parts.push(JSON.stringify(await shared.redis.hgetall(key)))
    else if (type === 'list') parts.push(...(await shared.redis.lrange(key, 0, -1)))
    else if (type === 'set') parts.push(...(await shared.redis.smembers(key)))
    else if (type === 'zset') parts.push(...(await shared.redis.zrange(key, 0, -1)))
    else if (type === 'stream') parts.push(JSON.stringify(await shared.redis.xrange(key, '-', '+')))
    else throw new Error(`a key of type ${type}: ${key}`)
  }
  return parts.join('\n')
}

test('a server is reached by its address, and what is none is refused without telling its password', async () => {
  const place = newPlace(shared.port)
  await place.worker()
  const connection = `redis://127.0.0.1:${shared.port}/0`
  await using queue = new QueueEngine({ connection, name: place.name })
  expect((await queue.run(exec('echo', 'reached'))).stdout).toBe('reached\n')
  const wrong = ['nowhere', 'http://host', 'redis://u:hush-hush@host/first', 'redis://u:hush-hush%zz@host', '']
  for (const connection of wrong) {
    expect
      .soft(() => new QueueEngine({ connection }), connection)
      .toThrow(
        expect.objectContaining({
          code: 'INVALID_CONFIG',
          field: 'connection',
          message: expect.not.stringContaining('hush'),
        }),
      )
  }
})

test('values of secrets are refused, by their field, also in plans', async () => {
  const queue = newPlace(shared.port).queue()
  const command = exec('true')
  const refused: [request: object, field: string][] = [
    [{ ...command, secrets: ['a-secret-value'] }, 'secrets[0]'],
    [{ ...command, env: { TOKEN: 'a-secret-value' }, secretEnv: ['TOKEN'] }, 'env.TOKEN'],
    [{ ...command, env: { AWS_SESSION_TOKEN: 'a-secret-value' } }, 'env.AWS_SESSION_TOKEN'],
  ]
  for (const [request, field] of refused) {
    const error = await queue.execute(request as never).catch((error: unknown) => error)
    expect(error).toBeInstanceOf(ExecutionError)
    expect(error).toMatchObject({ code: 'VALIDATION', field })
    expect((error as Error).message).not.toContain('a-secret-value')
    const plan = { steps: { a: request } }
    await expect(queue.executePlan(plan as never)).rejects.toMatchObject({
      code: 'VALIDATION',
      field: `steps.a.${field}`,
    })
  }
  expect(await queue.listExecutions()).toEqual([])
  await expect(queue.execute({ ...command, secrets: ['a-secret-value'], allowSecretValues: true })).resolves.toBeTypeOf(
    'string',
  )
})

test('secrets are resolved on the worker, and no value of one is anywhere in Redis', async () => {
  await shared.redis.flushall()
  const place = newPlace(shared.port)
  const queue = place.queue()
  const asked: string[] = []
  await place.worker({
    resolveSecret: async (name) => {
      asked.push(name)
      return name === 'OF_THE_VAULT' ? 'vault-value-1234' : undefined
    },
  })
  process.env['OF_THE_WORKER'] = 'worker-value-5678'
  cleanUp(() => delete process.env['OF_THE_WORKER'])
  const lines: string[] = []
  const command = shell('echo "$OF_THE_VAULT $OF_THE_WORKER $PLAIN"; echo "$OF_THE_VAULT" >&2; exit 3')
  const request = {
    ...command,
    inheritEnv: ['PATH'],
    env: { PLAIN: 'plain' },
    secretEnv: ['OF_THE_VAULT', 'OF_THE_WORKER'],
  }
  const result = await queue.run(request, { onStdout: (line) => void lines.push(line) })
  expect(result).toMatchObject({ status: 'failed', exitCode: 3, stdout: '*** *** plain\n', stderr: '***\n' })
  expect(lines).toEqual(['*** *** plain'])
  const plan = await queue.runPlan({ steps: { a: { ...command, inheritEnv: ['PATH'] } }, secretEnv: ['OF_THE_VAULT'] })
  expect(plan.results[0]).toMatchObject({ stdout: '***  \n' })
  expect([...new Set(asked)].sort()).toEqual(['OF_THE_VAULT', 'OF_THE_WORKER'])
  const all = await everything()
  expect(all).toContain('*** *** plain')
  expect(all).not.toMatch(/vault-value|worker-value/)

  const failing = await place.queue().run({ ...exec('true'), secretEnv: ['NOBODY_KNOWS'] })
  expect(failing).toMatchObject({ status: 'failed', errorCode: 'SPAWN_FAILED', startedAt: null })
  expect(failing.error).toContain('NOBODY_KNOWS')
})

test('what cannot be sent, or is none of what is known, is refused, and the culprit is named', async () => {
  const queue = newPlace(shared.port).queue()
  const command = exec('true')
  async function* stream() {
    yield 'text'
  }
  const refused: [request: unknown, options: unknown, field: string][] = [
    [{ ...command, stdin: stream() }, undefined, 'stdin'],
    [{ ...command, stdin: { open: true } }, undefined, 'stdin'],
    [{ ...command, leaseMs: 1000 }, undefined, 'leaseMs'],
    [{ ...command, labels: 'gpu' }, undefined, 'labels'],
    [{ ...command, labels: ['ok', 'not ok'] }, undefined, 'labels[1]'],
    [{ ...command, delayMs: -1 }, undefined, 'delayMs'],
    [{ ...command, onWorkerLoss: 'retry' }, undefined, 'onWorkerLoss'],
    [{ ...command, allowSecretValues: 1 }, undefined, 'allowSecretValues'],
    [{ ...command, priority: 2 ** 21 }, undefined, 'priority'],
    [{ ...command, timeoutMs: 0 }, undefined, 'timeoutMs'],
    [{ ...command, id: 'no id' }, undefined, 'id'],
    [command, { onStdout: 1 }, 'options.onStdout'],
    [command, { onStdoutBytes: () => {} }, 'options.onStdoutBytes'],
    [command, { signal: {} }, 'options.signal'],
    [command, { onLine: () => {} }, 'options.onLine'],
    [{ command: { type: 'exec', program: '' } }, undefined, 'command.program'],
  ]
  for (const [request, options, field] of refused) {
    await expect(queue.run(request as never, options as never)).rejects.toMatchObject({ code: 'VALIDATION', field })
  }
  await expect(queue.run(undefined as never)).rejects.toMatchObject({ code: 'VALIDATION' })
  await expect(queue.stream({ ...command, delayMs: -1 }).next()).rejects.toMatchObject({
    code: 'VALIDATION',
    field: 'delayMs',
  })
  const plan = { steps: { a: { request: () => command } } }
  await expect(queue.runPlan(plan)).rejects.toMatchObject({ code: 'VALIDATION', field: 'steps.a.request' })
  expect(await queue.listExecutions()).toEqual([])
})

test('what an engine of a worker refuses is a result that says so', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker({
    lockDurationMs: 10_000,
    engine: { logOutput: false, defaultTimeoutMs: 60_000, maxTimeoutMs: 60_000, terminationGraceMs: 1000 },
  })
  const none = join(shared.dir, 'no such directory')
  for (const [request, found] of [
    [{ ...exec('true'), workingDir: none }, none],
    [{ ...exec('true'), group: 'unknown' }, 'group'],
    [{ ...exec('true'), timeoutMs: 120_000 }, 'timeoutMs'],
    [{ ...exec('true'), terminationGraceMs: 9000 }, 'terminationGraceMs'],
    [exec('no-such-program-anywhere'), 'no-such-program-anywhere'],
  ] as const) {
    const result = await queue.run(request)
    expect(result).toMatchObject({ status: 'failed', success: false, errorCode: 'SPAWN_FAILED', pid: null })
    expect(result.error).toContain(found)
  }
})

test('URLs, bytes and files reach the command as they would in an engine', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  await place.worker()
  const file = join(shared.dir, 'input file')
  writeFileSync(file, 'of a file')
  const url = pathToFileURL(shared.dir)
  expect(await queue.run({ ...exec('pwd'), workingDir: url })).toMatchObject({ stdout: `${shared.dir}\n` })
  expect(await queue.run({ ...exec('cat'), stdin: { file: pathToFileURL(file) } })).toMatchObject({
    stdout: 'of a file',
  })
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i)
  const kept = await queue.run({ ...exec('cat'), stdin: bytes, keepBytes: true })
  expect(kept.bytes?.stdout.equals(bytes)).toBe(true)
  const env = { HOME: undefined, NEW: 'value' }
  expect(await queue.run({ ...shell('echo "[$HOME] $NEW"'), env })).toMatchObject({ stdout: '[] value\n' })
  const metadata = { source: 'test', conversationId: 'c', tags: { a: 'b' } }
  expect(await queue.run({ ...exec('true'), metadata })).toMatchObject({ metadata })
})

test('a configuration that cannot work is refused, and the culprit is named', () => {
  const connection = { host: '127.0.0.1', port: shared.port, lazyConnect: true }
  const refused: [make: () => unknown, field: string][] = [
    [() => new QueueEngine({} as never), 'connection'],
    [() => new QueueEngine({ connection, name: 'a:b' }), 'name'],
    [() => new QueueEngine({ connection, prefix: '' }), 'prefix'],
    [() => new QueueEngine({ connection, retentionSecs: 0 }), 'retentionSecs'],
    [() => new QueueEngine({ connection, placement: 'anywhere' as never }), 'placement'],
    [() => new QueueEngine({ connection, retention: 1 } as never), 'retention'],
    [() => new QueueEngine({ connection: { ...connection, keyPrefix: 'x' } }), 'connection'],
    [() => new ExecutionWorker({ connection, lockDurationMs: 7000 }), 'lockDurationMs'],
    [() => new ExecutionWorker({ connection, labels: ['a b'] }), 'labels[0]'],
    [() => new ExecutionWorker({ connection, concurrency: 1.5 }), 'concurrency'],
    [() => new ExecutionWorker({ connection, resolveSecret: 'x' as never }), 'resolveSecret'],
    [() => new ExecutionWorker({ connection, engine: { maxTimeoutMs: 0 } }), 'maxTimeoutMs'],
  ]
  for (const [make, field] of refused) {
    let error: unknown
    try {
      make()
    } catch (thrown) {
      error = thrown
    }
    expect(error).toMatchObject({ name: 'ExecutionError', code: 'INVALID_CONFIG', field })
  }
})

test('an engine that is shut down ends what waits here, and nothing else', async () => {
  const place = newPlace(shared.port)
  const [queue, other] = [place.queue(), place.queue()]
  await place.worker()
  const [id, go] = [randomUUID(), shared.newPath()]
  const command = shell(`echo begun; until [ -e ${go} ]; do sleep 0.02; done; echo done`)
  const running = queue.run({ ...command, id }, { onStdout: () => {} })
  await until(
    async () =>
      other.getStatus(id).then(
        (status) => status === 'running',
        () => false,
      ),
    'it to run',
  )
  const following = queue.followLogs(id)
  await following.next()
  const waits = [running, queue.waitForCompletion(id)].map((promise) => promise.catch((error: unknown) => error))
  const next = following.next()
  await queue.shutdown()
  for (const wait of waits) expect(await wait).toMatchObject({ code: 'SHUT_DOWN' })
  expect(await next).toMatchObject({ done: true })
  await expect(queue.getStatus(id)).rejects.toMatchObject({ code: 'SHUT_DOWN' })
  await expect(queue.run(exec('true'))).rejects.toMatchObject({ code: 'SHUT_DOWN' })
  await queue.shutdown()
  writeFileSync(go, '')
  expect(await other.waitForCompletion(id)).toMatchObject({ status: 'completed', stdout: 'begun\ndone\n' })
})

test('an idle engine does not keep its process alive, one that waits does', async () => {
  const place = newPlace(shared.port)
  await place.worker()
  const program = (body: string) =>
    `const { QueueEngine } = require('@escher-dbai/execution-queue')
     const queue = new QueueEngine({ connection: { host: '127.0.0.1', port: ${shared.port} }, name: '${place.name}' })
     ${body}`
  const run = async (body: string) => {
    const child = spawn(process.execPath, ['-e', program(body)], {
      cwd: process.cwd(),
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    cleanUp(() => child.kill('SIGKILL'))
    let said = ''
    child.stdout.on('data', (chunk: Buffer) => (said += String(chunk)))
    const [code] = (await once(child, 'exit')) as [number | null]
    return [code, said]
  }
  const command = `{ command: { type: 'shell', command: 'sleep 0.5; echo done' } }`
  expect(await run(`queue.run(${command}).then(({ stdout }) => process.stdout.write(stdout))`)).toEqual([0, 'done\n'])
  expect(await run(`queue.run(${command}, { onStdout: console.log })`)).toEqual([0, 'done\n'])
  expect(await run(`queue.execute(${command}).then(() => console.log('accepted'))`)).toEqual([0, 'accepted\n'])
  expect(await run(`setTimeout(() => {}, 300)`)).toEqual([0, ''])
}, 60_000)

test('a worker tells whether it can work, and warns of a Redis that forgets', async () => {
  const place = newPlace(shared.port)
  const proxy = await startProxy(shared.port)
  cleanUp(() => proxy.close())
  const worker = await place.worker({ connection: proxy.connection })
  expect(await worker.health()).toEqual({ healthy: true, redis: true, renewals: true, problem: null })
  proxy.cut()
  expect(await worker.health()).toMatchObject({ healthy: false, redis: false })
  expect((await worker.health()).problem).toContain('Redis')
  proxy.heal()
  await until(() => worker.isHealthy(), 'the worker to be healthy again')

  const forgetful = await startServer(['--appendonly', 'no', '--maxmemory-policy', 'allkeys-lru'])
  cleanUp(() => forgetful.close())
  const warnings: string[] = []
  await newPlace(forgetful.port).worker({ onWarning: (message) => void warnings.push(message) })
  await until(() => warnings.length === 2, 'both warnings')
  expect(warnings.join('\n')).toMatch(/allkeys-lru[\s\S]*appendonly/)
}, 60_000)

test('an engine that is passed is used and left to its owner; one that is shut down closes its worker', async () => {
  const place = newPlace(shared.port)
  const queue = place.queue()
  const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 2, maxQueuedExecutions: 5 })
  const worker = await place.worker({ engine })
  expect(await queue.run(exec('echo', 'one'))).toMatchObject({ stdout: 'one\n' })
  expect(engine.totalCount).toBe(0)
  await worker.close()
  expect(await engine.run(exec('echo', 'two'))).toMatchObject({ stdout: 'two\n' })
  const warnings: string[] = []
  const second = await place.worker({ engine, onWarning: (message) => void warnings.push(message) })
  await engine.shutdown()
  const id = await queue.execute(exec('echo', 'three'))
  await until(async () => !(await second.isHealthy()), 'the worker to be closed')
  expect(warnings.join()).toContain('shut down')
  await place.worker()
  expect(await queue.waitForCompletion(id)).toMatchObject({ status: 'completed', stdout: 'three\n' })
})

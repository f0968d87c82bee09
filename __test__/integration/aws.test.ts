// The real AWS CLI against a server on the loopback that behaves like AWS.

import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { ExecutionEngine, type Command, type ExecutionResult } from '../../index.js'

type AwsCli = Extract<Command, { type: 'aws_cli' }>

const home = mkdtempSync(join(tmpdir(), 'engine-aws-'))
const bin = inject('venvBin')
const PATH = `${bin}:${process.env['PATH']}`

let engine: ExecutionEngine
let server: string
let endpoint: string

const aws = (command: Omit<AwsCli, 'type'>, more: Record<string, string> = {}): Promise<ExecutionResult> =>
  engine.run({
    command: { type: 'aws_cli', region: 'eu-west-1', ...command },
    env: {
      PATH,
      // Nothing of the developer's own account is read, nor reached.
      HOME: home,
      AWS_CONFIG_FILE: join(home, 'config'),
      AWS_SHARED_CREDENTIALS_FILE: join(home, 'credentials'),
      AWS_ACCESS_KEY_ID: 'testing',
      AWS_SECRET_ACCESS_KEY: 'testing',
      AWS_EC2_METADATA_DISABLED: 'true',
      AWS_ENDPOINT_URL: endpoint,
      AWS_DEFAULT_OUTPUT: 'json',
      AWS_PAGER: '',
      ...more,
    },
    timeoutMs: 50_000,
  })

beforeAll(async () => {
  engine = new ExecutionEngine({ logDir: join(home, 'logs') })
  let said = ''
  const port = new Promise<number>((resolve, reject) => {
    engine
      .execute(
        // Port 0: the system chooses a free one, and the server says which.
        { command: { type: 'exec', program: join(bin, 'moto_server'), args: ['-H', '127.0.0.1', '-p', '0'] } },
        {
          onStderr: (line) => {
            said += `${line}\n`
            const found = /Running on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)
            if (found !== null) resolve(Number(found[1]))
          },
          onEvent: (event) => {
            if ('result' in event) reject(new Error(`the server ended before it listened:\n${said}`))
          },
        },
      )
      .then((id) => (server = id), reject)
  })
  endpoint = `http://127.0.0.1:${await port}`
})

afterAll(async () => {
  await engine.shutdown()
  rmSync(home, { recursive: true })
})

test('lists, creates, and lists what was created', async () => {
  const none = await aws({ service: 's3api', operation: 'list-buckets' })
  expect(none).toMatchObject({ status: 'completed', exitCode: 0, stderr: '' })
  expect(JSON.parse(none.stdout).Buckets).toEqual([])

  const created = await aws({
    service: 's3api',
    operation: 'create-bucket',
    args: ['--bucket', 'logs', '--create-bucket-configuration', 'LocationConstraint=eu-west-1'],
  })
  expect(created).toMatchObject({ status: 'completed', exitCode: 0, stderr: '' })

  const one = await aws({ service: 's3api', operation: 'list-buckets', args: ['--query', 'Buckets[].Name'] })
  expect(JSON.parse(one.stdout)).toEqual(['logs'])
})

test('tells the error of the service in its own words', async () => {
  const result = await aws({ service: 's3api', operation: 'get-bucket-location', args: ['--bucket', 'nowhere'] })
  expect(result).toMatchObject({ status: 'failed', success: false, signal: null, errorCode: null, stdout: '' })
  expect(result.exitCode).toBeGreaterThan(0)
  expect(result.stderr).toContain('(NoSuchBucket) when calling the GetBucketLocation operation')
})

test('passes each argument as it is: a shell would have read this one', async () => {
  const value = `a "quoted" $HOME; 'line' & more | *`
  const name = '/app/text'
  const put = await aws({
    service: 'ssm',
    operation: 'put-parameter',
    args: ['--name', name, '--type', 'String', '--value', value],
  })
  expect(put).toMatchObject({ status: 'completed', stderr: '' })
  const got = await aws({ service: 'ssm', operation: 'get-parameter', args: ['--name', name] })
  expect(JSON.parse(got.stdout).Parameter.Value).toBe(value)
})

test('passes the region: what is made in one is not in another', async () => {
  const name = '/app/region'
  const args = ['--name', name]
  const created = await aws({
    service: 'ssm',
    operation: 'put-parameter',
    args: [...args, '--type', 'String', '--value', 'here'],
    region: 'us-east-2',
  })
  expect(created).toMatchObject({ status: 'completed', stderr: '' })
  const there = await aws({ service: 'ssm', operation: 'get-parameter', args, region: 'us-east-2' })
  expect(JSON.parse(there.stdout).Parameter.Value).toBe('here')
  const elsewhere = await aws({ service: 'ssm', operation: 'get-parameter', args, region: 'us-west-1' })
  expect(elsewhere.status).toBe('failed')
  expect(elsewhere.stderr).toContain('(ParameterNotFound)')
})

test('passes the profile: one that does not exist is told by the CLI', async () => {
  const result = await aws({ service: 'sts', operation: 'get-caller-identity', profile: 'nobody' })
  expect(result.status).toBe('failed')
  expect(result.stderr).toContain('nobody')
})

test('a signal ends a command of the CLI that waits', async () => {
  const { createServer } = await import('node:net')
  // It accepts and never answers.
  const silent = createServer().listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const { port } = silent.address() as { port: number }
  const controller = new AbortController()
  silent.once('connection', (socket) => {
    socket.on('error', () => {})
    controller.abort()
  })
  try {
    const result = await engine.run(
      {
        command: {
          type: 'aws_cli',
          service: 'sts',
          operation: 'get-caller-identity',
          region: 'eu-west-1',
          args: ['--endpoint-url', `http://127.0.0.1:${port}`],
        },
        env: { PATH, HOME: home, AWS_ACCESS_KEY_ID: 'testing', AWS_SECRET_ACCESS_KEY: 'testing' },
        timeoutMs: 50_000,
      },
      { signal: controller.signal },
    )
    expect(result.status).toBe('cancelled')
  } finally {
    silent.close()
  }
})

test('the server, which runs all the while, is ended by its id', async () => {
  expect(await engine.getStatus(server)).toBe('running')
  await engine.cancel(server)
  expect((await engine.getResult(server)).status).toBe('cancelled')
  await expect(fetch(endpoint)).rejects.toThrow('fetch failed')
})

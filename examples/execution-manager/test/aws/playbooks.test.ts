// The playbooks that come with it do what they say.

import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ExecutionEngine } from '@escher-dbai/execution-engine'
import Type from 'typebox'
import { afterAll, beforeAll, beforeEach, expect, inject, test, vi } from 'vitest'
import { LogPage, type Run } from '../../src/api.js'
import { type Service, startService } from '../../src/service.js'
import { Client, containing, json } from '../support.js'

declare module 'vitest' {
  interface ProvidedContext {
    /** The directory of the programs of the AWS CLI and of what behaves like AWS. */
    venvBin: string
  }
}

const home = mkdtempSync(join(tmpdir(), 'execution-manager-aws-'))
const bin = inject('venvBin')
const engine = new ExecutionEngine({ logDir: join(home, 'logs') })

let aws: string
let service: Service
let client: Client

/** Starts what behaves like AWS, and resolves with its address. */
async function startAws(): Promise<string> {
  const said: string[] = []
  return await new Promise((resolve, reject) => {
    const hear = (line: string): void => {
      said.push(line)
      const url = /Running on (http:\S+)/.exec(line)?.[1]
      if (url !== undefined) resolve(url)
    }
    // Port 0: the system chooses a free one, and the server says which.
    const command = { type: 'exec', program: join(bin, 'moto_server'), args: ['-H', '127.0.0.1', '-p', '0'] } as const
    engine.run({ command }, { onStdout: hear, onStderr: hear }).then(() => {
      reject(new Error(`the server ended before it listened:\n${said.join('\n')}`))
    }, reject)
  })
}

async function cli(region: string, service: string, operation: string, ...args: string[]): Promise<string> {
  const command = { type: 'aws_cli', service, operation, region, args } as const
  const result = await engine.run({ command }, { throwOnFailure: true })
  return result.stdout
}

async function listen(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<[string, Server]> {
  const server = createServer(answer).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (typeof address !== 'object' || address === null) throw new Error('expected a port')
  return [`http://127.0.0.1:${String(address.port)}`, server]
}

async function run(playbook: string, parameters: Record<string, unknown> = {}): Promise<Run> {
  return await client.ended(await client.start(playbook, parameters))
}

async function printed(run: Run, step: string): Promise<string[]> {
  const { lines } = await client.get(`/api/runs/${run.id}/steps/${step}/log`, LogPage)
  return lines.map(({ line }) => line)
}

const ends = (run: Run): Record<string, string> =>
  Object.fromEntries(run.steps.map(({ name, status }) => [name, status]))

beforeAll(async () => {
  aws = await startAws()
  const playbooks = fileURLToPath(new URL('../../playbooks', import.meta.url))
  service = await startService({ playbooks, data: join(home, 'data') })
  client = new Client(service.url)
})

beforeEach(() => {
  // Nothing of the developer's own account is read, nor reached.
  const variables = {
    PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    HOME: home,
    AWS_CONFIG_FILE: join(home, 'config'),
    AWS_SHARED_CREDENTIALS_FILE: join(home, 'credentials'),
    AWS_ACCESS_KEY_ID: 'testing',
    AWS_SECRET_ACCESS_KEY: 'testing',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ENDPOINT_URL: aws,
    AWS_DEFAULT_OUTPUT: 'json',
    AWS_MAX_ATTEMPTS: '1',
    AWS_PAGER: '',
  }
  for (const [name, value] of Object.entries(variables)) vi.stubEnv(name, value)
  return () => vi.unstubAllEnvs()
})

afterAll(async () => {
  await service.close()
  await engine.shutdown()
  rmSync(home, { recursive: true, force: true })
})

test('the audit finds the open group in its region, and fails as long as it is not allowed', async () => {
  const made = await cli('us-east-1', 'ec2', 'create-security-group', '--group-name', 'web', '--description', 'web')
  const { GroupId: group } = json(Type.Object({ GroupId: Type.String() }), made)
  const open = ['--group-id', group, '--protocol', 'tcp', '--port', '22', '--cidr', '0.0.0.0/0']
  await cli('us-east-1', 'ec2', 'authorize-security-group-ingress', ...open)

  const found = await run('audit-regions')
  expect(found).toMatchObject({ status: 'failed', error: 'verdict: exited with code 1' })
  expect(await printed(found, 'report')).toEqual([
    'account 123456789012',
    'eu-west-1: 0 of 1 groups are open',
    'us-east-1: 1 of 2 groups are open',
    'ap-southeast-2: 0 of 1 groups are open',
  ])
  // The regions were asked at once.
  const times = found.steps.slice(0, 4).map(({ startedAt, durationMs }) => {
    const start = Date.parse(startedAt ?? '')
    return [start, start + (durationMs ?? 0)] as const
  })
  const overlaps = times.filter(([start, end]) =>
    times.some((other) => other[0] !== start && other[0] < end && start < other[1]),
  )
  expect(overlaps.length).toBeGreaterThan(2)

  expect(await run('audit-regions', { allowed: 1, third: 'eu-central-1' })).toMatchObject({ status: 'completed' })
})

test('a deployment that is not well is taken back and cleaned up; one that is well stays', async () => {
  await cli(
    'eu-west-1',
    's3api',
    'create-bucket',
    '--bucket',
    'releases',
    '--create-bucket-configuration',
    'LocationConstraint=eu-west-1',
  )
  const artifact = join(home, 'release.tar')
  writeFileSync(artifact, 'release')
  let isWell = false
  const asked: (string | undefined)[] = []
  const [healthUrl, health] = await listen((request, response) => {
    asked.push(request.headers.authorization)
    response.writeHead(isWell ? 200 : 500).end('{}')
  })
  try {
    const parameters = { application: 'shop', artifact, bucket: 'releases', healthUrl, healthToken: 'correct horse' }
    const version = async (): Promise<string> => {
      const read = await cli('eu-west-1', 'ssm', 'get-parameter', '--name', '/shop/version')
      return json(Type.Object({ Parameter: Type.Object({ Value: Type.String() }) }), read).Parameter.Value
    }
    const releases = async (): Promise<string> => await cli('eu-west-1', 's3', 'ls', 's3://releases', '--recursive')

    const bad = await run('deploy', { ...parameters, version: '1.0.0' })
    expect(bad).toMatchObject({ status: 'failed', error: containing('check: exited with code 22') })
    expect(ends(bad)).toMatchObject({
      check: 'failed',
      announce: 'skipped',
      'roll-back': 'completed',
      'clean-up': 'completed',
    })
    expect(bad.steps.find(({ name }) => name === 'check')?.attempts).toHaveLength(3)
    expect(asked).toEqual(Array.from({ length: 3 }, () => 'Bearer correct horse'))
    expect(await version()).toBe('0.0.0')
    expect(await releases()).toBe('')

    isWell = true
    const good = await run('deploy', { ...parameters, version: '1.0.1' })
    expect(good).toMatchObject({ status: 'completed' })
    expect(ends(good)).toMatchObject({
      check: 'completed',
      announce: 'completed',
      'roll-back': 'skipped',
      'clean-up': 'skipped',
    })
    expect(await printed(good, 'announce')).toEqual(['shop 1.0.1 is live'])
    expect(await version()).toBe('1.0.1')
    expect(await releases()).toContain('shop/1.0.1')
    expect(JSON.stringify([bad, good])).not.toContain('horse')
  } finally {
    health.close()
  }
})

test('a backup that breaks off is tried again, and compared with what arrived', async () => {
  await cli(
    'eu-west-1',
    's3api',
    'create-bucket',
    '--bucket',
    'backups',
    '--create-bucket-configuration',
    'LocationConstraint=eu-west-1',
  )
  const directory = mkdtempSync(join(home, 'source-'))
  writeFileSync(join(directory, 'a file'), 'x'.repeat(10_000))
  let uploads = 0
  const [proxyUrl, proxy] = await listen((incoming, outgoing) => {
    if (incoming.method === 'PUT') uploads += 1
    if (incoming.method === 'PUT' && uploads === 1) {
      incoming.socket.destroy()
      return
    }
    const { method, headers, url } = incoming
    const forwarded = request(new URL(url ?? '/', aws), { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(outgoing)
    })
    incoming.pipe(forwarded)
  })
  vi.stubEnv('AWS_ENDPOINT_URL', proxyUrl)
  try {
    const saved = await run('backup', { directory, bucket: 'backups' })
    expect(saved).toMatchObject({ status: 'completed' })
    const [pack, upload, stored] = saved.steps
    expect(upload?.attempts.map(({ exitCode }) => exitCode)).toEqual([1, 0])
    expect(uploads).toBe(2)
    expect(stored?.outputs?.['bytes']).toBe(pack?.outputs?.['bytes'])
    expect(await printed(saved, 'compare')).toEqual([`${String(pack?.outputs?.['bytes'])} bytes are stored`])
    expect(ends(saved)).toMatchObject({ tidy: 'completed' })
  } finally {
    proxy.close()
  }
})

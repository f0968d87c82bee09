// Contract, section 2 (bad input): what an engine would refuse is known without one.

import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { checkPlan, checkRequest, ExecutionError, type ExecutionPlan, type ExecutionRequest } from '../../index.js'
import { exec, newEngine, shell } from './support.js'

const { resolve } = createRequire(import.meta.url)
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const SECRET = 'hunter22-and-more'

/** What a call is refused with. */
async function refusal(call: () => unknown): Promise<object> {
  try {
    await call()
  } catch (error) {
    if (!(error instanceof ExecutionError)) throw error
    const { code, field, message } = error
    return { code, field, message }
  }
  return expect.fail('accepted')
}

const badRequests: unknown[] = [
  undefined,
  'ls',
  {},
  { command: { type: 'exec' } },
  { command: { type: 'exec', program: ' ' } },
  exec('printf', 'a\0b'),
  exec('true', SECRET + '\0', 'x\0'),
  { ...exec('true'), secret: [SECRET] },
  { ...exec('true'), secrets: ['abc'] },
  { ...exec('true'), secrets: [SECRET], env: { [`a=${SECRET}`]: 'b' } },
  { ...exec('true'), env: { SHORT: 'ab' }, secretEnv: ['SHORT'] },
  { ...exec('true'), env: { A: 'b\0' } },
  { ...exec('true'), timeoutMs: 0 },
  { ...exec('true'), id: 'one' },
  { ...exec('true'), inheritEnv: [''] },
  { ...exec('true'), umask: 512 },
  { ...exec('true'), successExitCodes: [] },
  { ...exec('true'), retry: { attempts: 2 }, stdin: { open: true } },
  { ...exec('true'), retry: { attempts: 2 }, stdin: (async function* () {})() },
  { ...exec('true'), stdout: 'ignore', stderr: 'ignore', idleTimeoutMs: 1 },
  { command: { type: 'aws_cli', service: '-ec2', operation: 'x' } },
]

test.each(badRequests.map((request, index) => [index, request]))(
  'request %i is refused with the error of the engine',
  async (_, request) => {
    const engine = newEngine()
    const ofEngine = await refusal(() => engine.run(request as ExecutionRequest))
    expect(await refusal(() => checkRequest(request))).toEqual(ofEngine)
    expect(JSON.stringify(ofEngine)).not.toContain(SECRET)
  },
)

const ok = exec('true')
const id = '6ba7b810-9dad-11d1-80b4-00c04fd430c8'
const badPlans: unknown[] = [
  {},
  { strategy: { type: 'serial' }, commands: [ok, {}] },
  { strategy: { type: 'parallel', maxConcurrency: 0 }, commands: [ok] },
  { strategy: { type: 'dependency_graph', dependencies: { 0: [1], 1: [0] } }, commands: [ok, ok] },
  { strategy: { type: 'dependency_graph', dependencies: { 0: [7] } }, commands: [ok] },
  {
    strategy: { type: 'serial' },
    commands: [
      { ...ok, id },
      { ...ok, id },
    ],
  },
  { steps: { a: { ...ok, dependsOn: ['b'] }, b: { ...ok, dependsOn: ['a'] } } },
  { steps: { build: ok, test: { ...ok, dependsOn: ['biuld'] } } },
  { steps: { '': ok } },
  { steps: { a: { request: 'x' } } },
  { steps: { a: exec('true', SECRET + '\0') }, secrets: [SECRET] },
  { id, steps: { a: { ...ok, id } } },
  { steps: { a: ok }, timeoutMs: 0 },
]

test.each(badPlans.map((plan, index) => [index, plan]))(
  'plan %i is refused with the error of the engine',
  async (_, plan) => {
    const engine = newEngine()
    const ofEngine = await refusal(() => engine.runPlan(plan as ExecutionPlan))
    expect(await refusal(() => checkPlan(plan))).toEqual(ofEngine)
  },
)

test('what is checked is shown as its result shows it, and nothing is run', async () => {
  const request = {
    ...shell(`echo ${SECRET} > /no/such/directory/file`),
    secrets: [SECRET, 'another one'],
    env: { API_TOKEN: 'token-of-mine', PLAIN: 'text', AWS_SESSION_TOKEN: 'session-token' },
    secretEnv: ['API_TOKEN'],
  }
  const checked = checkRequest(request)
  expect(checked).toEqual({
    id: expect.stringMatching(UUID),
    command: 'echo *** > /no/such/directory/file',
    secretFields: ['secrets[0]', 'secrets[1]', 'env.API_TOKEN', 'env.AWS_SESSION_TOKEN'],
  })
  const { command } = await newEngine().run(request)
  expect(checked.command).toBe(command)
})

test('this machine is not looked at, nor are its variables refused', () => {
  const elsewhere = {
    command: { type: 'script', path: '/no/such/script', interpreter: 'no-such-interpreter' },
    workingDir: new URL('file:///no/such/directory'),
    stdin: { file: '/no/such/file' },
    user: 'nobody-that-is-known',
  }
  expect(checkRequest(elsewhere)).toMatchObject({ command: 'no-such-interpreter /no/such/script', secretFields: [] })
  process.env['CHECKED_SHORT'] = 'ab'
  process.env['CHECKED_LONG'] = 'value-of-this-machine'
  try {
    const request = { ...exec('echo', 'value-of-this-machine'), secretEnv: ['CHECKED_SHORT', 'CHECKED_LONG'] }
    expect(checkRequest(request)).toMatchObject({ command: "echo '***'", secretFields: [] })
  } finally {
    delete process.env['CHECKED_SHORT']
    delete process.env['CHECKED_LONG']
  }
})

test('what depends on a configuration is compared with one that is given', async () => {
  const config = { groups: { deployments: 1 }, maxTimeoutMs: 400_000, secretEnvPatterns: ['*_TOKEN'] }
  const engine = newEngine(config)
  for (const request of [
    { ...ok, group: 'deployment' },
    { ...ok, timeoutMs: 400_001 },
  ]) {
    expect(checkRequest(request)).toMatchObject({ command: 'true' })
    const ofEngine = await refusal(() => engine.run(request))
    expect(await refusal(() => checkRequest(request, { config }))).toEqual(ofEngine)
    const plan = { steps: { it: request } }
    expect(checkPlan(plan)).toMatchObject({ steps: [{ command: 'true' }] })
    expect(await refusal(() => checkPlan(plan, { config }))).toEqual(await refusal(() => engine.runPlan(plan)))
  }
  const withToken = { ...exec('echo', 'of-some-token'), env: { NPM_TOKEN: 'of-some-token' } }
  expect(checkRequest(withToken).secretFields).toEqual([])
  expect(checkRequest(withToken, { config })).toMatchObject({ command: "echo '***'", secretFields: ['env.NPM_TOKEN'] })
  expect(await refusal(() => checkRequest(ok, { config: { maxTimeoutMs: 1 } }))).toMatchObject({
    code: 'INVALID_CONFIG',
    field: 'defaultTimeoutMs',
  })
  expect(await refusal(() => checkRequest(ok, { conf: {} } as object))).toMatchObject({ field: 'options.conf' })
})

test('the steps of a plan have the same ids whenever it is checked', () => {
  let calls = 0
  const plan = {
    id,
    secrets: [SECRET],
    secretEnv: ['KEY'],
    steps: {
      build: { ...exec('make', SECRET), id: '6ba7b811-9dad-11d1-80b4-00c04fd430c8', env: { KEY: 'key-of-it' } },
      'run it': { ...exec('run'), dependsOn: ['build'] },
      report: { request: () => (calls++, ok), when: 'always', dependsOn: ['run it'] },
    },
  }
  const checked = checkPlan(plan)
  expect(checked).toEqual({
    id,
    steps: [
      { step: 'build', id: '6ba7b811-9dad-11d1-80b4-00c04fd430c8', command: "make '***'" },
      // As other implementations of version 5 have it.
      { step: 'run it', id: '4a1dd62c-f084-5fbf-9d8a-c476f7b588e5', command: 'run' },
      { step: 'report', id: expect.stringMatching(/-5[0-9a-f]{3}-[89ab]/), command: null },
    ],
    secretFields: ['secrets[0]', 'steps.build.env.KEY'],
  })
  expect(checkPlan(plan)).toEqual(checked)
  expect(calls).toBe(0)
  const numbered = { strategy: { type: 'serial' }, commands: [ok, ok] }
  const [first, second] = checkPlan(numbered).steps
  expect([first?.step, second?.step]).toEqual([0, 1])
  expect(first?.id).not.toBe(second?.id)
})

test('a stream that is to be read is left alone', async () => {
  let isRead = false
  const stdin = (async function* () {
    isRead = true
    yield 'text'
  })()
  checkRequest({ ...exec('cat'), stdin })
  expect(isRead).toBe(false)
  expect(await newEngine().run({ ...exec('cat'), stdin })).toMatchObject({ stdout: 'text' })
})

test('the testing entry has them too, and loads the addon only when they are called', () => {
  const program = `
    const { checkRequest } = require(process.argv[1])
    const addons = () => process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node')).length
    const before = addons()
    checkRequest({ command: { type: 'exec', program: 'true' } })
    console.log(before, addons())`
  const args = ['-e', program, resolve('@escher-dbai/execution-engine/testing')]
  expect(execFileSync(process.execPath, args, { encoding: 'utf8' })).toBe('0 1\n')
})

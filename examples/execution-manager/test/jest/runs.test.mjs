// What a playbook becomes, with an engine that runs nothing.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { FakeEngine } from '@escher-dbai/execution-engine/testing'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { loadPlaybook } from '../../dist/playbook/load.js'
import { Runs } from '../../dist/runs/runs.js'

let directory
let engine
let runs

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'execution-manager-jest-'))
  engine = new FakeEngine()
  runs = new Runs(engine, join(directory, 'data'))
})

afterEach(async () => {
  await runs.close('the test has ended')
  rmSync(directory, { recursive: true })
})

const write = async (content) => {
  const file = join(directory, `${content.name}.json`)
  writeFileSync(file, JSON.stringify(content))
  return await loadPlaybook(file)
}

const deploy = {
  name: 'deploy',
  parameters: { region: { type: 'string', default: 'eu-west-1' }, token: { type: 'string', secret: true } },
  steps: {
    build: { command: { type: 'exec', program: 'make' }, outputs: { image: 'image' } },
    release: {
      command: {
        type: 'aws_cli',
        service: 'ecs',
        operation: 'update-service',
        args: ['--image', '${build.image}'],
        region: '${region}',
      },
      env: { TOKEN: { param: 'token' } },
      dependsOn: ['build'],
    },
    'roll-back': { command: { type: 'exec', program: 'undo' }, when: 'failure', dependsOn: ['release'] },
  },
}

const finish = async (given) => {
  const id = await runs.start(await write(deploy), given)
  await runs.ended(id)
  return runs.find(id).run
}

test('an output of one step is an argument of the next', async () => {
  engine.when({ program: 'make' }, { output: ['{ "image": "shop:1" }'] })
  engine.when({ service: 'ecs' }, { output: ['done'] })
  const run = await finish({ region: 'eu-central-1', token: 'hunter2-geheim' })
  expect(run.status).toBe('completed')
  expect(run.steps.map(({ status }) => status)).toEqual(['completed', 'completed', 'skipped'])
  expect(engine.requests.find(({ command }) => command.service === 'ecs')).toMatchObject({
    command: { service: 'ecs', args: ['--image', 'shop:1'], region: 'eu-central-1' },
    env: { TOKEN: 'hunter2-geheim' },
    secretEnv: ['TOKEN'],
  })
  expect(run.parameters).toEqual({ region: 'eu-central-1', token: '***' })
})

test('after a failure what is there for failures runs', async () => {
  engine.when({ program: 'make' }, { output: ['{ "image": "shop:1" }'] })
  engine.when({ service: 'ecs' }, { output: [{ stderr: 'denied' }], exitCode: 254 })
  engine.when({ program: 'undo' }, {})
  const run = await finish({ token: 'hunter2-geheim' })
  expect(run).toMatchObject({ status: 'failed', error: 'release: exited with code 254' })
  expect(run.steps.map(({ status }) => status)).toEqual(['completed', 'failed', 'completed'])
})

test('a step whose argument was not printed fails, and says what it missed', async () => {
  engine.when({ program: 'make' }, { output: ['{ "picture": "shop:1" }'] })
  engine.when({ program: 'undo' }, {})
  const run = await finish({ token: 'hunter2-geheim' })
  expect(run.status).toBe('failed')
  expect(run.steps[0]).toMatchObject({
    status: 'completed',
    outputs: null,
    error: expect.stringContaining('nothing at image'),
  })
  expect(run.steps[1]).toMatchObject({ status: 'failed', errorCode: 'INVALID_STEP' })
  expect(run.steps[1].error).toContain('outputs.image: nothing at image in what was printed')
})

test('nothing is started for parameters that cannot be', async () => {
  const loaded = await write(deploy)
  await expect(runs.start(loaded, {})).rejects.toThrow('parameters.token: is required')
  await expect(runs.start(loaded, { token: 'x' })).rejects.toThrow('at least four bytes')
  expect(engine.plans).toEqual([])
  expect(runs.list({})).toEqual([])
})

test('a run that does not end is cancelled, with its reason', async () => {
  engine.when({ program: 'make' }, { hangs: true })
  const id = await runs.start(await write(deploy), { token: 'hunter2-geheim' })
  await runs.cancel(id, 'enough')
  expect(runs.find(id).run).toMatchObject({ status: 'cancelled', error: 'build: enough' })
})

'use strict'

// The package under the other test runner that its users name. Jest runs modules in a context of its own, with its own
// globals and a copy of `process.env`.

const { readFileSync } = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')
const { afterAll, beforeAll, expect, test } = require('@jest/globals')
const { ExecutionEngine, ExecutionError } = require('@escher-dbai/execution-engine')

/** @type {ExecutionEngine} */
let engine

beforeAll(() => {
  engine = new ExecutionEngine({ logOutput: false, terminationGraceMs: 500 })
})

afterAll(() => engine.shutdown())

/** @param {string} command @returns {import('@escher-dbai/execution-engine').ExecutionRequest} */
const shell = (command) => ({ command: { type: 'shell', command, shell: 'sh' } })

/**
 * A zombie is dead: who reaps the orphans of a container may take a while.
 *
 * @param {number} pid
 */
function isAlive(pid) {
  if (process.platform !== 'linux') {
    try {
      return process.kill(pid, 0)
    } catch {
      return false
    }
  }
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

test('a result holds exactly what was printed', async () => {
  const result = await engine.run({ command: { type: 'exec', program: 'echo', args: ['one  two', '$HOME'] } })
  expect(result).toMatchObject({ status: 'completed', success: true, exitCode: 0, signal: null, stderr: '' })
  expect(result.stdout).toBe('one  two $HOME\n')
})

test('a callback sees every line in order before run resolves', async () => {
  /** @type {string[]} */
  const lines = []
  await engine.run(shell('i=0; while [ $i -lt 2000 ]; do echo $i; i=$((i+1)); done'), {
    onStdout: (line) => void lines.push(line),
  })
  expect(lines).toEqual(Array.from({ length: 2000 }, (_, i) => String(i)))
})

test('the next line waits for the promise of a callback', async () => {
  /** @type {string[]} */
  const steps = []
  await engine.run(shell('echo a; echo b'), {
    onStdout: async (line) => {
      steps.push(`${line} begins`)
      await sleep(20)
      steps.push(`${line} ends`)
    },
  })
  expect(steps).toEqual(['a begins', 'a ends', 'b begins', 'b ends'])
})

test('a deadline ends the command, and the result says so', async () => {
  const result = await engine.run({ ...shell('sleep 60'), timeoutMs: 200 })
  expect(result).toMatchObject({ status: 'timeout', success: false, exitCode: null, signal: 'SIGTERM' })
  expect(result.durationMs).toBeGreaterThanOrEqual(190)
  expect(result.durationMs).toBeLessThan(10_000)
})

test('cancel resolves once nothing of the execution is left running', async () => {
  /** @type {(pid: number) => void} */
  let tell = () => {}
  const started = new Promise((resolve) => (tell = resolve))
  const id = await engine.execute(shell('sleep 60 & echo $!; wait'), { onStdout: (line) => tell(Number(line)) })
  const grandchild = await started
  expect(isAlive(grandchild)).toBe(true)
  await engine.cancel(id)
  expect(isAlive(grandchild)).toBe(false)
  expect((await engine.waitForCompletion(id)).status).toBe('cancelled')
  await expect(engine.cancel(id)).rejects.toMatchObject({ code: 'ALREADY_FINISHED', executionId: id })
})

test('the command inherits process.env as the test sees it', async () => {
  process.env['ENGINE_JEST_VALUE'] = 'set in the test'
  try {
    const inherited = await engine.run(shell('printf %s "$ENGINE_JEST_VALUE"'))
    expect(inherited.stdout).toBe('set in the test')
  } finally {
    delete process.env['ENGINE_JEST_VALUE']
  }
  const removed = await engine.run(shell('printf %s "${ENGINE_JEST_VALUE-unset}"'))
  expect(removed.stdout).toBe('unset')
})

test('bytes of the test context reach the command', async () => {
  const command = /** @type {const} */ ({ type: 'exec', program: 'cat' })
  expect((await engine.run({ command, stdin: new Uint8Array([104, 105, 10]) })).stdout).toBe('hi\n')
  expect((await engine.run({ command, stdin: Buffer.from('ho\n') })).stdout).toBe('ho\n')
})

test('a refusal is an ExecutionError and an Error of the test context', async () => {
  /** @type {any} */
  const wrong = { command: { type: 'exec', program: 'echo', args: ['a', 5] } }
  const refused = await engine.run(wrong).catch((/** @type {unknown} */ error) => error)
  expect(refused).toBeInstanceOf(ExecutionError)
  expect(refused).toBeInstanceOf(Error)
  expect(refused).toMatchObject({ code: 'VALIDATION', field: 'command.args[1]' })

  const unknown = await engine.getResult('00000000-0000-4000-8000-000000000000').catch((error) => error)
  expect(unknown).toBeInstanceOf(ExecutionError)
  expect(unknown).toMatchObject({ code: 'NOT_FOUND' })
})

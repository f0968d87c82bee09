// What a command cost: processor time as the operating system counts it.

import { expect, test } from 'vitest'
import { exec, newEngine, shell } from './support.js'

/** Works until it has taken that much processor time in programs, in milliseconds, and says what it has taken. */
const work = (ms: number) => `
  const start = process.cpuUsage()
  while (process.cpuUsage(start).user < ${ms * 1000});
  const { user, system } = process.cpuUsage()
  console.log(JSON.stringify({ user: user / 1000, system: system / 1000 }))`

test('the result tells the processor time that the command has taken', async () => {
  const { usage, stdout } = await newEngine().run(exec(process.execPath, '-e', work(200)))
  const said = JSON.parse(stdout)
  // What it took after it had said so is a little.
  expect(usage?.userCpuMs).toBeGreaterThanOrEqual(Math.floor(said.user))
  expect(usage?.userCpuMs).toBeLessThan(said.user + 200)
  expect(usage?.systemCpuMs).toBeGreaterThanOrEqual(Math.floor(said.system))
  expect(usage?.systemCpuMs).toBeLessThan(said.system + 200)
})

test('what the command has waited for is counted', async () => {
  const { usage } = await newEngine().run(shell(`'${process.execPath}' -e '${work(200)}' | cat; true`))
  expect(usage?.userCpuMs).toBeGreaterThanOrEqual(200)
})

test('waiting costs nothing, and a command that is ended has cost what it took', async () => {
  const engine = newEngine()
  const [slept, ended] = await Promise.all([
    engine.run(exec('sleep', '0.5')),
    engine.run({ ...exec(process.execPath, '-e', 'for (;;);'), timeoutMs: 500 }),
  ])
  expect(slept).toMatchObject({ status: 'completed' })
  expect(slept.usage?.userCpuMs).toBeLessThan(100)
  expect(slept.usage?.systemCpuMs).toBeLessThan(100)
  expect(ended).toMatchObject({ status: 'timeout' })
  expect(ended.usage?.userCpuMs).toBeGreaterThan(20)
})

test('where there was no process, nothing is told of its cost', async () => {
  expect(await newEngine().run(exec('no-such-program'))).toMatchObject({ errorCode: 'SPAWN_FAILED', usage: null })
})

test('each step of a plan tells its own', async () => {
  const { results } = await newEngine().runPlan({
    strategy: { type: 'parallel' },
    commands: [exec(process.execPath, '-e', work(200)), exec('true')],
  })
  expect(results[0]?.usage?.userCpuMs).toBeGreaterThanOrEqual(200)
  expect(results[1]?.usage?.userCpuMs).toBeLessThan(100)
})

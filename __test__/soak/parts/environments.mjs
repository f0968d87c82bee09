// Environments of JavaScript that end while their commands run: workers, contexts of test runners, engines in a block,
// engines in a burst, whole processes under load. No crash, no hang, no survivor.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { clear, newMark, random, started, survivors, survivorsAfter } from '../processes.mjs'

/** @typedef {import('./executions.mjs').Outcome} Outcome */
/** @typedef {import('./executions.mjs').Options} Options */

const { ExecutionEngine } = createRequire(import.meta.url)('../../..')
const root = fileURLToPath(new URL('../../..', import.meta.url))

/** @param {string} mark @returns {import('../../..').ExecutionRequest} */
const tree = (mark) => ({
  command: { type: 'shell', command: `sleep ${mark} & setsid sleep ${mark} & sleep ${mark}`, shell: 'sh' },
})

/**
 * Runs the trials, so many at a time, and collects their faults.
 *
 * @param {number} count
 * @param {number} atOnce
 * @param {(index: number) => Promise<string[]>} trial
 */
async function trials(count, atOnce, trial) {
  /** @type {string[]} */
  const faults = []
  let next = 0
  const work = async () => {
    while (next < count) {
      const index = next++
      for (const fault of await trial(index)) faults.push(`trial ${index}: ${fault}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, work))
  return faults
}

/** What is left of a mark after a second, as a fault. @param {string} mark @param {number} [ms] */
async function leftOf(mark, ms = 1000) {
  const left = await survivorsAfter(mark, ms)
  clear(left)
  return left.length > 0 ? [`${left.length} left`] : []
}

/**
 * Workers that are terminated, exit or throw while their commands run; those of the main thread run on.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function workersThatEnd({ quick }) {
  const count = quick ? 12 : 200
  const own = newMark()
  const engine = new ExecutionEngine({ logOutput: false })
  const running = engine.execute(tree(own))
  await started(own, 4)
  const ends = /** @type {const} */ (['terminate', 'exit', 'throw'])
  const faults = await trials(count, 4, async (index) => {
    const mark = newMark()
    const end = ends[index % ends.length]
    const source = `
      const { root, request, end } = require('node:worker_threads').workerData
      const { ExecutionEngine } = require(root)
      const engine = new ExecutionEngine({ logOutput: false })
      for (let i = 0; i < 3; i++) engine.run(request, { onStdout: () => {} })
      setTimeout(() => {
        if (end === 'exit') process.exit(3)
        if (end === 'throw') throw new Error('uncaught, as it is meant to be')
      }, 60)`
    const worker = new Worker(source, { eval: true, workerData: { root, request: tree(mark), end } })
    const exited = new Promise((resolve) => worker.on('exit', resolve))
    worker.on('error', () => {})
    if (end === 'terminate') {
      await started(mark, 9)
      void worker.terminate()
    }
    await exited
    return leftOf(mark, 6000)
  })
  if (survivors(own).length !== 4) faults.push('the commands of the main thread were ended, too')
  await engine.cancel(await running)
  return { figures: `${count} workers`, faults }
}

/**
 * Runs a test runner over as many files, each of which leaves a command running in its context.
 *
 * @param {number} files
 * @param {(dir: string) => string[]} command
 * @param {(mark: string) => string} source
 * @param {string} name
 */
async function runnerLeaves(files, command, source, name) {
  const dir = mkdtempSync(join(tmpdir(), 'execution-engine-soak-'))
  const mark = newMark()
  try {
    symlinkSync(join(root, 'node_modules'), join(dir, 'node_modules'))
    mkdirSync(join(dir, 'tests'))
    for (let i = 0; i < files; i++) writeFileSync(join(dir, 'tests', `${i}.${name}`), source(mark))
    const child = spawn(process.execPath, command(dir), { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'] })
    let printed = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (printed += text))
    const hung = setTimeout(() => child.kill('SIGKILL'), 240_000)
    const [code, signal] = await once(child, 'close')
    clearTimeout(hung)
    const faults = code === 0 ? [] : [`it ended with ${signal ?? code}: ${printed.slice(-2000)}`]
    return [...faults, ...(await leftOf(mark, 6000))]
  } finally {
    rmSync(dir, { recursive: true })
  }
}

const leavesOne = (/** @type {string} */ mark) => `
  test('a command is left running', async () => {
    const { ExecutionEngine } = require(${JSON.stringify(root)})
    const engine = new ExecutionEngine({ logOutput: false })
    await engine.execute(${JSON.stringify(tree(mark))}, { onStdout: () => {} })
  })`

/**
 * Contexts of Jest, all in one process, that are torn down while their commands run.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function jestContexts({ quick }) {
  const files = quick ? 8 : 200
  const jest = join(root, 'node_modules/jest/bin/jest.js')
  const command = (/** @type {string} */ dir) => [
    jest,
    '--runInBand',
    '--forceExit',
    '--rootDir',
    dir,
    '--config',
    '{}',
  ]
  const faults = await runnerLeaves(files, command, leavesOne, 'test.js')
  return { figures: `${files} contexts`, faults }
}

/**
 * Workers of Vitest, one for each file, that end while their commands run.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function vitestContexts({ quick }) {
  const files = quick ? 4 : 200
  const vitest = join(root, 'node_modules/vitest/vitest.mjs')
  const command = (/** @type {string} */ dir) => [vitest, 'run', '--root', dir, '--pool=threads', '--globals']
  const source = (/** @type {string} */ mark) =>
    `import { createRequire } from 'node:module'\nconst require = createRequire(import.meta.url)\n${leavesOne(mark)}`
  const faults = await runnerLeaves(files, command, source, 'test.js')
  return { figures: `${files} workers of Vitest`, faults }
}

/**
 * Engines that are left at the end of a block, as `await using` does it, while their commands run.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function enginesInABlock({ quick }) {
  const count = quick ? 20 : 200
  const faults = await trials(count, 4, async () => {
    const mark = newMark()
    const engine = new ExecutionEngine({ logOutput: false })
    const runs = [engine.run(tree(mark)), engine.run(tree(mark))]
    await started(mark, 6)
    await engine[Symbol.asyncDispose]()
    const left = survivors(mark)
    clear(left)
    const results = await Promise.all(runs)
    const wrong = results.filter(({ status }) => status !== 'cancelled').map(({ status }) => `it is ${status}`)
    return left.length > 0 ? [...wrong, `${left.length} left`] : wrong
  })
  return { figures: `${count} blocks`, faults }
}

/**
 * Engines that are shut down somewhere in a burst of starts: every promise settles, and nothing is left by then.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function shutdownsInABurst({ quick, seed }) {
  const count = quick ? 20 : 200
  const next = random(seed)
  const faults = await trials(count, 2, async () => {
    const mark = newMark()
    const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 5, maxQueuedExecutions: 100 })
    /** @param {Promise<{ status: string }>} promise @returns {Promise<string>} */
    const how = (promise) =>
      promise.then(
        ({ status }) => status,
        ({ code }) => code,
      )
    const burst = Array.from({ length: 20 }, () => how(engine.run(tree(mark))))
    burst.push(how(engine.runPlan({ strategy: { type: 'parallel' }, commands: [tree(mark), tree(mark)] })))
    await sleep(next() * 30)
    burst.push(how(engine.run(tree(mark))))
    const down = engine.shutdown()
    burst.push(how(engine.run(tree(mark))))
    await down
    const left = survivors(mark)
    clear(left)
    const settled = await Promise.all(burst)
    const wrong = settled.filter((end) => end !== 'cancelled' && end !== 'SHUT_DOWN')
    if (left.length > 0) wrong.push(`${left.length} left`)
    return wrong
  })
  return { figures: `${count} bursts of 22 executions and a plan`, faults }
}

/** How a host under load ends, from where. @type {Record<string, string>} */
const exits = {
  fromATimer: 'setTimeout(() => process.exit(7), delay)',
  fromACallback: 'onLine = () => { if (++lines > 200) process.exit(7) }',
  fromAPromise: 'engine.run(quick).then(() => process.exit(7))',
  whileItIsShutDown: 'setTimeout(() => { void engine.shutdown(); process.exit(7) }, delay)',
}

/**
 * Hosts that call process.exit while commands start, print and end.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function exitsUnderLoad({ quick, seed }) {
  const count = quick ? 12 : 200
  const next = random(seed)
  const ways = Object.keys(exits)
  const faults = await trials(count, 2, async (index) => {
    const mark = newMark()
    const way = ways[index % ways.length] ?? ''
    const source = `
      const { ExecutionEngine } = require(${JSON.stringify(root)})
      const engine = new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1000 })
      const quick = { command: { type: 'exec', program: 'true' } }
      const delay = ${Math.round(next() * 60)}
      let lines = 0
      let onLine = () => {}
      for (let i = 0; i < 10; i++) engine.run(${JSON.stringify(tree(mark))})
      engine.run({ command: { type: 'exec', program: 'yes' } }, { onStdout: (line) => onLine(line) })
      const again = () => engine.run(quick).then(again)
      for (let i = 0; i < 8; i++) again()
      ${exits[way]}`
    const host = spawn(process.execPath, ['-e', source], { stdio: ['ignore', 'ignore', 'pipe'] })
    let complained = ''
    host.stderr.on('data', (text) => (complained += text))
    const hung = setTimeout(() => host.kill('SIGKILL'), 20_000)
    const [code, signal] = await once(host, 'close')
    clearTimeout(hung)
    const wrong = code === 7 && complained === '' ? [] : [`${way}: it ended with ${signal ?? code}: ${complained}`]
    return [...wrong, ...(await leftOf(mark))]
  })
  return { figures: `${count} hosts`, faults }
}

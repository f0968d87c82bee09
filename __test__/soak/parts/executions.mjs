// The parts of the soak, in the order in which they run. Each returns its figures, and its faults: none, if all
// is well.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { clear, newMark, percentile, random, started, survivors, survivorsAfter } from '../processes.mjs'

const { ExecutionEngine } = createRequire(import.meta.url)('../../..')

/** @typedef {{ quick: boolean, seed: number }} Options */
/** @typedef {{ figures: string, faults: string[], notRun?: string }} Outcome `notRun`: why it cannot be run here */

/** @param {string} command @returns {import('../../..').ExecutionRequest} */
const shell = (command) => ({ command: { type: 'shell', command, shell: 'sh' } })

const hostScript = fileURLToPath(new URL('../host.mjs', import.meta.url))

/** @param {import('../../..').ExecutionConfig} [config] */
const newEngine = (config) => new ExecutionEngine({ logOutput: false, maxConcurrentExecutions: 1000, ...config })

/** Without this, a count of zero would say nothing. @returns {Promise<Outcome>} */
export async function theCountWorks() {
  const mark = newMark()
  const child = spawn('sleep', [mark])
  await started(mark, 1)
  const found = survivors(mark)
  child.kill('SIGKILL')
  await once(child, 'exit')
  const left = survivors(mark)
  const works = found.length === 1 && left.length === 0
  return { figures: `${found.length} found, ${left.length} left`, faults: works ? [] : ['it does not'] }
}

/**
 * Hosts that die at a random moment of a burst of 40 starts of deep trees.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function hostsThatDie({ quick, seed }) {
  const next = random(seed)
  /** @type {string[]} */
  const faults = []
  const checks = []
  let afterAQuarter = 0
  const ends = ['SIGKILL', 'SIGKILL', 'SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'exit', 'throw', 'abort']
  const trials = quick ? 18 : 300
  for (let i = 0; i < trials; i++) {
    const end = quick ? ends[i % ends.length] : i < 270 ? 'SIGKILL' : ends[3 + (i % 6)]
    const mark = newMark()
    const host = spawn(process.execPath, [hostScript, mark, '40', end], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    await once(host.stdout, 'data')
    if (end.startsWith('SIG')) {
      await sleep(next() * 60)
      host.kill(/** @type {NodeJS.Signals} */ (end))
    }
    await once(host, 'exit')
    const check = async () => {
      await sleep(250)
      if (survivors(mark).length > 0) afterAQuarter += 1
      // The guardian looks through all processes first, and shares the processor with the hosts of other trials.
      const left = await survivorsAfter(mark, 3000)
      if (left.length > 0) faults.push(`trial ${i} (${end}): ${left.length} left`)
      clear(left)
    }
    checks.push(check())
  }
  await Promise.all(checks)
  return {
    figures: `${trials} hosts; after 250 ms, ${afterAQuarter} had left something, after 3 s ${faults.length}`,
    faults,
  }
}

/** What a tree does when it is asked to end; M is its mark. Its root goes on behind it. */
const trees = {
  obeys: `sh -c "sh -c 'sleep M & sleep M' & sleep M" & sleep M &`,
  ignoresTerm: `trap '' TERM; sh -c "trap '' TERM; sleep M & sleep M" & sleep M &`,
  isStopped: 'sh -c "sleep M & sleep M" & kill -STOP $!; sleep M & kill -STOP $!;',
  leftTheSession: 'setsid sh -c "sleep M & sleep M" & sleep M &',
  forkedTwice: '(sh -c "sleep M & sleep M" &) ; (setsid sleep M &) ;',
}

/**
 * How a tree is ended.
 *
 * @type {Record<string, (engine: any, tree: string, mark: string) => Promise<unknown>>}
 */
const endings = {
  timeout: (engine, tree, mark) => engine.run({ ...shell(`${tree} sleep ${mark}`), timeoutMs: 250 }),
  async cancel(engine, tree, mark) {
    const id = await engine.execute(shell(`${tree} sleep ${mark}`))
    await started(mark, 3)
    await engine.cancel(id)
  },
  exit: (engine, tree) => engine.run(shell(`${tree} sleep 0.05; exit 0`)),
  outputLimit: (engine, tree) => engine.run(shell(`${tree} sleep 0.05; yes`)),
  async shutdown(engine, tree, mark) {
    await engine.execute(shell(`${tree} sleep ${mark}`))
    await started(mark, 3)
    await engine.shutdown()
  },
}

/**
 * Every kind of tree, ended in every way.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function treesAreEnded({ quick }) {
  const faults = []
  const late = []
  const grace = 300
  const rounds = quick ? 1 : 20
  let trials = 0
  for (let round = 0; round < rounds; round++) {
    for (const [kind, tree] of Object.entries(trees)) {
      for (const [how, end] of Object.entries(endings)) {
        trials += 1
        const mark = newMark()
        const engine = newEngine({
          terminationGraceMs: grace,
          drainIdleMs: 50,
          maxOutputSizeBytes: 10_000,
          oversizedOutputStrategy: 'fail_execution',
        })
        const begun = Date.now()
        await end(engine, tree.replaceAll(/\bM\b/g, mark), mark)
        late.push(Date.now() - begun - grace)
        // What left its group and closed its output is found by a sweep, within a second; and then asked first.
        const left = await survivorsAfter(mark, how === 'exit' ? 1000 + grace : 0)
        if (left.length > 0) faults.push(`${kind}, ended by ${how}: ${left.length} left`)
        clear(left)
      }
    }
  }
  return { figures: `${trials} trees, ${percentile(late, 0.95)} ms over the grace (p95, start included)`, faults }
}

/**
 * Exit, deadline and cancel in the same millisecond: exactly one outcome.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function oneOutcome({ quick, seed }) {
  const next = random(seed)
  const faults = []
  /** @type {Record<string, number>} */
  const outcomes = {}
  const trials = quick ? 100 : 1000
  const engine = newEngine()
  for (let i = 0; i < trials; i++) {
    let terminal = 0
    const onEvent = (/** @type {any} */ event) => {
      if ('result' in event) terminal += 1
    }
    /** @type {import('../../..').ExecutionRequest} */
    const request = {
      command: { type: 'exec', program: 'sleep', args: ['0.02'] },
      timeoutMs: 20,
    }
    const abort = new AbortController()
    setTimeout(() => abort.abort(), 18 + next() * 6)
    const result = await engine.run(request, { onEvent, signal: abort.signal })
    outcomes[result.status] = (outcomes[result.status] ?? 0) + 1
    if (terminal !== 1) faults.push(`trial ${i}: ${terminal} terminal events`)
    if (result.success !== (result.status === 'completed')) faults.push(`trial ${i}: not one outcome`)
  }
  return { figures: `${trials} trials: ${JSON.stringify(outcomes)}`, faults }
}

/**
 * Background processes that hold the output open, silent and chatty.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function heldPipes({ quick }) {
  const faults = []
  const times = []
  const rounds = quick ? 2 : 50
  for (let i = 0; i < rounds; i++) {
    for (const logOutput of [false, true]) {
      for (const withLines of [false, true]) {
        for (const chatty of [false, true]) {
          const mark = newMark()
          const held = chatty ? `(while :; do echo more; sleep 0.05; done; : ${mark}) &` : `sleep ${mark} &`
          const engine = newEngine({ logOutput, drainMaxMs: 600 })
          /** @type {string[]} */
          const lines = []
          const onStdout = withLines ? (/** @type {string} */ line) => void lines.push(line) : undefined
          const begun = Date.now()
          const result = await engine.run(shell(`${held} echo BYE`), { onStdout })
          const took = Date.now() - begun
          times.push(took)
          const name = `${chatty ? 'chatty' : 'silent'}, log ${logOutput}, lines ${withLines}`
          if (!result.stdout.includes('BYE\n')) faults.push(`${name}: lost what was printed`)
          if (withLines && !lines.includes('BYE')) faults.push(`${name}: lost a line`)
          if (took > (chatty ? 600 : 250) + 250) faults.push(`${name}: took ${took} ms`)
          if (!result.leftoverProcesses) faults.push(`${name}: left-overs not reported`)
          clear(await survivorsAfter(mark, 0))
        }
      }
    }
  }
  return { figures: `${times.length} commands, at most ${Math.max(...times)} ms`, faults }
}

/** Descriptors, threads, zombies and memory of this process. */
function resources() {
  const status = readFileSync('/proc/self/status', 'latin1')
  const zombies = readdirSync('/proc').filter((name) => {
    try {
      return (
        /^\d+ \(.*\) Z \d+/.test(readFileSync(`/proc/${name}/stat`, 'latin1')) &&
        readFileSync(`/proc/${name}/stat`, 'latin1').split(') Z ')[1].startsWith(`${process.pid} `)
      )
    } catch {
      return false
    }
  })
  return {
    descriptors: readdirSync('/proc/self/fd').length,
    threads: Number(/^Threads:\s+(\d+)/m.exec(status)?.[1]),
    zombies: zombies.length,
    // Without the heap of JavaScript, whose room grows with the rate of garbage.
    megabytes: Math.round(
      Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024 - process.memoryUsage().heapTotal / 2 ** 20,
    ),
  }
}

/**
 * Many short and some long executions: everything back to where it was.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function everythingBack({ quick }) {
  const engine = newEngine({ maxInMemoryExecutions: 100 })
  const request = /** @type {any} */ ({ command: { type: 'exec', program: 'true' } })
  const many = async (/** @type {number} */ count) => {
    const work = async () => {
      while (count-- > 0) if (!(await engine.run(request)).success) throw new Error('true failed')
    }
    await Promise.all(Array.from({ length: 16 }, work))
  }
  await many(quick ? 200 : 2000)
  await sleep(1200)
  const before = resources()
  await many(quick ? 1000 : 20_000)
  const long = Array.from({ length: quick ? 50 : 1000 }, () =>
    engine.run({ command: { type: 'exec', program: 'sleep', args: ['0.5'] } }),
  )
  await Promise.all(long)
  await sleep(1200)
  const after = resources()
  const faults = []
  if (after.descriptors > before.descriptors) faults.push('descriptors are left')
  if (after.threads > before.threads) faults.push('threads are left')
  if (after.zombies > 0) faults.push('zombies are left')
  if (after.megabytes > before.megabytes + 20) faults.push('memory is left')
  return { figures: `${JSON.stringify(before)} -> ${JSON.stringify(after)}`, faults }
}

/**
 * 300 commands at once with 200 descriptors: all succeed.
 *
 * @returns {Promise<Outcome>}
 */
export async function fewDescriptors() {
  const script = `
    const { ExecutionEngine } = require(${JSON.stringify(fileURLToPath(new URL('../../..', import.meta.url)))})
    const engine = new ExecutionEngine({ maxConcurrentExecutions: 1000 })
    const request = { command: { type: 'shell', command: 'echo out; echo err >&2', shell: 'sh' } }
    Promise.all(Array.from({ length: 300 }, () => engine.run(request))).then((results) => {
      const bad = results.filter((r) => !r.success || r.error || r.stdout !== 'out\\n' || r.stderr !== 'err\\n')
      console.log(JSON.stringify({ good: 300 - bad.length, bad: bad.slice(0, 3).map((r) => r.error) }))
    })`
  const args = ['-c', 'ulimit -n 200; exec "$0" -e "$1"', process.execPath, script]
  const child = spawn('sh', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.on('data', (text) => (printed += text))
  await once(child, 'close')
  const faults = printed.includes('"good":300') ? [] : [`not all succeeded: ${printed}`]
  return { figures: printed.trim(), faults }
}

/**
 * Numbers of ended processes, forced to be used again by strangers: none is signalled.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export async function strangersAreSafe({ quick }) {
  const faults = []
  const trials = quick ? 50 : 500
  const engine = newEngine({ drainIdleMs: 20 })
  let reused = 0
  for (let i = 0; i < trials; i++) {
    const id = randomUUID()
    const leftover = i % 2 === 0 ? 'sleep 60 & ' : ''
    const running = engine.run({ id, ...shell(`${leftover} sleep 0.005`), timeoutMs: 6 })
    const { pid } = await running
    try {
      writeFileSync('/proc/sys/kernel/ns_last_pid', String(Number(pid) - 1))
    } catch (error) {
      return { figures: '', faults: [], notRun: `numbers cannot be forced here: ${error}` }
    }
    const stranger = spawn('sleep', ['60'], { detached: true })
    if (stranger.pid === pid) reused += 1
    // A late signal would come from a sweep or a second request.
    await engine.cancel(id).catch(() => {})
    await sleep(quick ? 20 : 10)
    if (stranger.exitCode !== null || stranger.signalCode !== null) {
      faults.push(`trial ${i}: the stranger was ended by ${stranger.signalCode}`)
    }
    stranger.kill('SIGKILL')
  }
  // On a busy machine, others take many of them.
  if (reused < trials / 10) faults.push(`only ${reused} of ${trials} numbers were used again`)
  return { figures: `${reused} of ${trials} numbers used again`, faults }
}

/**
 * The system calls of a start, for every option: no process is made by copying the host.
 *
 * @returns {Promise<Outcome>}
 */
export async function startsNeverFork() {
  const script = `
    const { ExecutionEngine } = require(${JSON.stringify(fileURLToPath(new URL('../../..', import.meta.url)))})
    const engine = new ExecutionEngine({ logOutput: false })
    const command = { type: 'exec', program: 'true' }
    process.env.PATH = '/opt/none:' + process.env.PATH
    const requests = [
      { command }, { command: { type: 'exec', program: '/bin/true' } },
      { command, env: { PATH: '/usr/bin:/bin' } }, { command, env: { PATH: '/usr/bin:/bin' }, inheritEnv: false },
      { command, workingDir: '/' }, { command, stdin: 'text' }, { command, keepBackground: true },
      { command: { type: 'exec', program: './true' }, workingDir: '/bin' }, { command, timeoutMs: 1000 },
      { command: { type: 'shell', command: 'exit 0' } },
      { command, outputLogPath: '/dev/null/none' },
    ]
    Promise.all(requests.map((r) => engine.run(r))).then((results) => console.log(results.every((r) => r.success)))`
  const trace = join(mkdtempSync(join(tmpdir(), 'escher-soak-')), 'calls')
  const args = ['-f', '-o', trace, '-e', 'trace=clone,clone3,fork,vfork,execve', process.execPath, '-e', script]
  const child = spawn('strace', args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let printed = ''
  child.stdout.on('data', (text) => (printed += text))
  const failed = await Promise.race([once(child, 'error'), once(child, 'close')])
  if (failed[0] instanceof Error) return { figures: '', faults: [`strace is needed: ${failed[0]}`] }
  const calls = readFileSync(trace, 'utf8')
  rmSync(dirname(trace), { recursive: true })
  const lines = calls.split('\n').map((line) => ({ pid: line.split(' ')[0], line }))
  const host = lines[0].pid
  // What a started shell or the guardian does is its own affair, and it is no copy of the host.
  const programs = new Set(
    lines.filter(({ pid, line }) => pid !== host && line.includes('execve(')).map(({ pid }) => pid),
  )
  const made = lines.filter(({ pid, line }) => !programs.has(pid) && /\b(clone3?|v?fork)\(/.test(line))
  // Threads are not processes.
  const starts = made.map(({ line }) => line).filter((line) => !line.includes('CLONE_THREAD'))
  const copies = starts.filter((line) => !/CLONE_VFORK|vfork\(/.test(line))
  const faults = copies.map((line) => `copied: ${line}`)
  if (!printed.includes('true')) faults.push('a command failed')
  if (starts.length < 11) faults.push(`only ${starts.length} starts were seen`)
  return { figures: `${starts.length} starts, ${copies.length} copies`, faults }
}

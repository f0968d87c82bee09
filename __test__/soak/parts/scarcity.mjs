// What becomes of commands when the system refuses: descriptors, processes, threads, room on the disk, a guardian.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { clear, newMark, survivorsAfter } from '../processes.mjs'

/** @typedef {import('./executions.mjs').Outcome} Outcome */

const here = (/** @type {string} */ name) => fileURLToPath(new URL(name, import.meta.url))
const { EMFILE, ENFILE, EAGAIN, ENOMEM, ENOENT, EPERM } = constants.errno

/**
 * Runs a program of Node in a host of its own; returns what it printed, and how it ended.
 *
 * @param {string[]} command
 * @param {NodeJS.ProcessEnv} [env]
 */
async function host([program = '', ...args], env = {}) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
  let printed = ''
  let complained = ''
  child.stdout.on('data', (text) => (printed += text))
  child.stderr.on('data', (text) => (complained += text))
  const [code, signal] = await once(child, 'close')
  return { printed, complained, ended: signal ?? code }
}

/** @param {(dir: string) => Promise<Outcome>} part @returns {Promise<Outcome>} */
async function inDirectory(part) {
  const dir = mkdtempSync(join(tmpdir(), 'execution-engine-soak-'))
  try {
    return await part(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** @param {string} dir */
function compileFaults(dir) {
  const library = join(dir, 'fail.so')
  execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, here('../fail.c'), '-ldl', '-pthread'])
  return library
}

/**
 * What a command comes to while a call fails for ever and nothing else runs: it is not started, or its log is lost, or
 * it runs all the same.
 *
 * @type {[call: string, errno: number, alone: 'SPAWN_FAILED' | 'IO' | null][]}
 */
const refusals = [
  ['pipe2', EMFILE, 'SPAWN_FAILED'],
  ['pipe2', ENFILE, 'SPAWN_FAILED'],
  ['clone', EAGAIN, 'SPAWN_FAILED'],
  ['clone', ENOMEM, 'SPAWN_FAILED'],
  ['execve', ENOMEM, 'SPAWN_FAILED'],
  ['execve', EMFILE, 'SPAWN_FAILED'],
  ['pidfd_open', EMFILE, null],
  ['pidfd_open', ENFILE, null],
  ['pidfd_send_signal', EPERM, null],
  ['open', EMFILE, 'IO'],
  ['open', ENFILE, 'IO'],
  ['pthread_create', EAGAIN, null],
]

/**
 * Each call that makes a descriptor, a process or a thread fails: three times while another command runs, then for
 * ever. Nothing leaks, nothing hangs; the first command succeeds, the second one says what was lacking.
 *
 * @returns {Promise<Outcome>}
 */
export function callsThatFail() {
  return inDirectory(async (dir) => {
    const library = compileFaults(dir)
    /** @type {string[]} */
    const faults = []
    let longest = 0
    const trials = refusals.map(async ([call, errno, alone], index) => {
      const args = [here('../scarce.mjs'), call, String(errno), join(dir, `logs-${index}`)]
      const { printed, complained, ended } = await host([process.execPath, ...args], {
        LD_PRELOAD: library,
        // With it, the descriptor of a process comes with the process.
        ...(/clone|pidfd/.test(call) && { WITHOUT: 'clone3' }),
      })
      const wrong = (/** @type {string} */ what) => faults.push(`${call}, error ${errno}: ${what}`)
      if (ended !== 0) return wrong(`the host ended with ${ended}: ${complained}`)
      const found = JSON.parse(printed)
      longest = Math.max(longest, found.aloneMs)
      const isGood = (/** @type {any} */ result) => result.success && result.stdout === 'out\n'
      if (!isGood(found.amongOthers)) wrong(`among others: ${JSON.stringify(found.amongOthers)}`)
      const code = found.alone.errorCode
      if (code !== alone || (alone !== 'SPAWN_FAILED' && !isGood(found.alone))) {
        wrong(`alone: ${JSON.stringify(found.alone)}`)
      }
      if (alone !== null && !found.alone.error) wrong('alone: no reason is given')
      if (found.aloneMs > 10_000) wrong(`alone, it took ${found.aloneMs} ms`)
      if (!isGood(found.afterwards)) wrong(`afterwards: ${JSON.stringify(found.afterwards)}`)
      // Where the engine began among the failures: its runtime, its guardian, and its threads, which wait for more work.
      const [descriptors, threads] = call === 'pthread_create' ? [8, 12] : [0, 3]
      if (found.after.descriptors > found.before.descriptors + descriptors) wrong(`descriptors are left: ${printed}`)
      if (found.after.threads > found.before.threads + threads) wrong(`threads are left: ${printed}`)
    })
    await Promise.all(trials)
    return { figures: `${refusals.length} refusals, at most ${longest.toFixed(0)} ms until one was told`, faults }
  })
}

/**
 * Log and overflow files on a disk that is full: the command is unharmed, the result says what was lost.
 *
 * @returns {Promise<Outcome>}
 */
export function fullDisk() {
  return inDirectory(async (dir) => {
    const script = `
      const { ExecutionEngine } = require(${JSON.stringify(here('../../..'))})
      const run = async (config) => {
        const engine = new ExecutionEngine({ logDir: ${JSON.stringify(join(dir, 'disk/logs'))}, ...config })
        let lines = 0
        const command = { type: 'shell', command: 'seq 1 400000', shell: 'sh' }
        const result = await engine.run({ command }, { onStdout: () => void (lines += 1) })
        return { ...result, stdout: result.stdout.length, lines }
      }
      const overflow = { logOutput: false, oversizedOutputStrategy: 'stream_to_file', maxOutputSizeBytes: 1000 }
      run({}).then(async (log) => console.log(JSON.stringify({ log, overflow: await run(overflow) })))`
    const mount = `mkdir "$0/disk" && mount -t tmpfs -o size=256k tmpfs "$0/disk" && exec "$1" -e "$2"`
    const command = ['unshare', '--mount', 'sh', '-c', mount, dir, process.execPath, script]
    const { printed, complained, ended } = await host(command)
    if (ended !== 0) {
      return { figures: '', faults: [], notRun: `a full disk cannot be made here: ${complained.trim()}` }
    }
    /** @type {string[]} */
    const faults = []
    const found = JSON.parse(printed)
    for (const kept of ['log', 'overflow']) {
      const { success, lines, stdoutBytes, errorCode, error } = found[kept]
      const unharmed = success && lines === 400_000 && stdoutBytes === 2_688_895
      if (!unharmed) faults.push(`${kept}: ${lines} lines, ${stdoutBytes} bytes, success ${success}`)
      if (errorCode !== 'IO' || !/No space left/.test(error)) faults.push(`${kept}: ${errorCode}, ${error}`)
    }
    if (found.log.stdout !== 2_688_895) faults.push('the result lacks output')
    return { figures: found.log.error ?? 'nothing was said', faults }
  })
}

/**
 * A guardian that cannot be started: the configuration says so, one warning is emitted, commands work.
 *
 * @returns {Promise<Outcome>}
 */
export function missingGuardian() {
  return inDirectory(async (dir) => {
    const script = `
      const { ExecutionEngine } = require(${JSON.stringify(here('../../..'))})
      const warnings = []
      process.on('warning', ({ code }) => warnings.push(code))
      const command = { type: 'exec', program: 'true' }
      const run = async (config) => {
        const engine = new ExecutionEngine({ logOutput: false, ...config })
        const results = [await engine.run({ command }), await engine.run({ command })]
        return [results.every(({ success }) => success), engine.config.orphanProtection]
      }
      const all = async () => {
        const unwanted = await run({ orphanProtection: false })
        const early = warnings.length
        const wanted = [await run({}), await run({})]
        await new Promise(setImmediate)
        console.log(JSON.stringify({ unwanted, early, wanted, warnings }))
      }
      all()`
    const env = { LD_PRELOAD: compileFaults(dir), FAIL: `execve:${ENOENT}:1000000:/bin/sh` }
    const { printed, complained, ended } = await host([process.execPath, '-e', script], env)
    const expected = JSON.stringify({
      unwanted: [true, false],
      early: 0,
      wanted: [
        [true, false],
        [true, false],
      ],
      warnings: ['ESCHER_NO_GUARDIAN'],
    })
    const faults = printed.trim() === expected ? [] : [`expected ${expected}, found ${ended} ${printed} ${complained}`]
    return { figures: printed.trim(), faults }
  })
}

/**
 * A guardian that cannot be started for two seconds, as there are no processes: it is there afterwards, and does what it
 * is for, also for commands that were started before.
 *
 * @param {{ quick: boolean }} options
 * @returns {Promise<Outcome>}
 */
export function guardianThatComesBack({ quick }) {
  return inDirectory(async (dir) => {
    const library = compileFaults(dir)
    /** @type {string[]} */
    const faults = []
    const trials = Array.from({ length: quick ? 2 : 20 }, async (_, trial) => {
      const mark = newMark()
      const script = `
        const { ExecutionEngine } = require(${JSON.stringify(here('../../..'))})
        const engine = new ExecutionEngine({ logOutput: false })
        engine.execute({ command: { type: 'exec', program: 'setsid', args: ['-w', 'sleep', '${mark}'] } })
        const without = []
        setTimeout(() => {
          without.push(engine.config.orphanProtection)
          process.env.FAIL = ''
          const wait = () => engine.config.orphanProtection ? console.log(without[0]) : setTimeout(wait, 20)
          wait()
        }, 2000)`
      const env = { ...process.env, LD_PRELOAD: library, FAIL: `execve:${EAGAIN}:1000000:/bin/sh` }
      const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'ignore'], env })
      const [said] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => ['it ended'])])
      if (String(said) !== 'false\n') faults.push(`trial ${trial}: expected no protection first, found ${said}`)
      child.kill('SIGKILL')
      const left = await survivorsAfter(mark, 3000)
      if (left.length > 0) faults.push(`trial ${trial}: ${left.length} left`)
      clear(left)
    })
    await Promise.all(trials)
    return { figures: `${trials.length} hosts`, faults }
  })
}

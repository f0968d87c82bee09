// What becomes of logs: under a load that lasts, and for followers that come and go.

import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { percentile, random } from '../processes.mjs'

const { ExecutionEngine } = createRequire(import.meta.url)('../../..')
const packagePath = fileURLToPath(new URL('../../..', import.meta.url))

/** @typedef {import('./executions.mjs').Options} Options */
/** @typedef {import('./executions.mjs').Outcome} Outcome */

/** @param {(dir: string) => Promise<Outcome>} part @returns {Promise<Outcome>} */
async function inDirectory(part) {
  const dir = mkdtempSync(join(tmpdir(), 'execution-engine-soak-'))
  try {
    return await part(dir)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

/** A host with an engine that logs to `dir`. @param {string} dir @param {object} config @param {string} source */
function host(dir, config, source) {
  const program = `
    const { ExecutionEngine } = require(${JSON.stringify(packagePath)})
    const engine = new ExecutionEngine(${JSON.stringify({ logDir: dir, maxConcurrentExecutions: 1000, ...config })})
    ${source}`
  return spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] })
}

/** @param {string} path */
function sizeOf(path) {
  try {
    return statSync(path).size
  } catch {
    return 0
  }
}

/** @param {string} dir */
const bytesIn = (dir) =>
  existsSync(dir) ? readdirSync(dir).reduce((sum, name) => sum + sizeOf(join(dir, name)), 0) : 0

const MIB = 1024 * 1024

/**
 * Short logs, long logs, and commands that never stop printing, cancelled after 50 ms, from three hosts into one
 * directory: it holds no more than it may, and what runs.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export function logsUnderLoad({ quick, seed }) {
  return inDirectory(async (dir) => {
    const logs = join(dir, 'logs')
    const config = { maxTotalLogBytes: (quick ? 16 : 256) * MIB, maxLogSizeBytes: MIB, maxOutputSizeBytes: 1000 }
    const atOnce = 4
    const load = `
      const shell = (command) => ({ command: { type: 'shell', command, shell: 'sh' } })
      let state = SEED
      const next = () => (state = (state * 1103515245 + 12345) % 2147483648) / 2147483648
      let runs = 0
      const faults = []
      const one = async () => {
        const kind = next()
        if (kind < 0.5) return engine.run(shell('echo short; echo log >&2'))
        if (kind < 0.9) return engine.run(shell('seq 1 ' + Math.floor(next() * 100000)))
        return engine.run(shell('exec yes'), { signal: AbortSignal.timeout(50) })
      }
      const end = Date.now() + ${quick ? 8_000 : 600_000}
      const lane = async () => {
        while (Date.now() < end) {
          const { errorCode, error } = await one()
          runs += 1
          if (errorCode !== null) faults.push(error)
        }
      }
      Promise.all(Array.from({ length: ${atOnce} }, lane)).then(() => console.log(JSON.stringify({ runs, faults })))`
    const hosts = [1, 2, 3].map((number) => host(logs, config, load.replace('SEED', String(seed + number))))
    let most = 0
    const state = { running: true }
    const ends = Promise.all(
      hosts.map(async (child) => {
        let printed = ''
        child.stdout.on('data', (text) => (printed += text))
        await once(child, 'close')
        return JSON.parse(printed || '{"runs":0,"faults":["the host printed nothing"]}')
      }),
    ).finally(() => (state.running = false))
    while (state.running) {
      most = Math.max(most, bytesIn(logs))
      await sleep(50)
    }
    const found = await ends
    const faults = found.flatMap(({ faults }) => faults)
    const room = config.maxTotalLogBytes + hosts.length * atOnce * config.maxLogSizeBytes
    if (most > room) faults.push(`the directory held ${most} bytes, and may hold ${room}`)
    if (most < config.maxTotalLogBytes / 2) faults.push(`it never held more than ${most} bytes: that says nothing`)
    await new ExecutionEngine({ logDir: logs, ...config }).cleanup()
    const left = bytesIn(logs)
    if (left > config.maxTotalLogBytes) faults.push(`${left} bytes are left`)
    const runs = found.reduce((sum, { runs }) => sum + runs, 0)
    const mib = (/** @type {number} */ bytes) => (bytes / MIB).toFixed(1)
    return {
      figures: `${runs} runs of three hosts; at most ${mib(most)} MiB of ${mib(config.maxTotalLogBytes)}, and ${mib(left)} in the end`,
      faults,
    }
  })
}

/**
 * A follower in another process than the command's: each line comes in time. It stops at random moments and goes on, then
 * the host is killed: it has each line once.
 *
 * @param {Options} options
 * @returns {Promise<Outcome>}
 */
export function followersThatComeAndGo({ quick, seed }) {
  return inDirectory(async (dir) => {
    const next = random(seed)
    const wanted = quick ? 50 : 1000
    const id = randomUUID()
    const printer = `
      let i = 0
      const say = () => {
        for (let n = 1 + i % 3; n > 0; n--) console.log(i++ + ' ' + Date.now())
        setTimeout(say, i % 7)
      }
      say()`
    const command = { type: 'exec', program: process.execPath, args: ['-e', printer] }
    const child = host(dir, {}, `engine.execute(${JSON.stringify({ id, command, timeoutMs: 3_600_000 })})`)
    const engine = new ExecutionEngine({ logDir: dir })
    const path = engine.getLogPath(id)
    while (sizeOf(path) === 0) await sleep(5)
    /** @type {string[]} */
    const faults = []
    /** @type {number[]} */
    const late = []
    let from = 0
    let expected = 0
    const follow = async (/** @type {AbortSignal | undefined} */ signal, limit = Infinity) => {
      let caughtUp = false
      for await (const { line, offset, complete } of engine.followLogs(id, { from, signal })) {
        const [number, at] = line.split(' ').map(Number)
        if (number !== expected || !complete) faults.push(`expected line ${expected}, found "${line}"`)
        expected = number + 1
        from = offset
        // What was printed while nobody followed is late by that.
        const age = Date.now() - at
        caughtUp ||= age < 10
        if (caughtUp) late.push(age)
        if (--limit === 0) return
      }
    }
    for (let stop = 0; stop < wanted && faults.length === 0; stop++) {
      // The one that just breaks off, and the one that is aborted while it waits.
      if (stop % 2 === 0) await follow(AbortSignal.timeout(Math.ceil(next() * 60)))
      else await follow(undefined, Math.ceil(next() * 20))
    }
    const last = follow(undefined)
    await sleep(200)
    child.kill('SIGKILL')
    await once(child, 'exit')
    const killed = performance.now()
    await last
    const endedAfter = performance.now() - killed
    if (endedAfter > 1000) faults.push(`it ended ${endedAfter.toFixed(0)} ms after the host`)
    const logged = readFileSync(path, 'utf8').split('\n').length - 1
    if (logged !== expected) faults.push(`${logged} lines are in the log, ${expected} were followed`)
    const median = percentile(late, 0.5)
    if (median >= 50) faults.push(`the median line came after ${median} ms`)
    return {
      figures: `${wanted} interruptions, ${expected} lines; seen after ${median} ms (median), ${percentile(late, 0.99)} ms (99 %)`,
      faults,
    }
  })
}

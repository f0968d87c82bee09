// Many requests, while workers are killed, blocked and cut off at random, and the server restarts. Each request ends once,
// none is lost, none runs beside itself, and no process is left.

import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { QueueEngine } from '@escher-dbai/execution-queue'
import { percentile, random } from '../../../__test__/soak/processes.mjs'
import { startProxy } from '../support/proxy.mjs'
import { startServer } from '../support/server.mjs'
import { startWorkers } from './chaos.mjs'
import { BESIDE, faultOf, newRequest, runsOf, startedTwice } from './requests.mjs'

/** @typedef {import('./requests.mjs').Asked} Asked */
/** @typedef {import('@escher-dbai/execution-engine').ExecutionResult} ExecutionResult */
/** @typedef {{ figures: string, faults: string[] }} Outcome */

/**
 * @typedef {object} Size
 * @property {number} workers
 * @property {number} requests
 * @property {number} seconds while which they are made
 * @property {number} troubleEveryMs how often something happens to each worker
 * @property {number} restarts of the server
 */

/** @type {Size} */
export const LONG = { workers: 20, requests: 5000, seconds: 600, troubleEveryMs: 10_000, restarts: 3 }
/** @type {Size} */
export const SHORT = { workers: 3, requests: 120, seconds: 20, troubleEveryMs: 3000, restarts: 1 }

/** Short locks, so that a worker that was lost is noticed soon. A lease is 1950 ms. */
const WORKER = {
  name: 'soak',
  lockDurationMs: 3000,
  stalledIntervalMs: 1000,
  engine: { terminationGraceMs: 300, maxConcurrentExecutions: 4, logOutput: false },
}

/** How long what was accepted may take when nothing happens any more, in milliseconds. */
const LATEST_MS = 60_000

/** The processes of commands that still live. @param {string} dir */
const processesOf = (dir) =>
  readdirSync('/proc').filter((name) => {
    try {
      return (
        /^\d+$/.test(name) &&
        readFileSync(`/proc/${name}/environ`, 'latin1').includes(`SOAK_DIR=${dir}`) &&
        !/^State:\s+Z/m.test(readFileSync(`/proc/${name}/status`, 'latin1'))
      )
    } catch {
      return false
    }
  })

class Soak {
  /** @type {string[]} */
  faults = []
  /** @type {Map<string, number>} */
  ends = new Map()
  /** @type {Set<string>} */
  open = new Set()
  /** @type {number[]} */
  reruns = []

  /** @param {QueueEngine} queue @param {string} dir @param {() => number} next */
  constructor(queue, dir, next) {
    this.queue = queue
    this.dir = dir
    this.next = next
  }

  /** @param {string} what */
  #fault(what) {
    // Bounded, whatever goes wrong.
    if (this.faults.length < 100) this.faults.push(what)
  }

  /**
   * Submits until it is accepted, and waits for the end.
   *
   * @param {Asked} asked
   * @param {string[]} told
   * @param {(terminal: string) => void} onEnd
   */
  async #run(asked, told, onEnd) {
    for (let attempt = 0; attempt < 20; attempt++) {
      try {
        return await this.queue.run(asked.request, {
          onStdout: (line) => void told.push(line),
          onEvent: (event) => void ('result' in event && onEnd(event.eventType)),
        })
      } catch (error) {
        // To submit the same id again is safe, as the message says.
        const { code, message } = /** @type {Error & { code?: string }} */ (error)
        if (code !== 'IO' || told.length > 0) throw error
        if (!message.includes('again')) throw error
      }
    }
    throw new Error('was not accepted in 20 attempts')
  }

  /** @param {Asked} asked */
  async #cancelled({ id, cancelAfterMs }) {
    if (cancelAfterMs === null) return
    await sleep(cancelAfterMs)
    await this.queue.cancel(id, 'at random').catch((error) => {
      if (!['ALREADY_FINISHED', 'NOT_FOUND', 'IO'].includes(error.code)) throw error
    })
  }

  async one() {
    const asked = newRequest(this.dir, this.next)
    this.open.add(asked.id)
    /** @type {string[]} */
    const told = []
    /** @type {string[]} */
    const terminal = []
    try {
      const running = this.#run(asked, told, (type) => terminal.push(type))
      // Submitting twice is once, at any time.
      const twice = this.next() < 0.05 ? this.queue.run(asked.request) : undefined
      const [result, again] = await Promise.all([running, twice, this.#cancelled(asked)])
      this.#check(asked, result, again ?? undefined, told, terminal)
    } catch (error) {
      this.#fault(`${asked.id}: ${error}`)
    }
    this.open.delete(asked.id)
  }

  /**
   * @param {Asked} asked
   * @param {ExecutionResult} result
   * @param {ExecutionResult | undefined} again
   * @param {string[]} told
   * @param {string[]} terminal
   */
  #check(asked, result, again, told, terminal) {
    const end = result.errorCode ?? result.status
    this.ends.set(end, (this.ends.get(end) ?? 0) + 1)
    const runs = runsOf(this.dir, asked.id)
    if (runs > 1) this.reruns.push(runs)
    const fault = result.exitCode === BESIDE ? undefined : faultOf(asked, result, told, runs)
    if (fault !== undefined) this.#fault(`${asked.id}: ${fault}`)
    if (terminal.join() !== result.status) this.#fault(`${asked.id}: ${result.status}, and was told ${terminal.join()}`)
    if (again !== undefined && again.completedAt !== result.completedAt) this.#fault(`${asked.id}: has two results`)
  }

  /** A plan of three: whole on one worker, or its steps anywhere. @param {QueueEngine} queue */
  async plan(queue) {
    const steps = [newRequest(this.dir, this.next), newRequest(this.dir, this.next), newRequest(this.dir, this.next)]
    for (const { id } of steps) this.open.add(id)
    const [a, b, c] = steps.map(({ request: { onWorkerLoss: _loss, priority: _priority, ...request } }) => request)
    if (a === undefined || b === undefined || c === undefined) return
    try {
      const result = await queue.runPlan({
        steps: { a, b: { ...b, dependsOn: ['a'], when: 'always' }, c: { ...c, dependsOn: ['b'], when: 'always' } },
        onWorkerLoss: 'rerun',
      })
      this.ends.set('plans', (this.ends.get('plans') ?? 0) + 1)
      for (const [i, asked] of steps.entries()) {
        const step = result.results[i]
        if (step === undefined) this.#fault(`a plan has no result of step ${i}`)
        else if (step.exitCode !== asked.exitCode && step.exitCode !== BESIDE) {
          this.#fault(`${asked.id}: step ${i} of a plan: ${step.status}, ${step.exitCode}, ${step.error}`)
        }
      }
    } catch (error) {
      this.#fault(`a plan: ${error}`)
    }
    for (const { id } of steps) this.open.delete(id)
  }

  /** What only the end shows. @param {boolean} stops */
  atEnd(stops) {
    for (const id of this.open) this.#fault(`${id}: has not ended`)
    const twice = startedTwice(this.dir)
    // Whoever is stopped cannot end its command in time: the one exception.
    if (!stops) for (const id of twice) this.#fault(`${id}: ran beside itself`)
    return twice.length
  }

  /** @param {string[]} pids */
  left(pids) {
    for (const pid of pids) this.#fault(`process ${pid} of a command is left`)
  }

  /** @param {(string | undefined)[]} complaints */
  closed(complaints) {
    for (const complaint of complaints) if (complaint !== undefined) this.#fault(complaint)
  }
}

/** @param {string} dir @param {number} ms */
async function processesAfter(dir, ms) {
  const end = Date.now() + ms
  while (processesOf(dir).length > 0 && Date.now() < end) await sleep(50)
  return processesOf(dir)
}

/**
 * @param {Size} size
 * @param {{ seed: number, stops: boolean }} options `stops`: workers are stopped and resumed as well
 * @returns {Promise<Outcome>}
 */
export async function soak(size, { seed, stops }) {
  const next = random(seed)
  const dir = mkdtempSync(join(tmpdir(), 'queue-soak-'))
  const server = await startServer()
  const network = await startProxy(server.port)
  /** @type {Map<string, number>} */
  const troubles = new Map()
  const how = { stops, everyMs: size.troubleEveryMs, counts: troubles }
  const workers = await startWorkers(size.workers, server.port, WORKER, next, how)
  const place = { connection: network.connection, name: WORKER.name }
  const [queue, spread] = [new QueueEngine(place), new QueueEngine({ ...place, placement: 'spread' })]
  const run = new Soak(queue, dir, next)
  const begun = Date.now()
  /** @type {Promise<void>[]} */
  const all = []
  try {
    for (let i = 0; i < size.requests; i++) {
      await sleep(Math.max(0, begun + (i / size.requests) * size.seconds * 1000 - Date.now()))
      if (next() < 0.05) all.push(run.plan(next() < 0.5 ? queue : spread))
      else all.push(run.one())
      if (next() < 0.005) network.drop()
      if ((i + 1) % Math.ceil(size.requests / (size.restarts + 1)) === 0 && i + 1 < size.requests) {
        // One that is killed may lose its last second, as the documents say.
        await server.stop()
        await server.start()
      }
    }
    await Promise.all(workers.map((worker) => worker.calm()))
    const calmAt = Date.now()
    await Promise.race([Promise.all(all), sleep(LATEST_MS, undefined, { ref: false })])
    const lastMs = Date.now() - calmAt
    const twice = run.atEnd(stops)
    await Promise.all([queue.shutdown(), spread.shutdown()])
    run.closed(await Promise.all(workers.map((worker) => worker.close())))
    run.left(await processesAfter(dir, 3000))
    const words = (/** @type {Map<string, number>} */ counts) =>
      [...counts].map(([name, n]) => `${n} ${name}`).join(', ')
    return {
      figures:
        `${size.requests} requests, ${size.workers} workers; ${words(troubles)}; ${size.restarts} restarts of the server; ` +
        `ends: ${words(run.ends)}; ${run.reruns.length} run again, at most ${percentile(run.reruns, 1) ?? 1} times in all; ` +
        `${twice} beside themselves; the last ended ${lastMs} ms after the last trouble`,
      faults: run.faults,
    }
  } finally {
    await Promise.all(workers.map((worker) => worker.close().catch(() => {})))
    await network.close()
    await server.close()
    rmSync(dir, { recursive: true, force: true })
  }
}

// Workers in processes of their own, and what can happen to them.

import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('./worker-process.mjs', import.meta.url))

/** How much of what a worker complains is kept. */
const MOST_WORDS = 10_000

/** @typedef {Omit<import('@escher-dbai/execution-queue').ExecutionWorkerOptions, 'resolveSecret' | 'telemetry' | 'onWarning'>} Options */

export class WorkerProcess {
  /** @type {import('node:child_process').ChildProcess} */
  #child
  /** @type {import('node:child_process').ChildProcess | undefined} */
  #stopper
  /** @type {Map<number, (answer: any) => void>} */
  #answers = new Map()
  #orders = 0
  #complaints = ''

  /** @param {Options} options */
  constructor(options) {
    this.#child = fork(program, [JSON.stringify(options)], { execArgv: [], stdio: ['ignore', 'ignore', 'pipe', 'ipc'] })
    this.#child.stderr?.setEncoding('utf8').on('data', (text) => {
      this.#complaints = (this.#complaints + text).slice(-MOST_WORDS)
    })
    this.#child.on('error', () => {})
    this.#child.on('message', (/** @type {{ id: number, answer: unknown }} */ { id, answer }) => {
      this.#answers.get(id)?.(answer)
      this.#answers.delete(id)
    })
    /** Settles when the process has ended. @type {Promise<{ code: number | null, signal: string | null }>} */
    this.exited = once(this.#child, 'exit').then(([code, signal]) => ({ code, signal }))
    this.#ready = this.#answer(0)
  }

  /** @type {Promise<unknown>} */
  #ready

  /** What it has printed to standard error, the end of it. */
  get complaints() {
    return this.#complaints
  }

  get pid() {
    return /** @type {number} */ (this.#child.pid)
  }

  get isAlive() {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Rejects if the process ends without an answer. @param {number} id @returns {Promise<any>} */
  #answer(id) {
    const { promise, resolve, reject } = withResolvers()
    this.#answers.set(id, resolve)
    void this.exited.then(({ code, signal }) =>
      reject(new Error(`the worker ended (${signal ?? code}) and has not answered:\n${this.#complaints}`)),
    )
    // Whoever waits for it hears of it; nobody has to.
    promise.catch(() => {})
    return promise
  }

  /** @param {string} order @param {number} [ms] */
  #order(order, ms) {
    this.#orders += 1
    const answer = this.#answer(this.#orders)
    this.#child.send({ order, ms, id: this.#orders }, () => {})
    return answer
  }

  /** Resolves when it takes work. */
  async ready() {
    await this.#ready
  }

  /** Keeps its event loop from turning, for so long from about now. Resolves when that has begun. @param {number} ms */
  async block(ms) {
    await this.#order('block', ms)
  }

  /** @returns {Promise<import('@escher-dbai/execution-queue').WorkerCounts>} */
  counts() {
    return this.#order('counts')
  }

  /** Asks it to finish what it has, and waits for its end. */
  async drain() {
    await Promise.race([this.#order('drain'), this.exited])
    await this.exited
  }

  /** Asks it to end what it has, and waits for its end. */
  async abandon() {
    await Promise.race([this.#order('abandon'), this.exited])
    await this.exited
  }

  /** Ends it without asking. */
  async kill() {
    this.#child.kill('SIGKILL')
    await this.exited
    // It would resume whoever has the number next.
    this.#stopper?.kill('SIGKILL')
  }

  /** Stops the process, until it is resumed or the process of the test is gone, whichever way. */
  async stop() {
    const line = `kill -STOP ${this.pid}; echo; read -r _; kill -CONT ${this.pid}`
    this.#stopper = spawn('sh', ['-c', line], { stdio: ['pipe', 'pipe', 'ignore'], detached: true })
    this.#stopper.stdin?.on('error', () => {})
    await once(/** @type {import('node:stream').Readable} */ (this.#stopper.stdout), 'data')
  }

  resume() {
    this.#stopper?.stdin?.end()
    this.#stopper = undefined
  }
}

/** @returns {{ promise: Promise<any>, resolve: (value: any) => void, reject: (error: Error) => void }} */
function withResolvers() {
  /** @type {any} */
  let handles
  const promise = new Promise((resolve, reject) => {
    handles = { resolve, reject }
  })
  return { promise, ...handles }
}

/** A worker that takes work. @param {Options} options @returns {Promise<WorkerProcess>} */
export async function startWorker(options) {
  const worker = new WorkerProcess(options)
  await worker.ready()
  return worker
}

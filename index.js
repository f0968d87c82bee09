'use strict'

const { AsyncResource } = require('node:async_hooks')
const native = require('./lib/native')
const { onAbort } = require('./lib/abort')
const check = require('./lib/check')
const door = require('./lib/door')
const { ExecutionError, fromFailure } = require('./lib/error')
const { toConfig, toPlanResult, toResult, toSummary } = require('./lib/result')

/** @typedef {import('./index').ExecutionRequest} ExecutionRequest */
/** @typedef {import('./index').ExecutionPlan} ExecutionPlan */
/** @typedef {import('./index').ExecuteOptions} ExecuteOptions */
/** @typedef {import('./index').ExecutionResult} ExecutionResult */

/**
 * What `process.env` is if reading it in Rust gives the same: the environment of the process itself. Found out at the
 * first start, as it takes a while.
 *
 * @type {{ env: NodeJS.ProcessEnv | undefined } | undefined}
 */
let own

/**
 * Whether these variables are those of the process, and no copy as in a worker, a test runner or another
 * runtime: then Rust sees what is set here.
 *
 * @param {NodeJS.ProcessEnv} env
 */
function isOwnEnvironment(env) {
  if (!require('node:worker_threads').isMainThread) return false
  const name = `ESCHER_PROBE_${process.pid}_${process.hrtime().join('_')}`
  // A copy may be frozen.
  if (!Reflect.set(env, name, 'set')) return false
  const seen = native.NativeEngine.hasVariable(name)
  delete env[name]
  return seen
}

/** The variables that JavaScript sees now, if Rust would see others. */
function variables() {
  const { env } = process
  own ??= { env: isOwnEnvironment(env) ? env : undefined }
  if (env === own.env) return undefined
  /** @type {string[]} */
  const flat = []
  for (const [name, value] of Object.entries(env)) {
    // A copy may hold what is no text: it becomes what `child_process` makes of it.
    if (value !== undefined) flat.push(name, String(value))
  }
  return flat
}

/** Of Rust: to load `node:crypto` takes longer than the rest of this package. */
const { newId } = native.NativeEngine

/** @param {import('./binding').Answer} answer */
function unwrap(answer) {
  if (answer.failure) throw fromFailure(answer.failure)
  return answer.json === undefined ? undefined : JSON.parse(answer.json)
}

/**
 * The asynchronous context of the call, for its callbacks: what an `AsyncLocalStorage` holds there, they see.
 *
 * @param {ExecuteOptions} options
 */
const contextOf = ({ onStdout, onStderr, onEvent }) =>
  onStdout || onStderr || onEvent ? new AsyncResource('ExecutionEngine') : undefined

/**
 * Submits, and resolves with the id once it is accepted.
 *
 * @param {(run: any, signal?: AbortSignal) => void} submit
 * @param {ExecuteOptions} options
 * @returns {Promise<string>}
 */
function accepted(submit, options) {
  const { onStdout, onStderr, onEvent, signal } = check.options(options)
  return new Promise((resolve, refused) => {
    /** @type {any} */
    const run = { onStdout, onStderr, onEvent, context: contextOf(options), refused, accepted: () => resolve(run.id) }
    submit(run, signal)
  })
}

/**
 * Submits, and resolves with the result.
 *
 * @param {(run: any, signal?: AbortSignal) => void} submit
 * @param {ExecuteOptions} options
 * @returns {Promise<any>}
 */
function ended(submit, options) {
  const { onStdout, onStderr, onEvent, signal } = check.options(options)
  const context = contextOf(options)
  return new Promise((ended, refused) => submit({ onStdout, onStderr, onEvent, context, refused, ended }, signal))
}

/** @type {ExecutionEngine | undefined} */
let globalEngine

/** @implements {AsyncDisposable} */
class ExecutionEngine {
  #native
  /** @type {Set<(event: any) => unknown>} */
  #subscribers = new Set()
  /**
   * Plans that were submitted, and are not known to Rust yet: a long one takes milliseconds to read. Under their ids, and
   * under those that the user gave to their steps. Whoever asks for one of these waits; all others ask at once, in the
   * order of their calls.
   *
   * @type {Map<string, Promise<void>>}
   */
  #entering = new Map()

  /** @param {import('./index').ExecutionConfig} [config] */
  constructor(config = {}) {
    const json = JSON.stringify(check.config(config))
    const failure = native.NativeEngine.check(json)
    if (failure) throw fromFailure(failure)
    this.#native = door.open(json)
  }

  /** @param {import('./index').ExecutionConfig} [config] */
  static initGlobal(config = {}) {
    if (globalEngine) {
      throw new ExecutionError('ALREADY_INITIALIZED', 'the global engine has already been initialized')
    }
    // Spread, what is no configuration would be an empty one.
    check.config(config)
    globalEngine = new ExecutionEngine({
      ...config,
      maxConcurrentExecutions: 1,
    })
    return globalEngine
  }

  static global() {
    if (globalEngine) return globalEngine
    throw new ExecutionError('NOT_INITIALIZED', 'the global engine has not been initialized: call initGlobal first')
  }

  /**
   * @param {ExecutionRequest} request
   * @param {ExecuteOptions} [options]
   * @returns {Promise<string>}
   */
  async execute(request, options = {}) {
    return accepted((run, signal) => this.#submit(request, run, signal), options)
  }

  /**
   * @param {ExecutionRequest} request
   * @param {ExecuteOptions} [options]
   * @returns {Promise<ExecutionResult>}
   */
  async run(request, options = {}) {
    return ended((run, signal) => this.#submit(request, run, signal), options)
  }

  /**
   * @param {ExecutionPlan} plan
   * @param {ExecuteOptions} [options]
   * @returns {Promise<string>}
   */
  async executePlan(plan, options = {}) {
    return accepted((run, signal) => this.#submitPlan(plan, run, signal), options)
  }

  /**
   * @param {ExecutionPlan} plan
   * @param {ExecuteOptions} [options]
   * @returns {Promise<import('./index').PlanExecutionResult>}
   */
  async runPlan(plan, options = {}) {
    return ended((run, signal) => this.#submitPlan(plan, run, signal), options)
  }

  /**
   * @param {ExecutionRequest} request
   * @param {any} run
   * @param {AbortSignal} [signal]
   */
  #submit(request, run, signal) {
    const { stdin, ...checked } = check.request(request)
    checked.id ??= newId()
    run.id = checked.id
    run.subscribers = this.#subscribers
    const submission = {
      request: JSON.stringify(checked),
      stdin,
      variables: variables(),
    }
    door.submit(this.#native, run, submission, signal)
  }

  /**
   * @param {ExecutionPlan} plan
   * @param {any} run
   * @param {AbortSignal} [signal]
   */
  #submitPlan(plan, run, signal) {
    const checked = check.plan(plan)
    checked.id ??= newId()
    run.id = checked.id
    run.subscribers = this.#subscribers
    /** @type {import('./binding').StepInput[]} */
    const stdins = []
    const known = [run.id]
    const ids = checked.commands.map((/** @type {any} */ command, /** @type {number} */ step) => {
      if (command.id === undefined) command.id = newId()
      else known.push(command.id)
      const { stdin } = command
      if (stdin !== undefined) stdins.push({ step, stdin })
      command.stdin = undefined
      return command.id
    })
    const submission = {
      plan: JSON.stringify(checked),
      ids,
      stdins,
      variables: variables(),
    }
    this.#enter(run, known)
    door.submitPlan(this.#native, run, submission, signal)
  }

  /**
   * Lets who asks for the plan or a step wait until it was accepted or refused.
   *
   * @param {any} run
   * @param {string[]} ids
   */
  #enter(run, ids) {
    const { accepted, refused } = run
    const entered = new Promise((/** @type {(value: void) => void} */ resolve) => {
      const decide = () => {
        for (const id of ids) if (this.#entering.get(id) === entered) this.#entering.delete(id)
        resolve()
      }
      run.accepted = () => {
        decide()
        accepted?.()
      }
      run.refused = (/** @type {Error} */ error) => {
        decide()
        refused(error)
      }
    })
    for (const id of ids) this.#entering.set(id, entered)
  }

  /**
   * @param {ExecutionRequest} request
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {AsyncGenerator<import('./index').ExecutionEvent, void, undefined>}
   */
  stream(request, options = {}) {
    const leave = new AbortController()
    /** @type {() => void} */
    let settle = () => {}
    const settled = new Promise((resolve) => (settle = () => resolve(undefined)))
    let forget = () => {}
    const start = (/** @type {EventStream} */ stream) => {
      const finish = (/** @type {Error | undefined} */ error = undefined) => {
        forget()
        stream.end(error)
        settle()
      }
      try {
        const { signal } = check.streamOptions(options)
        if (signal?.aborted) leave.abort()
        else if (signal) forget = onAbort(signal, () => leave.abort())
        const onEvents = (/** @type {{ next(): any }} */ events) => stream.push(events)
        this.#submit(request, { onEvents, refused: finish, ended: () => finish() }, leave.signal)
      } catch (error) {
        finish(/** @type {Error} */ (error))
      }
    }
    const stop = async () => {
      leave.abort()
      await settled
    }
    const { EventStream } = require('./lib/stream')
    return new EventStream(start, stop)
  }

  /** @param {string} id */
  async getStatus(id) {
    const checked = check.id(id)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return unwrap(this.#native.status(checked))
  }

  /**
   * @param {string} id
   * @returns {Promise<ExecutionResult>}
   */
  async getResult(id) {
    const checked = check.id(id)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    const answer = this.#native.result(checked)
    if (!Array.isArray(answer)) throw fromFailure(answer)
    return toResult(...answer)
  }

  /** @param {string} id */
  async waitForCompletion(id) {
    const checked = check.id(id)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    const [json, stdout, stderr] = await door.ask((token) => this.#native.wait(token, checked))
    return toResult(json, stdout, stderr)
  }

  /** @param {string} planId */
  async getPlanResult(planId) {
    const checked = check.planId(planId)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return toPlanResult(await door.ask((token) => this.#native.planResult(token, checked)))
  }

  /** @param {string} planId */
  async waitForPlan(planId) {
    const checked = check.planId(planId)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return toPlanResult(await door.ask((token) => this.#native.waitForPlan(token, checked)))
  }

  async listExecutions() {
    return unwrap(this.#native.list()).map(toSummary)
  }

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  async cancel(id) {
    const checked = check.id(id)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return door.ask((token) => this.#native.cancel(token, checked))
  }

  /**
   * @param {string} id
   * @param {{ maxBytes?: number }} [options]
   * @returns {Promise<string>}
   */
  async readLogs(id, options = {}) {
    const checked = check.id(id)
    const { max_bytes: maxBytes } = check.logOptions(options)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return door.ask((token) => this.#native.readLogs(token, checked, maxBytes))
  }

  /**
   * @param {string} id
   * @returns {string}
   */
  getLogPath(id) {
    return unwrap(this.#native.logPath(check.id(id)))
  }

  /** @param {string} id */
  async removeExecution(id) {
    const checked = check.id(id)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    unwrap(this.#native.remove(checked))
  }

  /** @returns {Promise<number>} */
  async cleanup() {
    return door.ask((token) => this.#native.cleanup(token))
  }

  /** @param {(event: import('./index').ExecutionEvent) => void} handler */
  onEvent(handler) {
    check.callback(handler)
    // The same function may subscribe twice, and is then told twice.
    const subscriber = (/** @type {any} */ event) => handler(event)
    this.#subscribers.add(subscriber)
    this.#native.setSubscribers(this.#subscribers.size)
    return () => {
      this.#subscribers.delete(subscriber)
      this.#native.setSubscribers(this.#subscribers.size)
    }
  }

  /** @returns {Promise<void>} */
  async shutdown() {
    return door.ask((token) => this.#native.shutdown(token))
  }

  async [Symbol.asyncDispose]() {
    await this.shutdown()
  }

  get config() {
    return toConfig(unwrap(this.#native.config()))
  }

  get runningCount() {
    return this.#native.counts()[0]
  }

  get queuedCount() {
    return this.#native.counts()[1]
  }

  get totalCount() {
    return this.#native.counts()[2]
  }

  get availablePermits() {
    return this.#native.counts()[3]
  }
}

/** @type {Pick<typeof import('./index'), 'ExecutionEngine' | 'ExecutionError'>} */
module.exports = { ExecutionEngine, ExecutionError }

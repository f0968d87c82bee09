'use strict'

const { AsyncResource } = require('node:async_hooks')
const { isUint8Array } = require('node:util').types
const native = require('./lib/native')
const { aboutOf } = require('./lib/about')
const { onAbort, reasonOf } = require('./lib/abort')
const check = require('./lib/check')
const { checkPlan, checkRequest } = require('./lib/checked')
const channel = require('./lib/channel')
const { defaultLogDir, variables } = require('./lib/environment')
const { ExecutionError, ExecutionFailedError, fromFailure, makeAsync, seenFrom } = require('./lib/error')
const { stepsOf, submissionOf } = require('./lib/plan')
const { quote, quotePowerShell } = require('./lib/quote')
const { toConfig, toLogPage, toPlanResult, toResult, toSummary } = require('./lib/result')
const { sh } = require('./lib/sh')
const { addVariables, isTraced, trace } = require('./lib/trace')

/** What it is given inherits nothing: there is no `toJSON` to be called. */
const { parse, stringify } = JSON

/** @typedef {import('./index').ExecutionRequest} ExecutionRequest */
/** @typedef {import('./index').ExecutionPlan} ExecutionPlan */
/** @typedef {import('./index').ExecuteOptions} ExecuteOptions */
/** @typedef {import('./index').ExecutionResult} ExecutionResult */

/** Of Rust: to load `node:crypto` takes longer than the rest of this package. */
const { newId } = native.NativeEngine

/** @param {import('./binding').Answer} answer */
function unwrap(answer) {
  if (answer.failure) throw fromFailure(answer.failure)
  return answer.json === undefined ? undefined : parse(answer.json)
}

/**
 * The asynchronous context of the call, for its callbacks: what an `AsyncLocalStorage` holds there, they see.
 *
 * @param {unknown} callback
 */
const contextOf = (callback) => (callback === undefined ? undefined : new AsyncResource('ExecutionEngine'))

/** Configurations that were checked already. @type {WeakSet<object>} */
const checkedConfigs = new WeakSet()

/**
 * Submits, and resolves with the id once it is accepted. Throws what is refused at once.
 *
 * @param {(run: any, signal?: AbortSignal) => void} submit
 * @param {ExecuteOptions} given
 * @returns {Promise<string>}
 */
function accepted(submit, given) {
  const options = check.options(given)
  /** @type {any} */
  const run = runOf(options)
  const promise = new Promise((resolve, refused) => {
    run.accepted = () => resolve(run.id)
    run.refused = refused
  })
  submit(run, options.signal)
  return promise
}

/**
 * Submits, and resolves with the result. Throws what is refused at once.
 *
 * @param {(run: any, signal?: AbortSignal) => void} submit
 * @param {import('./index').RunOptions} options
 * @returns {Promise<any>}
 */
function ended(submit, options) {
  /** @type {any} */
  const run = runOf(options)
  const promise = new Promise((resolve, refused) => {
    run.ended = (/** @type {() => any} */ make) => {
      const result = make()
      if (options.throwOnFailure && !result.success) refused(new ExecutionFailedError(result))
      else resolve(result)
    }
    run.refused = refused
  })
  submit(run, options.signal)
  return promise
}

/** @param {ExecuteOptions} options */
const runOf = ({ onStdout, onStderr, onStdoutBytes, onStderrBytes, onEvent }) => ({
  onStdout,
  onStderr,
  onStdoutBytes,
  onStderrBytes,
  onEvent,
  context: contextOf(onStdout ?? onStderr ?? onStdoutBytes ?? onStderrBytes ?? onEvent),
})

/**
 * Takes out of a request what goes another way than the rest: bytes, and a source of them.
 *
 * @param {any} request
 * @returns {{ stdin: string | Uint8Array | undefined, source: import('./lib/input').Source | undefined }}
 */
function takeInput(request) {
  const { stdin } = request
  if (stdin === undefined || typeof stdin === 'string' || isUint8Array(stdin)) {
    request.stdin = undefined
    return { stdin, source: undefined }
  }
  const { Source } = require('./lib/input')
  if (!(stdin instanceof Source)) return { stdin: undefined, source: undefined }
  request.stdin = { __proto__: null, open: true }
  stdin.hold()
  return { stdin: undefined, source: stdin }
}

/** @type {ExecutionEngine | undefined} */
let globalEngine

/** @implements {AsyncDisposable} */
class ExecutionEngine {
  #native
  /** Names of variables whose values are secrets: asked for where something is refused. */
  #patterns = () => this.config.secretEnvPatterns
  /** @type {Set<(event: any) => unknown>} */
  #subscribers = new Set()
  /**
   * Plans that were submitted, and are not known to Rust yet: a long one takes milliseconds to read. Under their ids, and
   * under those that the user gave to their steps. Whoever asks for one of these waits; all others ask at once, in the
   * order of their calls.
   *
   * Resolves with whether it was accepted.
   *
   * @type {Map<string, Promise<boolean>>}
   */
  #entering = new Map()

  /** @param {import('./index').ExecutionConfig} [config] */
  constructor(config = {}) {
    try {
      const fields = checkedConfigs.has(config) ? /** @type {any} */ (config) : check.config(config)
      // Rust would have to read the variables for it.
      fields.log_dir ??= defaultLogDir()
      const json = stringify(fields)
      const failure = native.NativeEngine.check(json)
      if (failure) throw fromFailure(failure)
      this.#native = channel.open(json)
    } catch (error) {
      throw seenFrom(error, ExecutionEngine)
    }
  }

  /** @param {import('./index').ExecutionConfig} [config] */
  static initGlobal(config = {}) {
    try {
      if (globalEngine) {
        throw new ExecutionError('ALREADY_INITIALIZED', 'the global engine has already been initialized')
      }
      const fields = check.config(config)
      fields.max_concurrent_executions = 1
      checkedConfigs.add(fields)
      globalEngine = new ExecutionEngine(fields)
      return globalEngine
    } catch (error) {
      throw seenFrom(error, ExecutionEngine.initGlobal)
    }
  }

  static global() {
    if (globalEngine) return globalEngine
    const message = 'the global engine has not been initialized: call initGlobal first'
    throw seenFrom(new ExecutionError('NOT_INITIALIZED', message), ExecutionEngine.global)
  }

  /**
   * @param {ExecutionRequest} request
   * @param {ExecuteOptions} [options]
   * @returns {Promise<string>}
   */
  execute(request, options = {}) {
    return accepted((run, signal) => this.#submit(request, run, signal), options)
  }

  /**
   * @param {ExecutionRequest} request
   * @param {import('./index').RunOptions} [options]
   * @returns {Promise<any>}
   */
  run(request, options = {}) {
    return ended((run, signal) => this.#submit(request, run, signal), check.runOptions(options))
  }

  /**
   * @param {ExecutionPlan} plan
   * @param {ExecuteOptions} [options]
   * @returns {Promise<string>}
   */
  executePlan(plan, options = {}) {
    return accepted((run, signal) => this.#submitPlan(plan, run, signal), options)
  }

  /**
   * @param {ExecutionPlan} plan
   * @param {ExecuteOptions} [options]
   * @returns {Promise<import('./index').PlanExecutionResult>}
   */
  runPlan(plan, options = {}) {
    return ended((run, signal) => this.#submitPlan(plan, run, signal), check.options(options))
  }

  /**
   * @param {ExecutionRequest} request
   * @param {any} run
   * @param {AbortSignal} [signal]
   */
  #submit(request, run, signal) {
    const checked = check.request(request, this.#patterns)
    const { stdin, source } = takeInput(checked)
    checked.id ??= newId()
    run.id = checked.id
    run.metadata = checked.metadata
    run.subscribers = this.#subscribers
    if (source) run.source = source
    if (!isTraced()) return this.#send(checked, stdin, run, signal)
    const { metadata } = aboutOf(run)
    trace(run, { kind: 'execution', commandType: checked.command.type, metadata }, (variables) => {
      addVariables(checked, variables)
      this.#send(checked, stdin, run, signal)
    })
  }

  /**
   * @param {any} checked
   * @param {string | Uint8Array | undefined} stdin
   * @param {any} run
   * @param {AbortSignal} [signal]
   */
  #send(checked, stdin, run, signal) {
    const submission = {
      request: stringify(checked),
      stdin,
      variables: checked.inherit_env === false ? '' : variables(),
    }
    channel.submit(this.#native, run, submission, signal)
    if (run.source) void channel.feed(this.#native, run.source, run.token)
  }

  /**
   * @param {ExecutionPlan} plan
   * @param {any} run
   * @param {AbortSignal} [signal]
   */
  #submitPlan(plan, run, signal) {
    const checked = check.plan(plan, this.#patterns)
    checked.id ??= newId()
    run.id = checked.id
    run.metadata = checked.metadata
    run.subscribers = this.#subscribers
    if (!isTraced()) return this.#sendPlan(checked, run, signal)
    const { metadata } = aboutOf(run)
    trace(run, { kind: 'plan', commandType: null, metadata }, (variables) => {
      for (const step of stepsOf(checked)) if (step.request === undefined) addVariables(step, variables)
      this.#sendPlan(checked, run, signal, (request) => addVariables(request, variables))
    })
  }

  /**
   * @param {any} checked
   * @param {any} run
   * @param {AbortSignal} [signal]
   * @param {(request: any) => void} [complete] adds to each request that a function makes
   */
  #sendPlan(checked, run, signal, complete) {
    const checkMade = (/** @type {unknown} */ request) => {
      const made = check.madeRequest(request, checked, this.#patterns)
      complete?.(made)
      return made
    }
    const { submission, given, sources, make, some } = submissionOf(checked, variables(), {
      newId,
      check: checkMade,
      takeInput,
      feed: (source, token) => void channel.feed(this.#native, source, token),
    })
    run.make = make
    run.context ??= contextOf(some)
    this.#enter(run, [run.id, ...given])
    channel.submitPlan(this.#native, run, submission, signal)
    const entered = this.#entering.get(run.id)
    for (const { source, token } of sources) void entered?.then(() => channel.feed(this.#native, source, token))
  }

  /**
   * Lets who asks for the plan or a step wait until it was accepted or refused.
   *
   * @param {any} run
   * @param {string[]} ids
   */
  #enter(run, ids) {
    const { accepted, refused } = run
    const entered = new Promise((/** @type {(isAccepted: boolean) => void} */ resolve) => {
      const decide = (/** @type {boolean} */ isAccepted) => {
        for (const id of ids) if (this.#entering.get(id) === entered) this.#entering.delete(id)
        resolve(isAccepted)
      }
      run.accepted = () => {
        decide(true)
        accepted?.()
      }
      run.refused = (/** @type {Error} */ error) => {
        decide(false)
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
    const { EventStream } = require('./lib/stream')
    const leave = new AbortController()
    /** @type {() => void} */
    let settle = () => {}
    const settled = new Promise((resolve) => (settle = () => resolve(undefined)))
    let forget = () => {}
    const start = (/** @type {import('./lib/stream').EventStream} */ stream) => {
      const finish = (/** @type {Error | undefined} */ error = undefined) => {
        forget()
        stream.end(error)
        settle()
      }
      try {
        const { signal } = check.streamOptions(options)
        if (signal?.aborted) leave.abort(reasonOf(signal) ?? null)
        else if (signal) forget = onAbort(signal, (reason) => leave.abort(reason ?? null))
        const onEvents = (/** @type {{ next(): any }} */ events) => stream.push(events)
        this.#submit(request, { onEvents, refused: finish, ended: () => finish() }, leave.signal)
      } catch (error) {
        finish(/** @type {Error} */ (seenFrom(error, EventStream.prototype.next)))
      }
    }
    const stop = async () => {
      leave.abort('the loop over its events was left')
      await settled
    }
    return new EventStream(start, stop)
  }

  /**
   * @param {string} id
   * @returns {AsyncGenerator<import('./index').ExecutionEvent, void, undefined>}
   */
  subscribe(id) {
    const { EventStream } = require('./lib/stream')
    let isLeft = false
    let leave = () => {
      isLeft = true
    }
    const start = async (/** @type {import('./lib/stream').EventStream} */ stream) => {
      try {
        const checked = check.id(id)
        if (this.#entering.has(checked)) await this.#entering.get(checked)
        if (isLeft) return
        const onEvents = (/** @type {{ next(): any }} */ events) => stream.push(events)
        const end = () => stream.end()
        const run = { id: checked, onEvents, ended: end, refused: (/** @type {Error} */ error) => stream.end(error) }
        const subscription = channel.subscribe(this.#native, { ...run, subscribers: new Set() })
        leave = subscription.leave
        stream.onTake = subscription.touch
      } catch (error) {
        stream.end(/** @type {Error} */ (seenFrom(error, this.subscribe)))
      }
    }
    return new EventStream(start, async () => leave()).begin()
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
    const answer = await channel.ask((token) => this.#native.wait(token, checked))
    return toResult(.../** @type {Parameters<typeof toResult>} */ (answer))
  }

  /** @param {string} planId */
  async getPlanResult(planId) {
    const checked = check.planId(planId)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return toPlanResult(await channel.ask((token) => this.#native.planResult(token, checked)))
  }

  /** @param {string} planId */
  async waitForPlan(planId) {
    const checked = check.planId(planId)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return toPlanResult(await channel.ask((token) => this.#native.waitForPlan(token, checked)))
  }

  /**
   * @param {string} id
   * @param {string} value
   */
  addSecret(id, value) {
    try {
      const checked = check.id(id)
      const secret = check.secret(value)
      const entering = this.#entering.get(checked)
      if (entering === undefined) return void unwrap(this.#native.addSecret(checked, secret))
      unwrap(native.NativeEngine.checkSecret(secret))
      // Of a plan that is refused there is nothing to hide, and its id may be that of another execution.
      void entering.then((isAccepted) => isAccepted && this.#native.addSecret(checked, secret))
    } catch (error) {
      throw seenFrom(error, this.addSecret)
    }
  }

  /** @param {import('./index').ExecutionFilter} [filter] */
  async listExecutions(filter = {}) {
    return unwrap(this.#native.list(stringify(check.filter(filter)))).map(toSummary)
  }

  /**
   * @param {string} id
   * @param {string} [reason]
   * @returns {Promise<void>}
   */
  async cancel(id, reason) {
    const checked = check.id(id)
    const checkedReason = check.reason(reason)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return channel.ask((token) => this.#native.cancel(token, checked, checkedReason))
  }

  /**
   * @param {string} id
   * @param {number} [leaseMs]
   * @returns {Promise<void>}
   */
  async renewLease(id, leaseMs) {
    const checked = check.id(id)
    const checkedMs = check.leaseMs(leaseMs)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    unwrap(this.#native.renewLease(checked, checkedMs))
  }

  /**
   * @param {string} id
   * @param {string | Uint8Array} data
   * @returns {Promise<void>}
   */
  async writeStdin(id, data) {
    const checked = check.id(id)
    // What is passed may be changed after the call.
    const given = check.data(data)
    const copy = typeof given === 'string' ? given : given.slice()
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return channel.ask((token) => this.#native.writeStdin(token, checked, copy))
  }

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  async closeStdin(id) {
    const checked = check.id(id)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return channel.ask((token) => this.#native.closeStdin(token, checked))
  }

  /**
   * @param {string} id
   * @param {{ maxBytes?: number }} [options]
   * @returns {Promise<string>}
   */
  async readLogs(id, options = {}) {
    const checked = check.id(id)
    const { maxBytes } = check.tailOptions(options)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return channel.ask((token) => this.#native.readLogs(token, checked, maxBytes))
  }

  /**
   * @param {string} id
   * @param {{ from?: number, fromLine?: number, limit?: number }} [options]
   * @returns {Promise<import('./index').LogPage>}
   */
  async readLogLines(id, options = {}) {
    const checked = check.id(id)
    const { from = 0, fromLine, limit = 1000 } = check.pageOptions(options)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    return toLogPage(await channel.ask((token) => this.#native.readLogLines(token, checked, from, limit, fromLine)))
  }

  /**
   * @param {string} id
   * @param {{ from?: number, wait?: boolean, signal?: AbortSignal }} [options]
   * @returns {AsyncGenerator<import('./index').LogLine, void, undefined>}
   */
  followLogs(id, options = {}) {
    const { LogStream } = require('./lib/follow')
    return new LogStream(async () => {
      const checked = check.id(id)
      const { from = 0, wait = false, signal } = check.followOptions(options)
      if (this.#entering.has(checked)) await this.#entering.get(checked)
      return { follower: this.#native.followLogs(checked, from, wait), signal }
    })
  }

  /**
   * @param {string} id
   * @returns {string}
   */
  getLogPath(id) {
    try {
      return unwrap(this.#native.logPath(check.id(id)))
    } catch (error) {
      throw seenFrom(error, this.getLogPath)
    }
  }

  /**
   * @param {string} id
   * @param {{ logs?: boolean }} [options]
   * @returns {Promise<void>}
   */
  async removeExecution(id, options = {}) {
    const checked = check.id(id)
    const { logs = false } = check.removeOptions(options)
    if (this.#entering.has(checked)) await this.#entering.get(checked)
    if (logs) return channel.ask((token) => this.#native.removeWithLogs(token, checked))
    return unwrap(this.#native.remove(checked))
  }

  /** @returns {Promise<number>} */
  cleanup() {
    return channel.ask((token) => this.#native.cleanup(token))
  }

  /** @param {(event: import('./index').ExecutionEvent) => void} handler */
  onEvent(handler) {
    try {
      check.callback(handler)
    } catch (error) {
      throw seenFrom(error, this.onEvent)
    }
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
  shutdown() {
    return channel.ask((token) => this.#native.shutdown(token))
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

makeAsync(ExecutionEngine.prototype, [
  'execute',
  'run',
  'executePlan',
  'runPlan',
  'getStatus',
  'getResult',
  'waitForCompletion',
  'getPlanResult',
  'waitForPlan',
  'listExecutions',
  'cancel',
  'writeStdin',
  'closeStdin',
  'renewLease',
  'readLogs',
  'readLogLines',
  'removeExecution',
  'cleanup',
  'shutdown',
])

/** @type {typeof import('./index')} */
module.exports = {
  ExecutionEngine,
  ExecutionError,
  ExecutionFailedError,
  checkPlan,
  checkRequest,
  quote,
  quotePowerShell,
  sh,
}

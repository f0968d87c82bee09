'use strict'

// Stands in for an engine in tests: accepts and refuses the same calls, and tells and resolves in the same order, but
// runs nothing. What each command does is scripted.

const { randomUUID } = require('node:crypto')
const { tmpdir } = require('node:os')
const { join } = require('node:path')
const { onAbort, reasonOf } = require('../abort')
const check = require('../check')
const { whileChecking } = require('../checkers')
const { ExecutionError, ExecutionFailedError, makeAsync, messageOf, seenFrom } = require('../error')
const { acceptable, keyedSteps, requestOf } = require('../plan')
const { pathOf } = require('../plans/path')
const { snapshot } = require('../plans/snapshot')
const { toConfig } = require('../result')
const { EventStream } = require('../stream')
const { cancelled, leaseLost } = require('./cause')
const { FakeExecution } = require('./execution')
const { expectGroup } = require('./groups')
const { endOfLog, entriesOf, pageOf } = require('./logs')
const { FakePlan } = require('./plan')
const { PlainSchedule, checkGraph } = require('./schedule')
const { expectRules } = require('./rules')
const { Scripts } = require('./scripts')
const { expectSecret, secretsOf } = require('./secrets')
const { defaultsOf } = require('../shape')
const { Slots } = require('./slots')
const { Moment, untilAborted } = require('./time')

/** Why it cancels by itself. */
const SHUT_DOWN = 'the engine was shut down'

/** @typedef {import('../../index').ExecutionRequest} ExecutionRequest */
/** @typedef {import('../../index').ExecutionPlan} ExecutionPlan */
/** @typedef {import('../../index').ExecuteOptions} ExecuteOptions */
/** @typedef {import('../../testing').FakeMatch} FakeMatch */
/** @typedef {import('./scripts').Scripted} Scripted */

/** Where logs would be. */
const LOG_DIR = join(tmpdir(), 'fake-executions')

class FakeEngine {
  /** @type {ExecutionRequest[]} */
  requests = []
  /** @type {ExecutionPlan[]} */
  plans = []
  #config
  #slots
  #scripts = new Scripts()
  /** @type {Set<(event: any) => unknown>} */
  #subscribers = new Set()
  #shared
  /** @type {Map<string, FakeExecution>} */
  #executions = new Map()
  /** Those whose input was closed. @type {WeakSet<FakeExecution>} */
  #closed = new WeakSet()
  /** @type {Map<string, { plan: FakePlan, steps: string[] }>} */
  #plans = new Map()
  #isShutDown = false
  /** The next one. */
  #accepted = new Moment()

  /** @param {import('../../index').ExecutionConfig} [config] */
  constructor(config = {}) {
    try {
      const given = /** @type {Record<string, unknown>} */ (toConfig(check.config(config)))
      /** @type {any} */
      const whole = { ...defaultsOf('ExecutionConfig'), logDir: LOG_DIR, ...given }
      whole.secretEnvPatterns = Array.from(whole.secretEnvPatterns)
      this.#config = Object.freeze(whole)
      this.#slots = new Slots(this.#config)
      const subscribers = this.#subscribers
      this.#shared = { config: this.#config, slots: this.#slots, scripts: this.#scripts, subscribers }
    } catch (error) {
      throw seenFrom(error, FakeEngine)
    }
  }

  /** @param {FakeMatch} match @param {...Scripted} scripts */
  when(match, ...scripts) {
    this.#scripts.add(match, scripts)
    return this
  }

  /** @param {...Scripted} scripts */
  otherwise(...scripts) {
    this.#scripts.addLast(scripts)
    return this
  }

  /** @param {ExecutionRequest} request @param {ExecuteOptions} [options] */
  async execute(request, options = {}) {
    return this.#submit(request, check.options(options)).id
  }

  /** @param {ExecutionRequest} request @param {import('../../index').RunOptions} [options] @returns {Promise<any>} */
  async run(request, options = {}) {
    const checked = check.runOptions(options)
    const result = await this.#submit(request, checked).ended()
    if (checked.throwOnFailure && !result.success) throw new ExecutionFailedError(result)
    return result
  }

  /** @param {ExecutionRequest} request @param {{ signal?: AbortSignal }} [options] */
  stream(request, options = {}) {
    const leave = new AbortController()
    /** @type {Promise<unknown>} */
    let ended = Promise.resolve()
    const start = (/** @type {EventStream} */ stream) => {
      try {
        const { signal } = check.streamOptions(options)
        if (signal?.aborted) leave.abort(signal.reason)
        const forget = signal && onAbort(signal, () => leave.abort(signal.reason))
        const onEvent = (/** @type {any} */ event) => stream.push(single(event))
        const execution = this.#submit(request, { onEvent, signal: leave.signal })
        ended = execution.ended().then(
          () => (forget?.(), stream.end()),
          (error) => (forget?.(), stream.end(error)),
        )
      } catch (error) {
        stream.end(/** @type {Error} */ (seenFrom(error, EventStream.prototype.next)))
      }
    }
    const stop = async () => {
      leave.abort()
      await ended
    }
    return new EventStream(start, stop)
  }

  /** @param {ExecutionPlan} plan @param {import('../../index').PlanOptions} [options] */
  async executePlan(plan, options = {}) {
    return this.#submitPlan(plan, options).id
  }

  /** @param {ExecutionPlan} plan @param {import('../../index').PlanOptions} [options] */
  async runPlan(plan, options = {}) {
    return this.#submitPlan(plan, options).run.ended()
  }

  /** @param {ExecutionRequest} given @param {ExecuteOptions} options */
  #submit(given, { signal, ...listeners }) {
    const checked = check.request(given)
    this.#expectOpen()
    const secrets = this.#secretsOf(given)
    const request = this.#recorded(checked, given)
    if (signal?.aborted !== true) this.#slots.expectPlace(request)
    const execution = this.#executionOf(request, secrets, listeners)
    execution.prepare()
    this.requests.push(request)
    this.#accept(execution)
    this.#watch(signal, execution)
    void execution.live(this.#slots.take(request, false))
    return execution
  }

  #expectOpen() {
    if (this.#isShutDown) throw new ExecutionError('SHUT_DOWN', 'the engine has been shut down')
  }

  /**
   * Its secrets, where the engine can take it.
   *
   * @param {any} request
   * @param {any} [plan] that it is a step of
   * @param {string} [path] of the request
   */
  #secretsOf(request, plan, path = '') {
    const { groups, secretEnvPatterns } = this.#config
    whileChecking(plan ?? request, () => {
      expectRules(request, path)
      expectGroup(request.group, groups, `${path}group`)
    })
    return secretsOf(request, secretEnvPatterns, plan, path)
  }

  /** @param {any} checked @param {any} given @param {string} [field] of its id */
  #recorded(checked, given, field = 'id') {
    this.#expectOpen()
    const id = checked.id ?? randomUUID()
    if (this.#executions.has(id) || this.#plans.has(id)) {
      const found = `expected an id that is not in use, found ${id}, which an execution or plan already has`
      throw new ExecutionError('DUPLICATE_ID', `${field}: ${found}`, { field, executionId: id })
    }
    return { ...snapshot(given), id }
  }

  /**
   * @param {any} request
   * @param {import('./execution').Secrets} secrets
   * @param {import('./tell').Listeners} listeners
   * @param {import('./tell').Place} [place]
   */
  #executionOf(request, secrets, listeners, place) {
    return new FakeExecution(request, secrets, this.#shared, listeners, place)
  }

  /** Tells who waits for one that is not there yet. @param {FakeExecution[]} executions */
  #accept(...executions) {
    for (const execution of executions) {
      this.#executions.set(execution.id, execution)
      this.#keepLease(execution)
    }
    const { reach } = this.#accepted
    this.#accepted = new Moment()
    reach()
  }

  /** Lets it end with its lease. @param {FakeExecution} execution */
  #keepLease(execution) {
    execution.keepLease(() => this.#end(execution, leaseLost()))
  }

  /** Stops it when the signal says so. @param {AbortSignal | undefined} signal @param {FakeExecution} execution */
  #watch(signal, execution) {
    if (signal === undefined) return
    const stop = () => execution.stop(cancelled(reasonOf(signal)))
    if (signal.aborted) return stop()
    const forget = onAbort(signal, stop)
    void execution.ended().then(forget, forget)
  }

  /** @param {ExecutionPlan} given @param {import('../../index').PlanOptions} options */
  #submitPlan(given, options) {
    const { signal, ...listeners } = check.options(/** @type {any} */ (options))
    const checked = /** @type {any} */ (check.plan(given))
    const plan = this.#recorded(checked, given)
    const schedule = scheduleOf(plan, checked)
    const entries = keyedSteps(plan).map(([key, step], index) => {
      const path = `${pathOf(key)}.`
      const isMade = typeof step.request === 'function'
      const secrets = this.#secretsOf(isMade ? {} : step, plan, path)
      return { key, step, isMade, path, secrets, copy: keyedSteps(checked)[index]?.[1] }
    })
    const steps = entries.map(({ key, step, isMade, path, secrets, copy }) => {
      const place = { planId: plan.id, step: key }
      const own = requestOf(step)
      const request = this.#recorded(isMade ? {} : copy, isMade ? {} : own, `${path}id`)
      const execution = this.#executionOf(request, secrets, listeners, place)
      const { allowFailure: mayFail = false, when = 'success' } = step
      return { key, mayFail, when, execution, make: isMade ? step.request : undefined }
    })
    const known = steps.filter(({ make }) => make === undefined)
    this.requests.push(...known.map(({ execution }) => execution.request))
    this.#accept(...steps.map(({ execution }) => execution))
    this.plans.push(withIds(plan, steps))
    const make = (/** @type {number} */ index, /** @type {any} */ results) =>
      this.#make(plan, /** @type {any} */ (steps[index]), results)
    const run = new FakePlan(plan, steps, schedule, this.#shared, listeners.onEvent, make)
    this.#plans.set(plan.id, { plan: run, steps: steps.map(({ execution }) => execution.id) })
    const forget = signal ? onAbort(signal, () => run.cancel(reasonOf(signal))) : () => {}
    // Nothing is told in the call itself.
    void Promise.resolve().then(() => {
      if (signal?.aborted) run.cancel(reasonOf(signal))
      return run.live()
    })
    void run.ended().then(forget, forget)
    return { id: plan.id, run }
  }

  /**
   * Makes the request of a step.
   *
   * @param {any} plan
   * @param {{ execution: FakeExecution, make: (results: any) => unknown }} step
   * @param {any} results
   */
  async #make(plan, { execution, make }, results) {
    let secrets = this.#secretsOf({}, plan)
    try {
      const made = snapshot(await make(results))
      const shared = { secrets: plan.secrets, secret_env: plan.secretEnv }
      acceptable((given) => {
        const checked = check.madeRequest(given, shared)
        secrets = this.#secretsOf(made, plan)
        return checked
      }, made)
      const request = { ...made, id: execution.id }
      execution.setRequest(request, secrets)
      this.#keepLease(execution)
      this.requests.push(request)
      return { priority: request.priority ?? 0 }
    } catch (error) {
      throw new Error(secrets.hide(messageOf(error)), { cause: error })
    }
  }

  /** @param {string} id */
  async getStatus(id) {
    const checked = check.id(id)
    return (this.#plans.get(checked)?.plan ?? this.#execution(checked)).status
  }

  /** @param {string} id */
  async getResult(id) {
    const { result } = this.#execution(check.id(id))
    return result ?? refuse('NOT_FINISHED', id, 'has not finished')
  }

  /** @param {string} id */
  async waitForCompletion(id) {
    return this.#execution(check.id(id)).ended()
  }

  /** @param {string} planId */
  async getPlanResult(planId) {
    const { result } = this.#plan(check.planId(planId))
    return result ?? refuse('NOT_FINISHED', planId, 'has not finished')
  }

  /** @param {string} planId */
  async waitForPlan(planId) {
    return this.#plan(check.planId(planId)).ended()
  }

  /** @param {{ status?: string, source?: string, tag?: Record<string, string>, limit?: number }} [filter] */
  async listExecutions({ status, source, tag = {}, limit = Infinity } = {}) {
    /** @type {import('../../index').ExecutionSummary[]} */
    const newestFirst = []
    for (const execution of this.#executions.values()) {
      const { tags = {}, source: ownSource } = execution.request.metadata ?? {}
      const hasTags = Object.entries(tag).every(([name, value]) => tags[name] === value)
      const isMeant = (status ?? execution.status) === execution.status && (source ?? ownSource) === ownSource
      if (isMeant && hasTags) newestFirst.unshift(execution.summary())
    }
    return newestFirst.slice(0, limit)
  }

  /** @param {string} id @param {string} value */
  addSecret(id, value) {
    try {
      const checked = check.id(id)
      const secret = check.secret(value)
      expectSecret(secret, 'value')
      const entry = this.#plans.get(checked)
      const { result } = entry?.plan ?? this.#execution(checked)
      if (result !== undefined) refuse('ALREADY_FINISHED', checked, 'has already finished')
      for (const one of entry?.steps ?? [checked]) this.#execution(one).addSecret(secret)
    } catch (error) {
      throw seenFrom(error, this.addSecret)
    }
  }

  /** @param {string} id */
  inputOf(id) {
    return this.#execution(check.id(id)).input
  }

  /** @param {string} id */
  subscribe(id) {
    let leave = () => {}
    const start = (/** @type {EventStream} */ stream) => {
      try {
        const execution = this.#execution(check.id(id))
        leave = execution.subscribe((event) => stream.push(single(event)))
        void execution.ended().then(
          () => stream.end(),
          (error) => stream.end(error),
        )
      } catch (error) {
        stream.end(/** @type {Error} */ (seenFrom(error, EventStream.prototype.next)))
      }
    }
    return new EventStream(start, async () => leave())
  }

  /** @param {string} id @param {string} [reason] */
  async cancel(id, reason) {
    const checked = check.id(id)
    const plan = this.#plans.get(checked)?.plan
    const running = plan ?? this.#execution(checked)
    if (running.result !== undefined) refuse('ALREADY_FINISHED', checked, 'has already finished')
    if (plan) plan.cancel(reason)
    else this.#end(/** @type {FakeExecution} */ (running), cancelled(reason))
    await running.ended()
  }

  /** @param {string} id @param {number} [leaseMs] */
  async renewLease(id, leaseMs) {
    const checked = check.id(id)
    const ms = check.leaseMs(leaseMs)
    const { result, lease } = this.#plans.get(checked)?.plan ?? this.#execution(checked)
    if (result !== undefined) refuse('ALREADY_FINISHED', checked, 'has already finished')
    if (lease === undefined) {
      const found = `id: expected the id of an execution or a plan that has a lease, found ${checked}, which has none`
      throw new ExecutionError('VALIDATION', found, { field: 'id' })
    }
    if (lease.renew(ms)) return
    throw new ExecutionError('ALREADY_FINISHED', `the lease of ${checked} has ended`, { executionId: checked })
  }

  /** Ends it by itself, also before its turn in a plan. @param {FakeExecution} execution @param {import('./cause').Cause} cause */
  #end(execution, cause) {
    for (const { plan, steps } of this.#plans.values()) if (steps.includes(execution.id)) plan.endStep(execution, cause)
    execution.stop(cause)
  }

  /** What a scripted command reads changes nothing. @param {string} id @param {string | Uint8Array} data */
  async writeStdin(id, data) {
    check.data(data)
    const execution = this.#written(id)
    if (execution.result !== undefined) refuse('ALREADY_FINISHED', execution.id, 'has already finished')
    if (this.#closed.has(execution)) {
      throw new ExecutionError('IO', `the input of ${execution.id}: it was closed before`)
    }
    execution.input += typeof data === 'string' ? data : Buffer.from(data).toString()
  }

  /** @param {string} id */
  async closeStdin(id) {
    this.#closed.add(this.#written(id))
  }

  /** The execution, if it can be written to. @param {string} id */
  #written(id) {
    const execution = this.#execution(check.id(id))
    if (execution.request.stdin?.open === true) return execution
    const message = `id: expected that of a request which left its input open, found ${execution.id}`
    throw new ExecutionError('VALIDATION', message, { field: 'id' })
  }

  /** @param {string} id @param {{ maxBytes?: number }} [options] */
  async readLogs(id, options = {}) {
    const checked = check.id(id)
    return endOfLog(this.#execution(checked), check.tailOptions(options).maxBytes)
  }

  /** @param {string} id @param {{ from?: number, fromLine?: number, limit?: number }} [options] */
  async readLogLines(id, options = {}) {
    return pageOf(this.#execution(check.id(id)), check.pageOptions(options))
  }

  /** @param {string} id @param {{ from?: number, wait?: boolean, signal?: AbortSignal }} [options] */
  async *followLogs(id, options) {
    const checked = check.id(id)
    const { from, wait = false, signal } = check.followOptions(options ?? {})
    if (wait) await this.#known(checked, signal)
    if (signal?.aborted !== true) yield* entriesOf(this.#execution(checked), { from, signal })
  }

  /** Resolves once something has that id, or it is aborted. @param {string} id @param {AbortSignal} [signal] */
  async #known(id, signal) {
    const isKnown = () => this.#executions.has(id) || this.#plans.has(id)
    do {
      if (isKnown()) return
      this.#expectOpen()
    } while (await untilAborted(this.#accepted.reached, signal))
  }

  /** @param {string} id */
  getLogPath(id) {
    try {
      return join(this.#config.logDir, `${check.id(id)}.log`)
    } catch (error) {
      throw seenFrom(error, this.getLogPath)
    }
  }

  /** @param {string} id */
  async removeExecution(id) {
    const checked = check.id(id)
    const entry = this.#plans.get(checked)
    const { result } = entry?.plan ?? this.#execution(checked)
    if (result === undefined) refuse('NOT_FINISHED', checked, 'has not finished')
    for (const one of entry?.steps ?? [checked]) this.#executions.delete(one)
    this.#plans.delete(checked)
  }

  async cleanup() {
    const oldest = Date.now() - this.#config.executionRetentionSecs * 1000
    const old = [...this.#executions.values()].filter(({ result }) => result && Date.parse(result.completedAt) < oldest)
    for (const { id } of old) this.#executions.delete(id)
    return old.length
  }

  /** @param {(event: any) => void} handler */
  onEvent(handler) {
    try {
      check.callback(handler)
    } catch (error) {
      throw seenFrom(error, this.onEvent)
    }
    // The same function may subscribe twice, and is then told twice.
    const subscriber = (/** @type {any} */ event) => handler(event)
    this.#subscribers.add(subscriber)
    return () => void this.#subscribers.delete(subscriber)
  }

  async shutdown() {
    this.#isShutDown = true
    this.#accept()
    for (const { plan } of this.#plans.values()) if (plan.result === undefined) plan.cancel(SHUT_DOWN)
    const running = [...this.#executions.values()]
    for (const execution of running) execution.stop(cancelled(SHUT_DOWN))
    // What is wrong with a script is told to who waits for its execution.
    await Promise.allSettled(
      [...running, ...[...this.#plans.values()].map(({ plan }) => plan)].map((one) => one.ended()),
    )
  }

  async [Symbol.asyncDispose]() {
    await this.shutdown()
  }

  get config() {
    return this.#config
  }

  get runningCount() {
    return this.#slots.running
  }

  get queuedCount() {
    return this.#slots.queued
  }

  get totalCount() {
    return this.#executions.size
  }

  get availablePermits() {
    return this.#slots.available
  }

  /** @param {string} id */
  #execution(id) {
    const found = this.#executions.get(id)
    if (found) return found
    if (this.#plans.has(id)) return refuse('NOT_FOUND', id, 'is a plan, and no execution')
    throw unknown(id)
  }

  /** @param {string} id */
  #plan(id) {
    const found = this.#plans.get(id)
    if (found) return found.plan
    if (this.#executions.has(id)) return refuse('NOT_FOUND', id, 'is an execution, and no plan')
    throw unknown(id)
  }
}

/**
 * What says which step is next: of a plan that is more than a list of requests, the addon.
 *
 * @param {any} plan
 * @param {any} checked
 * @returns {import('../plans/driver').Schedule}
 */
function scheduleOf(plan, checked) {
  const says = (/** @type {any} */ step) => ['request', 'when', 'allow_failure'].some((key) => step[key] !== undefined)
  if (checked.steps === undefined && !Array.from(checked.commands).some(says)) {
    checkGraph(plan)
    return new PlainSchedule(plan)
  }
  const { json, made } = require('../checked').preparedPlan(plan)
  const { NativeSchedule } = require('../native')
  return /** @type {any} */ (new NativeSchedule(json, made))
}

/** A plan as it was passed, with the ids of the steps that it knows. @param {any} plan @param {{ execution: FakeExecution, make: unknown }[]} steps */
function withIds(plan, steps) {
  const entries = keyedSteps(plan).map(([key, step], index) => {
    const { execution, make } = /** @type {any} */ (steps[index])
    return [key, make === undefined ? { ...step, id: execution.id } : step]
  })
  if (plan.steps === undefined) return { ...plan, commands: entries.map(([, step]) => step) }
  return { ...plan, steps: Object.fromEntries(entries) }
}

/** @type {(code: import('../../index').ErrorCode, id: string, what: string) => never} */
function refuse(code, id, what) {
  throw new ExecutionError(code, `${id} ${what}`, { executionId: id })
}

/** @param {string} executionId */
const unknown = (executionId) =>
  new ExecutionError('NOT_FOUND', `no execution or plan with the id ${executionId} is known`, { executionId })

/** One event, as a stream takes it. @param {any} event */
function single(event) {
  return {
    next() {
      const taken = event
      event = undefined
      return taken
    },
  }
}

makeAsync(FakeEngine.prototype, [
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
  'renewLease',
  'writeStdin',
  'closeStdin',
  'cancel',
  'readLogs',
  'readLogLines',
  'removeExecution',
])

module.exports = { FakeEngine }

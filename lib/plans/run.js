'use strict'

// A plan whose steps somebody else runs: checked and scheduled as by the engine.

const { aboutOf } = require('../about')
const { onAbort, reasonOf } = require('../abort')
const check = require('../check')
const { checkRequest, defaultPatterns, hide, preparedPlan } = require('../checked')
const { describe } = require('../checkers')
const { ExecutionError, messageOf, seenFrom } = require('../error')
const { call } = require('../lines')
const { acceptable, keyedSteps, requestOf } = require('../plan')
const { withMembers } = require('../result')
const { valueOf } = require('../shape')
const { iso } = require('../time')
const { PlanDriver } = require('./driver')
const { snapshot } = require('./snapshot')

/** @typedef {import('../../index').ExecutionResult} ExecutionResult */

/** How long the result waits for who is told of the plan, as that of an engine does, in milliseconds. */
const PATIENCE = 2_000

const FINAL = new Set(['completed', 'failed', 'cancelled', 'timeout', 'skipped'])

/**
 * What is known of a step.
 *
 * @typedef {object} Step
 * @property {string} id
 * @property {string | number} key
 * @property {boolean} mayFail
 * @property {any} request what is to be run, once that is known
 * @property {((results: any) => unknown) | undefined} make
 * @property {string | null} command
 * @property {any} metadata
 * @property {AbortController} stop
 */

class PlanRun {
  #plan
  /** Secrets of all steps. */
  #shared
  #options
  #acceptedAt
  /** @type {Step[]} */
  #steps
  #driver
  #told = Promise.resolve()
  #result

  /**
   * @param {import('../../index').ExecutionPlan} given
   * @param {import('../../plans').PlanRunOptions} givenOptions
   */
  constructor(given, givenOptions) {
    try {
      this.#options = check.planRunOptions(givenOptions)
      const plan = snapshot(given)
      const { checked, told, json, made } = preparedPlan(plan)
      this.#plan = checked
      this.#shared = { secrets: plan.secrets ?? [], secretEnv: plan.secretEnv ?? [] }
      this.#acceptedAt = this.#options.acceptedAt ?? Date.now()
      this.#steps = stepsOf(plan, checked, told, (request) => this.#withSecrets(request))
      const { NativeSchedule } = require('../native')
      const { timeout_ms: timeoutMs, lease_ms: leaseMs, description = '' } = checked
      const { metadata } = aboutOf({ id: checked.id, metadata: checked.metadata })
      const about = { id: checked.id, description, metadata, timeoutMs, leaseMs, isNamed: checked.steps !== undefined }
      const schedule = /** @type {any} */ (new NativeSchedule(json, made))
      this.#driver = new PlanDriver(about, this.#steps, schedule, this.#host(), this.#acceptedAt)
    } catch (error) {
      throw seenFrom(error, PlanRun)
    }
    this.#result = this.#live()
    // Who does not ask for it is told by nobody else.
    this.#result.catch(() => {})
  }

  get id() {
    return this.#plan.id
  }

  get steps() {
    return this.#steps.map(({ id, key, command }) => ({ step: key, id, command }))
  }

  get result() {
    return this.#result
  }

  /** @param {string} [reason] */
  cancel(reason) {
    this.#driver.cancel(check.reason(reason))
  }

  /** @param {string} id @param {string} [reason] */
  cancelStep(id, reason) {
    const executionId = check.id(id)
    const checkedReason = check.reason(reason)
    const index = this.#steps.findIndex((step) => step.id === executionId)
    const step = this.#steps[index]
    if (step === undefined) {
      throw new ExecutionError('NOT_FOUND', `no step with the id ${executionId} is known`, { executionId })
    }
    if (this.#driver.hasResult(index)) {
      throw new ExecutionError('ALREADY_FINISHED', `${executionId} has already finished`, { executionId })
    }
    if (!this.#driver.cancelStep(index, checkedReason)) step.stop.abort(checkedReason ?? null)
  }

  /** @param {number} [leaseMs] */
  renewLease(leaseMs) {
    const wanted = check.leaseMs(leaseMs) ?? this.#plan.lease_ms
    const { id } = this
    if (this.#plan.lease_ms === undefined) {
      const message = `id: expected the id of a plan that has a lease, found ${id}, which has none`
      throw new ExecutionError('VALIDATION', message, { field: 'id' })
    }
    if (this.#driver.renewLease(wanted)) return
    throw new ExecutionError('ALREADY_FINISHED', `${id} has already finished, or its lease has ended`, {
      executionId: id,
    })
  }

  async #live() {
    const { signal } = this.#options
    const known = this.#known()
    // Nothing is started in the call itself.
    await undefined
    let forget = () => {}
    if (signal?.aborted !== true) {
      if (signal) forget = onAbort(signal, (reason) => this.#driver.cancel(reason))
      void this.#driver.live(known)
    } else if (known.size === 0) {
      this.#driver.cancel(reasonOf(signal))
      void this.#driver.live()
    } else {
      // What had been started is to be stopped, and has to be known for that.
      for (const { stop } of this.#steps) stop.abort(reasonOf(signal) ?? null)
      void this.#driver.live(known).then(() => this.#driver.cancel(reasonOf(signal)))
    }
    try {
      const result = await this.#driver.over
      await within(this.#told, PATIENCE)
      return result
    } finally {
      forget()
    }
  }

  /** The results that are known already, by the index of their step. */
  #known() {
    const results = new Map(this.#options.results?.map((result) => [result.id, result]))
    const known = this.#steps.flatMap(({ id }, index) => {
      const result = results.get(id)
      return result === undefined ? [] : [/** @type {const} */ ([index, result])]
    })
    return new Map(known)
  }

  /** @returns {import('./driver').Host} */
  #host() {
    const stepAt = (/** @type {number} */ index) => /** @type {Step} */ (this.#steps[index])
    return {
      run: async (index) => {
        const { id, key, request, stop } = stepAt(index)
        const about = { id, step: key, index, planId: this.id, signal: stop.signal }
        const result = await this.#options.run(request, about)
        if (FINAL.has(result?.status)) return result
        throw new TypeError(`run: expected the result of an execution, found ${describe(result)}`)
      },
      make: async (index, results) => this.#make(stepAt(index), results),
      stop: (index, { kind, message, reason }) => {
        const name = kind === 'deadline' ? 'TimeoutError' : 'AbortError'
        stepAt(index).stop.abort(kind === 'cancel' ? (reason ?? null) : new DOMException(message, name))
      },
      conclude: (index, end) => this.#conclude(stepAt(index), end),
      command: (index) => stepAt(index).command,
      tell: (event) => this.#tell(event),
    }
  }

  /** A request with the secrets of the plan. @param {any} request */
  #withSecrets(request) {
    const { secrets, secretEnv } = this.#shared
    return {
      ...request,
      ...(secrets.length > 0 && { secrets: [...(request.secrets ?? []), ...secrets] }),
      ...(secretEnv.length > 0 && { secretEnv: [...(request.secretEnv ?? []), ...secretEnv] }),
    }
  }

  /** @param {Step} step @param {any} results */
  async #make(step, results) {
    try {
      const made = snapshot(await step.make?.(results))
      const checked = acceptable((request) => check.madeRequest(request, this.#plan, defaultPatterns), made)
      const request = { ...this.#withSecrets(made), id: step.id }
      const { command } = checkRequest(request)
      Object.assign(step, { request, command, metadata: checked.metadata })
      return { priority: checked.priority ?? 0 }
    } catch (error) {
      throw new Error(this.#hide(step, messageOf(error)), { cause: error })
    }
  }

  /** @param {Step} step @param {string} text */
  #hide({ request }, text) {
    return hide(request ?? this.#withSecrets({ command: { type: 'exec', program: 'unknown' } }), text)
  }

  /** @param {Step} step @param {import('./driver').End} end @returns {ExecutionResult} */
  #conclude(step, { status, error, errorCode, reason }) {
    const now = Date.now()
    const about = aboutOf({ id: step.id, metadata: step.metadata, planId: this.id, step: step.key })
    const values = {
      ...about,
      id: step.id,
      status,
      command: step.command ?? '',
      completedAt: iso(now),
      queuedMs: Math.max(now - this.#acceptedAt, 0),
      error: this.#hide(step, error),
      errorCode: errorCode ?? null,
      cancelReason: reason === undefined ? null : this.#hide(step, reason),
    }
    const make = () => withMembers(valueOf('ExecutionResult', values))
    this.#tell({ eventType: status, ...about, result: make(), timestamp: values.completedAt })
    return make()
  }

  /** @param {any} event */
  #tell(event) {
    const { onEvent } = this.#options
    if (onEvent) this.#told = this.#told.then(() => call(onEvent, event))
  }
}

/**
 * @param {any} plan as it was passed
 * @param {any} checked its copy
 * @param {import('../../index').CheckedPlan} told
 * @param {(request: any) => any} withSecrets
 * @returns {Step[]}
 */
function stepsOf(plan, checked, told, withSecrets) {
  const copies = keyedSteps(checked)
  return keyedSteps(plan).map(([key, step], index) => {
    const given = requestOf(step)
    const { id, command } = /** @type {import('../../index').CheckedStep} */ (told.steps[index])
    const make = typeof given.request === 'function' ? given.request : undefined
    return {
      id,
      key,
      mayFail: step.allowFailure === true,
      request: make === undefined ? { ...withSecrets(given), id } : undefined,
      make,
      command,
      metadata: copies[index]?.[1].metadata,
      stop: new AbortController(),
    }
  })
}

/** Waits for a promise, and no longer than that. @param {Promise<unknown>} promise @param {number} ms */
async function within(promise, ms) {
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let timer
  const over = new Promise((resolve) => (timer = setTimeout(resolve, ms)))
  await Promise.race([promise, over])
  clearTimeout(timer)
}

module.exports = { PlanRun }

'use strict'

// A plan of scripted executions, which go through it as those of an engine do.

const { messageOf } = require('../error')
const { call } = require('../lines')
const { PlanDriver, causeOf } = require('../plans/driver')
const { aboutOf } = require('./execution')
const { fakeResult } = require('./result')
const { eventOf } = require('../shape')

/** @typedef {import('./execution').FakeExecution} FakeExecution */
/** @typedef {import('./execution').Shared} Shared */

/** @typedef {{ key: string | number, mayFail: boolean, when: string, execution: FakeExecution }} FakeStep */

class FakePlan {
  #steps
  #shared
  #onEvent
  #tools
  #driver
  #stopsOnError
  /** Those that have started, or wait for their slots. @type {Set<FakeExecution>} */
  #begun = new Set()
  /** What is wrong with a script. @type {unknown} */
  #fault

  /**
   * @param {any} plan
   * @param {FakeStep[]} steps
   * @param {import('../plans/driver').Schedule} schedule
   * @param {Shared} shared
   * @param {((event: any) => unknown) | undefined} onEvent
   * @param {object} tools
   * @param {(execution: FakeExecution) => void} tools.script looks up what a step does, and throws if nobody has said that
   * @param {(execution: FakeExecution) => import('./slots').Place} tools.take takes a place in the line
   * @param {(step: number, results: any) => Promise<{ priority: number }>} tools.make makes the request of a step
   */
  constructor(plan, steps, schedule, shared, onEvent, tools) {
    this.#steps = steps
    this.#shared = shared
    this.#onEvent = onEvent
    this.#tools = tools
    this.#stopsOnError = (plan.strategy ?? plan).stopOnError === true
    const { id, description = '', timeoutMs } = plan
    const about = { id, description, timeoutMs, metadata: aboutOf(plan).metadata, isNamed: plan.steps !== undefined }
    this.#driver = new PlanDriver(about, steps, schedule, this.#host())
  }

  get status() {
    return this.result?.status ?? 'running'
  }

  get result() {
    return this.#driver.result
  }

  /** Resolves with the result. */
  async ended() {
    const result = await this.#driver.over
    if (this.#fault !== undefined) throw this.#fault
    return result
  }

  live() {
    return this.#driver.live()
  }

  /** @param {string} [reason] */
  cancel(reason) {
    this.#driver.cancel(reason)
  }

  /** Notes what is wrong with a script. @param {unknown} fault */
  #blame(fault) {
    this.#fault ??= fault
  }

  /** Takes out a step that waits, as it was cancelled by itself. @param {FakeExecution} execution @param {string} [reason] */
  cancelStep(execution, reason) {
    this.#driver.cancelStep(
      this.#steps.findIndex((step) => step.execution === execution),
      reason,
    )
  }

  /** @param {number} step */
  #executionAt(step) {
    return /** @type {FakeStep} */ (this.#steps[step]).execution
  }

  /** @returns {import('../plans/driver').Host} */
  #host() {
    return {
      run: (step) => this.#run(this.#executionAt(step)),
      make: (step, results) => this.#tools.make(step, results),
      stop: (step, { kind, message, reason }) => {
        const execution = this.#executionAt(step)
        if (kind === 'deadline') execution.stop('timeout', message)
        else execution.stop('cancelled', 'cancelled', reason)
      },
      conclude: (step, end) => this.#executionAt(step).neverStart(end),
      command: (step) => this.#executionAt(step).command,
      tell: ({ eventType, ...values }) => {
        for (const listener of [this.#onEvent, ...this.#shared.subscribers]) {
          // Each is given a result of their own.
          const own = values.result === undefined ? {} : { result: { ...values.result } }
          if (listener) void call(listener, eventOf(eventType, { ...values, ...own }))
        }
      },
    }
  }

  /** Nothing starts after a failure, not even what waits for its turn. @param {FakeExecution} failed */
  #skipBehind(failed) {
    const step = this.#steps.find(({ execution }) => execution === failed)
    if (step === undefined || step.mayFail || failed.result === undefined || failed.result.success) return
    for (const { execution, when } of this.#steps) {
      if (when !== 'success' || execution.hasStarted || !this.#begun.has(execution)) continue
      execution.stop('skipped', `skipped because ${causeOf(step.key, failed.result)}`)
    }
  }

  /** @param {FakeExecution} execution */
  async #run(execution) {
    try {
      this.#tools.script(execution)
    } catch (fault) {
      this.#blame(fault)
      return execution.neverStart({ status: 'failed', error: messageOf(fault), errorCode: 'INVALID_STEP' })
    }
    this.#begun.add(execution)
    const { turn, leave } = this.#tools.take(execution)
    const skipAndLeave = () => {
      if (this.#stopsOnError) this.#skipBehind(execution)
      leave()
    }
    void execution.live({ turn, leave: skipAndLeave })
    try {
      return await execution.ended()
    } catch (fault) {
      this.#blame(fault)
      return fakeResult({ id: execution.id, status: 'failed' })
    }
  }
}

module.exports = { FakePlan }

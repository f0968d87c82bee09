'use strict'

// A plan of scripted executions, which go through it as those of an engine do.

const { messageOf } = require('../error')
const { call } = require('../lines')
const { PlanDriver, causeOf } = require('../plans/driver')
const { eventOf } = require('../shape')
const { before, ofPlan, skipped } = require('./cause')
const { Line } = require('./line')
const { fakeResult } = require('./result')
const { aboutOf } = require('./tell')

/** @typedef {import('./execution').FakeExecution} FakeExecution */
/** @typedef {import('./execution').Shared} Shared */

/** @typedef {{ key: string | number, mayFail: boolean, when: string, execution: FakeExecution }} FakeStep */

class FakePlan {
  #steps
  #shared
  #onEvent
  #make
  #leaseMs
  #driver
  #stopsOnError
  /** Those that have started, or wait for their slots. @type {Set<FakeExecution>} */
  #begun = new Set()
  #line = new Line()
  /** What is wrong with a script. @type {unknown} */
  #fault

  /**
   * @param {any} plan
   * @param {FakeStep[]} steps
   * @param {import('../plans/driver').Schedule} schedule
   * @param {Shared} shared
   * @param {((event: any) => unknown) | undefined} onEvent
   * @param {(step: number, results: any) => Promise<{ priority: number }>} make makes the request of a step
   */
  constructor(plan, steps, schedule, shared, onEvent, make) {
    this.#steps = steps
    this.#shared = shared
    this.#onEvent = onEvent
    this.#make = make
    this.#stopsOnError = (plan.strategy ?? plan).stopOnError === true
    this.#leaseMs = plan.leaseMs
    const { id, description = '', timeoutMs, leaseMs } = plan
    const { metadata } = aboutOf(plan)
    const about = { id, description, timeoutMs, leaseMs, metadata, isNamed: plan.steps !== undefined }
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

  /** Its lease, if it has one. @returns {{ renew: (ms?: number) => boolean } | undefined} */
  get lease() {
    if (this.#leaseMs === undefined) return undefined
    return { renew: (ms = this.#leaseMs) => this.#driver.renewLease(ms) || !this.#driver.hasLostLease }
  }

  /** Takes out a step that waits for its turn, and ends by itself. @param {FakeExecution} execution @param {import('./cause').Cause} cause */
  endStep(execution, cause) {
    const step = this.#steps.findIndex((step) => step.execution === execution)
    this.#driver.endStep(step, before(cause))
  }

  /** @param {number} step */
  #executionAt(step) {
    return /** @type {FakeStep} */ (this.#steps[step]).execution
  }

  /** @returns {import('../plans/driver').Host} */
  #host() {
    return {
      run: (step) => this.#run(this.#executionAt(step)),
      make: (step, results) => this.#make(step, results),
      stop: (step, cause) => {
        const execution = this.#executionAt(step)
        execution.stop(ofPlan(cause, execution.hasBegun))
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
      if (when !== 'success' || execution.hasBegun || !this.#begun.has(execution)) continue
      execution.stop(skipped(causeOf(step.key, failed.result)))
    }
  }

  /** @param {FakeExecution} execution */
  async #run(execution) {
    try {
      execution.prepare()
    } catch (fault) {
      this.#blame(fault)
      return execution.neverStart({ status: 'failed', error: messageOf(fault), errorCode: 'INVALID_STEP' })
    }
    this.#begun.add(execution)
    const slot = this.#shared.slots.take(execution.request, true)
    if (slot.waits) {
      this.#line.enter(execution)
      void Promise.race([slot.turn, execution.over]).then(() => this.#line.leave(execution))
    }
    void execution.live(slot, () => {
      if (this.#stopsOnError) this.#skipBehind(execution)
    })
    try {
      return await execution.ended()
    } catch (fault) {
      this.#blame(fault)
      return fakeResult({ id: execution.id, status: 'failed' })
    }
  }
}

module.exports = { FakePlan }

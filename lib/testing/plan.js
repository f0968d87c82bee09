'use strict'

// A plan of scripted executions, in the order that its strategy says.

const { ExecutionError } = require('../error')
const { call } = require('../lines')
const { iso } = require('../time')
const { planResult } = require('./result')
const { eventOf } = require('./shape')
const { Moment, pause } = require('./time')

/** @typedef {import('./execution').FakeExecution} FakeExecution */
/** @typedef {import('./execution').Shared} Shared */

/** How a step that did not succeed ended, in words. @type {Record<string, string>} */
const VERBS = { cancelled: 'was cancelled', timeout: 'timed out' }

class FakePlan {
  /** @type {import('../../index').PlanExecutionResult | undefined} */
  result
  #plan
  #steps
  #shared
  #onEvent
  #take
  #created = Date.now()
  #ended = new Moment()
  /** What each step waits for. @type {Set<number>[]} */
  #awaits
  /** @type {Set<number>} */
  #waiting
  /** In the order of their starts. @type {Set<number>} */
  #running = new Set()
  /** @type {'cancelled' | 'timeout' | undefined} */
  #endedBy
  /** What is wrong with a script. @type {unknown} */
  #fault

  /**
   * @param {any} plan
   * @param {FakeExecution[]} steps
   * @param {Shared} shared
   * @param {((event: any) => unknown) | undefined} onEvent
   * @param {() => { turn: Promise<void>, leave: () => void }} take takes a place in the line
   */
  constructor(plan, steps, shared, onEvent, take) {
    this.#plan = plan
    this.#steps = steps
    this.#shared = shared
    this.#onEvent = onEvent
    this.#take = take
    this.#awaits = dependenciesOf(plan)
    this.#waiting = new Set(steps.keys())
  }

  get status() {
    return this.result?.status ?? 'running'
  }

  /** Resolves with the result. */
  async ended() {
    await this.#ended.reached
    if (this.#fault !== undefined) throw this.#fault
    return /** @type {import('../../index').PlanExecutionResult} */ (this.result)
  }

  async live() {
    const { timeoutMs } = this.#plan
    const deadline = timeoutMs === undefined ? undefined : pause(timeoutMs)
    void deadline?.over.then(() => this.#timeOut(timeoutMs))
    this.#startWhatCan()
    this.#finishIfOver()
    await this.#ended.reached
    deadline?.clear()
  }

  /** @param {string} [reason] */
  cancel(reason) {
    this.#endedBy ??= 'cancelled'
    for (const step of this.#running) this.#steps[step]?.stop('cancelled', 'cancelled', reason)
    this.#startNoMore('its plan was cancelled before it was started', reason)
  }

  /** @param {number} timeoutMs */
  #timeOut(timeoutMs) {
    const error = `its plan timed out after ${timeoutMs} ms`
    if (this.#running.size + this.#waiting.size > 0) this.#endedBy ??= 'timeout'
    for (const step of this.#running) this.#steps[step]?.stop('timeout', error)
    this.#startNoMore(`${error}, before it was started`)
  }

  /** @param {string} error @param {string} [reason] */
  #startNoMore(error, reason) {
    for (const step of this.#waiting) this.#neverStart(step, 'cancelled', error, reason)
    this.#finishIfOver()
  }

  /** @param {number} step @param {'cancelled' | 'skipped'} status @param {string} error @param {string} [reason] */
  #neverStart(step, status, error, reason) {
    this.#waiting.delete(step)
    this.#steps[step]?.neverStart(status, error, reason)
    this.#tellProgress()
  }

  /** Takes out a step that waits, as it was cancelled by itself. @param {FakeExecution} execution @param {string} [reason] */
  cancelStep(execution, reason) {
    const step = this.#steps.indexOf(execution)
    if (!this.#waiting.has(step)) return
    this.#neverStart(step, 'cancelled', 'cancelled before it was started', reason)
    this.#hasEnded(step)
  }

  #startWhatCan() {
    const { maxConcurrency = Infinity, type } = this.#plan.strategy
    const limit = type === 'serial' ? 1 : maxConcurrency
    for (const step of this.#waiting) {
      if (this.#running.size >= limit) return
      if (this.#awaits[step]?.size === 0) this.#start(step)
    }
  }

  /** @param {number} step */
  #start(step) {
    this.#waiting.delete(step)
    this.#running.add(step)
    const execution = /** @type {FakeExecution} */ (this.#steps[step])
    void execution.live(this.#take())
    void this.#afterEnd(execution, step)
  }

  /** @param {FakeExecution} execution @param {number} step */
  async #afterEnd(execution, step) {
    try {
      await execution.ended()
    } catch (fault) {
      this.#fault ??= fault
    }
    this.#running.delete(step)
    this.#tellProgress()
    this.#hasEnded(step)
  }

  /** @param {number} step */
  #hasEnded(step) {
    const { status, error } = this.#steps[step]?.result ?? {}
    if (status === 'completed') for (const awaited of this.#awaits) awaited.delete(step)
    else this.#skip(step, `skipped because commands[${step}] ${VERBS[String(status)] ?? 'failed'}: ${error}`)
    this.#startWhatCan()
    this.#finishIfOver()
  }

  /** Skips what cannot run any more, now that this step has not completed. @param {number} failed @param {string} error */
  #skip(failed, error) {
    const { stopOnError = false, type } = this.#plan.strategy
    const skipped = stopOnError && type !== 'serial' ? [...this.#waiting] : this.#dependentsOf(failed)
    for (const step of skipped) this.#neverStart(step, 'skipped', error)
  }

  /** Those that wait for a step, directly or not. @param {number} step */
  #dependentsOf(step) {
    const found = new Set([step])
    for (const one of found) {
      for (const waiting of this.#waiting) if (this.#awaits[waiting]?.has(one)) found.add(waiting)
    }
    found.delete(step)
    return [...found].sort((a, b) => a - b)
  }

  #finishIfOver() {
    if (this.#running.size + this.#waiting.size > 0 || this.result !== undefined) return
    const results = this.#steps.flatMap(({ result }) => result ?? [])
    const allCompleted = results.length === this.#steps.length && results.every(({ success }) => success)
    const status = this.#endedBy ?? (allCompleted ? 'completed' : 'failed')
    const totalDurationMs = Date.now() - this.#created
    const make = () => planResult({ plan: this.#plan, status, results, totalDurationMs })
    this.result = make()
    this.#tell('plan_completed', make)
    this.#ended.reach()
  }

  #tellProgress() {
    const current = [...this.#running].at(-1)
    this.#tell('progress', undefined, {
      completed: this.#steps.length - this.#running.size - this.#waiting.size,
      total: this.#steps.length,
      currentCommand: current === undefined ? null : this.#steps[current]?.command,
    })
  }

  /** @param {string} eventType @param {(() => unknown) | undefined} make its result @param {object} [values] */
  #tell(eventType, make, values = {}) {
    const about = { planId: this.#plan.id, timestamp: iso(Date.now()), ...values }
    for (const listener of [this.#onEvent, ...this.#shared.subscribers]) {
      if (listener) void call(listener, eventOf(eventType, { ...about, result: make?.() }))
    }
  }
}

/** What each step waits for. @param {any} plan @returns {Set<number>[]} */
function dependenciesOf({ strategy, commands }) {
  const { type, stopOnError = true, dependencies } = strategy
  return commands.map((/** @type {unknown} */ _, /** @type {number} */ step) => {
    if (type === 'serial') return new Set(stopOnError && step > 0 ? [step - 1] : [])
    return new Set(dependencies?.[step])
  })
}

/**
 * Refuses a graph in which steps are missing, or wait for each other.
 *
 * @param {any} plan
 */
function checkGraph({ strategy, commands }) {
  const { dependencies = {} } = strategy
  /** @type {(field: string, expected: string, found: unknown) => never} */
  const refuse = (field, expected, found) => {
    throw new ExecutionError('VALIDATION', `${field}: expected ${expected}, found ${found}`, { field })
  }
  const { length } = commands
  const known =
    length === 0 ? 'no dependencies, as there are no commands' : `the index of a command, 0 to ${length - 1}`
  for (const [step, needed] of Object.entries(dependencies)) {
    const field = `strategy.dependencies[${step}]`
    if (Number(step) >= length) refuse(field, known, step)
    needed.forEach((/** @type {number} */ one, /** @type {number} */ i) => {
      if (one >= length) refuse(`${field}[${i}]`, known, one)
    })
  }
  const cycle = cycleIn(dependencies)
  if (cycle) refuse('strategy.dependencies', 'no cycle', `${cycle.join(' -> ')}, each waiting for the next`)
}

/** @param {Record<string, number[]>} dependencies @returns {number[] | undefined} */
function cycleIn(dependencies) {
  /** @type {Set<number>} */
  const done = new Set()
  /** @param {number} step @param {number[]} path @returns {number[] | undefined} */
  const visit = (step, path) => {
    const at = path.indexOf(step)
    if (at !== -1) return [...path.slice(at), step]
    if (done.has(step)) return undefined
    for (const next of dependencies[step] ?? []) {
      const cycle = visit(next, [...path, step])
      if (cycle) return cycle
    }
    done.add(step)
    return undefined
  }
  for (const step of Object.keys(dependencies)) {
    const cycle = visit(Number(step), [])
    if (cycle) return cycle
  }
  return undefined
}

module.exports = { FakePlan, checkGraph }

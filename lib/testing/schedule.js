'use strict'

// The schedule of a plan of numbered steps that say nothing of their own: without the addon, which knows all others.

const { ExecutionError } = require('../error')

class PlainSchedule {
  #plan
  /** What each step waits for. @type {Set<number>[]} */
  #awaits
  /** @type {Set<number>} */
  #waiting
  #running = 0
  #ended = 0
  /** Those that were skipped or withdrawn, and have not ended. @type {Set<number>} */
  #withdrawn = new Set()

  /** @param {any} plan */
  constructor(plan) {
    this.#plan = plan
    this.#awaits = dependenciesOf(plan)
    this.#waiting = new Set(plan.commands.keys())
  }

  begin() {
    return []
  }

  next() {
    const { maxConcurrency = Infinity, type } = this.#plan.strategy
    if (this.#running >= (type === 'serial' ? 1 : maxConcurrency)) return undefined
    const ready = [...this.#waiting].filter((step) => this.#awaits[step]?.size === 0)
    const [step] = ready.sort((one, other) => this.#priorityOf(other) - this.#priorityOf(one))
    if (step === undefined) return undefined
    this.takeOut(step)
    return { step, isToMake: false }
  }

  /** @param {number} step @returns {number} */
  #priorityOf(step) {
    return this.#plan.commands[step].priority ?? 0
  }

  hasMade() {}

  /** @param {number} step */
  takeOut(step) {
    const isLeft = this.#waiting.delete(step)
    if (isLeft) this.#running += 1
    return isLeft
  }

  /** @param {number} step @param {'success' | 'failure' | 'skipped'} outcome */
  end(step, outcome) {
    if (!this.#withdrawn.delete(step)) this.#running -= 1
    this.#ended += 1
    if (outcome === 'success') {
      for (const awaited of this.#awaits) awaited.delete(step)
      return []
    }
    const { stopOnError = false, type } = this.#plan.strategy
    const skipped = stopOnError && type !== 'serial' ? [...this.#waiting] : this.#dependentsOf(step)
    this.#withdraw(skipped)
    return skipped.map((step) => ({ step, isCaused: true }))
  }

  withdrawAll() {
    const left = [...this.#waiting]
    this.#withdraw(left)
    return left
  }

  ended() {
    return this.#ended
  }

  /** @param {number[]} steps */
  #withdraw(steps) {
    for (const step of steps) {
      this.#waiting.delete(step)
      this.#withdrawn.add(step)
    }
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

module.exports = { PlainSchedule, checkGraph }

'use strict'

// A plan on its way to Rust: its steps as executions of their own, and the functions that make their requests.

const { ExecutionError, messageOf } = require('./error')

const { stringify } = JSON

/** @typedef {import('./channel').Run} Run */

/**
 * @typedef {object} Submission
 * @property {string} plan as JSON
 * @property {Run[]} runs of its steps
 * @property {import('../binding').StepInput[]} inputs what of its steps is not in the JSON
 * @property {string | undefined} variables
 */

/** @typedef {import('./input').Source} Source */

/**
 * @typedef {object} Tools
 * @property {() => string} newId
 * @property {(request: unknown) => any} check is called for each request that a function makes
 * @property {(request: any) => { stdin: string | Uint8Array | undefined, source: Source | undefined }} takeInput
 * @property {(source: Source, token: number) => void} feed lets it feed the step with that token
 */

/**
 * What is sent of a plan that was checked. It is changed: what goes another way is taken out.
 *
 * @param {any} plan
 * @param {string | undefined} variables
 * @param {Tools} tools
 * @returns {{ submission: Submission, given: string[], sources: any[], make: Run['make'], some: Function | undefined }}
 */
function submissionOf(plan, variables, tools) {
  const { newId, takeInput } = tools
  const steps = keyedSteps(plan)
  const runs = []
  const inputs = []
  /** The runs that are fed. @type {Run[]} */
  const sources = []
  const given = []
  /** @type {Map<number, (results: any) => unknown>} */
  const functions = new Map()
  for (const [index, [key, step]] of steps.entries()) {
    if (step.request !== undefined) {
      const id = step.id ?? newId()
      if (step.id !== undefined) given.push(id)
      functions.set(index, step.request)
      inputs.push({ step: index, madeAs: id })
      step.request = null
      step.id = undefined
      runs.push(runOf(id, undefined, plan.id, key))
      continue
    }
    if (step.id === undefined) step.id = newId()
    else given.push(step.id)
    const { stdin, source } = takeInput(step)
    if (stdin !== undefined) inputs.push({ step: index, stdin })
    const run = { ...runOf(step.id, step.metadata, plan.id, key), source }
    if (source !== undefined) sources.push(run)
    runs.push(run)
  }
  const [some] = functions.values()
  const make = functions.size === 0 ? undefined : maker(functions, runs, plan.steps !== undefined, tools)
  return { submission: { plan: stringify(plan), runs, inputs, variables }, given, sources, make, some }
}

/** @param {any} step @param {number} index @returns {[number, any]} */
const numbered = (step, index) => [index, step]

/** The steps of a plan, each with its name or its index. @param {any} plan @returns {[key: string | number, step: any][]} */
const keyedSteps = (plan) =>
  plan.steps === undefined ? Array.from(plan.commands, numbered) : Object.entries(plan.steps)

/** What of a step is no request. */
const OF_STEP = new Set(['when', 'allowFailure', 'dependsOn'])

/** The request of a step, as it was passed. @param {any} step */
const requestOf = (step) => Object.fromEntries(Object.entries(step).filter(([key]) => !OF_STEP.has(key)))

/** The steps of a plan that was checked. @param {any} plan @returns {any[]} */
const stepsOf = (plan) => keyedSteps(plan).map(([, step]) => step)

/** @param {string} id @param {any} metadata @param {string} planId @param {string | number} step @returns {Run} */
const runOf = (id, metadata, planId, step) => /** @type {any} */ ({ id, metadata, planId, step })

/**
 * What makes the request of a step, from the results that were told until then.
 *
 * @param {Map<number, (results: any) => unknown>} functions
 * @param {Run[]} runs of all steps
 * @param {boolean} isNamed
 * @param {Tools} tools
 * @returns {NonNullable<Run['make']>}
 */
function maker(functions, runs, isNamed, { check, takeInput, feed }) {
  /** By index, those that have ended: each is made of its parts once, when it is first asked for. @type {(() => any)[]} */
  const ends = []
  for (const [index, run] of runs.entries()) run.ended = (make) => (ends[index] = once(make))
  return async (index) => {
    const results = isNamed ? { __proto__: null } : Array.from({ length: runs.length }, () => undefined)
    for (const [index, run] of runs.entries()) {
      const end = ends[index]
      if (end !== undefined) define(results, isNamed ? run.step : index, end)
    }
    const make = /** @type {(results: any) => unknown} */ (functions.get(index))
    const request = acceptable(check, await make(results))
    const run = /** @type {Run} */ (runs[index])
    run.metadata = request.metadata
    run.about = undefined
    const { stdin, source } = takeInput(request)
    if (source !== undefined) {
      run.source = source
      feed(source, /** @type {number} */ (run.token))
    }
    return { request: stringify(request), stdin }
  }
}

/** What a function has made, as it was checked. @param {(request: unknown) => any} check @param {unknown} made */
function acceptable(check, made) {
  try {
    const request = check(made)
    const { id } = request
    if (id === undefined) return request
    const message = `id: expected none, as the step has one already, found "${id}"`
    throw new ExecutionError('VALIDATION', message, { field: 'id' })
  } catch (error) {
    throw new Error(`the function returned what is not acceptable: ${messageOf(error)}`, { cause: error })
  }
}

/** @param {any} results @param {any} key @param {() => any} get */
const define = (results, key, get) => Object.defineProperty(results, key, { get, enumerable: true, configurable: true })

/** @template T @param {() => T} make @returns {() => T} */
function once(make) {
  /** @type {{ value: T } | undefined} */
  let made
  return () => (made ??= { value: make() }).value
}

module.exports = { acceptable, keyedSteps, requestOf, stepsOf, submissionOf }

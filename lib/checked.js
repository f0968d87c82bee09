'use strict'

// Checks requests and plans as an engine would, without one.

const { isUint8Array } = require('node:util').types
const check = require('./check')
const { fromFailure, seenFrom } = require('./error')
const { keyedSteps } = require('./plan')
const { stepId } = require('./plans/id')

const { parse, stringify } = JSON

// The addon is loaded when it is first needed.
const native = () => require('./native').NativeEngine
const environment = () => require('./environment')

/** @param {import('../binding').Answer} answer */
function unwrap(answer) {
  if (answer.failure) throw fromFailure(answer.failure)
  return parse(/** @type {string} */ (answer.json))
}

/**
 * @param {unknown} request
 * @param {import('../index').CheckOptions} [options]
 * @returns {import('../index').CheckedRequest}
 */
function checkRequest(request, options = {}) {
  try {
    const { config, patterns } = comparedWith(options)
    const checked = check.request(request, patterns)
    checked.id ??= native().newId()
    const told = unwrap(native().checkRequest(stringify(withoutInput(checked)), config, environment().variables()))
    return { id: told.id, command: told.command, secretFields: told.secret_fields }
  } catch (error) {
    throw seenFrom(error, checkRequest)
  }
}

/**
 * @param {unknown} plan
 * @param {import('../index').CheckOptions} [options]
 * @returns {import('../index').CheckedPlan}
 */
function checkPlan(plan, options = {}) {
  try {
    return checkCopy(check.plan(plan, comparedWith(options).patterns), options)
  } catch (error) {
    throw seenFrom(error, checkPlan)
  }
}

/**
 * The same for the copy of a plan whose shape was checked. It is changed: each step gets its id.
 *
 * @param {any} plan
 * @param {import('../index').CheckOptions} [options]
 * @returns {import('../index').CheckedPlan}
 */
function checkCopy(plan, options = {}) {
  const { config } = comparedWith(options)
  plan.id ??= native().newId()
  /** @type {import('../binding').StepInput[]} */
  const made = []
  const steps = keyedSteps(plan).map(([key, step], index) => {
    if (step.request === undefined) {
      step.id ??= stepId(plan.id, key)
      return [key, withoutInput({ __proto__: null, ...step })]
    }
    made.push({ step: index, madeAs: stepId(plan.id, key) })
    return [key, { __proto__: null, ...step, request: null }]
  })
  const sent = { __proto__: null, ...plan }
  if (plan.steps === undefined) sent.commands = steps.map(([, step]) => step)
  else sent.steps = withKeys(steps)
  const told = unwrap(native().checkPlan(stringify(sent), made, config, environment().variables()))
  return { id: told.id, steps: told.steps, secretFields: told.secret_fields }
}

/** @param {any[]} entries */
function withKeys(entries) {
  const record = Object.create(null)
  for (const [key, value] of entries) record[key] = value
  return record
}

/** What it is compared with. @param {import('../index').CheckOptions} options */
function comparedWith(options) {
  const { config: given } = check.checkOptions(options)
  if (given === undefined) return { config: undefined, patterns: defaultPatterns }
  const fields = check.config(given)
  fields.log_dir ??= environment().defaultLogDir()
  const config = stringify(fields)
  const failure = native().check(config)
  if (failure) throw fromFailure(failure)
  const own = fields.secret_env_patterns
  return { config, patterns: own === undefined ? defaultPatterns : () => Array.from(own) }
}

/** @returns {readonly string[]} */
const defaultPatterns = () => unwrap(native().defaultConfig()).secret_env_patterns

/** What a request reads is not looked at, but for whether it can be read again. It is changed. @param {any} request */
function withoutInput(request) {
  const { stdin } = request
  if (typeof stdin === 'string' || isUint8Array(stdin)) request.stdin = undefined
  else if (stdin instanceof require('./input').Source) request.stdin = { __proto__: null, open: true }
  return request
}

module.exports = { checkCopy, checkPlan, checkRequest }

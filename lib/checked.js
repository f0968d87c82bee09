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
const newId = () => native().newId()

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
    checked.id ??= newId()
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
    return preparedPlan(plan, options).told
  } catch (error) {
    throw seenFrom(error, checkPlan)
  }
}

/**
 * A plan, checked and with the ids of its steps.
 *
 * @param {unknown} plan
 * @param {import('../index').CheckOptions} [options]
 * @returns {{ checked: any, told: import('../index').CheckedPlan, json: string, made: import('../binding').StepInput[] }} the
 *   copy that was checked, what is told of it, and what the addon is given
 */
function preparedPlan(plan, options = {}) {
  const { config, patterns } = comparedWith(options)
  const checked = check.plan(plan, patterns)
  checked.id ??= newId()
  /** @type {import('../binding').StepInput[]} */
  const made = []
  const steps = keyedSteps(checked).map(([key, step], index) => {
    step.id ??= stepId(checked.id, key)
    if (step.request === undefined) return [key, withoutInput({ __proto__: null, ...step })]
    made.push({ step: index, madeAs: step.id })
    return [key, { __proto__: null, ...step, id: undefined, request: null }]
  })
  const sent = { __proto__: null, ...checked }
  if (checked.steps === undefined) sent.commands = steps.map(([, step]) => step)
  else sent.steps = withKeys(steps)
  const json = stringify(sent)
  const told = unwrap(native().checkPlan(json, made, config, environment().variables()))
  return { checked, told: { id: told.id, steps: told.steps, secretFields: told.secret_fields }, json, made }
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

/**
 * A text without the secrets of a request, and those that any has.
 *
 * @param {unknown} request which was checked
 * @param {string} text
 * @returns {string}
 */
const hide = (request, text) =>
  unwrap(native().hide(stringify(withoutInput(check.request(request))), text, environment().variables()))

module.exports = { checkPlan, checkRequest, defaultPatterns, hide, preparedPlan }

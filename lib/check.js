'use strict'

// Checks what users pass in: which keys there are, and of which kind, says `lib/schema.js`. What a value means (ranges
// that depend on the configuration, files, programs) is checked by the engine.

const {
  abortSignal,
  byKey,
  byType,
  bytes,
  callback,
  count,
  describe,
  flag,
  indicesOf,
  inheritEnv,
  integer,
  isObject,
  listOf,
  named,
  numberOfAtLeast,
  object,
  oneOf,
  path,
  oneOfOr,
  onlyOf,
  positive,
  recordOf,
  refuse,
  secretList,
  secretText,
  secretTexts,
  stdin,
  sizeOfAtLeast,
  tag,
  text,
  textSize,
  texts,
  umask,
  user,
  uuid,
  whileChecking,
  withOneOf,
  within,
} = require('./checkers')
const schema = require('./schema')

const { isArray } = Array

/** @typedef {import('./checkers').Checker} Checker */

/** The kinds of `lib/schema.js` that are no shapes. @type {Record<string, Checker>} */
const kinds = {
  text,
  flag,
  positive,
  count,
  integer,
  textSize,
  uuid,
  texts,
  secretTexts,
  secretList,
  path,
  inheritEnv,
  umask,
  user,
  stdin,
}

/**
 * The checker of a kind or a shape of `lib/schema.js`.
 *
 * @param {any} shape
 * @param {string} [name] what it is called where it has no path
 * @returns {Checker}
 */
function checkerOf(shape, name) {
  if (typeof shape === 'string') return /** @type {Checker} */ (kinds[shape])
  if (shape.list) return listOf(checkerOf(shape.list))
  if (shape.numberOfAtLeast) return numberOfAtLeast(shape.numberOfAtLeast)
  if (shape.atLeast) return sizeOfAtLeast(shape.atLeast)
  if (shape.within) return within(shape.within[0], shape.within[1])
  if (shape.or) return oneOfOr(shape.oneOf, checkersOf(shape.or.fields))
  if (shape.oneOf) return oneOf(...shape.oneOf)
  if (shape.named) return named(checkerOf(shape.named))
  if (shape.record) return recordOf(checkerOf(shape.record))
  if (shape.indices) return indicesOf(checkerOf(shape.indices))
  if (shape.fields) return object(checkersOf(shape.fields), shape.expected, { name })
  const types = Object.entries(shape.types).map(([type, { fields }]) => {
    return [type, object({ type: tag, ...checkersOf(fields) }, shape.expected)]
  })
  return byType(Object.fromEntries(types), shape.expected)
}

/** @param {Record<string, any>} fields @returns {Record<string, Checker>} */
const checkersOf = (fields) => Object.fromEntries(Object.entries(fields).map(([key, field]) => [key, checkerOf(field)]))

/**
 * A step of a plan: a request, or a function that makes one, and what the step says besides.
 *
 * @param {{ fields: Record<string, any> }} options
 */
function stepOf({ fields }) {
  const { expected } = schema.request
  const known = checkerOf({ expected, fields: { ...schema.request.fields, ...fields } })
  const { 'id?': id } = schema.request.fields
  return byKey('request', object({ request: callback, ...checkersOf({ 'id?': id, ...fields }) }, expected), known)
}

const request = checkerOf(schema.request)
kinds.step = stepOf(schema.stepOptions)
kinds.namedStep = stepOf(schema.namedStepOptions)
const plan = withOneOf(
  ['commands', 'steps', 'strategy'],
  Object.keys(schema.indexedPlan.fields).map((key) => key.replace('?', '')),
  byKey('steps', checkerOf(schema.namedPlan, 'plan'), checkerOf(schema.indexedPlan, 'plan')),
  'a plan object with "commands" and a "strategy", or with named "steps"',
  'plan',
)
const filter = checkerOf(schema.filter, 'filter')
const config = checkerOf(schema.config)

/** For what never reaches Rust as a whole. */
const ofJavaScript = { spell: (/** @type {string} */ key) => key }

/** @type {Record<string, Checker>} */
const optionsOfAll = {
  'onStdout?': callback,
  'onStderr?': callback,
  'onStdoutBytes?': callback,
  'onStderrBytes?': callback,
  'onEvent?': callback,
  'signal?': abortSignal,
}

const ofOthers = { ...optionsOfAll, 'throwOnFailure?': onlyOf('`run`') }
const options = object(ofOthers, 'an options object', ofJavaScript)
const runOptions = object({ ...optionsOfAll, 'throwOnFailure?': flag }, 'an options object', ofJavaScript)

const streamOptions = object(
  { 'signal?': abortSignal, 'throwOnFailure?': onlyOf('`run`') },
  'an options object',
  ofJavaScript,
)
const tailOptions = object({ 'maxBytes?': textSize }, 'an options object', ofJavaScript)
const pageShape = object({ 'from?': count, 'fromLine?': count, 'limit?': positive }, 'an options object', ofJavaScript)
/** @type {Checker} */
const pageOptions = (value, path, code) => {
  const options = pageShape(value, path, code)
  if (options.from === undefined || options.fromLine === undefined) return options
  return refuse(`${path}.fromLine`, 'either this or "from"', 'both', code)
}
const followOptions = object(
  { 'from?': count, 'wait?': flag, 'signal?': abortSignal },
  'an options object',
  ofJavaScript,
)
/** What is checked later, as what it is. @type {Checker} */
const anything = (value) => value

const checkOptions = object({ 'config?': anything }, 'an options object', ofJavaScript)
/** @type {Checker} */
const list = (value, path, code) => (isArray(value) ? [...value] : refuse(path, 'an array', describe(value), code))

const planRunOptions = object(
  { run: callback, 'onEvent?': callback, 'signal?': abortSignal, 'acceptedAt?': count, 'results?': list },
  'an options object',
  ofJavaScript,
)
const removeOptions = object({ 'logs?': flag }, 'an options object', ofJavaScript)

module.exports = {
  /** @param {unknown} value @param {() => readonly string[]} [patterns] names of variables that are secret */
  request: (value, patterns) => whileChecking(value, () => request(value, '', 'VALIDATION'), patterns),
  /**
   * The request that was made for a step of a plan, which was checked.
   *
   * @param {unknown} value
   * @param {any} plan
   * @param {() => readonly string[]} [patterns]
   */
  madeRequest: (value, { secrets, secret_env: secretEnv }, patterns) =>
    whileChecking({ secrets, secretEnv, commands: [value] }, () => request(value, '', 'VALIDATION'), patterns),
  /** @param {unknown} value @param {() => readonly string[]} [patterns] */
  plan: (value, patterns) => whileChecking(value, () => plan(value, '', 'VALIDATION'), patterns),
  /** @param {unknown} value */
  filter: (value) => filter(value, '', 'VALIDATION'),
  /** @param {unknown} value */
  config: (value) => config(value, value === undefined || isObject(value) ? '' : 'config', 'INVALID_CONFIG'),
  /** @param {unknown} value @returns {import('../index').ExecuteOptions} */
  options: (value) => options(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {import('../index').RunOptions} */
  runOptions: (value) => runOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {{ signal?: AbortSignal }} */
  streamOptions: (value) => streamOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {{ maxBytes?: number }} */
  tailOptions: (value) => tailOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {{ from?: number, fromLine?: number, limit?: number }} */
  pageOptions: (value) => pageOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {{ from?: number, wait?: boolean, signal?: AbortSignal }} */
  followOptions: (value) => followOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {import('../plans').PlanRunOptions} */
  planRunOptions: (value) => planRunOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {{ config?: unknown }} */
  checkOptions: (value) => checkOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {{ logs?: boolean }} */
  removeOptions: (value) => removeOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {string | Uint8Array} */
  data: (value) => bytes(value, 'data', 'VALIDATION'),
  /** @param {unknown} value @returns {string} */
  id: (value) => uuid(value, 'id', 'VALIDATION'),
  /** @param {unknown} value @returns {string} */
  planId: (value) => uuid(value, 'planId', 'VALIDATION'),
  /** @param {unknown} value @returns {string | undefined} */
  reason: (value) => (value === undefined ? undefined : text(value, 'reason', 'VALIDATION')),
  /** @param {unknown} value @returns {number | undefined} */
  leaseMs: (value) => (value === undefined ? undefined : positive(value, 'leaseMs', 'VALIDATION')),
  /** @param {unknown} value @returns {string} */
  secret: (value) => secretText(value, 'value', 'VALIDATION'),
  /** @param {unknown} value */
  callback: (value) => callback(value, 'handler', 'VALIDATION'),
}

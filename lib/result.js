'use strict'

// From the JSON of Rust, with its names, to what TypeScript sees.

const { readJson } = require('./json')
const { readAttempt, readLogPage, readPlanResult, readResult, readSummary } = require('./told')

/**
 * The order in which both streams of a result were read, if both have printed.
 *
 * @type {WeakMap<object, [stdout: number, stderr: number][]>}
 */
const orders = new WeakMap()

/** @type {PropertyDescriptor & ThisType<import('../index').ExecutionResult>} */
const all = {
  get() {
    return merged(orders.get(this) ?? [], this.stdout, this.stderr)
  },
  configurable: true,
}

const json = {
  /** @this {import('../index').ExecutionResult} */
  value() {
    return readJson(this)
  },
  configurable: true,
  writable: true,
}

/**
 * A result with what is no part of its data: it is not copied, compared or sent along. Defined one by one, which takes half
 * the time of both at once.
 *
 * @param {any} result
 * @returns {import('../index').ExecutionResult}
 */
const withMembers = (result) => Object.defineProperty(Object.defineProperty(result, 'all', all), 'json', json)

/**
 * What was printed comes apart from the JSON: both streams as text, and as bytes where that is asked for.
 *
 * @param {string} json
 * @param {string} stdout
 * @param {string} stderr
 * @param {Buffer} [stdoutBytes]
 * @param {Buffer} [stderrBytes]
 * @returns {import('../index').ExecutionResult}
 */
function toResult(json, stdout, stderr, stdoutBytes, stderrBytes) {
  const found = JSON.parse(json)
  // Whoever gets another copy of the result may change the bytes of this one.
  const bytes =
    stdoutBytes && stderrBytes ? { stdout: Buffer.from(stdoutBytes), stderr: Buffer.from(stderrBytes) } : null
  const result = withMembers(readResult(found, stdout, stderr, bytes))
  if (found.output_order !== undefined) orders.set(result, found.output_order)
  return result
}

/** One of the attempts of an execution. @param {string} json @returns {import('../index').ExecutionAttempt} */
const toAttempt = (json) => readAttempt(JSON.parse(json))

/**
 * Both streams in the order in which they were read.
 *
 * @param {[stdout: number, stderr: number][]} order how many bytes of each, turn by turn
 * @param {string} stdout
 * @param {string} stderr
 */
function merged(order, stdout, stderr) {
  // Of ASCII, bytes are units of the string; of anything else they have to be counted.
  const texts = [stdout, stderr].map((text) => (Buffer.byteLength(text) === text.length ? text : Buffer.from(text)))
  const places = [0, 0]
  /** @param {number} stream @param {number} [length] */
  const take = (stream, length = Infinity) => {
    const text = /** @type {string | Buffer} */ (texts[stream])
    const start = /** @type {number} */ (places[stream])
    const end = Math.min(start + length, text.length)
    places[stream] = end
    return typeof text === 'string' ? text.slice(start, end) : text.toString('utf8', start, end)
  }
  let all = ''
  for (const [stdout, stderr] of order) all += take(0, stdout) + take(1, stderr)
  return all + take(0) + take(1)
}

/**
 * @param {any[]} parts the result without those of the steps, and those, in five parts each
 * @returns {import('../index').PlanExecutionResult}
 */
function toPlanResult([json, ...steps]) {
  const results = []
  for (let i = 0; i < steps.length; i += 5) {
    const [result, stdout, stderr, ...bytes] = steps.slice(i, i + 5)
    results.push(toResult(result, stdout, stderr, ...bytes))
  }
  return readPlanResult(JSON.parse(json), results)
}

/**
 * @param {any} found
 * @returns {import('../index').ExecutionSummary}
 */
const toSummary = (found) => readSummary(found)

/**
 * @param {string} json
 * @returns {import('../index').LogPage}
 */
const toLogPage = (json) => /** @type {any} */ (readLogPage(JSON.parse(json)))

/**
 * @param {any} found
 * @returns {Required<import('../index').ExecutionConfig>}
 */
function toConfig(found) {
  return /** @type {any} */ (
    Object.freeze(
      Object.fromEntries(
        Object.entries(found).map(([key, value]) => [
          key.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()),
          // A list is as little to be changed as the rest.
          Object.freeze(value),
        ]),
      ),
    )
  )
}

module.exports = { toAttempt, toLogPage, toPlanResult, toResult, toSummary, toConfig, withMembers }

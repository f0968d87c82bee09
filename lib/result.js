'use strict'

// From the JSON of Rust, with its names, to what TypeScript sees.

const { readJson } = require('./json')
const { readPlanResult, readResult, readSummary } = require('./told')

/**
 * @param {string} json
 * @param {string} stdout
 * @param {string} stderr
 */
const toResult = (json, stdout, stderr) => withMembers(readResult(JSON.parse(json), stdout, stderr))

const json = {
  /** @this {import('../index').ExecutionResult} */
  value() {
    return readJson(this)
  },
  configurable: true,
  writable: true,
}

/**
 * A result with what is no part of its data: it is not copied, compared or sent along.
 *
 * @param {any} result
 * @returns {import('../index').ExecutionResult}
 */
const withMembers = (result) => Object.defineProperty(result, 'json', json)

/**
 * @param {string[]} parts the result without those of the steps, and those, in three parts each
 * @returns {import('../index').PlanExecutionResult}
 */
function toPlanResult([json, ...steps]) {
  const results = []
  for (let i = 0; i < steps.length; i += 3) results.push(toResult(steps[i], steps[i + 1], steps[i + 2]))
  return readPlanResult(JSON.parse(json), results)
}

/**
 * @param {any} found
 * @returns {import('../index').ExecutionSummary}
 */
const toSummary = (found) => readSummary(found)

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
          value,
        ]),
      ),
    )
  )
}

module.exports = { toPlanResult, toResult, toSummary, toConfig, withMembers }

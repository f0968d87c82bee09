// What test runners report, which Vitest and Jest write alike.

import { readFileSync } from 'node:fs'

/** @typedef {{ passed: number, failed: number, skipped: number }} Count */

// As much of a failure as is told again in the end: the whole of it stands where the test ran.
const LINES_OF_A_FAILURE = 12

/** The arguments of Node that run Vitest and have it write a report. @param {string[]} more @returns {(report: string) => string[]} */
export const vitest =
  (...more) =>
  (report) => [
    'node_modules/vitest/vitest.mjs',
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${report}`,
    ...more,
  ]

/** @param {string} report @returns {Count} */
export function countIn(report) {
  const found = JSON.parse(readFileSync(report, 'utf8'))
  const skipped = found.numPendingTests + found.numTodoTests
  return { passed: found.numPassedTests, failed: found.numFailedTests, skipped }
}

/** @param {Count} count */
export const words = ({ passed, failed, skipped }) =>
  `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`

/**
 * What failed, for the end of the run: a line for each test and the first ones of why, each beginning with `failed:`.
 *
 * @param {string} report
 * @returns {string[]}
 */
export function failuresIn(report) {
  const files = JSON.parse(readFileSync(report, 'utf8')).testResults
  return files.flatMap((/** @type {any} */ file) => {
    const tests = file.assertionResults.filter((/** @type {any} */ test) => test.status === 'failed')
    // A file that could not be read has no tests.
    if (tests.length === 0 && file.status === 'failed') return failure(file.name, file.message ?? '')
    return tests.flatMap((/** @type {any} */ test) =>
      failure(`${file.name}: ${test.fullName}`, test.failureMessages.join('\n')),
    )
  })
}

/**
 * A failure as it is told again in the end.
 *
 * @param {string} name
 * @param {string} why
 */
export function failure(name, why) {
  const lines = why.split('\n').filter((line) => line.trim() !== '')
  return [name, ...lines.slice(0, LINES_OF_A_FAILURE).map((line) => `    ${line}`)].map((line) => `failed: ${line}`)
}

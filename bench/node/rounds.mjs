// Takes the samples of a row, round by round: A B C A B C, so that a busy minute meets all contenders alike.

/**
 * @typedef {object} Measured
 * @property {import('./rows/types.mjs').Row} row
 * @property {Record<string, import('./sample.mjs').Sample[]>} samples of each contender, by round
 * @property {Record<string, string>} missing contenders without samples, and why
 */

/**
 * @param {import('./rows/types.mjs').Row} row
 * @param {number} rounds
 * @returns {Measured}
 */
export function measureRow(row, rounds) {
  /** @type {Measured['samples']} */
  const samples = {}
  /** @type {Measured['missing']} */
  const missing = {}
  for (let round = 0; round < rounds; round++) {
    for (const [name, take] of Object.entries(row.contenders)) {
      if (take === undefined) missing[name] = 'not installed'
      if (take === undefined || name in missing) continue
      try {
        ;(samples[name] ??= []).push(take())
      } catch (error) {
        delete samples[name]
        missing[name] = `failed: ${/** @type {Error} */ (error).message}`
      }
    }
  }
  return { row, samples, missing }
}

/** @param {import('./rows/types.mjs').Row} row @param {string} why @returns {Measured} */
export const skippedRow = (row, why) => ({
  row,
  samples: {},
  missing: Object.fromEntries(Object.keys(row.contenders).map((name) => [name, why])),
})

/** Whether samples are missing because something went wrong. @param {string} why */
export const isFailure = (why) => why.startsWith('failed: ')

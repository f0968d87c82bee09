// Whether a target was reached.

import { own } from './rows/types.mjs'
import { median, ratio } from './statistics.mjs'

/** @param {import('./sample.mjs').Sample[]} samples @param {string} field */
export const valuesOf = (samples, field) => samples.map((sample) => /** @type {number} */ (sample[field]))

/**
 * What a target asks for, what was found, and whether that reaches it; `undefined` where it could not be measured.
 *
 * @param {import('./rows/types.mjs').Target} target
 * @param {string} field that of the metric
 * @param {import('./rounds.mjs').Measured['samples']} samples
 */
export function judge(target, field, samples) {
  const mine = samples[own]
  if (mine === undefined) return undefined
  if ('versus' in target) {
    const others = samples[target.versus]
    if (others === undefined) return undefined
    const found = ratio(valuesOf(mine, field), valuesOf(others, field))
    return { versus: target.versus, asked: `≥ ${target.atLeast}`, found, reached: found >= target.atLeast }
  }
  const found = median(valuesOf(mine, target.field))
  if ('below' in target) {
    return { versus: own, asked: `< ${target.below} ${target.unit}`, found, reached: found < target.below }
  }
  const reached = mine.every((sample) => sample[target.field] === sample[target.sameAs])
  return { versus: own, asked: 'the same', found, reached }
}

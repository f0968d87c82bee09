'use strict'

// The id of a step that has none of its own: the same whenever the same plan is looked at.

const { createHash } = require('node:crypto')

/**
 * A UUID of version 5, of the plan's id and the name or the index of the step.
 *
 * @param {string} planId
 * @param {string | number} step
 */
function stepId(planId, step) {
  const namespace = Buffer.from(planId.replaceAll('-', ''), 'hex')
  const bytes = createHash('sha1').update(namespace).update(String(step)).digest().subarray(0, 16)
  bytes[6] = /** @type {number} */ (bytes[6] & 0x0f) | 0x50
  bytes[8] = /** @type {number} */ (bytes[8] & 0x3f) | 0x80
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}

module.exports = { stepId }

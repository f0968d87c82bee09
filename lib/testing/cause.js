'use strict'

// Why an execution is ended before its time, in the words of an engine.

const { unstartedBy } = require('../plans/driver')

/** @typedef {import('../plans/driver').End} End */

/**
 * `isLast`: whether no other attempt may follow. `isWhole`: whether its words say already what it came before.
 *
 * @typedef {End & { isLast?: boolean, isWhole?: boolean }} Cause
 */

/** @param {string} [reason] @returns {Cause} */
const cancelled = (reason) => ({ status: 'cancelled', error: 'cancelled', reason, isLast: true })

/** @param {number} ms @returns {Cause} */
const timedOut = (ms) => ({ status: 'timeout', error: `timed out after ${ms} ms` })

/** @param {number} ms @returns {Cause} */
const silent = (ms) => ({
  status: 'timeout',
  error: `timed out because it printed nothing for ${ms} ms`,
  errorCode: 'IDLE',
})

/** @param {string} message @returns {Cause} */
const lost = (message) => ({
  status: 'failed',
  error: `ended because ${message}`,
  errorCode: 'LEASE_LOST',
  isLast: true,
})

const leaseLost = () => lost('its lease was not renewed in time')

/** @param {string} why @returns {Cause} */
const skipped = (why) => ({ status: 'skipped', error: `skipped because ${why}`, isLast: true, isWhole: true })

/** Why its plan ends a step. @param {import('../plans/driver').Cause} cause @param {boolean} hasBegun @returns {Cause} */
function ofPlan(cause, hasBegun) {
  if (!hasBegun) return { ...unstartedBy(cause), isLast: true, isWhole: true }
  const { kind, message, reason } = cause
  if (kind === 'cancel') return cancelled(reason)
  return kind === 'lease' ? lost(message) : { status: 'timeout', error: message, isLast: true }
}

/** The same, where it comes before something was started. @param {Cause} cause @param {string} [what] @returns {Cause} */
function before(cause, what = 'it') {
  if (cause.isWhole) return cause
  const comma = cause.status === 'cancelled' ? '' : ','
  return { ...cause, error: `${cause.error}${comma} before ${what} was started` }
}

/** What it makes of a result. @param {End} end */
const endOf = ({ status, error, errorCode, reason }) => ({
  status,
  success: false,
  error,
  errorCode: errorCode ?? null,
  cancelReason: reason ?? null,
})

module.exports = { before, cancelled, endOf, leaseLost, ofPlan, silent, skipped, timedOut }

'use strict'

// Plans whose steps somebody else runs.

const check = require('./lib/check')
const { seenFrom } = require('./lib/error')
const { stepId: idOf } = require('./lib/plans/id')
const { PlanRun } = require('./lib/plans/run')

/** @param {string} planId @param {string | number} step */
function stepId(planId, step) {
  try {
    return idOf(check.planId(planId), step)
  } catch (error) {
    throw seenFrom(error, stepId)
  }
}

/** @type {typeof import('./plans')} */
module.exports = { PlanRun, stepId }

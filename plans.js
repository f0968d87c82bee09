'use strict'

// Plans whose steps somebody else runs.

const check = require('./lib/check')
const { stepId } = require('./lib/plans/id')
const { PlanRun } = require('./lib/plans/run')

/** @type {typeof import('./plans')} */
module.exports = { PlanRun, stepId: (planId, step) => stepId(check.planId(planId), step) }

'use strict'

const { valueOf } = require('../shape')

/**
 * How a plan ended.
 *
 * @param {{ plan: any, status: import('../../index').FinalStatus, results: import('../../index').ExecutionResult[], totalDurationMs: number }} end
 * @returns {import('../../index').PlanExecutionResult}
 */
function planResult({ plan, status, results, totalDurationMs }) {
  const stats = valueOf('ExecutionStats', { total: results.length })
  for (const { status } of results) stats[status] += 1
  return valueOf('PlanExecutionResult', {
    planId: plan.id,
    description: plan.description,
    status,
    success: status === 'completed',
    results,
    totalDurationMs,
    stats,
  })
}

module.exports = { planResult }

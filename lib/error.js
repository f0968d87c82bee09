'use strict'

/** Why the engine refused a call. What happens to a process is never an error: it is in the result. */
class ExecutionError extends Error {
  /**
   * @param {import('../index').ErrorCode} code
   * @param {string} message
   * @param {{ field?: string, executionId?: string }} [about]
   */
  constructor(code, message, about = {}) {
    super(message)
    this.name = 'ExecutionError'
    this.code = code
    if (about.field !== undefined) this.field = about.field
    if (about.executionId !== undefined) this.executionId = about.executionId
  }
}

/**
 * An error that crossed from Rust as data.
 *
 * @param {{ code: string, message: string, field?: string, executionId?: string }} failure
 */
function fromFailure(failure) {
  const code = /** @type {import('../index').ErrorCode} */ (failure.code)
  return new ExecutionError(code, failure.message, failure)
}

module.exports = { ExecutionError, fromFailure }

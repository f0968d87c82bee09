'use strict'

const { describeEnd } = require('./describe')

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

/** An execution that did not succeed, where its caller has asked for an error. */
class ExecutionFailedError extends Error {
  /** @param {import('../index').ExecutionResult} result */
  constructor(result) {
    super(describeEnd(result))
    this.name = 'ExecutionFailedError'
    this.result = result
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

/**
 * What somebody else's code threw, in words.
 *
 * @param {any} error
 * @returns {string}
 */
function messageOf(error) {
  try {
    const message = error?.message
    return typeof message === 'string' && message !== '' ? message : String(error)
  } catch {
    return 'something without words was thrown'
  }
}

/**
 * Lets what a method throws begin at the line of its caller: the frames of the library say nothing to it, and leave no
 * room for its own.
 *
 * @param {unknown} error
 * @param {Function} method which runs
 */
function seenFrom(error, method) {
  if (error instanceof ExecutionError || error instanceof ExecutionFailedError) Error.captureStackTrace?.(error, method)
  return error
}

/**
 * Makes methods of a class asynchronous: what they throw, and what their promises reject with, rejects, seen from the
 * caller.
 *
 * @param {any} prototype
 * @param {string[]} names
 */
function makeAsync(prototype, names) {
  for (const name of names) {
    const method = prototype[name]
    const { [name]: outer } = {
      async [name](/** @type {unknown} */ first, /** @type {unknown} */ second) {
        try {
          return await method.call(this, first, second)
        } catch (error) {
          throw seenFrom(error, /** @type {any} */ (outer))
        }
      },
    }
    Object.defineProperty(prototype, name, { value: outer })
  }
}

module.exports = { ExecutionError, ExecutionFailedError, fromFailure, makeAsync, messageOf, seenFrom }

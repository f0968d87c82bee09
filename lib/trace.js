'use strict'

// Tells tracers of executions and plans, through a tracing channel of Node. Where nobody listens, that costs a look.

const { tracingChannel } = require('node:diagnostics_channel')

const { hasOwn, keys } = Object

/** @typedef {import('../index').ExecutionTrace} ExecutionTrace */

const { start, end, asyncStart, asyncEnd, error } = tracingChannel('escher.execution')
const channels = [start, end, asyncStart, asyncEnd, error]

/** Whether anybody listens. (The channel as a whole tells that only on newer versions of Node.) */
const isTraced = () => channels.some((channel) => channel.hasSubscribers)

/**
 * Submits something, and tells of it as `tracePromise` does: `start` and `end` around the call, `asyncStart` and
 * `asyncEnd` once the result is there, `error` if it was refused.
 *
 * @param {import('./channel').Run} run
 * @param {Pick<ExecutionTrace, 'kind' | 'commandType' | 'metadata'>} what
 * @param {(variables: Record<string, string>) => void} submit is given what tracers want commands to have
 */
function trace(run, what, submit) {
  const { ended, refused } = run
  /** @type {ExecutionTrace} */
  const context = { id: run.id, ...what, env: {} }
  const settle = () => {
    asyncStart.publish(context)
    asyncEnd.publish(context)
  }
  /** @param {any} reason */
  const fail = (reason) => {
    context.error = reason
    error.publish(context)
  }
  run.ended = (make) => {
    context.result = make()
    settle()
    ended?.(make)
  }
  run.refused = (reason) => {
    fail(reason)
    settle()
    refused(reason)
  }
  start.runStores(context, () => {
    try {
      submit(context.env)
    } catch (reason) {
      fail(reason)
      throw reason
    } finally {
      end.publish(context)
    }
  })
}

/**
 * Gives a request, as it was checked, the variables that tracers want it to have, unless it has them already.
 *
 * @param {any} request
 * @param {Record<string, unknown>} variables
 */
function addVariables(request, variables) {
  for (const name of keys(variables)) {
    const value = variables[name]
    if (typeof value !== 'string') continue
    request.env ??= {}
    if (!hasOwn(request.env, name)) request.env[name] = value
  }
}

module.exports = { addVariables, isTraced, trace }

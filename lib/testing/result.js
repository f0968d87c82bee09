'use strict'

// Results as an engine makes them, for tests.

const { randomUUID } = require('node:crypto')
const { withMembers } = require('../result')
const { iso } = require('../time')
const { keysOf, valueOf } = require('../shape')

/** @typedef {import('../../index').ExecutionResult} ExecutionResult */
/** @typedef {import('../../index').FinalStatus} FinalStatus */
/** @typedef {Record<string, any>} Given */

/** A process id that no system gives out. */
const PID = 4_000_000_000

/**
 * A whole result: what is not given follows from what is.
 *
 * @param {Given} [overrides]
 * @returns {ExecutionResult}
 */
function fakeResult(overrides = {}) {
  const known = keysOf('ExecutionResult')
  for (const key of Object.keys(overrides)) {
    if (!known.includes(key)) throw new TypeError(`fakeResult: expected a field of a result, found "${key}"`)
  }
  const given = Object.fromEntries(Object.entries(overrides).filter(([, value]) => value !== undefined))
  const status = statusOf(given)
  const result = valueOf('ExecutionResult', { ...derived(status, given), ...given })
  const fault = faultOf(result)
  if (fault !== undefined) throw new TypeError(`fakeResult: ${fault}`)
  return withMembers(result)
}

/** @param {Given} given @returns {FinalStatus} */
function statusOf({ status, success, exitCode, signal, errorCode }) {
  if (status !== undefined) return status
  if (success !== undefined) return success ? 'completed' : 'failed'
  return exitCode || exitCode === null || signal || errorCode ? 'failed' : 'completed'
}

/** @param {FinalStatus} status @param {Given} given @returns {Given} */
function derived(status, given) {
  const { stdout = '', stderr = '', durationMs = 0, errorCode } = given
  const wasStarted = given['startedAt'] !== null && status !== 'skipped' && errorCode !== 'SPAWN_FAILED'
  const completedAt = given['completedAt'] ?? iso(Date.now())
  const end = wasStarted ? endOf(status, given) : { exitCode: null, signal: null }
  return {
    id: randomUUID(),
    status,
    success: status === 'completed',
    ...end,
    stdoutBytes: Buffer.byteLength(stdout),
    stderrBytes: Buffer.byteLength(stderr),
    command: 'true',
    pid: wasStarted ? PID : null,
    startedAt: wasStarted ? iso(Date.parse(completedAt) - durationMs) : null,
    completedAt,
    error: errorOf(status, { ...end, ...given }),
    attempts: [],
  }
}

/** The exit code and the signal. @param {FinalStatus} status @param {Given} given */
function endOf(status, { exitCode, signal }) {
  if (status === 'completed') return { exitCode: exitCode ?? 0, signal: null }
  const code = exitCode ?? (status === 'failed' && signal === undefined && exitCode !== null ? 1 : null)
  return { exitCode: code, signal: signal ?? (code === null && status !== 'failed' ? 'SIGTERM' : null) }
}

/** @param {FinalStatus} status @param {Given} given */
function errorOf(status, { exitCode, signal, durationMs = 0, errorCode }) {
  if (status === 'completed') return null
  if (status === 'cancelled') return 'cancelled'
  if (status === 'timeout') return `timed out after ${durationMs} ms`
  if (status === 'skipped') return 'skipped because commands[0] failed: exited with code 1'
  if (errorCode === 'SPAWN_FAILED') return 'could not be started'
  return signal ? `ended by ${signal}` : `exited with code ${exitCode}`
}

/** What no result of an engine says. @param {ExecutionResult} result */
function faultOf({ status, success, exitCode, signal, errorCode }) {
  if (success !== (status === 'completed')) return `expected success where status is "completed", found ${status}`
  if (success && exitCode === null) return 'expected an exit code of what has completed, found none'
  if (exitCode !== null && signal !== null) return `expected an exit code or a signal, found ${exitCode} and ${signal}`
  if (errorCode === 'SPAWN_FAILED' && exitCode !== null) return 'expected no exit code of what never ran, found one'
  return undefined
}

module.exports = { PID, fakeResult }

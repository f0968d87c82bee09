'use strict'

// The attempts of an execution: whether and when another one follows, and what they come to together.

const { withMembers } = require('../result')
const { defaultsOf, valueOf } = require('../shape')
const { iso } = require('../time')

/** @typedef {import('../../index').ExecutionResult} ExecutionResult */
/** @typedef {import('../../index').ExecutionAttempt} ExecutionAttempt */
/** @typedef {import('../../index').Retry} Retry */

/** With these no other attempt follows. @type {Set<unknown>} */
const FINAL_CODES = new Set(['OUTPUT_SIZE_EXCEEDED', 'INVALID_STEP', 'LEASE_LOST', 'WORKER_LOST'])

/** The longest delay where nothing else is said, in milliseconds. */
const DEFAULT_MAX_DELAY_MS = 30_000

/** How one ended. @param {ExecutionResult} result @returns {ExecutionAttempt} */
const attemptOf = (result) => valueOf('ExecutionAttempt', /** @type {any} */ (result))

class Attempts {
  #retry
  /** The same, with what holds where it says nothing. @type {any} */
  #rules
  /** @type {ExecutionAttempt[]} */
  #all = []
  /** The first one that was started. @type {ExecutionResult | undefined} */
  #first
  #beganAt = 0
  /** How much longer they took, by what their scripts say, than time has passed. */
  #ahead = 0

  /** @param {Retry | undefined} retry */
  constructor(retry) {
    this.#retry = retry
    const said = Object.entries(retry ?? {}).filter(([, value]) => value !== undefined)
    this.#rules = { ...defaultsOf('Retry'), ...Object.fromEntries(said) }
  }

  /** The number of the next one. */
  get next() {
    return this.#all.length + 1
  }

  /** @param {ExecutionResult} result of one that has ended @param {number | undefined} startedAt */
  note(result, startedAt) {
    this.#all.push(attemptOf(result))
    if (startedAt === undefined) return
    if (this.#first === undefined) this.#beganAt = startedAt
    this.#first ??= result
    this.#ahead += result.durationMs - (Date.now() - startedAt)
  }

  /** Whether another one follows the last. @param {ExecutionResult} last @param {import('./cause').Cause | undefined} cause of its end */
  goOn(last, cause) {
    if (this.#retry === undefined || this.next > this.#retry.attempts || cause?.isLast) return false
    const { status, errorCode, survivors } = last
    const mayFollow = status === 'timeout' || (status === 'failed' && !FINAL_CODES.has(errorCode))
    // What could not be ended would run beside its successor.
    return mayFollow && survivors.length === 0 && this.#names(last)
  }

  /** @param {ExecutionResult} last */
  #names({ status, exitCode }) {
    const codes = this.#retry?.exitCodes
    return codes === undefined || (status === 'failed' && exitCode !== null && codes.includes(exitCode))
  }

  /** How long the next one waits, in milliseconds. */
  delay() {
    const { delayMs, backoff, jitter, maxDelayMs } = this.#rules
    if (delayMs === 0) return 0
    const longest = maxDelayMs ?? Math.max(DEFAULT_MAX_DELAY_MS, delayMs)
    const delay = Math.min(delayMs * backoff ** (this.#all.length - 1), longest)
    return Math.round(jitter ? delay * (0.5 + Math.random() / 2) : delay)
  }

  /** How the last one ended, as an event tells it. */
  get ended() {
    return /** @type {ExecutionAttempt} */ (this.#all.at(-1))
  }

  /** The result of the last one as that of all. @param {ExecutionResult} last @returns {ExecutionResult} */
  sumUp(last) {
    if (this.#retry === undefined) return last
    // A script may say that there were others.
    const attempts = last.attempts.length > 0 ? last.attempts : this.#all
    const result = { ...last, attempts, completedAt: iso(Date.now()) }
    if (this.#first !== undefined) {
      const { startedAt, queuedMs } = this.#first
      const durationMs = Date.now() - this.#beganAt + this.#ahead
      Object.assign(result, { startedAt, queuedMs, durationMs })
    }
    return withMembers(result)
  }
}

module.exports = { Attempts }

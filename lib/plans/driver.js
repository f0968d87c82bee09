'use strict'

// Has the steps of a plan run by somebody else, each when its turn has come, and tells how the plan has ended. Which step
// is next says a schedule; how one is run, stopped and told of says a host.

const { iso } = require('../time')
const { after } = require('../timer')
const { pathOf } = require('./path')
const { planResult } = require('./result')

/** @typedef {import('../../index').ExecutionResult} ExecutionResult */
/** @typedef {import('../../index').PlanExecutionResult} PlanExecutionResult */

/**
 * Which step may begin next. `NativeSchedule` is one.
 *
 * @typedef {object} Schedule
 * @property {() => Skip[]} begin
 * @property {() => { step: number, isToMake: boolean } | null | undefined} next the step counts as running from here on
 * @property {(step: number, priority: number) => void} hasMade
 * @property {(step: number) => boolean} takeOut whether it had not started, and is to be ended at once
 * @property {(step: number, outcome: any) => Skip[]} end
 * @property {() => number[]} withdrawAll
 * @property {() => number} ended how many
 */

/** A step that will never run, because of the one that has ended, or as nothing has failed. @typedef {{ step: number, isCaused: boolean }} Skip */

/** @typedef {{ key: string | number, mayFail: boolean }} Step */

/** Why a step that runs is to end. @typedef {{ kind: 'cancel' | 'deadline' | 'lease', message: string, reason?: string | undefined }} Cause */

/**
 * The end of a step that never started.
 *
 * @typedef {object} End
 * @property {Exclude<import('../../index').FinalStatus, 'completed'>} status
 * @property {string} error
 * @property {NonNullable<import('../../index').Result['errorCode']>} [errorCode]
 * @property {string | undefined} [reason] of a cancel
 */

/**
 * @typedef {object} Host
 * @property {(step: number) => Promise<ExecutionResult>} run rejects where it cannot be known how it ends
 * @property {(step: number, results: any) => Promise<{ priority: number }>} make makes the request of a step
 * @property {(step: number, cause: Cause) => void} stop asks a step that runs to end
 * @property {(step: number, end: End) => ExecutionResult} conclude makes and tells the result of what never started
 * @property {(step: number) => string | null} command for display
 * @property {(event: any) => void} tell
 */

/** How a step that did not succeed ended, in words. @type {Record<string, string>} */
const VERBS = { cancelled: 'was cancelled', timeout: 'timed out', skipped: 'was' }

/** How much of an error is kept that the user's own code made, in bytes. */
const MAX_ERROR_SIZE = 8192

class PlanDriver {
  /** @type {PlanExecutionResult | undefined} */
  result
  /** Resolves with the result. @type {Promise<PlanExecutionResult>} */
  over
  #plan
  #steps
  #schedule
  #host
  #acceptedAt
  /** @type {(result: PlanExecutionResult) => void} */
  #finish = () => {}
  /** @type {(error: unknown) => void} */
  #fail = () => {}
  /** By the index of the step. @type {(ExecutionResult | undefined)[]} */
  #results = []
  /** In the order of their starts. @type {Set<number>} */
  #running = new Set()
  /** Those whose requests are being made. @type {Map<number, Promise<void>>} */
  #making = new Map()
  /** Of steps that had ended before. @type {ReadonlyMap<number, ExecutionResult>} */
  #known = new Map()
  /** Those that wait to be noted. @type {[step: number, result: ExecutionResult][]} */
  #ends = []
  #isNoting = false
  #isReplaying = false
  /** What the steps were asked to end for. @type {Cause | undefined} */
  #cause
  /** What has ended the plan before its time. @type {'cancelled' | 'timeout' | 'failed' | undefined} */
  #endedBy
  /** Nothing is done any more: it is not known how a step ends. */
  #isGivenUp = false
  /** Ends the wait for the deadline. */
  #releaseDeadline = () => {}
  /** Ends the wait for the end of the lease. */
  #releaseLease = () => {}

  /**
   * @param {{ id: string, description?: string, metadata?: any, timeoutMs?: number, leaseMs?: number, isNamed: boolean }} plan
   * @param {Step[]} steps
   * @param {Schedule} schedule
   * @param {Host} host
   * @param {number} [acceptedAt] in milliseconds since 1970
   */
  constructor(plan, steps, schedule, host, acceptedAt = Date.now()) {
    this.#plan = plan
    this.#steps = steps
    this.#schedule = schedule
    this.#host = host
    this.#acceptedAt = acceptedAt
    this.over = new Promise((resolve, reject) => {
      this.#finish = resolve
      this.#fail = reject
    })
  }

  /** Begins, and goes on behind steps that had ended before. @param {ReadonlyMap<number, ExecutionResult>} [known] */
  async live(known = new Map()) {
    this.#known = known
    this.#isReplaying = known.size > 0
    this.#skip(this.#schedule.begin(), '')
    this.#note()
    if (this.#isReplaying) await this.#replay()
    this.#isReplaying = false
    const { timeoutMs, leaseMs } = this.#plan
    if (timeoutMs !== undefined) this.#keepDeadline(timeoutMs)
    if (leaseMs !== undefined) this.renewLease(leaseMs)
    this.#finishIfOver()
  }

  /**
   * Lets the steps that had ended end again, in the order of then, but each behind its start: clocks of several machines
   * differ. What was being made then is made before the next one ends.
   */
  async #replay() {
    for (;;) {
      await Promise.all(this.#making.values())
      const [first] = [...this.#running]
        .flatMap((step) => ({ step, result: this.#known.get(step) }))
        .filter(({ result }) => result !== undefined)
        .sort(
          (one, other) => Date.parse(String(one.result?.completedAt)) - Date.parse(String(other.result?.completedAt)),
        )
      if (first?.result === undefined) return
      this.#hasEnded(first.step, first.result)
    }
  }

  /** @param {number} timeoutMs */
  #keepDeadline(timeoutMs) {
    const left = this.#acceptedAt + timeoutMs - Date.now()
    const message = `its plan timed out after ${timeoutMs} ms`
    const passes = () => {
      if (Date.now() < this.#acceptedAt + timeoutMs) return this.#keepDeadline(timeoutMs)
      this.#stop({ kind: 'deadline', message })
    }
    if (this.result === undefined) this.#releaseDeadline = after(Math.max(left, 0), passes)
  }

  /** Lets the lease end that many milliseconds from now; false if it has ended, or the plan. @param {number} leaseMs */
  renewLease(leaseMs) {
    if (this.result !== undefined || this.#cause !== undefined) return false
    this.#releaseLease()
    const message = 'the lease of its plan was not renewed in time'
    this.#releaseLease = after(leaseMs, () => this.#stop({ kind: 'lease', message }))
    return true
  }

  get hasLostLease() {
    return this.#cause?.kind === 'lease'
  }

  /** @param {number} step */
  hasResult(step) {
    return this.#results[step] !== undefined
  }

  /** @param {string} [reason] */
  cancel(reason) {
    this.#stop({ kind: 'cancel', message: 'its plan was cancelled', reason })
  }

  /** Lets what runs end, and nothing more start. The first cause stays. @param {Cause} cause */
  #stop(cause) {
    if (this.result !== undefined || this.#isGivenUp || this.#cause !== undefined) return
    this.#cause = cause
    if (cause.kind !== 'deadline') this.#endedBy = cause.kind === 'cancel' ? 'cancelled' : 'failed'
    for (const step of this.#running) this.#host.stop(step, cause)
    const withdrawn = this.#schedule.withdrawAll()
    if (withdrawn.length > 0 && cause.kind === 'deadline') this.#endedBy = 'timeout'
    for (const step of withdrawn) this.#neverStart(step, unstartedBy(cause))
    this.#note()
  }

  /**
   * Ends a step that waits for its turn; returns whether it did. One that runs is the business of who runs it.
   *
   * @param {number} step
   * @param {string} [reason]
   */
  cancelStep(step, reason) {
    return this.endStep(step, { status: 'cancelled', error: 'cancelled before it was started', reason })
  }

  /** The same, in any way. @param {number} step @param {End} end */
  endStep(step, end) {
    if (this.result !== undefined || !this.#schedule.takeOut(step)) return false
    this.#neverStart(step, end)
    this.#note()
    return true
  }

  /** @param {number} step @param {End} end */
  #neverStart(step, end) {
    this.#making.delete(step)
    this.#ends.push([step, this.#known.get(step) ?? this.#host.conclude(step, end)])
  }

  /** @param {number} step @param {ExecutionResult} result */
  #hasEnded(step, result) {
    if (this.#isGivenUp) return
    this.#ends.push([step, result])
    this.#note()
  }

  /** Notes the ends of steps, one after the other, and lets begin what may. */
  #note() {
    if (this.#isNoting || this.#isGivenUp) return
    this.#isNoting = true
    try {
      do {
        const next = this.#ends.shift()
        if (next !== undefined) this.#end(...next)
        if (this.#ends.length === 0) this.#beginWhatMay()
      } while (this.#ends.length > 0)
      this.#finishIfOver()
    } catch (error) {
      this.#giveUp(error)
    } finally {
      this.#isNoting = false
    }
  }

  /** @param {number} step @param {ExecutionResult} result */
  #end(step, result) {
    const wasRunning = this.#running.delete(step)
    this.#results[step] = result
    const { status } = result
    const isStopped = status === 'timeout' || status === 'cancelled'
    if (wasRunning && isStopped && this.#cause?.kind === 'deadline') this.#endedBy ??= 'timeout'
    const isSuccess = status === 'completed' || (status !== 'skipped' && this.#steps[step]?.mayFail === true)
    const skips = this.#schedule.end(step, isSuccess ? 'success' : status === 'skipped' ? 'skipped' : 'failure')
    this.#tellProgress()
    const { key } = /** @type {Step} */ (this.#steps[step])
    this.#skip(skips, causeOf(key, result))
  }

  /** @param {Skip[]} skips @param {string} cause */
  #skip(skips, cause) {
    for (const { step, isCaused } of skips) {
      const why = isCaused ? cause : 'nothing that it depends on has failed'
      this.#neverStart(step, { status: 'skipped', error: `skipped because ${why}` })
    }
  }

  #beginWhatMay() {
    for (;;) {
      const next = this.#cause === undefined ? this.#schedule.next() : undefined
      if (!next) return
      if (!next.isToMake) this.#start(next.step)
      else if (this.#known.has(next.step)) this.#schedule.hasMade(next.step, 0)
      else this.#making.set(next.step, this.#make(next.step))
    }
  }

  /** @param {number} step */
  async #make(step) {
    // Whoever is told of an end in the call of a function is told of this one behind it.
    await undefined
    let made
    let problem
    try {
      made = await this.#host.make(step, this.#resultsSoFar())
    } catch (error) {
      problem = error
    }
    // It was withdrawn meanwhile.
    if (!this.#making.delete(step) || this.#isGivenUp) return
    if (made !== undefined) this.#schedule.hasMade(step, made.priority)
    else if (this.#schedule.takeOut(step)) {
      const error = `its request could not be made: ${cut(/** @type {Error} */ (problem).message)}`
      this.#neverStart(step, { status: 'failed', error, errorCode: 'INVALID_STEP' })
    }
    this.#note()
  }

  /** By index, or by name. */
  #resultsSoFar() {
    const { length } = this.#steps
    if (!this.#plan.isNamed) return Array.from({ length }, (_, step) => this.#results[step])
    const ended = [...this.#steps.entries()].filter(([step]) => this.#results[step] !== undefined)
    return Object.assign(
      Object.create(null),
      Object.fromEntries(ended.map(([step, { key }]) => [key, this.#results[step]])),
    )
  }

  /** @param {number} step */
  #start(step) {
    this.#running.add(step)
    if (this.#isReplaying && this.#known.has(step)) return
    void this.#host.run(step).then(
      (result) => this.#hasEnded(step, result),
      (error) => this.#giveUp(error),
    )
  }

  /** @param {unknown} error */
  #giveUp(error) {
    this.#isGivenUp = true
    this.#clear()
    this.#fail(error)
  }

  #clear() {
    this.#releaseDeadline()
    this.#releaseLease()
  }

  #finishIfOver() {
    const { length } = this.#steps
    if (this.#schedule.ended() < length || this.result !== undefined || this.#isReplaying) return
    this.#clear()
    const results = Array.from({ length }, (_, step) => /** @type {ExecutionResult} */ (this.#results[step]))
    const totalDurationMs = Math.max(Date.now() - this.#acceptedAt, 0)
    const make = () => planResult({ plan: this.#plan, status: this.#statusOf(results), results, totalDurationMs })
    this.result = make()
    this.#tell('plan_completed', { result: make() })
    this.#finish(this.result)
  }

  /** @param {ExecutionResult[]} results @returns {import('../../index').FinalStatus} */
  #statusOf(results) {
    const endedBy = this.#endedBy
    // What a stop has ended did not end as it would have, whether or not it may fail.
    const isSuccess = (/** @type {ExecutionResult} */ { status, errorCode }, /** @type {number} */ step) => {
      if (status === 'completed' || status === 'skipped') return true
      const mayFail = this.#steps[step]?.mayFail === true
      const isStopped = status !== 'failed' || errorCode === 'LEASE_LOST'
      return mayFail && !(isStopped && endedBy !== undefined)
    }
    return results.every(isSuccess) ? 'completed' : (endedBy ?? 'failed')
  }

  #tellProgress() {
    const current = [...this.#running].at(-1)
    this.#tell('progress', {
      completed: this.#schedule.ended(),
      total: this.#steps.length,
      currentCommand: current === undefined ? null : this.#host.command(current),
    })
  }

  /** @param {'progress' | 'plan_completed'} eventType @param {object} values */
  #tell(eventType, values) {
    if (this.#isReplaying) return
    const { id, metadata } = this.#plan
    this.#host.tell({ eventType, planId: id, metadata, ...values, timestamp: iso(Date.now()) })
  }
}

/** The end of a step that was to start, as its plan ends. @param {Cause} cause @returns {End} */
function unstartedBy({ kind, message, reason }) {
  const comma = kind === 'cancel' ? '' : ','
  return { status: 'cancelled', error: `${message}${comma} before it was started`, reason }
}

/** Why others are skipped because of a step. @param {string | number} key @param {ExecutionResult} result of the step */
function causeOf(key, { status, error }) {
  // The error of what was skipped says why by itself.
  const colon = status === 'skipped' ? '' : ':'
  return `${pathOf(key)} ${VERBS[status] ?? 'failed'}${colon} ${error ?? 'for an unknown reason'}`
}

/** An error of the user's own code, short enough for a result. @param {string} error */
function cut(error) {
  const size = Buffer.byteLength(error)
  if (size <= MAX_ERROR_SIZE) return error
  const bytes = Buffer.from(error)
  let end = MAX_ERROR_SIZE
  // Not within a character.
  while (end > 0 && (Number(bytes[end]) & 0xc0) === 0x80) end -= 1
  return `${bytes.toString('utf8', 0, end)}... (${size - end} more bytes)`
}

module.exports = { PlanDriver, causeOf, unstartedBy }

'use strict'

// One scripted execution: it prints, waits and ends as its script says, or as it is stopped.

const { call } = require('../lines')
const { withMembers } = require('../result')
const { iso } = require('../time')
const { PID, fakeResult } = require('./result')
const { eventOf, knownOf, valueOf } = require('./shape')
const { Moment, pause, within } = require('./time')

/** @typedef {import('../../index').ExecutionResult} ExecutionResult */
/** @typedef {import('../../index').ExecutionStatus} ExecutionStatus */
/** @typedef {import('../../testing').FakeScript} FakeScript */

/**
 * Who is told.
 *
 * @typedef {object} Listeners
 * @property {((line: string) => unknown) | undefined} [onStdout]
 * @property {((line: string) => unknown) | undefined} [onStderr]
 * @property {((event: any) => unknown) | undefined} [onEvent]
 */

/** What all executions of an engine have. @typedef {{ config: any, subscribers: Set<(event: any) => unknown> }} Shared */

/** Why one is stopped. @typedef {{ status: 'cancelled' | 'timeout', error: string, reason?: string | undefined }} Cause */

/** Where an execution belongs, if it is a step of a plan. @typedef {{ planId: string, step: number }} Place */

class FakeExecution {
  /** @type {ExecutionStatus} */
  status = 'pending'
  /** @type {ExecutionResult | undefined} */
  result
  /** Its log, as text. */
  log = ''
  #request
  #command
  #script
  #shared
  #listeners
  #place
  #created = Date.now()
  /** @type {number | undefined} */
  #started
  /** Why it is stopped, once it is. @type {Cause | undefined} */
  #cause
  #stopped = new Moment()
  #ended = new Moment()
  #printed = { stdout: '', stderr: '' }
  /** Who has asked later. @type {Set<(event: any) => unknown>} */
  #subscriptions = new Set()
  /** What is wrong with the script. @type {unknown} */
  #fault

  /**
   * @param {any} request
   * @param {string} command for display
   * @param {FakeScript} script
   * @param {Shared} shared
   * @param {Listeners} listeners
   * @param {Place} [place]
   */
  constructor(request, command, script, shared, listeners, place) {
    this.#request = request
    this.#command = command
    this.#script = script
    this.#shared = shared
    this.#listeners = listeners
    this.#place = place
  }

  /** @returns {string} */
  get id() {
    return this.#request.id
  }

  get command() {
    return this.#command
  }

  get hasStarted() {
    return this.#started !== undefined
  }

  /** Resolves with the result. @returns {Promise<ExecutionResult>} */
  async ended() {
    await this.#ended.reached
    if (this.#fault !== undefined) throw this.#fault
    return /** @type {ExecutionResult} */ (this.result)
  }

  /** @returns {import('../../index').ExecutionSummary} */
  summary() {
    return valueOf('ExecutionSummary', {
      ...this.#about(),
      id: this.id,
      status: this.status,
      command: this.#command,
      startedAt: this.#started === undefined ? null : iso(this.#started),
      durationMs: this.result?.durationMs ?? null,
    })
  }

  /** What results, summaries and events tell of its request. */
  #about() {
    const { source, conversationId, tags = {} } = this.#request.metadata ?? {}
    const metadata = { ...(source && { source }), ...(conversationId && { conversationId }), tags: { ...tags } }
    return { metadata, planId: this.#place?.planId ?? null, step: this.#place?.step ?? null }
  }

  /**
   * Ends it before its time; the first cause counts.
   *
   * @param {'cancelled' | 'timeout'} status
   * @param {string} error
   * @param {string} [reason]
   */
  stop(status, error, reason) {
    if (this.result !== undefined) return
    this.#cause ??= { status, error, reason }
    this.#stopped.reach()
  }

  /** @param {{ turn: Promise<void>, leave: () => void }} place in the line */
  async live({ turn, leave }) {
    await Promise.race([turn, this.#stopped.reached])
    const end = this.#cause === undefined ? await this.#perform() : this.#beforeStart(this.#cause)
    leave()
    this.#finish(end)
  }

  /** @param {Cause} cause @returns {Record<string, unknown>} */
  #beforeStart(cause) {
    return { ...this.#stoppedBy(cause), error: `${cause.error} before it was started` }
  }

  /**
   * Ends it without a start.
   *
   * @param {'cancelled' | 'skipped'} status
   * @param {string} error
   */
  neverStart(status, error) {
    this.#finish({ status, error })
  }

  async #perform() {
    const { spawnError, output = [], endsAfterMs = 0, hangs = false } = this.#script
    if (spawnError !== undefined) return { status: 'failed', errorCode: 'SPAWN_FAILED', error: spawnError }
    this.#started = Date.now()
    this.status = 'running'
    const { timeoutMs } = this
    const deadline = pause(timeoutMs)
    void deadline.over.then(() => this.stop('timeout', `timed out after ${timeoutMs} ms`))
    await this.#tell('started', { command: this.#command, pid: PID, timestamp: iso(this.#started) })
    for (const line of output) {
      const { stdout, stderr, afterMs = 0 } = typeof line === 'string' ? { stdout: line } : line
      await this.#wait(afterMs)
      if (stdout !== undefined) await this.#print('stdout', stdout)
      if (stderr !== undefined) await this.#print('stderr', stderr)
    }
    await this.#wait(endsAfterMs)
    if (hangs) await this.#stopped.reached
    deadline.clear()
    return this.#end()
  }

  /** @returns {number} */
  get timeoutMs() {
    return this.#request.timeoutMs ?? this.#shared.config.defaultTimeoutMs
  }

  /** Waits, unless it is stopped meanwhile. @param {number} ms */
  async #wait(ms) {
    if (ms > 0 && this.#cause === undefined) await within(this.#stopped.reached, ms)
  }

  /** @param {'stdout' | 'stderr'} stream @param {string} text */
  async #print(stream, text) {
    for (const line of text.split('\n')) {
      if (this.#cause !== undefined) return
      const timestamp = iso(Date.now())
      this.#printed[stream] += `${line}\n`
      this.log += `${timestamp} ${stream} F ${line}\n`
      if (!this.#shared.config.streamOutput) continue
      const own = stream === 'stdout' ? this.#listeners.onStdout : this.#listeners.onStderr
      await this.#taken(own && call(own, line))
      await this.#tell(stream, { line, partial: false, timestamp })
    }
  }

  /** Waits for the promise of a callback; where it is stopped, not much longer. @param {Promise<unknown> | undefined} pending */
  async #taken(pending) {
    if (pending === undefined) return
    await Promise.race([pending, this.#stopped.reached])
    if (this.#cause !== undefined) await within(pending, this.#shared.config.drainMaxMs)
  }

  /** @param {string} eventType @param {Record<string, unknown>} values */
  async #tell(eventType, values) {
    const pending = this.#told().map((listener) => {
      return listener && call(listener, eventOf(eventType, { ...this.#about(), executionId: this.id, ...values }))
    })
    if (pending.some((one) => one !== undefined)) await this.#taken(Promise.all(pending))
  }

  /** @param {Cause} cause */
  #stoppedBy({ status, error, reason }) {
    return {
      status,
      success: false,
      error,
      errorCode: null,
      exitCode: null,
      signal: null,
      cancelReason: reason ?? null,
    }
  }

  /** @returns {Record<string, unknown>} */
  #end() {
    const { exitCode = 0, signal, timesOut = false } = this.#script
    if (this.#cause !== undefined) return { ...this.#stoppedBy(this.#cause), signal: 'SIGTERM' }
    if (timesOut)
      return { status: 'timeout', error: `timed out after ${this.timeoutMs} ms`, durationMs: this.timeoutMs }
    if (signal !== undefined) return { status: 'failed', exitCode: null, signal }
    const successCodes = this.#request.successExitCodes ?? [0]
    return { status: successCodes.includes(exitCode) ? 'completed' : 'failed', exitCode }
  }

  /** @param {Record<string, unknown>} end */
  #finish(end) {
    try {
      this.result = this.#resultOf(end)
      this.status = this.result.status
      this.#tellEnd(this.result)
    } catch (fault) {
      this.status = 'failed'
      this.#fault = fault
    }
    this.#ended.reach()
  }

  /** @param {Record<string, unknown>} end */
  #resultOf(end) {
    const now = Date.now()
    const started = this.#started
    const facts = {
      ...this.#about(),
      id: this.id,
      command: this.#command,
      ...this.#printed,
      startedAt: started === undefined ? null : iso(started),
      completedAt: iso(now),
      durationMs: started === undefined ? 0 : now - started,
      queuedMs: (started ?? now) - this.#created,
    }
    const values = knownOf('ExecutionResult', { ...facts, ...end })
    return fakeResult(this.#cause === undefined && end['status'] !== 'skipped' ? this.#asScripted(values, end) : values)
  }

  /** With what the script says of the result itself. @param {Record<string, unknown>} values @param {object} end */
  #asScripted(values, end) {
    const { result = {} } = this.#script
    // Another status has another end.
    const dropped = result.status === undefined ? [] : Object.keys(end)
    return { ...values, ...Object.fromEntries(dropped.map((key) => [key, undefined])), ...result }
  }

  /** All who are told of events. */
  #told() {
    return [this.#listeners.onEvent, ...this.#shared.subscribers, ...this.#subscriptions]
  }

  /**
   * Tells somebody of it from now on; of one that has ended, the end. Returns what takes that back.
   *
   * @param {(event: any) => unknown} listener
   */
  subscribe(listener) {
    if (this.result === undefined) this.#subscriptions.add(listener)
    else void call(listener, this.#endOfIt(this.result))
    return () => void this.#subscriptions.delete(listener)
  }

  /** @param {ExecutionResult} result */
  #endOfIt(result) {
    const own = { executionId: this.id, result: withMembers({ ...result }), timestamp: result.completedAt }
    return eventOf(result.status, { ...this.#about(), ...own })
  }

  /** Nobody waits for who is told of the end; each is given a result of their own. @param {ExecutionResult} result */
  #tellEnd(result) {
    for (const listener of this.#told()) if (listener) void call(listener, this.#endOfIt(result))
  }
}

module.exports = { FakeExecution }

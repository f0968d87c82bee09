'use strict'

// One scripted execution: it prints, waits and ends as its script says, or as it is stopped.

const { call } = require('../lines')
const { withMembers } = require('../result')
const { iso } = require('../time')
const { display } = require('./command')
const { PID, fakeResult } = require('./result')
const { eventOf, knownOf, valueOf } = require('../shape')
const { Moment, pause, within } = require('./time')

/** @typedef {import('../../index').ExecutionResult} ExecutionResult */
/** @typedef {import('../../index').ExecutionStatus} ExecutionStatus */
/** @typedef {import('../../testing').FakeScript} FakeScript */

/** @typedef {ReturnType<typeof import('./secrets').secretsOf>} Secrets */

/**
 * Who is told.
 *
 * @typedef {object} Listeners
 * @property {((line: string) => unknown) | undefined} [onStdout]
 * @property {((line: string) => unknown) | undefined} [onStderr]
 * @property {((chunk: Buffer) => unknown) | undefined} [onStdoutBytes]
 * @property {((chunk: Buffer) => unknown) | undefined} [onStderrBytes]
 * @property {((event: any) => unknown) | undefined} [onEvent]
 */

/** What all executions of an engine have. @typedef {{ config: any, subscribers: Set<(event: any) => unknown> }} Shared */

/** Why one is stopped. @typedef {{ status: 'cancelled' | 'timeout' | 'skipped', error: string, reason?: string | undefined }} Cause */

/** Where an execution belongs, if it is a step of a plan. @typedef {{ planId: string, step: string | number }} Place */

/** What a request says about itself, and where it belongs. @param {any} request @param {Place} [place] */
function aboutOf(request, place) {
  const { source, conversationId, tags = {} } = request.metadata ?? {}
  const metadata = { ...(source && { source }), ...(conversationId && { conversationId }), tags: { ...tags } }
  return { metadata, planId: place?.planId ?? null, step: place?.step ?? null }
}

class FakeExecution {
  /** @type {ExecutionStatus} */
  status = 'pending'
  /** @type {ExecutionResult | undefined} */
  result
  /** What it has logged. @type {{ stream: 'stdout' | 'stderr', line: string, timestamp: string, offset: number, complete: true }[]} */
  entries = []
  /** What was written to its input. */
  input = ''
  #request
  /** @type {FakeScript} */
  #script = {}
  #shared
  #listeners
  #place
  #created = Date.now()
  /** @type {number | undefined} */
  #started
  /** Why it is stopped, once it is. @type {Cause | undefined} */
  #cause
  #stopped = new Moment()
  #neverRan = false
  #ended = new Moment()
  #printed = { stdout: '', stderr: '' }
  /** What is wrong with the script. @type {unknown} */
  #fault
  #secrets
  /** Who listens from some moment on. @type {Set<(event: any) => unknown>} */
  #subscribers = new Set()
  /** Its next entry, or its end. */
  #changed = new Moment()

  /**
   * @param {any} request
   * @param {Secrets} secrets
   * @param {Shared} shared
   * @param {Listeners} listeners
   * @param {Place} [place]
   */
  constructor(request, secrets, shared, listeners, place) {
    this.#request = request
    this.#secrets = secrets
    this.#shared = shared
    this.#listeners = listeners
    this.#place = place
  }

  /** @returns {string} */
  get id() {
    return this.#request.id
  }

  get command() {
    const { command } = this.#request
    // That of a step which is made is not known before.
    return command === undefined ? '' : display(command, (text) => this.#secrets.hide(text))
  }

  /**
   * What a step runs whose request was made.
   *
   * @param {any} request
   * @param {Secrets} secrets
   */
  setRequest(request, secrets) {
    this.#request = request
    this.#secrets = secrets
  }

  /** What it does. @param {FakeScript} script */
  setScript(script) {
    this.#script = script
  }

  /** Resolves with the next entry of the log, or the end. */
  get changed() {
    return this.#changed.reached
  }

  /** @returns {any} */
  get request() {
    return this.#request
  }

  /** @param {string} value */
  addSecret(value) {
    this.#secrets.add(value)
  }

  /** Calls it with each event from now on; returns what ends that. @param {(event: any) => unknown} listener */
  subscribe(listener) {
    this.#subscribers.add(listener)
    if (this.result !== undefined) this.#tellEnd(this.result, [listener])
    return () => void this.#subscribers.delete(listener)
  }

  get #allListeners() {
    return [this.#listeners.onEvent, ...this.#shared.subscribers, ...this.#subscribers]
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
      command: this.command,
      startedAt: this.#started === undefined ? null : iso(this.#started),
      durationMs: this.result?.durationMs ?? null,
    })
  }

  /** What results, summaries and events tell of its request. */
  #about() {
    return aboutOf(this.#request, this.#place)
  }

  /**
   * Ends it before its time; the first cause counts.
   *
   * @param {'cancelled' | 'timeout' | 'skipped'} status
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
    this.#finish(end, leave)
  }

  /** @param {Cause} cause @returns {Record<string, unknown>} */
  #beforeStart(cause) {
    if (cause.status === 'skipped') return this.#stoppedBy(cause)
    const comma = cause.status === 'cancelled' ? '' : ','
    return { ...this.#stoppedBy(cause), error: `${cause.error}${comma} before it was started` }
  }

  /** Ends it without a start. @param {import('../plans/driver').End} end @returns {ExecutionResult} */
  neverStart({ status, error, errorCode, reason }) {
    const none = { exitCode: null, signal: null, pid: null }
    this.#neverRan = true
    this.#finish({ ...none, status, error, errorCode: errorCode ?? null, cancelReason: reason ?? null })
    return /** @type {ExecutionResult} */ (this.result)
  }

  async #perform() {
    const { spawnError, output = [], endsAfterMs = 0, hangs = false } = this.#script
    if (spawnError !== undefined) return { status: 'failed', errorCode: 'SPAWN_FAILED', error: spawnError }
    this.#started = Date.now()
    this.status = 'running'
    const { timeoutMs } = this
    const deadline = pause(timeoutMs)
    void deadline.over.then(() => this.stop('timeout', `timed out after ${timeoutMs} ms`))
    await this.#tell('started', { command: this.command, pid: PID, timestamp: iso(this.#started) })
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
    const target = this.#targetOf(stream)
    if (target !== undefined) await this.#printTo(target, text)
  }

  /** Where it arrives, if it is not ignored. @param {'stdout' | 'stderr'} stream @returns {'stdout' | 'stderr' | undefined} */
  #targetOf(stream) {
    const target = this.#request[stream]
    if (target === 'stdout') return this.#targetOf('stdout')
    return target === 'ignore' ? undefined : stream
  }

  /** @param {'stdout' | 'stderr'} stream @param {string} text */
  async #printTo(stream, text) {
    for (const line of this.#secrets.hide(text).split('\n')) {
      if (this.#cause !== undefined) return
      const timestamp = iso(Date.now())
      this.#printed[stream] += `${line}\n`
      this.#log({ stream, line, timestamp })
      if (!this.#shared.config.streamOutput) continue
      const { onStdout, onStderr, onStdoutBytes, onStderrBytes } = this.#listeners
      const [own, ofBytes] = stream === 'stdout' ? [onStdout, onStdoutBytes] : [onStderr, onStderrBytes]
      await this.#taken(ofBytes && call(ofBytes, Buffer.from(`${line}\n`)))
      await this.#taken(own && call(own, line))
      await this.#tell(stream, { line, partial: false, timestamp })
    }
  }

  /** @param {{ stream: 'stdout' | 'stderr', line: string, timestamp: string }} entry */
  #log({ stream, line, timestamp }) {
    if (!(this.#request.logOutput ?? this.#shared.config.logOutput)) return
    const start = this.entries.at(-1)?.offset ?? 0
    const offset = start + Buffer.byteLength(`${timestamp} ${stream} F ${line}\n`)
    this.entries.push({ stream, line, timestamp, offset, complete: true })
    this.#hasChanged()
  }

  #hasChanged() {
    const { reach } = this.#changed
    this.#changed = new Moment()
    reach()
  }

  /** Waits for the promise of a callback; where it is stopped, not much longer. @param {Promise<unknown> | undefined} pending */
  async #taken(pending) {
    if (pending === undefined) return
    await Promise.race([pending, this.#stopped.reached])
    if (this.#cause !== undefined) await within(pending, this.#shared.config.drainMaxMs)
  }

  /** @param {string} eventType @param {Record<string, unknown>} values */
  async #tell(eventType, values) {
    const pending = this.#allListeners.map((listener) => {
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

  /**
   * Its place is free before its end is told.
   *
   * @param {Record<string, unknown>} end
   * @param {() => void} [leave]
   */
  #finish(end, leave = () => {}) {
    try {
      this.result = this.#resultOf(end)
      this.status = this.result.status
    } catch (fault) {
      this.status = 'failed'
      this.#fault = fault
    }
    leave()
    if (this.result !== undefined) this.#tellEnd(this.result, this.#allListeners)
    this.#ended.reach()
    this.#hasChanged()
  }

  /** @param {Record<string, unknown>} end */
  #resultOf(end) {
    const now = Date.now()
    const started = this.#started
    const facts = {
      ...this.#about(),
      id: this.id,
      command: this.command,
      ...this.#printed,
      startedAt: started === undefined ? null : iso(started),
      completedAt: iso(now),
      durationMs: started === undefined ? 0 : now - started,
      queuedMs: (started ?? now) - this.#created,
    }
    const values = knownOf('ExecutionResult', { ...facts, ...this.#hidden(end) })
    const isScripted = this.#cause === undefined && !this.#neverRan
    const result = fakeResult(isScripted ? this.#asScripted(values, end) : values)
    if (this.#request.keepBytes === true) {
      result.bytes ??= { stdout: Buffer.from(result.stdout), stderr: Buffer.from(result.stderr) }
    }
    return result
  }

  /** With what the script says of the result itself. @param {Record<string, unknown>} values @param {object} end */
  #asScripted(values, end) {
    const { result = {} } = this.#script
    // Another status has another end.
    const dropped = result.status === undefined ? [] : Object.keys(end)
    return { ...values, ...Object.fromEntries(dropped.map((key) => [key, undefined])), ...this.#hidden(result) }
  }

  /** Fields of a result, without the secrets in them. @param {Record<string, any>} fields @returns {Record<string, any>} */
  #hidden(fields) {
    const hidden = { ...fields }
    for (const key of ['command', 'stdout', 'stderr', 'error', 'cancelReason']) {
      if (typeof hidden[key] === 'string') hidden[key] = this.#secrets.hide(hidden[key])
    }
    hidden['attempts'] &&= hidden['attempts'].map((/** @type {any} */ attempt) => {
      return attempt.error ? { ...attempt, error: this.#secrets.hide(attempt.error) } : attempt
    })
    return hidden
  }

  /** Nobody waits for who is told of the end; each is given a result of their own. @param {ExecutionResult} result @param {(((event: any) => unknown) | undefined)[]} listeners */
  #tellEnd(result, listeners) {
    for (const listener of listeners) {
      const own = { executionId: this.id, result: withMembers({ ...result }), timestamp: result.completedAt }
      if (listener) void call(listener, eventOf(result.status, { ...this.#about(), ...own }))
    }
  }
}

module.exports = { FakeExecution, aboutOf }

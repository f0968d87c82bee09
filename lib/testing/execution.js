'use strict'

// One scripted execution, from its acceptance to its result: all its attempts, and the one end.

const { withMembers } = require('../result')
const { knownOf, valueOf } = require('../shape')
const { iso } = require('../time')
const { after } = require('../timer')
const { Attempt } = require('./attempt')
const { before, endOf } = require('./cause')
const { display } = require('./command')
const { Lease } = require('./lease')
const { PID, fakeResult } = require('./result')
const { Attempts } = require('./retry')
const { Stop } = require('./stop')
const { Teller, aboutOf } = require('./tell')
const { Moment } = require('./time')

/** @typedef {import('../../index').ExecutionResult} ExecutionResult */
/** @typedef {import('../../index').ExecutionStatus} ExecutionStatus */
/** @typedef {import('../../testing').FakeScript} FakeScript */
/** @typedef {import('./cause').Cause} Cause */
/** @typedef {import('./slots').Place} Slot */

/** @typedef {ReturnType<typeof import('./secrets').secretsOf>} Secrets */

/**
 * What all executions of an engine have.
 *
 * @typedef {object} Shared
 * @property {any} config
 * @property {import('./slots').Slots} slots
 * @property {import('./scripts').Scripts} scripts
 * @property {Set<(event: any) => unknown>} subscribers
 */

/** Words of a result in which secrets may stand. */
const WORDS = ['command', 'error', 'cancelReason']

/** Where none is held. @type {Slot} */
const NO_SLOT = { turn: Promise.resolve(), waits: false, leave: () => {} }

class FakeExecution {
  /** @type {ExecutionStatus} */
  status = 'pending'
  /** @type {ExecutionResult | undefined} */
  result
  /** What it has logged. @type {{ stream: 'stdout' | 'stderr', line: string, timestamp: string, offset: number, complete: true }[]} */
  entries = []
  /** What was written to its input. */
  input = ''
  /** Whether it has had its turn. */
  hasBegun = false
  /** @type {Lease | undefined} */
  lease
  #request
  /** What its first attempt does. @type {FakeScript | undefined} */
  #script
  #shared
  #place
  #created = Date.now()
  /** @type {number | undefined} */
  #started
  #stop = new Stop()
  #slot = NO_SLOT
  #isPending = false
  #ended = new Moment()
  /** What is wrong with the script. @type {unknown} */
  #fault
  #secrets
  #teller
  /** Its next entry, or its end. */
  #changed = new Moment()

  /**
   * @param {any} request
   * @param {Secrets} secrets
   * @param {Shared} shared
   * @param {import('./tell').Listeners} listeners
   * @param {import('./tell').Place} [place]
   */
  constructor(request, secrets, shared, listeners, place) {
    this.#request = request
    this.#secrets = secrets
    this.#shared = shared
    this.#place = place
    const about = () => ({ ...this.#about(), executionId: this.id })
    this.#teller = new Teller(about, listeners, shared.subscribers)
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

  /** @returns {any} */
  get request() {
    return this.#request
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

  /** Looks up what its first attempt does, and throws if nobody has said that. */
  prepare() {
    this.#script = this.#nextScript()
  }

  #nextScript() {
    return this.#shared.scripts.for(this.#request, this.command)
  }

  /** Lets its lease begin, if it has one. @param {() => void} end what ends it with that */
  keepLease(end) {
    const { leaseMs } = this.#request
    if (leaseMs !== undefined) this.lease = new Lease(leaseMs, end)
  }

  /** Resolves with the next entry of the log, or the end. */
  get changed() {
    return this.#changed.reached
  }

  /** @param {string} value */
  addSecret(value) {
    this.#secrets.add(value)
  }

  /** Calls it with each event from now on; returns what ends that. @param {(event: any) => unknown} listener */
  subscribe(listener) {
    if (this.result !== undefined) this.#teller.end(this.result, [listener])
    return this.#teller.subscribe(listener)
  }

  /** Resolves with its end. */
  get over() {
    return this.#ended.reached
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

  /** Tells, once, that it waits for its slot. */
  tellPending() {
    if (this.#isPending || this.#stop.cause !== undefined) return
    this.#isPending = true
    void this.#teller.event('pending', { timestamp: iso(Date.now()) })
  }

  /** Ends it before its time. @param {Cause} cause */
  stop(cause) {
    if (this.result === undefined) this.#stop.ask(cause)
  }

  /**
   * Lives it.
   *
   * @param {Slot} slot or a place in the line
   * @param {() => void} [beforeItLeaves] is called once it has ended, before it gives its slot back
   */
  async live(slot, beforeItLeaves = () => {}) {
    this.#slot = slot
    // Of the steps of a plan only the next ones are told.
    if (slot.waits && this.#place === undefined) this.tellPending()
    try {
      this.#settle(await this.#run())
    } catch (fault) {
      this.status = 'failed'
      this.#fault = fault
    }
    beforeItLeaves()
    this.#giveSlotBack()
    this.#announce()
  }

  /** Ends it without a start. @param {import('../plans/driver').End} end */
  neverStart(end) {
    const result = this.#settle(this.#resultOf(endOf(end)))
    this.#announce()
    return result
  }

  /** Secrets that have become known since the result was made count too. @param {ExecutionResult} result */
  #settle(result) {
    this.result = withMembers(this.#hidden(result, WORDS))
    this.status = this.result.status
    return this.result
  }

  /** All its attempts; the result is that of all. @returns {Promise<ExecutionResult>} */
  async #run() {
    await Promise.race([this.#slot.turn, this.#stop.asked])
    const { cause } = this.#stop
    this.hasBegun = cause === undefined
    // A step counts its attempts from its turn on.
    const attempts = new Attempts(cause && this.#place ? undefined : this.#request.retry)
    let last = cause ? this.#unstarted(cause) : await this.#attempt()
    attempts.note(last.result, last.startedAt)
    while (attempts.goOn(last.result, last.cause)) {
      const stopped = await this.#nextTurn(attempts)
      if (stopped) {
        const end = endOf(before(stopped, `attempt ${attempts.next}`))
        return attempts.sumUp(/** @type {ExecutionResult} */ ({ ...last.result, ...end }))
      }
      last = await this.#attempt()
      attempts.note(last.result, last.startedAt)
    }
    return attempts.sumUp(last.result)
  }

  /** @param {Cause} cause */
  #unstarted(cause) {
    return { result: this.#resultOf(endOf(before(cause))), startedAt: undefined, cause }
  }

  /** One attempt, whose turn has come. */
  async #attempt() {
    const script = this.#script ?? this.#nextScript()
    this.#script = undefined
    const attempt = new Attempt(script, this.#host())
    const end = await attempt.run()
    return { result: this.#resultOf(end, attempt), startedAt: attempt.startedAt, cause: attempt.cause }
  }

  /** Gives the slot back, and waits for the time of the next attempt and its slot; answers what ends that. @param {Attempts} attempts */
  async #nextTurn(attempts) {
    const stop = this.#stop
    this.#giveSlotBack()
    stop.beginAgain()
    if (stop.cause === undefined) await this.#delay(attempts)
    if (stop.cause === undefined) {
      this.#slot = this.#shared.slots.take(this.#request, true)
      await Promise.race([this.#slot.turn, stop.asked])
    }
    return stop.cause
  }

  /** Tells that another attempt follows, and waits for who is told, and for its time. @param {Attempts} attempts */
  async #delay(attempts) {
    const delayMs = attempts.delay()
    const due = new Moment()
    const clear = delayMs > 0 ? after(delayMs, due.reach) : due.reach()
    const ended = { ...attempts.ended }
    const values = { attempt: attempts.next, delayMs, error: ended.error ?? '', ended, timestamp: iso(Date.now()) }
    const told = this.#teller.event('retrying', values)
    await Promise.race([Promise.all([told, due.reached]), this.#stop.asked])
    clear?.()
  }

  #giveSlotBack() {
    const { leave } = this.#slot
    this.#slot = NO_SLOT
    leave()
  }

  /** What its attempts tell it, and learn from it. @returns {import('./attempt').Host} */
  #host() {
    return {
      request: this.#request,
      config: this.#shared.config,
      stop: this.#stop,
      teller: this.#teller,
      hide: (text) => this.#secrets.hide(text),
      begin: (startedAt) => this.#begin(startedAt),
      log: (entry) => this.#log(entry),
    }
  }

  /** @param {number} startedAt */
  #begin(startedAt) {
    this.#started ??= startedAt
    this.status = 'running'
    return this.#teller.event('started', { command: this.command, pid: PID, timestamp: iso(startedAt) })
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

  /** Tells its end, and wakes who waits for it. */
  #announce() {
    this.lease?.release()
    if (this.result !== undefined) this.#teller.end(this.result)
    this.#ended.reach()
    this.#hasChanged()
  }

  /** The result of an attempt, or of what never was one. @param {Record<string, unknown>} end @param {Attempt} [attempt] */
  #resultOf(end, attempt) {
    const now = Date.now()
    const started = attempt?.startedAt
    const values = knownOf('ExecutionResult', {
      ...this.#about(),
      id: this.id,
      command: this.command,
      ...attempt?.printed,
      startedAt: started === undefined ? null : iso(started),
      completedAt: iso(now),
      durationMs: started === undefined ? 0 : now - started,
      queuedMs: (started ?? now) - this.#created,
      ...this.#hidden(end, WORDS),
    })
    const isScripted = attempt !== undefined && attempt.cause === undefined
    const result = fakeResult(isScripted ? this.#asScripted(values, end, attempt.script) : values)
    if (this.#request.keepBytes === true && started !== undefined) {
      result.bytes ??= { stdout: Buffer.from(result.stdout), stderr: Buffer.from(result.stderr) }
    }
    return result
  }

  /** With what the script says of the result itself. @param {Record<string, unknown>} values @param {object} end @param {FakeScript} script */
  #asScripted(values, end, { result = {} }) {
    // Another status has another end.
    const dropped = result.status === undefined ? [] : Object.keys(end)
    const own = this.#hidden(result, [...WORDS, 'stdout', 'stderr'])
    return { ...values, ...Object.fromEntries(dropped.map((key) => [key, undefined])), ...own }
  }

  /** Fields of a result, without the secrets in some of them. @param {Record<string, any>} fields @param {string[]} keys @returns {Record<string, any>} */
  #hidden(fields, keys) {
    const hidden = { ...fields }
    for (const key of keys) if (typeof hidden[key] === 'string') hidden[key] = this.#secrets.hide(hidden[key])
    hidden['attempts'] &&= hidden['attempts'].map((/** @type {any} */ attempt) => this.#withoutSecrets(attempt))
    return hidden
  }

  /** @param {import('../../index').ExecutionAttempt} attempt */
  #withoutSecrets(attempt) {
    return attempt.error ? { ...attempt, error: this.#secrets.hide(attempt.error) } : attempt
  }
}

module.exports = { FakeExecution }

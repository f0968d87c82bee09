'use strict'

// One attempt of a scripted execution: it prints, waits and ends as its script says, or as it is stopped.

const { iso } = require('../time')
const { after } = require('../timer')
const { endOf, silent, timedOut } = require('./cause')
const { within } = require('./time')

/** @typedef {import('../../testing').FakeScript} FakeScript */

/**
 * Whose attempt it is.
 *
 * @typedef {object} Host
 * @property {any} request
 * @property {any} config
 * @property {import('./stop').Stop} stop
 * @property {import('./tell').Teller} teller
 * @property {(text: string) => string} hide
 * @property {(startedAt: number) => Promise<unknown> | undefined} begin notes and tells that it has started
 * @property {(entry: { stream: 'stdout' | 'stderr', line: string, timestamp: string }) => void} log
 */

class Attempt {
  script
  printed = { stdout: '', stderr: '' }
  /** @type {number | undefined} */
  startedAt
  /** What has ended it before its time. @type {import('./cause').Cause | undefined} */
  cause
  #host
  /** Ends the watch for silence. */
  #hush = () => {}

  /** @param {FakeScript} script @param {Host} host */
  constructor(script, host) {
    this.script = script
    this.#host = host
  }

  /** Lives it. @returns {Promise<Record<string, unknown>>} what its result says of its end */
  async run() {
    const { spawnError, output = [], endsAfterMs = 0, hangs = false } = this.script
    if (spawnError !== undefined) return { status: 'failed', errorCode: 'SPAWN_FAILED', error: spawnError }
    const { stop } = this.#host
    this.startedAt = Date.now()
    const { timeoutMs } = this
    const clearDeadline = after(timeoutMs, () => stop.ask(timedOut(timeoutMs)))
    await this.#taken(this.#host.begin(this.startedAt))
    this.#listen()
    for (const line of output) {
      const { stdout, stderr, afterMs = 0 } = typeof line === 'string' ? { stdout: line } : line
      await this.#wait(afterMs)
      if (stdout !== undefined) await this.#print('stdout', stdout)
      if (stderr !== undefined) await this.#print('stderr', stderr)
    }
    await this.#wait(endsAfterMs)
    if (hangs) await stop.asked
    clearDeadline()
    this.#hush()
    this.cause = stop.cause
    return this.#end()
  }

  /** @returns {number} */
  get timeoutMs() {
    const { request, config } = this.#host
    return request.timeoutMs ?? config.defaultTimeoutMs
  }

  /** From here on the command is to say something. */
  #listen() {
    const { request, stop } = this.#host
    const { idleTimeoutMs } = request
    if (idleTimeoutMs !== undefined) this.#hush = after(idleTimeoutMs, () => stop.ask(silent(idleTimeoutMs)))
  }

  /** Waits, unless it is stopped meanwhile. @param {number} ms */
  async #wait(ms) {
    const { stop } = this.#host
    if (ms > 0 && stop.cause === undefined) await within(stop.asked, ms)
  }

  /** @param {'stdout' | 'stderr'} stream @param {string} text */
  async #print(stream, text) {
    const target = this.#targetOf(stream)
    if (target === undefined || this.#host.stop.cause !== undefined) return
    this.#hush()
    for (const line of this.#host.hide(text).split('\n')) await this.#deliver(target, line)
    this.#listen()
  }

  /** Where it arrives, if it is not ignored. @param {'stdout' | 'stderr'} stream @returns {'stdout' | 'stderr' | undefined} */
  #targetOf(stream) {
    const target = this.#host.request[stream]
    if (target === 'stdout') return this.#targetOf('stdout')
    return target === 'ignore' ? undefined : stream
  }

  /** @param {'stdout' | 'stderr'} stream @param {string} line */
  async #deliver(stream, line) {
    const { stop, log, config, teller } = this.#host
    if (stop.cause !== undefined) return
    const timestamp = iso(Date.now())
    this.printed[stream] += `${line}\n`
    log({ stream, line, timestamp })
    if (!config.streamOutput) return
    await this.#taken(teller.bytes(stream, line))
    await this.#taken(teller.line(stream, line))
    await this.#taken(teller.event(stream, { line, partial: false, timestamp }))
  }

  /** Waits for the promise of a callback; where it is stopped, not much longer. @param {Promise<unknown> | undefined} pending */
  async #taken(pending) {
    if (pending === undefined) return
    const { stop, config } = this.#host
    await Promise.race([pending, stop.asked])
    if (stop.cause !== undefined) await within(pending, config.drainMaxMs)
  }

  /** @returns {Record<string, unknown>} */
  #end() {
    const { exitCode = 0, signal, timesOut = false } = this.script
    if (this.cause !== undefined) return { ...endOf(this.cause), exitCode: null, signal: 'SIGTERM' }
    const { timeoutMs } = this
    if (timesOut) return { status: 'timeout', error: timedOut(timeoutMs).error, durationMs: timeoutMs }
    if (signal !== undefined) return { status: 'failed', exitCode: null, signal }
    const successCodes = this.#host.request.successExitCodes ?? [0]
    return { status: successCodes.includes(exitCode) ? 'completed' : 'failed', exitCode }
  }
}

module.exports = { Attempt }

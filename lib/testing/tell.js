'use strict'

// Who is told what of an execution.

const { call } = require('../lines')
const { withMembers } = require('../result')
const { eventOf } = require('../shape')

/** @typedef {import('../../index').ExecutionResult} ExecutionResult */

/**
 * Who has asked for it in the call.
 *
 * @typedef {object} Listeners
 * @property {((line: string) => unknown) | undefined} [onStdout]
 * @property {((line: string) => unknown) | undefined} [onStderr]
 * @property {((chunk: Buffer) => unknown) | undefined} [onStdoutBytes]
 * @property {((chunk: Buffer) => unknown) | undefined} [onStderrBytes]
 * @property {((event: any) => unknown) | undefined} [onEvent]
 */

/** Where an execution belongs, if it is a step of a plan. @typedef {{ planId: string, step: string | number }} Place */

/** What a request says about itself, and where it belongs. @param {any} request @param {Place} [place] */
function aboutOf(request, place) {
  const { source, conversationId, tags = {} } = request.metadata ?? {}
  const metadata = { ...(source && { source }), ...(conversationId && { conversationId }), tags: { ...tags } }
  return { metadata, planId: place?.planId ?? null, step: place?.step ?? null }
}

/** Calls all who listen. What a call returns is a promise where somebody is to be waited for. */
class Teller {
  #about
  #listeners
  #subscribers
  /** Who listens from some moment on. @type {Set<(event: any) => unknown>} */
  #late = new Set()

  /**
   * @param {() => Record<string, unknown>} about what all events tell
   * @param {Listeners} listeners
   * @param {Set<(event: any) => unknown>} subscribers of the engine
   */
  constructor(about, listeners, subscribers) {
    this.#about = about
    this.#listeners = listeners
    this.#subscribers = subscribers
  }

  /** Calls it with each event from now on; returns what ends that. @param {(event: any) => unknown} listener */
  subscribe(listener) {
    this.#late.add(listener)
    return () => void this.#late.delete(listener)
  }

  /** @param {'stdout' | 'stderr'} stream @param {string} line */
  bytes(stream, line) {
    const { onStdoutBytes, onStderrBytes } = this.#listeners
    const listener = stream === 'stdout' ? onStdoutBytes : onStderrBytes
    return listener && call(listener, Buffer.from(`${line}\n`))
  }

  /** @param {'stdout' | 'stderr'} stream @param {string} line */
  line(stream, line) {
    const { onStdout, onStderr } = this.#listeners
    const listener = stream === 'stdout' ? onStdout : onStderr
    return listener && call(listener, line)
  }

  /** @param {string} eventType @param {Record<string, unknown>} values @returns {Promise<unknown> | undefined} */
  event(eventType, values) {
    const pending = this.#all.map((listener) => {
      return listener && call(listener, eventOf(eventType, { ...this.#about(), ...values }))
    })
    return pending.some((one) => one !== undefined) ? Promise.all(pending) : undefined
  }

  get #all() {
    return [this.#listeners.onEvent, ...this.#subscribers, ...this.#late]
  }

  /** Nobody waits for who is told of the end; each is given a result of their own. @param {ExecutionResult} result @param {(((event: any) => unknown) | undefined)[]} [listeners] */
  end(result, listeners = this.#all) {
    for (const listener of listeners) {
      const own = { result: withMembers({ ...result }), timestamp: result.completedAt }
      if (listener) void call(listener, eventOf(result.status, { ...this.#about(), ...own }))
    }
  }
}

module.exports = { Teller, aboutOf }

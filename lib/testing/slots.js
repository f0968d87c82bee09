'use strict'

const { ExecutionError } = require('../error')

/** What is to begin, and what it gives back; `waits`: not at once. @typedef {{ turn: Promise<void>, waits: boolean, leave: () => void }} Place */

/** @typedef {{ isStep: boolean, group: string | undefined, priority: number, begin: () => void }} Waiting */

/** Who may run, and who waits: by priority, then in the order of arrival, each group within its limit. */
class Slots {
  #limit
  #maxQueued
  /** How many of each group may run. @type {Record<string, number>} */
  #groups
  #running = 0
  /** How many of each group run. @type {Map<string, number>} */
  #ofGroup = new Map()
  /** @type {Waiting[]} */
  #waiting = []

  /** @param {{ maxConcurrentExecutions: number, maxQueuedExecutions: number, groups: Record<string, number> }} config */
  constructor({ maxConcurrentExecutions, maxQueuedExecutions, groups }) {
    this.#limit = maxConcurrentExecutions
    this.#maxQueued = maxQueuedExecutions
    this.#groups = groups
  }

  get running() {
    return this.#running
  }

  /** Those that wait for a slot; who waits for its group has no place in the queue. */
  get queued() {
    return this.#waiting.filter(({ group }) => this.#hasRoom(group)).length
  }

  get available() {
    return this.#limit - this.#running
  }

  /** @param {string | undefined} group */
  #hasRoom(group) {
    return group === undefined || (this.#ofGroup.get(group) ?? 0) < Number(this.#groups[group])
  }

  /** Throws where no place is left for what is no step of a plan. @param {{ group?: string }} request */
  expectPlace({ group }) {
    if (!this.#hasRoom(group)) return
    const queued = this.#waiting.filter(({ isStep, group }) => !isStep && this.#hasRoom(group)).length
    if (this.available > 0 || queued < this.#maxQueued) return
    throw new ExecutionError(
      'CONCURRENCY_LIMIT_REACHED',
      `${this.#running} of ${this.#limit} executions are running and ${queued} of ${this.#maxQueued} are waiting: no slot is free`,
    )
  }

  /**
   * A place in the line: `turn` resolves when it is its turn, `leave` gives the slot back, or the place.
   *
   * @param {{ group?: string, priority?: number }} request
   * @param {boolean} isStep
   * @returns {Place}
   */
  take({ group, priority = 0 }, isStep) {
    let hasSlot = false
    /** @type {() => void} */
    let begin = () => {}
    const turn = new Promise((/** @type {(value: void) => void} */ resolve) => {
      begin = () => {
        hasSlot = true
        this.#count(group, 1)
        resolve()
      }
    })
    const waiting = { isStep, group, priority, begin }
    const before = this.#waiting.findIndex((other) => other.priority < priority)
    this.#waiting.splice(before === -1 ? this.#waiting.length : before, 0, waiting)
    this.#advance()
    const leave = () => {
      if (hasSlot) this.#count(group, -1)
      else this.#waiting.splice(this.#waiting.indexOf(waiting), 1)
      this.#advance()
    }
    return { turn, leave, waits: !hasSlot }
  }

  /** @param {string | undefined} group @param {1 | -1} change */
  #count(group, change) {
    this.#running += change
    if (group !== undefined) this.#ofGroup.set(group, (this.#ofGroup.get(group) ?? 0) + change)
  }

  #advance() {
    while (this.available > 0) {
      const next = this.#waiting.findIndex(({ group }) => this.#hasRoom(group))
      if (next === -1) return
      this.#waiting.splice(next, 1)[0]?.begin()
    }
  }
}

module.exports = { Slots }

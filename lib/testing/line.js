'use strict'

/** @typedef {import('./execution').FakeExecution} FakeExecution */

/** The steps of a plan that wait for their slots. The next one of each group is told that it waits. */
class Line {
  /** By group, the highest priority first. @type {Map<string | undefined, FakeExecution[]>} */
  #lanes = new Map()

  /** @param {FakeExecution} step */
  enter(step) {
    const { group, priority = 0 } = step.request
    const lane = this.#lanes.get(group) ?? []
    this.#lanes.set(group, lane)
    const behind = lane.findIndex(({ request }) => (request.priority ?? 0) < priority)
    lane.splice(behind === -1 ? lane.length : behind, 0, step)
    lane[0]?.tellPending()
  }

  /** It waits no longer, if it did. @param {FakeExecution} step */
  leave(step) {
    const lane = this.#lanes.get(step.request.group)
    const at = lane?.indexOf(step) ?? -1
    if (lane === undefined || at === -1) return
    lane.splice(at, 1)
    lane[0]?.tellPending()
  }
}

module.exports = { Line }

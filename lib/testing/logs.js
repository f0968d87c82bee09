'use strict'

// The log of a scripted execution, which is in memory.

const { untilAborted } = require('./time')

/** @typedef {import('./execution').FakeExecution} FakeExecution */

/** Its end, as text. @param {FakeExecution} execution */
function endOfLog({ entries }, maxBytes = 10_485_760) {
  const log = entries.map(({ timestamp, stream, line }) => `${timestamp} ${stream} F ${line}\n`).join('')
  return log.length <= maxBytes ? log : log.slice(log.indexOf('\n', log.length - maxBytes - 1) + 1)
}

/** @param {FakeExecution} execution @param {{ from?: number, fromLine?: number, limit?: number }} [options] */
function pageOf({ entries, result }, options = {}) {
  const { fromLine = 0, limit = 1000 } = options
  const from = options.from ?? entries.slice(0, fromLine).at(-1)?.offset ?? 0
  const lines = entries.filter(({ offset }) => offset > from).slice(0, limit)
  const next = lines.at(-1)?.offset ?? from
  return { lines, next, ended: result !== undefined && next >= (entries.at(-1)?.offset ?? 0) }
}

/**
 * Its entries, and those that come, until it has ended or is not followed any longer.
 *
 * @param {FakeExecution} execution
 * @param {{ from?: number | undefined, signal?: AbortSignal | undefined }} [options]
 */
async function* entriesOf(execution, { from = 0, signal } = {}) {
  const isAborted = () => signal?.aborted === true
  for (let next = from; !isAborted();) {
    const { changed } = execution
    const entry = execution.entries.find(({ offset }) => offset > next)
    if (entry !== undefined) {
      next = entry.offset
      yield entry
    } else if (execution.result !== undefined) {
      return
    } else {
      await untilAborted(changed, signal)
    }
  }
}

module.exports = { endOfLog, entriesOf, pageOf }

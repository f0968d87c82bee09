'use strict'

// The log of a scripted execution, read as that of a real one.

const { ExecutionError } = require('../error')
const { Moment } = require('./time')

/** @typedef {import('../../index').LogLine} LogLine */

/**
 * The entries of a log from an offset on.
 *
 * @param {string} log
 * @param {number} from
 * @returns {LogLine[]}
 */
function entriesOf(log, from) {
  const starts = [0]
  const entries = log
    .split('\n')
    .slice(0, -1)
    .map((entry) => {
      const [timestamp = '', stream = '', tag = '', ...words] = entry.split(' ')
      const offset = /** @type {number} */ (starts.at(-1)) + Buffer.byteLength(entry) + 1
      starts.push(offset)
      return {
        stream: /** @type {'stdout'} */ (stream),
        line: words.join(' '),
        timestamp,
        offset,
        complete: tag === 'F',
      }
    })
  if (starts.includes(from)) return entries.filter(({ offset }) => offset > from)
  const message = `from: expected 0, or the offset of an entry of this log, found ${from}`
  throw new ExecutionError('VALIDATION', message, { field: 'from' })
}

/**
 * Follows the log of an execution, until it has ended.
 *
 * @param {import('./execution').FakeExecution} execution
 * @param {number} from
 */
function followed(execution, from) {
  const stopped = new Moment()
  let next = from
  let isOver = false
  const take = async () => {
    for (;;) {
      const { reached } = execution.logged
      const entries = isOver ? [] : entriesOf(execution.log, next)
      next = entries.at(-1)?.offset ?? next
      if (entries.length > 0 || isOver || execution.result !== undefined) return entries
      await Promise.race([reached, stopped.reached])
    }
  }
  const stop = () => {
    isOver = true
    stopped.reach()
  }
  return { take, stop }
}

module.exports = { entriesOf, followed }

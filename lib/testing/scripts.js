'use strict'

// What a test has said that commands do: which script belongs to which request.

const { isObject } = require('../checkers')
const { fakeResult } = require('./result')

/** @typedef {import('../../testing').FakeScript} FakeScript */
/** @typedef {import('../../testing').FakeMatch} FakeMatch */
/** @typedef {FakeScript | ((request: any) => FakeScript)} Scripted */

/** How a scripted execution can end: one of these. */
const ENDS = ['exitCode', 'signal', 'spawnError', 'timesOut', 'hangs']
const KEYS = ['output', 'endsAfterMs', ...ENDS, 'result']
const LINE_KEYS = ['stdout', 'stderr', 'afterMs']

/** @typedef {{ matches: (request: any) => boolean, scripts: Scripted[] }} Entry */

/** Scripts, and the requests they are for. The one that was added last comes first. */
class Scripts {
  /** @type {Entry[]} */
  #entries = []
  /** For what no other is for. @type {Entry | undefined} */
  #last

  /** @param {FakeMatch} match @param {Scripted[]} scripts one for each request; the last one for all others */
  add(match, scripts) {
    this.#entries.unshift({ matches: matcherOf(match), scripts: checked(scripts) })
  }

  /** @param {Scripted[]} scripts */
  addLast(scripts) {
    this.#last = { matches: () => true, scripts: checked(scripts) }
  }

  /** @param {any} request @param {string} shown the command @returns {FakeScript} */
  for(request, shown) {
    const entry = this.#entries.find(({ matches }) => matches(request)) ?? this.#last
    if (entry === undefined) {
      throw new Error(`FakeEngine: there is no script for \`${shown}\`: when(…) or otherwise(…) gives it one`)
    }
    const { scripts } = entry
    const script = /** @type {Scripted} */ (scripts.length > 1 ? scripts.shift() : scripts[0])
    if (typeof script !== 'function') return script
    const made = script(request)
    checkScript(made)
    return made
  }
}

/** @param {Scripted[]} scripts */
function checked(scripts) {
  if (scripts.length === 0) throw new TypeError('FakeEngine: expected a script, found none')
  for (const script of scripts) if (typeof script !== 'function') checkScript(script)
  return [...scripts]
}

/** @param {FakeMatch} match @returns {(request: any) => boolean} */
function matcherOf(match) {
  if (typeof match === 'function') return match
  if (typeof match === 'string') return ({ id }) => id === match.toLowerCase()
  if (!isObject(match))
    throw new TypeError('FakeEngine: expected an id, fields of a command or a function to match with')
  return ({ command }) => Object.entries(match).every(([key, wanted]) => fits(command[key], wanted))
}

/** @param {unknown} found @param {unknown} wanted @returns {boolean} */
function fits(found, wanted) {
  if (wanted === undefined) return true
  if (wanted instanceof RegExp) return typeof found === 'string' && found.search(wanted) !== -1
  if (!Array.isArray(wanted)) return found === wanted
  const list = found ?? []
  return Array.isArray(list) && list.length === wanted.length && wanted.every((item, i) => fits(list[i], item))
}

/** @param {unknown} script */
function checkScript(script) {
  expectKeys(script, KEYS, 'a script')
  const { output = [], ...rest } = /** @type {FakeScript} */ (script)
  for (const line of output) if (typeof line !== 'string') expectKeys(line, LINE_KEYS, 'a line')
  const ends = ENDS.filter((key) => /** @type {any} */ (rest)[key] !== undefined)
  // Refuses what no result says.
  fakeResult(rest.result)
  if (ends.length > 1) throw new TypeError(`FakeEngine: expected one end of a script, found ${ends.join(' and ')}`)
}

/** @param {unknown} value @param {string[]} keys @param {string} what */
function expectKeys(value, keys, what) {
  if (!isObject(value)) throw new TypeError(`FakeEngine: expected ${what}, found ${String(value)}`)
  const unknown = Object.keys(/** @type {object} */ (value)).find((key) => !keys.includes(key))
  if (unknown === undefined) return
  throw new TypeError(`FakeEngine: expected of ${what} one of the keys ${keys.join(', ')}, found "${unknown}"`)
}

module.exports = { Scripts }

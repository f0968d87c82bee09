'use strict'

// What a scripted execution hides, as an engine does: the values themselves, though not what programs encode them as.

const { escaped, fitsPattern, folded, refuse } = require('../checkers')

const SHORTEST = 4
const LONGEST = 65_536
/** Shorter lines of a secret of several say too little to be one. */
const SHORTEST_LINE = 8
/** A shorter value of a variable that nobody named may be a switch. */
const SHORTEST_UNNAMED = 8

/** Values that are hidden in whatever is told, and those that are added. */
class Secrets {
  #values
  /** @type {RegExp | undefined} */
  #pattern

  /** @param {string[]} values */
  constructor(values) {
    this.#values = values
    this.#pattern = patternOf(values)
  }

  /** @param {string} value */
  add(value) {
    this.#values.push(value)
    this.#pattern = patternOf(this.#values)
  }

  /** @param {string} text */
  hide(text) {
    return this.#pattern === undefined ? text : text.replace(this.#pattern, '***')
  }
}

/** What finds them, the longest first. @param {string[]} values */
function patternOf(values) {
  const longestFirst = values.flatMap(formsOf).sort((one, other) => other.length - one.length)
  return longestFirst.length === 0 ? undefined : new RegExp(longestFirst.join('|'), 'g')
}

/** What a value is found by: where it has several lines, also each that is long enough. @param {string} value */
function formsOf(value) {
  const text = value.trim()
  if (Buffer.byteLength(text) < SHORTEST) return [escaped(value)]
  if (!text.includes('\n')) return [escaped(text)]
  const lines = text.split('\n').map((line) => line.trim())
  // Any document has lines of brackets and quotes alone.
  const telling = lines.filter((line) => Buffer.byteLength(line) >= SHORTEST_LINE && /[^\s{}[\](),;:"'`]/.test(line))
  return [text.split(/\s+/).map(escaped).join('\\s+'), ...telling.map(escaped)]
}

/**
 * The secrets of a request, and of the plan that it is a step of.
 *
 * @param {any} request
 * @param {string[]} patterns of the names of variables
 * @param {any} [plan]
 * @param {string} [path] of the request
 */
function secretsOf(request, patterns, plan = {}, path = '') {
  const variables = variablesOf(request)
  const unnamed = variables.filter(([name, value]) => {
    const isLongEnough = Buffer.byteLength(value) >= SHORTEST_UNNAMED && value.trim() !== ''
    return isLongEnough && patterns.some((pattern) => fitsPattern(pattern, name))
  })
  return new Secrets([
    ...listed(plan.secrets, 'secrets'),
    ...listed(request.secrets, `${path}secrets`),
    ...unnamed.map(([, value]) => value),
    ...valuesOf(plan.secretEnv, variables, 'secretEnv'),
    ...valuesOf(request.secretEnv, variables, `${path}secretEnv`),
  ])
}

/** The variables of the command. @param {any} request @returns {[name: string, value: string][]} */
function variablesOf({ env = {}, inheritEnv = true }) {
  const isInherited = (/** @type {string} */ name) =>
    Array.isArray(inheritEnv) ? inheritEnv.some((pattern) => fitsPattern(pattern, name)) : inheritEnv !== false
  const variables = new Map()
  for (const [name, value] of Object.entries(process.env)) if (isInherited(name)) variables.set(folded(name), value)
  for (const [name, value] of Object.entries(env)) variables.set(folded(name), value)
  return [...variables].filter(([, value]) => typeof value === 'string')
}

/** @param {string[]} [values] @param {string} [path] */
function listed(values = [], path = '') {
  values.forEach((value, index) => expectSecret(value, `${path}[${index}]`))
  return values
}

/** One that is not there, or blank, is no secret. @param {string[] | undefined} names @param {[string, string][]} variables @param {string} path */
function valuesOf(names = [], variables, path) {
  return names.flatMap((name, index) => {
    const value = variables.find(([found]) => found === folded(name))?.[1] ?? ''
    if (value.trim() === '') return []
    const size = Buffer.byteLength(value)
    if (size >= SHORTEST && size <= LONGEST) return [value]
    const expected = `the name of a variable whose value has at least ${SHORTEST} bytes`
    return refuse(`${path}[${index}]`, expected, `${JSON.stringify(name)}, whose value has ${size}`)
  })
}

/** Refuses what cannot be masked. @param {string} value @param {string} field */
function expectSecret(value, field) {
  const size = Buffer.byteLength(value)
  const isBlank = value.trim() === ''
  if (!isBlank && size >= SHORTEST && size <= LONGEST) return
  const expected = `a text of ${SHORTEST} to ${LONGEST} bytes that is not only white space`
  refuse(field, expected, size === 0 ? 'an empty string' : isBlank ? 'only white space' : `one of ${size}`)
}

module.exports = { expectSecret, secretsOf }

'use strict'

// What `lib/check.js` checks with.
//
// A checker takes a value and its path, throws an ExecutionError, and returns a copy as the engine reads it: with the
// keys of Rust. Only what an object has itself counts, and it is read once: what was checked is what is sent. The copy
// inherits nothing, so that no `toJSON` which a program has added somewhere is called when it is made text.

const { constants } = require('node:buffer')
const { isUint8Array } = require('node:util').types
const { ExecutionError } = require('./error')

const { create, entries, getOwnPropertyDescriptor, getPrototypeOf, hasOwn, keys, setPrototypeOf } = Object
const { isArray } = Array
const { toString } = Object.prototype

/** @typedef {(value: any, path: string, code: 'VALIDATION' | 'INVALID_CONFIG') => any} Checker */

/** @type {(path: string, expected: string, found: string, code?: 'VALIDATION' | 'INVALID_CONFIG') => never} */
function refuse(path, expected, found, code = 'VALIDATION') {
  const field = withoutSecrets(path)
  throw new ExecutionError(code, `${field}: expected ${expected}, found ${withoutSecrets(found)}`, { field })
}

/** The request or plan that is being checked, for the secrets in it. @type {unknown} */
let checking

/**
 * Checks a request or a plan. What is refused in it is told without its secrets, wherever they stand.
 *
 * @template T
 * @param {unknown} value
 * @param {() => T} check
 * @param {() => readonly string[]} [patterns] names of variables whose values are secrets
 * @returns {T}
 */
function whileChecking(value, check, patterns = () => []) {
  const [outer, outerPatterns] = [checking, patternsOfSecrets]
  checking = value
  patternsOfSecrets = patterns
  try {
    return check()
  } finally {
    checking = outer
    patternsOfSecrets = outerPatterns
  }
}

/** The names of which the values are secrets though nobody names them. @type {() => readonly string[]} */
let patternsOfSecrets = () => []

/** As the names of variables are compared. @param {string} name */
const folded = (name) => (process.platform === 'win32' ? name.toUpperCase() : name)

/** @param {string} text */
const escaped = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')

/** Whether a pattern stands for a name; `*` in it stands for any characters. @param {string} pattern @param {string} name */
const fitsPattern = (pattern, name) =>
  new RegExp(`^${folded(pattern).split('*').map(escaped).join('.*')}$`, 's').test(folded(name))

/** What an object has itself, without calling a getter: only for a message, and no reading. @param {any} value @param {string} key */
const peek = (value, key) => (isObject(value) ? getOwnPropertyDescriptor(value, key)?.value : undefined)

/** @param {unknown} list @returns {unknown[]} */
const itemsOf = (list) => (isArray(list) ? list : [])

/** The secrets of a request or a plan, as far as it is one, the longest first. @returns {string[]} */
function secretsOfChecked() {
  const steps = peek(checking, 'steps')
  const named = isObject(steps) ? keys(steps).map((name) => peek(steps, name)) : []
  const parts = [checking, ...itemsOf(peek(checking, 'commands')), ...named]
  const names = parts.flatMap((part) => itemsOf(peek(part, 'secretEnv')))
  const ofHost = names.map((name) => process.env[String(name)])
  const ofRequest = parts.map((part) => names.map((name) => peek(peek(part, 'env'), String(name))))
  const patterns = patternsOfSecrets()
  const unnamed = [process.env, ...parts.map((part) => peek(part, 'env')).filter(isObject)].flatMap((env) =>
    keys(env)
      .filter((name) => patterns.some((pattern) => fitsPattern(pattern, name)))
      .map((name) => peek(env, name) ?? '')
      .filter((value) => String(value).length >= 8),
  )
  const values = [...parts.map((part) => itemsOf(peek(part, 'secrets'))), ofHost, unnamed, ...ofRequest].flat()
  const texts = values.map((value) => (typeof value === 'number' || typeof value === 'bigint' ? `${value}` : value))
  return texts
    .filter((text) => typeof text === 'string' && text.trim().length > 3)
    .sort((one, other) => other.length - one.length)
}

/** @param {string} text */
function withoutSecrets(text) {
  if (checking === undefined) return text
  return secretsOfChecked().reduce((shown, secret) => shown.replaceAll(secret, '***'), text)
}

/** @param {any} value */
function describe(value) {
  switch (typeof value) {
    case 'string': {
      // Before it is cut and escaped: a half of a secret would not be known any more.
      const shown = withoutSecrets(value)
      return JSON.stringify(shown.length > 60 ? `${shown.slice(0, 60)}…` : shown)
    }
    case 'bigint':
      return `${value}n`
    case 'number':
    case 'boolean':
      return String(value)
    default:
      return describeType(value)
  }
}

/** What may be a secret is not told: only what it is. @param {any} value */
function describeType(value) {
  if (value === null || value === undefined) return String(value)
  if (isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object') return `an object of type ${getPrototypeOf(value)?.constructor?.name ?? 'null'}`
  return `a ${typeof value}`
}

/**
 * A copy of an object, as yet empty. Its prototype is an empty one: without any, V8 takes three times as long.
 *
 * @type {new () => Record<string, any>}
 */
const Copy = /** @type {any} */ (function Copy() {})
Copy.prototype = create(null)

/** A copy of an array, as yet empty. @returns {any[]} */
const copyOfArray = () => setPrototypeOf([], null)

/** What an object has itself. @param {any} value @param {string | number} key */
const own = (value, key) => (hasOwn(value, key) ? value[key] : undefined)

/** @type {Checker} */
function text(value, path, code) {
  if (typeof value !== 'string') return refuse(path, 'a string', describe(value), code)
  // No half of a pair.
  if (/** @type {any} */ (value).isWellFormed()) return value
  return refuse(path, 'text of whole Unicode characters', describe(value), code)
}

/** @type {Checker} */
const flag = (value, path, code) =>
  typeof value === 'boolean' ? value : refuse(path, 'a boolean', describe(value), code)

/** @type {Checker} */
function positive(value, path, code) {
  if (Number.isSafeInteger(value) && value > 0) return value
  return refuse(path, 'a positive integer up to 2^53 - 1', describe(value), code)
}

/** @type {Checker} */
function count(value, path, code) {
  if (Number.isSafeInteger(value) && value >= 0) return value
  return refuse(path, 'zero or a positive integer up to 2^53 - 1', describe(value), code)
}

/** @type {Checker} */
function integer(value, path, code) {
  if (Number.isSafeInteger(value)) return value
  return refuse(path, 'an integer from -(2^53 - 1) to 2^53 - 1', describe(value), code)
}

/**
 * How many bytes fit into one string, which a stream of a result, a line and a log are in JavaScript. What is left is
 * room for other lines of the same read, and for a line of warning.
 */
const LONGEST_TEXT = constants.MAX_STRING_LENGTH - 2 ** 20

/** @type {Checker} */
const textSize = (value, path, code) => Math.min(positive(value, path, code), LONGEST_TEXT)

/** @type {(least: number) => Checker} */
const sizeOfAtLeast = (least) => (value, path, code) => {
  if (!(Number.isSafeInteger(value) && value >= least)) {
    refuse(path, `an integer of at least ${least}, up to 2^53 - 1`, describe(value), code)
  }
  return textSize(value, path, code)
}

/** @type {(least: number, most: number) => Checker} */
const within = (least, most) => (value, path, code) => {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return value
  return refuse(path, `an integer from ${least} to ${most}`, describe(value), code)
}

/** The bits of a file's mode that are masked. @type {Checker} */
const umask = (value, path, code) => {
  if (Number.isSafeInteger(value) && value >= 0 && value <= 0o777) return value
  return refuse(path, 'an integer from 0 to 511 (0o777), such as 0o077', describe(value), code)
}

/** What only another method takes. @type {(owner: string) => Checker} */
const onlyOf = (owner) => (value, path, code) => refuse(path, `none, as only ${owner} has it`, describe(value), code)

/**
 * An object that has one of these keys at least; what else it needs, `check` tells.
 *
 * @type {(choice: string[], known: string[], check: Checker, expected: string, name: string) => Checker}
 */
const withOneOf = (choice, known, check, expected, name) => (value, path, code) => {
  // Which keys there are is asked, and no value read.
  const has = (/** @type {string} */ key) => hasOwn(value, key)
  if (isObject(value) && !choice.some(has) && keys(value).every((key) => known.includes(key))) {
    const found = keys(value).length === 0 ? 'an empty object' : `an object with only ${keys(value).join(', ')}`
    refuse(path === '' ? name : path, expected, found, code)
  }
  return check(value, path, code)
}
/** @type {(least: number) => Checker} */
const numberOfAtLeast = (least) => (value, path, code) =>
  Number.isFinite(value) && value >= least
    ? value
    : refuse(path, `a number of at least ${least}`, describe(value), code)

/** @type {(...names: string[]) => Checker} */
const oneOf =
  (...names) =>
  (value, path, code) =>
    names.includes(value) ? value : refuse(path, names.map((name) => `"${name}"`).join(' or '), describe(value), code)

/** One of these names, or an object with this one key. @type {(names: string[], shape: Record<string, Checker>) => Checker} */
function oneOfOr(names, shape) {
  const choice = [...names.map((name) => `"${name}"`), ...keys(shape).map((key) => `{ ${key} }`)].join(' or ')
  const ofObject = object(shape, choice)
  return (value, path, code) => {
    if (isObject(value)) return ofObject(value, path, code)
    return names.includes(value) ? value : refuse(path, choice, describe(value), code)
  }
}

/** @type {(item: Checker) => Checker} */
const listOf = (item) => (value, path, code) => {
  if (!isArray(value)) refuse(path, 'an array', describe(value), code)
  const items = copyOfArray()
  const { length } = value
  // A plain loop sees the holes that `map` skips.
  for (let i = 0; i < length; i++) items[i] = item(own(value, i), `${path}[${i}]`, code)
  return items
}

/** @type {(item: Checker, show?: (value: any) => string, expected?: string) => Checker} */
const recordOf =
  (item, show = describe, expected = 'an object with numbers') =>
  (value, path, code) => {
    if (!isObject(value)) refuse(path, expected, show(value), code)
    const checked = new Copy()
    for (const key of keys(value)) {
      const place = `${path}.${key}`
      checked[text(key, place, code)] = item(value[key], place, code)
    }
    return checked
  }

const texts = recordOf(text, describe, 'an object with string values')

/** A secret, or the value of a variable. @type {Checker} */
function secretText(value, path, code) {
  if (typeof value !== 'string') return refuse(path, 'a string', describeType(value), code)
  if (/** @type {any} */ (value).isWellFormed()) return value
  return refuse(path, 'text of whole Unicode characters', 'a string with half of one', code)
}

/** A variable without a value is one that is not inherited. @type {Checker} */
const variable = (value, path, code) => (value === undefined || value === null ? null : secretText(value, path, code))

const secretTexts = recordOf(variable, describeType, 'an object with string values')

/** @type {Checker} */
const secretList = (value, path, code) =>
  isArray(value) ? listOf(secretText)(value, path, code) : refuse(path, 'an array', describeType(value), code)

/**
 * Whether it is an object for the sake of its keys, such as a literal, an instance of a class or a module. A `Map`, or a
 * promise that nobody awaited, has none, and would pass for an empty one.
 *
 * @param {any} value
 */
function isObject(value) {
  if (typeof value !== 'object' || value === null) return false
  if (getPrototypeOf(value) === Object.prototype) return true
  const tag = toString.call(value)
  return tag === '[object Object]' || tag === '[object Module]'
}

/** What tells objects apart: checked, and read, by `byType`. @type {Checker} */
const tag = (value) => value

/** @param {string} key */
const rustName = (key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/**
 * An object with these keys and no others; a key with `?` may be absent or undefined. `name` is what it is called
 * where it has no path; `spell` how the copy spells its keys.
 *
 * @type {(shape: Record<string, Checker>, expected: string, about?: { name?: string, spell?: (key: string) => string }) => Checker}
 */
function object(shape, expected, { name: whole = 'request', spell = rustName } = {}) {
  const all = entries(shape).map(([key, check]) => {
    const name = key.replace('?', '')
    return { name, copied: spell(name), required: name === key, check }
  })
  const fields = all.filter(({ check }) => check !== tag)
  const known = new Set(all.map(({ name }) => name))
  return (value, path, code) => {
    const within = path === '' ? '' : `${path}.`
    if (!isObject(value)) refuse(path === '' ? whole : path, expected, describe(value), code)
    for (const key of keys(value)) {
      if (!known.has(key)) refuseKey(within + key, key, known, code)
    }
    const checked = new Copy()
    for (const { name, copied, required, check } of fields) {
      const found = own(value, name)
      if (found !== undefined) checked[copied] = check(found, within + name, code)
      else if (required) check(undefined, within + name, code)
    }
    return checked
  }
}

/** @type {(path: string, key: string, known: Set<string>, code: 'VALIDATION' | 'INVALID_CONFIG') => never} */
function refuseKey(path, key, known, code) {
  // No known key is longer, and all of a very long one would take seconds.
  const start = key.slice(0, 30)
  const nearest = [...known].sort((a, b) => distance(start, a) - distance(start, b))
  const isClose = distance(start, nearest[0]) <= nearest[0].length / 2
  // A guess far off, "id" for "cwd", helps less than the choice there is.
  const expected = isClose ? `a known key, such as "${nearest[0]}"` : `one of the keys ${[...known].join(', ')}`
  return refuse(path, expected, describe(key), code)
}

/**
 * How many letters have to be changed, added or dropped.
 *
 * @param {string} a
 * @param {string} b
 */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1].toLowerCase() === b[j - 1].toLowerCase() ? 0 : 1
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + same)
    }
    row = next
  }
  return row[b.length]
}

/**
 * One of several objects, told apart by `type`. Where that alone was given, the message shows the object.
 *
 * @type {(types: Record<string, Checker>, expected: string) => Checker}
 */
function byType(types, expected) {
  const type = oneOf(...keys(types))
  return (value, path, code) => {
    const named = typeof value === 'string' && hasOwn(types, value) ? `, { type: "${value}" }` : ''
    if (!isObject(value)) refuse(path, expected + named, describe(value), code)
    const found = type(own(value, 'type'), `${path}.type`, code)
    const checked = types[found](value, path, code)
    checked.type = found
    return checked
  }
}

/** @type {Checker} */
function uuid(value, path, code) {
  const form = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i
  return typeof value === 'string' && form.test(value)
    ? value.toLowerCase()
    : refuse(path, 'a UUID', describe(value), code)
}

/** @type {Checker} */
function bytes(value, path, code) {
  // Also an array of another realm, as under Jest.
  const works = typeof value === 'string' || isUint8Array(value)
  return works ? value : refuse(path, 'a string or a Uint8Array', describeType(value), code)
}

/** What a command reads: bytes, or a `Source` of them, or where they come from. @type {Checker} */
function stdin(value, path, code) {
  if (typeof value === 'string' || isUint8Array(value)) return value
  const { Source, isSource } = require('./input')
  if (isSource(value)) return new Source(value)
  if (isObject(value) && keys(value).length > 0) {
    return own(value, 'open') === undefined ? inputFile(value, path, code) : openInput(value, path, code)
  }
  const expected = 'a string, a Uint8Array, { file }, { open: true }, an async iterable or a ReadableStream'
  return refuse(path, expected, describeType(value), code)
}

/** A path, also as the URL of a file. @type {Checker} */
function path(value, place, code) {
  if (typeof value === 'string' || toString.call(value) !== '[object URL]') return text(value, place, code)
  try {
    return text(require('node:url').fileURLToPath(value), place, code)
  } catch {
    return refuse(place, 'a path, or the URL of a file', describe(String(value)), code)
  }
}

/** @type {Checker} */
function inheritEnv(value, path, code) {
  if (typeof value === 'boolean' || value === 'login') return value
  if (isArray(value)) return names(value, path, code)
  return refuse(path, 'a boolean, an array of names or "login"', describe(value), code)
}

const names = listOf(text)

const uid = within(0, 2 ** 32 - 2)

/** @type {Checker} */
function user(value, path, code) {
  if (typeof value === 'string') return text(value, path, code)
  if (typeof value === 'number') return uid(value, path, code)
  return refuse(path, 'the name or the number of a user', describe(value), code)
}

/** @type {(item: Checker) => Checker} */
const indicesOf = (item) => (value, path, code) => {
  if (!isObject(value)) refuse(path, 'an object from indices to arrays of indices', describe(value), code)
  const checked = new Copy()
  for (const key of keys(value)) {
    if (!/^(0|[1-9][0-9]{0,14})$/.test(key)) refuse(`${path}[${key}]`, 'the index of a command', describe(key), code)
    checked[key] = item(value[key], `${path}[${key}]`, code)
  }
  return checked
}

/** Objects by the names that the user gave them. @type {(item: Checker) => Checker} */
const named = (item) => (value, path, code) => {
  if (!isObject(value)) refuse(path, 'an object from names to steps', describe(value), code)
  const checked = new Copy()
  for (const key of keys(value)) {
    const place = /^[\w-]+$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`
    checked[text(key, place, code)] = item(value[key], place, code)
  }
  return checked
}

/**
 * What one of two checkers is for: objects that have this key of their own, or those that have not.
 *
 * @type {(key: string, having: Checker, other: Checker) => Checker}
 */
const byKey = (key, having, other) => (value, path, code) =>
  (isObject(value) && hasOwn(value, key) ? having : other)(value, path, code)

/** @type {Checker} */
function callback(value, path, code) {
  return typeof value === 'function' ? value : refuse(path, 'a function', describe(value), code)
}

const inputFile = object({ file: path }, 'an object with the key "file" or "open"')

/** @type {Checker} */
const isTrue = (value, path, code) => value === true || refuse(path, 'true', describe(value), code)

const openInput = object({ open: isTrue }, 'an object with the key "file" or "open"')

/** @type {Checker} */
function abortSignal(value, path, code) {
  const works =
    typeof value?.aborted === 'boolean' &&
    typeof value.addEventListener === 'function' &&
    typeof value.removeEventListener === 'function'
  return works ? value : refuse(path, 'an AbortSignal', describe(value), code)
}

/** Text that a command can be given: where it ends, a NUL byte tells. @param {unknown} value @param {string} path */
function argument(value, path) {
  const checked = text(value, path, 'VALIDATION')
  return checked.includes('\0') ? refuse(path, 'text without NUL bytes', 'one with a NUL byte') : checked
}

module.exports = {
  abortSignal,
  argument,
  byKey,
  byType,
  bytes,
  callback,
  count,
  describe,
  escaped,
  fitsPattern,
  flag,
  folded,
  indicesOf,
  inheritEnv,
  integer,
  isObject,
  listOf,
  named,
  numberOfAtLeast,
  object,
  oneOf,
  path,
  oneOfOr,
  onlyOf,
  positive,
  recordOf,
  refuse,
  secretList,
  secretText,
  secretTexts,
  stdin,
  tag,
  text,
  sizeOfAtLeast,
  textSize,
  texts,
  umask,
  user,
  uuid,
  whileChecking,
  withOneOf,
  within,
}

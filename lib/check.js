'use strict'

// The shapes of what users pass in: which keys there are and of which type. What a value means (ranges that
// depend on the configuration, files, programs) is checked by the engine.
//
// A checker takes a value and its path, throws an ExecutionError, and returns the value as the engine reads it:
// with the keys of Rust.

const { constants } = require('node:buffer')
const { isUint8Array } = require('node:util').types
const { ExecutionError } = require('./error')

/** @typedef {(value: any, path: string, code: 'VALIDATION' | 'INVALID_CONFIG') => any} Checker */

/** @type {(path: string, expected: string, found: string, code?: 'VALIDATION' | 'INVALID_CONFIG') => never} */
function refuse(path, expected, found, code = 'VALIDATION') {
  throw new ExecutionError(code, `${path}: expected ${expected}, found ${found}`, { field: path })
}

/** @param {any} value */
function describe(value) {
  if (value === null) return 'null'
  if (Array.isArray(value)) return `an array of ${value.length}`
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
    case 'bigint':
      return `${value}n`
    case 'object':
      return `an object of type ${value.constructor?.name ?? 'null'}`
    case 'function':
      return 'a function'
    default:
      return String(value)
  }
}

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

/**
 * How many bytes fit into one string, which a stream of a result, a line and a log are in JavaScript. What is left is
 * room for other lines of the same read, and for a line of warning.
 */
const LONGEST_TEXT = constants.MAX_STRING_LENGTH - 2 ** 20

/** @type {Checker} */
const textSize = (value, path, code) => Math.min(positive(value, path, code), LONGEST_TEXT)

/**
 * No less than the longest character takes, which is never cut in two.
 *
 * @type {Checker}
 */
function lineSize(value, path, code) {
  if (!(Number.isSafeInteger(value) && value >= 4)) {
    refuse(path, 'an integer of at least 4, up to 2^53 - 1', describe(value), code)
  }
  return textSize(value, path, code)
}

/** @type {(...names: string[]) => Checker} */
const oneOf =
  (...names) =>
  (value, path, code) =>
    names.includes(value) ? value : refuse(path, names.map((name) => `"${name}"`).join(' or '), describe(value), code)

/** @type {(item: Checker) => Checker} */
const listOf = (item) => (value, path, code) => {
  if (!Array.isArray(value)) refuse(path, 'an array', describe(value), code)
  // A plain loop sees the holes that `map` skips.
  const items = []
  for (let i = 0; i < value.length; i++) items.push(item(value[i], `${path}[${i}]`, code))
  return items
}

/** @type {Checker} */
function texts(value, path, code) {
  if (!isObject(value)) refuse(path, 'an object with string values', describe(value), code)
  const entry = (/** @type {string} */ key) => {
    const place = `${path}.${key}`
    return [text(key, place, code), text(value[key], place, code)]
  }
  return Object.fromEntries(Object.keys(value).map(entry))
}

/**
 * Whether it is an object for the sake of its keys, such as a literal, an instance of a class or a module. A `Map`, or a
 * promise that nobody awaited, has none, and would pass for an empty one.
 *
 * @param {any} value
 */
function isObject(value) {
  if (typeof value !== 'object' || value === null) return false
  if (Object.getPrototypeOf(value) === Object.prototype) return true
  const tag = Object.prototype.toString.call(value)
  return tag === '[object Object]' || tag === '[object Module]'
}

/** @param {string} key */
const rustName = (key) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

/**
 * An object with these keys and no others; a key with `?` may be absent or undefined. `name` is what it is called
 * where it has no path.
 *
 * @type {(shape: Record<string, Checker>, expected: string, name?: string) => Checker}
 */
function object(shape, expected, name = 'request') {
  const keys = Object.entries(shape).map(([key, check]) => {
    const name = key.replace('?', '')
    return { name, rust: rustName(name), required: name === key, check }
  })
  const known = new Set(keys.map(({ name }) => name))
  return (value, path, code) => {
    const within = path === '' ? '' : `${path}.`
    if (!isObject(value)) refuse(path === '' ? name : path, expected, describe(value), code)
    for (const key of Object.keys(value)) {
      if (!known.has(key)) refuseKey(within + key, key, known, code)
    }
    /** @type {Record<string, any>} */
    const checked = {}
    for (const { name, rust, required, check } of keys) {
      const found = value[name]
      if (found !== undefined) checked[rust] = check(found, within + name, code)
      else if (required) check(undefined, within + name, code)
    }
    return checked
  }
}

/** @type {(path: string, key: string, known: Set<string>, code: 'VALIDATION' | 'INVALID_CONFIG') => never} */
function refuseKey(path, key, known, code) {
  // No known key is longer, and all of a very long one would take seconds.
  const start = key.slice(0, 30)
  const keys = [...known].sort((a, b) => distance(start, a) - distance(start, b))
  const isClose = distance(start, keys[0]) <= keys[0].length / 2
  // A guess far off, "id" for "cwd", helps less than the choice there is.
  const expected = isClose ? `a known key, such as "${keys[0]}"` : `one of the keys ${[...known].join(', ')}`
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

const commands = {
  exec: object({ type: text, program: text, 'args?': listOf(text) }, 'a command'),
  shell: object({ type: text, command: text, 'shell?': text }, 'a command'),
  script: object({ type: text, path: text, 'interpreter?': text, 'args?': listOf(text) }, 'a command'),
  aws_cli: object(
    {
      type: text,
      service: text,
      operation: text,
      'args?': listOf(text),
      'profile?': text,
      'region?': text,
    },
    'a command',
  ),
}

const command = byType(commands, 'a command object')

/**
 * One of several objects, told apart by `type`.
 *
 * @type {(types: Record<string, Checker>, expected: string) => Checker}
 */
function byType(types, expected) {
  const type = oneOf(...Object.keys(types))
  return (value, path, code) => {
    if (!isObject(value)) refuse(path, expected, describe(value), code)
    return types[type(value.type, `${path}.type`, code)](value, path, code)
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
function stdin(value, path, code) {
  // Also an array of another realm, as under Jest.
  const works = typeof value === 'string' || isUint8Array(value)
  return works ? value : refuse(path, 'a string or a Uint8Array', describe(value), code)
}

const metadata = object({ 'source?': text, 'conversationId?': text, 'tags?': texts }, 'a metadata object')

const request = object(
  {
    'id?': uuid,
    command,
    'env?': texts,
    'inheritEnv?': flag,
    'workingDir?': text,
    'stdin?': stdin,
    'timeoutMs?': positive,
    'outputLogPath?': text,
    'keepBackground?': flag,
    'metadata?': metadata,
  },
  'a request object',
)

/** @type {Checker} */
function dependencies(value, path, code) {
  if (!isObject(value)) refuse(path, 'an object from indices to arrays of indices', describe(value), code)
  for (const key of Object.keys(value)) {
    if (!/^(0|[1-9][0-9]{0,14})$/.test(key)) refuse(`${path}[${key}]`, 'the index of a command', describe(key), code)
    counts(value[key], `${path}[${key}]`, code)
  }
  return value
}

const counts = listOf(count)

const strategies = {
  serial: object({ type: text, 'stopOnError?': flag }, 'a strategy'),
  parallel: object({ type: text, 'maxConcurrency?': positive, 'stopOnError?': flag }, 'a strategy'),
  dependency_graph: object(
    { type: text, dependencies, 'maxConcurrency?': positive, 'stopOnError?': flag },
    'a strategy',
  ),
}

const strategy = byType(strategies, 'a strategy object')

const plan = object(
  {
    'id?': uuid,
    'description?': text,
    strategy,
    commands: listOf(request),
    'timeoutMs?': positive,
    'metadata?': metadata,
  },
  'a plan object',
  'plan',
)

const config = object(
  {
    'defaultTimeoutMs?': positive,
    'maxTimeoutMs?': positive,
    'maxConcurrentExecutions?': positive,
    'maxQueuedExecutions?': count,
    'maxInMemoryExecutions?': positive,
    'executionRetentionSecs?': positive,
    'enableAutoCleanup?': flag,
    'streamOutput?': flag,
    'maxOutputSizeBytes?': textSize,
    'oversizedOutputStrategy?': oneOf('truncate_with_warning', 'fail_execution', 'stream_to_file'),
    'maxLineSizeBytes?': lineSize,
    'logOutput?': flag,
    'logDir?': text,
    'maxLogSizeBytes?': positive,
    'terminationGraceMs?': positive,
    'drainIdleMs?': positive,
    'drainMaxMs?': positive,
    'orphanProtection?': flag,
  },
  'a configuration object',
)

/** @type {Checker} */
function callback(value, path, code) {
  return typeof value === 'function' ? value : refuse(path, 'a function', describe(value), code)
}

/** @type {Checker} */
function abortSignal(value, path, code) {
  const works =
    typeof value?.aborted === 'boolean' &&
    typeof value.addEventListener === 'function' &&
    typeof value.removeEventListener === 'function'
  return works ? value : refuse(path, 'an AbortSignal', describe(value), code)
}

const options = object(
  {
    'onStdout?': callback,
    'onStderr?': callback,
    'onEvent?': callback,
    'signal?': abortSignal,
  },
  'an options object',
)

const streamOptions = object({ 'signal?': abortSignal }, 'an options object')
const logOptions = object({ 'maxBytes?': textSize }, 'an options object')

module.exports = {
  /** @param {unknown} value */
  request: (value) => request(value, '', 'VALIDATION'),
  /** @param {unknown} value */
  plan: (value) => plan(value, '', 'VALIDATION'),
  /** @param {unknown} value */
  config: (value) => config(value, value === undefined || isObject(value) ? '' : 'config', 'INVALID_CONFIG'),
  /** @param {unknown} value @returns {import('../index').ExecuteOptions} */
  options: (value) => {
    options(value, 'options', 'VALIDATION')
    return /** @type {any} */ (value)
  },
  /** @param {unknown} value @returns {{ signal?: AbortSignal }} */
  streamOptions: (value) => streamOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {{ max_bytes?: number }} */
  logOptions: (value) => logOptions(value, 'options', 'VALIDATION'),
  /** @param {unknown} value @returns {string} */
  id: (value) => uuid(value, 'id', 'VALIDATION'),
  /** @param {unknown} value @returns {string} */
  planId: (value) => uuid(value, 'planId', 'VALIDATION'),
  /** @param {unknown} value */
  callback: (value) => callback(value, 'handler', 'VALIDATION'),
}

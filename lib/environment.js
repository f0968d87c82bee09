'use strict'

// What a command inherits from the host, and who reads it: Rust, which takes next to no time for it, or JavaScript. Rust
// reads the memory that a change of `process.env` changes, so it may only while no other thread can make one.

const { subscribe } = require('node:diagnostics_channel')
const native = require('./native')
const { ExecutionError } = require('./error')

const { ownKeys, set } = Reflect

/**
 * Whether this is the only thread with JavaScript. There may be others where the module was loaded that makes them, as it
 * is in each of these, or where nobody tells what was loaded.
 */
let isAlone = hasLoaded('internal/worker') === false

// The `worker` event of the process comes a turn of the event loop later, when the thread runs already.
if (isAlone) subscribe('worker_threads', () => (isAlone = false))

/** @param {string} name */
function hasLoaded(name) {
  const { moduleLoadList: loaded } = /** @type {{ moduleLoadList?: string[] }} */ (/** @type {unknown} */ (process))
  return loaded?.includes(`NativeModule ${name}`)
}

/**
 * What `process.env` is if reading it in Rust gives the same: the environment of the process itself. Found out at the
 * first start, as it takes a while.
 *
 * @type {{ env: NodeJS.ProcessEnv | undefined } | undefined}
 */
let own

/**
 * Whether these variables are those of the process, and no copy as in a test runner or another runtime: then Rust sees
 * what is set here.
 *
 * @param {NodeJS.ProcessEnv} env
 */
function isOwnEnvironment(env) {
  const name = `ESCHER_PROBE_${process.pid}_${process.hrtime().join('_')}`
  // A copy may be frozen.
  if (!set(env, name, 'set')) return false
  const seen = native.NativeEngine.hasVariable(name)
  delete env[name]
  return seen
}

/** @param {NodeJS.ProcessEnv} env */
function isReadByRust(env) {
  if (!isAlone) return false
  own ??= { env: isOwnEnvironment(env) ? env : undefined }
  return env === own.env
}

/**
 * The variables that JavaScript sees now, each as `NAME=value` and a NUL byte: one text is several times cheaper than a
 * list to hand over, and to compare with the one before. `undefined`: Rust is to read them.
 */
function variables() {
  const { env } = process
  if (isReadByRust(env)) return undefined
  let text = ''
  // All keys of an environment can be enumerated, and to ask each whether it can takes as long as to read it.
  for (const name of ownKeys(env)) {
    if (typeof name !== 'string') continue
    const value = env[name]
    if (value === undefined) continue
    // A copy may hold what is no text: it becomes what `child_process` makes of it.
    const variable = `${name}=${String(value)}`
    if (variable.includes('\0')) refuse(name)
    text += `${variable}\0`
  }
  return text
}

/** @type {(name: string) => never} */
function refuse(name) {
  const field = `process.env.${name.replaceAll('\0', '\\0')}`
  throw new ExecutionError('VALIDATION', `${field}: expected a text without NUL bytes, found one with a NUL byte`, {
    field,
  })
}

/** The directory of logs where no other is asked for: one for each user, as the crate has it. */
function defaultLogDir() {
  const uid = process.geteuid?.()
  const name = uid === undefined ? 'cloudops-executions' : `cloudops-executions-${uid}`
  return require('node:path').join(require('node:os').tmpdir(), name)
}

module.exports = { defaultLogDir, variables }

'use strict'

// What no request may ask for, whatever its kinds are: where an engine looks at several fields together.

const { refuse } = require('../checkers')
const { defaultsOf } = require('../shape')

const HIGHEST_EXIT_CODE = process.platform === 'win32' ? 0xff_ff_ff_ff : 255

/** @param {any} request @param {string} path of the request */
function expectRules({ successExitCodes, retry, stdin, idleTimeoutMs, stdout, stderr }, path) {
  expectExitCodes(successExitCodes, `${path}successExitCodes`)
  if (retry !== undefined) {
    expectRetry(retry, `${path}retry`)
    expectInputForAll(stdin, `${path}stdin`)
  }
  if (idleTimeoutMs !== undefined && stdout === 'ignore' && (stderr === 'ignore' || stderr === 'stdout')) {
    const expected = 'none, as nobody can tell whether output that is ignored is silent'
    refuse(`${path}idleTimeoutMs`, expected, String(idleTimeoutMs))
  }
}

/** @param {import('../../index').Retry} retry @param {string} path */
function expectRetry({ delayMs = defaultsOf('Retry')['delayMs'], maxDelayMs, exitCodes }, path) {
  if (maxDelayMs !== undefined && maxDelayMs < delayMs) {
    refuse(`${path}.maxDelayMs`, `a positive integer of at least delayMs, ${delayMs}`, String(maxDelayMs))
  }
  expectExitCodes(exitCodes, `${path}.exitCodes`)
}

/** @param {readonly number[] | undefined} codes @param {string} path */
function expectExitCodes(codes, path) {
  if (codes?.length === 0) refuse(path, 'a list with at least one exit code', 'an empty one')
  codes?.forEach((code, index) => {
    if (code > HIGHEST_EXIT_CODE) refuse(`${path}[${index}]`, `an exit code, 0 to ${HIGHEST_EXIT_CODE}`, String(code))
  })
}

/** @param {any} stdin @param {string} path */
function expectInputForAll(stdin, path) {
  const isText = stdin === undefined || typeof stdin === 'string' || stdin instanceof Uint8Array
  if (isText || stdin.file !== undefined) return
  const found = 'a stream, or an input that is left open, which the first attempt would use up'
  refuse(path, 'with retry, text, bytes or a file, which every attempt can read', found)
}

module.exports = { expectRules }

'use strict'

// What a command printed, as JSON, and where it stops being that.

const { describeCommand } = require('./describe')

const { byteLength } = Buffer

/** How much of what is no JSON is shown, before and behind the place. */
const SHOWN = 20

/**
 * What a command printed to standard output, read as JSON. What it throws is a `SyntaxError` that says what was found
 * in place of it.
 *
 * @param {import('../index').ExecutionResult} result
 * @returns {unknown}
 */
function readJson(result) {
  const { stdout, stdoutBytes, truncated } = result
  // The beginning of a number is a number.
  if (truncated && (result.stdoutOverflowFile !== null || stdoutBytes > byteLength(stdout))) {
    throw refusal(result, `is not whole: ${stdoutBytes} bytes were printed, more than maxOutputSizeBytes`)
  }
  // PowerShell, for one, marks its text with it.
  const text = stdout.charCodeAt(0) === 0xfeff ? stdout.slice(1) : stdout
  if (text.trim() === '') throw refusal(result, 'is empty')
  try {
    return JSON.parse(text)
  } catch (cause) {
    const perhaps = truncated ? '; it may be more than maxOutputSizeBytes that was printed' : ''
    throw refusal(result, `is no JSON: ${describe(text, endOfJson(text))}${perhaps}`, cause)
  }
}

/** @param {import('../index').ExecutionResult} result @param {string} what @param {unknown} [cause] */
function refusal({ command, status, error }, what, cause) {
  const end = error === null ? status : `${status}: ${error}`
  return new SyntaxError(`the standard output of ${describeCommand(command)} (${end}) ${what}`, { cause })
}

/** @param {string} text @param {number} at */
function describe(text, at) {
  const found = at < text.length ? JSON.stringify(String.fromCodePoint(text.codePointAt(at) ?? 0)) : 'its end'
  const line = text.slice(0, at).split('\n').length
  const excerpt = JSON.stringify(text.slice(Math.max(0, at - SHOWN), at + SHOWN))
  return `found ${found} at position ${at}, in line ${line}, near ${excerpt}`
}

const SPACE = /[ \t\n\r]*/y
const SCALAR = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[\da-fA-F]{4})/y

/** @param {RegExp} token @param {string} text @param {number} at @returns {number} where it ends; `at` if it is not there */
function behind(token, text, at) {
  token.lastIndex = at
  return token.test(text) ? token.lastIndex : at
}

/**
 * Where a string ends, or stops being one.
 *
 * @param {string} text
 * @param {number} start where its first quote stands
 */
function stringAt(text, start) {
  let at = start + 1
  for (let char; (char = text[at]) !== undefined && char >= ' ';) {
    if (char === '"') return { end: at + 1, isClosed: true }
    const next = char === '\\' ? behind(ESCAPE, text, at) : at + 1
    if (next === at) break
    at = next
  }
  return { end: at, isClosed: false }
}

/**
 * Where a text stops being the beginning of a JSON value. Not every engine's parser tells, and none in the same words.
 *
 * @param {string} text
 */
function endOfJson(text) {
  /** What closes each list and object that is open, the innermost last. @type {string[]} */
  const open = []
  /** @type {'value' | 'first' | 'key' | 'first key' | 'colon' | 'more'} */
  let wanted = 'value'
  let at = 0
  for (;;) {
    at = behind(SPACE, text, at)
    const char = text[at]
    if (wanted === 'more') {
      const closing = open.at(-1)
      if (char === ',' && closing !== undefined) wanted = closing === '}' ? 'key' : 'value'
      else if (char !== undefined && char === closing) open.pop()
      else return at
      at += 1
    } else if (wanted === 'colon') {
      if (char !== ':') return at
      wanted = 'value'
      at += 1
    } else if (wanted.startsWith('first') && char === open.at(-1)) {
      open.pop()
      wanted = 'more'
      at += 1
    } else if (char === '"') {
      const { end, isClosed } = stringAt(text, at)
      if (!isClosed) return end
      wanted = wanted.endsWith('key') ? 'colon' : 'more'
      at = end
    } else if (wanted.endsWith('key')) {
      return at
    } else if (char === '{' || char === '[') {
      open.push(char === '{' ? '}' : ']')
      wanted = char === '{' ? 'first key' : 'first'
      at += 1
    } else {
      const end = behind(SCALAR, text, at)
      if (end === at) return at
      wanted = 'more'
      at = end
    }
  }
}

module.exports = { readJson }

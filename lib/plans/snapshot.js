'use strict'

const { isUint8Array } = require('node:util').types
const { isObject } = require('../checkers')

/**
 * What was passed, as it was: what is done to it later is not seen.
 *
 * @param {any} value
 * @returns {any}
 */
function snapshot(value) {
  if (Array.isArray(value)) return value.map(snapshot)
  if (isUint8Array(value)) return value.slice()
  if (!isObject(value) || Symbol.asyncIterator in value) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, snapshot(item)]))
}

module.exports = { snapshot }

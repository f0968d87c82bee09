'use strict'

// One argument, quoted for a shell. All of it, always: what needs no quotes in one place does in another, such as a
// word that would be a keyword.

const { argument } = require('./checkers')
const { seenFrom } = require('./error')

/** PowerShell takes each of these for a quote, and two of them for one that is text. */
const QUOTES_OF_POWERSHELL = /['\u2018-\u201b]/g

/** @param {string} text */
function quote(text) {
  try {
    return `'${argument(text, 'text').replaceAll("'", `'\\''`)}'`
  } catch (error) {
    throw seenFrom(error, quote)
  }
}

/** @param {string} text */
function quotePowerShell(text) {
  try {
    return `'${argument(text, 'text').replace(QUOTES_OF_POWERSHELL, '$&$&')}'`
  } catch (error) {
    throw seenFrom(error, quotePowerShell)
  }
}

module.exports = { quote, quotePowerShell }

'use strict'

// How an execution ended, in words for a message.

/** How much of what was printed is shown, from its end. */
const SHOWN_LINES = 20
const SHOWN_CHARACTERS = 4000
/** How much of a command is shown: a script may be long. */
const SHOWN_OF_COMMAND = 300

/** @param {string} command */
const describeCommand = (command) =>
  `\`${command.length > SHOWN_OF_COMMAND ? `${command.slice(0, SHOWN_OF_COMMAND)}…` : command}\``

/** The command, how it ended, and what it said last. @param {import('../index').ExecutionResult} result */
function describeEnd({ command, status, error, stdout, stderr }) {
  const head = `${describeCommand(command)}: ${error ?? status}`
  // Many programs tell of their errors where their output goes.
  const stream = stderr.trim() === '' ? 'stdout' : 'stderr'
  const printed = endOf(stream === 'stderr' ? stderr : stdout)
  return printed === '' ? head : `${head}\nthe end of its ${stream}:\n${printed}`
}

/** The last lines, without what a terminal would obey. @param {string} text */
function endOf(text) {
  const { stripVTControlCharacters } = require('node:util')
  // Sequences for a terminal take room that is not shown; what is before them need not be read, of megabytes.
  const end = stripVTControlCharacters(text.trimEnd().slice(-4 * SHOWN_CHARACTERS))
  const visible = end.replace(/\r\n?/g, '\n').replace(/[^\P{Cc}\n\t]/gu, '')
  return visible.slice(-SHOWN_CHARACTERS).split('\n').slice(-SHOWN_LINES).join('\n')
}

module.exports = { describeCommand, describeEnd }

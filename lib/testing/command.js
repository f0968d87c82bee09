'use strict'

/** A command as a result shows it, near enough. @param {any} command @param {(text: string) => string} hide what hides secrets */
function display(command, hide) {
  // What is quoted, or spread over words, is found as it is and as it is shown.
  const words = (/** @type {unknown[]} */ parts) => hide(line(parts, hide))
  switch (command.type) {
    case 'shell':
      return visible(hide(command.command))
    case 'script':
      return words([command.interpreter, command.path, ...(command.args ?? [])])
    case 'aws_cli': {
      const { service, operation, profile, region, args = [] } = command
      return words(['aws', service, operation, profile && '--profile', profile, region && '--region', region, ...args])
    }
    default:
      return words([command.program, ...(command.args ?? [])])
  }
}

/** @param {unknown[]} parts @param {(text: string) => string} hide */
const line = (parts, hide) =>
  parts
    .filter((part) => part !== undefined)
    .map((part) => visible(quoted(hide(String(part)))))
    .join(' ')

/** @param {string} word */
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)

/** On one line, whatever it holds. @param {string} text */
const visible = (text) =>
  text.replace(/\p{Cc}/gu, (char) => {
    return { '\n': '\\n', '\t': '\\t', '\r': '\\r' }[char] ?? `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })

module.exports = { display }

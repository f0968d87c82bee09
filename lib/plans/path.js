'use strict'

/** The path of a step in its plan, as a message names it. @param {string | number} key */
const pathOf = (key) => {
  if (typeof key === 'number') return `commands[${key}]`
  return /^[\w-]+$/.test(key) ? `steps.${key}` : `steps[${JSON.stringify(key)}]`
}

module.exports = { pathOf }

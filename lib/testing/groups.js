'use strict'

const { describe, refuse } = require('../checkers')

/** How many are named where none is known. */
const MOST = 3

/** Refuses a group that the configuration does not have. @param {string | undefined} name @param {Record<string, number>} groups @param {string} field */
function expectGroup(name, groups, field) {
  if (name === undefined || Object.hasOwn(groups, name)) return
  const names = Object.keys(groups).sort()
  const nearest = names.sort((one, other) => distance(one, name) - distance(other, name)).slice(0, MOST)
  const expected =
    nearest.length === 0
      ? 'none, as the configuration has no groups'
      : `a group of the configuration, such as ${nearest.map((group) => JSON.stringify(group)).join(', ')}`
  refuse(field, expected, describe(name))
}

/** How many letters to add, take away or change from one to the other. @param {string} one @param {string} other */
function distance(one, other) {
  let row = [...other, ''].map((_, index) => index)
  for (const [index, letter] of [...one].entries()) {
    const next = [index + 1]
    for (const [at, found] of [...other].entries()) {
      const changed = Number(row[at]) + (letter === found ? 0 : 1)
      next.push(Math.min(changed, Number(row[at + 1]) + 1, Number(next[at]) + 1))
    }
    row = next
  }
  return Number(row.at(-1))
}

module.exports = { expectGroup }

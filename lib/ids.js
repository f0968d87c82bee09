'use strict'

// New ids, of Rust: to load `node:crypto` takes longer than the rest of this package.

const native = require('./native')

const { newIds } = native.NativeEngine

/** How long one is. */
const LENGTH = 36

/** Those that were made, one behind the other: to ask for each would take longer than to make it. */
let made = ''
let taken = 0

function newId() {
  if (taken === made.length) {
    made = newIds()
    taken = 0
  }
  const id = made.slice(taken, taken + LENGTH)
  taken += LENGTH
  return id
}

module.exports = { newId }

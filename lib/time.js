'use strict'

// Times as JavaScript writes them.

/** @param {number} at milliseconds since 1970 */
const iso = (at) => new Date(at).toISOString()

/**
 * The time of Rust, which has up to nine digits behind the second, as JavaScript writes it: with three. A `Date` in
 * between would take several times as long.
 *
 * @param {string} time
 */
const inMillis = (time) => (time[19] === '.' ? `${time.slice(0, 23)}Z` : `${time.slice(0, 19)}.000Z`)

/** @param {string | null} time */
const inMillisOrNull = (time) => (time === null ? null : inMillis(time))

module.exports = { inMillis, inMillisOrNull, iso }

'use strict'

// What each event tells of its execution: made once, for all of its events, and only if there are any.

const { readMetadata } = require('./told')

/** What a request says about itself, as it was checked. @typedef {any} CheckedMetadata */

/**
 * @typedef {object} About
 * @property {string} executionId
 * @property {import('../index').Result['metadata']} metadata
 * @property {string | null} planId
 * @property {string | number | null} step
 */

/** Frozen, as all events share it. @param {CheckedMetadata} found @returns {import('../index').Result['metadata']} */
function toMetadata(found) {
  const metadata = readMetadata({ ...found, tags: Object.freeze({ ...found?.tags }) })
  return Object.freeze(metadata)
}

/**
 * @param {{ id: string, metadata?: CheckedMetadata, planId?: string, step?: string | number, about?: About }} run
 * @returns {About}
 */
function aboutOf(run) {
  run.about ??= {
    executionId: run.id,
    metadata: toMetadata(run.metadata),
    planId: run.planId ?? null,
    step: run.step ?? null,
  }
  return run.about
}

module.exports = { aboutOf }

'use strict'

// Objects with the keys that the published schema tells, so that what is made up for a test has all that the real one
// has.

const { $defs: definitions } = /** @type {{ $defs: Record<string, any> }} */ (
  /** @type {unknown} */ (require('../schema.json'))
)

/** @param {any} schema */
const resolved = (schema) =>
  schema.$ref === undefined ? schema : { ...definitions[schema.$ref.replace('#/$defs/', '')], ...schema }

/** What stands where nothing is given. @param {any} schema @returns {unknown} */
function emptyOf(schema) {
  const types = new Set([schema.type].flat())
  if (types.has('null') || schema.anyOf?.some((/** @type {any} */ { type }) => type === 'null')) return null
  if (schema.const !== undefined) return schema.const
  if (schema.$ref !== undefined) return emptyOf({ ...resolved(schema), $ref: undefined })
  if (types.has('array')) return []
  if (types.has('integer')) return 0
  if (types.has('boolean')) return false
  if (types.has('string')) return ''
  return shaped(schema, {})
}

/**
 * @param {any} schema
 * @param {Record<string, unknown>} values
 */
function shaped({ properties = {}, required = [] }, values) {
  /** @type {Record<string, unknown>} */
  const object = {}
  for (const [key, schema] of Object.entries(properties)) {
    if (values[key] !== undefined) object[key] = values[key]
    else if (required.includes(key)) object[key] = emptyOf(schema)
  }
  return object
}

/** The keys of a type. @param {string} name */
const keysOf = (name) => Object.keys(definitions[name].properties)

/** Of these values those that the type has. @param {string} name @param {Record<string, unknown>} values */
const knownOf = (name, values) => Object.fromEntries(keysOf(name).map((key) => [key, values[key]]))

/**
 * A value of a type: what is given of it, and what is empty for the rest.
 *
 * @param {string} name
 * @param {Record<string, unknown>} values
 * @returns {any}
 */
const valueOf = (name, values) => shaped(definitions[name], values)

/** @type {Map<string, any>} */
const events = new Map(
  definitions['ExecutionEvent'].oneOf.map((/** @type {any} */ variant) => {
    const shared = variant.$ref === undefined ? {} : resolved({ $ref: variant.$ref })
    const properties = { ...variant.properties, ...shared.properties }
    const required = [...(variant.required ?? []), ...(shared.required ?? [])]
    return [properties.eventType.const, { properties, required }]
  }),
)

/**
 * An event of a type.
 *
 * @param {string} eventType
 * @param {Record<string, unknown>} values
 * @returns {any}
 */
const eventOf = (eventType, values) => shaped(events.get(eventType), values)

/** What holds of a type where nothing is said. @param {string} name @returns {Record<string, any>} */
const defaultsOf = (name) =>
  Object.fromEntries(
    Object.entries(definitions[name].properties).map(([key, schema]) => [key, /** @type {any} */ (schema).default]),
  )

module.exports = { defaultsOf, eventOf, keysOf, knownOf, valueOf }

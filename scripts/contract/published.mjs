// From the schema to the one that is published: spelled as TypeScript does, as strict as the checks of JavaScript are.

import { withoutNull } from './types.mjs'
import { camel, plainText } from './words.mjs'

/** @typedef {import('./words.mjs').Schema} Schema */

/** @param {{ passed: Record<string, Schema>, told: Record<string, Schema> }} schema */
export function publishedOf({ passed, told }) {
  const whole = Object.entries(passed).filter(([, schema]) => !schema['x-part'])
  const published = whole.map(([name, schema]) => [name, spelled(schema, true)])
  for (const [name, schema] of Object.entries(told)) published.push([toldAs(name), spelled(schema, false)])
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: '@escher-dbai/execution-engine',
    description:
      'Requests, plans and configurations as they are passed, results and events as they are told: one definition for each.',
    $defs: Object.fromEntries(published),
  }
}

/** What is told always has its tags. @param {string} name */
const toldAs = (name) => (name === 'ExecutionMetadata' ? 'ResultMetadata' : name)

/** @param {any} schema @param {boolean} isPassed @returns {any} */
function spelled(schema, isPassed) {
  if (Array.isArray(schema)) return schema.map((one) => spelled(one, isPassed))
  if (typeof schema !== 'object' || schema === null) return schema
  // Absent it may be, null it may not.
  const found = asEnum(isPassed ? withoutNull(schema)[0] : schema)
  /** @type {Schema} */
  const copy = {}
  for (const [key, value] of Object.entries(found)) {
    if (key.startsWith('x-')) continue
    if (key === 'properties') copy[key] = properties(value, isPassed)
    else if (key === 'required') copy[key] = value.map(camel)
    else if (key === 'description') copy[key] = plainText(value)
    else if (key === '$ref') copy[key] = isPassed ? value : value.replace(/\w+$/, toldAs)
    else if (key === 'default' && !isOfHost(found)) copy[key] = spelledValue(value)
    else if (key === 'format' && /^u?int/.test(value)) {
      copy.minimum ??= -(2 ** 53 - 1)
      copy.maximum ??= 2 ** 53 - 1
    } else if (key === 'additionalProperties' && !isPassed && value === false) continue
    // A variable without a value is one to take away.
    else if (key === 'additionalProperties') copy[key] = spelled(value, isPassed && withoutNull(value)[1] === false)
    else if (key !== 'default' && key !== 'format') copy[key] = spelled(value, isPassed)
    else if (key === 'format') copy[key] = value
  }
  return copy
}

/** Words with a description each, as a list of words: a validator says then which ones there are. @param {Schema} schema */
function asEnum({ oneOf, ...rest }) {
  if (!oneOf?.every((/** @type {Schema} */ one) => one.const !== undefined)) return oneOf ? { ...rest, oneOf } : rest
  const meanings = oneOf.map((/** @type {Schema} */ { const: word, description }) => `\`${word}\`: ${description}`)
  return {
    type: 'string',
    enum: oneOf.map((/** @type {Schema} */ one) => one.const),
    description: [rest.description, ...meanings].join('\n'),
  }
}

/** @param {Record<string, Schema>} found @param {boolean} isPassed */
const properties = (found, isPassed) =>
  Object.fromEntries(Object.entries(found).map(([name, schema]) => [camel(name), spelled(schema, isPassed)]))

/** A default that another machine, or another moment, would have otherwise. @param {Schema} schema */
const isOfHost = (schema) => schema.format === 'uuid' || /^([/\\]|[A-Z]:)/.test(schema.default)

/** @param {any} value */
const spelledValue = (value) =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).map(([key, one]) => [camel(key), one]))
    : value

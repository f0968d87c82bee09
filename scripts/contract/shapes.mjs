// From the schema to what `lib/check.js` checks, and to the functions that read what Rust tells.

import { camel } from './words.mjs'
import { withoutNull } from './types.mjs'

/** @typedef {import('./words.mjs').Schema} Schema */

/** What is checked as a whole, in the order in which one needs the other. */
const CHECKED = [
  'ExecutionMetadata',
  'Command',
  'Retry',
  'ExecutionRequest',
  'ExecutionStrategy',
  'StepOptions',
  'NamedStepOptions',
  'IndexedPlan',
  'NamedPlan',
  'ExecutionConfig',
  'ExecutionFilter',
]

/** @param {string} name */
const constant = (name) => {
  const short = name.replace('Execution', '')
  return short.charAt(0).toLowerCase() + short.slice(1)
}

/** What it is called in a message. @param {string} name */
const called = (name) => `a ${constant(name.replace(/Indexed|Named/, '')).replace('config', 'configuration')} object`

/** @param {Record<string, Schema>} passed */
export function shapesOf(passed) {
  const shapes = CHECKED.map((name) => {
    const schema = /** @type {Schema} */ (passed[name])
    const shape = schema.oneOf === undefined ? fieldsOf(schema, passed) : typesOf(schema, passed)
    return `const ${constant(name)} = { expected: '${called(name)}', ${shape} }\n`
  })
  return `'use strict'

// Generated from the types of Rust by \`npm run contract\`: which keys there are, and of which kind. \`lib/check.js\` knows
// the kinds; a key with \`?\` may be absent.

${shapes.join('\n')}
module.exports = { ${CHECKED.map(constant).join(', ')} }
`
}

/** @param {Schema} schema @param {Record<string, Schema>} passed */
function fieldsOf(schema, passed) {
  const required = new Set(schema.required)
  const fields = Object.entries(schema.properties).map(([name, field]) => {
    const key = required.has(name) ? camel(name) : `'${camel(name)}?'`
    return `${key}: ${kindOf(withoutNull(field)[0], passed)}`
  })
  return `fields: { ${fields.join(', ')} }`
}

/** @param {Schema} schema @param {Record<string, Schema>} passed */
function typesOf(schema, passed) {
  const types = schema.oneOf.map((/** @type {Schema} */ variant) => {
    const { type, ...properties } = variant.properties
    const required = variant.required.filter((/** @type {string} */ name) => name !== 'type')
    return `${type.const}: { ${fieldsOf({ properties, required }, passed)} }`
  })
  return `types: { ${types.join(', ')} }`
}

/** @param {Schema} schema @param {Record<string, Schema>} passed @returns {string} */
function kindOf(schema, passed) {
  if (schema['x-kind'] !== undefined) return `'${schema['x-kind']}'`
  if (schema.$ref !== undefined) {
    const name = schema.$ref.replace('#/$defs/', '')
    // A request, which a function may make, and what the step says besides.
    if (name === 'PlanStep') return `'step'`
    if (name === 'NamedStep') return `'namedStep'`
    return CHECKED.includes(name) ? constant(name) : kindOf(/** @type {Schema} */ (passed[name]), passed)
  }
  if (schema.oneOf !== undefined) return choiceOf(schema, passed)
  if (schema.type === 'array' && schema['x-secret']) return `'secretList'`
  if (schema.type === 'array') return `{ list: ${kindOf(schema.items, passed)} }`
  if (schema.patternProperties !== undefined) {
    const [values] = Object.values(schema.patternProperties)
    return `{ indices: ${kindOf(values, passed)} }`
  }
  if (schema.additionalProperties?.$ref !== undefined)
    return `{ named: ${kindOf(schema.additionalProperties, passed)} }`
  if (schema.additionalProperties?.type === 'integer')
    return `{ record: ${kindOf(schema.additionalProperties, passed)} }`
  if (schema.type === 'object') return schema['x-secret'] ? `'secretTexts'` : `'texts'`
  if (schema.maximum !== undefined) return `{ within: [${schema.minimum}, ${schema.maximum}] }`
  if (schema.minimum > 1) return `{ atLeast: ${schema.minimum} }`
  if (schema.type === 'integer' && schema.minimum === undefined) return `'integer'`
  if (schema.type === 'integer')
    return schema['x-in-memory'] ? `'textSize'` : schema.minimum > 0 ? `'positive'` : `'count'`
  if (schema.type === 'number') return `{ numberOfAtLeast: ${schema.minimum} }`
  if (schema.type === 'boolean') return `'flag'`
  if (schema.format === 'uuid') return `'uuid'`
  if (schema.type === 'string') return `'text'`
  throw new Error(`no kind for ${JSON.stringify(schema)}`)
}

/** Names to choose from, and perhaps objects with one key. @param {Schema} schema @param {Record<string, Schema>} passed */
function choiceOf({ oneOf }, passed) {
  const names = oneOf.filter((/** @type {Schema} */ one) => one.const !== undefined)
  const objects = oneOf.filter((/** @type {Schema} */ one) => one.properties !== undefined)
  const fields = Object.assign({}, ...objects.map((/** @type {Schema} */ { properties }) => properties))
  const known = `oneOf: [${names.map((/** @type {Schema} */ { const: name }) => `'${name}'`).join(', ')}]`
  if (objects.length === 0) return `{ ${known} }`
  return `{ ${known}, or: { ${fieldsOf({ properties: fields, required: Object.keys(fields) }, passed)} } }`
}

/** @param {Record<string, Schema>} told */
export function readersOf(told) {
  // Events come in parts of their own.
  const names = Object.keys(told).filter((name) => told[name]?.properties !== undefined && name !== 'Ended')
  const readers = names.map((name) => {
    const { properties, required } = /** @type {Schema} */ (told[name])
    const apart = Object.keys(properties).filter((key) => isApart(properties[key]))
    const fields = Object.entries(properties).map(([key, schema]) =>
      apart.includes(key) ? camel(key) : readerOf(key, schema, required.includes(key), names),
    )
    const parameters = ['found', ...apart.map(camel)]
    const types = parameters.map((parameter) => ` * @param {any} ${parameter}\n`)
    return `/**\n${types.join('')} */\nconst ${reader(name)} = (${parameters.join(', ')}) => ({ ${fields.join(', ')} })\n`
  })
  return `'use strict'

// Generated from the types of Rust by \`npm run contract\`: from its JSON, with its names, to what TypeScript sees.

const { inMillis, inMillisOrNull } = require('./time')

${readers.join('\n')}
module.exports = { ${names.map(reader).join(', ')} }
`
}

/** @param {string} name */
const reader = (name) => `read${name.replace('Execution', '')}`

/** What does not come with the JSON: output, and the results of the steps of a plan. @param {Schema} schema */
const isApart = (schema) => schema['x-apart'] || schema.items?.$ref === '#/$defs/ExecutionResult'

/** @param {string} name @param {Schema} schema @param {boolean} isRequired @param {string[]} names that have a reader */
function readerOf(name, schema, isRequired, names) {
  const [type, isNullable] = withoutNull(schema)
  const key = camel(name)
  const found = `found.${name}`
  // What Rust leaves out is left out.
  if (!isRequired) return `...(${found} === undefined ? {} : { ${key}: ${found} })`
  if (type.format === 'date-time') return `${key}: ${isNullable ? 'inMillisOrNull' : 'inMillis'}(${found})`
  const one = readerOfReference(type, names)
  if (one !== undefined) return `${key}: ${isNullable ? `${found} && ` : ''}${one}(${found})`
  const each = type.items && readerOfReference(type.items, names)
  return each === undefined ? `${key}: ${found}` : `${key}: ${found}.map(${each})`
}

/** @param {Schema} schema @param {string[]} names */
function readerOfReference({ $ref }, names) {
  const name = $ref?.replace('#/$defs/', '')
  return names.includes(name) ? reader(name) : undefined
}

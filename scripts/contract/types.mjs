// From the schema to the types of TypeScript.

import { camel, comment, paragraphs, pascal } from './words.mjs'

/** @typedef {import('./words.mjs').Schema} Schema */

/** How the types of one direction are written: what is passed may be read only, what is told is there. */
const PASSED = { readonly: 'readonly ', list: (/** @type {string} */ item) => `readonly ${item}[]` }
const TOLD = { readonly: '', list: (/** @type {string} */ item) => `${/ /.test(item) ? `(${item})` : item}[]` }

/**
 * Fills the template: each line `// generated: NAME` becomes that type, `NAME as OTHER` under another name, and
 * `events` one type for each event, and their unions.
 *
 * @param {string} template
 * @param {{ passed: Record<string, Schema>, told: Record<string, Schema> }} schema
 */
export function typesOf(template, schema) {
  const marker = /^\/\/ generated: (\w+)(?: as (\w+))?$/gm
  const wanted = [...template.matchAll(marker)]
  const exported = new Map(wanted.map(([, name = '', other]) => [name, other ?? name]))
  const writers = {
    passed: new Writer(schema.passed, exported, PASSED),
    told: new Writer(schema.told, exported, TOLD),
  }
  return template.replace(marker, (_, name) => {
    if (name === 'events') return writers.told.events('ExecutionEvent')
    return (name in schema.passed ? writers.passed : writers.told).definition(name)
  })
}

class Writer {
  #definitions
  #exported
  #style

  /**
   * @param {Record<string, Schema>} definitions
   * @param {Map<string, string>} exported the types that have a name in TypeScript; others are written where they are used
   * @param {typeof PASSED} style
   */
  constructor(definitions, exported, style) {
    this.#definitions = definitions
    this.#exported = exported
    this.#style = style
  }

  /** @param {string} name */
  definition(name) {
    const schema = this.#definition(name)
    const exportedAs = this.#exported.get(name)
    if (schema.properties) {
      return `${this.#comment(schema)}export interface ${exportedAs} ${this.#fields(schema, '')}`
    }
    return `${this.#comment(schema)}export type ${exportedAs} = ${this.#union(schema, '')}`
  }

  /** An interface for each event, and those of an execution and of a plan as two unions. @param {string} name */
  events(name) {
    /** @type {string[]} */
    const written = []
    /** @type {Record<'ExecutionEvent' | 'PlanEvent', string[]>} */
    const unions = { ExecutionEvent: [], PlanEvent: [] }
    for (const variant of this.#definition(name).oneOf) {
      const shared = variant.$ref === undefined ? { properties: {}, required: [] } : this.#definition(variant.$ref)
      const { event_type: type, ...own } = variant.properties
      const schema = {
        description: variant.description,
        properties: { event_type: { ...type, description: 'What it tells of.' }, ...own, ...shared.properties },
        required: [...(variant.required ?? []), ...shared.required],
      }
      const event = `${pascal(type.const)}Event`
      unions['execution_id' in schema.properties ? 'ExecutionEvent' : 'PlanEvent'].push(event)
      written.push(`${this.#comment(schema)}export interface ${event} ${this.#fields(schema, '')}`)
    }
    const docs = {
      ExecutionEvent: [
        'Something that happened to an execution. Each has exactly one terminal event, whose type is its final status. All timestamps are ISO 8601, in UTC.',
      ],
      PlanEvent: ['Something that happened to a plan as a whole.'],
    }
    for (const [union, events] of Object.entries(unions)) {
      const about = comment(docs[/** @type {'PlanEvent'} */ (union)], '')
      written.push(`${about}export type ${union} = ${events.join(' | ')}`)
    }
    return written.join('\n\n')
  }

  /** @param {string} reference @returns {Schema} */
  #definition(reference) {
    const found = this.#definitions[reference.replace('#/$defs/', '')]
    if (found === undefined) throw new Error(`there is no ${reference}`)
    return found
  }

  /** @param {string} type @param {string | undefined} member */
  #link = (type, member) => {
    const name = this.#exported.get(type) ?? type
    return member === undefined ? `{@link ${type}}` : `{@link ${name}.${member}}`
  }

  /** @param {Schema} schema @param {string} [indent] @param {Schema} [type] whose alternatives are told as well */
  #comment(schema, indent = '', type = schema) {
    const parts = paragraphs(schema.description, this.#link)
    const named = type.$ref !== undefined && this.#exported.has(type.$ref.replace('#/$defs/', ''))
    const alternatives = type.$ref === undefined ? type.oneOf : named ? undefined : this.#definition(type.$ref).oneOf
    for (const alternative of alternatives ?? []) {
      if (alternative.const === undefined) continue
      parts.push(`- \`${alternative.const}\`: ${lowered(paragraphs(alternative.description, this.#link).join(' '))}`)
    }
    return comment(parts, indent)
  }

  /** @param {Schema} schema @param {string} indent */
  #fields(schema, indent) {
    const inner = `${indent}  `
    const required = new Set(schema.required)
    const fields = Object.entries(schema.properties).map(([name, field]) => {
      const isRequired = required.has(name)
      const [type, isNullable] = withoutNull(field)
      const written = this.#type({ ...type, description: undefined }, inner)
      // What may be left out may be undefined as well; null it may not be.
      const end = isRequired ? (isNullable ? ' | null' : '') : this.#style === PASSED ? ' | undefined' : ''
      const sign = isRequired ? '' : '?'
      return `${this.#comment(field, inner, type)}${inner}${this.#style.readonly}${camel(name)}${sign}: ${written}${end}\n`
    })
    return `{\n${fields.join('')}${indent}}`
  }

  /** @param {Schema} schema @param {string} indent @returns {string} */
  #type(schema, indent) {
    if (schema['x-typescript'] !== undefined) return schema['x-typescript']
    if (schema.$ref !== undefined) {
      const name = schema.$ref.replace('#/$defs/', '')
      // Under another name stands what that type is made from.
      return this.#exported.has(name) ? name : this.#type(this.#definition(name), indent)
    }
    if (schema.const !== undefined) return `'${schema.const}'`
    if (schema.oneOf !== undefined) return this.#union(schema, indent)
    if (schema.type === 'array') return this.#style.list(this.#type(schema.items, indent))
    if (schema.properties !== undefined) return this.#fields(schema, indent)
    if (schema.type === 'object') return this.#record(schema, indent)
    if (schema.type === 'integer' || schema.type === 'number') return 'number'
    if (schema.type === 'string' || schema.type === 'boolean') return schema.type
    throw new Error(`no type for ${JSON.stringify(schema)}`)
  }

  /** @param {Schema} schema @param {string} indent */
  #record(schema, indent) {
    const [values] = Object.values(schema.patternProperties ?? {})
    const [value, isNullable] = withoutNull(schema.additionalProperties ?? {})
    const record =
      values === undefined
        ? `Record<string, ${this.#type(value, indent)}${isNullable ? ' | null | undefined' : ''}>`
        : `Record<number, ${this.#type(values, indent)}>`
    return this.#style === PASSED ? `Readonly<${record}>` : record
  }

  /** @param {Schema} schema @param {string} indent */
  #union({ oneOf }, indent) {
    return oneOf
      .map((/** @type {Schema} */ variant) => {
        if (variant.const !== undefined) return `\n${indent}  | '${variant.const}'`
        return `\n${indent}  | ${this.#fields(withDocumentedTag(variant), `${indent}  `)}`
      })
      .join('')
  }
}

/** What one of several objects is for is told where it says which one it is: by its tag, or its one key. @param {Schema} variant */
function withDocumentedTag(variant) {
  const fields = Object.entries(variant.properties)
  const tagged = fields.map(([name, field]) =>
    field.const === undefined && fields.length > 1
      ? [name, field]
      : [name, { ...field, description: variant.description }],
  )
  return { ...variant, properties: Object.fromEntries(tagged) }
}

/** @param {Schema} schema @returns {[Schema, boolean]} */
export function withoutNull(schema) {
  if (Array.isArray(schema.type)) {
    const type = schema.type.find((one) => one !== 'null')
    return [{ ...schema, type }, schema.type.includes('null')]
  }
  if (schema.anyOf !== undefined) {
    const type = schema.anyOf.find((/** @type {Schema} */ one) => one.type !== 'null')
    const { anyOf, ...rest } = schema
    return [{ ...rest, ...type }, anyOf.length > 1]
  }
  return [schema, false]
}

/** @param {string} text */
const lowered = (text) => (/^[A-Z][a-z ]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text)

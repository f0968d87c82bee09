// What the validator of JSON Schemas found, in words.

import type { ErrorObject } from 'ajv/dist/2020.js'
import type { Path } from './faults.js'
import type { Broken } from './rules.js'

function pathOf(pointer: string, value: unknown): Path {
  let at: unknown = value
  return pointer
    .split('/')
    .slice(1)
    .map((part) => {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~')
      const isIndex = Array.isArray(at)
      at = typeof at === 'object' && at !== null ? Object.entries(at).find(([name]) => name === key)?.[1] : undefined
      return isIndex ? Number(key) : key
    })
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value)
  return text.length > 60 ? `${text.slice(0, 57)}...` : text
}

function inWords(error: ErrorObject, value: unknown): Broken {
  const path = pathOf(error.instancePath, value)
  const schema: unknown = error.parentSchema
  const params = new Map<string, unknown>(Object.entries(error.params))
  switch (error.keyword) {
    case 'additionalProperties': {
      const properties =
        typeof schema === 'object' && schema !== null && 'properties' in schema ? schema.properties : {}
      const known = Object.keys(properties ?? {}).join(', ')
      const key = String(params.get('additionalProperty'))
      const message =
        known === '' ? 'expected a name of letters, digits, _ and -' : `is not known here: expected one of ${known}`
      return { path: [...path, key], message }
    }
    case 'required':
      return { path: [...path, String(params.get('missingProperty'))], message: 'is missing' }
    case 'enum':
      return { path, message: `expected one of ${shown(params.get('allowedValues'))}, found ${shown(error.data)}` }
    case 'oneOf':
      return { path, message: `expected one of ${shown(wordsOf(error.schema))}, found ${shown(error.data)}` }
    case 'discriminator': {
      const found = shown(params.get('tagValue') ?? null)
      return { path: [...path, 'type'], message: `expected exec, shell, script or aws_cli, found ${found}` }
    }
    case 'type':
      if (isText(error.params['type']))
        return { path, message: `expected a text, { "param" } or { "output" }, found ${shown(error.data)}` }
      break
    default:
  }
  return { path, message: `${error.message ?? 'is not as it must be'}, found ${shown(error.data)}` }
}

const isText = (type: unknown): boolean => Array.isArray(type) && type.includes('string') && type.includes('object')

/** The words of an enumeration that is written as one constant each, as in the schema of the engine. */
function wordsOf(schema: unknown): unknown[] {
  if (!Array.isArray(schema)) return []
  return schema.map((one: unknown) =>
    typeof one === 'object' && one !== null && 'const' in one ? one.const : undefined,
  )
}

/** Of an enumeration that is written so, each word is told to be another one. */
const isDouble = ({ keyword, schemaPath }: ErrorObject): boolean => keyword === 'const' && schemaPath.includes('oneOf')

/** `value` is what was checked. */
export const schemaFaults = (errors: readonly ErrorObject[], value: unknown): Broken[] =>
  errors.filter((error) => !isDouble(error)).map((error) => inWords(error, value))

// The values of the parameters of a run: as they are given, as they are used, and as they may be seen.

import type { ParameterInfo } from '../api.js'
import type { Parameter, Playbook } from './schema.js'

export type Value = string | number | boolean | readonly string[]
/** A parameter that is optional and was not given has none. */
export type Values = ReadonlyMap<string, Value>

/** A value that a parameter cannot have. */
export class ParameterError extends Error {
  constructor(
    readonly parameter: string,
    message: string,
  ) {
    super(`parameters.${parameter}: ${message}`)
    this.name = 'ParameterError'
  }

  get field(): string {
    return `parameters.${this.parameter}`
  }
}

/** In place of a secret. */
const hidden = '***'

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string')

const kinds = {
  string: { expected: 'a text', is: (value: unknown): value is Value => typeof value === 'string' },
  number: { expected: 'a number', is: (value: unknown): value is Value => Number.isFinite(value) },
  integer: { expected: 'a whole number', is: (value: unknown): value is Value => Number.isSafeInteger(value) },
  boolean: { expected: 'true or false', is: (value: unknown): value is Value => typeof value === 'boolean' },
  list: { expected: 'a list of texts', is: (value: unknown): value is Value => isTexts(value) },
} as const

const found = (value: unknown): string => {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'a list'
  return typeof value === 'object' ? 'an object' : JSON.stringify(value)
}

/** What is wrong with a value, without saying that of a secret; or the value. */
export function checkValue(parameter: Parameter, value: unknown): { value: Value } | { fault: string } {
  const shown = parameter.secret === true ? 'something else' : found(value)
  const kind = kinds[parameter.type]
  if (!kind.is(value)) return { fault: `expected ${kind.expected}, found ${shown}` }
  const choices = parameter.enum
  if (choices !== undefined && !choices.includes(value)) {
    return { fault: `expected one of ${choices.map(found).join(', ')}, found ${shown}` }
  }
  if (typeof value === 'string') {
    if (parameter.pattern !== undefined && !new RegExp(parameter.pattern, 'u').test(value)) {
      return { fault: `expected what matches ${parameter.pattern}, found ${shown}` }
    }
    if (value.includes('\0')) return { fault: 'expected a text without NUL characters' }
    if (parameter.secret === true && Buffer.byteLength(value) < 4) return { fault: 'expected at least four bytes' }
  }
  return { value }
}

export const isRequired = (parameter: Parameter): boolean => parameter.required ?? parameter.default === undefined

/** @throws {@link ParameterError} */
export function readValues(playbook: Playbook, given: Readonly<Record<string, unknown>>): Values {
  const parameters = playbook.parameters ?? {}
  for (const name of Object.keys(given)) {
    if (!Object.hasOwn(parameters, name)) {
      const known = Object.keys(parameters).join(', ')
      throw new ParameterError(name, `${playbook.name} has no such parameter${known === '' ? '' : `: it has ${known}`}`)
    }
  }
  const values = new Map<string, Value>()
  for (const [name, parameter] of Object.entries(parameters)) {
    const value = given[name] ?? parameter.default
    if (value === undefined) {
      if (isRequired(parameter)) throw new ParameterError(name, 'is required, and was not given')
      continue
    }
    const checked = checkValue(parameter, value)
    if ('fault' in checked) throw new ParameterError(name, checked.fault)
    values.set(name, checked.value)
  }
  return values
}

/** What a command line says, where everything is a text: a list is given item by item. @throws {@link ParameterError} */
export function readTexts(playbook: Playbook, texts: ReadonlyMap<string, readonly string[]>): Record<string, unknown> {
  const given: Record<string, unknown> = {}
  for (const [name, all] of texts) {
    const type = playbook.parameters?.[name]?.type
    const [first = '', ...more] = all
    if (type !== 'list' && more.length > 0) throw new ParameterError(name, 'was given more than once')
    if (type === 'list') given[name] = all
    else if ((type === 'number' || type === 'integer') && first.trim() !== '') given[name] = Number(first)
    else if (type === 'boolean' && (first === 'true' || first === 'false')) given[name] = first === 'true'
    else given[name] = first
  }
  return given
}

/** What everybody may see. */
export function shownValues(playbook: Playbook, values: Values): Record<string, unknown> {
  return Object.fromEntries(
    [...values].map(([name, value]) => [name, playbook.parameters?.[name]?.secret === true ? hidden : value]),
  )
}

export function parameterInfos(playbook: Playbook): ParameterInfo[] {
  return Object.entries(playbook.parameters ?? {}).map(([name, parameter]) => ({
    name,
    type: parameter.type,
    required: isRequired(parameter),
    secret: parameter.secret ?? false,
    ...(parameter.default !== undefined && { default: parameter.default }),
    ...(parameter.description !== undefined && { description: parameter.description }),
    ...(parameter.enum !== undefined && { enum: parameter.enum }),
  }))
}

// What a step has printed, as values.

import type { Result, ResultMembers } from '@escher-dbai/execution-engine'
import { compile, type JSONValue, search } from '@jmespath-community/jmespath'

export type Outputs = Readonly<Record<string, unknown>>

/** What is wrong with a path, or undefined. */
export function pathFault(path: string): string | undefined {
  try {
    compile(path)
    return undefined
  } catch (error) {
    return `expected a JMESPath, found one that cannot be read: ${error instanceof Error ? error.message : String(error)}`
  }
}

function isJson(value: unknown): value is JSONValue {
  if (value === null || ['string', 'number', 'boolean'].includes(typeof value)) return true
  if (typeof value !== 'object') return false
  return Object.values(value).every(isJson)
}

/** The outputs of a step that has completed. @throws `Error` for what is no JSON, or is not there. */
export function readOutputs(
  paths: Readonly<Record<string, string>>,
  result: Pick<Result, 'truncated'> & Pick<ResultMembers, 'json'>,
): Outputs {
  if (Object.keys(paths).length === 0) return {}
  if (result.truncated) throw new Error('outputs: not all of what was printed is there')
  const json = result.json()
  if (!isJson(json)) throw new Error('outputs: what was printed is no JSON')
  const read = ([name, path]: [string, string]): [string, unknown] => {
    const value = search(json, path)
    if (value === null) throw new Error(`outputs.${name}: nothing at ${path} in what was printed`)
    return [name, value]
  }
  return Object.fromEntries(Object.entries(paths).map(read))
}

/** A value as a text: what is no text, number or truth value is JSON. */
export const asText = (value: unknown): string =>
  typeof value === 'string' ? value : typeof value === 'number' ? String(value) : JSON.stringify(value)

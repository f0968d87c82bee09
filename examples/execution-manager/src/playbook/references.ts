// Where a step names a parameter, or what an earlier step has printed.

import type { Command, PlaybookStep, Reference, Text } from './schema.js'

/** A parameter, or an output of a step. */
export type Name = { readonly param: string } | { readonly step: string; readonly output: string }

/** What a text is made of: letters as they are, and references. */
export type Part = string | Name

/** A text that cannot be read: what was expected, and what was found. */
export class ReferenceError extends Error {}

function outputName(text: string): Name {
  const [step, output, ...rest] = text.split('.')
  if (step === undefined || output === undefined || step === '' || output === '' || rest.length > 0) {
    throw new ReferenceError(`expected STEP.OUTPUT, found "${text}"`)
  }
  return { step, output }
}

function nameOf(reference: Reference): Name {
  if (reference.param !== undefined) return { param: reference.param }
  return outputName(reference.output ?? '')
}

/** `$${` stands for `${`; `${region}` is a parameter, `${list.count}` an output. */
const placeholder = /\$\$\{|\$\{([^}]*)(\}?)/g

/** @throws {@link ReferenceError} */
export function parts(text: Text): Part[] {
  if (typeof text !== 'string') return [nameOf(text)]
  const found: Part[] = []
  let end = 0
  for (const match of text.matchAll(placeholder)) {
    found.push(text.slice(end, match.index))
    end = match.index + match[0].length
    const name = match[1]?.trim()
    if (name === undefined) found.push('${')
    else if (match[2] !== '}')
      throw new ReferenceError('expected } behind ${, which stands as $${ where it is meant so')
    else if (name === '') throw new ReferenceError('expected the name of a parameter or an output in ${}')
    else found.push(name.includes('.') ? outputName(name) : { param: name })
  }
  found.push(text.slice(end))
  return found.filter((part) => part !== '')
}

/** A text of a step, and where it stands in that. */
export interface Place {
  readonly path: readonly (string | number)[]
  readonly text: Text
  /** What becomes of it: an argument that everybody on the machine may read, or what only the command is given. */
  readonly kind: 'argument' | 'variable' | 'input'
}

function commandPlaces(command: Command): Place[] {
  const found: Place[] = []
  const args = command.type === 'shell' ? [] : (command.args ?? [])
  for (const [i, text] of args.entries()) found.push({ path: ['command', 'args', i], text, kind: 'argument' })
  if (command.type === 'aws_cli') {
    for (const key of ['profile', 'region'] as const) {
      const text = command[key]
      if (text !== undefined) found.push({ path: ['command', key], text, kind: 'argument' })
    }
  }
  return found
}

/** All texts of a step in which references count. The text of a shell is none of them. */
export function places(step: PlaybookStep): Place[] {
  const found = commandPlaces(step.command)
  for (const [name, text] of Object.entries(step.env ?? {})) found.push({ path: ['env', name], text, kind: 'variable' })
  if (step.stdin !== undefined) found.push({ path: ['stdin'], text: step.stdin, kind: 'input' })
  return found
}

/** The names in a text; none where it cannot be read. */
export function names(text: Text): Name[] {
  try {
    return parts(text).filter((part) => typeof part !== 'string')
  } catch (error) {
    if (error instanceof ReferenceError) return []
    throw error
  }
}

// What no schema says of a playbook: that its references lead somewhere, and that no parameter becomes code.

import type { Path } from './faults.js'
import { pathFault } from './outputs.js'
import { checkValue, isRequired } from './parameters.js'
import { type Name, type Part, parts, type Place, places, ReferenceError } from './references.js'
import type { Parameter, Playbook, PlaybookStep } from './schema.js'
import { isPosixShell, isShellText, shellFaults } from './shell.js'

export interface Broken {
  readonly path: Path
  readonly message: string
}

function* parameterRules(name: string, parameter: Parameter): Generator<Broken> {
  const path = ['parameters', name]
  if (parameter.secret === true) {
    if (parameter.type !== 'string') yield { path: [...path, 'type'], message: 'a secret is a string' }
    for (const key of ['default', 'enum'] as const) {
      if (parameter[key] !== undefined) yield { path: [...path, key], message: 'a secret does not stand in a file' }
    }
  } else if (parameter.default !== undefined) {
    const checked = checkValue(parameter, parameter.default)
    if ('fault' in checked) yield { path: [...path, 'default'], message: checked.fault }
  }
}

/** All steps that a step waits for, directly or not. */
function before(playbook: Playbook, name: string, seen = new Set<string>()): ReadonlySet<string> {
  for (const other of playbook.steps[name]?.dependsOn ?? []) {
    if (seen.has(other)) continue
    seen.add(other)
    before(playbook, other, seen)
  }
  return seen
}

const list = (names: Iterable<string>): string => [...names].join(', ') || 'none'

function outputFault(playbook: Playbook, step: string, name: Extract<Name, { step: string }>): string | undefined {
  const outputs = playbook.steps[name.step]?.outputs
  const all = `${name.step}.${name.output}`
  if (!Object.hasOwn(playbook.steps, name.step)) return `${all}: there is no step ${name.step}`
  if (outputs === undefined || !Object.hasOwn(outputs, name.output)) {
    return `${all}: ${name.step} has no such output: it has ${list(Object.keys(outputs ?? {}))}`
  }
  if (!before(playbook, step).has(name.step)) return `${all}: ${step} does not depend on ${name.step}`
  return undefined
}

function parameterFault(playbook: Playbook, name: string, place: Place, isWhole: boolean): string | undefined {
  const parameter = playbook.parameters?.[name]
  if (parameter === undefined) {
    return `there is no parameter ${name}: there is ${list(Object.keys(playbook.parameters ?? {}))}`
  }
  if (parameter.secret === true && place.kind === 'argument') {
    return `${name} is a secret, and everybody on the machine can read arguments: it goes into env or stdin`
  }
  if (!isWhole && parameter.default === undefined && !isRequired(parameter)) {
    return `${name} may have no value: it can only stand alone, and is left out then`
  }
  return undefined
}

function* placeRules(playbook: Playbook, step: string, place: Place): Generator<Broken> {
  const path = ['steps', step, ...place.path]
  let found: Part[]
  try {
    found = parts(place.text)
  } catch (error) {
    if (!(error instanceof ReferenceError)) throw error
    yield { path, message: error.message }
    return
  }
  for (const part of found) {
    if (typeof part === 'string') continue
    const fault =
      'step' in part
        ? outputFault(playbook, step, part)
        : parameterFault(playbook, part.param, place, found.length === 1)
    if (fault !== undefined) yield { path, message: fault }
  }
}

/** The variables of a step that hold what others have said. */
function givenVariables(step: PlaybookStep): Set<string> {
  const isGiven = (place: Place): boolean => {
    try {
      return parts(place.text).some((part) => typeof part !== 'string')
    } catch (error) {
      if (error instanceof ReferenceError) return false
      throw error
    }
  }
  return new Set(
    places(step)
      .filter((place) => place.kind === 'variable' && isGiven(place))
      .map(({ path }) => String(path[1])),
  )
}

function* shellRules(playbook: Playbook, name: string, step: PlaybookStep): Generator<Broken> {
  const { command } = step
  const path = ['steps', name, 'command']
  if (command.type === 'shell') {
    const given = givenVariables(step)
    if (!isPosixShell(command.shell)) {
      if (given.size > 0) {
        const message = `a parameter gets into the text of sh, bash, dash, ksh or zsh alone: of ${command.shell ?? 'this shell'} nobody here knows how it quotes`
        yield { path: [...path, 'shell'], message }
      }
      return
    }
    const parameters = new Set(Object.keys(playbook.parameters ?? {}))
    for (const key of Object.keys(step.env ?? {})) parameters.delete(key)
    for (const message of shellFaults(command.command, given, parameters)) {
      yield { path: [...path, 'command'], message }
    }
  } else if (command.type === 'exec') {
    for (const place of places(step)) {
      const index = place.path[2]
      if (place.kind !== 'argument' || typeof index !== 'number') continue
      if (!isShellText(command.program, command.args ?? [], index)) continue
      if (typeof place.text === 'string' && !place.text.includes('${')) continue
      const message =
        'no parameter gets into what a shell is to run: pass it as a variable, or as an argument behind that'
      yield { path: ['steps', name, ...place.path], message }
    }
  }
}

function* stepRules(playbook: Playbook, name: string, step: PlaybookStep): Generator<Broken> {
  for (const place of places(step)) yield* placeRules(playbook, name, place)
  for (const [output, path] of Object.entries(step.outputs ?? {})) {
    const message = pathFault(path)
    if (message !== undefined) yield { path: ['steps', name, 'outputs', output], message }
  }
  yield* shellRules(playbook, name, step)
}

export function* brokenRules(playbook: Playbook): Generator<Broken> {
  for (const [name, parameter] of Object.entries(playbook.parameters ?? {})) yield* parameterRules(name, parameter)
  for (const [name, step] of Object.entries(playbook.steps)) yield* stepRules(playbook, name, step)
}

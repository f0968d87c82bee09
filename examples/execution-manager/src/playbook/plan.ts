// A playbook with its parameters as a plan of the engine. A step that uses what another has printed is made when its
// turn has come.

import { resolve } from 'node:path'
import type {
  Command as EngineCommand,
  ExecutionRequest,
  ExecutionResult,
  NamedPlan,
  NamedStep,
} from '@escher-dbai/execution-engine'
import type { Run } from '../api.js'
import { asText, type Outputs, readOutputs } from './outputs.js'
import type { Value, Values } from './parameters.js'
import { names, parts, places } from './references.js'
import type { Command, Playbook, PlaybookStep, Text } from './schema.js'

/** What a step can refer to. */
interface Known {
  readonly values: Values
  /** Of the steps before it. */
  readonly outputs: ReadonlyMap<string, Outputs>
}

/** A reference alone keeps what it refers to; `undefined` for a parameter without a value. */
function valueOf(text: Text, { values, outputs }: Known): unknown {
  const read = parts(text).map((part): unknown => {
    if (typeof part === 'string') return part
    if ('param' in part) return values.get(part.param)
    const value = outputs.get(part.step)?.[part.output]
    if (value === undefined) throw new Error(`${part.step}.${part.output}: ${part.step} has not completed`)
    return value
  })
  if (read.length === 1) return read[0]
  return read.map((part) => (part === undefined ? '' : asText(part))).join('')
}

function textOf(text: Text, known: Known): string | undefined {
  const value = valueOf(text, known)
  return value === undefined ? undefined : asText(value)
}

/** A list is several arguments, what has no value is none. */
function argumentsOf(args: readonly Text[], known: Known): string[] {
  return args.flatMap((text) => {
    const value = valueOf(text, known)
    if (value === undefined) return []
    return Array.isArray(value) ? value.map(asText) : [asText(value)]
  })
}

function commandOf(command: Command, known: Known): EngineCommand {
  if (command.type === 'shell') return command
  const withArgs = { ...(command.args !== undefined && { args: argumentsOf(command.args, known) }) }
  if (command.type !== 'aws_cli') return { ...command, ...withArgs, args: withArgs.args }
  const { type, service, operation, profile, region } = command
  return {
    type,
    service,
    operation,
    ...withArgs,
    profile: profile === undefined ? undefined : textOf(profile, known),
    region: region === undefined ? undefined : textOf(region, known),
  }
}

/** The names of the variables of a step that hold secrets. */
function secretNames(playbook: Playbook, step: PlaybookStep): string[] {
  const isSecret = (text: Text): boolean =>
    names(text).some((name) => 'param' in name && playbook.parameters?.[name.param]?.secret === true)
  return Object.entries(step.env ?? {}).flatMap(([name, text]) => (isSecret(text) ? [name] : []))
}

function requestOf(playbook: Playbook, directory: string, step: PlaybookStep, known: Known): ExecutionRequest {
  const { command, env = {}, stdin, workingDir = '.', outputs, dependsOn, when, allowFailure, ...rest } = step
  const variables = Object.entries(env).flatMap(([name, text]): [string, string][] => {
    const value = textOf(text, known)
    // A secret that was not given is that of the machine on which the step runs.
    return value === undefined ? [] : [[name, value]]
  })
  return {
    ...rest,
    command: commandOf(command, known),
    env: Object.fromEntries(variables),
    stdin: stdin === undefined ? undefined : textOf(stdin, known),
    workingDir: resolve(directory, workingDir),
    secretEnv: secretNames(playbook, step),
  }
}

export const usesOutputs = (step: PlaybookStep): boolean =>
  places(step).some(({ text }) => names(text).some((name) => 'step' in name))

function outputsOf(
  playbook: Playbook,
  results: Readonly<Record<string, ExecutionResult>>,
  step: PlaybookStep,
): Map<string, Outputs> {
  const used = new Set(
    places(step).flatMap(({ text }) => names(text).flatMap((name) => ('step' in name ? [name.step] : []))),
  )
  const found = new Map<string, Outputs>()
  for (const name of used) {
    const result = results[name]
    if (result?.success !== true) continue
    try {
      found.set(name, readOutputs(playbook.steps[name]?.outputs ?? {}, result))
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  }
  return found
}

function stepOf(playbook: Playbook, directory: string, step: PlaybookStep, values: Values, id?: string): NamedStep {
  const { dependsOn, when, allowFailure } = step
  const about = { id, dependsOn, when, allowFailure }
  if (usesOutputs(step)) {
    return {
      ...about,
      request: (results) =>
        requestOf(playbook, directory, step, { values, outputs: outputsOf(playbook, results, step) }),
    }
  }
  return { ...requestOf(playbook, directory, step, { values, outputs: new Map() }), ...about }
}

const isSecret = (playbook: Playbook, name: string, value: Value): value is string =>
  playbook.parameters?.[name]?.secret === true && typeof value === 'string'

/** The plan of a run, which names the ids. `directory` is that of the playbook. */
export function planOf(
  playbook: Playbook,
  directory: string,
  values: Values,
  run?: Pick<Run, 'id' | 'steps'>,
): NamedPlan {
  const { name, description, steps, maxConcurrency, stopOnError, timeoutMs } = playbook
  const ids = new Map(run?.steps.map((step) => [step.name, step.executionId]))
  return {
    id: run?.id,
    description,
    steps: Object.fromEntries(
      Object.entries(steps).map(([key, step]) => [key, stepOf(playbook, directory, step, values, ids.get(key))]),
    ),
    maxConcurrency,
    stopOnError,
    timeoutMs,
    secrets: [...values].flatMap(([key, value]) => (isSecret(playbook, key, value) ? [value] : [])),
    metadata: { source: 'execution-manager', tags: { playbook: name } },
  }
}

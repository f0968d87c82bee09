import type { ExecutionPlan, ExecutionRequest } from '@escher-dbai/execution-engine'
import { messageOf } from '../errors'
import { stepsOf } from './encode'
import type { WirePlan, WireRequest } from './wire'

/** Finds the values of secrets, on the worker. */
export type Resolve = (name: string) => Promise<string | undefined> | string | undefined

/** A secret of which the worker does not know the value. */
export class SecretMissing extends Error {}

/** The values of these variables. */
async function valuesOf(names: ReadonlySet<string>, resolve: Resolve | undefined): Promise<Map<string, string>> {
  const values = new Map<string, string>()
  for (const name of names) values.set(name, await valueOf(name, resolve))
  return values
}

async function valueOf(name: string, resolve: Resolve | undefined): Promise<string> {
  let found: unknown
  try {
    found = await resolve?.(name)
  } catch (error) {
    throw new SecretMissing(`secretEnv: the value of ${name} could not be found: ${messageOf(error)}`)
  }
  const value = found ?? process.env[name]
  if (typeof value === 'string') return value
  throw new SecretMissing(`secretEnv: the worker has no value for ${name}`)
}

/** Which of its secret variables a request does not give itself. */
const missingOf = ({ env, secretEnv }: WireRequest, more: readonly string[] = []): readonly string[] =>
  [...(secretEnv ?? []), ...more].filter((name) => env?.[name] === undefined || env[name] === null)

/** The request as the engine takes it. */
function requestOf(
  wire: WireRequest,
  values: ReadonlyMap<string, string>,
  more: readonly string[] = [],
): ExecutionRequest {
  const missing = missingOf(wire, more).map((name) => [name, values.get(name)] as const)
  const request = inputOf(wire)
  return missing.length === 0 ? request : { ...request, env: { ...wire.env, ...Object.fromEntries(missing) } }
}

/** Text as bytes again, where it was bytes. */
function inputOf({ stdin, ...rest }: WireRequest): ExecutionRequest {
  if (stdin === undefined) return rest
  const isBytes = typeof stdin === 'object' && 'base64' in stdin
  return { ...rest, stdin: isBytes ? Buffer.from(stdin.base64, 'base64') : stdin }
}

/** A request as the engine takes it, with its secrets. Rejects with {@link SecretMissing}. */
export async function decodeRequest(wire: WireRequest, resolve: Resolve | undefined): Promise<ExecutionRequest> {
  return requestOf(wire, await valuesOf(new Set(missingOf(wire)), resolve))
}

/** A plan as it was submitted, for whoever drives it: the values of its secrets are its steps' workers'. */
export function decodeStored(wire: WirePlan): ExecutionPlan {
  const steps = stepsOf(wire).map(([key, step]) => [key, inputOf(step)] as const)
  // What was checked before it was sent.
  if (wire.steps === undefined) return { ...wire, commands: steps.map(([, step]) => step) } as unknown as ExecutionPlan
  return { ...wire, steps: Object.fromEntries(steps) } as unknown as ExecutionPlan
}

/** The same of a plan: what it names for all steps, each of them gets. */
export async function decodePlan(wire: WirePlan, resolve: Resolve | undefined): Promise<ExecutionPlan> {
  const { secretEnv = [] } = wire
  const names = new Set(stepsOf(wire).flatMap(([, step]) => missingOf(step, secretEnv)))
  const values = await valuesOf(names, resolve)
  const steps = stepsOf(wire).map(([key, step]) => [key, requestOf(step, values, secretEnv)] as const)
  // What was checked before it was sent, with the values of its secrets.
  if (wire.steps === undefined) return { ...wire, commands: steps.map(([, step]) => step) } as unknown as ExecutionPlan
  return { ...wire, steps: Object.fromEntries(steps) } as unknown as ExecutionPlan
}

import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { isUint8Array } from 'node:util/types'
import type { Result } from '@escher-dbai/execution-engine'
import { describe, refused } from '../errors'
import type { StepNote, WireInput, WirePlan, WireRequest, WireStep } from './wire'
import type { CheckedPlan } from '@escher-dbai/execution-engine'

type Given = Readonly<Record<string, unknown>>

export const isObject = (value: unknown): value is Given =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Whether it is made of its keys, as a literal is. */
const isPlain = (value: object): boolean => {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

/**
 * A copy of what was passed, each property read once. What is no data (a stream, a function, the URL of a file) is kept as
 * it is.
 */
export function copyOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return Array.from(value, copyOf)
  if (isUint8Array(value)) return value.slice()
  if (!isPlain(value) || Symbol.asyncIterator in value) return value
  return Object.fromEntries(Object.entries(value).map(([key, found]) => [key, copyOf(found)]))
}

/** A request that was checked, as it is sent. */
export function encodeRequest(request: Given, path = ''): WireRequest {
  if (request['leaseMs'] !== undefined) {
    throw refused(`${path}leaseMs`, 'none, as the queue has leases of its own', describe(request['leaseMs']))
  }
  const encoded = encodeOptions(request)
  if (isObject(request['env'])) encoded['env'] = variablesOf(request['env'])
  if (request['stdin'] !== undefined) encoded['stdin'] = inputOf(request['stdin'], `${path}stdin`)
  // Each value is one that the check has passed, or text for one.
  return encoded as unknown as WireRequest
}

/** A variable without a value is one that is not inherited. */
const variablesOf = (env: Given): Given =>
  Object.fromEntries(Object.entries(env).map(([name, value]) => [name, value ?? null]))

const encodeOptions = (given: Given): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) => (value === undefined ? [] : [[key, plain(value)]])),
  )

/** Paths in place of URLs, and no keys without a value. */
function plain(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof URL) return fileURLToPath(value)
  if (Array.isArray(value)) return value.map(plain)
  return isPlain(value) ? encodeOptions(value as Given) : undefined
}

function inputOf(value: unknown, field: string): WireInput {
  if (typeof value === 'string') return value
  if (isUint8Array(value)) return { base64: Buffer.from(value).toString('base64') }
  if (isObject(value) && value['file'] !== undefined) return { file: String(plain(value['file'])) }
  const found = isObject(value) && value['open'] === true ? '{ open: true }' : 'a stream'
  throw refused(field, 'a string, a Uint8Array or { file }, which can be sent to a worker', found)
}

/** A plan that was checked, as it is sent. Functions of steps are left out: they stay with whoever drives it. */
export function encodePlan(plan: Given, { id, steps }: CheckedPlan): WirePlan {
  const { commands, steps: named, ...rest } = plan
  const encodeStep = (step: unknown, index: number): WireStep => {
    const checked = steps[index]
    if (!isObject(step) || checked === undefined) throw refused('plan', 'a plan', describe(step))
    const path = named === undefined ? `commands[${index}].` : `steps.${checked.step}.`
    const { request, ...known } = step
    if (request !== undefined) return { ...encodeOptions(known), made: true, id: checked.id } as unknown as WireStep
    return { ...encodeRequest(known, path), id: checked.id } as WireStep
  }
  const encoded = { ...encodeOptions(rest), id }
  if (isObject(named)) {
    const entries = Object.entries(named).map(([name, step], index) => [name, encodeStep(step, index)] as const)
    return { ...encoded, steps: Object.fromEntries(entries) }
  }
  return { ...encoded, commands: (commands as readonly unknown[]).map(encodeStep) }
}

/** The steps of a plan that is sent, each with its name or its index. */
export const stepsOf = ({ commands, steps }: WirePlan): readonly (readonly [string | number, WireStep])[] =>
  steps === undefined ? [...(commands ?? []).entries()] : Object.entries(steps)

/** What is told of the steps of a plan before they have started. */
export function notesOf(plan: WirePlan, checked: CheckedPlan): readonly StepNote[] {
  const found = stepsOf(plan)
  return checked.steps.map(({ id, step, command }, index) => {
    return { id, step, command: command ?? '', metadata: metadataOf(found[index]?.[1].metadata) }
  })
}

/** What a request says about itself, as results tell it. */
export function metadataOf(found: WireRequest['metadata']): Result['metadata'] {
  const { source, conversationId, tags } = found ?? {}
  return {
    ...(source === undefined || source === null ? {} : { source }),
    ...(conversationId === undefined || conversationId === null ? {} : { conversationId }),
    tags: { ...tags },
  }
}

/** The same for the same submission, in whatever order its keys were written. */
export function digestOf(value: unknown): string {
  const sorted = (_: string, found: unknown): unknown =>
    isObject(found) ? Object.fromEntries(Object.entries(found).sort(([a], [b]) => (a < b ? -1 : 1))) : found
  return createHash('sha256').update(JSON.stringify(value, sorted)).digest('base64url')
}

/** Refuses what would put the value of a secret into Redis. */
export function refuseSecrets(fields: readonly string[], isAllowed: boolean): void {
  const [field] = fields
  if (isAllowed || field === undefined) return
  const expected =
    'no value of a secret, which would be stored in Redis: name it in secretEnv without a value, ' +
    'or say allowSecretValues'
  throw refused(field, expected, 'one')
}

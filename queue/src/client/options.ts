import type {
  ExecutionFilter,
  ExecutionEvent,
  FollowLogsOptions,
  LogPageOptions,
  PlanEvent,
} from '@escher-dbai/execution-engine'
import { describe, refused } from '../errors'
import { isObject } from '../request/encode'

/** Who is told while a command runs, checked. */
export interface Callbacks {
  readonly onStdout?: ((line: string) => unknown) | undefined
  readonly onStderr?: ((line: string) => unknown) | undefined
  readonly onEvent?: ((event: ExecutionEvent | PlanEvent) => unknown) | undefined
}

export interface CheckedOptions extends Callbacks {
  readonly signal?: AbortSignal | undefined
  readonly throwOnFailure: boolean
}

type Check = (value: unknown, field: string) => void

const isFunction: Check = (value, field) => {
  if (typeof value !== 'function') throw refused(field, 'a function', describe(value))
}

const isFlag: Check = (value, field) => {
  if (typeof value !== 'boolean') throw refused(field, 'a boolean', describe(value))
}

const isSignal: Check = (value, field) => {
  const signal = value as Partial<AbortSignal> | null
  const works = typeof signal?.aborted === 'boolean' && typeof signal.addEventListener === 'function'
  if (!works) throw refused(field, 'an AbortSignal', describe(value))
}

const isCount: Check = (value, field) => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return
  throw refused(field, 'zero or a positive integer up to 2^53 - 1', describe(value))
}

const isPositive: Check = (value, field) => {
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return
  throw refused(field, 'a positive integer up to 2^53 - 1', describe(value))
}

const isNothing: Check = (value, field) => {
  throw refused(field, 'none: a worker sends lines, and keepBytes the bytes of the result', describe(value))
}

const isText: Check = (value, field) => {
  if (typeof value !== 'string') throw refused(field, 'a string', describe(value))
}

/** Options with these keys and no others, each read once. What is undefined is absent. */
function checked(given: unknown, name: string, known: Readonly<Record<string, Check>>): Record<string, unknown> {
  if (given === undefined) return {}
  if (!isObject(given)) throw refused(name, 'an options object', describe(given))
  const found: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(given)) {
    const check = known[key]
    const field = name === 'filter' ? key : `${name}.${key}`
    if (check === undefined) throw refused(field, `one of the keys ${Object.keys(known).join(', ')}`, describe(key))
    if (value === undefined) continue
    check(value, field)
    found[key] = value
  }
  return found
}

const CALLBACKS = {
  onStdout: isFunction,
  onStderr: isFunction,
  onStdoutBytes: isNothing,
  onStderrBytes: isNothing,
  onEvent: isFunction,
  signal: isSignal,
}

/** What the checks have found is what the types say. */
export function checkedOptions(given: unknown, isRun: boolean): CheckedOptions {
  const known = isRun ? { ...CALLBACKS, throwOnFailure: isFlag } : CALLBACKS
  return { throwOnFailure: false, ...checked(given, 'options', known) }
}

export const checkedSignal = (given: unknown): AbortSignal | undefined =>
  checked(given, 'options', { signal: isSignal })['signal'] as AbortSignal | undefined

export function checkedPage(given: unknown): LogPageOptions {
  const options: LogPageOptions = checked(given, 'options', { from: isCount, fromLine: isCount, limit: isPositive })
  if (options.from === undefined || options.fromLine === undefined) return options
  throw refused('options.fromLine', 'either this or "from"', 'both')
}

export const checkedFollow = (given: unknown): FollowLogsOptions =>
  checked(given, 'options', { from: isCount, wait: isFlag, signal: isSignal })

const STATUSES = ['pending', 'running', 'completed', 'failed', 'cancelled', 'timeout', 'skipped']

const isStatus: Check = (value, field) => {
  if (!STATUSES.includes(String(value))) throw refused(field, STATUSES.join(' or '), describe(value))
}

const isTags: Check = (value, field) => {
  if (!isObject(value)) throw refused(field, 'an object with string values', describe(value))
  for (const [name, tag] of Object.entries(value)) isText(tag, `${field}.${name}`)
}

export const checkedFilter = (given: unknown): ExecutionFilter =>
  checked(given, 'filter', { status: isStatus, source: isText, tag: isTags, limit: isPositive })

export function checkedReason(value: unknown): string | undefined {
  if (value !== undefined) isText(value, 'reason')
  return value as string | undefined
}

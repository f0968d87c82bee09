import { ExecutionError } from '@escher-dbai/execution-engine'
import type { ErrorCode } from '@escher-dbai/execution-engine'

/** An argument that is not as it must be. */
export const refused = (
  field: string,
  expected: string,
  found: string,
  code: ErrorCode = 'VALIDATION',
): ExecutionError => new ExecutionError(code, `${field}: expected ${expected}, found ${found}`, { field })

export const notFound = (id: string, what = 'execution or plan'): ExecutionError =>
  new ExecutionError('NOT_FOUND', `no ${what} with the id ${id} is known to the queue`, { executionId: id })

export const shutDown = (): ExecutionError => new ExecutionError('SHUT_DOWN', 'the queue engine has been shut down')

/** Tells the operator of what nobody else is told. */
export const emitWarning = (message: string): void => process.emitWarning(message, 'ExecutionQueueWarning')

/** Lines that were to be read, and were no longer kept. */
export const linesLost = (count: number): string =>
  `${count} ${count === 1 ? 'line was' : 'lines were'} no longer kept when they were to be read`

/** What somebody else's code threw, in words. */
export function messageOf(error: unknown): string {
  try {
    const message = error instanceof Error ? error.message : ''
    return message === '' ? String(error) : message
  } catch {
    return 'something without words was thrown'
  }
}

/** What was found in place of something else, for a message. */
export function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value)
  if (Array.isArray(value)) return `an array of ${value.length}`
  if (typeof value === 'object' && value !== null) return 'an object'
  if (typeof value === 'function' || typeof value === 'symbol') return `a ${typeof value}`
  return String(value)
}

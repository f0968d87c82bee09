// What an end of `play` is told as.

import { ExecutionError } from '@escher-dbai/execution-engine'
import type { RunStatus } from '../api.js'
import { PlaybookError } from '../playbook/faults.js'
import { ParameterError } from '../playbook/parameters.js'
import { HistoryError } from '../runs/history.js'
import { RunError } from '../runs/runs.js'
import { TokenError } from '../service/security.js'
import { exitCodes, InputError } from './exit-codes.js'

export function exitCodeOf(status: RunStatus): number {
  if (status === 'completed') return exitCodes.completed
  return status === 'timeout' ? exitCodes.timeout : exitCodes.failed
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error && 'code' in error
}

/** The code for an error, and what is said of it. */
export function failure(error: unknown): { readonly code: number; readonly message: string } {
  const isInput =
    error instanceof PlaybookError ||
    error instanceof ParameterError ||
    error instanceof RunError ||
    error instanceof InputError ||
    error instanceof HistoryError ||
    error instanceof TokenError ||
    (error instanceof ExecutionError && (error.code === 'VALIDATION' || error.code === 'INVALID_CONFIG')) ||
    (isSystemError(error) && error.syscall === 'open')
  const message = error instanceof Error ? error.message : String(error)
  return { code: isInput ? exitCodes.badInput : exitCodes.failed, message }
}

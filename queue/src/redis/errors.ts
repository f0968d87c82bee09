import { setTimeout as delay } from 'node:timers/promises'
import { ExecutionError } from '@escher-dbai/execution-engine'
import { messageOf } from '../errors'

/** How long after an error of Redis it is asked again, in milliseconds. */
export const RETRY_MS = 500

/** What Redis answers to what it would do at another time, or once its operator has seen to it. */
const PASSING = [
  'ASK',
  'BUSY',
  'CLUSTERDOWN',
  'LOADING',
  'MASTERDOWN',
  'MISCONF',
  'MOVED',
  'NOAUTH',
  'NOPERM',
  'NOREPLICAS',
  'NOSCRIPT',
  'OOM',
  'READONLY',
  'TRYAGAIN',
  'UNBLOCKED',
  'WRONGPASS',
]
/** Redis before 7 puts the code of a refused command of a script within its words. */
const PASSING_CODE = new RegExp(`(^|[ -])(${PASSING.join('|')})\\b`)

/** Errors of the language: nothing that was sent to Redis. */
const OWN = [TypeError, RangeError, ReferenceError, SyntaxError]

/** Whether the same may be done later: of errors of the connection all, of answers of Redis those that are about its state. */
export function isPassing(error: unknown): boolean {
  if (error instanceof ExecutionError) return error.code === 'IO'
  if (error instanceof Error && error.name === 'ReplyError') return PASSING_CODE.test(error.message)
  return !OWN.some((kind) => error instanceof kind)
}

/** Who asks until it is done. */
export interface Insisting {
  /** It is not to be done any more. */
  readonly closed: AbortSignal
  /** Tells the operator. */
  readonly warn: (message: string) => void
}

/**
 * Asks until Redis does it, which may have no memory for it now, or be loading. Rejects where asking again is no use, and once
 * it is closed.
 */
export async function insist<T>({ closed, warn }: Insisting, question: () => Promise<T>): Promise<T> {
  for (let isWarned = false; ; isWarned = true) {
    try {
      return await question()
    } catch (error) {
      if (closed.aborted || !isPassing(error)) throw error
      if (!isWarned) warn(`Redis does not do what it is asked, and is asked again: ${messageOf(error)}`)
      await delay(RETRY_MS, undefined, { signal: closed })
    }
  }
}

import { checkedLabels } from '../names'
import { describe, refused } from '../errors'
import type { QueueRequestOptions } from '../options'
import { copyOf, isObject } from './encode'

/** What a request or a plan says to the queue, checked. */
export interface QueueOptions {
  readonly labels: readonly string[]
  readonly loss: 'fail' | 'rerun'
  readonly delayMs: number
  readonly allowSecretValues: boolean
}

/** Takes apart what is for the engine and what is for the queue. Each property is read once. */
export function splitOf(given: unknown, name: string): { rest: Record<string, unknown>; options: QueueOptions } {
  const copy = copyOf(given)
  if (!isObject(copy)) throw refused(name, 'an object', describe(given))
  const { labels, onWorkerLoss, delayMs, allowSecretValues, ...rest } = copy as QueueRequestOptions &
    Record<string, unknown>
  return {
    rest,
    options: {
      labels: checkedLabels(labels, 'VALIDATION'),
      loss: checkedLoss(onWorkerLoss),
      delayMs: checkedDelay(delayMs),
      allowSecretValues: checkedFlag('allowSecretValues', allowSecretValues),
    },
  }
}

function checkedLoss(value: unknown): 'fail' | 'rerun' {
  if (value === undefined) return 'fail'
  if (value === 'fail' || value === 'rerun') return value
  throw refused('onWorkerLoss', '"fail" or "rerun"', describe(value))
}

/** BullMQ counts the time of a delay in 2^41 milliseconds. */
const LONGEST_DELAY = 10 * 365 * 86_400_000

function checkedDelay(value: unknown): number {
  if (value === undefined) return 0
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= LONGEST_DELAY) return value
  throw refused('delayMs', `an integer from 0 to ${LONGEST_DELAY}`, describe(value))
}

function checkedFlag(field: string, value: unknown): boolean {
  if (value === undefined) return false
  if (typeof value === 'boolean') return value
  throw refused(field, 'a boolean', describe(value))
}

/** BullMQ takes 1 before 2^21 - 1, and what has none before all of them. */
const MIDDLE = 2 ** 20

/** The priority of BullMQ for one of the engine, where more is first. */
export function priorityOf(value: unknown): number {
  const priority = typeof value === 'number' ? value : 0
  if (Math.abs(priority) < MIDDLE) return MIDDLE - priority
  throw refused('priority', `an integer from -${MIDDLE - 1} to ${MIDDLE - 1}`, String(priority))
}

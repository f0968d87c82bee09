import type { ExecutionRequest, Result } from '@escher-dbai/execution-engine'
import type { WorkerLoss } from '../options'
import { isObject } from './encode'
import type { QueueOptions } from './submission'

// What waits in Redis: plain data, as JSON.

/** What a command reads, as it is sent. */
export type WireInput = string | { readonly file: string } | { readonly base64: string }

/** A request as it is sent: paths in place of URLs, text in place of bytes. */
export type WireRequest = Omit<ExecutionRequest, 'stdin'> & { readonly stdin?: WireInput | undefined }

/** A plan as it is sent: each of its steps has an id. */
export interface WirePlan {
  readonly id: string
  readonly secretEnv?: readonly string[] | undefined
  readonly commands?: readonly WireStep[] | undefined
  readonly steps?: Readonly<Record<string, WireStep>> | undefined
  readonly metadata?: ExecutionRequest['metadata']
  readonly [key: string]: unknown
}

/** A step as it is sent: a request, and what the step says besides. */
export type WireStep = WireRequest & { readonly id: string; readonly [key: string]: unknown }

/** A step of a plan, for whoever asks for it before it has started. */
export interface StepNote {
  readonly id: string
  readonly step: string | number
  readonly command: string
  readonly metadata: Result['metadata']
}

/** What a submission says to the queue. */
export interface Policy {
  readonly loss: WorkerLoss
  /** For how long the result is kept, in seconds. */
  readonly keep: number
  /** How many finished ones are kept. */
  readonly most: number
}

interface Waiting {
  readonly id: string
  readonly digest: string
  readonly policy: Policy
  /** For display. */
  readonly command: string
  readonly metadata: Result['metadata']
  /** The BullMQ queue that it waits in. */
  readonly queue: string
}

/** An execution that waits for a worker. */
export interface WaitingExecution extends Waiting {
  readonly kind: 'execution'
  readonly request: WireRequest
  /** Of a step of a plan whose steps are spread. */
  readonly planId: string | null
  readonly step: string | number | null
}

/** A plan that waits for a worker. */
export interface WaitingPlan extends Waiting {
  readonly kind: 'plan'
  readonly plan: WirePlan
  readonly steps: readonly StepNote[]
  /** What it said to the queue, which holds for its steps. */
  readonly options: QueueOptions
  /** Whether the worker only drives it, and its steps wait for workers of their own. */
  readonly spread: boolean
}

/** The data of a job. */
export type JobData = WaitingExecution | WaitingPlan

/** Whether a job is one of this queue: anybody can add others, and copies, to a queue of BullMQ. */
export function isJobData(data: unknown, { id, queue }: { readonly id: string; readonly queue: string }): boolean {
  if (!isObject(data) || data['id'] !== id || data['queue'] !== queue) return false
  const { digest, policy, command, metadata } = data
  if (typeof digest !== 'string' || typeof command !== 'string' || !isObject(metadata)) return false
  if (!isObject(policy) || !Number.isInteger(policy['keep']) || !Number.isInteger(policy['most'])) return false
  if (data['kind'] === 'execution') return isObject(data['request']) && isObject(data['request']['command'])
  return data['kind'] === 'plan' && isObject(data['plan']) && isObject(data['options']) && Array.isArray(data['steps'])
}

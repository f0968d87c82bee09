// The public surface of the package.

import type {
  ExecutionEvent,
  ExecutionFilter,
  ExecutionResult,
  ExecutionStatus,
  ExecutionSummary,
  Executor,
  ExecuteOptions,
  LogLine,
  LogPage,
  PlanExecutionResult,
  PlanOptions,
  RunOptions,
} from '@escher-dbai/execution-engine'
import type {
  ExecutionWorkerOptions,
  QueueEngineOptions,
  QueuePlan,
  QueueRequest,
  WorkerCounts,
  WorkerHealth,
} from './options'

export type {
  Connection,
  ExecutionWorkerOptions,
  QueueEngineOptions,
  QueuePlace,
  QueuePlan,
  QueueRequest,
  QueueRequestOptions,
  WorkerCounts,
  WorkerHealth,
  WorkerLoss,
} from './options'

export declare class QueueEngine implements Executor, AsyncDisposable {
  constructor(options: QueueEngineOptions)
  execute(request: QueueRequest, options?: ExecuteOptions): Promise<string>
  run(
    request: QueueRequest,
    options: RunOptions & { readonly throwOnFailure: true },
  ): Promise<Extract<ExecutionResult, { success: true }>>
  run(request: QueueRequest, options?: RunOptions): Promise<ExecutionResult>
  stream(
    request: QueueRequest,
    options?: { readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<ExecutionEvent, void, undefined>
  subscribe(id: string): AsyncGenerator<ExecutionEvent, void, undefined>
  executePlan(plan: QueuePlan, options?: PlanOptions): Promise<string>
  runPlan(plan: QueuePlan, options?: PlanOptions): Promise<PlanExecutionResult>
  getStatus(id: string): Promise<ExecutionStatus>
  getResult(id: string): Promise<ExecutionResult>
  waitForCompletion(id: string): Promise<ExecutionResult>
  getPlanResult(planId: string): Promise<PlanExecutionResult>
  waitForPlan(planId: string): Promise<PlanExecutionResult>
  listExecutions(filter?: ExecutionFilter): Promise<ExecutionSummary[]>
  cancel(id: string, reason?: string): Promise<void>
  readLogLines(
    id: string,
    options?: { readonly from?: number | undefined; readonly limit?: number | undefined },
  ): Promise<LogPage>
  followLogs(
    id: string,
    options?: { readonly from?: number | undefined; readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<LogLine, void, undefined>
  shutdown(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
  /** What the keys of BullMQ begin with: the `prefix` of a `Queue` of BullMQ for the same jobs. */
  readonly keyPrefix: string
  /** The name of the queue of BullMQ in which requests with these labels wait. */
  queueName(labels?: readonly string[]): string
}

export declare class ExecutionWorker implements AsyncDisposable {
  constructor(options: ExecutionWorkerOptions)
  /** Resolves once it takes work. */
  ready(): Promise<void>
  /** `drain` (default: true) waits for what runs; else it is cancelled, and counts as lost. */
  close(options?: { readonly drain?: boolean | undefined }): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
  readonly counts: WorkerCounts
  isHealthy(): Promise<boolean>
  health(): Promise<WorkerHealth>
}

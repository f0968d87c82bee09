// The public surface of the package.

export { QueueEngine } from './client/queue-engine'
export { ExecutionWorker } from './worker/execution-worker'
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

// Plans whose steps somebody else runs: the scheduler of the engine without its processes.

import type {
  CheckedStep,
  ExecutionEvent,
  ExecutionPlan,
  ExecutionRequest,
  ExecutionResult,
  PlanEvent,
  PlanExecutionResult,
} from './index.js'

/** A step whose turn has come. */
export interface PlanRunStep {
  /** The id of its execution, which the request has too. */
  readonly id: string
  /** Its name or its index. */
  readonly step: string | number
  /** Its place in the results. */
  readonly index: number
  /** The id of its plan. */
  readonly planId: string
  /**
   * Aborted when the step is to end: with the plan, or by {@link PlanRun.cancelStep}. The reason is that of the cancel; of a
   * deadline that has passed it is a `DOMException` called `TimeoutError`, and of a lease that was lost an `AbortError`.
   * One that is aborted from the beginning is that of a step which may have been started before; if not, it is never to be.
   */
  readonly signal: AbortSignal
}

/** Who runs the steps of a plan, and who is told of it. */
export interface PlanRunOptions {
  /**
   * Runs a step, and resolves with how it ended, whatever that was. Called once for each step that is to run, when all that it
   * depends on has ended. The request has the step's id, and the secrets of the plan besides its own.
   *
   * Where it rejects, it is not known how the step ends: nothing more is started or stopped, and {@link PlanRun.result}
   * rejects with the same.
   */
  readonly run: (request: ExecutionRequest, step: PlanRunStep) => Promise<ExecutionResult>
  /**
   * Called with the progress of the plan and its end, and with the end of each step that never ran. What runs is told of by
   * who runs it. A promise is awaited before the next call.
   */
  readonly onEvent?: ((event: ExecutionEvent | PlanEvent) => void | Promise<void>) | undefined
  /** Aborting it cancels the plan, with its reason. */
  readonly signal?: AbortSignal | undefined
  /** When the plan was accepted, in milliseconds since 1970; its deadline counts from there. Default: now. */
  readonly acceptedAt?: number | undefined
  /**
   * The results of steps that had ended before, for who goes on with a plan after a restart. For these `run` is not called, and
   * nothing is told again. They are taken in the order of their ends; the deadline does not count for them. Results of other
   * executions are passed over.
   */
  readonly results?: readonly ExecutionResult[] | undefined
}

/**
 * A plan whose steps are run by the caller's own function: on other machines, say, or in tests. What is to run when, what is
 * skipped and why, what a failure, a cancel, a deadline and a lease mean, and what is told of all that, is as in
 * `runPlan` of an engine. It begins at once, behind the call that made it.
 *
 * The steps take no slots: of what may run, all is started, as far as `maxConcurrency` allows. A step has the id that its
 * request says, else that of {@link stepId}: the same plan has the same ids, also after a restart.
 *
 * @example
 * ```ts
 * import { ExecutionEngine } from '@escher-dbai/execution-engine'
 * import { PlanRun } from '@escher-dbai/execution-engine/plans'
 *
 * const engine = new ExecutionEngine()
 * const command = { type: 'shell', command: 'echo done' } as const
 * const plan = { steps: { build: { command }, test: { command, dependsOn: ['build'] } } }
 * const { result } = new PlanRun(plan, { run: (request, { signal }) => engine.run(request, { signal }) })
 * console.log((await result).stats.completed) // 2
 * ```
 */
export class PlanRun {
  /** @throws `ExecutionError` for what `checkPlan` refuses, and for options that are none. */
  constructor(plan: ExecutionPlan, options: PlanRunOptions)
  /** The id of the plan. */
  readonly id: string
  /** The steps, in the order of their results. The command of a step whose request is made is `null` before that. */
  readonly steps: readonly CheckedStep[]
  /**
   * How the plan ended, once all its steps have ended and {@link PlanRunOptions.onEvent} was told, for which it waits two
   * seconds at most.
   */
  readonly result: Promise<PlanExecutionResult>
  /** Asks what runs to end, and lets nothing more start. The first cause of an end stays. */
  cancel(reason?: string): void
  /**
   * Ends a step that waits for its turn, or asks one that runs to end.
   *
   * @throws `ExecutionError` `NOT_FOUND`, `ALREADY_FINISHED` or `VALIDATION`.
   */
  cancelStep(id: string, reason?: string): void
  /**
   * Says that a plan with a lease is still wanted: it ends `leaseMs` from this call, or as many milliseconds as the plan says.
   * Timers of this process see to that, and none where it is blocked or gone.
   *
   * @throws `ExecutionError` `ALREADY_FINISHED` if the plan, or its lease, has ended; `VALIDATION` if it has none.
   */
  renewLease(leaseMs?: number): void
}

/**
 * The id of a step that was given none: a UUID of version 5, of the plan's id and the step's name or index.
 *
 * @throws `ExecutionError` `VALIDATION` if `planId` is no UUID.
 */
export function stepId(planId: string, step: string | number): string

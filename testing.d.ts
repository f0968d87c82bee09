// What stands in for the package in tests: the same types, and no addon.

import type {
  Command,
  ExecutionConfig,
  ExecutionEngine,
  ExecutionPlan,
  ExecutionRequest,
  ExecutionResult,
  Result,
} from './index.js'

export { ExecutionError, ExecutionFailedError, checkPlan, checkRequest, quote, quotePowerShell, sh } from './index.js'

/** Fields of a result. */
export type FakeResultFields = { readonly [Field in keyof Result]?: Result[Field] | undefined }

/**
 * A whole result, as an engine makes it. What is not given follows from what is: `exitCode: 2` is a failure with its
 * `error`, `stdout` counts its bytes, and nothing at all is a command that has completed.
 *
 * @throws `TypeError` for what no engine says, such as `success` where the status is `failed`.
 */
export function fakeResult(
  overrides: FakeResultFields & { readonly success: true },
): Extract<ExecutionResult, { success: true }>
export function fakeResult(
  overrides: FakeResultFields & { readonly success: false },
): Extract<ExecutionResult, { success: false }>
export function fakeResult(overrides?: FakeResultFields): ExecutionResult

/** A line that a scripted command prints, or several. */
export interface FakeLine {
  /** A line of standard output, without its end. */
  readonly stdout?: string | undefined
  /** A line of standard error, without its end. */
  readonly stderr?: string | undefined
  /** How long after the one before it comes, in milliseconds. Default: 0. */
  readonly afterMs?: number | undefined
}

/**
 * What a command does, in one attempt of it. Without anything it completes at once, and prints nothing. It has one end: `exitCode`, `signal`,
 * `spawnError`, `timesOut` or `hangs`.
 */
export interface FakeScript {
  /** What it prints, in that order; a text is a line of standard output. */
  readonly output?: readonly (string | FakeLine)[] | undefined
  /** How long after its last line it ends, in milliseconds. Default: 0. */
  readonly endsAfterMs?: number | undefined
  /** Its exit code. Default: 0. */
  readonly exitCode?: number | undefined
  /** The signal that ends it, such as `SIGKILL`. */
  readonly signal?: string | undefined
  /** It cannot be started, for that reason. */
  readonly spawnError?: string | undefined
  /** Its deadline passes behind its last line, without anybody waiting for it; its time counts all the same. */
  readonly timesOut?: boolean | undefined
  /** It does not end by itself: a cancel ends it, or its deadline, which is waited for. */
  readonly hangs?: boolean | undefined
  /**
   * What its result says besides, such as `leftoverProcesses: true`, or in place of what follows from the rest. Of a request
   * with `retry` it is that of this attempt.
   */
  readonly result?: FakeResultFields | undefined
}

/** Fields of a command; a text may be matched by a pattern. */
export type FakeCommand = {
  readonly [Field in Command extends infer Union ? (Union extends unknown ? keyof Union : never) : never]?:
    (Field extends 'args' ? readonly (string | RegExp)[] : string | RegExp) | undefined
}

/** Which requests: that with an id, those whose command has these fields, or those that a function says. */
export type FakeMatch = string | FakeCommand | ((request: ExecutionRequest) => boolean)

/** What a command does, or what says it for a request, at each of its attempts. */
export type FakeScripted = FakeScript | ((request: ExecutionRequest) => FakeScript)

/** All that an engine has. */
declare const StandIn: new (config?: ExecutionConfig) => ExecutionEngine

/**
 * Stands in for an {@link ExecutionEngine} in tests. It runs nothing: what commands do is scripted. Calls are checked,
 * accepted, refused and told of as by the real one: the shape of what is passed, ids, slots and the queue, the order of
 * lines, events and results, callbacks that are waited for, cancels, deadlines, silence and leases, further attempts, plans.
 * What depends on the machine is not: whether a program, a directory or a script is there.
 *
 * Time passes by `setTimeout` and `Date`, so the timers of a test runner control it.
 *
 * @example
 * ```ts
 * import { FakeEngine } from '@escher-dbai/execution-engine/testing'
 *
 * const engine = new FakeEngine()
 * engine.when({ program: 'git', args: ['status'] }, { output: ['clean'] })
 * engine.when({ type: 'shell', command: /deploy/ }, { output: [{ stderr: 'denied' }], exitCode: 1 })
 *
 * const result = await engine.run({ command: { type: 'exec', program: 'git', args: ['status'] } })
 * console.log(result.stdout) // clean
 * console.log(engine.requests.length) // 1
 * ```
 */
export class FakeEngine extends StandIn {
  /** @throws `ExecutionError` `INVALID_CONFIG`, with the `field`. */
  constructor(config?: ExecutionConfig)

  /**
   * Says what the commands of some requests do: the first script for the first request, or the first attempt of one, and
   * so on; the last one for all others. What was said last counts first. A request for which there is no script is
   * rejected.
   *
   * @throws `TypeError` for a script that cannot be.
   */
  when(match: FakeMatch, ...scripts: readonly FakeScripted[]): this
  /** The same for all requests that nothing else is for. */
  otherwise(...scripts: readonly FakeScripted[]): this

  /** The requests that were accepted, steps of plans among them, as they were passed, each with its id. */
  readonly requests: readonly ExecutionRequest[]
  /** What was written to the input of an execution, as text. */
  inputOf(id: string): string
  /** The plans that were accepted, likewise. */
  readonly plans: readonly ExecutionPlan[]
}

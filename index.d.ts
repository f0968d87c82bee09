// The public types of the package, written by hand. `binding.d.ts`, which is generated, is internal.

declare global {
  // What `lib.esnext.disposable` and `@types/node` declare as well; for programs that compile with neither.
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol
  }
}

/** A command to run. The arguments of `exec`, `script` and `aws_cli` are passed as they are: no shell reads them. */
export type Command =
  | {
      /** A program and its arguments, without a shell. */
      type: 'exec'
      /** A path, or a name that is looked up on the `PATH` of the child. */
      program: string
      /** Default: none. */
      args?: string[]
    }
  | {
      /** A line for a shell: pipes, redirections, variables. */
      type: 'shell'
      /** What the shell is to run. */
      command: string
      /** The shell. Default: `bash`, `sh` where there is no bash; `powershell` on Windows. */
      shell?: string
    }
  | {
      /** A script file. */
      type: 'script'
      /** The file. A relative path is relative to {@link ExecutionRequest.workingDir}. */
      path: string
      /** What runs it. Default: its `#!` line, else its extension, else a shell. */
      interpreter?: string
      /** Arguments for the script. Default: none. */
      args?: string[]
    }
  | {
      /** A call of the AWS command-line interface: `aws SERVICE OPERATION`. */
      type: 'aws_cli'
      /** Such as `ec2`. Not empty, and not starting with `-`. */
      service: string
      /** Such as `describe-instances`. Not empty, and not starting with `-`. */
      operation: string
      /** Further arguments. Default: none. */
      args?: string[]
      /** Passed as `--profile`. */
      profile?: string
      /** Passed as `--region`. */
      region?: string
    }

/**
 * What to run, and the circumstances it runs in.
 *
 * A request is checked before anything is started. One that cannot be accepted is refused with an
 * {@link ExecutionError} of code `VALIDATION`, whose `field` is the path of the culprit, such as
 * `command.args[2]`. Unknown keys are refused too. Only what an object has itself counts, not what it inherits; each
 * property is read once, in the call, and may be changed after it. Values of `env` and `stdin` are in no message.
 */
export interface ExecutionRequest {
  /** A UUID. Default: a random one. One that the engine remembers is refused with `DUPLICATE_ID`. */
  id?: string
  /** What to run. */
  command: Command
  /**
   * Variables on top of the inherited environment. Default: none. Each child also gets `ESCHER_EXECUTION_ID`,
   * the id of its execution.
   */
  env?: Record<string, string>
  /** Whether the child inherits `process.env`, as it is when the request is made. Default: `true`. */
  inheritEnv?: boolean
  /** The directory that the command runs in. It must exist. Default: that of the host when the request is made. */
  workingDir?: string
  /** What the command reads. Default: the null device, so that a command which reads sees its end at once. */
  stdin?: string | Uint8Array
  /**
   * The deadline, in milliseconds from the start of the process; time in the queue does not count. Default:
   * {@link ExecutionConfig.defaultTimeoutMs}. More than {@link ExecutionConfig.maxTimeoutMs} is refused.
   */
  timeoutMs?: number
  /** A file to which the raw bytes of both streams are appended as they arrive. Default: none. */
  outputLogPath?: string
  /**
   * Whether what the command leaves running is left alone. Default: `false`: it is ended with the command, and
   * {@link ExecutionResult.leftoverProcesses} tells of it.
   */
  keepBackground?: boolean
  /** What the request says about itself. The engine only passes it on, to {@link ExecutionResult.metadata}. */
  metadata?: {
    /** Where the request came from, such as `ui`. */
    source?: string
    /** The conversation it belongs to. */
    conversationId?: string
    /** Anything else. */
    tags?: Record<string, string>
  }
}

/**
 * Who is told while a command runs.
 *
 * A callback has seen every line before {@link ExecutionEngine.run}, {@link ExecutionEngine.waitForCompletion} or
 * the terminal event is seen. One that returns a promise is awaited before the next line is delivered; the command
 * blocks on its pipe meanwhile, and the deadline and a cancel are kept. One that has not returned
 * {@link ExecutionConfig.drainMaxMs} after these is given up: no further line is delivered, and the `error` of the
 * result says so.
 *
 * What a callback throws or rejects does not stop the execution. It surfaces as an uncaught exception or an
 * unhandled rejection of the host, as with the listeners of an `EventTarget`. A callback runs in the asynchronous
 * context of the call: it sees what an `AsyncLocalStorage` held there.
 *
 * Where {@link ExecutionConfig.streamOutput} is `false` there are no lines, neither for `onStdout` and `onStderr` nor
 * as events; `onEvent` is told of all else.
 */
export interface ExecuteOptions {
  /**
   * Called with each line of standard output, without its end. A line ends at `\n`; a `\r` before it is dropped.
   * A line longer than {@link ExecutionConfig.maxLineSizeBytes} comes in pieces.
   */
  onStdout?: (line: string) => void | Promise<void>
  /** Called with each line of standard error, as {@link ExecuteOptions.onStdout} is for standard output. */
  onStderr?: (line: string) => void | Promise<void>
  /** Called with each event of this execution or plan, the terminal one included. */
  onEvent?: (event: ExecutionEvent) => void | Promise<void>
  /** Aborting it cancels the execution, also one that waits in the queue. The result says `cancelled`. */
  signal?: AbortSignal
}

/**
 * How an engine behaves. Every field is optional; unknown ones are refused with `INVALID_CONFIG`, as is a number that
 * is not a positive integer.
 */
export interface ExecutionConfig {
  /** The deadline of a request that names none, in milliseconds. Default: 300 000. */
  defaultTimeoutMs?: number
  /** The longest deadline that a request may ask for, in milliseconds. Default: 3 600 000. */
  maxTimeoutMs?: number
  /** How many executions may run at once. Default: 100. */
  maxConcurrentExecutions?: number
  /**
   * How many executions may wait for a slot, with the status `pending`. Default: 0: at the limit a request is refused
   * with `CONCURRENCY_LIMIT_REACHED`.
   */
  maxQueuedExecutions?: number
  /**
   * How many finished executions are remembered, at any time. A plan and its steps are remembered and forgotten
   * together; the one that ended last is remembered however many steps it has. Default: 1000.
   */
  maxInMemoryExecutions?: number
  /** How long a finished execution is remembered, in seconds. Default: 3600. */
  executionRetentionSecs?: number
  /** Whether finished executions past their retention are dropped in the background, every 60 s. Default: `true`. */
  enableAutoCleanup?: boolean
  /**
   * Whether lines are delivered, to callbacks and as events. Default: `true`. With `false` what was printed is only in
   * the result; the events of the start and the end come all the same.
   */
  streamOutput?: boolean
  /**
   * How much of each stream is kept in memory for the result, in bytes. Default: 10 485 760. At most what fits into a
   * string, some 500 million: {@link ExecutionEngine.config} tells what is in force.
   */
  maxOutputSizeBytes?: number
  /**
   * What happens to output beyond {@link ExecutionConfig.maxOutputSizeBytes}:
   *
   * - `truncate_with_warning`, the default: the first bytes are kept, and one line of warning says how much was
   *   printed. The command runs on.
   * - `fail_execution`: the command is ended. Its status is `failed`, its error code `OUTPUT_SIZE_EXCEEDED`.
   * - `stream_to_file`: the first bytes are kept, and the rest is written to a file.
   */
  oversizedOutputStrategy?: 'truncate_with_warning' | 'fail_execution' | 'stream_to_file'
  /**
   * The longest line that is delivered in one piece, in bytes, at least 4. Default: 1 048 576. At most what fits into a
   * string, as for {@link ExecutionConfig.maxOutputSizeBytes}.
   */
  maxLineSizeBytes?: number
  /** Whether output is logged, one file per execution that prints anything. Default: `true`. */
  logOutput?: boolean
  /**
   * The directory of log and overflow files. It is created if it is missing, the directories above it are not. Default:
   * `cloudops-executions` in the system's temporary directory.
   */
  logDir?: string
  /** The largest size of one log file, in bytes. Default: 104 857 600. */
  maxLogSizeBytes?: number
  /** The time between asking a process to end and ending it, in milliseconds. Default: 5 000. */
  terminationGraceMs?: number
  /**
   * How long output may be silent, after the command itself has ended, before it is read no longer, in milliseconds.
   * Default: 250.
   */
  drainIdleMs?: number
  /** How long output is read at most after the command itself has ended, in milliseconds. Default: 2 000. */
  drainMaxMs?: number
  /** Whether nothing may outlive the host process. Default: `true`. */
  orphanProtection?: boolean
}

/**
 * Where an execution stands. `pending` and `running` are followed by exactly one of the others.
 *
 * - `pending`: it waits for a slot.
 * - `completed`: the command exited with code 0.
 * - `failed`: it exited with another code, was ended by a signal, or could not be started.
 * - `cancelled`: it was cancelled, whatever its exit code.
 * - `timeout`: its deadline passed, whatever its exit code.
 * - `skipped`: a step of a plan that was not started, because another one failed; `error` names that one.
 */
export type ExecutionStatus = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'timeout' | 'skipped'

/** How an execution ended. */
export interface ExecutionResult {
  /** The id of the execution. */
  id: string
  /** How it ended: never `pending` or `running`. */
  status: ExecutionStatus
  /** Whether `status` is `completed`. */
  success: boolean
  /** The exit code of the command. `null` if a signal ended it, or if it was not started. */
  exitCode: number | null
  /** The signal that ended the command, such as `SIGTERM`, or `null`. It is never told as 128 + n in `exitCode`. */
  signal: string | null
  /**
   * What was printed to standard output, trailing newline included, up to {@link ExecutionConfig.maxOutputSizeBytes}.
   * Invalid UTF-8 becomes U+FFFD.
   */
  stdout: string
  /** What was printed to standard error, as {@link ExecutionResult.stdout}. */
  stderr: string
  /** How much was printed to standard output, kept or not, in bytes. */
  stdoutBytes: number
  /** How much was printed to standard error, kept or not, in bytes. */
  stderrBytes: number
  /** Whether `stdout` or `stderr` lacks something that was printed. */
  truncated: boolean
  /** The file with the rest of standard output, or `null`. Only with the strategy `stream_to_file`. */
  stdoutOverflowFile: string | null
  /** The file with the rest of standard error, or `null`. Only with the strategy `stream_to_file`. */
  stderrOverflowFile: string | null
  /** The command, for display: shell-quoted, control characters escaped. */
  command: string
  /** The process id of the command, or `null` if it was not started. */
  pid: number | null
  /** When the process was started, in ISO 8601 and UTC, or `null` if it was not. */
  startedAt: string | null
  /** When the execution ended, in ISO 8601 and UTC. */
  completedAt: string
  /** The time from the start of the process to the end of the execution, in milliseconds, queue excluded. */
  durationMs: number
  /**
   * The time from the request to the start of the process, in milliseconds: the wait for a slot, and for its turn in a
   * plan. Of one that was not started, the time to its end.
   */
  queuedMs: number
  /** Whether it had to be killed after {@link ExecutionConfig.terminationGraceMs}. */
  forced: boolean
  /** Whether the command had left something running, which was ended. */
  leftoverProcesses: boolean
  /** The log file, or `null` if nothing was logged. */
  logPath: string | null
  /** What went wrong, in words, or `null`. */
  error: string | null
  /**
   * What went wrong, for programs, or `null`:
   *
   * - `SPAWN_FAILED`: the command could not be started. `error` names it.
   * - `OUTPUT_SIZE_EXCEEDED`: it printed too much for the strategy `fail_execution`.
   * - `IO`: something was lost on its way to or from a log or overflow file; `error` says what. `status` is that of
   *   the command all the same.
   */
  errorCode: 'SPAWN_FAILED' | 'OUTPUT_SIZE_EXCEEDED' | 'IO' | null
  /** What the request said about itself. */
  metadata: {
    /** Where the request came from. */
    source?: string
    /** The conversation it belongs to. */
    conversationId?: string
    /** Anything else; empty if there was nothing. */
    tags: Record<string, string>
  }
}

/** One line of {@link ExecutionEngine.listExecutions}. */
export interface ExecutionSummary {
  /** The id of the execution. */
  id: string
  /** Where it stands. */
  status: ExecutionStatus
  /** The command, for display: shell-quoted, control characters escaped. */
  command: string
  /** When the process was started, in ISO 8601 and UTC, or `null` if it was not yet, or never. */
  startedAt: string | null
  /** How long it took, in milliseconds, or `null` if it has not finished. */
  durationMs: number | null
}

/**
 * Something that happened. Each execution has exactly one terminal event, whose type is its final status; only a step
 * that was skipped has none. All timestamps are ISO 8601, in UTC.
 */
export type ExecutionEvent =
  | {
      /** The process was started. */
      eventType: 'started'
      /** The execution. */
      executionId: string
      /** The command, for display: shell-quoted, control characters escaped. */
      command: string
      /** The process id of the command. */
      pid: number
      /** When it was started. */
      timestamp: string
    }
  | {
      /** A line was printed, to the stream of that name. */
      eventType: 'stdout' | 'stderr'
      /** The execution. */
      executionId: string
      /** The line, without its end. */
      line: string
      /** Whether the line goes on in the next event of that stream. */
      partial: boolean
      /** When it was read. */
      timestamp: string
    }
  | {
      /** The execution ended so. */
      eventType: 'completed' | 'failed' | 'cancelled' | 'timeout'
      /** The execution. */
      executionId: string
      /** How it ended. */
      result: ExecutionResult
      /** When it ended. */
      timestamp: string
    }
  | {
      /** A step of a plan ended, in whatever way. */
      eventType: 'progress'
      /** The plan. */
      planId: string
      /** How many steps have ended. */
      completed: number
      /** How many steps the plan has. */
      total: number
      /** The command of the step that was started last, of those that run now, shell-quoted; `null` if none does. */
      currentCommand: string | null
      /** When. */
      timestamp: string
    }
  | {
      /** A plan ended. */
      eventType: 'plan_completed'
      /** The plan. */
      planId: string
      /** How it ended. */
      result: PlanExecutionResult
      /** When it ended. */
      timestamp: string
    }

/**
 * Commands that belong together. Each step is an execution of its own, under its own id, and takes a slot of the
 * engine like any other.
 */
export interface ExecutionPlan {
  /** A UUID. Default: a random one. */
  id?: string
  /** For display. Default: empty. */
  description?: string
  /** In which order the commands run, and what a failure means for the others. */
  strategy:
    | {
        /** One after the other. */
        type: 'serial'
        /** Whether a failure skips the rest. Default: `true`. */
        stopOnError?: boolean
      }
    | {
        /** All at once. */
        type: 'parallel'
        /** How many steps of this plan run at once. Default: as many as the engine has slots. */
        maxConcurrency?: number
        /** Whether after a failure nothing more is started. Default: `false`. */
        stopOnError?: boolean
      }
    | {
        /** Each step once those it depends on have completed. A failure skips what depends on the step. */
        type: 'dependency_graph'
        /** For the index of a step in `commands`, the indices of those it waits for. No cycles. */
        dependencies: Record<number, number[]>
        /** How many steps of this plan run at once. Default: as many as the engine has slots. */
        maxConcurrency?: number
        /** Whether after a failure nothing more is started. Default: `false`. */
        stopOnError?: boolean
      }
  /** The steps. */
  commands: ExecutionRequest[]
  /**
   * The deadline of the whole plan, in milliseconds, counted from its acceptance. Default: none but those of the
   * steps.
   */
  timeoutMs?: number
  /** What the plan says about itself. */
  metadata?: ExecutionRequest['metadata']
}

/** How a plan ended. */
export interface PlanExecutionResult {
  /** The id of the plan. */
  planId: string
  /** The description of the plan; empty if it had none. */
  description: string
  /**
   * `completed` if all steps are, `cancelled` or `timeout` if that ended the plan, `failed` otherwise.
   */
  status: ExecutionStatus
  /** Whether `status` is `completed`. */
  success: boolean
  /** One per command, in the order of {@link ExecutionPlan.commands}. */
  results: ExecutionResult[]
  /** The time from the acceptance of the plan to its end, in milliseconds. */
  totalDurationMs: number
  /** How many steps ended in which way. */
  stats: {
    /** All of them. */
    total: number
    /** Those that completed. */
    completed: number
    /** Those that failed. */
    failed: number
    /** Those that were cancelled, also before they were started. */
    cancelled: number
    /** Those whose deadline passed, or that of the plan. */
    timeout: number
    /** Those that were not started, because another one failed. */
    skipped: number
  }
}

/**
 * Why the engine refused a call:
 *
 * - `VALIDATION`: an argument, request or plan is not as it must be; `field` says which part. Nothing was started.
 * - `INVALID_CONFIG`: a field of the configuration is not as it must be.
 * - `NOT_FOUND`: no execution or plan of that id is known. It never was, or it has been forgotten; or the id is that of
 *   a plan where that of an execution is due, or the other way round.
 * - `NOT_FINISHED`: the execution still runs or waits.
 * - `ALREADY_FINISHED`: what was to be cancelled has ended.
 * - `DUPLICATE_ID`: the id of the request is that of an execution the engine remembers.
 * - `CONCURRENCY_LIMIT_REACHED`: all slots are taken and the queue is full.
 * - `ALREADY_INITIALIZED`: the global engine exists.
 * - `NOT_INITIALIZED`: the global engine does not exist yet.
 * - `SHUT_DOWN`: the engine has been shut down.
 * - `IO`: a log could not be read.
 * - `INTERNAL`: a defect of the engine.
 */
export type ErrorCode =
  | 'VALIDATION'
  | 'INVALID_CONFIG'
  | 'NOT_FOUND'
  | 'NOT_FINISHED'
  | 'ALREADY_FINISHED'
  | 'DUPLICATE_ID'
  | 'CONCURRENCY_LIMIT_REACHED'
  | 'ALREADY_INITIALIZED'
  | 'NOT_INITIALIZED'
  | 'SHUT_DOWN'
  | 'IO'
  | 'INTERNAL'

/** Why the engine refused a call. What happens to a process is never an error: it is in the {@link ExecutionResult}. */
export class ExecutionError extends Error {
  /** The engine makes these; a program may, to stand in for it in tests. */
  constructor(code: ErrorCode, message: string, about?: { field?: string; executionId?: string })
  /** What kind of refusal it is. */
  code: ErrorCode
  /** For `VALIDATION`, `INVALID_CONFIG` and `DUPLICATE_ID`: the path of the culprit, such as `command.args[2]`. */
  field?: string
  /** The execution or plan that the call was about, if there is one. */
  executionId?: string
}

/**
 * Runs commands, and owns every process that they start.
 *
 * A method that returns a promise never throws: bad arguments reject it with an {@link ExecutionError}. An execution
 * that runs or waits, and a promise that has not settled, keep the host's event loop alive. An idle engine does not.
 *
 * @example
 * ```ts
 * import { ExecutionEngine } from '@escher-dbai/execution-engine'
 *
 * const engine = new ExecutionEngine()
 * const result = await engine.run(
 *   { command: { type: 'exec', program: 'git', args: ['status', '--short'] }, timeoutMs: 10_000 },
 *   { onStdout: (line) => console.log(line) },
 * )
 * ```
 */
export class ExecutionEngine {
  /**
   * @throws {@link ExecutionError} `INVALID_CONFIG`, with the `field`.
   */
  constructor(config?: ExecutionConfig)

  /**
   * Makes the engine that {@link ExecutionEngine.global} returns; each Node environment (main thread, worker) has its
   * own. It runs one execution at a time: `maxConcurrentExecutions` is 1, whatever `config` says.
   *
   * @throws {@link ExecutionError} `ALREADY_INITIALIZED` if it exists; `INVALID_CONFIG`, with the `field`.
   */
  static initGlobal(config?: ExecutionConfig): ExecutionEngine

  /**
   * The engine that {@link ExecutionEngine.initGlobal} made.
   *
   * @throws {@link ExecutionError} `NOT_INITIALIZED` before that.
   */
  static global(): ExecutionEngine

  /**
   * Accepts a request and returns the id of the execution, without waiting for the command.
   *
   * Rejects with `VALIDATION`, `DUPLICATE_ID`, `CONCURRENCY_LIMIT_REACHED` or `SHUT_DOWN`. A program that does not
   * exist is no rejection: the result says `failed` and `SPAWN_FAILED`.
   */
  execute(request: ExecutionRequest, options?: ExecuteOptions): Promise<string>

  /**
   * Runs a command and waits for its end.
   *
   * Rejects only if the request cannot be accepted, as {@link ExecutionEngine.execute} does. Whatever happens to the
   * process (an exit code, a signal, the deadline, a cancel, a failed start) is in the result.
   */
  run(request: ExecutionRequest, options?: ExecuteOptions): Promise<ExecutionResult>

  /**
   * Runs a command and yields its events; the last one is the terminal event. It is started by the first `next()`.
   * Output that is not taken yet is held back in the command; what is not taken for
   * {@link ExecutionConfig.drainMaxMs} after a deadline or a cancel is only in the result, whose `error` says so.
   * Leaving the loop early cancels the execution.
   *
   * The loop throws an {@link ExecutionError} if the request cannot be accepted, as {@link ExecutionEngine.execute}.
   */
  stream(request: ExecutionRequest, options?: { signal?: AbortSignal }): AsyncGenerator<ExecutionEvent, void, undefined>

  /**
   * Accepts a plan and returns its id, without waiting for the commands.
   *
   * Rejects with `VALIDATION` (a cycle in the dependencies is spelled out), `DUPLICATE_ID` or `SHUT_DOWN`.
   */
  executePlan(plan: ExecutionPlan, options?: ExecuteOptions): Promise<string>

  /**
   * Runs a plan and waits for its end. Rejects as {@link ExecutionEngine.executePlan} does; what happens to the steps
   * is in the result.
   */
  runPlan(plan: ExecutionPlan, options?: ExecuteOptions): Promise<PlanExecutionResult>

  /**
   * Where an execution or a plan stands.
   *
   * Rejects with `NOT_FOUND`, or with `VALIDATION` if `id` is no UUID.
   */
  getStatus(id: string): Promise<ExecutionStatus>

  /**
   * How an execution ended.
   *
   * Rejects with `NOT_FINISHED` while it runs or waits, `NOT_FOUND`, or `VALIDATION` if `id` is no UUID.
   */
  getResult(id: string): Promise<ExecutionResult>

  /**
   * Waits for the end of an execution; returns at once if it has ended.
   *
   * Rejects with `NOT_FOUND`, or with `VALIDATION` if `id` is no UUID.
   */
  waitForCompletion(id: string): Promise<ExecutionResult>

  /**
   * How a plan ended.
   *
   * Rejects with `NOT_FINISHED` while it runs, `NOT_FOUND`, or `VALIDATION` if `planId` is no UUID.
   */
  getPlanResult(planId: string): Promise<PlanExecutionResult>

  /**
   * Waits for the end of a plan; returns at once if it has ended.
   *
   * Rejects with `NOT_FOUND`, or with `VALIDATION` if `planId` is no UUID.
   */
  waitForPlan(planId: string): Promise<PlanExecutionResult>

  /** All executions that the engine remembers, newest first. */
  listExecutions(): Promise<ExecutionSummary[]>

  /**
   * Cancels an execution or a plan, and resolves once nothing of it is left running. What waits in the queue never
   * starts. Processes are asked to end first, and killed after {@link ExecutionConfig.terminationGraceMs}. A second
   * cancel does not wait for that. Where the command has ended by itself already and only its output is still being
   * read, what it left is ended, and the status is that of its end.
   *
   * Rejects with `ALREADY_FINISHED`, `NOT_FOUND`, or `VALIDATION` if `id` is no UUID.
   */
  cancel(id: string): Promise<void>

  /**
   * The end of the log of an execution: the last `maxBytes`, cut at the start of a line. The default is 10 485 760; what
   * does not fit into a string, some 500 million, is left out as well. The format is that of container runtimes (CRI):
   * `2026-11-20T12:00:00.123456789Z stdout F the line`, with `P` for a piece of a line. The log of an execution of an earlier process can be read too.
   *
   * Rejects with `NOT_FOUND` if there is no log of that id, `IO` if it cannot be read, or `VALIDATION`.
   */
  readLogs(id: string, options?: { maxBytes?: number }): Promise<string>

  /**
   * Where the log of an execution is, or would be: the file exists once the command has printed something.
   *
   * @throws {@link ExecutionError} `VALIDATION` if `id` is no UUID.
   */
  getLogPath(id: string): string

  /**
   * Forgets a finished execution, or a finished plan with its steps. Log files stay.
   *
   * Rejects with `NOT_FINISHED` while it runs or waits, `NOT_FOUND`, or `VALIDATION` if `id` is no UUID.
   */
  removeExecution(id: string): Promise<void>

  /**
   * Forgets the executions that finished more than {@link ExecutionConfig.executionRetentionSecs} ago. Their log files
   * stay.
   *
   * @returns How many it forgot.
   */
  cleanup(): Promise<number>

  /**
   * Calls `handler` with every event of every execution and plan of this engine, until the returned function is
   * called. What the handler throws surfaces as an uncaught exception.
   *
   * @returns The unsubscriber. Calling it again does nothing.
   * @throws {@link ExecutionError} `VALIDATION` if `handler` is no function.
   */
  onEvent(handler: (event: ExecutionEvent) => void): () => void

  /**
   * Cancels everything that runs or waits, accepts nothing more, and resolves once nothing is left running. Calling it
   * again is allowed. What has ended can still be asked for.
   */
  shutdown(): Promise<void>

  /** The same as {@link ExecutionEngine.shutdown}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>

  /** The configuration, with its defaults filled in. */
  readonly config: Required<ExecutionConfig>
  /** How many executions hold a slot. */
  readonly runningCount: number
  /** How many executions wait for a slot. A plan counts as one while the next of its steps waits. */
  readonly queuedCount: number
  /** How many executions the engine remembers: running, waiting and finished ones. */
  readonly totalCount: number
  /** How many more executions could start now. */
  readonly availablePermits: number
}

// The public types of the package. Those that Rust has as well are generated from it by `npm run contract`, into what is
// written in `scripts/contract/template.d.ts`. `binding.d.ts` is internal.

declare global {
  // What `lib.esnext.disposable` and `@types/node` declare as well; for programs that compile with neither.
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol
  }
}

// generated: Command

// generated: Retry

// generated: ExecutionRequest

/**
 * What a command reads.
 *
 * - A text, in UTF-8, or bytes, and the end.
 * - `file`: a file, opened by the host for each start. A relative path is relative to
 *   {@link ExecutionRequest.workingDir}. A directory, a named pipe and a socket are refused.
 * - An async iterable, such as a stream of Node, or a `ReadableStream` of the web: it is pulled once the command runs, no
 *   faster than the command reads, and left when the execution has ended: its iterator is told to return, a stream is
 *   destroyed or cancelled. Where it fails, or gives something else than texts and bytes, the command is ended, and never
 *   sees the end of its input, which it might take for a whole one; the result says `failed`, with `errorCode: 'IO'`, and
 *   why in `error`.
 * - `open`: what {@link ExecutionEngine.writeStdin} is given, until {@link ExecutionEngine.closeStdin}.
 */
export type Stdin =
  | string
  | Uint8Array
  | {
      /** The file that the command reads by itself. */
      readonly file: string | URL
    }
  | {
      /** Written to while the command runs. */
      readonly open: true
    }
  | AsyncIterable<string | Uint8Array>
  | ReadableStream<string | Uint8Array>

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
 * Where {@link ExecutionConfig.streamOutput} is `false` there are neither lines nor chunks, and no events for lines;
 * `onEvent` is told of all else. Of a stream that the request sends elsewhere there are none either.
 */
export interface ExecuteOptions<Event = ExecutionEvent> {
  /**
   * Called with each line of standard output, without its end. A line ends at `\n`; a `\r` before it is dropped.
   * A line longer than {@link ExecutionConfig.maxLineSizeBytes} comes in pieces.
   */
  readonly onStdout?: ((line: string) => void | Promise<void>) | undefined
  /** Called with each line of standard error, as {@link ExecuteOptions.onStdout} is for standard output. */
  readonly onStderr?: ((line: string) => void | Promise<void>) | undefined
  /**
   * Called with what is read of standard output, as it comes: before the lines that it completes, and cut anywhere, also
   * within a character. The buffer is the callback's own.
   */
  readonly onStdoutBytes?: ((chunk: Buffer) => void | Promise<void>) | undefined
  /** Called with what is read of standard error, as {@link ExecuteOptions.onStdoutBytes} is for standard output. */
  readonly onStderrBytes?: ((chunk: Buffer) => void | Promise<void>) | undefined
  /** Called with each event of this execution or plan, the terminal one included. */
  readonly onEvent?: ((event: Event) => void | Promise<void>) | undefined
  /**
   * Aborting it cancels the execution, also one that waits in the queue. The result says `cancelled`, and its
   * `cancelReason` is the reason of the signal: the message of an error, as `AbortSignal.timeout` has one, or a string.
   */
  readonly signal?: AbortSignal | undefined
}

/** The same for {@link ExecutionEngine.run}, which waits for the end. */
export interface RunOptions extends ExecuteOptions {
  /**
   * Whether the promise rejects with an {@link ExecutionFailedError} where the result does not say `completed`.
   * Default: `false`. Plans have no such option: their result tells of each step.
   */
  readonly throwOnFailure?: boolean | undefined
}

/**
 * What the tracing channel `escher.execution` of `node:diagnostics_channel` tells of an execution, or of a plan as a
 * whole: one object from its `start` to its `asyncEnd`, on which a tracer may keep what it likes.
 */
export interface ExecutionTrace {
  /** The id of the execution or the plan. */
  readonly id: string
  /** What it is. */
  readonly kind: 'execution' | 'plan'
  /** Of which type its command is; of a plan `null`. The command itself, without its secrets, is told by the result. */
  readonly commandType: Command['type'] | null
  /** What the request or the plan says about itself. */
  readonly metadata: Result['metadata']
  /**
   * Variables that the command is to have, or all steps of a plan, such as `TRACEPARENT`: to be put here by a subscriber
   * of `start`. What the request says itself is stronger; what is no string does not count.
   */
  readonly env: Record<string, string>
  /** How it ended, from `asyncStart` on, unless it was refused. */
  result?: ExecutionResult | PlanExecutionResult
  /** Why it was refused, from `error` on. A command that fails is none: it is in the result. */
  error?: ExecutionError
}

/** The same for a plan, which is told of its own events and those of its steps. */
export type PlanOptions = ExecuteOptions<ExecutionEvent | PlanEvent>

// generated: ExecutionConfig

// generated: ExecutionStatus

/** How an execution ended. */
export type FinalStatus = Exclude<ExecutionStatus, 'pending' | 'running'>

/** The bytes that a result keeps of both streams. */
export interface OutputBytes {
  /** Of standard output. */
  stdout: Buffer
  /** Of standard error. */
  stderr: Buffer
}

// generated: ExecutionResult as Result

/** What a result has besides its data. It is not enumerable: a copy and JSON are without it. */
export interface ResultMembers {
  /**
   * {@link Result.stdout} and {@link Result.stderr} as one text, in the order in which they were read, made when it is
   * asked for. What was printed to both between two reads may have been printed in another order; `stderr: 'stdout'` in
   * the request tells the exact one. Of more than 4096 turns of both streams the order is coarser.
   */
  readonly all: string
  /**
   * What was printed to standard output, read as JSON; a mark of the byte order before it is passed over. Where the
   * command has failed it is read all the same: some tell of that in JSON.
   *
   * @throws `SyntaxError` that says what was found instead: nothing, output that is not whole, or what is no JSON, with
   *   its place.
   */
  json(): unknown
}

/** How an execution ended: {@link Result}, which `success` narrows. */
export type ExecutionResult = Result &
  ResultMembers &
  (
    | {
        /** It is completed. */
        success: true
        /** How it ended. */
        status: 'completed'
        /** Of a command that has completed there is one. */
        exitCode: number
      }
    | {
        /** It is not completed. */
        success: false
        /** How it ended. */
        status: Exclude<FinalStatus, 'completed'>
      }
  )

// generated: CpuUsage

// generated: ExecutionAttempt

// generated: ExecutionSummary

// generated: ExecutionFilter

// generated: LogLine

// generated: LogPage

// generated: events

// generated: IndexedPlan

// generated: NamedPlan

/** Commands that belong together: told apart by their indices, or by names. */
export type ExecutionPlan = IndexedPlan | NamedPlan

// generated: StepOptions

/**
 * Makes the request of a step, from the results so far: those of all steps that have ended. It is called once, when all
 * that the step depends on has ended, and before the step waits for a slot. A cancel and the deadline of the plan do
 * not wait for it. What it returns is checked as any request, and has the environment and the directory of the call
 * that started the plan, and no `id`: the step has one already. What it throws, or returns that is not acceptable, fails
 * the step with `INVALID_STEP`.
 */
export interface RequestFunction<Results> {
  /** The id of its execution, a UUID. Default: a random one. */
  readonly id?: string | undefined
  /** What makes the request. */
  readonly request: (results: Results) => ExecutionRequest | Promise<ExecutionRequest>
}

/** A step of a plan: a request, or what makes it, and under which conditions it runs. */
export type PlanStep<Results> = (ExecutionRequest | RequestFunction<Results>) & StepOptions

/** A step that has an index: a function is given the results by indices, `undefined` where there is none yet. */
export type IndexedStep = PlanStep<readonly (ExecutionResult | undefined)[]>

/** A step that has a name: a function is given the results by names. */
export type NamedStep = PlanStep<Readonly<Record<string, ExecutionResult>>> & {
  /** The names of the steps that it waits for. Default: none. */
  readonly dependsOn?: readonly string[] | undefined
}

// generated: PlanExecutionResult

// generated: ErrorCode

/** Why the engine refused a call. What happens to a process is never an error: it is in the {@link ExecutionResult}. */
export class ExecutionError extends Error {
  /** The engine makes these; a program may, to stand in for it in tests. */
  constructor(
    code: ErrorCode,
    message: string,
    about?: { readonly field?: string | undefined; readonly executionId?: string | undefined },
  )
  /** What kind of refusal it is. */
  code: ErrorCode
  /** For `VALIDATION`, `INVALID_CONFIG` and `DUPLICATE_ID`: the path of the culprit, such as `command.args[2]`. */
  field?: string
  /** The execution or plan that the call was about, if there is one. */
  executionId?: string
}

/** A command did not succeed, and {@link RunOptions.throwOnFailure} asked for an error. */
export class ExecutionFailedError extends Error {
  /**
   * The engine makes these; a program may, to stand in for it in tests. The message tells the command, how it ended, and
   * the end of what it printed to standard error, or to standard output if that is nothing.
   */
  constructor(result: ExecutionResult)
  /** How it ended. */
  result: ExecutionResult
}

/** What {@link sh} makes: a {@link Command}. */
export interface ExecCommand {
  /** A program with its arguments, without a shell. */
  readonly type: 'exec'
  /** The first word. */
  readonly program: string
  /** All others. */
  readonly args: readonly string[]
}

/**
 * A command of type `exec`, written as a template: `` sh`git log ${ref}` ``. No shell reads it.
 *
 * What is written is cut into words as a shell does it, with single and double quotes and backslashes. A value is one
 * argument or a part of one, whatever it holds; an array is several arguments, or none. What only a shell could do
 * (pipes, redirections, variables, patterns, a second line) is refused: such a command is `{ type: 'shell' }`, with its
 * values in {@link quote}. A program may still take a value that begins with `-` for an option: put `--` before it.
 *
 * @example
 * ```ts
 * import { ExecutionEngine, sh } from '@escher-dbai/execution-engine'
 *
 * const paths = ['a file.txt', '$HOME']
 * const result = await new ExecutionEngine().run({ command: sh`printf %s\\n --lines=${5} ${paths}` })
 * console.log(result.stdout) // --lines=5 …
 * ```
 *
 * @throws {@link ExecutionError} `VALIDATION`.
 */
export function sh(
  template: TemplateStringsArray,
  ...values: readonly (string | number | readonly (string | number)[])[]
): ExecCommand

/**
 * A text as one word for a POSIX shell (`sh`, `bash`, `dash`, `ksh`, `zsh`), which reads nothing in it as syntax. It
 * stands between spaces, and not within quotes: `` { type: 'shell', command: `ls -l ${quote(path)} | wc -l` } ``. Not for
 * `fish`, nor for `cmd.exe`, for which there is no way to quote that always holds.
 *
 * @throws {@link ExecutionError} `VALIDATION` if it is no text, or has a NUL byte.
 */
export function quote(text: string): string

/**
 * A text as one string for PowerShell, as {@link quote} makes it for a POSIX shell. PowerShell before 7.3 passes double
 * quotes on to programs wrongly, however they are quoted.
 *
 * @throws {@link ExecutionError} `VALIDATION` if it is no text, or has a NUL byte.
 */
export function quotePowerShell(text: string): string

/** What {@link checkRequest} and {@link checkPlan} compare with. */
export interface CheckOptions {
  /**
   * The configuration of the engine that is to run it. Default: not known. Then any `group` is allowed and any
   * `timeoutMs`, and {@link ExecutionConfig.secretEnvPatterns} are the default ones.
   */
  readonly config?: ExecutionConfig | undefined
}

/** A request that would be accepted. */
export interface CheckedRequest {
  /** Its id; a random one where it has none. */
  id: string
  /** The command for display, without its secrets, as in {@link Result.command}. */
  command: string
  /** The paths of its fields that hold values of secrets, such as `secrets[0]` or `env.API_TOKEN`. */
  secretFields: string[]
}

/** A step of a plan that would be accepted. */
export interface CheckedStep {
  /** Its name or its index. */
  step: string | number
  /** Its id; where it has none, one that follows from that of the plan and from `step`. */
  id: string
  /** The command for display. `null`: a function makes it when the turn of the step has come. */
  command: string | null
}

/** A plan that would be accepted. */
export interface CheckedPlan {
  /** Its id; a random one where it has none. */
  id: string
  /** Its steps, in the order of their results. */
  steps: CheckedStep[]
  /** The paths of fields that hold values of secrets, such as `secrets[0]` or `steps.deploy.env.API_TOKEN`. */
  secretFields: string[]
}

/**
 * Checks a request as {@link ExecutionEngine.execute} would, without an engine, and without running anything. No file,
 * directory, program or user of this machine is looked at: it may run on another. Whether its id is free, and where its
 * `secretEnv` gets its values, is not known either. What stands in the variables of this process is hidden in the command
 * and in messages, as it would be in a result.
 *
 * @throws {@link ExecutionError} `VALIDATION`, with the `field` and the message that `execute` would reject with, for
 *   anything that is no request; `INVALID_CONFIG` for a `config` that is none.
 */
export function checkRequest(request: unknown, options?: CheckOptions): CheckedRequest

/**
 * Checks a plan as {@link ExecutionEngine.executePlan} would, as far as {@link checkRequest} does. No function of a step is
 * called.
 *
 * @throws {@link ExecutionError} as {@link checkRequest}.
 */
export function checkPlan(plan: unknown, options?: CheckOptions): CheckedPlan

/** Which entries {@link ExecutionEngine.readLogLines} reads. */
export interface LogPageOptions {
  /** The offset at which they begin. Default: 0. Not together with `fromLine`. */
  readonly from?: number | undefined
  /** The number of the first one, that of the log being 0. */
  readonly fromLine?: number | undefined
  /** How many at most. Default: 1000. */
  readonly limit?: number | undefined
}

/** What {@link ExecutionEngine.followLogs} yields. */
export interface FollowLogsOptions {
  /** The offset at which it begins. Default: 0. */
  readonly from?: number | undefined
  /** Whether a log that is not there yet is waited for. Default: `false`, it is `NOT_FOUND`. */
  readonly wait?: boolean | undefined
  /** Ends the loop. */
  readonly signal?: AbortSignal | undefined
}

/**
 * What runs commands: {@link ExecutionEngine}, and what stands in for it. Its methods are described there.
 */
export interface Executor {
  /** See {@link ExecutionEngine.execute}. */
  execute(request: ExecutionRequest, options?: ExecuteOptions): Promise<string>
  /** See {@link ExecutionEngine.run}. */
  run(
    request: ExecutionRequest,
    options: RunOptions & { readonly throwOnFailure: true },
  ): Promise<Extract<ExecutionResult, { success: true }>>
  /** See {@link ExecutionEngine.run}. */
  run(request: ExecutionRequest, options?: RunOptions): Promise<ExecutionResult>
  /** See {@link ExecutionEngine.stream}. */
  stream(
    request: ExecutionRequest,
    options?: { readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<ExecutionEvent, void, undefined>
  /** See {@link ExecutionEngine.executePlan}. */
  executePlan(plan: ExecutionPlan, options?: PlanOptions): Promise<string>
  /** See {@link ExecutionEngine.runPlan}. */
  runPlan(plan: ExecutionPlan, options?: PlanOptions): Promise<PlanExecutionResult>
  /** See {@link ExecutionEngine.getStatus}. */
  getStatus(id: string): Promise<ExecutionStatus>
  /** See {@link ExecutionEngine.getResult}. */
  getResult(id: string): Promise<ExecutionResult>
  /** See {@link ExecutionEngine.waitForCompletion}. */
  waitForCompletion(id: string): Promise<ExecutionResult>
  /** See {@link ExecutionEngine.getPlanResult}. */
  getPlanResult(planId: string): Promise<PlanExecutionResult>
  /** See {@link ExecutionEngine.waitForPlan}. */
  waitForPlan(planId: string): Promise<PlanExecutionResult>
  /** See {@link ExecutionEngine.subscribe}. */
  subscribe(id: string): AsyncGenerator<ExecutionEvent, void, undefined>
  /** See {@link ExecutionEngine.listExecutions}. */
  listExecutions(filter?: ExecutionFilter): Promise<ExecutionSummary[]>
  /** See {@link ExecutionEngine.cancel}. */
  cancel(id: string, reason?: string): Promise<void>
  /** See {@link ExecutionEngine.readLogLines}. */
  readLogLines(id: string, options?: LogPageOptions): Promise<LogPage>
  /** See {@link ExecutionEngine.followLogs}. */
  followLogs(id: string, options?: FollowLogsOptions): AsyncGenerator<LogLine, void, undefined>
  /** See {@link ExecutionEngine.shutdown}. */
  shutdown(): Promise<void>
}

/**
 * Runs commands, and owns every process that they start.
 *
 * What is passed is read in the call, each property once, and may be changed after it; only what an object has itself
 * counts, not what it inherits. Values of `env` and `stdin` are in no message.
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
export class ExecutionEngine implements Executor {
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
   * process (an exit code, a signal, the deadline, a cancel, a failed start) is in the result. With
   * {@link RunOptions.throwOnFailure} it also rejects, with an {@link ExecutionFailedError}, where the command did not
   * succeed.
   */
  run(
    request: ExecutionRequest,
    options: RunOptions & { readonly throwOnFailure: true },
  ): Promise<Extract<ExecutionResult, { success: true }>>
  run(request: ExecutionRequest, options?: RunOptions): Promise<ExecutionResult>

  /**
   * Runs a command and yields its events; the last one is the terminal event. It is started by the first `next()`.
   * Output that is not taken yet is held back in the command; what is not taken for
   * {@link ExecutionConfig.drainMaxMs} after a deadline or a cancel is only in the result, whose `error` says so.
   * Leaving the loop early cancels the execution.
   *
   * The loop throws an {@link ExecutionError} if the request cannot be accepted, as {@link ExecutionEngine.execute}.
   */
  stream(
    request: ExecutionRequest,
    options?: { readonly signal?: AbortSignal | undefined },
  ): AsyncGenerator<ExecutionEvent, void, undefined>

  /**
   * Accepts a plan and returns its id, without waiting for the commands.
   *
   * Rejects with `VALIDATION` (a cycle in the dependencies is spelled out), `DUPLICATE_ID` or `SHUT_DOWN`.
   */
  executePlan(plan: ExecutionPlan, options?: PlanOptions): Promise<string>

  /**
   * Runs a plan and waits for its end. Rejects as {@link ExecutionEngine.executePlan} does; what happens to the steps
   * is in the result.
   */
  runPlan(plan: ExecutionPlan, options?: PlanOptions): Promise<PlanExecutionResult>

  /**
   * The events of an execution that was accepted before, from this call on; the last one is the terminal event. Of one
   * that has ended, that is the only one. A step of a plan can be listened to as any other execution. As with
   * {@link ExecutionEngine.stream}, lines that are not taken yet are held back in the command; so a subscription that is
   * not read is to be left, by leaving its loop or with `return()`. That lets the execution go on. Once the command has
   * exited, a subscription that takes nothing for `drainMaxMs` is given up, and the result does not wait for it.
   *
   * The loop throws an {@link ExecutionError}: `NOT_FOUND`; `VALIDATION` if `id` is no UUID; `IO`, behind what it still
   * has, if it was given up.
   */
  subscribe(id: string): AsyncGenerator<ExecutionEvent, void, undefined>

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

  /**
   * Hides a secret that becomes known while an execution runs or waits, such as a token that it was given: in what is
   * read of its output from now on, and in its `command` and `error`. Of a plan: in all its steps. What was read before
   * is not changed, so a secret that is known at the start belongs into {@link ExecutionRequest.secrets}.
   *
   * @throws {@link ExecutionError} `VALIDATION` for less than four bytes or only white space, too many of them, or if `id` is no UUID;
   *   `NOT_FOUND`; `ALREADY_FINISHED`.
   */
  addSecret(id: string, value: string): void

  /**
   * The executions that the engine remembers, newest first: all of them, or those that the filter means. The steps of
   * plans are among them.
   */
  listExecutions(filter?: ExecutionFilter): Promise<ExecutionSummary[]>

  /**
   * Cancels an execution or a plan, and resolves once nothing of it is left running. What waits in the queue never
   * starts. Processes are asked to end first, and killed after {@link ExecutionConfig.terminationGraceMs}. A second
   * cancel does not wait for that. Where the command has ended by itself already and only its output is still being
   * read, what it left is ended, and the status is that of its end.
   *
   * `reason` becomes the `cancelReason` of the result; of a plan, in the result of each step that is cancelled with it.
   * Of several reasons the first stays.
   *
   * Rejects with `ALREADY_FINISHED`, `NOT_FOUND`, or `VALIDATION` if `id` is no UUID or `reason` no string.
   */
  cancel(id: string, reason?: string): Promise<void>

  /**
   * Says that an execution or a plan with a lease is still wanted: the lease ends `leaseMs` from this call, or as many
   * milliseconds as {@link ExecutionRequest.leaseMs} or the plan says. One that is not renewed in time ends its execution,
   * or all of its plan, by threads of the engine: also while this thread is blocked.
   *
   * Rejects with `ALREADY_FINISHED` if it or its lease has ended, `NOT_FOUND`, or `VALIDATION` if it has no lease, `id` is
   * no UUID, or `leaseMs` no positive integer.
   */
  renewLease(id: string, leaseMs?: number): Promise<void>

  /**
   * Writes to the input of an execution whose request says `stdin: { open: true }`. Resolves once all of it is in the pipe
   * to the command: no faster than the command reads, and not before it was started. Writes are made in the order of the
   * calls. Who waits for each holds no more than one in memory.
   *
   * Rejects with `ALREADY_FINISHED`, `NOT_FOUND`, `VALIDATION` if the request does not say so, or `IO` if the command has
   * closed its input, or {@link ExecutionEngine.closeStdin} was called before.
   */
  writeStdin(id: string, data: string | Uint8Array): Promise<void>

  /**
   * Ends the input of an execution whose request says `stdin: { open: true }`, behind what was written before. Where it has
   * ended already, nothing is done.
   *
   * Rejects with `NOT_FOUND`, or `VALIDATION` if the request does not say so.
   */
  closeStdin(id: string): Promise<void>

  /**
   * The end of the log of an execution: the last `maxBytes`, cut at the start of a line. The default is 10 485 760; what
   * does not fit into a string, some 500 million, is left out as well. The format is that of container runtimes (CRI):
   * `2026-11-20T12:00:00.123456789Z stdout F the line`, with `P` for a piece of a line. The log of an execution of an earlier process can be read too.
   *
   * It is empty for an execution that has logged nothing.
   *
   * Rejects with `NOT_FOUND` if there is no log of that id, and no execution of this engine, if it was deleted, or if it
   * is that of a plan, of which only the steps have logs; `IO` if it cannot be read; or `VALIDATION`.
   */
  readLogs(id: string, options?: { readonly maxBytes?: number | undefined }): Promise<string>

  /**
   * Some entries of the log of an execution, also of another process: at most `limit` of them (1000), from the offset
   * `from` on: 0, or the `offset` of an entry or the `next` of a page that was read before. A page holds fewer where
   * lines are long, at most some 4 MiB. It is empty for an execution that has logged nothing yet.
   *
   * `fromLine`, in place of `from`, is the number of the first entry that is wanted, the log's first being 0: to jump to a
   * place in a long log. What is before it is read too, to be counted. From the last entry on a page is empty, and its
   * `next` is where the log ends so far.
   *
   * Rejects with `NOT_FOUND` as {@link ExecutionEngine.readLogs} does; `VALIDATION`, also for an offset at which no entry
   * of this log begins; or `IO` if it cannot be read, or holds something else than entries.
   */
  readLogLines(id: string, options?: LogPageOptions): Promise<LogPage>

  /**
   * Yields the entries of the log of an execution from the offset `from` on, and those that come, each once and in
   * order, until the execution has ended. It may be one of another process: then until nobody writes its log any more.
   * What is not taken yet stays in the file, so a slow loop holds the command up as little as none. After an interruption,
   * also of the host, it goes on from the `offset` of the last entry that was taken.
   *
   * An execution of this engine that has not printed anything yet is waited for; with `wait` also the log of one that this
   * engine does not know, because another process runs it or is going to: without end if it never prints anything. Aborting `signal` ends the loop, without
   * an error. A log that is deleted meanwhile is yielded to its end.
   *
   * The loop throws an {@link ExecutionError}, as {@link ExecutionEngine.readLogLines}; and `SHUT_DOWN` where it would wait
   * for another process after this engine was shut down.
   */
  followLogs(id: string, options?: FollowLogsOptions): AsyncGenerator<LogLine, void, undefined>

  /**
   * Where the log of an execution is, or would be: the file exists once the command has printed something.
   *
   * @throws {@link ExecutionError} `VALIDATION` if `id` is no UUID.
   */
  getLogPath(id: string): string

  /**
   * Forgets a finished execution, or a finished plan with its steps. With `logs`, its log and overflow files are deleted
   * as well, also those of an execution of an earlier process, which is not remembered; else they stay.
   *
   * Rejects with `NOT_FINISHED` while it runs or waits, or, with `logs`, while another host or what the command has left
   * running still writes them; `NOT_FOUND`; `IO` if a file cannot be deleted; or `VALIDATION`.
   */
  removeExecution(id: string, options?: { readonly logs?: boolean | undefined }): Promise<void>

  /**
   * Forgets the executions that finished more than {@link ExecutionConfig.executionRetentionSecs} ago. Deletes the logs
   * that are older than {@link ExecutionConfig.logRetentionSecs}, or more than {@link ExecutionConfig.maxTotalLogBytes}.
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
  onEvent(handler: (event: ExecutionEvent | PlanEvent) => void): () => void

  /**
   * Cancels everything that runs or waits, accepts nothing more, and resolves once nothing is left running. Calling it
   * again is allowed. What has ended can still be asked for.
   */
  shutdown(): Promise<void>

  /** The same as {@link ExecutionEngine.shutdown}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>

  /** The configuration, with its defaults filled in. */
  readonly config: { readonly [Key in keyof ExecutionConfig]-?: Exclude<ExecutionConfig[Key], undefined> }
  /** How many executions hold a slot. */
  readonly runningCount: number
  /**
   * How many executions wait for a slot. A plan counts as one while the next of its steps waits, or as one for each group
   * of which a step does. What waits for its group, or for its next attempt, has no place in the queue, and is not counted.
   */
  readonly queuedCount: number
  /** How many executions the engine remembers: running, waiting and finished ones. */
  readonly totalCount: number
  /** How many more executions could start now. */
  readonly availablePermits: number
}

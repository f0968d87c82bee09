// The public types of the package. Those that Rust has as well are generated from it by `npm run contract`, into what is
// written in `scripts/contract/template.d.ts`. `binding.d.ts` is internal.

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
      readonly type: 'exec'
      /** A path, or a name that is looked up on the `PATH` of the child. */
      readonly program: string | URL
      /** Default: none. */
      readonly args?: readonly string[] | undefined
    }
  | {
      /** A line for a shell. */
      readonly type: 'shell'
      /** What the shell is to run. */
      readonly command: string
      /** The shell. Default: `bash`, `sh` where there is no bash; `powershell` on Windows. */
      readonly shell?: string | URL | undefined
    }
  | {
      /** A script file. */
      readonly type: 'script'
      /** The file. A relative path is relative to {@link ExecutionRequest.workingDir}. */
      readonly path: string | URL
      /** What runs it. Default: its `#!` line, else its extension, else a shell. */
      readonly interpreter?: string | undefined
      /** Arguments for the script. Default: none. */
      readonly args?: readonly string[] | undefined
    }
  | {
      /** A call of the AWS command-line interface: `aws SERVICE OPERATION`. */
      readonly type: 'aws_cli'
      /** Such as `ec2`. Not empty, and not starting with `-`. */
      readonly service: string
      /** Such as `describe-instances`. Not empty, and not starting with `-`. */
      readonly operation: string
      /** Further arguments. Default: none. */
      readonly args?: readonly string[] | undefined
      /** Passed as `--profile`. */
      readonly profile?: string | undefined
      /** Passed as `--region`. */
      readonly region?: string | undefined
    }

/**
 * How often, and after which delays, a command that did not succeed is tried again.
 *
 * An attempt that failed or timed out is followed by another one; so is a start that could not be made. With
 * {@link Retry.exitCodes} only an exit with one of these is. What was cancelled, printed too much, or whose lease or
 * plan has ended is not tried again, nor is what could not be ended completely: two of it would run at once.
 */
export interface Retry {
  /** How often the command is tried, the first time included. At most 1000. */
  readonly attempts: number
  /** The time between the end of the first attempt and the second, in milliseconds. It may be zero. Default: 1000. */
  readonly delayMs?: number | undefined
  /**
   * By how much each delay is longer than the one before it: a number of at least 1, which keeps it as it is. Default:
   * 2.
   */
  readonly backoff?: number | undefined
  /** No delay is longer, in milliseconds. Default: 30 000, or {@link Retry.delayMs} where that is more. */
  readonly maxDelayMs?: number | undefined
  /**
   * Whether each delay is a random one between half and the whole of what it would be, so that many that failed
   * together do not come back together. Default: `true`.
   */
  readonly jitter?: boolean | undefined
  /**
   * The exit codes after which the command is tried again, and nothing else then: no timeout, no signal, no start that
   * could not be made. Default: after all of these, and every exit code that does not mean success.
   */
  readonly exitCodes?: readonly number[] | undefined
}

/**
 * What to run, and the circumstances it runs in.
 *
 * A request is checked before anything is started. One that cannot be accepted is refused with an
 * {@link ExecutionError} of code `VALIDATION`, whose `field` is the path of the culprit, such as `command.args[2]`.
 * Unknown keys are refused too.
 */
export interface ExecutionRequest {
  /** A UUID. Default: a random one. One that the engine remembers is refused with `DUPLICATE_ID`. */
  readonly id?: string | undefined
  /** What to run. */
  readonly command: Command
  /**
   * Variables on top of the inherited environment; one without a value is not inherited. Default: none. Each child also
   * gets `ESCHER_EXECUTION_ID`, the id of its execution.
   */
  readonly env?: Readonly<Record<string, string | null | undefined>> | undefined
  /**
   * Which variables of the host the child inherits, as they are when the request is made: all (`true`), none (`false`),
   * those of a list of names, in which a `*` stands for any characters, or with `"login"` all, with the `PATH` of the
   * user's login shell in place of that of the host, which is read once in the life of the host. On Windows there is no
   * such shell, and all are inherited as they are. Default: `true`.
   */
  readonly inheritEnv?: boolean | readonly string[] | 'login' | undefined
  /** The directory that the command runs in. It must exist. Default: that of the host when the request is made. */
  readonly workingDir?: string | URL | undefined
  /**
   * The permissions that files which the command makes do not get, such as `0o077`. Default: those of the host. On
   * Linux; elsewhere it is refused.
   */
  readonly umask?: number | undefined
  /**
   * How much the command gives way to others, from -20 (least) to 19 (most). Less than the host has is for the
   * privileged; where the system refuses it, the command fails with `SPAWN_FAILED`. Default: that of the host. On
   * Linux; elsewhere it is refused.
   */
  readonly nice?: number | undefined
  /**
   * The user that the command runs as, by name or number, with the groups of that user; `HOME`, `USER` and `LOGNAME`
   * are those of the user, unless {@link ExecutionRequest.env} names them. A user that the system does not know is
   * refused; where the host may not change the user, the command fails with `SPAWN_FAILED`. Default: that of the host.
   * On Linux; elsewhere it is refused.
   */
  readonly user?: string | number | undefined
  /** What the command reads. Default: the null device, so that a command which reads sees its end at once. */
  readonly stdin?: Stdin | undefined
  /**
   * The deadline, in milliseconds from the start of the process; time in the queue does not count. Default:
   * {@link ExecutionConfig.defaultTimeoutMs}. More than {@link ExecutionConfig.maxTimeoutMs} is refused.
   */
  readonly timeoutMs?: number | undefined
  /**
   * The time between asking a process to end and ending it, in milliseconds. Default:
   * {@link ExecutionConfig.terminationGraceMs}.
   */
  readonly terminationGraceMs?: number | undefined
  /** Whether its output is logged. Default: {@link ExecutionConfig.logOutput}. */
  readonly logOutput?: boolean | undefined
  /**
   * Where standard output goes. Default: `capture`. A relative path is relative to the directory that the command runs
   * in; a link or a foreign file in the way is refused, and a file that cannot be opened fails the start. What goes
   * into a file, or nowhere, is neither in the result nor in the log, and nobody is told of it.
   *
   * - `capture`: it is read: for the result, the log, and whoever is told.
   * - `ignore`: to the null device. Nothing of it is read or counted.
   */
  readonly stdout?:
    | 'capture'
    | 'ignore'
    | {
        /** Into this file alone, which is emptied before the start. */
        readonly file: string | URL
      }
    | undefined
  /**
   * Where standard error goes, as {@link ExecutionRequest.stdout}. With `stdout` both streams share one pipe: `stderr`
   * of the result is empty, and all there is to be told is standard output. Default: `capture`.
   *
   * - `capture`: it is read: for the result, the log, and whoever is told.
   * - `ignore`: to the null device. Nothing of it is read or counted.
   * - `stdout`: where standard output goes, through the same pipe: in exactly the order in which it was printed.
   */
  readonly stderr?:
    | 'capture'
    | 'ignore'
    | 'stdout'
    | {
        /** Into this file alone, which is emptied before the start. */
        readonly file: string | URL
      }
    | undefined
  /** Whether {@link Result.bytes} holds the output as bytes, for what is no text. Default: `false`. */
  readonly keepBytes?: boolean | undefined
  /**
   * What ends a line, for callbacks and events. Default: `lf`. The log is cut at `\n` alone.
   *
   * - `lf`: `\n`; a `\r` before it is dropped.
   * - `cr-or-lf`: each of `\n`, `\r` and `\r\n`: a progress bar, which returns to the start of its line, is told step
   *   by step.
   */
  readonly splitOn?: 'lf' | 'cr-or-lf' | undefined
  /**
   * Whether programs are asked to print colors although they print into a pipe: `FORCE_COLOR` and `CLICOLOR_FORCE` are
   * set, `TERM` where there is none that knows colors, and `NO_COLOR` is not inherited. What `env` says, wins. Default:
   * `false`.
   */
  readonly color?: boolean | undefined
  /**
   * Whether escape sequences (colors, links, movements of the cursor) are left out of the result and the log. Lines,
   * chunks and files of the request have them. Default: `false`.
   */
  readonly stripAnsi?: boolean | undefined
  /**
   * What asks the processes of the execution to end: at a deadline or a cancel, and what the command has left running.
   * Whatever has not ended after the grace is killed. Default: `SIGTERM`. On Windows no process is asked, and
   * everything else is refused.
   *
   * - `SIGTERM`: asks it to end, as service managers do.
   * - `SIGINT`: what Ctrl+C sends. Terraform and ansible put things in order at this one.
   * - `SIGHUP`: that its terminal is gone.
   * - `SIGQUIT`: what Ctrl and a backslash send. What does not handle it may write a core file.
   */
  readonly stopSignal?: 'SIGTERM' | 'SIGINT' | 'SIGHUP' | 'SIGQUIT' | undefined
  /**
   * How long the command may print nothing, in milliseconds: then it is ended, its status is `timeout`, and its error
   * code `IDLE`. Any byte on either stream counts; where both are ignored it is refused. Time in which the engine waits
   * for a callback does not. Default: for ever.
   */
  readonly idleTimeoutMs?: number | undefined
  /**
   * The exit codes that mean success: the status is `completed` then. At least one, each from 0 to 255; on Windows, to
   * 4 294 967 295. Default: 0 alone.
   */
  readonly successExitCodes?: readonly number[] | undefined
  /** What is kept of each stream for the result, in bytes. Default: {@link ExecutionConfig.maxOutputSizeBytes}. */
  readonly maxOutputSizeBytes?: number | undefined
  /**
   * The group it runs in, which is one of {@link ExecutionConfig.groups}: no more of a group run at once than that
   * says. Within a group the one that came first runs first, and who waits for its group keeps nobody else waiting.
   * That is no place in the queue, and allowed where the queue has none. Default: none.
   */
  readonly group?: string | undefined
  /**
   * Of those that wait, the one with the highest priority runs first; of those with the same, the one that came first.
   * It may be negative. Default: 0.
   */
  readonly priority?: number | undefined
  /**
   * Whether a command that did not succeed is tried again: under the same id, with one result. Each attempt has a
   * deadline of its own and is given the input again. Output, exit and log of the result are those of the last one,
   * callbacks and the log file have all of them. In between the slot is given back. Default: it is not.
   */
  readonly retry?: Retry | undefined
  /**
   * For how long the execution is wanted, in milliseconds from its acceptance, unless that is renewed in time: then it
   * is ended, or never started, its status is `failed`, and its error code `LEASE_LOST`. The engine sees to that by
   * itself, whatever becomes of whoever renews it. Default: for ever.
   */
  readonly leaseMs?: number | undefined
  /**
   * A file to which the raw bytes of both streams are appended as they arrive; not those of a stream that goes nowhere,
   * or into a file of its own. A relative path is relative to the directory of the host. Default: none.
   */
  readonly outputLogPath?: string | undefined
  /**
   * Whether what the command leaves running is left alone. Default: `false`: it is ended with the command, and
   * {@link Result.leftoverProcesses} tells of it.
   */
  readonly keepBackground?: boolean | undefined
  /**
   * Values that are never printed: in output, lines, events, logs, other files, the `command` and every message stands
   * `***` in their place, also where they are encoded or quoted in a usual way. Each of 4 to 65 536 bytes. Default:
   * none.
   */
  readonly secrets?: readonly string[] | undefined
  /**
   * The names of variables of the command whose values are secrets. One that the command does not have, or whose value
   * is blank, is passed over. Default: none but those of {@link ExecutionConfig.secretEnvPatterns}.
   */
  readonly secretEnv?: readonly string[] | undefined
  /** What the request says about itself. The engine only passes it on, to {@link Result.metadata}. */
  readonly metadata?:
    | {
        /** Where the request came from, such as `ui`. */
        readonly source?: string | undefined
        /** The conversation it belongs to. */
        readonly conversationId?: string | undefined
        /** Anything else; empty if there is nothing. */
        readonly tags?: Readonly<Record<string, string>> | undefined
      }
    | undefined
}

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

/**
 * How an {@link ExecutionEngine} behaves.
 *
 * In JSON and in JavaScript every field is optional; unknown ones are refused, as is a number that is not a positive
 * integer.
 */
export interface ExecutionConfig {
  /** The deadline of a request that names none, in milliseconds. Default: 300 000. */
  readonly defaultTimeoutMs?: number | undefined
  /** The longest deadline that a request may ask for, in milliseconds. Default: 3 600 000. */
  readonly maxTimeoutMs?: number | undefined
  /** How many executions may run at once. Default: 100. */
  readonly maxConcurrentExecutions?: number | undefined
  /**
   * How many executions may wait for a slot, with the status `pending`. Default: 0: at the limit a request is refused
   * with `CONCURRENCY_LIMIT_REACHED`.
   */
  readonly maxQueuedExecutions?: number | undefined
  /**
   * How many executions of a group may run at once, by the name of the group, which is that of
   * {@link ExecutionRequest.group}. Default: `{}`, no groups.
   */
  readonly groups?: Readonly<Record<string, number>> | undefined
  /**
   * How many finished executions are remembered, at any time. A plan and its steps are remembered and forgotten
   * together; the one that ended last is remembered however many steps it has. Default: 1000.
   */
  readonly maxInMemoryExecutions?: number | undefined
  /** How long a finished execution is remembered, in seconds. Default: 3600. */
  readonly executionRetentionSecs?: number | undefined
  /** Whether finished executions past their retention are dropped in the background, every 60 s. Default: `true`. */
  readonly enableAutoCleanup?: boolean | undefined
  /**
   * Whether lines are delivered while a command runs. Default: `true`. With `false` what was printed is only in the
   * result; the events of the start and the end come all the same.
   */
  readonly streamOutput?: boolean | undefined
  /**
   * How much of each stream is kept in memory for the result, in bytes. Default: 10 485 760. In JavaScript at most what
   * fits into a string, some 500 million: {@link ExecutionEngine.config} tells what is in force.
   */
  readonly maxOutputSizeBytes?: number | undefined
  /**
   * What happens to output beyond {@link ExecutionConfig.maxOutputSizeBytes}. Default: `truncate_with_warning`.
   *
   * - `truncate_with_warning`: the first bytes are kept, and one line of warning says how much was printed. The command
   *   runs on.
   * - `fail_execution`: the command is ended. Its status is `failed`, its error code `OUTPUT_SIZE_EXCEEDED`.
   * - `stream_to_file`: the first bytes are kept, and the rest is written to a file.
   */
  readonly oversizedOutputStrategy?: 'truncate_with_warning' | 'fail_execution' | 'stream_to_file' | undefined
  /**
   * The longest line that is delivered in one piece, in bytes, at least 4. Default: 1 048 576. In JavaScript at most
   * what fits into a string, as for {@link ExecutionConfig.maxOutputSizeBytes}.
   */
  readonly maxLineSizeBytes?: number | undefined
  /** Whether output is logged, one file per execution that prints anything. Default: `true`. */
  readonly logOutput?: boolean | undefined
  /**
   * The directory of log and overflow files; the one above it must be there. Default: `cloudops-executions-<uid>` in
   * the temporary directory of the system, with the number of the user; on Windows, where that directory is the user's
   * own, `cloudops-executions`.
   */
  readonly logDir?: string | undefined
  /**
   * The largest size of one log or overflow file, in bytes. Default: 104 857 600. What comes after is not written, and
   * the result says so.
   */
  readonly maxLogSizeBytes?: number | undefined
  /** How long the log and the overflow files of a finished execution are kept, in seconds. Default: 604 800. */
  readonly logRetentionSecs?: number | undefined
  /**
   * How much all log and overflow files in the directory may hold, in bytes. Default: 1 073 741 824. What does not fit
   * is deleted, those of the execution that finished first before others; what is still written never is, whichever
   * host writes it.
   */
  readonly maxTotalLogBytes?: number | undefined
  /**
   * Names of variables whose values, of eight bytes and more, are secrets of every command that has them; `*` stands
   * for any characters, as in `*_TOKEN`. Default: `AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN`. What would name every
   * variable is refused.
   */
  readonly secretEnvPatterns?: readonly string[] | undefined
  /** The time between asking a process to end and ending it, in milliseconds. Default: 5 000. */
  readonly terminationGraceMs?: number | undefined
  /**
   * How long output may be silent, after the command itself has ended, before it is read no longer, in milliseconds.
   * Default: 250.
   */
  readonly drainIdleMs?: number | undefined
  /** How long output is read at most after the command itself has ended, in milliseconds. Default: 2 000. */
  readonly drainMaxMs?: number | undefined
  /** Whether nothing may outlive the host process. Default: `true`. */
  readonly orphanProtection?: boolean | undefined
}

/**
 * Where an execution or a plan stands. `pending` and `running` are followed by exactly one of the others.
 *
 * - `pending`: it waits for a slot, its group, or descriptors.
 * - `running`: its process runs, its output is still being read, or its next attempt is awaited.
 * - `completed`: the command exited with code 0, or another of {@link ExecutionRequest.successExitCodes}.
 * - `failed`: it exited with another code, was ended by a signal, could not be started, or printed more than it may.
 * - `cancelled`: it was cancelled, whatever its exit code.
 * - `timeout`: its deadline passed, or it printed nothing for too long, whatever its exit code.
 * - `skipped`: a step of a plan that was not started, because of what became of others; `error` says of which.
 */
export type ExecutionStatus = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled' | 'timeout' | 'skipped'

/** How an execution ended. */
export type FinalStatus = Exclude<ExecutionStatus, 'pending' | 'running'>

/** The bytes that a result keeps of both streams. */
export interface OutputBytes {
  /** Of standard output. */
  stdout: Buffer
  /** Of standard error. */
  stderr: Buffer
}

/** How an execution ended. */
export interface Result {
  /** The id of the execution. */
  id: string
  /** How it ended: the first cause that ended it. */
  status: FinalStatus
  /** Whether `status` is `completed`. */
  success: boolean
  /** The exit code of the command. `null` if a signal ended it, or if it was not started. */
  exitCode: number | null
  /** The signal that ended the command, such as `SIGTERM`, or `null`. It is never told as 128 + n in the exit code. */
  signal: string | null
  /**
   * What was printed to standard output, trailing newline included, up to {@link ExecutionConfig.maxOutputSizeBytes}.
   * Invalid UTF-8 becomes U+FFFD.
   */
  stdout: string
  /** What was printed to standard error, as {@link Result.stdout}. */
  stderr: string
  /**
   * Both streams as bytes, exactly as far as `stdout` and `stderr` hold them, where {@link ExecutionRequest.keepBytes}
   * asks for that; else `null`.
   */
  bytes: OutputBytes | null
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
  /** The command, shell-quoted, for display. */
  command: string
  /** The process id of the command, or `null` if it was not started. */
  pid: number | null
  /** When the process was started, in UTC, or `null` if it was not. */
  startedAt: string | null
  /** When the execution ended, in UTC. */
  completedAt: string
  /** The time from the start of the process to the end of the execution, in milliseconds, queue excluded. */
  durationMs: number
  /**
   * The time from the request to the start of the process, in milliseconds: the wait for a slot, and for its turn in a
   * plan. Of one that was not started, the time to its end.
   */
  queuedMs: number
  /** Whether something had to be killed after {@link ExecutionRequest.terminationGraceMs}. */
  forced: boolean
  /** Whether the command had left something running, which was ended. */
  leftoverProcesses: boolean
  /**
   * The process ids of what could not be ended, because it does not react to `SIGKILL` or belongs to another user;
   * `error` tells of it, too. Else empty.
   */
  survivors: readonly number[]
  /**
   * The processor time of the command and of what it has waited for; on Windows, of all that it has started. `null`
   * where there was no process, or nobody knows.
   */
  usage: CpuUsage | null
  /** The log file, or `null` if nothing was logged. */
  logPath: string | null
  /** What went wrong, in words, or `null`. */
  error: string | null
  /**
   * What went wrong beyond the exit of the command, for programs, or `null`.
   *
   * - `SPAWN_FAILED`: the command could not be started. `error` names it.
   * - `OUTPUT_SIZE_EXCEEDED`: it printed too much for the strategy `fail_execution`.
   * - `IDLE`: it printed nothing for {@link ExecutionRequest.idleTimeoutMs}.
   * - `LEASE_LOST`: its lease was not renewed in time, or that of its plan: {@link ExecutionRequest.leaseMs}.
   * - `WORKER_LOST`: a queue had given it to a worker that is gone. The engine itself never says so.
   * - `IO`: something was lost on its way to or from a log or overflow file, a callback had not returned by the end and
   *   did not see all output, or processes could not be ended; `error` says what. `status` is that of the command all
   *   the same. Or what feeds its input has failed, for which it was ended.
   * - `INVALID_STEP`: the request of a step of a plan could not be made, or is not acceptable; `error` says why.
   */
  errorCode:
    'SPAWN_FAILED' | 'OUTPUT_SIZE_EXCEEDED' | 'IDLE' | 'LEASE_LOST' | 'WORKER_LOST' | 'IO' | 'INVALID_STEP' | null
  /** The plan that it was a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it was none. */
  step: string | number | null
  /**
   * Why it was cancelled: what whoever did it gave as the reason, or what the engine says where it did it itself; of a
   * step, also that of its plan. `null` if there is no reason, or if it was not cancelled.
   */
  cancelReason: string | null
  /**
   * Of a request with {@link ExecutionRequest.retry} each attempt, the first one included; else empty. What the rest of
   * the result tells of output, exit and process is that of the last one; {@link Result.startedAt},
   * {@link Result.queuedMs} and {@link Result.durationMs} count from the first one.
   */
  attempts: readonly ExecutionAttempt[]
  /** What the request said about itself. */
  metadata: {
    /** Where the request came from, such as `ui`. */
    source?: string
    /** The conversation it belongs to. */
    conversationId?: string
    /** Anything else; empty if there is nothing. */
    tags: Record<string, string>
  }
}

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

/** Processor time, as the operating system counts it, rounded to milliseconds. */
export interface CpuUsage {
  /** The time in programs, in milliseconds. */
  userCpuMs: number
  /** The time that the operating system has worked for them, in milliseconds. */
  systemCpuMs: number
}

/** How one attempt of an execution ended. */
export interface ExecutionAttempt {
  /** The exit code of the command. `null` if a signal ended it, or if it was not started. */
  exitCode: number | null
  /** The signal that ended the command, or `null`. */
  signal: string | null
  /** When its process was started, in UTC, or `null` if it was not. */
  startedAt: string | null
  /** The time from the start of its process to its end, in milliseconds. */
  durationMs: number
  /** What went wrong, in words, or `null`. */
  error: string | null
}

/** One line about an execution. */
export interface ExecutionSummary {
  /** The id of the execution. */
  id: string
  /** Where it stands. */
  status: ExecutionStatus
  /** The command, shell-quoted, for display. */
  command: string
  /** When the process was started, in UTC, or `null` if it was not yet, or never. */
  startedAt: string | null
  /** How long it took, in milliseconds, or `null` if it has not finished. */
  durationMs: number | null
  /** What the request said about itself. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
}

/** Which executions are listed. All that is said must hold. Default: all of them. */
export interface ExecutionFilter {
  /** Where they stand. */
  readonly status?: ExecutionStatus | undefined
  /** The `source` of their metadata. */
  readonly source?: string | undefined
  /** Tags of their metadata; others do not matter. */
  readonly tag?: Readonly<Record<string, string>> | undefined
  /** How many at most: the newest. */
  readonly limit?: number | undefined
}

/** An entry of a log: a line, or a piece of one. */
export interface LogLine {
  /**
   * The stream that it was printed to.
   *
   * - `stdout`: standard output.
   * - `stderr`: standard error.
   */
  stream: 'stdout' | 'stderr'
  /** The line, or the piece of it, without its end. Invalid UTF-8 becomes U+FFFD. */
  line: string
  /** When its last byte was read; of what nobody finished, when it was written to the log. */
  timestamp: string
  /** Where the next entry begins in the log, in bytes: what to pass as `from` to go on after this one. */
  offset: number
  /**
   * `false` for a piece that is not the last one of its line. Pieces are not joined. A line comes in pieces if it is
   * longer than 16 KiB, or if nobody finished it for a second.
   */
  complete: boolean
}

/** Some entries of a log. */
export interface LogPage {
  /** The entries, in the order of the log. */
  lines: LogLine[]
  /** Where the next page begins: what to pass as `from` for it. */
  next: number
  /** Whether the execution has ended, and no entry follows. */
  ended: boolean
}

/**
 * It must wait for a slot of the engine. What can start at once is not told to wait; nor is a step of a plan before its
 * turn has come.
 */
export interface PendingEvent {
  /** What it tells of. */
  eventType: 'pending'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** When it began to wait. */
  timestamp: string
}

/** The process was started. */
export interface StartedEvent {
  /** What it tells of. */
  eventType: 'started'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** The command, shell-quoted, for display. */
  command: string
  /** The process id of the command. */
  pid: number
  /** When it was started. */
  timestamp: string
}

/** A line was printed to standard output. */
export interface StdoutEvent {
  /** What it tells of. */
  eventType: 'stdout'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** The line, without its end. */
  line: string
  /**
   * Whether it is no whole line: a piece of one that is longer than {@link ExecutionConfig.maxLineSizeBytes}, which
   * goes on in the next event of that stream; or an unfinished one.
   */
  partial: boolean
  /**
   * Whether the line is not finished, and nothing came for 200 milliseconds: a question, perhaps, that waits for its
   * answer. The next event of that stream tells it again from its beginning, with what follows. Left out where it is
   * not so.
   */
  unfinished?: boolean
  /** When it was read. */
  timestamp: string
}

/** A line was printed to standard error. */
export interface StderrEvent {
  /** What it tells of. */
  eventType: 'stderr'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** The line, without its end. */
  line: string
  /**
   * Whether it is no whole line: a piece of one that is longer than {@link ExecutionConfig.maxLineSizeBytes}, which
   * goes on in the next event of that stream; or an unfinished one.
   */
  partial: boolean
  /**
   * Whether the line is not finished, and nothing came for 200 milliseconds: a question, perhaps, that waits for its
   * answer. The next event of that stream tells it again from its beginning, with what follows. Left out where it is
   * not so.
   */
  unfinished?: boolean
  /** When it was read. */
  timestamp: string
}

/** An attempt did not succeed, and another one will follow. */
export interface RetryingEvent {
  /** What it tells of. */
  eventType: 'retrying'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** The number of the attempt that will follow, from 2 on. */
  attempt: number
  /** The time until then, in milliseconds, and then its wait for a slot. */
  delayMs: number
  /** What went wrong with the last one, in words. */
  error: string
  /** How the last one ended. */
  ended: ExecutionAttempt
  /** When the last one ended. */
  timestamp: string
}

/** The command exited with a code that means success. */
export interface CompletedEvent {
  /** What it tells of. */
  eventType: 'completed'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** How it ended. */
  result: ExecutionResult
  /** When it ended. */
  timestamp: string
}

/** The execution failed. */
export interface FailedEvent {
  /** What it tells of. */
  eventType: 'failed'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** How it ended. */
  result: ExecutionResult
  /** When it ended. */
  timestamp: string
}

/** The execution was cancelled. */
export interface CancelledEvent {
  /** What it tells of. */
  eventType: 'cancelled'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** How it ended. */
  result: ExecutionResult
  /** When it ended. */
  timestamp: string
}

/** The deadline of the execution passed, or it printed nothing for too long. */
export interface TimeoutEvent {
  /** What it tells of. */
  eventType: 'timeout'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** How it ended. */
  result: ExecutionResult
  /** When it ended. */
  timestamp: string
}

/** A step of a plan was not started, because of what became of others. */
export interface SkippedEvent {
  /** What it tells of. */
  eventType: 'skipped'
  /** The execution. */
  executionId: string
  /** What its request says about itself. Empty as long as the request of a step is not made. */
  metadata: Result['metadata']
  /** The plan that it is a step of, or `null`. */
  planId: string | null
  /** Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none. */
  step: string | number | null
  /** How it ended. */
  result: ExecutionResult
  /** When it ended. */
  timestamp: string
}

/** A step of a plan ended, in whatever way. */
export interface ProgressEvent {
  /** What it tells of. */
  eventType: 'progress'
  /** The plan. */
  planId: string
  /** What the plan says about itself. */
  metadata: Result['metadata']
  /** How many steps have ended. */
  completed: number
  /** How many steps the plan has. */
  total: number
  /** The command of the step that was started last, of those that run now, shell-quoted; `null` if none does. */
  currentCommand: string | null
  /** When. */
  timestamp: string
}

/** A plan ended, in whatever way. */
export interface PlanCompletedEvent {
  /** What it tells of. */
  eventType: 'plan_completed'
  /** The plan. */
  planId: string
  /** What the plan says about itself. */
  metadata: Result['metadata']
  /** How it ended. */
  result: PlanExecutionResult
  /** When it ended. */
  timestamp: string
}

/**
 * Something that happened to an execution. Each has exactly one terminal event, whose type is its final status. All
 * timestamps are ISO 8601, in UTC.
 */
export type ExecutionEvent =
  | PendingEvent
  | StartedEvent
  | StdoutEvent
  | StderrEvent
  | RetryingEvent
  | CompletedEvent
  | FailedEvent
  | CancelledEvent
  | TimeoutEvent
  | SkippedEvent

/** Something that happened to a plan as a whole. */
export type PlanEvent = ProgressEvent | PlanCompletedEvent

/**
 * Commands that belong together. Each step is an execution of its own, under its own id, and takes a slot of the engine
 * like any other.
 */
export interface IndexedPlan {
  /** A UUID. Default: a random one. */
  readonly id?: string | undefined
  /** For display. Default: empty. */
  readonly description?: string | undefined
  /** In which order the commands run, and what a failure means for the others. */
  readonly strategy:
    | {
        /** One after the other. */
        readonly type: 'serial'
        /** Whether a failure skips the rest. Default: `true`. */
        readonly stopOnError?: boolean | undefined
      }
    | {
        /** All at once. */
        readonly type: 'parallel'
        /** How many steps of this plan run at once. Default: as many as the engine has slots. */
        readonly maxConcurrency?: number | undefined
        /** Whether after a failure nothing more is started. Default: `false`. */
        readonly stopOnError?: boolean | undefined
      }
    | {
        /**
         * Each step once those it depends on have ended. A failure skips what depends on the step, unless its `when` says
         * otherwise.
         */
        readonly type: 'dependency_graph'
        /** For the index of a step in `commands`, the indices of those it waits for. No cycles. */
        readonly dependencies: Readonly<Record<number, readonly number[]>>
        /** How many steps of this plan run at once. Default: as many as the engine has slots. */
        readonly maxConcurrency?: number | undefined
        /** Whether after a failure nothing more is started. Default: `false`. */
        readonly stopOnError?: boolean | undefined
      }
  /** The steps. */
  readonly commands: readonly IndexedStep[]
  /**
   * The deadline of the whole plan, in milliseconds, counted from its acceptance. Default: none but those of the steps.
   */
  readonly timeoutMs?: number | undefined
  /**
   * For how long the whole plan is wanted, in milliseconds from its acceptance, unless that is renewed in time: then
   * what runs of it is ended, with the status `failed` and the error code `LEASE_LOST`, what waits is `cancelled` and
   * never starts, and the plan has `failed`. The engine sees to that by itself, whatever becomes of whoever renews it.
   * Default: for ever.
   */
  readonly leaseMs?: number | undefined
  /** Secrets of all steps, besides those that each names itself: {@link ExecutionRequest.secrets}. Default: none. */
  readonly secrets?: readonly string[] | undefined
  /**
   * The names of variables of the steps whose values are secrets, besides those that each names itself:
   * {@link ExecutionRequest.secretEnv}. Default: none.
   */
  readonly secretEnv?: readonly string[] | undefined
  /** What the plan says about itself. */
  readonly metadata?:
    | {
        /** Where the request came from, such as `ui`. */
        readonly source?: string | undefined
        /** The conversation it belongs to. */
        readonly conversationId?: string | undefined
        /** Anything else; empty if there is nothing. */
        readonly tags?: Readonly<Record<string, string>> | undefined
      }
    | undefined
}

/**
 * Commands that belong together. Each step is an execution of its own, under its own id, and takes a slot of the engine
 * like any other.
 */
export interface NamedPlan {
  /** A UUID. Default: a random one. */
  readonly id?: string | undefined
  /** For display. Default: empty. */
  readonly description?: string | undefined
  /**
   * The steps, by their names. They start in this order, as far as nothing keeps them waiting. (Names that are whole
   * numbers come first, as in any object of JavaScript.)
   */
  readonly steps: Readonly<Record<string, NamedStep>>
  /** How many steps of this plan run at once. Default: as many as the engine has slots. */
  readonly maxConcurrency?: number | undefined
  /** Whether after a failure nothing more is started, but what is there for failures. Default: `false`. */
  readonly stopOnError?: boolean | undefined
  /**
   * The deadline of the whole plan, in milliseconds, counted from its acceptance. Default: none but those of the steps.
   */
  readonly timeoutMs?: number | undefined
  /**
   * For how long the whole plan is wanted, in milliseconds from its acceptance, unless that is renewed in time: then
   * what runs of it is ended, with the status `failed` and the error code `LEASE_LOST`, what waits is `cancelled` and
   * never starts, and the plan has `failed`. The engine sees to that by itself, whatever becomes of whoever renews it.
   * Default: for ever.
   */
  readonly leaseMs?: number | undefined
  /** Secrets of all steps, besides those that each names itself: {@link ExecutionRequest.secrets}. Default: none. */
  readonly secrets?: readonly string[] | undefined
  /**
   * The names of variables of the steps whose values are secrets, besides those that each names itself:
   * {@link ExecutionRequest.secretEnv}. Default: none.
   */
  readonly secretEnv?: readonly string[] | undefined
  /** What the plan says about itself. */
  readonly metadata?:
    | {
        /** Where the request came from, such as `ui`. */
        readonly source?: string | undefined
        /** The conversation it belongs to. */
        readonly conversationId?: string | undefined
        /** Anything else; empty if there is nothing. */
        readonly tags?: Readonly<Record<string, string>> | undefined
      }
    | undefined
}

/** Commands that belong together: told apart by their indices, or by names. */
export type ExecutionPlan = IndexedPlan | NamedPlan

/** What a step says besides its request, in JSON beside the fields of that. */
export interface StepOptions {
  /**
   * Which ends of the steps that it depends on, directly or not, let it run: those before it in a serial plan, none in
   * a parallel one. A failure that is allowed is none. What is not `success` runs also after a failure with
   * `stopOnError` and behind a skipped step, but not once the plan was cancelled or its deadline passed. Default:
   * `success`; in a serial plan with `stopOnError: false`, `always`.
   *
   * - `success`: all have completed.
   * - `failure`: one has failed, in any way: also a cancel or a deadline of its own is one.
   * - `always`: all have ended, in whatever way.
   */
  readonly when?: 'success' | 'failure' | 'always' | undefined
  /**
   * Whether the plan and the other steps take its failure for a success. Its own result tells the truth. Default:
   * `false`.
   */
  readonly allowFailure?: boolean | undefined
}

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

/** How a plan ended. */
export interface PlanExecutionResult {
  /** The id of the plan. */
  planId: string
  /** The description of the plan; empty if it had none. */
  description: string
  /**
   * `completed` unless a step failed that may not; skipped ones do not count. `cancelled` or `timeout` if that ended
   * the plan, `failed` otherwise.
   */
  status: ExecutionStatus
  /** Whether `status` is `completed`. */
  success: boolean
  /** One per step, in the order of the plan. */
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
    /** Those that were not started, because of what became of others. */
    skipped: number
  }
}

/**
 * Why the engine refused a call, as it is told to programs: {@link ExecutionError.code}.
 *
 * - `VALIDATION`: an argument, request or plan is not as it must be; `field` says which part. Nothing was started.
 * - `INVALID_CONFIG`: a field of the configuration is not as it must be; `field` says which one.
 * - `NOT_FOUND`: no execution or plan of that id is known. It never was, or it has been forgotten; or the id is that of
 *   a plan where that of an execution is due, or the other way round.
 * - `NOT_FINISHED`: the execution still runs or waits; or what it has left running, or another host, still writes the
 *   log that was to be deleted.
 * - `ALREADY_FINISHED`: what was to be cancelled, written to, or given a secret, has ended, or the lease that was to be
 *   renewed.
 * - `DUPLICATE_ID`: the id of the request is that of an execution the engine remembers.
 * - `CONCURRENCY_LIMIT_REACHED`: all slots are taken and the queue is full.
 * - `ALREADY_INITIALIZED`: the global engine exists.
 * - `NOT_INITIALIZED`: the global engine does not exist yet.
 * - `SHUT_DOWN`: the engine has been shut down.
 * - `IO`: a log could not be read, or an input not be written to; or a subscription was given up, as nothing was taken
 *   of it.
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

import type { ExecutionResult, PlanExecutionResult, Result } from '@escher-dbai/execution-engine'
import { linesLost } from '../errors'
import type { Cancellation } from '../redis/store'

// How an execution ended, on its way through Redis.

/** How much of each stream is sent, in bytes. */
const HEAD_BYTES = 65_536

/** A result as it is stored. */
export interface StoredResult {
  readonly kind: 'execution'
  readonly result: Omit<Result, 'bytes'>
  /** Both streams in the order of reading, where that cannot be told from them. */
  readonly all?: string | undefined
  readonly bytes?: { readonly stdout: string; readonly stderr: string } | undefined
  /** How many lines it has printed. */
  readonly lines: number
}

/** A result of a plan as it is stored: those of its steps are under their own ids. */
export interface StoredPlanResult {
  readonly kind: 'plan'
  readonly result: Omit<PlanExecutionResult, 'results'>
  readonly steps: readonly string[]
  readonly completedAt: string
  readonly lines: number
}

export type Stored = StoredResult | StoredPlanResult

/** The beginning of a text, without a piece of a character. */
function headOf(text: string): string {
  // A unit of a string is at least one byte.
  if (text.length <= HEAD_BYTES && Buffer.byteLength(text) <= HEAD_BYTES) return text
  const bytes = Buffer.from(text.slice(0, HEAD_BYTES + 1))
  let end = Math.min(HEAD_BYTES, bytes.length)
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return bytes.toString('utf8', 0, end)
}

/** What of a result is stored. */
export function storedOf(result: ExecutionResult, lines: number, more: Partial<Result> = {}): StoredResult {
  const { bytes, ...data } = result
  const stdout = headOf(result.stdout)
  const stderr = headOf(result.stderr)
  const isCut = stdout !== result.stdout || stderr !== result.stderr
  const hasBoth = stdout !== '' && stderr !== ''
  return {
    kind: 'execution',
    result: { ...data, ...more, stdout, stderr, truncated: result.truncated || isCut },
    ...(hasBoth && !isCut ? { all: result.all } : {}),
    ...(bytes === null ? {} : { bytes: { stdout: headOfBytes(bytes.stdout), stderr: headOfBytes(bytes.stderr) } }),
    lines,
  }
}

const headOfBytes = (bytes: Buffer): string => bytes.subarray(0, HEAD_BYTES).toString('base64')

const jsonOf = (result: Result): unknown => {
  const { command, stdout, stdoutBytes, truncated } = result
  const name = `the standard output of \`${command.slice(0, 300)}\``
  if (truncated && stdoutBytes > Buffer.byteLength(stdout)) {
    throw new SyntaxError(
      `${name} is not whole: ${stdoutBytes} bytes were printed, of which the queue keeps ${HEAD_BYTES}`,
    )
  }
  const text = stdout.charCodeAt(0) === 0xfeff ? stdout.slice(1) : stdout
  if (text.trim() === '') throw new SyntaxError(`${name} is empty`)
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new SyntaxError(`${name} is no JSON: ${cause instanceof Error ? cause.message : ''}`, { cause })
  }
}

/**
 * A result as the engine makes it, for who was told of it as far as `told` says.
 */
export function resultOf(stored: StoredResult, told: Told = { lost: 0, isUntold: false }): ExecutionResult {
  const { result: data, bytes, all } = stored
  const result = {
    ...data,
    bytes: bytes ? { stdout: Buffer.from(bytes.stdout, 'base64'), stderr: Buffer.from(bytes.stderr, 'base64') } : null,
    ...lossOf(data, told),
  }
  Object.defineProperty(result, 'all', { get: () => all ?? result.stdout + result.stderr, configurable: true })
  Object.defineProperty(result, 'json', { value: () => jsonOf(result), configurable: true, writable: true })
  // `success` and `status` were written together.
  return result as unknown as ExecutionResult
}

/** What its reader was not told. */
export interface Told {
  /** Lines that were no longer kept. */
  readonly lost: number
  /** A callback had not returned. */
  readonly isUntold: boolean
}

const UNTOLD = 'not all output was delivered: a callback had not returned by then'

/** What a result says besides when its reader was not told everything. */
function lossOf({ error, errorCode }: Pick<Result, 'error' | 'errorCode'>, { lost, isUntold }: Told): Partial<Result> {
  const problems = [
    ...(lost > 0 ? [linesLost(lost)] : []),
    ...(isUntold && error?.includes(UNTOLD) !== true ? [UNTOLD] : []),
  ]
  if (problems.length === 0) return {}
  const words = [...(error === null ? [] : [error]), ...problems].join('; ')
  return { error: words, ...(lost > 0 ? { errorCode: errorCode ?? 'IO' } : {}) }
}

export const planResultOf = ({ result }: StoredPlanResult, results: ExecutionResult[]): PlanExecutionResult => ({
  ...result,
  results,
})

/** What is known of an execution that has not run to an end. */
export interface Unrun {
  readonly id: string
  readonly command: string
  readonly metadata: Result['metadata']
  readonly planId: string | null
  readonly step: string | number | null
  readonly submittedAt: number
  readonly startedAt: string | null
}

/** How the queue itself can end an execution. */
export type Ending = { readonly status: 'failed' | 'cancelled' | 'timeout'; readonly error: string } & {
  readonly code?: string | undefined
  readonly reason?: string | undefined
}

/** The end of what was cancelled, or whose time was over, before it was started. */
export const unstarted = ({ reason, timedOut }: Cancellation): Ending =>
  timedOut === undefined ? { status: 'cancelled', error: 'cancelled', reason } : { status: 'timeout', error: timedOut }

/** The result of an execution that the queue has ended: nothing of its output, exit or processes is known. */
export function endedResult(about: Unrun, { status, error, code, reason }: Ending, lines = 0): StoredResult {
  const now = Date.now()
  const startedAt = about.startedAt === null ? now : Date.parse(about.startedAt)
  return {
    kind: 'execution',
    lines,
    result: {
      id: about.id,
      status,
      success: false,
      exitCode: null,
      signal: null,
      stdout: '',
      stderr: '',
      stdoutBytes: 0,
      stderrBytes: 0,
      truncated: false,
      stdoutOverflowFile: null,
      stderrOverflowFile: null,
      command: about.command,
      pid: null,
      startedAt: about.startedAt,
      completedAt: new Date(now).toISOString(),
      durationMs: Math.max(now - startedAt, 0),
      queuedMs: Math.max(startedAt - about.submittedAt, 0),
      forced: false,
      leftoverProcesses: false,
      survivors: [],
      usage: null,
      logPath: null,
      error,
      // The queue has codes of its own besides those of the engine.
      errorCode: (code ?? null) as Result['errorCode'],
      planId: about.planId,
      step: about.step,
      cancelReason: reason ?? null,
      attempts: [],
      metadata: about.metadata,
    },
  }
}

/** How a plan ended, whose steps have ended so. */
export function storedPlanOf(
  about: { readonly id: string; readonly description: string; readonly submittedAt: number },
  status: PlanExecutionResult['status'],
  steps: readonly StoredResult[],
  lines = 0,
): StoredPlanResult {
  const stats = { total: steps.length, completed: 0, failed: 0, cancelled: 0, timeout: 0, skipped: 0 }
  for (const { result } of steps) stats[result.status] += 1
  const now = Date.now()
  return {
    kind: 'plan',
    steps: steps.map(({ result }) => result.id),
    completedAt: new Date(now).toISOString(),
    lines,
    result: {
      planId: about.id,
      description: about.description,
      status,
      success: status === 'completed',
      totalDurationMs: Math.max(now - about.submittedAt, 0),
      stats,
    },
  }
}

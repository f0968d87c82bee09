'use strict'

// From the JSON of Rust, with its names, to what TypeScript sees.

/** @param {number} at milliseconds since 1970 */
const iso = (at) => new Date(at).toISOString()

/**
 * The time of Rust, which has up to nine digits behind the second, as JavaScript writes it: with three. A `Date` in
 * between would take several times as long.
 *
 * @param {string} time
 */
const inMillis = (time) => (time[19] === '.' ? `${time.slice(0, 23)}Z` : `${time.slice(0, 19)}.000Z`)

/** @param {string | null} time */
const inMillisOrNull = (time) => (time === null ? null : inMillis(time))

/** @param {any} found */
function toMetadata(found) {
  return {
    ...(found.source === undefined ? {} : { source: found.source }),
    ...(found.conversation_id === undefined ? {} : { conversationId: found.conversation_id }),
    tags: found.tags,
  }
}

/**
 * @param {string} json
 * @param {string} stdout
 * @param {string} stderr
 * @returns {import('../index').ExecutionResult}
 */
function toResult(json, stdout, stderr) {
  const found = JSON.parse(json)
  return {
    id: found.id,
    status: found.status,
    success: found.success,
    exitCode: found.exit_code,
    signal: found.signal,
    stdout,
    stderr,
    stdoutBytes: found.stdout_bytes,
    stderrBytes: found.stderr_bytes,
    truncated: found.truncated,
    stdoutOverflowFile: found.stdout_overflow_file,
    stderrOverflowFile: found.stderr_overflow_file,
    command: found.command,
    pid: found.pid,
    startedAt: inMillisOrNull(found.started_at),
    completedAt: inMillis(found.completed_at),
    durationMs: found.duration_ms,
    queuedMs: found.queued_ms,
    forced: found.forced,
    leftoverProcesses: found.leftover_processes,
    logPath: found.log_path,
    error: found.error,
    errorCode: found.error_code,
    metadata: toMetadata(found.metadata),
  }
}

/**
 * @param {string[]} parts the result without those of the steps, and those, in three parts each
 * @returns {import('../index').PlanExecutionResult}
 */
function toPlanResult([json, ...steps]) {
  const found = JSON.parse(json)
  const results = []
  for (let i = 0; i < steps.length; i += 3) results.push(toResult(steps[i], steps[i + 1], steps[i + 2]))
  return {
    planId: found.plan_id,
    description: found.description,
    status: found.status,
    success: found.success,
    results,
    totalDurationMs: found.total_duration_ms,
    stats: found.stats,
  }
}

/**
 * @param {any} found
 * @returns {import('../index').ExecutionSummary}
 */
function toSummary(found) {
  return {
    id: found.id,
    status: found.status,
    command: found.command,
    startedAt: inMillisOrNull(found.started_at),
    durationMs: found.duration_ms,
  }
}

/**
 * @param {any} found
 * @returns {Required<import('../index').ExecutionConfig>}
 */
function toConfig(found) {
  return /** @type {any} */ (
    Object.freeze(
      Object.fromEntries(
        Object.entries(found).map(([key, value]) => [
          key.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase()),
          value,
        ]),
      ),
    )
  )
}

module.exports = { iso, toPlanResult, toResult, toSummary, toConfig }

'use strict'

// Generated from the types of Rust by `npm run contract`: from its JSON, with its names, to what TypeScript sees.

const { inMillis, inMillisOrNull } = require('./time')

/**
 * @param {any} found
 * @param {any} stdout
 * @param {any} stderr
 * @param {any} bytes
 */
const readResult = (found, stdout, stderr, bytes) => ({
  id: found.id,
  status: found.status,
  success: found.success,
  exitCode: found.exit_code,
  signal: found.signal,
  stdout,
  stderr,
  bytes,
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
  survivors: found.survivors,
  usage: found.usage && readCpuUsage(found.usage),
  logPath: found.log_path,
  error: found.error,
  errorCode: found.error_code,
  planId: found.plan_id,
  step: found.step,
  cancelReason: found.cancel_reason,
  attempts: found.attempts.map(readAttempt),
  metadata: readMetadata(found.metadata),
})

/**
 * @param {any} found
 */
const readCpuUsage = (found) => ({ userCpuMs: found.user_cpu_ms, systemCpuMs: found.system_cpu_ms })

/**
 * @param {any} found
 */
const readAttempt = (found) => ({
  exitCode: found.exit_code,
  signal: found.signal,
  startedAt: inMillisOrNull(found.started_at),
  durationMs: found.duration_ms,
  error: found.error,
})

/**
 * @param {any} found
 */
const readMetadata = (found) => ({
  ...(found.source === undefined ? {} : { source: found.source }),
  ...(found.conversation_id === undefined ? {} : { conversationId: found.conversation_id }),
  tags: found.tags,
})

/**
 * @param {any} found
 */
const readSummary = (found) => ({
  id: found.id,
  status: found.status,
  command: found.command,
  startedAt: inMillisOrNull(found.started_at),
  durationMs: found.duration_ms,
  metadata: readMetadata(found.metadata),
  planId: found.plan_id,
  step: found.step,
})

/**
 * @param {any} found
 * @param {any} results
 */
const readPlanResult = (found, results) => ({
  planId: found.plan_id,
  description: found.description,
  status: found.status,
  success: found.success,
  results,
  totalDurationMs: found.total_duration_ms,
  stats: readStats(found.stats),
})

/**
 * @param {any} found
 */
const readStats = (found) => ({
  total: found.total,
  completed: found.completed,
  failed: found.failed,
  cancelled: found.cancelled,
  timeout: found.timeout,
  skipped: found.skipped,
})

/**
 * @param {any} found
 */
const readLogPage = (found) => ({ lines: found.lines.map(readLogLine), next: found.next, ended: found.ended })

/**
 * @param {any} found
 */
const readLogLine = (found) => ({
  stream: found.stream,
  line: found.line,
  timestamp: inMillis(found.timestamp),
  offset: found.offset,
  complete: found.complete,
})

module.exports = {
  readResult,
  readCpuUsage,
  readAttempt,
  readMetadata,
  readSummary,
  readPlanResult,
  readStats,
  readLogPage,
  readLogLine,
}

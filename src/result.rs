//! How an execution ended, and what is told of it meanwhile.

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::request::ExecutionMetadata;

/// Where an execution or a plan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutionStatus {
    /// Accepted, not started: it waits for a slot, or for descriptors.
    Pending,
    /// Its process runs, or its output is still being read.
    Running,
    /// It exited with code 0.
    Completed,
    /// It could not be started, exited with another code, was killed, or printed more than it may.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// Its deadline passed.
    Timeout,
    /// A step of a plan that was not started, because another one failed.
    Skipped,
}

impl ExecutionStatus {
    /// Whether nothing can follow it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Running)
    }

    /// Its spelling in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Skipped => "skipped",
        }
    }
}

/// What went wrong with an execution beyond the exit of its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResultErrorCode {
    /// The program could not be started.
    SpawnFailed,
    /// It printed more than [`max_output_size_bytes`](crate::ExecutionConfig::max_output_size_bytes)
    /// under [`FailExecution`](crate::OversizedOutputStrategy::FailExecution).
    OutputSizeExceeded,
    /// A log or overflow file, a pipe or a process could not be handled; [`ExecutionResult::error`] says which.
    Io,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionResult {
    /// The id of the request.
    pub id: Uuid,
    /// How it ended: the first cause that ended it.
    pub status: ExecutionStatus,
    /// Whether `status` is `completed`.
    pub success: bool,
    /// The exit code, unless a signal ended the process or it never ran.
    pub exit_code: Option<i64>,
    /// The signal that ended the process, such as `SIGTERM`.
    pub signal: Option<String>,
    /// What was printed to standard output, up to the limit; invalid UTF-8 is replaced by U+FFFD.
    pub stdout: String,
    /// What was printed to standard error, up to the limit; invalid UTF-8 is replaced by U+FFFD.
    pub stderr: String,
    /// How many bytes were printed to standard output, kept or not.
    pub stdout_bytes: u64,
    /// How many bytes were printed to standard error, kept or not.
    pub stderr_bytes: u64,
    /// Whether `stdout` or `stderr` holds less than was printed.
    pub truncated: bool,
    /// Where the rest of standard output is.
    #[serde(serialize_with = "path_or_none_as_text")]
    pub stdout_overflow_file: Option<PathBuf>,
    /// Where the rest of standard error is.
    #[serde(serialize_with = "path_or_none_as_text")]
    pub stderr_overflow_file: Option<PathBuf>,
    /// The command, shell-quoted, for display.
    pub command: String,
    /// The number of the process, if it was started.
    pub pid: Option<u32>,
    /// When the process was started.
    pub started_at: Option<DateTime<Utc>>,
    /// When the execution was settled.
    pub completed_at: DateTime<Utc>,
    /// From the start of the process until the execution was settled, in milliseconds.
    pub duration_ms: u64,
    /// From `execute` until the start of the process, in milliseconds.
    pub queued_ms: u64,
    /// Whether something had to be killed after the grace period.
    pub forced: bool,
    /// Whether the command had left something running, which was ended.
    pub leftover_processes: bool,
    /// The log file, if anything was logged.
    #[serde(serialize_with = "path_or_none_as_text")]
    pub log_path: Option<PathBuf>,
    /// What went wrong, in words.
    pub error: Option<String>,
    /// What went wrong beyond the exit of the command.
    pub error_code: Option<ResultErrorCode>,
    /// What the request said about itself.
    pub metadata: ExecutionMetadata,
}

impl ExecutionResult {
    /// All of it but what was printed, which may be megabytes.
    #[cfg(feature = "node")]
    pub(crate) fn without_output(&self) -> Self {
        Self {
            id: self.id,
            status: self.status,
            success: self.success,
            exit_code: self.exit_code,
            signal: self.signal.clone(),
            stdout: String::new(),
            stderr: String::new(),
            stdout_bytes: self.stdout_bytes,
            stderr_bytes: self.stderr_bytes,
            truncated: self.truncated,
            stdout_overflow_file: self.stdout_overflow_file.clone(),
            stderr_overflow_file: self.stderr_overflow_file.clone(),
            command: self.command.clone(),
            pid: self.pid,
            started_at: self.started_at,
            completed_at: self.completed_at,
            duration_ms: self.duration_ms,
            queued_ms: self.queued_ms,
            forced: self.forced,
            leftover_processes: self.leftover_processes,
            log_path: self.log_path.clone(),
            error: self.error.clone(),
            error_code: self.error_code,
            metadata: self.metadata.clone(),
        }
    }
}

/// A path as text. What is no UTF-8 in it becomes U+FFFD, as in output: a directory with such a name is no reason to
/// withhold a result.
pub(crate) fn path_as_text<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&path.to_string_lossy())
}

#[expect(clippy::ref_option, reason = "serde passes the field by reference")]
fn path_or_none_as_text<S: Serializer>(
    path: &Option<PathBuf>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => path_as_text(path, serializer),
        None => serializer.serialize_none(),
    }
}

/// One line about an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionSummary {
    /// The id of the execution.
    pub id: Uuid,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// The command, shell-quoted, for display.
    pub command: String,
    /// When its process was started.
    pub started_at: Option<DateTime<Utc>>,
    /// How long it took, in milliseconds, once it has finished.
    pub duration_ms: Option<u64>,
}

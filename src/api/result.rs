//! How an execution ended, and what is told of it meanwhile.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::api::output::{OutputBytes, OutputOrder};
use crate::api::path::path_or_none_as_text;
use crate::api::request::ExecutionMetadata;
use crate::api::step_key::StepKey;

/// Where an execution or a plan stands. `pending` and `running` are followed by exactly one of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ExecutionStatus {
    /// It waits for a slot, its group, or descriptors.
    Pending,
    /// Its process runs, its output is still being read, or its next attempt is awaited.
    Running,
    /// The command exited with code 0, or another of
    /// [`ExecutionRequest::success_exit_codes`](crate::ExecutionRequest::success_exit_codes).
    Completed,
    /// It exited with another code, was ended by a signal, could not be started, or printed more than it may.
    Failed,
    /// It was cancelled, whatever its exit code.
    Cancelled,
    /// Its deadline passed, or it printed nothing for too long, whatever its exit code.
    Timeout,
    /// A step of a plan that was not started, because of what became of others; `error` says of which.
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ResultErrorCode {
    /// The command could not be started. `error` names it.
    SpawnFailed,
    /// It printed too much for the strategy `fail_execution`.
    OutputSizeExceeded,
    /// It printed nothing for [`ExecutionRequest::idle_timeout_ms`](crate::ExecutionRequest::idle_timeout_ms).
    Idle,
    /// Its lease was not renewed in time, or that of its plan:
    /// [`ExecutionRequest::lease_ms`](crate::ExecutionRequest::lease_ms).
    LeaseLost,
    /// A queue had given it to a worker that is gone. The engine itself never says so.
    WorkerLost,
    /// Something was lost on its way to or from a log or overflow file, a callback had not returned by the end and did not
    /// see all output, or processes could not be ended; `error` says what. `status` is that of the command all the same. Or
    /// what feeds its input has failed, for which it was ended.
    Io,
    /// The request of a step of a plan could not be made, or is not acceptable; `error` says why.
    InvalidStep,
}

/// Processor time, as the operating system counts it, rounded to milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CpuUsage {
    /// The time in programs, in milliseconds.
    pub user_cpu_ms: u64,
    /// The time that the operating system has worked for them, in milliseconds.
    pub system_cpu_ms: u64,
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecutionResult {
    /// The id of the execution.
    pub id: Uuid,
    /// How it ended: the first cause that ended it.
    #[cfg_attr(feature = "schema", schemars(extend("x-typescript" = "FinalStatus")))]
    pub status: ExecutionStatus,
    /// Whether `status` is `completed`.
    pub success: bool,
    /// The exit code of the command. `null` if a signal ended it, or if it was not started.
    pub exit_code: Option<i64>,
    /// The signal that ended the command, such as `SIGTERM`, or `null`. It is never told as 128 + n in the exit code.
    pub signal: Option<String>,
    /// What was printed to standard output, trailing newline included, up to
    /// [`ExecutionConfig::max_output_size_bytes`](crate::ExecutionConfig::max_output_size_bytes). Invalid UTF-8 becomes
    /// U+FFFD.
    #[serde(serialize_with = "unless_apart")]
    #[cfg_attr(feature = "schema", schemars(extend("x-apart" = true)))]
    pub stdout: String,
    /// What was printed to standard error, as [`ExecutionResult::stdout`].
    #[serde(serialize_with = "unless_apart")]
    #[cfg_attr(feature = "schema", schemars(extend("x-apart" = true)))]
    pub stderr: String,
    /// Both streams as bytes, exactly as far as `stdout` and `stderr` hold them, where
    /// [`ExecutionRequest::keep_bytes`](crate::ExecutionRequest::keep_bytes) asks for that; else `null`.
    #[serde(default, serialize_with = "none_if_apart")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<u8>>", extend("x-apart" = true, "x-typescript" = "OutputBytes")))]
    pub bytes: Option<OutputBytes>,
    /// The order in which both were read, for [`ExecutionResult::all`].
    #[serde(default, skip_serializing_if = "OutputOrder::is_empty")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    pub output_order: OutputOrder,
    /// How much was printed to standard output, kept or not, in bytes.
    pub stdout_bytes: u64,
    /// How much was printed to standard error, kept or not, in bytes.
    pub stderr_bytes: u64,
    /// Whether `stdout` or `stderr` lacks something that was printed.
    pub truncated: bool,
    /// The file with the rest of standard output, or `null`. Only with the strategy `stream_to_file`.
    #[serde(serialize_with = "path_or_none_as_text")]
    pub stdout_overflow_file: Option<PathBuf>,
    /// The file with the rest of standard error, or `null`. Only with the strategy `stream_to_file`.
    #[serde(serialize_with = "path_or_none_as_text")]
    pub stderr_overflow_file: Option<PathBuf>,
    /// The command, shell-quoted, for display.
    pub command: String,
    /// The process id of the command, or `null` if it was not started.
    pub pid: Option<u32>,
    /// When the process was started, in UTC, or `null` if it was not.
    pub started_at: Option<DateTime<Utc>>,
    /// When the execution ended, in UTC.
    pub completed_at: DateTime<Utc>,
    /// The time from the start of the process to the end of the execution, in milliseconds, queue excluded.
    pub duration_ms: u64,
    /// The time from the request to the start of the process, in milliseconds: the wait for a slot, and for its turn in a
    /// plan. Of one that was not started, the time to its end.
    pub queued_ms: u64,
    /// Whether something had to be killed after
    /// [`ExecutionRequest::termination_grace_ms`](crate::ExecutionRequest::termination_grace_ms).
    pub forced: bool,
    /// Whether the command had left something running, which was ended.
    pub leftover_processes: bool,
    /// The process ids of what could not be ended, because it does not react to `SIGKILL` or belongs to another user;
    /// `error` tells of it, too. Else empty.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-typescript" = "readonly number[]"))
    )]
    pub survivors: Vec<u32>,
    /// The processor time of the command and of what it has waited for; on Windows, of all that it has started. `null`
    /// where there was no process, or nobody knows.
    pub usage: Option<CpuUsage>,
    /// The log file, or `null` if nothing was logged.
    #[serde(serialize_with = "path_or_none_as_text")]
    pub log_path: Option<PathBuf>,
    /// What went wrong, in words, or `null`.
    pub error: Option<String>,
    /// What went wrong beyond the exit of the command, for programs, or `null`.
    pub error_code: Option<ResultErrorCode>,
    /// The plan that it was a step of, or `null`.
    pub plan_id: Option<Uuid>,
    /// Which step of that: its name, or its index in a plan whose steps have no names. `null` if it was none.
    pub step: Option<StepKey>,
    /// Why it was cancelled: what whoever did it gave as the reason, or what the engine says where it did it itself; of a
    /// step, also that of its plan. `null` if there is no reason, or if it was not cancelled.
    pub cancel_reason: Option<String>,
    /// Of a request with [`ExecutionRequest::retry`](crate::ExecutionRequest::retry) each attempt, the first one included;
    /// else empty. What the rest of the result tells of output, exit and process is that of the last one;
    /// [`ExecutionResult::started_at`], [`ExecutionResult::queued_ms`] and [`ExecutionResult::duration_ms`] count from the
    /// first one.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-typescript" = "readonly ExecutionAttempt[]"))
    )]
    pub attempts: Vec<ExecutionAttempt>,
    /// What the request said about itself.
    pub metadata: ExecutionMetadata,
}

impl ExecutionResult {
    /// `stdout` and `stderr` as one text, in the order in which they were read. What was printed to both between two reads
    /// may have been printed in another order: only one pipe for both knows that,
    /// [`StderrTarget::Stdout`](crate::StderrTarget::Stdout).
    #[must_use]
    pub fn all(&self) -> String {
        self.output_order.merge(&self.stdout, &self.stderr)
    }
}

/// How one attempt of an execution ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecutionAttempt {
    /// The exit code of the command. `null` if a signal ended it, or if it was not started.
    pub exit_code: Option<i64>,
    /// The signal that ended the command, or `null`.
    pub signal: Option<String>,
    /// When its process was started, in UTC, or `null` if it was not.
    pub started_at: Option<DateTime<Utc>>,
    /// The time from the start of its process to its end, in milliseconds.
    pub duration_ms: u64,
    /// What went wrong, in words, or `null`.
    pub error: Option<String>,
}

#[cfg(feature = "node")]
impl ExecutionResult {
    /// Writes it with nothing in place of what was printed, which may be megabytes.
    pub(crate) fn without_output<T>(&self, write: impl FnOnce(&Self) -> T) -> T {
        OUTPUT_IS_APART.set(true);
        let written = write(self);
        OUTPUT_IS_APART.set(false);
        written
    }
}

thread_local! {
    /// Whether what was printed goes another way than the rest of a result.
    static OUTPUT_IS_APART: Cell<bool> = const { Cell::new(false) };
}

fn unless_apart<S: Serializer>(output: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if OUTPUT_IS_APART.get() { "" } else { output })
}

fn none_if_apart<T: Serialize, S: Serializer>(
    output: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    if OUTPUT_IS_APART.get() {
        return serializer.serialize_none();
    }
    output.serialize(serializer)
}

/// Which executions are listed. All that is said must hold. Default: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ExecutionFilter {
    /// Where they stand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ExecutionStatus>,
    /// The `source` of their metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Tags of their metadata; others do not matter.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub tag: BTreeMap<String, String>,
    /// How many at most: the newest.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

impl ExecutionFilter {
    /// Whether something with that status and metadata is meant.
    pub(crate) fn matches(&self, status: ExecutionStatus, metadata: &ExecutionMetadata) -> bool {
        let has_tag = |(name, value)| metadata.tags.get(name) == Some(value);
        self.status.is_none_or(|wanted| wanted == status)
            && (self.source.is_none() || self.source == metadata.source)
            && self.tag.iter().all(has_tag)
    }
}

/// One line about an execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecutionSummary {
    /// The id of the execution.
    pub id: Uuid,
    /// Where it stands.
    pub status: ExecutionStatus,
    /// The command, shell-quoted, for display.
    pub command: String,
    /// When the process was started, in UTC, or `null` if it was not yet, or never.
    pub started_at: Option<DateTime<Utc>>,
    /// How long it took, in milliseconds, or `null` if it has not finished.
    pub duration_ms: Option<u64>,
    /// What the request said about itself.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-typescript" = "Result['metadata']"))
    )]
    pub metadata: ExecutionMetadata,
    /// The plan that it is a step of, or `null`.
    pub plan_id: Option<Uuid>,
    /// Which step of that: its name, or its index in a plan whose steps have no names. `null` if it is none.
    pub step: Option<StepKey>,
}

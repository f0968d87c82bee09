//! How an engine behaves: its limits, its defaults, and the checks on them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::api::error::ValidationError;
use crate::api::path::path_as_text;
use crate::process::files::user_suffix;

/// The largest duration a field may name, in milliseconds: 2^53 - 1, what a JavaScript number holds exactly.
pub(crate) const MAX_MILLIS: u64 = (1 << 53) - 1;

/// How many bytes a character takes at most: a line is never cut inside of one.
const LONGEST_CHARACTER: usize = 4;

/// What happens to the output of one stream beyond [`ExecutionConfig::max_output_size_bytes`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OversizedOutputStrategy {
    /// The first bytes are kept, and one line of warning says how much was printed. The command runs on.
    #[default]
    TruncateWithWarning,
    /// The command is ended. Its status is `failed`, its error code `OUTPUT_SIZE_EXCEEDED`.
    FailExecution,
    /// The first bytes are kept, and the rest is written to a file.
    StreamToFile,
}

/// How an [`ExecutionEngine`](crate::ExecutionEngine) behaves.
///
/// In JSON and in JavaScript every field is optional; unknown ones are refused, as is a number that is not a positive
/// integer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default = "ExecutionConfig::without_log_dir", deny_unknown_fields)]
pub struct ExecutionConfig {
    /// The deadline of a request that names none, in milliseconds. Default: 300 000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub default_timeout_ms: u64,
    /// The longest deadline that a request may ask for, in milliseconds. Default: 3 600 000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_timeout_ms: u64,
    /// How many executions may run at once. Default: 100.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_concurrent_executions: usize,
    /// How many executions may wait for a slot, with the status `pending`. Default: 0: at the limit a request is refused
    /// with `CONCURRENCY_LIMIT_REACHED`.
    pub max_queued_executions: usize,
    /// How many executions of a group may run at once, by the name of the group, which is that of
    /// [`ExecutionRequest::group`](crate::ExecutionRequest::group). Default: `{}`, no groups.
    #[cfg_attr(
        feature = "schema",
        schemars(with = "BTreeMap<String, std::num::NonZeroUsize>")
    )]
    pub groups: BTreeMap<String, usize>,
    /// How many finished executions are remembered, at any time. A plan and its steps are remembered and forgotten
    /// together; the one that ended last is remembered however many steps it has. Default: 1000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_in_memory_executions: usize,
    /// How long a finished execution is remembered, in seconds. Default: 3600.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub execution_retention_secs: u64,
    /// Whether finished executions past their retention are dropped in the background, every 60 s. Default: `true`.
    pub enable_auto_cleanup: bool,
    /// Whether lines are delivered while a command runs. Default: `true`. With `false` what was printed is only in the
    /// result; the events of the start and the end come all the same.
    pub stream_output: bool,
    /// How much of each stream is kept in memory for the result, in bytes. Default: 10 485 760. In JavaScript at most what
    /// fits into a string, some 500 million: [`ExecutionEngine::config`](crate::ExecutionEngine::config) tells what is in
    /// force.
    #[cfg_attr(feature = "schema", schemars(range(min = 1), extend("x-in-memory" = true)))]
    pub max_output_size_bytes: usize,
    /// What happens to output beyond [`ExecutionConfig::max_output_size_bytes`]. Default: `truncate_with_warning`.
    pub oversized_output_strategy: OversizedOutputStrategy,
    /// The longest line that is delivered in one piece, in bytes, at least 4. Default: 1 048 576. In JavaScript at most what fits into
    /// a string, as for [`ExecutionConfig::max_output_size_bytes`].
    #[cfg_attr(feature = "schema", schemars(range(min = 4), extend("x-in-memory" = true)))]
    pub max_line_size_bytes: usize,
    /// Whether output is logged, one file per execution that prints anything. Default: `true`.
    pub log_output: bool,
    /// The directory of log and overflow files; the one above it must be there. Default:
    /// `cloudops-executions-<uid>` in the temporary directory of the system, with the number of the user; on Windows, where
    /// that directory is the user's own, `cloudops-executions`.
    #[serde(default = "default_log_dir", serialize_with = "path_as_text")]
    pub log_dir: PathBuf,
    /// The largest size of one log or overflow file, in bytes. Default: 104 857 600. What comes after is not written, and
    /// the result says so.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_log_size_bytes: u64,
    /// How long the log and the overflow files of a finished execution are kept, in seconds. Default: 604 800.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub log_retention_secs: u64,
    /// How much all log and overflow files in the directory may hold, in bytes. Default: 1 073 741 824. What does not fit is
    /// deleted, those of the execution that finished first before others; what is still written never is, whichever host
    /// writes it.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub max_total_log_bytes: u64,
    /// Names of variables whose values, of eight bytes and more, are secrets of every command that has them; `*` stands
    /// for any characters, as in `*_TOKEN`. Default: `AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN`. What would name every
    /// variable is refused.
    pub secret_env_patterns: Vec<String>,
    /// The time between asking a process to end and ending it, in milliseconds. Default: 5 000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub termination_grace_ms: u64,
    /// How long output may be silent, after the command itself has ended, before it is read no longer, in milliseconds.
    /// Default: 250.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub drain_idle_ms: u64,
    /// How long output is read at most after the command itself has ended, in milliseconds. Default: 2 000.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub drain_max_ms: u64,
    /// Whether nothing may outlive the host process. Default: `true`.
    pub orphan_protection: bool,
}

/// Reads the variables of this process: in a host whose other threads change them, the directory has to be given.
fn default_log_dir() -> PathBuf {
    // One for each user: nobody else can read it, or write to it.
    std::env::temp_dir().join(format!("cloudops-executions{}", user_suffix()))
}

impl Default for ExecutionConfig {
    fn default() -> Self {
        Self {
            log_dir: default_log_dir(),
            ..Self::without_log_dir()
        }
    }
}

impl ExecutionConfig {
    /// The defaults that do not depend on the host.
    fn without_log_dir() -> Self {
        Self {
            default_timeout_ms: 300_000,
            max_timeout_ms: 3_600_000,
            max_concurrent_executions: 100,
            max_queued_executions: 0,
            groups: BTreeMap::new(),
            max_in_memory_executions: 1000,
            execution_retention_secs: 3600,
            enable_auto_cleanup: true,
            stream_output: true,
            max_output_size_bytes: 10 * 1024 * 1024,
            oversized_output_strategy: OversizedOutputStrategy::default(),
            max_line_size_bytes: 1024 * 1024,
            log_output: true,
            log_dir: PathBuf::new(),
            secret_env_patterns: vec!["AWS_SECRET_ACCESS_KEY".into(), "AWS_SESSION_TOKEN".into()],
            max_log_size_bytes: 100 * 1024 * 1024,
            log_retention_secs: 7 * 24 * 60 * 60,
            max_total_log_bytes: 1024 * 1024 * 1024,
            termination_grace_ms: 5_000,
            drain_idle_ms: 250,
            drain_max_ms: 2_000,
            orphan_protection: true,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of range: a zero where a positive number is due, a line of less than 4 bytes, a
    /// duration above 2^53 - 1 ms, a default deadline above the longest one, an empty log directory.
    pub fn validate(&self) -> Result<(), ValidationError> {
        let durations = [
            ("default_timeout_ms", self.default_timeout_ms),
            ("max_timeout_ms", self.max_timeout_ms),
            ("execution_retention_secs", self.execution_retention_secs),
            ("termination_grace_ms", self.termination_grace_ms),
            ("drain_idle_ms", self.drain_idle_ms),
            ("drain_max_ms", self.drain_max_ms),
            ("max_log_size_bytes", self.max_log_size_bytes),
            ("log_retention_secs", self.log_retention_secs),
            ("max_total_log_bytes", self.max_total_log_bytes),
        ];
        for (field, value) in durations {
            if value == 0 || value > MAX_MILLIS {
                let expected = format!("a positive integer up to {MAX_MILLIS}");
                return Err(ValidationError::new(field, expected, value.to_string()));
            }
        }
        let counts = [
            ("max_concurrent_executions", self.max_concurrent_executions),
            ("max_in_memory_executions", self.max_in_memory_executions),
            ("max_output_size_bytes", self.max_output_size_bytes),
        ];
        for (field, value) in counts {
            if value == 0 {
                return Err(ValidationError::new(field, "a positive integer", "0"));
            }
        }
        for (name, limit) in &self.groups {
            if name.is_empty() {
                let expected = "names that are not empty";
                return Err(ValidationError::new("groups", expected, "an empty one"));
            }
            if *limit == 0 {
                let field = format!("groups.{name}");
                return Err(ValidationError::new(field, "a positive integer", "0"));
            }
        }
        if self.max_line_size_bytes < LONGEST_CHARACTER {
            let found = self.max_line_size_bytes.to_string();
            let expected = format!("an integer of at least {LONGEST_CHARACTER}");
            return Err(ValidationError::new("max_line_size_bytes", expected, found));
        }
        if self.default_timeout_ms > self.max_timeout_ms {
            return Err(ValidationError::new(
                "default_timeout_ms",
                format!("at most max_timeout_ms, which is {}", self.max_timeout_ms),
                self.default_timeout_ms.to_string(),
            ));
        }
        for (index, pattern) in self.secret_env_patterns.iter().enumerate() {
            if pattern.contains(['=', '\0']) || pattern.trim_matches('*').trim().is_empty() {
                return Err(ValidationError::new(
                    format!("secret_env_patterns[{index}]"),
                    "the name of a variable, or a part of one, in which \"*\" stands for any characters, such as \
                        \"*TOKEN\"",
                    match pattern.as_str() {
                        pattern
                            if pattern.contains('*') && pattern.trim_matches('*').is_empty() =>
                        {
                            format!(
                                "{pattern:?}, which would make the value of every variable a secret"
                            )
                        }
                        pattern => format!("{pattern:?}"),
                    },
                ));
            }
        }
        self.validate_log_dir()
    }

    fn validate_log_dir(&self) -> Result<(), ValidationError> {
        if self.log_dir.as_os_str().is_empty() {
            return Err(ValidationError::new("log_dir", "a path", "an empty string"));
        }
        if self.log_dir.as_os_str().as_encoded_bytes().contains(&0) {
            return Err(ValidationError::new(
                "log_dir",
                "a path without NUL bytes",
                "one with a NUL byte",
            ));
        }
        Ok(())
    }

    pub(crate) fn termination_grace(&self) -> Duration {
        Duration::from_millis(self.termination_grace_ms)
    }

    pub(crate) fn drain_idle(&self) -> Duration {
        Duration::from_millis(self.drain_idle_ms)
    }

    pub(crate) fn drain_max(&self) -> Duration {
        Duration::from_millis(self.drain_max_ms)
    }

    pub(crate) fn retention(&self) -> Duration {
        Duration::from_secs(self.execution_retention_secs)
    }
}

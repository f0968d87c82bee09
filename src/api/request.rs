//! What a user asks for: one command and the circumstances it runs in.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::command::Command;
use crate::api::config::ExecutionConfig;
use crate::api::inherit::{InheritEnv, User};
use crate::api::output::{SplitOn, StderrTarget, StdoutTarget};
use crate::api::retry::Retry;
use crate::api::stdin::Stdin;
use crate::masking::secret::{self, Secret};
use crate::masking::text;

/// What a request says about itself; the engine only passes it on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ExecutionMetadata {
    /// Where the request came from, such as `ui`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The conversation it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversation_id: Option<String>,
    /// Anything else; empty if there is nothing.
    pub tags: BTreeMap<String, String>,
}

/// What to run, and the circumstances it runs in.
///
/// A request is checked before anything is started. One that cannot be accepted is refused with an
/// [`ExecutionError`](crate::ExecutionError) of code `VALIDATION`, whose `field` is the path of the culprit, such as
/// `command.args[2]`. Unknown keys are refused too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExecutionRequest {
    /// A UUID. Default: a random one. One that the engine remembers is refused with `DUPLICATE_ID`.
    #[serde(default = "Uuid::new_v4")]
    pub id: Uuid,
    /// What to run.
    pub command: Command,
    /// Variables on top of the inherited environment; one without a value is not inherited. Default: none. Each child also
    /// gets `ESCHER_EXECUTION_ID`, the id of its execution.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(extend("x-secret" = true)))]
    pub env: HashMap<String, Option<String>>,
    /// Which variables of the host the child inherits, as they are when the request is made: all (`true`), none (`false`),
    /// those of a list of names, in which a `*` stands for any characters, or with `"login"` all, with
    /// the `PATH` of the user's login shell in place of that of the host, which is read once in the life of the host. On
    /// Windows there is no such shell, and all are inherited as they are. Default: `true`.
    #[serde(default)]
    pub inherit_env: InheritEnv,
    /// The directory that the command runs in. It must exist. Default: that of the host when the request is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<String>", extend("x-kind" = "path", "x-typescript" = "string | URL"))
    )]
    pub working_dir: Option<PathBuf>,
    /// The permissions that files which the command makes do not get, such as `0o077`. Default: those of the host. On
    /// Linux; elsewhere it is refused.
    #[cfg_attr(feature = "schema", schemars(range(max = 0o777), extend("x-kind" = "umask")))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub umask: Option<u32>,
    /// How much the command gives way to others, from -20 (least) to 19 (most). Less than the host has is for the
    /// privileged; where the system refuses it, the command fails with `SPAWN_FAILED`. Default: that of the host. On Linux;
    /// elsewhere it is refused.
    #[cfg_attr(feature = "schema", schemars(range(min = -20, max = 19)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nice: Option<i32>,
    /// The user that the command runs as, by name or number, with the groups of that user; `HOME`, `USER` and `LOGNAME` are
    /// those of the user, unless [`ExecutionRequest::env`] names them. A user that the system does not know is refused;
    /// where the host may not change the user, the command fails with `SPAWN_FAILED`. Default: that of the host. On Linux;
    /// elsewhere it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<User>,
    /// What the command reads. Default: the null device, so that a command which reads sees its end at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stdin: Option<Stdin>,
    /// The deadline, in milliseconds from the start of the process; time in the queue does not count. Default:
    /// [`ExecutionConfig::default_timeout_ms`]. More than [`ExecutionConfig::max_timeout_ms`] is refused.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// The time between asking a process to end and ending it, in milliseconds. Default:
    /// [`ExecutionConfig::termination_grace_ms`].
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_ms: Option<u64>,
    /// Whether its output is logged. Default: [`ExecutionConfig::log_output`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_output: Option<bool>,
    /// Where standard output goes. Default: `capture`. A relative path is relative to the directory that the command runs
    /// in; a link or a foreign file in the way is refused, and a file that cannot be opened fails the start. What goes into
    /// a file, or nowhere, is neither in the result nor in the log, and nobody is told of it.
    #[serde(default)]
    pub stdout: StdoutTarget,
    /// Where standard error goes, as [`ExecutionRequest::stdout`]. With `stdout` both streams share one pipe: `stderr` of
    /// the result is empty, and all there is to be told is standard output. Default: `capture`.
    #[serde(default)]
    pub stderr: StderrTarget,
    /// Whether [`ExecutionResult::bytes`](crate::ExecutionResult::bytes) holds the output as bytes, for what is no text.
    /// Default: `false`.
    #[serde(default)]
    pub keep_bytes: bool,
    /// What ends a line, for callbacks and events. Default: `lf`. The log is cut at `\n` alone.
    #[serde(default)]
    pub split_on: SplitOn,
    /// Whether programs are asked to print colors although they print into a pipe: `FORCE_COLOR` and `CLICOLOR_FORCE`
    /// are set, `TERM` where there is none that knows colors, and `NO_COLOR` is not inherited. What `env` says, wins.
    /// Default: `false`.
    #[serde(default)]
    pub color: bool,
    /// Whether escape sequences (colors, links, movements of the cursor) are left out of the result and the log. Lines,
    /// chunks and files of the request have them. Default: `false`.
    #[serde(default)]
    pub strip_ansi: bool,
    /// What asks the processes of the execution to end: at a deadline or a cancel, and what the command has left running.
    /// Whatever has not ended after the grace is killed. Default: `SIGTERM`. On Windows no process is asked, and
    /// everything else is refused.
    #[serde(default)]
    pub stop_signal: StopSignal,
    /// How long the command may print nothing, in milliseconds: then it is ended, its status is `timeout`, and its error
    /// code `IDLE`. Any byte on either stream counts; where both are ignored it is refused. Time in which the engine waits for a callback does not. Default:
    /// for ever.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle_timeout_ms: Option<u64>,
    /// The exit codes that mean success: the status is `completed` then. At least one, each from 0 to 255; on Windows, to
    /// 4 294 967 295. Default: 0 alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success_exit_codes: Option<Vec<u64>>,
    /// What is kept of each stream for the result, in bytes. Default: [`ExecutionConfig::max_output_size_bytes`].
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = 1), extend("x-in-memory" = true))
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_size_bytes: Option<usize>,
    /// The group it runs in, which is one of [`ExecutionConfig::groups`]: no more of a group run at once than that says.
    /// Within a group the one that came first runs first, and who waits for its group keeps nobody else waiting. That is
    /// no place in the queue, and allowed where the queue has none. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Of those that wait, the one with the highest priority runs first; of those with the same, the one that came first.
    /// It may be negative. Default: 0.
    #[serde(default)]
    pub priority: i64,
    /// Whether a command that did not succeed is tried again: under the same id, with one result. Each attempt has a deadline
    /// of its own and is given the input again. Output, exit and log of the result are those of the last one, callbacks and
    /// the log file have all of them. In between the slot is given back. Default: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// For how long the execution is wanted, in milliseconds from its acceptance, unless that is renewed in time: then it is
    /// ended, or never started, its status is `failed`, and its error code `LEASE_LOST`. The engine sees to that by itself,
    /// whatever becomes of whoever renews it. Default: for ever.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_ms: Option<u64>,
    /// A file to which the raw bytes of both streams are appended as they arrive; not those of a stream that goes nowhere, or
    /// into a file of its own. A relative path is relative to the directory of the host. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_log_path: Option<PathBuf>,
    /// Whether what the command leaves running is left alone. Default: `false`: it is ended with the command, and
    /// [`ExecutionResult::leftover_processes`](crate::ExecutionResult::leftover_processes) tells of it.
    #[serde(default)]
    pub keep_background: bool,
    /// Values that are never printed: in output, lines, events, logs, other files, the `command` and every message stands
    /// `***` in their place, also where they are encoded or quoted in a usual way. Each of 4 to 65 536 bytes. Default: none.
    #[serde(default, deserialize_with = "secret::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", extend("x-secret" = true)))]
    pub secrets: Vec<Secret>,
    /// The names of variables of the command whose values are secrets. One that the command does not have, or whose value is
    /// blank, is passed over. Default: none but those of
    /// [`ExecutionConfig::secret_env_patterns`](crate::ExecutionConfig::secret_env_patterns).
    #[serde(default)]
    pub secret_env: Vec<String>,
    /// What the request says about itself. The engine only passes it on, to
    /// [`ExecutionResult::metadata`](crate::ExecutionResult::metadata).
    #[serde(default)]
    pub metadata: ExecutionMetadata,
}

/// The command, without the secrets that the request names; what it may hold besides is left out.
impl fmt::Debug for ExecutionRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExecutionRequest")
            .field("id", &self.id)
            .field("command", &self.display_hiding(&[]))
            .finish_non_exhaustive()
    }
}

/// What asks a process to end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum StopSignal {
    /// Asks it to end, as service managers do.
    #[default]
    #[serde(rename = "SIGTERM")]
    Terminate,
    /// What Ctrl+C sends. Terraform and ansible put things in order at this one.
    #[serde(rename = "SIGINT")]
    Interrupt,
    /// That its terminal is gone.
    #[serde(rename = "SIGHUP")]
    HangUp,
    /// What Ctrl and a backslash send. What does not handle it may write a core file.
    #[serde(rename = "SIGQUIT")]
    Quit,
}

impl StopSignal {
    /// Its spelling in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Terminate => "SIGTERM",
            Self::Interrupt => "SIGINT",
            Self::HangUp => "SIGHUP",
            Self::Quit => "SIGQUIT",
        }
    }
}

impl ExecutionRequest {
    /// A request with a new id and every other field at its default.
    #[must_use]
    pub fn new(command: Command) -> Self {
        Self {
            id: Uuid::new_v4(),
            command,
            env: HashMap::new(),
            inherit_env: InheritEnv::All,
            working_dir: None,
            umask: None,
            nice: None,
            user: None,
            stdin: None,
            timeout_ms: None,
            termination_grace_ms: None,
            log_output: None,
            stdout: StdoutTarget::default(),
            stderr: StderrTarget::default(),
            keep_bytes: false,
            split_on: SplitOn::default(),
            color: false,
            strip_ansi: false,
            stop_signal: StopSignal::default(),
            idle_timeout_ms: None,
            success_exit_codes: None,
            max_output_size_bytes: None,
            group: None,
            priority: 0,
            retry: None,
            lease_ms: None,
            output_log_path: None,
            keep_background: false,
            secrets: Vec::new(),
            secret_env: Vec::new(),
            metadata: ExecutionMetadata::default(),
        }
    }

    /// The secrets that it holds itself.
    pub(super) fn own_secrets(&self) -> Vec<Secret> {
        let named = self.secret_env.iter().filter_map(|name| self.env.get(name));
        let named = named.flatten().map(|value| Secret::from(value.as_str()));
        named.chain(self.secrets.iter().cloned()).collect()
    }

    /// Its command without its secrets, and without others.
    pub(crate) fn display_hiding(&self, others: &[Secret]) -> String {
        let mut secrets = self.own_secrets();
        secrets.extend_from_slice(others);
        text::hide(&secrets, &self.command.display())
    }

    /// The configuration of its execution, where it asks for something else than that of the engine says.
    pub(crate) fn own_config(&self, engine: &ExecutionConfig) -> Option<ExecutionConfig> {
        let mut config = Cow::Borrowed(engine);
        if let Some(grace) = self.termination_grace_ms {
            config.to_mut().termination_grace_ms = grace;
        }
        if let Some(log_output) = self
            .log_output
            .filter(|wanted| *wanted != engine.log_output)
        {
            config.to_mut().log_output = log_output;
        }
        if let Some(size) = self.max_output_size_bytes {
            config.to_mut().max_output_size_bytes = size;
        }
        match config {
            Cow::Owned(own) => Some(own),
            Cow::Borrowed(_) => None,
        }
    }
}

//! What a user asks for: one command and the circumstances it runs in.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::api::config::ExecutionConfig;
use crate::api::error::ValidationError;
use crate::api::inherit::{InheritEnv, User};
use crate::api::output::{SplitOn, StderrTarget, StdoutTarget};
use crate::api::quote;
use crate::api::retry::Retry;
use crate::api::stdin::Stdin;
use crate::masking::secret::{self, Secret};
use crate::masking::text;

/// A command to run. The arguments of `exec`, `script` and `aws_cli` are passed as they are: no shell reads them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum Command {
    /// A program and its arguments, without a shell.
    Exec {
        /// A path, or a name that is looked up on the `PATH` of the child.
        #[cfg_attr(
            feature = "schema",
            schemars(extend("x-kind" = "path", "x-typescript" = "string | URL"))
        )]
        program: String,
        /// Default: none.
        #[serde(default)]
        args: Vec<String>,
    },
    /// A line for a shell.
    Shell {
        /// What the shell is to run.
        command: String,
        /// The shell. Default: `bash`, `sh` where there is no bash; `powershell` on Windows.
        #[cfg_attr(
            feature = "schema",
            schemars(with = "Option<String>", extend("x-kind" = "path", "x-typescript" = "string | URL"))
        )]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        shell: Option<String>,
    },
    /// A script file.
    Script {
        /// The file. A relative path is relative to [`ExecutionRequest::working_dir`].
        #[cfg_attr(
            feature = "schema",
            schemars(with = "String", extend("x-kind" = "path", "x-typescript" = "string | URL"))
        )]
        path: PathBuf,
        /// What runs it. Default: its `#!` line, else its extension, else a shell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        interpreter: Option<String>,
        /// Arguments for the script. Default: none.
        #[serde(default)]
        args: Vec<String>,
    },
    /// A call of the AWS command-line interface: `aws SERVICE OPERATION`.
    AwsCli {
        /// Such as `ec2`. Not empty, and not starting with `-`.
        service: String,
        /// Such as `describe-instances`. Not empty, and not starting with `-`.
        operation: String,
        /// Further arguments. Default: none.
        #[serde(default)]
        args: Vec<String>,
        /// Passed as `--profile`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        profile: Option<String>,
        /// Passed as `--region`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
    },
}

impl Command {
    /// A program and its arguments.
    pub fn exec<A: Into<String>>(
        program: impl Into<String>,
        args: impl IntoIterator<Item = A>,
    ) -> Self {
        Self::Exec {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
        }
    }

    /// A line for the default shell.
    pub fn shell(command: impl Into<String>) -> Self {
        Self::Shell {
            command: command.into(),
            shell: None,
        }
    }

    /// Checks what can be checked without looking at the file system.
    ///
    /// # Errors
    ///
    /// The first field that is empty where a text is due, holds a NUL byte, or, for an AWS service or
    /// operation, starts with `-`.
    pub fn validate(&self) -> Result<(), ValidationError> {
        match self {
            Self::Exec { program, args } => {
                check_text("command.program", program)?;
                check_args(args)
            }
            Self::Shell { command, shell } => {
                check_text("command.command", command)?;
                check_optional("command.shell", shell.as_deref())
            }
            Self::Script {
                path,
                interpreter,
                args,
            } => {
                check_text("command.path", &path.to_string_lossy())?;
                check_optional("command.interpreter", interpreter.as_deref())?;
                check_args(args)
            }
            Self::AwsCli {
                service,
                operation,
                args,
                profile,
                region,
            } => {
                check_aws_word("command.service", service)?;
                check_aws_word("command.operation", operation)?;
                check_optional("command.profile", profile.as_deref())?;
                check_optional("command.region", region.as_deref())?;
                check_args(args)
            }
        }
    }

    /// The command as one would type it, shell-quoted, without what a terminal would obey.
    pub(crate) fn display(&self) -> String {
        self.display_hiding(Cow::Borrowed)
    }

    /// The same without what `hide` takes out of each word, before it is quoted: quotes may come to stand within.
    pub(crate) fn display_hiding<'a>(&'a self, hide: impl Fn(&'a str) -> Cow<'a, str>) -> String {
        let words: Vec<&str> = match self {
            Self::Exec { program, args } => words([program.as_str()], args),
            Self::Shell { command, .. } => return quote::visible(&hide(command)),
            Self::Script {
                path,
                interpreter,
                args,
            } => {
                let path = path.to_str().unwrap_or_default();
                interpreter.as_deref().map_or_else(
                    || words([path], args),
                    |interpreter| words([interpreter, path], args),
                )
            }
            Self::AwsCli {
                service, operation, ..
            } => {
                let mut all = vec!["aws", service, operation];
                all.extend(self.aws_options());
                all
            }
        };
        let words: Vec<Cow<'_, str>> = words.into_iter().map(hide).collect();
        quote::quoted(words.iter().map(Cow::as_ref))
    }

    /// What follows service and operation on the AWS command line.
    pub(crate) fn aws_options(&self) -> Vec<&str> {
        let Self::AwsCli {
            args,
            profile,
            region,
            ..
        } = self
        else {
            return Vec::new();
        };
        let mut options = Vec::new();
        if let Some(profile) = profile {
            options.extend(["--profile", profile]);
        }
        if let Some(region) = region {
            options.extend(["--region", region]);
        }
        options.extend(args.iter().map(String::as_str));
        options
    }
}

fn words<'a, const N: usize>(first: [&'a str; N], args: &'a [String]) -> Vec<&'a str> {
    first
        .into_iter()
        .chain(args.iter().map(String::as_str))
        .collect()
}

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
    fn own_secrets(&self) -> Vec<Secret> {
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

    /// Checks what can be checked without looking at the file system.
    ///
    /// # Errors
    ///
    /// The first field that is not as it must be, with what was expected and what was found.
    pub fn validate(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        self.validate_openly(config)
            .map_err(|error| error.hiding(text::hiding(&self.own_secrets())))
    }

    /// The same; what is wrong may tell a secret.
    pub(crate) fn validate_openly(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        check_secrets(&self.secrets)?;
        self.validate_rest(config)
    }

    fn validate_rest(&self, config: &ExecutionConfig) -> Result<(), ValidationError> {
        for (index, name) in self.secret_env.iter().enumerate() {
            let field = format!("secret_env[{index}]");
            check_text(&field, name)?;
            if name.contains(['=', '*']) {
                let expected = "the name of a variable; patterns are those of the engine, \
                    secret_env_patterns";
                return Err(ValidationError::new(field, expected, format!("{name:?}")));
            }
        }
        self.command.validate()?;
        for (name, value) in &self.env {
            check_variable(name, value.as_deref().unwrap_or_default())?;
        }
        self.inherit_env.validate()?;
        self.check_process()?;
        if let Some(dir) = &self.working_dir {
            check_text("working_dir", &dir.to_string_lossy())?;
        }
        if let Some(path) = &self.output_log_path {
            check_text("output_log_path", &path.to_string_lossy())?;
        }
        self.check_targets()?;
        if let Some(own) = self.own_config(config) {
            own.validate()?;
        }
        let durations = [
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("lease_ms", self.lease_ms),
        ];
        if let Some((field, _)) = durations.iter().find(|(_, ms)| *ms == Some(0)) {
            return Err(ValidationError::new(*field, "a positive integer", "0"));
        }
        if self.success_exit_codes.as_ref().is_some_and(Vec::is_empty) {
            let expected = "a list with at least one exit code";
            let found = "an empty one";
            return Err(ValidationError::new("success_exit_codes", expected, found));
        }
        if let Some(retry) = &self.retry {
            retry.validate()?;
            self.check_input_of_retry()?;
        }
        self.check_idle_timeout()?;
        self.check_group(&config.groups)?;
        match self.timeout_ms {
            Some(timeout) if timeout == 0 || timeout > config.max_timeout_ms => {
                let expected = format!(
                    "a positive integer up to max_timeout_ms, {}",
                    config.max_timeout_ms
                );
                Err(ValidationError::new(
                    "timeout_ms",
                    expected,
                    timeout.to_string(),
                ))
            }
            _ => Ok(()),
        }
    }

    fn check_idle_timeout(&self) -> Result<(), ValidationError> {
        let is_ignored = self.stdout == StdoutTarget::Ignore
            && matches!(self.stderr, StderrTarget::Ignore | StderrTarget::Stdout);
        match self.idle_timeout_ms {
            Some(idle) if is_ignored => {
                let expected = "none, as nobody can tell whether output that is ignored is silent";
                let found = idle.to_string();
                Err(ValidationError::new("idle_timeout_ms", expected, found))
            }
            _ => Ok(()),
        }
    }

    fn check_group(&self, groups: &BTreeMap<String, usize>) -> Result<(), ValidationError> {
        let Some(name) = self.group.as_deref() else {
            return Ok(());
        };
        if groups.contains_key(name) {
            return Ok(());
        }
        let expected = if groups.is_empty() {
            "none, as the configuration has no groups".to_owned()
        } else {
            let nearest = nearest(groups, name);
            format!("a group of the configuration, such as {nearest}")
        };
        let found = format!("{name:?}");
        Err(ValidationError::new("group", expected, found))
    }
}

/// The groups that are most like the one that is not known.
fn nearest(groups: &BTreeMap<String, usize>, name: &str) -> String {
    const MOST: usize = 3;
    let mut nearest: Vec<_> = groups.keys().collect();
    nearest.sort_by_cached_key(|group| strsim::levenshtein(group, name));
    let quoted = nearest.iter().take(MOST).map(|group| format!("{group:?}"));
    quoted.collect::<Vec<_>>().join(", ")
}

impl ExecutionRequest {
    /// What the process is to be, other than the host, and what it is given.
    fn check_process(&self) -> Result<(), ValidationError> {
        if let Some(umask) = self.umask.filter(|umask| *umask > 0o777) {
            let expected = "an integer from 0 to 511 (0o777), such as 0o077";
            return Err(ValidationError::new("umask", expected, umask.to_string()));
        }
        if let Some(nice) = self.nice.filter(|nice| !(-20..=19).contains(nice)) {
            let expected = "an integer from -20 to 19";
            return Err(ValidationError::new("nice", expected, nice.to_string()));
        }
        if let Some(Stdin::File(file)) = &self.stdin {
            check_text("stdin.file", &file.to_string_lossy())?;
        }
        self.user.as_ref().map_or(Ok(()), User::validate)
    }

    /// Each attempt is given the same.
    fn check_input_of_retry(&self) -> Result<(), ValidationError> {
        match &self.stdin {
            Some(stdin) if !stdin.can_be_read_twice() => Err(ValidationError::new(
                "stdin",
                "with retry, text, bytes or a file, which every attempt can read",
                "a stream, or an input that is left open, which the first attempt would use up",
            )),
            _ => Ok(()),
        }
    }

    /// Where its output goes.
    fn check_targets(&self) -> Result<(), ValidationError> {
        let [stdout, stderr] = [self.stdout.file(), self.stderr.file()];
        for (field, path) in [("stdout.file", stdout), ("stderr.file", stderr)] {
            if let Some(path) = path {
                check_text(field, &path.to_string_lossy())?;
            }
        }
        if stdout.is_some() && stdout == stderr {
            return Err(same_target());
        }
        Ok(())
    }
}

/// That both streams lead into one file.
pub(crate) fn same_target() -> ValidationError {
    ValidationError::new(
        "stderr.file",
        "another file than that of stdout, or \"stdout\" instead of a file",
        "the same",
    )
}

/// Checks what is to be masked.
pub(crate) fn check_secrets(secrets: &[Secret]) -> Result<(), ValidationError> {
    secrets.iter().enumerate().try_for_each(|(index, secret)| {
        let complaint = secret.complaint();
        complaint.map_or(Ok(()), |(expected, found)| {
            Err(ValidationError::new(
                format!("secrets[{index}]"),
                expected,
                found,
            ))
        })
    })
}

fn check_args(args: &[String]) -> Result<(), ValidationError> {
    args.iter()
        .enumerate()
        .try_for_each(|(i, arg)| check_nul(&format!("command.args[{i}]"), arg))
}

fn check_optional(field: &str, text: Option<&str>) -> Result<(), ValidationError> {
    text.map_or(Ok(()), |text| check_text(field, text))
}

fn check_text(field: &str, text: &str) -> Result<(), ValidationError> {
    if text.trim().is_empty() {
        let found = if text.is_empty() {
            "an empty string"
        } else {
            "only white space"
        };
        return Err(ValidationError::new(
            field,
            "a text that is not empty",
            found,
        ));
    }
    check_nul(field, text)
}

fn check_nul(field: &str, text: &str) -> Result<(), ValidationError> {
    match text.find('\0') {
        Some(at) => {
            let found = format!("one with a NUL byte at index {at}");
            Err(ValidationError::new(
                field,
                "a text without NUL bytes",
                found,
            ))
        }
        None => Ok(()),
    }
}

fn check_aws_word(field: &str, word: &str) -> Result<(), ValidationError> {
    check_text(field, word)?;
    if word.starts_with('-') {
        let found = format!("\"{word}\"");
        return Err(ValidationError::new(
            field,
            "a name that does not start with \"-\"",
            found,
        ));
    }
    Ok(())
}

fn check_variable(name: &str, value: &str) -> Result<(), ValidationError> {
    let field = format!("env.{}", name.replace('\0', "\\0"));
    if name.is_empty() || name.contains(['=', '\0']) {
        let expected = "a variable name that is not empty and holds neither \"=\" nor NUL bytes";
        return Err(ValidationError::new(field, expected, format!("{name:?}")));
    }
    check_nul(&field, value)
}

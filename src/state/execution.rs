//! An execution, as long as it is remembered: pending, running, then one terminal status, once.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::cancellation::{Cause, Reason, Stop};
use super::completion::Completion;
use super::input::Input;
use super::lease::Lease;
use super::secrets::{SecretSet, SecretSets, Secrets};
use crate::api::error::{ExecutionError, Result};
use crate::api::output::OutputOrder;
use crate::api::request::ExecutionMetadata;
use crate::api::result::{ExecutionResult, ExecutionStatus, ExecutionSummary};
use crate::masking::secret::Secret;

/// What the registry knows of an execution.
#[derive(Debug)]
pub(crate) struct Execution {
    id: Uuid,
    command: CommandText,
    pub secrets: Secrets,
    /// When `execute` was called.
    pub accepted: Instant,
    pub started_at: OnceLock<DateTime<Utc>>,
    pub outcome: Completion<ExecutionResult>,
    /// Set once there is a log of its own, and not one of an earlier execution with its id.
    pub log_opened: Completion<()>,
    pub stop: Arc<Stop>,
    pub input: Input,
    pub lease: Option<Lease>,
    /// Its place in a plan.
    step: Option<Step>,
}

/// What is shown of an execution: its command, and what must not be.
pub(crate) struct Displayed {
    command: CommandText,
    secrets: Secrets,
}

/// A command for display.
#[derive(Debug)]
enum CommandText {
    Plain(String),
    /// Without the secrets that were known when it was entered. To find these takes time, and is not done by whoever
    /// enters it.
    Later(LazyLock<String, Box<dyn FnOnce() -> String + Send + Sync>>),
}

impl From<String> for Displayed {
    fn from(command: String) -> Self {
        Self {
            command: CommandText::Plain(command),
            secrets: Secrets::default(),
        }
    }
}

impl Displayed {
    /// With secrets; `command` makes the text without them.
    pub fn later(
        secrets: Arc<SecretSet>,
        command: impl FnOnce() -> String + Send + Sync + 'static,
    ) -> Self {
        Self {
            command: CommandText::Later(LazyLock::new(Box::new(command))),
            secrets: Some(secrets).into(),
        }
    }
}

/// A step of a plan, which tells the plan what becomes of it.
#[derive(Debug)]
pub(crate) struct Step {
    pub index: usize,
    pub reporter: UnboundedSender<StepNews>,
}

/// What a step tells its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepNews {
    /// It was cancelled under its own id, or its lease has ended.
    Stopped(usize),
    /// It has ended, and its end was told.
    Ended(usize),
}

impl Step {
    fn report(&self, news: fn(usize) -> StepNews) {
        // A plan that is gone has settled its steps.
        let _ = self.reporter.send(news(self.index));
    }
}

impl Execution {
    /// Its lease, if it has one, counts from here on.
    pub fn new(
        id: Uuid,
        displayed: impl Into<Displayed>,
        stop: Arc<Stop>,
        place: Option<Step>,
        lease_ms: Option<u64>,
    ) -> Arc<Self> {
        let Displayed { command, secrets } = displayed.into();
        Arc::new(Self {
            id,
            command,
            secrets,
            accepted: Instant::now(),
            started_at: OnceLock::new(),
            outcome: Completion::default(),
            log_opened: Completion::default(),
            stop,
            input: Input::default(),
            lease: lease_ms.map(Lease::new),
            step: place,
        })
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// The command for display.
    pub fn command(&self) -> String {
        let (text, known) = match &self.command {
            CommandText::Plain(text) => (text, 0),
            CommandText::Later(text) => (&**text, 1),
        };
        if self.secrets.changes() == known {
            return text.clone();
        }
        self.secrets.hide(text.clone())
    }

    /// Hides something more of what is shown from now on.
    pub fn add_secret(&self, secret: &Secret, sets: &SecretSets) -> Result<()> {
        if self.outcome.get().is_some() {
            return Err(ExecutionError::AlreadyFinished(self.id));
        }
        Ok(self.secrets.add(secret, sets)?)
    }

    pub fn is_step(&self) -> bool {
        self.step.is_some()
    }

    pub fn status(&self) -> ExecutionStatus {
        match (self.outcome.get(), self.started_at.get()) {
            (Some(result), _) => result.status,
            (None, Some(_)) => ExecutionStatus::Running,
            (None, None) => ExecutionStatus::Pending,
        }
    }

    pub fn result(&self) -> Result<Arc<ExecutionResult>> {
        let result = self.outcome.get().cloned();
        result.ok_or(ExecutionError::NotFinished(self.id))
    }

    pub fn summary(&self) -> ExecutionSummary {
        let result = self.outcome.get();
        ExecutionSummary {
            id: self.id,
            status: self.status(),
            // Once it has ended, its secrets are forgotten.
            command: result.map_or_else(|| self.command(), |result| result.command.clone()),
            started_at: self.started_at.get().copied(),
            duration_ms: result.map(|result| result.duration_ms),
        }
    }

    /// Asks it to stop, or asks again; also while it waits for its turn in a plan.
    pub fn cancel(&self, reason: Reason) {
        self.stop.ask_again(Cause::Cancel(reason));
        if let Some(step) = &self.step {
            step.report(StepNews::Stopped);
        }
    }

    /// Ends it when its lease does. Resolves with that, or when it has ended otherwise.
    pub async fn keep_to_lease(self: Arc<Self>) {
        let Some(lease) = &self.lease else { return };
        tokio::select! {
            () = lease.ended() => {}
            _ = self.outcome.wait() => return,
        }
        self.stop.ask(Cause::Lease);
        if let Some(step) = &self.step {
            step.report(StepNews::Stopped);
        }
    }

    pub fn set_running(&self, started_at: DateTime<Utc>) {
        let _ = self.started_at.set(started_at);
    }

    /// Wakes who waits for it.
    pub fn announce(&self) {
        self.outcome.announce();
        if let Some(step) = &self.step {
            step.report(StepNews::Ended);
        }
    }
}

/// The result of an execution that failed before anything was started.
pub(crate) fn empty_result(execution: &Execution, metadata: ExecutionMetadata) -> ExecutionResult {
    ExecutionResult {
        id: execution.id,
        status: ExecutionStatus::Failed,
        success: false,
        exit_code: None,
        signal: None,
        stdout: String::new(),
        stderr: String::new(),
        bytes: None,
        output_order: OutputOrder::default(),
        stdout_bytes: 0,
        stderr_bytes: 0,
        truncated: false,
        stdout_overflow_file: None,
        stderr_overflow_file: None,
        command: execution.command(),
        pid: None,
        started_at: None,
        completed_at: Utc::now(),
        duration_ms: 0,
        queued_ms: millis(execution.accepted.elapsed()),
        forced: false,
        leftover_processes: false,
        survivors: Vec::new(),
        usage: None,
        log_path: None,
        error: None,
        error_code: None,
        cancel_reason: None,
        attempts: Vec::new(),
        metadata,
    }
}

/// The result of an execution; of one that has none yet, that it ended with the runtime.
pub(crate) fn ended_with_runtime(execution: &Execution) -> Arc<ExecutionResult> {
    execution.outcome.get_or_set(|| {
        let error =
            "the runtime of the engine ended before the execution; its processes were killed";
        let result = cancelled(execution, error);
        Arc::new(ExecutionResult {
            cancel_reason: Some("the runtime of the engine ended".to_owned()),
            ..result
        })
    })
}

/// Settles an execution that was refused after it had been entered, for those who wait for it already.
pub(crate) fn refuse(execution: &Execution) {
    let result = cancelled(execution, "refused before it was started");
    execution.outcome.set(Arc::new(result));
    execution.outcome.announce();
}

fn cancelled(execution: &Execution, error: &str) -> ExecutionResult {
    ExecutionResult {
        status: ExecutionStatus::Cancelled,
        error: Some(error.to_owned()),
        ..empty_result(execution, ExecutionMetadata::default())
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! An execution, as long as it is remembered: pending, running, then one terminal status, once.

use std::sync::{Arc, LazyLock, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::runtime::Handle;
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use super::cancellation::{Cause, Reason, Stop};
use super::completion::Completion;
use super::input::Input;
use super::lease::Lease;
use super::listeners::Listeners;
use super::secrets::{SecretSet, SecretSets, Secrets};
use crate::api::error::{ExecutionError, Result, ValidationError};
use crate::api::event::Origin;
use crate::api::output::OutputOrder;
use crate::api::request::ExecutionMetadata;
use crate::api::result::{ExecutionResult, ExecutionStatus, ExecutionSummary};
use crate::api::step_key::StepKey;
use crate::masking::secret::Secret;

/// What the registry knows of an execution.
#[derive(Debug)]
pub(crate) struct Execution {
    id: Uuid,
    about: About,
    /// What is known of a step once its request was made.
    made: OnceLock<Box<About>>,
    pub secrets: Secrets,
    /// When `execute` was called.
    pub accepted: Instant,
    pub started_at: OnceLock<DateTime<Utc>>,
    pub outcome: Completion<ExecutionResult>,
    /// Set once there is a log of its own, and not one of an earlier execution with its id.
    pub log_opened: Completion<()>,
    pub stop: Arc<Stop>,
    pub listeners: Listeners,
    pub input: Input,
    pub lease: OnceLock<Lease>,
    /// Its place in a plan.
    step: Option<Step>,
}

/// What is told of an execution, whatever becomes of it.
#[derive(Debug)]
struct About {
    command: CommandText,
    origin: Arc<Origin>,
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

impl CommandText {
    fn as_str(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Later(text) => text,
        }
    }
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
    /// Of a step whose request is not made yet: no command, but secrets.
    pub fn not_yet(secrets: Option<Arc<SecretSet>>) -> Self {
        Self {
            command: CommandText::Plain(String::new()),
            secrets: secrets.into(),
        }
    }

    /// The command without its secrets.
    pub fn text(&self) -> String {
        self.command.as_str().to_owned()
    }

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
    pub plan: Uuid,
    pub key: StepKey,
    /// Whether others take its failure for a success.
    pub may_fail: bool,
    pub reporter: UnboundedSender<StepNews>,
}

/// What a step tells its plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepNews {
    /// It was cancelled under its own id, or its lease has ended.
    Stopped(usize),
    /// It gives its slot back, and its end comes next, or `WaitsAgain`.
    GivesSlotBack(usize),
    /// It waits for another attempt.
    WaitsAgain(usize),
    /// It has ended, and its end was told.
    Ended(usize),
}

impl Step {
    fn report(&self, news: fn(usize) -> StepNews) {
        // A plan that is gone has settled its steps.
        let _ = self.reporter.send(news(self.index));
    }
}

impl About {
    fn of(command: CommandText, metadata: &ExecutionMetadata, step: Option<&Step>) -> Self {
        Self {
            command,
            origin: Arc::new(Origin {
                metadata: metadata.clone(),
                plan_id: step.map(|step| step.plan),
                step: step.map(|step| step.key.clone()),
            }),
        }
    }
}

impl Execution {
    /// Its lease, if it has one, counts from here on.
    pub fn new(
        id: Uuid,
        displayed: impl Into<Displayed>,
        metadata: &ExecutionMetadata,
        stop: Arc<Stop>,
        place: Option<Step>,
        lease_ms: Option<u64>,
    ) -> Arc<Self> {
        let Displayed { command, secrets } = displayed.into();
        Arc::new(Self {
            id,
            about: About::of(command, metadata, place.as_ref()),
            made: OnceLock::new(),
            secrets,
            accepted: Instant::now(),
            started_at: OnceLock::new(),
            outcome: Completion::default(),
            listeners: Listeners::default(),
            log_opened: Completion::default(),
            stop,
            input: Input::default(),
            lease: lease_ms.map_or_else(OnceLock::new, |ms| Lease::new(ms).into()),
            step: place,
        })
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    /// Notes what a step runs whose request was made, and its secrets besides those that it had before.
    ///
    /// # Errors
    ///
    /// More secrets than can be looked for at once.
    pub fn set_request(
        &self,
        displayed: Displayed,
        metadata: &ExecutionMetadata,
        lease_ms: Option<u64>,
        sets: &SecretSets,
    ) -> std::result::Result<(), ValidationError> {
        let Displayed { command, secrets } = displayed;
        if let Some(set) = secrets.set() {
            self.secrets.extend(&set, sets)?;
        }
        let about = About::of(command, metadata, self.step.as_ref());
        let _ = self.made.set(Box::new(about));
        if let Some(lease_ms) = lease_ms {
            let _ = self.lease.set(Lease::new(lease_ms));
        }
        Ok(())
    }

    fn about(&self) -> &About {
        self.made.get().map_or(&self.about, Box::as_ref)
    }

    pub fn origin(&self) -> &Arc<Origin> {
        &self.about().origin
    }

    /// The command for display.
    pub fn command(&self) -> String {
        let command = &self.about().command;
        let known = u32::from(matches!(command, CommandText::Later(_)));
        let text = command.as_str().to_owned();
        if self.secrets.changes() == known {
            return text;
        }
        self.secrets.hide(text)
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

    /// The path of a step in its plan, as a message names it.
    pub fn path(&self) -> String {
        self.step
            .as_ref()
            .map_or_else(String::new, |step| step.key.path())
    }

    pub fn may_fail(&self) -> bool {
        self.step.as_ref().is_some_and(|step| step.may_fail)
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
            metadata: self.origin().metadata.clone(),
            plan_id: self.origin().plan_id,
            step: self.origin().step.clone(),
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
        let Some(lease) = self.lease.get() else {
            return;
        };
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

    /// Says, before its slot is given back, that it will be.
    pub fn gives_slot_back(&self) {
        if let Some(step) = &self.step {
            step.report(StepNews::GivesSlotBack);
        }
    }

    pub fn waits_again(&self) {
        if let Some(step) = &self.step {
            step.report(StepNews::WaitsAgain);
        }
    }

    /// Wakes who waits for it.
    pub fn announce(&self) {
        self.outcome.announce();
        if let Some(step) = &self.step {
            step.report(StepNews::Ended);
        }
    }
}

/// Lets threads of the engine end it when its lease does.
pub(crate) fn keep_to_lease(execution: &Arc<Execution>, runtime: &Handle) {
    if execution.lease.get().is_some() {
        runtime.spawn(Arc::clone(execution).keep_to_lease());
    }
}

/// The result of an execution that failed before anything was started.
pub(crate) fn empty_result(execution: &Execution) -> ExecutionResult {
    let Origin {
        metadata,
        plan_id,
        step,
    } = Origin::clone(execution.origin());
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
        plan_id,
        step,
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
        ..empty_result(execution)
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

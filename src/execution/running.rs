//! One execution from `execute` to its result: wait for a slot, start, be supervised, settle.

use std::convert::Infallible;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::handlers::Handlers;
use super::input::Feed;
use super::output::log::{AppendFile, Files, Log};
use super::output::log_files::Kind;
use super::output::reader::{OutputOptions, Progress, Reader};
pub(crate) use super::supervise::deadline_after;
use super::supervise::{Deadline, Supervisor};
use crate::api::config::{ExecutionConfig, OversizedOutputStrategy};
use crate::api::event::{Ended, ExecutionEvent};
use crate::api::request::ExecutionRequest;
use crate::api::result::{ExecutionResult, ExecutionStatus};
use crate::process::scarcity::{self, Lack};
use crate::process::{self, Invocation, SpawnError, Spawned, pool};
use crate::state::cancellation::Cause;
use crate::state::execution::{Execution, empty_result, ended_with_runtime, millis};
use crate::state::registry::{Registry, Unit};
use crate::state::slots::{MaybeSlot, Slot};

/// How long a try to start may take before it is taken for one that hangs with its file system.
const HANGING: Duration = Duration::from_secs(1);

/// What an execution needs for its life.
pub(crate) struct Running {
    pub execution: Arc<Execution>,
    pub registry: Arc<Registry>,
    pub config: Arc<ExecutionConfig>,
    pub handlers: Handlers,
    pub timeout_ms: u64,
    pub plan_deadline: Option<PlanDeadline>,
    pub feed: Feed,
    pub files: Files,
    pub output: OutputOptions,
    /// Whether the result has the output as bytes.
    pub keep_bytes: bool,
    pub keep_background: bool,
    /// Tells that it waits for a slot, which comes before its start.
    pub pending: Option<Telling>,
}

/// An event on its way to handlers that may take their time.
pub(crate) type Telling = JoinHandle<()>;

/// When the plan of a step is to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanDeadline {
    pub at: Instant,
    /// What the plan asked for.
    pub timeout_ms: u64,
}

/// How far the thread that resolved the request has come.
pub(crate) enum Begun {
    /// What was made for it is not acceptable.
    Invalid(String),
    /// The program cannot be started.
    Unstartable(String),
    /// There was no slot yet.
    Waiting(Box<Invocation>, MaybeSlot),
    /// The start was tried.
    Tried(Box<Invocation>, Slot, Result<Spawned, SpawnError>),
}

impl Running {
    pub fn new(
        execution: Arc<Execution>,
        registry: Arc<Registry>,
        config: Arc<ExecutionConfig>,
        handlers: Handlers,
        request: &mut ExecutionRequest,
    ) -> Self {
        let config = request.own_config(&config).map_or(config, Arc::new);
        let id = request.id;
        let overflow = |kind: Kind| {
            (config.oversized_output_strategy == OversizedOutputStrategy::StreamToFile)
                .then(|| AppendFile::own(kind.path(&config.log_dir, id), &config))
        };
        let log_path = Kind::Log.path(&config.log_dir, id);
        let files = Files {
            log: config
                .log_output
                .then(|| Log::new(log_path, &config, &execution)),
            raw: request.output_log_path.take().map(AppendFile::new),
            overflow: [Kind::StdoutOverflow, Kind::StderrOverflow].map(overflow),
            own: [None, None],
        };
        Self {
            timeout_ms: request.timeout_ms.unwrap_or(config.default_timeout_ms),
            plan_deadline: None,
            feed: Feed::of(request.stdin.take(), &execution),
            output: OutputOptions {
                split_on: request.split_on,
                strip_ansi: request.strip_ansi,
            },
            keep_bytes: request.keep_bytes,
            keep_background: request.keep_background,
            pending: None,
            execution,
            registry,
            config,
            handlers,
            files,
        }
    }

    /// Lives it. Whatever happens, the execution is settled in the end: also when its runtime ends first, even
    /// before this future was polled, or when something panics.
    pub fn live(self, begun: Begun) -> impl Future<Output = ()> + Send {
        let settling = Settling {
            execution: Arc::clone(&self.execution),
            registry: Arc::clone(&self.registry),
        };
        async move {
            let (config, handlers) = (Arc::clone(&self.config), self.handlers.clone());
            let lived = unless_it_panics(Box::pin(self.run(begun))).await;
            let (result, slot) = lived.unwrap_or_else(|| (panicked(&settling.execution), None));
            drop(slot);
            settling
                .conclude(result, handlers, config.drain_max())
                .await;
        }
    }

    async fn run(mut self, begun: Begun) -> (ExecutionResult, Option<Slot>) {
        let (invocation, slot, tried) = match begun {
            Begun::Invalid(error) => return (self.invalid(error), None),
            Begun::Unstartable(error) => return (self.not_started(error), None),
            Begun::Tried(invocation, slot, tried) => (invocation, slot, Some(tried)),
            Begun::Waiting(invocation, mut maybe_slot) => {
                if matches!(maybe_slot, MaybeSlot::Waiting(_)) {
                    self.pending = tell_pending(&self.execution, &self.handlers);
                }
                let slot = tokio::select! {
                    biased;
                    cause = self.execution.stop.asked() => Err(cause),
                    slot = maybe_slot.slot() => slot.ok_or(Cause::Cancel),
                };
                let slot = match slot {
                    Ok(slot) => slot,
                    Err(cause) => {
                        self.has_told_pending().await;
                        return (self.stopped_before_start(cause), None);
                    }
                };
                (invocation, slot, None)
            }
        };
        let attempt = self.start(Arc::new(*invocation), tried).await;
        if !matches!(attempt, Attempt::Started(_)) {
            self.has_told_pending().await;
        }
        let result = match attempt {
            Attempt::Started(spawned) => self.supervise(spawned).await,
            Attempt::Stopped(cause) => self.stopped_before_start(cause),
            Attempt::Failed(error) => self.not_started(error),
        };
        (result, Some(slot))
    }

    /// Resolves once it was told that it waits, which comes before its end; a handler that hangs is not waited for.
    async fn has_told_pending(&mut self) {
        if let Some(told) = self.pending.take() {
            drop(timeout(self.config.drain_max(), told).await);
        }
    }

    /// Starts the process; while that fails for lack of something that others hold, waits for it to be given back.
    async fn start(
        &self,
        invocation: Arc<Invocation>,
        mut tried: Option<Result<Spawned, SpawnError>>,
    ) -> Attempt {
        let mut lack = None;
        loop {
            let end_of_another = scarcity::next_end();
            let outcome = if tried.is_some() {
                tried.take()
            } else if let Some(cause) = self.execution.stop.cause() {
                return Attempt::Stopped(cause);
            } else {
                try_to_start(Arc::clone(&invocation), &mut lack).await
            };
            let error = match outcome {
                Some(Ok(spawned)) => return Attempt::Started(spawned),
                Some(Err(error)) => error,
                None => return Attempt::Failed("the start panicked".into()),
            };
            if matches!(error, SpawnError::Scarce(_)) {
                let again = lack.get_or_insert_with(Lack::new).next_try(end_of_another);
                let again = tokio::select! {
                    again = again => again,
                    _ = self.execution.stop.asked() => true,
                };
                if again {
                    continue;
                }
            }
            let program = invocation.program.display();
            return Attempt::Failed(format!(
                "program not started: \"{program}\": {}",
                error.error()
            ));
        }
    }

    fn deadline(&self, start: Instant) -> Deadline {
        let own = deadline_after(start, self.timeout_ms);
        match self.plan_deadline {
            Some(plan) if plan.at <= own => Deadline {
                at: plan.at,
                cause: Cause::PlanDeadline(plan.timeout_ms),
            },
            _ => Deadline {
                at: own,
                cause: Cause::Deadline(self.timeout_ms),
            },
        }
    }

    async fn supervise(mut self, mut spawned: Spawned) -> ExecutionResult {
        let start = Moment::now(spawned.pid());
        let queued_ms = millis(self.execution.accepted.elapsed());
        self.files.own = std::mem::take(&mut spawned.files)
            .map(|opened| opened.map(|(path, file)| AppendFile::opened(path, file)));
        let (child, stdin, readers) = match spawned.adopt() {
            Ok(adopted) => adopted,
            Err(error) => {
                return self.not_started(format!("process not watched, so it was killed: {error}"));
            }
        };
        self.execution.set_running(start.at);
        let progress = Progress::new();
        let files = std::mem::take(&mut self.files);
        let mut reader = Reader::new(
            Arc::clone(&self.execution),
            readers,
            &self.config,
            self.output,
            files,
            self.handlers.clone(),
            self.keep_background,
        );
        let supervisor = Supervisor {
            config: &self.config,
            stop: &self.execution.stop,
            progress: &progress,
            handlers: &self.handlers,
            deadline: self.deadline(start.instant),
            keep_background: self.keep_background,
        };
        let feed = std::mem::replace(&mut self.feed, Feed::Nothing);
        let ending = {
            let started = started_event(&self.execution, &start);
            let pending = self.pending.take();
            let handlers = &self.handlers;
            let work = async {
                if let Some(told) = pending {
                    drop(told.await);
                }
                handlers.on_event(started).await;
                reader.run(&progress).await;
            };
            tokio::pin!(work);
            // A command that closed its output may still read its input.
            let feed = async {
                feed.run(stdin, &self.execution).await;
                std::future::pending::<Infallible>().await
            };
            tokio::select! {
                ending = supervisor.run(child, work) => ending,
                never = feed => match never {},
            }
        };
        let result = self.result(&start, queued_ms, &mut reader, &ending);
        if ending.cause.is_none() && reader.is_open() {
            // What the command has left running goes on to print.
            tokio::spawn(reader.read_on());
        }
        result
    }
}

/// Starts the process; `None` if that panics. A try that hangs gives up its turn, for which others may wait.
async fn try_to_start(
    invocation: Arc<Invocation>,
    lack: &mut Option<Lack>,
) -> Option<Result<Spawned, SpawnError>> {
    let outcome = pool::STARTS.run(move || process::spawn(&invocation));
    tokio::pin!(outcome);
    if let Ok(outcome) = timeout(HANGING, &mut outcome).await {
        return outcome;
    }
    *lack = None;
    outcome.await
}

/// Resolves with the outcome of a future; with `None` if it panics, and what it held is dropped then.
async fn unless_it_panics<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    poll_fn(|context| {
        let poll = AssertUnwindSafe(|| Pin::new(&mut future).poll(context));
        catch_unwind(poll).map_or(Poll::Ready(None), |polled| polled.map(Some))
    })
    .await
}

/// What was printed is without secrets already. What was added since the result was made counts too.
fn hide_secrets(execution: &Execution, result: &mut ExecutionResult) {
    if execution.secrets.changes() > 0 {
        result.command = execution.command();
        result.error = result
            .error
            .take()
            .map(|error| execution.secrets.hide(error));
    }
}

/// The result of an execution whose life panicked: its process was killed when it was dropped.
fn panicked(execution: &Execution) -> ExecutionResult {
    let error = "the engine, or a handler of its events, panicked; the command was killed";
    ExecutionResult {
        started_at: execution.started_at.get().copied(),
        error: Some(error.into()),
        ..empty_result(execution)
    }
}

enum Attempt {
    Started(Spawned),
    Stopped(Cause),
    Failed(String),
}

/// When a process was started, on both clocks.
pub(super) struct Moment {
    pub pid: u32,
    pub at: DateTime<Utc>,
    pub instant: Instant,
}

impl Moment {
    pub fn now(pid: u32) -> Self {
        Self {
            pid,
            at: Utc::now(),
            instant: Instant::now(),
        }
    }
}

fn started_event(execution: &Execution, start: &Moment) -> ExecutionEvent {
    ExecutionEvent::Started {
        execution_id: execution.id(),
        origin: Arc::clone(execution.origin()),
        command: execution.command(),
        pid: start.pid,
        timestamp: start.at,
    }
}

/// Tells, without waiting for it, that an execution waits for a slot.
pub(crate) fn tell_pending(execution: &Execution, handlers: &Handlers) -> Option<Telling> {
    if handlers.is_empty() {
        return None;
    }
    let handlers = handlers.clone();
    let event = ExecutionEvent::Pending {
        execution_id: execution.id(),
        origin: Arc::clone(execution.origin()),
        timestamp: Utc::now(),
    };
    Some(tokio::spawn(async move { handlers.on_event(event).await }))
}

pub(super) fn terminal_event(
    execution: &Execution,
    result: &Arc<ExecutionResult>,
) -> ExecutionEvent {
    let ended = Ended {
        execution_id: result.id,
        origin: Arc::clone(execution.origin()),
        timestamp: result.completed_at,
        result: Arc::clone(result),
    };
    match result.status {
        ExecutionStatus::Completed => ExecutionEvent::Completed(ended),
        ExecutionStatus::Cancelled => ExecutionEvent::Cancelled(ended),
        ExecutionStatus::Timeout => ExecutionEvent::Timeout(ended),
        ExecutionStatus::Skipped => ExecutionEvent::Skipped(ended),
        _ => ExecutionEvent::Failed(ended),
    }
}

/// Settles an execution, and wakes who waits for it when it is dropped: at the end of its life, or with its task,
/// because the runtime ends or by a defect. Then the execution is settled here.
pub(crate) struct Settling {
    pub execution: Arc<Execution>,
    pub registry: Arc<Registry>,
}

impl Settling {
    /// Settles it, and tells its end before who waits for it is woken.
    pub async fn conclude(
        self,
        mut result: ExecutionResult,
        handlers: Handlers,
        patience: Duration,
    ) {
        hide_secrets(&self.execution, &mut result);
        let result = Arc::new(result);
        self.settle(Arc::clone(&result));
        if !handlers.is_empty() {
            let told = handlers.on_end(terminal_event(&self.execution, &result));
            // A handler that hangs must not keep everybody else from the result.
            drop(timeout(patience, told).await);
        }
    }

    fn settle(&self, result: Arc<ExecutionResult>) {
        self.execution.outcome.set(result);
        self.execution.secrets.forget();
        // A step is forgotten with its plan.
        if !self.execution.is_step() {
            let unit = Unit::Execution(Arc::clone(&self.execution));
            self.registry.finish(&unit);
        }
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if self.execution.outcome.get().is_none() {
            self.settle(ended_with_runtime(&self.execution));
        }
        self.execution.announce();
    }
}

//! One attempt of an execution: wait for a slot, start, be supervised.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::handlers::Handlers;
use super::input::Feed;
use super::output::log::{AppendFile, Files, Log};
use super::output::log_files::Kind;
use super::output::reader::{OutputOptions, Progress, Reader};
use super::output::writer::Writer;
use super::resolve::stop_signal;
use super::supervise::{Deadline, Supervisor};
use crate::api::config::{ExecutionConfig, OversizedOutputStrategy};
use crate::api::event::ExecutionEvent;
use crate::api::request::ExecutionRequest;
use crate::api::result::ExecutionResult;
use crate::process::scarcity::{self, Lack};
use crate::process::{self, Invocation, SpawnError, Spawned, StopSignal, pool};
use crate::state::cancellation::Cause;
use crate::state::execution::{Execution, millis};
use crate::state::lease::deadline_after;
use crate::state::plan::PlanDeadline;
use crate::state::registry::Registry;
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
    pub idle_timeout_ms: Option<u64>,
    pub stop_signal: StopSignal,
    /// `None`: 0 alone.
    pub success_exit_codes: Option<Vec<u64>>,
    pub plan_deadline: Option<PlanDeadline>,
    feed: Mutex<Feed>,
    /// Whether there may be another attempt, which is fed the same.
    is_fed_again: bool,
    pub writer: Writer,
    pub output: OutputOptions,
    /// Whether the result has the output as bytes.
    pub keep_bytes: bool,
    pub keep_background: bool,
    /// Tells that it waits for a slot, which comes before its start.
    pending: Mutex<Option<Telling>>,
}

/// An event on its way to handlers that may take their time.
pub(crate) type Telling = JoinHandle<()>;

/// How far the thread that resolved the request has come.
pub(crate) enum Begun {
    /// What was made for it is not acceptable.
    Invalid(String),
    /// It was stopped before it had its turn.
    Stopped(Cause),
    /// The program cannot be started.
    Unstartable(String),
    /// There was no slot yet.
    Waiting(Box<Invocation>, MaybeSlot),
    /// The start was tried.
    Tried(Box<Invocation>, Slot, Result<Spawned, SpawnError>),
}

/// How an attempt ended.
pub(super) struct Attempted {
    pub result: ExecutionResult,
    /// What ended it before its time.
    pub cause: Option<Cause>,
    /// Held until nothing of it is left.
    pub slot: Option<Slot>,
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
            raw: request.output_log_path.clone().map(AppendFile::new),
            overflow: [Kind::StdoutOverflow, Kind::StderrOverflow].map(overflow),
            own: [None, None],
            attempt: 0,
        };
        Self {
            timeout_ms: request.timeout_ms.unwrap_or(config.default_timeout_ms),
            idle_timeout_ms: request.idle_timeout_ms,
            stop_signal: stop_signal(request.stop_signal),
            success_exit_codes: request.success_exit_codes.take(),
            plan_deadline: None,
            feed: Mutex::new(Feed::of(&mut request.stdin, &execution)),
            is_fed_again: request.retry.is_some(),
            output: OutputOptions {
                split_on: request.split_on,
                strip_ansi: request.strip_ansi,
                own_files: [false; 2],
            },
            keep_bytes: request.keep_bytes,
            keep_background: request.keep_background,
            pending: Mutex::default(),
            execution,
            registry,
            config,
            handlers,
            writer: Writer::new(files),
        }
    }

    /// One attempt: waits for its slot, starts, and is supervised until nothing of it is left.
    pub(super) async fn attempt(&self, begun: Begun) -> Attempted {
        let without_slot = |result, cause| Attempted {
            result,
            cause,
            slot: None,
        };
        let stopped = |cause: Cause| without_slot(self.stopped_before_start(&cause), Some(cause));
        let (invocation, slot, tried) = match begun {
            Begun::Invalid(error) => return without_slot(self.invalid(error), None),
            Begun::Stopped(cause) => {
                self.has_told_pending().await;
                return stopped(cause);
            }
            Begun::Unstartable(error) => {
                self.has_told_pending().await;
                return without_slot(self.not_started(error), None);
            }
            Begun::Tried(invocation, slot, tried) => (invocation, slot, Some(tried)),
            Begun::Waiting(invocation, mut maybe_slot) => {
                if matches!(maybe_slot, MaybeSlot::Waiting(_)) {
                    self.set_pending(tell_pending(&self.execution, &self.handlers));
                }
                let slot = tokio::select! {
                    biased;
                    cause = self.execution.stop.asked() => Err(cause),
                    slot = maybe_slot.slot() => slot.ok_or(Cause::Cancel(None)),
                };
                let slot = match slot {
                    Ok(slot) => slot,
                    Err(cause) => {
                        self.has_told_pending().await;
                        return stopped(cause);
                    }
                };
                (invocation, slot, None)
            }
        };
        let tried = self.start(Arc::new(*invocation), tried).await;
        if !matches!(tried, Tried::Started(_)) {
            self.has_told_pending().await;
        }
        let attempted = match tried {
            Tried::Started(spawned) => self.supervise(spawned).await,
            Tried::Stopped(cause) => stopped(cause),
            Tried::Failed(error) => without_slot(self.not_started(error), None),
        };
        Attempted {
            slot: Some(slot),
            ..attempted
        }
    }

    /// Resolves once it was told that it waits, which comes before its end; a handler that hangs is not waited for.
    async fn has_told_pending(&self) {
        if let Some(told) = self.take_pending() {
            drop(timeout(self.config.drain_max(), told).await);
        }
    }

    pub fn set_pending(&self, pending: Option<Telling>) {
        *self.pending.lock().unwrap_or_else(PoisonError::into_inner) = pending;
    }

    fn take_pending(&self) -> Option<Telling> {
        self.pending
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Starts the process; while that fails for lack of something that others hold, waits for it to be given back.
    async fn start(
        &self,
        invocation: Arc<Invocation>,
        mut tried: Option<Result<Spawned, SpawnError>>,
    ) -> Tried {
        let mut lack = None;
        loop {
            let end_of_another = scarcity::next_end();
            let outcome = if tried.is_some() {
                tried.take()
            } else if let Some(cause) = self.execution.stop.cause() {
                return Tried::Stopped(cause);
            } else {
                try_to_start(Arc::clone(&invocation), &mut lack).await
            };
            let error = match outcome {
                Some(Ok(spawned)) => return Tried::Started(spawned),
                Some(Err(error)) => error,
                None => return Tried::Failed("the start panicked".into()),
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
            return Tried::Failed(format!(
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

    fn feed(&self) -> MutexGuard<'_, Feed> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether each attempt is given a pipe to read from.
    pub(super) fn feeds(&self) -> bool {
        self.feed().has_pipe()
    }

    async fn supervise(&self, mut spawned: Spawned) -> Attempted {
        let start = Moment::now(spawned.pid());
        let queued_ms = millis(self.execution.accepted.elapsed());
        let own = std::mem::take(&mut spawned.files)
            .map(|opened| opened.map(|(path, file)| AppendFile::opened(path, file)));
        let output = OutputOptions {
            own_files: own.each_ref().map(Option::is_some),
            ..self.output
        };
        self.writer.take_own(own).await;
        let (child, stdin, readers) = match spawned.adopt() {
            Ok(adopted) => adopted,
            Err(error) => {
                let error = format!("process not watched, so it was killed: {error}");
                return Attempted {
                    result: self.not_started(error),
                    cause: None,
                    slot: None,
                };
            }
        };
        self.execution.set_running(start.at);
        let progress = Progress::new();
        let mut reader = Reader::new(
            Arc::clone(&self.execution),
            readers,
            &self.config,
            output,
            self.writer.of_last_attempt(),
            self.handlers.clone(),
            self.keep_background,
        );
        let supervisor = Supervisor {
            config: &self.config,
            stop: &self.execution.stop,
            progress: &progress,
            handlers: &self.handlers,
            deadline: self.deadline(start.instant),
            idle_timeout_ms: self.idle_timeout_ms,
            stop_signal: self.stop_signal,
            keep_background: self.keep_background,
        };
        let feed = self.feed().next(self.is_fed_again);
        let ending = {
            let started = started_event(&self.execution, &start);
            let pending = self.take_pending();
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
            self.execution.secrets.keep();
            tokio::spawn(reader.read_on());
        }
        Attempted {
            result,
            cause: ending.cause,
            slot: None,
        }
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

/// What became of a start.
enum Tried {
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

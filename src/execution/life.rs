//! One execution from `execute` to its result: wait for a slot, start, be supervised, settle.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::log::{AppendFile, Files, FilesState, Log};
use super::pump::{Progress, Pump};
use super::stop::Cause;
pub(crate) use super::supervise::deadline_after;
use super::supervise::{Deadline, Ending, Supervisor};
use super::{Execution, Handlers};
use crate::config::{ExecutionConfig, OversizedOutputStrategy};
use crate::event::{Ended, ExecutionEvent};
use crate::process::scarcity::{self, Lack};
use crate::process::{self, ExitStatus, Invocation, SpawnError, Spawned, pool};
use crate::registry::{Registry, Unit};
use crate::request::{ExecutionMetadata, ExecutionRequest};
use crate::result::{ExecutionResult, ExecutionStatus, ResultErrorCode};
use crate::slots::{Slot, Ticket};

/// How long a try to start may take before it is taken for one that hangs with its file system.
const HANGING: Duration = Duration::from_secs(1);

/// What an execution needs for its life.
pub(crate) struct Life {
    pub execution: Arc<Execution>,
    pub registry: Arc<Registry>,
    pub config: Arc<ExecutionConfig>,
    pub handlers: Handlers,
    pub timeout_ms: u64,
    pub plan_deadline: Option<PlanDeadline>,
    pub stdin: Option<Vec<u8>>,
    pub files: Files,
    pub keep_background: bool,
    pub metadata: ExecutionMetadata,
}

/// When the plan of a step is to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanDeadline {
    pub at: Instant,
    /// What the plan asked for.
    pub timeout_ms: u64,
}

/// How far the thread that resolved the request has come.
pub(crate) enum Begun {
    /// It is not to be started at all.
    Never(ExecutionStatus, String),
    /// The program cannot be started.
    Unstartable(String),
    /// There was no slot yet.
    Waiting(Box<Invocation>, Ticket),
    /// The start was tried.
    Tried(Box<Invocation>, Slot, Result<Spawned, SpawnError>),
}

/// Where the log and overflow files of an execution are.
pub(crate) fn log_path(config: &ExecutionConfig, id: uuid::Uuid) -> std::path::PathBuf {
    config.log_dir.join(format!("{id}.log"))
}

impl Life {
    pub fn new(
        execution: Arc<Execution>,
        registry: Arc<Registry>,
        config: Arc<ExecutionConfig>,
        handlers: Handlers,
        request: &mut ExecutionRequest,
    ) -> Self {
        let config = request.own_config(&config).map_or(config, Arc::new);
        let id = request.id;
        let overflow = |name: &str| {
            (config.oversized_output_strategy == OversizedOutputStrategy::StreamToFile)
                .then(|| AppendFile::new(config.log_dir.join(format!("{id}.{name}.overflow"))))
        };
        let files = Files {
            log: config
                .log_output
                .then(|| Log::new(log_path(&config, id), config.max_log_size_bytes)),
            raw: request.output_log_path.take().map(AppendFile::new),
            overflow: [overflow("stdout"), overflow("stderr")],
        };
        Self {
            timeout_ms: request.timeout_ms.unwrap_or(config.default_timeout_ms),
            plan_deadline: None,
            stdin: request.stdin.take(),
            keep_background: request.keep_background,
            metadata: std::mem::take(&mut request.metadata),
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
            let result = Arc::new(result);
            drop(slot);
            settling.settle(Arc::clone(&result));
            if !handlers.0.is_empty()
                && let Some(event) = terminal_event(&result)
            {
                let told = handlers.on_event(event);
                // A handler that hangs must not keep everybody else from the result.
                drop(tokio::time::timeout(config.drain_max(), told).await);
            }
            drop(settling);
        }
    }

    async fn run(self, begun: Begun) -> (ExecutionResult, Option<Slot>) {
        let (invocation, slot, tried) = match begun {
            Begun::Never(status, error) => return (self.never_started(status, error), None),
            Begun::Unstartable(error) => return (self.not_started(error), None),
            Begun::Tried(invocation, slot, tried) => (invocation, slot, Some(tried)),
            Begun::Waiting(invocation, mut ticket) => {
                let slot = tokio::select! {
                    biased;
                    cause = self.execution.stop.asked() => Err(cause),
                    slot = ticket.slot() => slot.ok_or(Cause::Cancel),
                };
                let slot = match slot {
                    Ok(slot) => slot,
                    Err(cause) => return (self.stopped_before_start(cause), None),
                };
                (invocation, slot, None)
            }
        };
        let result = match self.start(Arc::new(*invocation), tried).await {
            Start::Started(spawned) => self.supervise(spawned).await,
            Start::Stopped(cause) => self.stopped_before_start(cause),
            Start::Failed(error) => self.not_started(error),
        };
        (result, Some(slot))
    }

    /// Starts the process; while that fails for lack of something that others hold, waits for it to be given back.
    async fn start(
        &self,
        invocation: Arc<Invocation>,
        mut tried: Option<Result<Spawned, SpawnError>>,
    ) -> Start {
        let mut lack = None;
        loop {
            let end_of_another = scarcity::next_end();
            let outcome = if tried.is_some() {
                tried.take()
            } else if let Some(cause) = self.execution.stop.cause() {
                return Start::Stopped(cause);
            } else {
                try_to_start(Arc::clone(&invocation), &mut lack).await
            };
            let error = match outcome {
                Some(Ok(spawned)) => return Start::Started(spawned),
                Some(Err(error)) => error,
                None => return Start::Failed("the start panicked".into()),
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
            return Start::Failed(format!(
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

    async fn supervise(mut self, spawned: Spawned) -> ExecutionResult {
        let start = Moment::now(spawned.pid());
        let queued_ms = millis(self.execution.accepted.elapsed());
        let (child, stdin, readers) = match spawned.adopt() {
            Ok(adopted) => adopted,
            Err(error) => {
                return self.not_started(format!("process not watched, so it was killed: {error}"));
            }
        };
        self.execution.set_running(start.at);
        let progress = Progress::new();
        let files = std::mem::take(&mut self.files);
        let mut pump = Pump::new(
            Arc::clone(&self.execution),
            readers,
            &self.config,
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
        let ending = {
            let input = self.stdin.take().unwrap_or_default();
            let started = started_event(&self.execution, &start);
            let handlers = &self.handlers;
            let work = async {
                let feed = async {
                    if let Some(stdin) = stdin {
                        stdin.write_all(&input).await;
                    }
                    std::future::pending::<()>().await;
                };
                let read = async {
                    handlers.on_event(started).await;
                    pump.run(&progress).await;
                };
                // A command that closed its output may still read its input.
                tokio::select! {
                    () = feed => {}
                    () = read => {}
                }
            };
            tokio::pin!(work);
            supervisor.run(child, work).await
        };
        let result = self.result(&start, queued_ms, &mut pump, &ending);
        if ending.cause.is_none() && pump.is_open() {
            // What the command has left running goes on to print.
            tokio::spawn(pump.read_on());
        }
        result
    }

    fn result(
        self,
        start: &Moment,
        queued_ms: u64,
        pump: &mut Pump,
        ending: &Ending,
    ) -> ExecutionResult {
        let ([stdout, stderr], files) = pump.take_printed();
        let problems = problems(ending, files.as_ref());
        let files = files.unwrap_or_default();
        let truncated = stdout.is_truncated() || stderr.is_truncated();
        let verdict = self.verdict(ending, truncated, !problems.is_empty());
        let warn =
            self.config.oversized_output_strategy == OversizedOutputStrategy::TruncateWithWarning;
        let mut words: Vec<String> = verdict.error.into_iter().chain(problems).collect();
        words.extend(files.log_limit_note);
        let [stdout_overflow_file, stderr_overflow_file] = files.overflow_paths;
        ExecutionResult {
            status: verdict.status,
            success: verdict.status == ExecutionStatus::Completed,
            exit_code: match ending.exit {
                ExitStatus::Code(code) => Some(code),
                _ => None,
            },
            signal: match ending.exit {
                ExitStatus::Signal(signal) => Some(process::signal_name(signal)),
                _ => None,
            },
            stdout_bytes: stdout.printed(),
            stderr_bytes: stderr.printed(),
            truncated,
            stdout: stdout.into_text(warn),
            stderr: stderr.into_text(warn),
            stdout_overflow_file,
            stderr_overflow_file,
            pid: Some(start.pid),
            started_at: Some(start.at),
            duration_ms: millis(start.instant.elapsed()),
            queued_ms,
            forced: ending.forced,
            leftover_processes: ending.leftovers,
            survivors: ending
                .survivors
                .iter()
                .map(|pid| pid.cast_unsigned())
                .collect(),
            log_path: files.log_path,
            error: (!words.is_empty()).then(|| words.join("; ")),
            error_code: verdict.code,
            ..self.unstarted()
        }
    }

    fn verdict(&self, ending: &Ending, truncated: bool, has_problems: bool) -> Verdict {
        let fails_over_limit =
            self.config.oversized_output_strategy == OversizedOutputStrategy::FailExecution;
        let cause = match ending.cause {
            // The command may have ended by itself before that was seen.
            None if truncated && fails_over_limit => Some(Cause::OutputLimit),
            cause => cause,
        };
        let (status, error) = match (cause, ending.exit) {
            (Some(cause), _) => self.stopped(cause),
            (None, ExitStatus::Code(0)) => (ExecutionStatus::Completed, None),
            (None, ExitStatus::Code(code)) => (
                ExecutionStatus::Failed,
                Some(format!("exited with code {code}")),
            ),
            (None, ExitStatus::Signal(signal)) => {
                let error = format!("ended by {}", process::signal_name(signal));
                (ExecutionStatus::Failed, Some(error))
            }
            (None, ExitStatus::Lost | ExitStatus::Alive) => (ExecutionStatus::Failed, None),
        };
        Verdict {
            status,
            error,
            code: match cause {
                Some(Cause::OutputLimit) => Some(ResultErrorCode::OutputSizeExceeded),
                _ => has_problems.then_some(ResultErrorCode::Io),
            },
        }
    }

    /// What a cause makes of the status, and in words.
    fn stopped(&self, cause: Cause) -> (ExecutionStatus, Option<String>) {
        let (status, error) = match cause {
            Cause::Cancel => (ExecutionStatus::Cancelled, "cancelled".into()),
            Cause::Deadline(ms) => (ExecutionStatus::Timeout, format!("timed out after {ms} ms")),
            Cause::PlanDeadline(ms) => {
                let error = format!("its plan timed out after {ms} ms");
                (ExecutionStatus::Timeout, error)
            }
            Cause::OutputLimit => {
                let limit = self.config.max_output_size_bytes;
                let error =
                    format!("ended because it printed more than {limit} bytes to one stream");
                (ExecutionStatus::Failed, error)
            }
        };
        (status, Some(error))
    }

    fn not_started(&self, error: String) -> ExecutionResult {
        ExecutionResult {
            error: Some(error),
            error_code: Some(ResultErrorCode::SpawnFailed),
            ..self.unstarted()
        }
    }

    fn stopped_before_start(&self, cause: Cause) -> ExecutionResult {
        let (status, error) = self.stopped(cause);
        let error = error.unwrap_or_default();
        let comma = if cause == Cause::Cancel { "" } else { "," };
        self.never_started(status, format!("{error}{comma} before it was started"))
    }

    fn never_started(&self, status: ExecutionStatus, error: String) -> ExecutionResult {
        ExecutionResult {
            status,
            error: Some(error),
            ..self.unstarted()
        }
    }

    fn unstarted(&self) -> ExecutionResult {
        empty_result(&self.execution, self.metadata.clone())
    }
}

/// Starts the process; `None` if that panics. A try that hangs gives up its turn, for which others may wait.
async fn try_to_start(
    invocation: Arc<Invocation>,
    lack: &mut Option<Lack>,
) -> Option<Result<Spawned, SpawnError>> {
    let outcome = pool::STARTS.run(move || process::spawn(&invocation));
    tokio::pin!(outcome);
    if let Ok(outcome) = tokio::time::timeout(HANGING, &mut outcome).await {
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

/// The result of an execution whose life panicked: its process was killed when it was dropped.
fn panicked(execution: &Execution) -> ExecutionResult {
    let error = "the engine, or a handler of its events, panicked; the command was killed";
    ExecutionResult {
        started_at: execution.started_at.get().copied(),
        error: Some(error.into()),
        ..empty_result(execution, ExecutionMetadata::default())
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
        stdout_bytes: 0,
        stderr_bytes: 0,
        truncated: false,
        stdout_overflow_file: None,
        stderr_overflow_file: None,
        command: execution.command.clone(),
        pid: None,
        started_at: None,
        completed_at: Utc::now(),
        duration_ms: 0,
        queued_ms: millis(execution.accepted.elapsed()),
        forced: false,
        leftover_processes: false,
        survivors: Vec::new(),
        log_path: None,
        error: None,
        error_code: None,
        metadata,
    }
}

enum Start {
    Started(Spawned),
    Stopped(Cause),
    Failed(String),
}

/// When a process was started, on both clocks.
struct Moment {
    pid: u32,
    at: DateTime<Utc>,
    instant: Instant,
}

impl Moment {
    fn now(pid: u32) -> Self {
        Self {
            pid,
            at: Utc::now(),
            instant: Instant::now(),
        }
    }
}

struct Verdict {
    status: ExecutionStatus,
    error: Option<String>,
    code: Option<ResultErrorCode>,
}

/// What could not be handled, in words.
fn problems(ending: &Ending, files: Option<&FilesState>) -> Vec<String> {
    let mut problems = Vec::new();
    if ending.exit == ExitStatus::Lost {
        problems.push("the exit status is not known: another part of the host took it".into());
    }
    if !ending.survivors.is_empty() {
        let pids = &ending.survivors;
        problems.push(format!(
            "processes {pids:?} could not be ended: they do not react to SIGKILL, or belong to another user"
        ));
    }
    if ending.is_unknown {
        problems.push("whether anything is left running could not be found out".into());
    }
    if !ending.delivered {
        problems.push("not all output was delivered: a callback had not returned by then".into());
    }
    match files {
        Some(files) => problems.extend_from_slice(&files.problems),
        None => problems
            .push("output may not have been logged: a write had not returned by then".into()),
    }
    problems
}

fn started_event(execution: &Execution, start: &Moment) -> ExecutionEvent {
    ExecutionEvent::Started {
        execution_id: execution.id,
        command: execution.command.clone(),
        pid: start.pid,
        timestamp: start.at,
    }
}

/// The end of a step that was skipped is told by its plan.
fn terminal_event(result: &Arc<ExecutionResult>) -> Option<ExecutionEvent> {
    let ended = Ended {
        execution_id: result.id,
        timestamp: result.completed_at,
        result: Arc::clone(result),
    };
    match result.status {
        ExecutionStatus::Completed => Some(ExecutionEvent::Completed(ended)),
        ExecutionStatus::Cancelled => Some(ExecutionEvent::Cancelled(ended)),
        ExecutionStatus::Timeout => Some(ExecutionEvent::Timeout(ended)),
        ExecutionStatus::Skipped => None,
        _ => Some(ExecutionEvent::Failed(ended)),
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Settles an execution, and wakes who waits for it when it is dropped: at the end of its life, or with its task,
/// because the runtime ends or by a defect. Then the execution is settled here.
struct Settling {
    execution: Arc<Execution>,
    registry: Arc<Registry>,
}

impl Settling {
    fn settle(&self, result: Arc<ExecutionResult>) {
        self.execution.outcome.set(result);
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

/// The result of an execution; of one that has none yet, that it ended with the runtime.
pub(crate) fn ended_with_runtime(execution: &Execution) -> Arc<ExecutionResult> {
    execution.outcome.get_or_set(|| {
        let error =
            "the runtime of the engine ended before the execution; its processes were killed";
        Arc::new(cancelled(execution, error))
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

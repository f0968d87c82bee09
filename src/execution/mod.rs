//! The life of one execution: pending, running, then one terminal status, once.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use crate::error::{ExecutionError, Result};
use crate::event::{EventHandler, ExecutionEvent, OutputBatch, OutputStream};
use crate::outcome::Outcome;
use crate::result::{ExecutionResult, ExecutionStatus, ExecutionSummary};
use stop::{Cause, Stop};

pub(crate) mod life;
pub(crate) mod lines;
mod log;
pub(crate) mod output;
mod pump;
pub(crate) mod stop;
mod supervise;
mod writer;

/// What the registry knows of an execution.
#[derive(Debug)]
pub(crate) struct Execution {
    id: Uuid,
    command: String,
    /// When `execute` was called.
    accepted: Instant,
    started_at: OnceLock<DateTime<Utc>>,
    pub outcome: Outcome<ExecutionResult>,
    pub stop: Arc<Stop>,
    /// Its place in a plan.
    step: Option<Step>,
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
    /// It was cancelled under its own id.
    Cancelled(usize),
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
    pub fn new(id: Uuid, command: String, stop: Arc<Stop>, place: Option<Step>) -> Arc<Self> {
        Arc::new(Self {
            id,
            command,
            accepted: Instant::now(),
            started_at: OnceLock::new(),
            outcome: Outcome::default(),
            stop,
            step: place,
        })
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn command(&self) -> &str {
        &self.command
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
            command: self.command.clone(),
            started_at: self.started_at.get().copied(),
            duration_ms: result.map(|result| result.duration_ms),
        }
    }

    /// Asks it to stop, or asks again; also while it waits for its turn in a plan.
    pub fn cancel(&self) {
        self.stop.ask_again(Cause::Cancel);
        if let Some(step) = &self.step {
            step.report(StepNews::Cancelled);
        }
    }

    fn set_running(&self, started_at: DateTime<Utc>) {
        let _ = self.started_at.set(started_at);
    }

    /// Wakes who waits for it.
    fn announce(&self) {
        self.outcome.announce();
        if let Some(step) = &self.step {
            step.report(StepNews::Ended);
        }
    }
}

/// Who is told of an execution: the handler of the engine, and its own.
#[derive(Clone, Default)]
pub(crate) struct Handlers(pub Vec<Arc<dyn EventHandler>>);

impl Handlers {
    pub async fn on_event(&self, event: ExecutionEvent) {
        if let Some((last, others)) = self.0.split_last() {
            for handler in others {
                handler.on_event(event.clone()).await;
            }
            last.on_event(event).await;
        }
    }

    pub async fn on_output(&self, batch: OutputBatch) {
        let Some((last, others)) = self.0.split_last() else {
            return;
        };
        for handler in others {
            if handler.wants_output(batch.stream) {
                handler.on_output(batch.clone()).await;
            }
        }
        if last.wants_output(batch.stream) {
            last.on_output(batch).await;
        }
    }

    pub fn wants_output(&self, stream: OutputStream) -> bool {
        self.0.iter().any(|handler| handler.wants_output(stream))
    }

    /// Resolves once all of them could have taken what they were told.
    pub async fn reached(&self) {
        for handler in &self.0 {
            handler.reached().await;
        }
    }

    pub async fn flush(&self) {
        for handler in &self.0 {
            handler.flush().await;
        }
    }
}

//! The life of one execution: pending, running, then one terminal status, once.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use chrono::{DateTime, Utc};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::error::{ExecutionError, Result};
use crate::event::{EventHandler, ExecutionEvent, OutputBatch, OutputStream};
use crate::result::{ExecutionResult, ExecutionStatus, ExecutionSummary};

pub(crate) mod life;
pub(crate) mod lines;
mod log;
pub(crate) mod output;
mod pump;
mod supervise;

/// What the registry knows of an execution.
#[derive(Debug)]
pub(crate) struct Execution {
    id: Uuid,
    command: String,
    /// When `execute` was called.
    accepted: Instant,
    state: Mutex<State>,
    finished: Notify,
    pub stop: Stop,
}

#[derive(Debug)]
enum State {
    Pending,
    Running { started_at: DateTime<Utc> },
    Finished(Arc<ExecutionResult>),
}

impl Execution {
    pub fn new(id: Uuid, command: String) -> Arc<Self> {
        Arc::new(Self {
            id,
            command,
            accepted: Instant::now(),
            state: Mutex::new(State::Pending),
            finished: Notify::new(),
            stop: Stop::default(),
        })
    }

    pub fn id(&self) -> Uuid {
        self.id
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn status(&self) -> ExecutionStatus {
        match &*self.state() {
            State::Pending => ExecutionStatus::Pending,
            State::Running { .. } => ExecutionStatus::Running,
            State::Finished(result) => result.status,
        }
    }

    pub fn is_finished(&self) -> bool {
        matches!(&*self.state(), State::Finished(_))
    }

    pub fn result(&self) -> Result<Arc<ExecutionResult>> {
        match &*self.state() {
            State::Finished(result) => Ok(Arc::clone(result)),
            _ => Err(ExecutionError::NotFinished(self.id)),
        }
    }

    /// Resolves when it has finished.
    pub async fn wait(&self) -> Arc<ExecutionResult> {
        loop {
            let finished = self.finished.notified();
            if let Ok(result) = self.result() {
                return result;
            }
            finished.await;
        }
    }

    pub fn summary(&self) -> ExecutionSummary {
        let (status, started_at, duration_ms) = match &*self.state() {
            State::Pending => (ExecutionStatus::Pending, None, None),
            State::Running { started_at } => (ExecutionStatus::Running, Some(*started_at), None),
            State::Finished(result) => (result.status, result.started_at, Some(result.duration_ms)),
        };
        ExecutionSummary {
            id: self.id,
            status,
            command: self.command.clone(),
            started_at,
            duration_ms,
        }
    }

    fn set_running(&self, started_at: DateTime<Utc>) {
        *self.state() = State::Running { started_at };
    }

    fn set_finished(&self, result: Arc<ExecutionResult>) {
        *self.state() = State::Finished(result);
    }

    /// Wakes who waits. Apart from `set_finished`, so that the terminal event is seen first.
    fn announce(&self) {
        self.finished.notify_waiters();
    }
}

/// How firmly an execution is asked to stop.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    level: AtomicU8,
    changed: Notify,
}

impl Stop {
    pub const ASKED: u8 = 1;
    /// Asked again: the grace is over.
    pub const AT_ONCE: u8 = 2;

    /// Asks, or asks again.
    pub fn raise(&self) {
        let higher = |level: u8| (level < Self::AT_ONCE).then_some(level + 1);
        if self
            .level
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, higher)
            .is_ok()
        {
            self.changed.notify_waiters();
        }
    }

    /// Asks, unless it was asked already.
    pub fn ask(&self) {
        let first =
            self.level
                .compare_exchange(0, Self::ASKED, Ordering::AcqRel, Ordering::Acquire);
        if first.is_ok() {
            self.changed.notify_waiters();
        }
    }

    /// Resolves once it was asked that firmly.
    pub async fn at_least(&self, level: u8) {
        loop {
            let changed = self.changed.notified();
            if self.level.load(Ordering::Acquire) >= level {
                return;
            }
            changed.await;
        }
    }

    pub fn is_asked(&self) -> bool {
        self.level.load(Ordering::Acquire) >= Self::ASKED
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

    pub async fn flush(&self) {
        for handler in &self.0 {
            handler.flush().await;
        }
    }
}

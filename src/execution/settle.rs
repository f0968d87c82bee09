//! One execution from its acceptance to its result: all its attempts, and the one end.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::timeout;

use super::handlers::Handlers;
use super::retry::Again;
use super::running::{Begun, Running};
use crate::api::event::{Ended, ExecutionEvent};
use crate::api::result::{ExecutionResult, ExecutionStatus};
use crate::process::first_poll::leave_to_runtime;
use crate::state::execution::{Execution, empty_result, ended_with_runtime};
use crate::state::registry::{Registry, Unit};
use crate::state::slots::Slot;

impl Running {
    /// Lives it. Whatever happens, the execution is settled in the end: also when its runtime ends first, even
    /// before this future was polled, or when something panics.
    pub fn live(self, begun: Begun, again: Option<Box<Again>>) -> impl Future<Output = ()> + Send {
        let settling = Settling {
            execution: Arc::clone(&self.execution),
            registry: Arc::clone(&self.registry),
        };
        async move {
            let (config, handlers) = (Arc::clone(&self.config), self.handlers.clone());
            let lived = unless_it_panics(Box::pin(self.run(begun, again))).await;
            let (result, slot) = lived.unwrap_or_else(|| (panicked(&settling.execution), None));
            leave_to_runtime(|_| true).await;
            drop(slot);
            settling
                .conclude(result, handlers, config.drain_max())
                .await;
        }
    }

    async fn run(self, begun: Begun, again: Option<Box<Again>>) -> (ExecutionResult, Option<Slot>) {
        let attempted = self.attempt(begun).await;
        match &again {
            // Apart, so that who is not tried again takes no room for it.
            Some(again) => Box::pin(self.try_again(again, attempted)).await,
            None => (attempted.result, attempted.slot),
        }
    }
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
    if execution.secrets.changes() == 0 {
        return;
    }
    result.command = execution.command();
    let attempts = result.attempts.iter_mut().map(|attempt| &mut attempt.error);
    let told = [&mut result.error, &mut result.cancel_reason];
    for text in told.into_iter().chain(attempts) {
        *text = text.take().map(|text| execution.secrets.hide(text));
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

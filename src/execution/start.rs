//! From a request that was accepted to a process: resolved and started on a thread that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::config::ExecutionConfig;
use crate::api::error::{ExecutionError, Result};
use crate::api::request::ExecutionRequest;
use crate::api::result::{ExecutionResult, ExecutionStatus, ResultErrorCode};
use crate::execution::begin::{begin, in_words, resolve_for};
use crate::execution::handlers::Handlers;
use crate::execution::resolve::Unresolved;
use crate::execution::retry::Again;
use crate::execution::running::{Begun, Running, Telling};
use crate::execution::settle::Settling;
use crate::process::environment::Environment;
use crate::process::first_poll::poll_then_spawn;
use crate::state::cancellation::{Cause, Reason};
use crate::state::execution::{Execution, empty_result};
use crate::state::plan::PlanDeadline;
use crate::state::registry::Registry;
use crate::state::slots::{MaybeSlot, Slot, Slots};

/// An execution on its way to its process.
pub(crate) struct Start {
    pub config: Arc<ExecutionConfig>,
    pub registry: Arc<Registry>,
    pub execution: Arc<Execution>,
    pub slots: Arc<Slots>,
    pub handlers: Handlers,
    pub runtime: Handle,
}

/// What a plan knows of a step whose turn has come.
#[derive(Default)]
pub(crate) struct StepTurn {
    pub deadline: Option<PlanDeadline>,
    /// Tells that it has waited for its slot.
    pub pending: Option<Telling>,
    /// Whether its request was made meanwhile, so that nobody has seen it before.
    pub is_made: bool,
}

/// The end of a step that is never to be started.
pub(crate) struct NeverStarted {
    pub status: ExecutionStatus,
    pub error: String,
    pub code: Option<ResultErrorCode>,
    /// That of a cancel.
    pub reason: Reason,
}

impl Start {
    /// Resolves a request, and starts it if it need not wait.
    pub fn decide(
        self,
        request: ExecutionRequest,
        environment: Environment,
        maybe_slot: MaybeSlot,
        decision: Decision<impl FnOnce(Result<Uuid>)>,
    ) {
        let resolved = match resolve_for(&self.config, &request, &environment) {
            Err(Unresolved::Invalid(error)) => {
                // Who is told of the refusal may want the slot at once.
                drop(maybe_slot);
                let secrets = &self.execution.secrets;
                let error = error.hiding(|text| secrets.hide(text.to_owned()));
                return decision.refuse(error.into());
            }
            Err(Unresolved::Unstartable(error)) => Err(error),
            Ok(invocation) => Ok(invocation),
        };
        decision.accept();
        let begun = unless_it_panics(|| begin(&self.execution, resolved, maybe_slot));
        self.live(request, begun, StepTurn::default(), Some(environment));
    }

    /// The same for a step of a plan, whose files were checked when the plan was accepted.
    pub fn start_step(
        self,
        request: ExecutionRequest,
        environment: Environment,
        slot: Slot,
        turn: StepTurn,
    ) {
        let begun = unless_it_panics(|| {
            match resolve_for(&self.config, &request, &environment) {
                Err(unresolved @ Unresolved::Invalid(_)) if turn.is_made => {
                    // With the error the slot is given back: who is told of it may want it at once.
                    drop(slot);
                    Begun::Invalid(format!(
                        "its request could not be made: the function returned what is not acceptable: {}",
                        in_words(unresolved)
                    ))
                }
                resolved => {
                    let resolved = resolved.map_err(in_words);
                    begin(&self.execution, resolved, MaybeSlot::Slot(slot))
                }
            }
        });
        self.live(request, begun, turn, Some(environment));
    }

    /// Settles an execution that is never to be started.
    pub fn never_start(self, end: NeverStarted, pending: Option<Telling>) {
        let result = ExecutionResult {
            status: end.status,
            error: Some(end.error),
            error_code: end.code,
            cancel_reason: end.reason.as_deref().map(Into::into),
            ..empty_result(&self.execution)
        };
        let settling = Settling {
            execution: self.execution,
            registry: self.registry,
        };
        let patience = self.config.drain_max();
        let handlers = self.handlers;
        self.runtime.spawn(async move {
            if let Some(told) = pending {
                drop(timeout(patience, told).await);
            }
            settling.conclude(result, handlers, patience).await;
        });
    }

    /// Settles an execution that was stopped before it had its turn.
    pub fn stopped(self, request: ExecutionRequest, cause: Cause, turn: StepTurn) {
        self.live(request, Begun::Stopped(cause), turn, None);
    }

    /// `environment` is that of further attempts.
    fn live(
        self,
        mut request: ExecutionRequest,
        begun: Begun,
        turn: StepTurn,
        environment: Option<Environment>,
    ) {
        // What finds secrets is made here, and not on the threads that read.
        drop(self.execution.secrets.mask());
        let mut running = Running::new(
            self.execution,
            self.registry,
            self.config,
            self.handlers,
            &mut request,
        );
        running.plan_deadline = turn.deadline;
        running.set_pending(turn.pending);
        let again = request.retry.take().zip(environment);
        let again = again.map(|(retry, environment)| {
            Box::new(Again {
                retry,
                request: Arc::new(request),
                environment,
                slots: self.slots,
            })
        });
        poll_then_spawn(&self.runtime, running.live(begun, again));
    }
}

/// What was accepted is waited for, by its caller or its plan: it lives also if its start panics.
fn unless_it_panics(begin: impl FnOnce() -> Begun) -> Begun {
    catch_unwind(AssertUnwindSafe(begin))
        .unwrap_or_else(|_| Begun::Unstartable("the start panicked".into()))
}

/// The answer to `execute`, given once; what is refused is forgotten.
pub(crate) struct Decision<F: FnOnce(Result<Uuid>)> {
    id: Uuid,
    registry: Arc<Registry>,
    decided: Option<F>,
}

impl<F: FnOnce(Result<Uuid>)> Decision<F> {
    pub fn new(id: Uuid, registry: Arc<Registry>, decided: F) -> Self {
        Self {
            id,
            registry,
            decided: Some(decided),
        }
    }

    pub fn accept(mut self) {
        if let Some(decided) = self.decided.take() {
            decided(Ok(self.id));
        }
    }

    pub fn refuse(mut self, error: ExecutionError) {
        self.registry.refuse(self.id);
        if let Some(decided) = self.decided.take() {
            decided(Err(error));
        }
    }
}

impl<F: FnOnce(Result<Uuid>)> Drop for Decision<F> {
    fn drop(&mut self) {
        if let Some(decided) = self.decided.take() {
            self.registry.refuse(self.id);
            decided(Err(ExecutionError::Internal("the start panicked".into())));
        }
    }
}

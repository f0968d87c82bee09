//! From a request that was accepted to a process: resolved and started on a thread that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::timeout;
use uuid::Uuid;

use crate::api::config::ExecutionConfig;
use crate::api::error::{ExecutionError, Result, ValidationError};
use crate::api::request::ExecutionRequest;
use crate::api::result::{ExecutionResult, ExecutionStatus, ResultErrorCode};
use crate::execution::handlers::Handlers;
use crate::execution::resolve::{Unresolved, resolve};
use crate::execution::running::{Begun, PlanDeadline, Running, Settling, Telling};
use crate::process::environment::Environment;
use crate::process::{Invocation, spawn};
use crate::state::execution::{Execution, empty_result};
use crate::state::registry::Registry;
use crate::state::slots::{MaybeSlot, Slot};

/// An execution on its way to its process.
pub(crate) struct Start {
    pub config: Arc<ExecutionConfig>,
    pub registry: Arc<Registry>,
    pub execution: Arc<Execution>,
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

impl Start {
    /// Resolves a request, and starts it if it need not wait.
    pub fn decide(
        self,
        request: ExecutionRequest,
        environment: Environment,
        maybe_slot: MaybeSlot,
        decision: Decision<impl FnOnce(Result<Uuid>)>,
    ) {
        let resolved = self.resolve(&request, &environment);
        // Its directory is not held on to for longer than the start takes.
        drop(environment);
        let resolved = match resolved {
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
        let begun = unless_it_panics(|| self.begin(resolved, maybe_slot));
        self.live(request, begun, StepTurn::default());
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
            let resolved = self.resolve(&request, &environment);
            drop(environment);
            let resolved = match resolved {
                // In a result no field is named: Rust and TypeScript spell it differently.
                Err(Unresolved::Invalid(ValidationError {
                    expected, found, ..
                })) => {
                    let error = format!("not started: expected {expected}, found {found}");
                    if turn.is_made {
                        // With the error the slot is given back: who is told of it may want it at once.
                        drop(slot);
                        return Begun::Invalid(error);
                    }
                    Err(error)
                }
                Err(Unresolved::Unstartable(error)) => Err(error),
                Ok(invocation) => Ok(invocation),
            };
            self.begin(resolved, MaybeSlot::Slot(slot))
        });
        self.live(request, begun, turn);
    }

    /// Settles an execution that is never to be started.
    pub fn never_start(
        self,
        status: ExecutionStatus,
        error: String,
        error_code: Option<ResultErrorCode>,
        pending: Option<Telling>,
    ) {
        let result = ExecutionResult {
            status,
            error: Some(error),
            error_code,
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

    fn resolve(
        &self,
        request: &ExecutionRequest,
        environment: &Environment,
    ) -> std::result::Result<Invocation, Unresolved> {
        let mut invocation = resolve(request, environment, self.config.orphan_protection)?;
        let logs = request.log_output.unwrap_or(self.config.log_output);
        invocation.files = usize::from(logs) + usize::from(request.output_log_path.is_some());
        Ok(invocation)
    }

    fn begin(
        &self,
        resolved: std::result::Result<Invocation, String>,
        maybe_slot: MaybeSlot,
    ) -> Begun {
        match (resolved, maybe_slot) {
            // With the error the slot is given back: who is told of the failure may want it at once.
            (Err(error), _) => Begun::Unstartable(error),
            (Ok(invocation), MaybeSlot::Slot(slot)) if self.execution.stop.cause().is_none() => {
                let tried = spawn(&invocation);
                Begun::Tried(Box::new(invocation), slot, tried)
            }
            (Ok(invocation), maybe_slot) => Begun::Waiting(Box::new(invocation), maybe_slot),
        }
    }

    fn live(self, mut request: ExecutionRequest, begun: Begun, turn: StepTurn) {
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
        running.pending = turn.pending;
        self.runtime.spawn(running.live(begun));
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

//! From a request that was accepted to a process: resolved and started on a thread that may block.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use uuid::Uuid;

use crate::api::config::ExecutionConfig;
use crate::api::error::{ExecutionError, Result, ValidationError};
use crate::api::request::ExecutionRequest;
use crate::api::result::ExecutionStatus;
use crate::execution::handlers::Handlers;
use crate::execution::resolve::{Unresolved, resolve};
use crate::execution::retry::Again;
use crate::execution::running::{Begun, PlanDeadline, Running};
use crate::process::environment::Environment;
use crate::process::{Invocation, pool, spawn};
use crate::state::cancellation::{Cause, Reason};
use crate::state::execution::Execution;
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

impl Start {
    /// Resolves a request, and starts it if it need not wait.
    pub fn decide(
        self,
        request: ExecutionRequest,
        environment: &Environment,
        maybe_slot: MaybeSlot,
        decision: Decision<impl FnOnce(Result<Uuid>)>,
    ) {
        let resolved = match resolve_for(&self.config, &request, environment) {
            Err(Unresolved::Invalid(error)) => {
                // Who is told of the refusal may want the slot at once.
                drop(maybe_slot);
                return decision.refuse(error.into());
            }
            Err(Unresolved::Unstartable(error)) => Err(error),
            Ok(invocation) => Ok(invocation),
        };
        decision.accept();
        let begun = unless_it_panics(|| begin(&self.execution, resolved, maybe_slot));
        self.live(request, begun, None, Some(environment));
    }

    /// The same for a step of a plan, whose files were checked when the plan was accepted.
    pub fn start_step(
        self,
        request: ExecutionRequest,
        environment: &Environment,
        slot: Slot,
        deadline: Option<PlanDeadline>,
    ) {
        let begun = unless_it_panics(|| {
            let resolved = resolve_late(&self.config, &request, environment);
            begin(&self.execution, resolved, MaybeSlot::Slot(slot))
        });
        self.live(request, begun, deadline, Some(environment));
    }

    /// Settles an execution that is never to be started; `reason` is that of a cancel.
    pub fn never_start(
        self,
        request: ExecutionRequest,
        status: ExecutionStatus,
        error: String,
        reason: Reason,
    ) {
        self.live(request, Begun::Never(status, error, reason), None, None);
    }

    /// Settles an execution that was stopped before it had its turn.
    pub fn stopped(self, request: ExecutionRequest, cause: Cause) {
        self.live(request, Begun::Stopped(cause), None, None);
    }

    /// `environment` is that of further attempts.
    fn live(
        self,
        mut request: ExecutionRequest,
        begun: Begun,
        deadline: Option<PlanDeadline>,
        environment: Option<&Environment>,
    ) {
        let mut running = Running::new(
            self.execution,
            self.registry,
            self.config,
            self.handlers,
            &mut request,
        );
        running.plan_deadline = deadline;
        if let (Some(retry), Some(environment)) = (request.retry.take(), environment) {
            running.again = Some(Box::new(Again {
                retry,
                request: Arc::new(request),
                environment: environment.clone(),
                slots: self.slots,
            }));
        }
        self.runtime.spawn(running.live(begun));
    }
}

fn resolve_for(
    config: &ExecutionConfig,
    request: &ExecutionRequest,
    environment: &Environment,
) -> std::result::Result<Invocation, Unresolved> {
    let mut invocation = resolve(request, environment, config.orphan_protection)?;
    invocation.files =
        usize::from(config.log_output) + usize::from(request.output_log_path.is_some());
    Ok(invocation)
}

/// The same for a request that was accepted before: what cannot be resolved now is told in its result.
fn resolve_late(
    config: &ExecutionConfig,
    request: &ExecutionRequest,
    environment: &Environment,
) -> std::result::Result<Invocation, String> {
    resolve_for(config, request, environment).map_err(|unresolved| match unresolved {
        // In a result no field is named: Rust and TypeScript spell it differently.
        Unresolved::Invalid(ValidationError {
            expected, found, ..
        }) => format!("not started: expected {expected}, found {found}"),
        Unresolved::Unstartable(error) => error,
    })
}

fn begin(
    execution: &Execution,
    resolved: std::result::Result<Invocation, String>,
    maybe_slot: MaybeSlot,
) -> Begun {
    match (resolved, maybe_slot) {
        // With the error the slot is given back: who is told of the failure may want it at once.
        (Err(error), _) => Begun::Unstartable(error),
        (Ok(invocation), MaybeSlot::Slot(slot)) if execution.stop.cause().is_none() => {
            let tried = spawn(&invocation);
            Begun::Tried(Box::new(invocation), slot, tried)
        }
        (Ok(invocation), maybe_slot) => Begun::Waiting(Box::new(invocation), maybe_slot),
    }
}

/// Resolves a request anew for another attempt, and starts it: programs come and go.
pub(super) async fn begin_again(running: &Running, again: &Again, slot: Slot) -> Begun {
    let (config, execution) = (Arc::clone(&running.config), Arc::clone(&running.execution));
    let (request, environment) = (Arc::clone(&again.request), again.environment.clone());
    let reads = running.stdin.is_some();
    let begun = pool::STARTS.run(move || {
        let mut resolved = resolve_late(&config, &request, &environment);
        if let Ok(invocation) = &mut resolved {
            invocation.stdin = reads;
        }
        begin(&execution, resolved, MaybeSlot::Slot(slot))
    });
    let panicked = || Begun::Unstartable("the start panicked".into());
    begun.await.unwrap_or_else(panicked)
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

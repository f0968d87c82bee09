//! From a request to the first try to start it, on a thread that may block.

use crate::api::config::ExecutionConfig;
use crate::api::error::ValidationError;
use crate::api::request::ExecutionRequest;
use crate::execution::resolve::{Unresolved, resolve};
use crate::execution::running::Begun;
use crate::process::environment::Environment;
use crate::process::{Invocation, spawn};
use crate::state::execution::Execution;
use crate::state::slots::MaybeSlot;

/// Resolves a request for an engine of that configuration.
pub(super) fn resolve_for(
    config: &ExecutionConfig,
    request: &ExecutionRequest,
    environment: &Environment,
) -> Result<Invocation, Unresolved> {
    let mut invocation = resolve(request, environment, config.orphan_protection)?;
    let logs = request.log_output.unwrap_or(config.log_output);
    invocation.files = usize::from(logs) + usize::from(request.output_log_path.is_some());
    Ok(invocation)
}

/// The same for a request that was accepted before: what cannot be resolved now is told in its result.
pub(super) fn resolve_late(
    config: &ExecutionConfig,
    request: &ExecutionRequest,
    environment: &Environment,
) -> Result<Invocation, String> {
    resolve_for(config, request, environment).map_err(in_words)
}

/// In a result no field is named: Rust and TypeScript spell it differently.
pub(super) fn in_words(unresolved: Unresolved) -> String {
    match unresolved {
        Unresolved::Invalid(ValidationError {
            expected, found, ..
        }) => format!("not started: expected {expected}, found {found}"),
        Unresolved::Unstartable(error) => error,
    }
}

/// Starts what was resolved, unless it has to wait, or is not to be started any more.
pub(super) fn begin(
    execution: &Execution,
    resolved: Result<Invocation, String>,
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

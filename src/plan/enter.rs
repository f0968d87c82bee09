//! A plan on its way into the registry: checked, with the secrets of its steps, and its steps as executions.

use std::sync::Arc;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::api::command::Command;
use crate::api::config::ExecutionConfig;
use crate::api::error::ValidationError;
use crate::api::plan::ExecutionPlan;
use crate::api::request::{ExecutionMetadata, ExecutionRequest};
use crate::execution::secrets::{Collector, displayed};
use crate::state::cancellation::Stop;
use crate::state::execution::{Displayed, Execution, Step, StepNews};
use crate::state::plan::Plan;
use crate::state::secrets::{SecretSet, hide_all};

/// Checks a plan, and returns the secrets of each step. What is refused is told without any of them.
pub(crate) fn checked_steps(
    request: &ExecutionPlan,
    config: &ExecutionConfig,
    collector: Collector<'_>,
) -> std::result::Result<Vec<Option<Arc<SecretSet>>>, ValidationError> {
    let secrets = secrets_of_steps(request, collector)?;
    let valid = request.validate(config);
    valid.map_err(|error| error.hiding(|text| hide_all(secrets.iter().flatten(), text)))?;
    Ok(secrets)
}

fn secrets_of_steps(
    request: &ExecutionPlan,
    collector: Collector<'_>,
) -> std::result::Result<Vec<Option<Arc<SecretSet>>>, ValidationError> {
    let collector = collector.for_plan(&request.secrets, &request.secret_env)?;
    // As long as a request is not made, its secrets are those that any other would have.
    let any = ExecutionRequest::new(Command::exec("", [""; 0]));
    let steps = request.steps.keys().into_iter().zip(request.steps.iter());
    steps
        .map(|(key, step)| {
            let request = step.known().unwrap_or(&any);
            collector.collect(request, |error| error.within(&key.path()))
        })
        .collect()
}

/// The plan with its steps, all pending, and where they report.
pub(crate) fn steps_of(
    request: &ExecutionPlan,
    secrets: Vec<Option<Arc<SecretSet>>>,
    stop: Arc<Stop>,
) -> (Arc<Plan>, UnboundedReceiver<StepNews>) {
    let (reporter, news) = unbounded_channel();
    let unknown = ExecutionMetadata::default();
    let keys = request.steps.keys().into_iter().enumerate();
    let steps = keys.zip(request.steps.iter().zip(secrets));
    let steps = steps.map(|((index, key), (step, secrets))| {
        let place = Step {
            index,
            plan: request.id,
            key,
            may_fail: step.allow_failure,
            reporter: reporter.clone(),
        };
        let id = step.id();
        let (displayed, metadata) = match step.known() {
            Some(request) => (displayed(&request.command, secrets), &request.metadata),
            None => (Displayed::not_yet(secrets), &unknown),
        };
        let lease_ms = step.known().and_then(|request| request.lease_ms);
        let stop = Arc::default();
        let execution = Execution::new(id, displayed, metadata, stop, Some(place), lease_ms);
        match step.known() {
            Some(request) => execution.input.open_for(request),
            // What is written before it is known waits.
            None => execution.input.open(),
        }
        execution
    });
    (Plan::new(request, steps.collect(), stop), news)
}

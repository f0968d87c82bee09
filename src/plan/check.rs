//! Checks a request or a plan as the engine would, without an engine: nothing is run, and no file, directory or program of
//! this machine is looked at.

use serde::Serialize;
use uuid::Uuid;

use super::enter::checked_steps;
use crate::api::config::{ExecutionConfig, MAX_MILLIS};
use crate::api::error::{ExecutionError, Result};
use crate::api::plan::ExecutionPlan;
use crate::api::request::ExecutionRequest;
use crate::api::step::PlanStep;
use crate::api::step_key::StepKey;
use crate::execution::secrets::{Collector, displayed, secret_variables};
use crate::masking::secret::Secret;
use crate::process::environment::{Assignment, Environment};
use crate::state::secrets::SecretSets;
#[cfg(feature = "node")]
use crate::state::secrets::hide_all;

/// What [`check_request`] and [`check_plan`] compare with.
#[derive(Debug, Clone, Default)]
pub struct CheckOptions {
    /// The configuration of the engine that is to run it. Default: not known. Then any group is allowed and any deadline,
    /// and the variables whose values are secrets are those of the default configuration.
    pub config: Option<ExecutionConfig>,
    /// What the command would inherit: the values of variables that are secrets are hidden. Default:
    /// [`Environment::current`].
    pub environment: Option<Environment>,
}

/// A request that would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedRequest {
    /// Its id.
    pub id: Uuid,
    /// The command for display, without its secrets, as in [`ExecutionResult::command`](crate::ExecutionResult::command).
    pub command: String,
    /// The paths of its fields that hold values of secrets, such as `secrets[0]` or `env.API_TOKEN`.
    pub secret_fields: Vec<String>,
}

/// A plan that would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedPlan {
    /// Its id.
    pub id: Uuid,
    /// Its steps, in their order.
    pub steps: Vec<CheckedStep>,
    /// The paths of fields that hold values of secrets, such as `secrets[0]` or `steps.deploy.env.API_TOKEN`.
    pub secret_fields: Vec<String>,
}

/// A step of a plan that would be accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CheckedStep {
    /// Its name or its index.
    pub step: StepKey,
    /// The id of its execution.
    pub id: Uuid,
    /// The command for display. `None`: it is made when the turn of the step has come.
    pub command: Option<String>,
}

/// Checks a request as [`ExecutionEngine::execute`](crate::ExecutionEngine::execute) would, as far as that needs neither an
/// engine nor a look at this machine: not whether directories, scripts and users are there, nor whether the id is free.
///
/// # Errors
///
/// [`ExecutionError::Validation`] for what the engine would refuse, with the same field and the same message;
/// [`ExecutionError::InvalidConfig`] for a configuration that is none.
pub fn check_request(request: &ExecutionRequest, options: &CheckOptions) -> Result<CheckedRequest> {
    let checker = Checker::new(options, [request])?;
    let secrets = checker.collector().check(request, &checker.config)?;
    Ok(CheckedRequest {
        id: request.id,
        command: displayed(&request.command, secrets).text(),
        secret_fields: fields_with_secrets(request, &[], &checker.config, ""),
    })
}

/// Checks a plan as [`ExecutionEngine::execute_plan`](crate::ExecutionEngine::execute_plan) would, as far as
/// [`check_request`] does.
///
/// # Errors
///
/// As for [`check_request`].
pub fn check_plan(plan: &ExecutionPlan, options: &CheckOptions) -> Result<CheckedPlan> {
    let known = plan.steps.iter().filter_map(PlanStep::known);
    let checker = Checker::new(options, known)?;
    let secrets = checked_steps(plan, &checker.config, checker.collector())?;
    let keys = plan.steps.keys().into_iter();
    let steps = keys.zip(plan.steps.iter()).zip(secrets);
    let steps = steps.map(|((key, step), secrets)| CheckedStep {
        step: key,
        id: step.id(),
        command: step
            .known()
            .map(|request| displayed(&request.command, secrets).text()),
    });
    Ok(CheckedPlan {
        id: plan.id,
        steps: steps.collect(),
        secret_fields: checker.fields_of_plan(plan),
    })
}

/// What stands in for an engine.
struct Checker {
    config: ExecutionConfig,
    environment: Environment,
    sets: SecretSets,
}

impl Checker {
    fn new<'a>(
        options: &CheckOptions,
        requests: impl IntoIterator<Item = &'a ExecutionRequest>,
    ) -> Result<Self> {
        let config = match &options.config {
            Some(config) => config.clone(),
            None => permitting(requests),
        };
        config.validate().map_err(ExecutionError::InvalidConfig)?;
        let environment = options.environment.clone();
        let environment = environment.unwrap_or_else(Environment::current);
        Ok(Self {
            config,
            // Whether a value of this machine can be hidden is no matter of the request, which may run on another.
            environment: environment.filtered(can_be_hidden),
            sets: SecretSets::default(),
        })
    }

    fn collector(&self) -> Collector<'_> {
        let patterns = &self.config.secret_env_patterns;
        Collector::new(&self.environment, patterns, &self.sets)
    }

    fn fields_of_plan(&self, plan: &ExecutionPlan) -> Vec<String> {
        let own = (0..plan.secrets.len()).map(|index| format!("secrets[{index}]"));
        let steps = plan.steps.keys().into_iter().zip(plan.steps.iter());
        let of_steps = steps.filter_map(|(key, step)| {
            let path = format!("{}.", key.path());
            Some(fields_with_secrets(
                step.known()?,
                &plan.secret_env,
                &self.config,
                &path,
            ))
        });
        own.chain(of_steps.flatten()).collect()
    }
}

/// A configuration that allows what only a configuration could refuse.
fn permitting<'a>(requests: impl IntoIterator<Item = &'a ExecutionRequest>) -> ExecutionConfig {
    let named = requests
        .into_iter()
        .filter_map(|request| request.group.clone());
    ExecutionConfig {
        // An empty one is refused by any.
        groups: named
            .filter(|name| !name.is_empty())
            .map(|name| (name, 1))
            .collect(),
        max_timeout_ms: MAX_MILLIS,
        ..ExecutionConfig::default()
    }
}

fn can_be_hidden(variable: &Assignment) -> bool {
    let value = variable.value();
    value.is_some_and(|value| Secret::from(value).complaint().is_none())
}

/// The fields of a request whose values are secrets; `names` are those of variables that its plan names.
fn fields_with_secrets(
    request: &ExecutionRequest,
    names: &[String],
    config: &ExecutionConfig,
    path: &str,
) -> Vec<String> {
    let listed = (0..request.secrets.len()).map(|index| format!("{path}secrets[{index}]"));
    let variables = secret_variables(request, names, &config.secret_env_patterns);
    let variables = variables.map(|name| format!("{path}env.{name}"));
    listed.chain(variables).collect()
}

/// A text without the secrets of a request.
///
/// # Errors
///
/// As for [`check_request`].
#[cfg(feature = "node")]
pub(crate) fn hide(
    request: &ExecutionRequest,
    options: &CheckOptions,
    text: &str,
) -> Result<String> {
    let checker = Checker::new(options, [request])?;
    let secrets = checker.collector().collect(request, |error| error)?;
    Ok(hide_all(secrets.iter(), text))
}

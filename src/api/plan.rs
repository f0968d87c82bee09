//! Many commands as one unit, and how that ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::request::{ExecutionMetadata, ExecutionRequest};
use super::result::{ExecutionResult, ExecutionStatus};
use crate::masking::secret::{self, Secret};
use crate::masking::text;

/// Commands that belong together. Each step is an execution of its own, under its own id, and takes a slot of
/// the engine like any other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct ExecutionPlan {
    /// A UUID. Default: a random one.
    #[serde(default = "Uuid::new_v4")]
    pub id: Uuid,
    /// For display. Default: empty.
    #[serde(default)]
    pub description: String,
    /// In which order the commands run, and what a failure means for the others.
    pub strategy: ExecutionStrategy,
    /// The steps.
    pub commands: Vec<ExecutionRequest>,
    /// The deadline of the whole plan, in milliseconds, counted from its acceptance. Default: none but those of the steps.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Secrets of all steps, besides those that each names itself: [`ExecutionRequest::secrets`]. Default: none.
    #[serde(default, deserialize_with = "secret::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", extend("x-secret" = true)))]
    pub secrets: Vec<Secret>,
    /// The names of variables of the steps whose values are secrets, besides those that each names itself:
    /// [`ExecutionRequest::secret_env`]. Default: none.
    #[serde(default)]
    pub secret_env: Vec<String>,
    /// What the plan says about itself.
    #[serde(default)]
    pub metadata: ExecutionMetadata,
}

/// The commands, without the secrets that plan and step name.
impl fmt::Debug for ExecutionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = self.commands.iter();
        let commands: Vec<_> = steps
            .map(|step| step.display_hiding(&self.secrets))
            .collect();
        f.debug_struct("ExecutionPlan")
            .field("id", &self.id)
            .field("description", &text::hide(&self.secrets, &self.description))
            .field("strategy", &self.strategy)
            .field("commands", &commands)
            .finish_non_exhaustive()
    }
}

impl ExecutionPlan {
    /// A plan with a new id and every other field at its default.
    #[must_use]
    pub fn new(strategy: ExecutionStrategy, commands: Vec<ExecutionRequest>) -> Self {
        Self {
            id: Uuid::new_v4(),
            description: String::new(),
            strategy,
            commands,
            timeout_ms: None,
            secrets: Vec::new(),
            secret_env: Vec::new(),
            metadata: ExecutionMetadata::default(),
        }
    }
}

/// In which order the steps of a plan run. A step fails when it ends in any way but `completed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ExecutionStrategy {
    /// One after the other.
    Serial {
        /// Whether a failure skips the rest. Default: `true`.
        #[serde(default = "yes")]
        stop_on_error: bool,
    },
    /// All at once.
    Parallel {
        /// How many steps of this plan run at once. Default: as many as the engine has slots.
        #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_concurrency: Option<usize>,
        /// Whether after a failure nothing more is started. Default: `false`.
        #[serde(default)]
        stop_on_error: bool,
    },
    /// Each step once those it depends on have completed. A failure skips what depends on the step.
    DependencyGraph {
        /// For the index of a step in [`ExecutionPlan::commands`], the indices of those it waits for. No cycles.
        #[serde(deserialize_with = "indices")]
        dependencies: BTreeMap<usize, Vec<usize>>,
        /// How many steps of this plan run at once. Default: as many as the engine has slots.
        #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max_concurrency: Option<usize>,
        /// Whether after a failure nothing more is started. Default: `false`.
        #[serde(default)]
        stop_on_error: bool,
    },
}

fn yes() -> bool {
    true
}

/// The keys of a JSON object are texts, also where they are numbers.
fn indices<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<BTreeMap<usize, Vec<usize>>, D::Error> {
    let named: BTreeMap<String, Vec<usize>> = BTreeMap::deserialize(from)?;
    let parse = |(name, list): (String, _)| match name.parse() {
        Ok(index) => Ok((index, list)),
        Err(_) => Err(D::Error::custom(format!(
            "expected the index of a step, found {name:?}"
        ))),
    };
    named.into_iter().map(parse).collect()
}

/// How a plan ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PlanExecutionResult {
    /// The id of the plan.
    pub plan_id: Uuid,
    /// The description of the plan; empty if it had none.
    pub description: String,
    /// `completed` if all steps are, `cancelled` or `timeout` if that ended the plan, `failed` otherwise.
    pub status: ExecutionStatus,
    /// Whether `status` is `completed`.
    pub success: bool,
    /// One per command, in the order of [`ExecutionPlan::commands`].
    pub results: Vec<Arc<ExecutionResult>>,
    /// The time from the acceptance of the plan to its end, in milliseconds.
    pub total_duration_ms: u64,
    /// How many steps ended in which way.
    pub stats: ExecutionStats,
}

/// How many steps of a plan ended in which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ExecutionStats {
    /// All of them.
    pub total: usize,
    /// Those that completed.
    pub completed: usize,
    /// Those that failed.
    pub failed: usize,
    /// Those that were cancelled, also before they were started.
    pub cancelled: usize,
    /// Those whose deadline passed, or that of the plan.
    pub timeout: usize,
    /// Those that were not started, because another one failed.
    pub skipped: usize,
}

impl ExecutionStats {
    pub(crate) fn of(results: &[Arc<ExecutionResult>]) -> Self {
        let mut stats = Self {
            total: results.len(),
            ..Self::default()
        };
        for result in results {
            *match result.status {
                ExecutionStatus::Completed => &mut stats.completed,
                ExecutionStatus::Cancelled => &mut stats.cancelled,
                ExecutionStatus::Timeout => &mut stats.timeout,
                ExecutionStatus::Skipped => &mut stats.skipped,
                _ => &mut stats.failed,
            } += 1;
        }
        stats
    }
}

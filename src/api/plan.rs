//! Many commands as one unit, and how that ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use uuid::Uuid;

use super::request::ExecutionMetadata;
use super::result::{ExecutionResult, ExecutionStatus};
use super::step::{PlanStep, StepRequest};
use super::step_key::StepKey;
use crate::masking::secret::{self, Secret};
use crate::masking::text;

/// Commands that belong together. Each step is an execution of its own, under its own id, and takes a slot of
/// the engine like any other.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(try_from = "PlanFields", into = "PlanFields")]
pub struct ExecutionPlan {
    /// A UUID.
    pub id: Uuid,
    /// For display.
    pub description: String,
    /// What it runs, and in which order.
    pub steps: PlanSteps,
    /// The deadline of the whole plan, in milliseconds, counted from its acceptance. Default: none but those of the steps.
    pub timeout_ms: Option<u64>,
    /// For how long the whole plan is wanted, in milliseconds from its acceptance, unless that is renewed in time. Default:
    /// for ever.
    pub lease_ms: Option<u64>,
    /// Secrets of all steps, besides those that each names itself: [`ExecutionRequest::secrets`](crate::ExecutionRequest::secrets). Default: none.
    pub secrets: Vec<Secret>,
    /// The names of variables of the steps whose values are secrets, besides those that each names itself:
    /// [`ExecutionRequest::secret_env`](crate::ExecutionRequest::secret_env). Default: none.
    pub secret_env: Vec<String>,
    /// What the plan says about itself.
    pub metadata: ExecutionMetadata,
}

/// The steps of a plan: told apart by their indices, or by names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanSteps {
    /// In JSON the fields `strategy` and `commands`.
    Indexed {
        /// In which order the commands run, and what a failure means for the others.
        strategy: ExecutionStrategy,
        /// The steps.
        commands: Vec<PlanStep>,
    },
    /// Each once those it [depends on](PlanStep::depends_on) have ended. In JSON the fields `steps`, `max_concurrency` and
    /// `stop_on_error`.
    Named {
        /// The steps, each with its name.
        steps: Vec<(String, PlanStep)>,
        /// How many of them run at once. `None`: as many as the engine has slots.
        max_concurrency: Option<usize>,
        /// Whether after a failure nothing more is started.
        stop_on_error: bool,
    },
}

impl PlanSteps {
    /// All of them, in the order of their results.
    pub fn iter(&self) -> impl Iterator<Item = &PlanStep> {
        let (indexed, named) = match self {
            Self::Indexed { commands, .. } => (Some(commands), None),
            Self::Named { steps, .. } => (None, Some(steps)),
        };
        let named = named.into_iter().flatten().map(|(_, step)| step);
        indexed.into_iter().flatten().chain(named)
    }

    /// All of them, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut PlanStep> {
        let (indexed, named) = match self {
            Self::Indexed { commands, .. } => (Some(commands), None),
            Self::Named { steps, .. } => (None, Some(steps)),
        };
        let named = named.into_iter().flatten().map(|(_, step)| step);
        indexed.into_iter().flatten().chain(named)
    }

    /// What each runs, in their order.
    pub(crate) fn into_requests(self) -> impl Iterator<Item = StepRequest> {
        let (indexed, named) = match self {
            Self::Indexed { commands, .. } => (Some(commands), None),
            Self::Named { steps, .. } => (None, Some(steps)),
        };
        let named = named.into_iter().flatten().map(|(_, step)| step);
        let all = indexed.into_iter().flatten().chain(named);
        all.map(|step| step.request)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Indexed { commands, .. } => commands.len(),
            Self::Named { steps, .. } => steps.len(),
        }
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What each is called, in their order.
    pub(crate) fn keys(&self) -> Vec<StepKey> {
        match self {
            Self::Indexed { commands, .. } => (0..commands.len()).map(StepKey::Index).collect(),
            Self::Named { steps, .. } => {
                let name = |(name, _): &(String, _)| StepKey::Name(name.as_str().into());
                steps.iter().map(name).collect()
            }
        }
    }
}

impl ExecutionPlan {
    /// A plan of numbered steps, with a new id and every other field at its default.
    #[must_use]
    pub fn new<S: Into<PlanStep>>(
        strategy: ExecutionStrategy,
        commands: impl IntoIterator<Item = S>,
    ) -> Self {
        Self::of(PlanSteps::Indexed {
            strategy,
            commands: commands.into_iter().map(Into::into).collect(),
        })
    }

    /// A plan of named steps, with a new id and every other field at its default.
    #[must_use]
    pub fn named<N: Into<String>, S: Into<PlanStep>>(
        steps: impl IntoIterator<Item = (N, S)>,
    ) -> Self {
        let steps = steps.into_iter();
        Self::of(PlanSteps::Named {
            steps: steps
                .map(|(name, step)| (name.into(), step.into()))
                .collect(),
            max_concurrency: None,
            stop_on_error: false,
        })
    }

    fn of(steps: PlanSteps) -> Self {
        Self {
            id: Uuid::new_v4(),
            description: String::new(),
            steps,
            timeout_ms: None,
            lease_ms: None,
            secrets: Vec::new(),
            secret_env: Vec::new(),
            metadata: ExecutionMetadata::default(),
        }
    }
}

/// The steps, without the secrets that the plan and each of them names.
impl fmt::Debug for ExecutionPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.steps.keys().into_iter().zip(self.steps.iter());
        let steps: Vec<_> = shown
            .map(|(key, step)| {
                let command = step.known().map(|one| one.display_hiding(&self.secrets));
                (key.path(), command)
            })
            .collect();
        f.debug_struct("ExecutionPlan")
            .field("id", &self.id)
            .field("description", &text::hide(&self.secrets, &self.description))
            .field("steps", &steps)
            .finish_non_exhaustive()
    }
}

/// A plan as it stands in JSON.
#[derive(Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "ExecutionPlan")
)]
#[serde(deny_unknown_fields)]
struct PlanFields {
    /// A UUID. Default: a random one.
    #[serde(default = "Uuid::new_v4")]
    id: Uuid,
    /// For display. Default: empty.
    #[serde(default)]
    description: String,
    /// In which order the commands run, and what a failure means for the others.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-plan" = "IndexedPlan", "x-needed" = true))
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    strategy: Option<ExecutionStrategy>,
    /// The steps.
    #[cfg_attr(
        feature = "schema",
        schemars(extend("x-plan" = "IndexedPlan", "x-needed" = true, "x-typescript" = "readonly IndexedStep[]"))
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    commands: Option<Vec<PlanStep>>,
    /// The steps, by their names. They start in this order, as far as nothing keeps them waiting. (Names that are whole
    /// numbers come first, as in any object of JavaScript.)
    #[cfg_attr(
        feature = "schema",
        schemars(
            with = "Option<BTreeMap<String, PlanStep>>",
            extend("x-plan" = "NamedPlan", "x-needed" = true, "x-typescript" = "Readonly<Record<string, NamedStep>>")
        )
    )]
    #[serde(default, with = "by_name", skip_serializing_if = "Option::is_none")]
    steps: Option<Vec<(String, PlanStep)>>,
    /// How many steps of this plan run at once. Default: as many as the engine has slots.
    #[cfg_attr(
        feature = "schema",
        schemars(range(min = 1), extend("x-plan" = "NamedPlan"))
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_concurrency: Option<usize>,
    /// Whether after a failure nothing more is started, but what is there for failures. Default: `false`.
    #[cfg_attr(feature = "schema", schemars(extend("x-plan" = "NamedPlan")))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stop_on_error: Option<bool>,
    /// The deadline of the whole plan, in milliseconds, counted from its acceptance. Default: none but those of the steps.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    /// For how long the whole plan is wanted, in milliseconds from its acceptance, unless that is renewed in time: then what
    /// runs of it is ended, with the status `failed` and the error code `LEASE_LOST`, what waits is `cancelled` and never
    /// starts, and the plan has `failed`. The engine sees to that by itself, whatever becomes of whoever renews it.
    /// Default: for ever.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lease_ms: Option<u64>,
    /// Secrets of all steps, besides those that each names itself: [`ExecutionRequest::secrets`](crate::ExecutionRequest::secrets). Default: none.
    #[serde(default, deserialize_with = "secret::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>", extend("x-secret" = true)))]
    secrets: Vec<Secret>,
    /// The names of variables of the steps whose values are secrets, besides those that each names itself:
    /// [`ExecutionRequest::secret_env`](crate::ExecutionRequest::secret_env). Default: none.
    #[serde(default)]
    secret_env: Vec<String>,
    /// What the plan says about itself.
    #[serde(default)]
    metadata: ExecutionMetadata,
}

impl TryFrom<PlanFields> for ExecutionPlan {
    type Error = &'static str;

    fn try_from(fields: PlanFields) -> Result<Self, &'static str> {
        let is_named = fields.max_concurrency.is_some() || fields.stop_on_error.is_some();
        let steps = match (fields.strategy, fields.commands, fields.steps) {
            (Some(strategy), Some(commands), None) if !is_named => {
                PlanSteps::Indexed { strategy, commands }
            }
            (None, None, Some(steps)) => PlanSteps::Named {
                steps,
                max_concurrency: fields.max_concurrency,
                stop_on_error: fields.stop_on_error.unwrap_or_default(),
            },
            _ => return Err("expected either strategy and commands, or steps"),
        };
        Ok(Self {
            id: fields.id,
            description: fields.description,
            steps,
            timeout_ms: fields.timeout_ms,
            lease_ms: fields.lease_ms,
            secrets: fields.secrets,
            secret_env: fields.secret_env,
            metadata: fields.metadata,
        })
    }
}

impl From<ExecutionPlan> for PlanFields {
    fn from(plan: ExecutionPlan) -> Self {
        let mut fields = Self {
            id: plan.id,
            description: plan.description,
            strategy: None,
            commands: None,
            steps: None,
            max_concurrency: None,
            stop_on_error: None,
            timeout_ms: plan.timeout_ms,
            lease_ms: plan.lease_ms,
            secrets: plan.secrets,
            secret_env: plan.secret_env,
            metadata: plan.metadata,
        };
        match plan.steps {
            PlanSteps::Indexed { strategy, commands } => {
                fields.strategy = Some(strategy);
                fields.commands = Some(commands);
            }
            PlanSteps::Named {
                steps,
                max_concurrency,
                stop_on_error,
            } => {
                fields.steps = Some(steps);
                fields.max_concurrency = max_concurrency;
                fields.stop_on_error = Some(stop_on_error);
            }
        }
        fields
    }
}

/// Named steps as an object, in its order.
mod by_name {
    use std::fmt;

    use serde::de::{MapAccess, Visitor};
    use serde::{Deserializer, Serializer};

    use super::PlanStep;

    type Steps = Vec<(String, PlanStep)>;

    #[expect(clippy::ref_option, reason = "as serde calls it")]
    pub fn serialize<S: Serializer>(
        steps: &Option<Steps>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let steps = steps.iter().flatten();
        serializer.collect_map(steps.map(|(name, step)| (name, step)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Steps>, D::Error> {
        struct Named;

        impl<'de> Visitor<'de> for Named {
            type Value = Steps;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of steps")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Steps, A::Error> {
                let mut steps = Vec::new();
                while let Some(step) = map.next_entry()? {
                    steps.push(step);
                }
                Ok(steps)
            }
        }

        deserializer.deserialize_map(Named).map(Some)
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
    /// Each step once those it depends on have ended. A failure skips what depends on the step, unless its `when` says
    /// otherwise.
    DependencyGraph {
        /// For the index of a step in `commands`, the indices of those it waits for. No cycles.
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
    /// `completed` unless a step failed that may not; skipped ones do not count. `cancelled` or `timeout` if that ended
    /// the plan, `failed` otherwise.
    pub status: ExecutionStatus,
    /// Whether `status` is `completed`.
    pub success: bool,
    /// One per step, in the order of the plan.
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
    /// Those that were not started, because of what became of others.
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

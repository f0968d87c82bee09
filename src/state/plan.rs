//! A plan and its steps, as long as they are remembered.

use std::sync::Arc;

use uuid::Uuid;

use super::cancellation::Stop;
use super::completion::Completion;
use super::execution::{Execution, ended_with_runtime, refuse};
use super::secrets::{SecretSets, hide_all};
use crate::api::error::{ExecutionError, Result};
use crate::api::plan::{ExecutionStats, PlanExecutionResult};
use crate::api::result::ExecutionStatus;
use crate::api::step::StepResults;
use crate::api::step_key::StepKey;
use crate::masking::secret::Secret;

/// What the registry knows of a plan.
#[derive(Debug)]
pub(crate) struct Plan {
    pub id: Uuid,
    pub steps: Vec<Arc<Execution>>,
    pub stop: Arc<Stop>,
    pub outcome: Completion<PlanExecutionResult>,
}

impl Plan {
    pub fn id(&self) -> Uuid {
        self.id
    }

    pub fn status(&self) -> ExecutionStatus {
        let result = self.outcome.get();
        result.map_or(ExecutionStatus::Running, |result| result.status)
    }

    /// Hides something more of what is shown of its steps from now on.
    pub fn add_secret(&self, secret: &Secret, sets: &SecretSets) -> Result<()> {
        if self.outcome.get().is_some() {
            return Err(ExecutionError::AlreadyFinished(self.id));
        }
        for step in &self.steps {
            match step.add_secret(secret, sets) {
                // What has ended has been told.
                Err(ExecutionError::AlreadyFinished(_)) => {}
                added => added?,
            }
        }
        Ok(())
    }

    /// A text without the secrets of any step.
    pub fn hide(&self, text: &str) -> String {
        let sets: Vec<_> = self
            .steps
            .iter()
            .filter_map(|step| step.secrets.set())
            .collect();
        hide_all(&sets, text)
    }

    pub fn result(&self) -> Result<Arc<PlanExecutionResult>> {
        let result = self.outcome.get().cloned();
        result.ok_or(ExecutionError::NotFinished(self.id))
    }

    /// The result of a plan whose steps have all ended; one that has not ends with the runtime.
    pub fn result_of_steps(
        &self,
        description: String,
        ended_by: Option<ExecutionStatus>,
        total_duration_ms: u64,
    ) -> PlanExecutionResult {
        let steps = self.steps.iter();
        let results: Vec<_> = steps.map(|step| ended_with_runtime(step)).collect();
        let stats = ExecutionStats::of(&results);
        let may_fail = self.steps.iter().map(|step| step.may_fail());
        let mut ends = results.iter().map(|result| result.status).zip(may_fail);
        // What a stop has ended did not end as it would have, whether or not it may fail.
        let is_success = |(status, may_fail)| match status {
            ExecutionStatus::Completed | ExecutionStatus::Skipped => true,
            ExecutionStatus::Failed => may_fail,
            _ => may_fail && ended_by.is_none(),
        };
        let success = ends.all(is_success);
        PlanExecutionResult {
            plan_id: self.id,
            description,
            status: match (success, ended_by) {
                (true, _) => ExecutionStatus::Completed,
                (false, Some(cause)) => cause,
                (false, None) => ExecutionStatus::Failed,
            },
            success,
            results,
            total_duration_ms,
            stats,
        }
    }

    /// What has become of the steps so far.
    pub fn results(&self) -> StepResults {
        let steps = self.steps.iter().enumerate().map(|(index, step)| {
            let key = step.origin().step.clone();
            let result = step.outcome.get().cloned();
            (key.unwrap_or(StepKey::Index(index)), result)
        });
        StepResults::new(steps.collect())
    }

    /// Settles a plan that was refused after it had been entered, for those who wait for it already.
    pub fn refuse(&self) {
        for step in &self.steps {
            refuse(step);
        }
        let cause = Some(ExecutionStatus::Cancelled);
        let result = self.result_of_steps(String::new(), cause, 0);
        self.outcome.set(Arc::new(result));
        self.outcome.announce();
    }
}

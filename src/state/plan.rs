//! A plan and its steps, as long as they are remembered.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

use super::cancellation::{Cause, Stop};
use super::completion::Completion;
use super::execution::{Execution, ended_with_runtime, refuse};
use super::lease::{Lease, deadline_after};
use super::secrets::{SecretSets, hide_all};
use crate::api::error::{ExecutionError, Result};
use crate::api::plan::{ExecutionPlan, ExecutionStats, PlanExecutionResult};
use crate::api::result::{ExecutionResult, ExecutionStatus, ResultErrorCode};
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
    /// When it was entered.
    pub accepted: Instant,
    pub deadline: Option<PlanDeadline>,
    pub lease: Option<Lease>,
}

/// When a plan is to be over.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlanDeadline {
    pub at: Instant,
    /// What the plan asked for.
    pub timeout_ms: u64,
}

impl Plan {
    /// Its deadline and its lease count from here on.
    pub fn new(request: &ExecutionPlan, steps: Vec<Arc<Execution>>, stop: Arc<Stop>) -> Arc<Self> {
        let accepted = Instant::now();
        Arc::new(Self {
            id: request.id,
            steps,
            stop,
            outcome: Completion::default(),
            accepted,
            deadline: request.timeout_ms.map(|timeout_ms| PlanDeadline {
                at: deadline_after(accepted, timeout_ms),
                timeout_ms,
            }),
            lease: request.lease_ms.map(Lease::new),
        })
    }

    /// Lets threads of the engine stop it when its deadline passes or its lease ends, however far it has come.
    pub fn keep_in_time(self: &Arc<Self>, runtime: &Handle) {
        if self.deadline.is_none() && self.lease.is_none() {
            return;
        }
        let plan = Arc::clone(self);
        runtime.spawn(async move {
            let cause = tokio::select! {
                cause = plan.passed() => cause,
                () = plan.lost() => Cause::Lease,
                _ = plan.outcome.wait() => return,
            };
            plan.stop.ask(cause);
        });
    }

    /// Resolves when its deadline has passed.
    async fn passed(&self) -> Cause {
        let Some(deadline) = self.deadline else {
            return std::future::pending().await;
        };
        sleep_until(deadline.at).await;
        Cause::PlanDeadline(deadline.timeout_ms)
    }

    /// Resolves when its lease has ended.
    async fn lost(&self) {
        match &self.lease {
            Some(lease) => lease.ended().await,
            None => std::future::pending().await,
        }
    }

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
        let mut ends = results.iter().zip(may_fail);
        // What a stop has ended did not end as it would have, whether or not it may fail.
        let is_lost = |result: &ExecutionResult| {
            ended_by.is_some() && result.error_code == Some(ResultErrorCode::LeaseLost)
        };
        let is_success = |(result, may_fail): (&Arc<ExecutionResult>, bool)| match result.status {
            ExecutionStatus::Completed | ExecutionStatus::Skipped => true,
            ExecutionStatus::Failed => may_fail && !is_lost(result),
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

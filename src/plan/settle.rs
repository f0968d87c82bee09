//! The one end of a plan, whatever happens to its task.

use std::sync::Arc;

use crate::api::plan::PlanExecutionResult;
use crate::api::result::ExecutionStatus;
use crate::state::execution::millis;
use crate::state::plan::Plan;
use crate::state::registry::{Registry, Unit};

/// Settles a plan, and wakes who waits for it when it is dropped: at the end of its life, or with its task, because
/// the runtime ends or by a defect. Then the plan is settled here.
pub(super) struct Settling {
    pub plan: Arc<Plan>,
    pub registry: Arc<Registry>,
    pub description: String,
}

impl Settling {
    pub fn settle(&self, ended_by: Option<ExecutionStatus>) -> Arc<PlanExecutionResult> {
        let description = self.description.clone();
        let taken = millis(self.plan.accepted.elapsed());
        let result = Arc::new(self.plan.result_of_steps(description, ended_by, taken));
        self.plan.outcome.set(Arc::clone(&result));
        self.registry.finish(&Unit::Plan(Arc::clone(&self.plan)));
        result
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        if self.plan.outcome.get().is_none() {
            self.settle(Some(ExecutionStatus::Cancelled));
            for step in &self.plan.steps {
                step.outcome.announce();
            }
        }
        self.plan.outcome.announce();
    }
}

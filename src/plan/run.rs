//! The life of a plan, from its decision to its result.

use std::sync::Arc;

use chrono::Utc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::timeout;
use uuid::Uuid;

use super::context::PlanContext;
use super::settle::Settling;
use super::steps::Steps;
use super::tell::Teller;
use crate::api::error::Result;
use crate::api::event::ExecutionEvent;
use crate::api::plan::ExecutionPlan;
use crate::execution::handlers::Handlers;
use crate::execution::start::Decision;
use crate::state::execution::StepNews;
use crate::state::plan::Plan;

/// A plan that was entered.
pub(crate) struct Run {
    plan: Arc<Plan>,
    news: UnboundedReceiver<StepNews>,
    context: PlanContext,
    handlers: Handlers,
}

impl Run {
    pub fn new(
        plan: Arc<Plan>,
        news: UnboundedReceiver<StepNews>,
        context: PlanContext,
        handlers: Handlers,
    ) -> Self {
        Self {
            plan,
            news,
            context,
            handlers,
        }
    }

    /// Checks what needs the file system, which may block, and lets the plan live.
    pub fn decide(self, request: ExecutionPlan, decision: Decision<impl FnOnce(Result<Uuid>)>) {
        if let Err(error) = request.check_files(&self.context.environment) {
            let error = error.hiding(|text| self.plan.hide(text));
            return decision.refuse(error.into());
        }
        decision.accept();
        let runtime = self.context.runtime.clone();
        runtime.spawn(self.live(request));
    }

    /// Lives it. Whatever happens, the plan is settled in the end: also when its runtime ends first, even before
    /// this future was polled.
    fn live(self, request: ExecutionPlan) -> impl Future<Output = ()> + Send {
        let settling = Settling {
            plan: Arc::clone(&self.plan),
            registry: Arc::clone(&self.context.registry),
            description: request.description.clone(),
        };
        async move {
            let drain_max = self.context.config.drain_max();
            let teller = Teller::new(self.handlers, &self.context.runtime);
            let metadata = Arc::new(request.metadata.clone());
            let mut steps = Steps::new(self.plan, self.news, self.context, request);
            steps.begin();
            while !steps.schedule.is_over() {
                let happening = steps.next().await;
                if steps.react(happening) {
                    teller.tell(steps.progress(&metadata));
                }
            }
            teller.tell(ExecutionEvent::PlanCompleted {
                plan_id: steps.plan.id,
                metadata,
                result: settling.settle(steps.ended_by),
                timestamp: Utc::now(),
            });
            // A handler that hangs must not keep everybody else from the result.
            drop(timeout(drain_max, teller.has_told()).await);
            drop(settling);
        }
    }
}

//! What the end of a step, or of the plan before its time, means for the steps that are left.

use tokio::time::Instant;

use super::schedule::{Outcome, Skip};
use super::steps::{Asked, Steps, Told};
use crate::api::result::ExecutionStatus;
use crate::api::step::StepRequest;
use crate::execution::start::{NeverStarted, StepTurn};
use crate::state::cancellation::{Cause, Reason, Stop};

impl Steps {
    pub(super) fn never_start(
        &mut self,
        step: usize,
        status: ExecutionStatus,
        error: &str,
        reason: Reason,
    ) {
        let end = NeverStarted {
            status,
            error: error.to_owned(),
            code: None,
            reason,
        };
        self.settle(step, end);
    }

    pub(super) fn settle(&mut self, step: usize, end: NeverStarted) {
        self.making.withdraw(step);
        self.requests[step] = None;
        let Told { handlers, telling } = self.handlers_of(step);
        self.start_of(step, handlers).never_start(end, telling);
    }

    pub(super) fn stop_before_start(&mut self, step: usize, cause: Cause) {
        let Some(StepRequest::Known(request)) = self.requests[step].take() else {
            let reason = self.plan.steps[step].stop.cancel_reason();
            let error = "cancelled before it was started";
            return self.never_start(step, ExecutionStatus::Cancelled, error, reason);
        };
        let Told { handlers, telling } = self.handlers_of(step);
        let turn = StepTurn {
            pending: telling,
            ..StepTurn::default()
        };
        self.start_of(step, handlers).stopped(*request, cause, turn);
    }

    pub(super) fn end(&mut self, step: usize) {
        // A step may have ended of the plan's deadline, before the plan was told of it.
        if let Some(deadline) = self.plan.deadline
            && self.asked == Asked::Nothing
            && deadline.at <= Instant::now()
        {
            self.plan.stop.ask(Cause::PlanDeadline(deadline.timeout_ms));
            self.stop(Asked::ToEnd);
        }
        if let Some(Cause::PlanDeadline(_)) = self.plan.steps[step].stop.cause() {
            self.ended_by.get_or_insert(ExecutionStatus::Timeout);
        }
        self.running.remove(&self.starts[step]);
        let Some(result) = self.plan.steps[step].outcome.get().cloned() else {
            return;
        };
        let outcome = match result.status {
            ExecutionStatus::Completed => Outcome::Success,
            ExecutionStatus::Skipped => Outcome::Skipped,
            _ if self.plan.steps[step].may_fail() => Outcome::Success,
            _ => Outcome::Failure,
        };
        let skips = self.schedule.end(step, outcome);
        if skips.is_empty() {
            return;
        }
        let error = result.error.as_deref().unwrap_or("for an unknown reason");
        let verb = match result.status {
            ExecutionStatus::Cancelled => "was cancelled",
            ExecutionStatus::Timeout => "timed out",
            // Its own error says why.
            ExecutionStatus::Skipped => "was",
            _ => "failed",
        };
        let colon = if outcome == Outcome::Skipped { "" } else { ":" };
        let path = self.plan.steps[step].path();
        self.skip(&skips, &format!("{path} {verb}{colon} {error}"));
    }

    /// Settles steps that will never run, because of what became of the one that has ended last.
    pub(super) fn skip(&mut self, skips: &[Skip], cause: &str) {
        for skip in skips {
            let why = if skip.is_caused {
                cause
            } else {
                "nothing that it depends on has failed"
            };
            let error = format!("skipped because {why}");
            self.never_start(skip.step, ExecutionStatus::Skipped, &error, None);
        }
    }

    /// Does what the plan is asked for: lets nothing more start, and what runs end.
    pub(super) fn stop(&mut self, asked: Asked) {
        self.asked = asked;
        match self.plan.stop.cause() {
            Some(Cause::PlanDeadline(timeout_ms)) => self.time_out(timeout_ms, asked),
            Some(Cause::Lease) => {
                let error = "the lease of its plan was not renewed in time, before it was started";
                self.end_all(asked, &Cause::PlanLease, ExecutionStatus::Failed, error);
            }
            cause => {
                let cause = cause.unwrap_or(Cause::Cancel(None));
                let error = "its plan was cancelled before it was started";
                self.end_all(asked, &cause, ExecutionStatus::Cancelled, error);
            }
        }
    }

    fn end_all(&mut self, asked: Asked, cause: &Cause, status: ExecutionStatus, error: &str) {
        self.ended_by.get_or_insert(status);
        for &step in self.running.values() {
            ask(&self.plan.steps[step].stop, asked, cause.clone());
        }
        let reason = self.plan.stop.cancel_reason();
        self.start_no_more(error, &reason);
    }

    /// What runs has the deadline of the plan as its own.
    fn time_out(&mut self, timeout_ms: u64, asked: Asked) {
        for &step in self.running.values() {
            let execution = &self.plan.steps[step];
            // It waits for descriptors, say; or nobody waits for it any longer.
            if execution.status() == ExecutionStatus::Pending || asked == Asked::ToEndAtOnce {
                ask(&execution.stop, asked, Cause::PlanDeadline(timeout_ms));
            }
        }
        let error = format!("its plan timed out after {timeout_ms} ms, before it was started");
        if self.start_no_more(&error, &None) {
            self.ended_by.get_or_insert(ExecutionStatus::Timeout);
        }
    }

    /// Returns whether there was something that was to be started.
    fn start_no_more(&mut self, error: &str, reason: &Reason) -> bool {
        let withdrawn = self.schedule.withdraw_all();
        for &step in &withdrawn {
            self.never_start(step, ExecutionStatus::Cancelled, error, reason.clone());
        }
        !withdrawn.is_empty()
    }
}

fn ask(step: &Stop, asked: Asked, cause: Cause) {
    match asked {
        Asked::ToEndAtOnce => step.ask_again(cause),
        Asked::ToEnd | Asked::Nothing => step.ask(cause),
    }
}

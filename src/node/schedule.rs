//! The schedule of a plan, for JavaScript that has the steps run somewhere else.

use napi_derive::napi;

use super::error::Failure;
use super::request::{StepInput, inputs_by_step, parse_plan};
use crate::api::command::Command;
use crate::api::request::ExecutionRequest;
use crate::api::step::RequestFn;
use crate::plan::schedule::{Outcome, Schedule, Skip};

/// Which step may begin next, and what the end of one means for the others.
#[napi]
pub struct NativeSchedule {
    schedule: Schedule,
}

/// A step that begins.
#[napi(object)]
pub struct BegunStep {
    /// Its index.
    pub step: u32,
    /// Whether its request is to be made first.
    pub is_to_make: bool,
}

/// A step that will never run.
#[napi(object)]
pub struct SkippedStep {
    /// Its index.
    pub step: u32,
    /// Because of the step whose end was noted; else because none of those that it depends on has failed.
    pub is_caused: bool,
}

/// What the end of a step is to others.
#[napi(string_enum = "snake_case")]
pub enum StepOutcome {
    /// It has completed, or its failure is allowed.
    Success,
    /// It ended in any other way.
    Failure,
    /// It was never to run.
    Skipped,
}

#[napi]
impl NativeSchedule {
    /// Of a plan that was checked. `made`: the steps whose requests are made.
    #[napi(constructor)]
    pub fn new(plan: String, made: Vec<StepInput>) -> napi::Result<Self> {
        let function = |_| RequestFn::new(|_| Box::pin(async { Err(String::new()) }));
        let plan = parse_plan(plan, inputs_by_step(made), |_| function);
        let plan = plan.map_err(|error| napi::Error::from_reason(Failure::from(error).message))?;
        Ok(Self {
            schedule: Schedule::new(&plan.steps),
        })
    }

    /// Makes ready what waits for no other step. To be called first, and once.
    #[napi(catch_unwind)]
    pub fn begin(&mut self) -> Vec<SkippedStep> {
        told(self.schedule.begin())
    }

    /// The next step that may begin, which counts as running from here on; one whose request was made comes again.
    #[napi(catch_unwind)]
    pub fn next(&mut self) -> Option<BegunStep> {
        if let Some(step) = self.schedule.next_to_make() {
            self.schedule.begin_to_make(step);
            return Some(begun(step, true));
        }
        let waiting = self.schedule.next();
        let first = waiting.min_by_key(|next| (std::cmp::Reverse(next.priority), next.step));
        let lane = first?.lane;
        Some(begun(self.schedule.start_next(lane)?, false))
    }

    /// The request of a step was made, with this priority.
    #[napi(catch_unwind)]
    pub fn has_made(&mut self, step: u32, priority: i64) {
        let request = ExecutionRequest {
            priority,
            ..ExecutionRequest::new(Command::shell("made"))
        };
        self.schedule.has_made(step as usize, &request);
    }

    /// Takes out a step that has not started, to be ended at once; false if it has.
    #[napi(catch_unwind)]
    pub fn take_out(&mut self, step: u32) -> bool {
        self.schedule.start_out_of_turn(step as usize)
    }

    /// Notes that a step has ended. Returns the steps that will never run because of it.
    #[napi(catch_unwind)]
    pub fn end(&mut self, step: u32, outcome: StepOutcome) -> Vec<SkippedStep> {
        let outcome = match outcome {
            StepOutcome::Success => Outcome::Success,
            StepOutcome::Failure => Outcome::Failure,
            StepOutcome::Skipped => Outcome::Skipped,
        };
        told(self.schedule.end(step as usize, outcome))
    }

    /// Takes out all that have not started, in ascending order.
    #[napi(catch_unwind)]
    pub fn withdraw_all(&mut self) -> Vec<u32> {
        let withdrawn = self.schedule.withdraw_all().into_iter();
        withdrawn.map(index).collect()
    }

    /// How many have ended.
    #[napi(catch_unwind)]
    pub fn ended(&self) -> u32 {
        index(self.schedule.ended())
    }
}

fn begun(step: usize, is_to_make: bool) -> BegunStep {
    BegunStep {
        step: index(step),
        is_to_make,
    }
}

fn told(skips: Vec<Skip>) -> Vec<SkippedStep> {
    let skips = skips.into_iter();
    skips
        .map(|Skip { step, is_caused }| SkippedStep {
            step: index(step),
            is_caused,
        })
        .collect()
}

fn index(step: usize) -> u32 {
    u32::try_from(step).unwrap_or(u32::MAX)
}

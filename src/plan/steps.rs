//! The steps of a plan that runs: it lets begin what may, and reacts to what happens.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::ready;
use std::sync::Arc;

use chrono::Utc;
use tokio::sync::mpsc::UnboundedReceiver;

use super::context::PlanContext;
use super::making::{Made, Making, cut};
use super::schedule::Schedule;
use super::turns::Turns;
use crate::api::error::ValidationError;
use crate::api::event::ExecutionEvent;
use crate::api::plan::ExecutionPlan;
use crate::api::request::{ExecutionMetadata, ExecutionRequest};
use crate::api::result::{ExecutionStatus, ResultErrorCode};
use crate::api::step::StepRequest;
use crate::execution::handlers::Handlers;
use crate::execution::running::{Telling, tell_pending};
use crate::execution::secrets::{Collector, displayed};
use crate::execution::start::{NeverStarted, Start, StepTurn};
use crate::masking::secret::Secret;
use crate::process::pool;
use crate::state::execution::{StepNews, keep_to_lease};
use crate::state::plan::Plan;
use crate::state::secrets::SecretSet;
use crate::state::slots::Slot;

/// The steps of a plan that runs.
pub(super) struct Steps {
    pub(super) plan: Arc<Plan>,
    /// Taken when the step is started, or its request made, or it is settled without.
    pub(super) requests: Vec<Option<StepRequest>>,
    /// Those of all steps, and the names of variables whose values are.
    secrets: (Vec<Secret>, Vec<String>),
    pub(super) schedule: Schedule,
    news: UnboundedReceiver<StepNews>,
    context: PlanContext,
    turns: Turns,
    /// A slot, and the lane whose turn it is.
    granted: Option<(usize, Option<Slot>)>,
    /// Those that have given their slots back, and of whose ends nothing is known yet.
    ending: HashSet<usize>,
    /// Those that were told that they wait for their slots.
    pending: HashMap<usize, Told>,
    pub(super) making: Making,
    /// Those whose requests were made.
    made: HashSet<usize>,
    /// Those that run, by the number of their start.
    pub(super) running: BTreeMap<usize, usize>,
    /// For each step, the number of its start.
    pub(super) starts: Vec<usize>,
    last_start: usize,
    /// What the steps were asked.
    pub(super) asked: Asked,
    /// What ended the plan before its time.
    pub(super) ended_by: Option<ExecutionStatus>,
}

/// A step that was told that it waits, and its handlers: it has one set of these for its life.
pub(super) struct Told {
    pub(super) handlers: Handlers,
    pub(super) telling: Option<Telling>,
}

/// What the steps of a plan were asked, because it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Nothing,
    ToEnd,
    ToEndAtOnce,
}

/// What a plan reacts to.
pub(super) enum Happening {
    Stop(Asked),
    News(StepNews),
    Made(usize, Box<Made>),
    /// Of a lane.
    Turn(usize, Option<Slot>),
}

impl Steps {
    pub(super) fn new(
        plan: Arc<Plan>,
        news: UnboundedReceiver<StepNews>,
        context: PlanContext,
        request: ExecutionPlan,
    ) -> Self {
        Self {
            schedule: Schedule::new(&request.steps),
            starts: vec![0; request.steps.len()],
            making: Making::new(context.config.max_concurrent_executions),
            requests: request.steps.into_requests().map(Some).collect(),
            secrets: (request.secrets, request.secret_env),
            plan,
            news,
            context,
            turns: Turns::default(),
            granted: None,
            ending: HashSet::new(),
            pending: HashMap::new(),
            made: HashSet::new(),
            running: BTreeMap::new(),
            last_start: 0,
            asked: Asked::Nothing,
            ended_by: None,
        }
    }

    pub(super) fn begin(&mut self) {
        let skips = self.schedule.begin();
        self.skip(&skips, "");
    }

    pub(super) async fn next(&mut self) -> Happening {
        self.make_requests();
        let granted = self.granted.as_ref().map(|(lane, _)| *lane);
        let wanted = self.schedule.next();
        let wanted = wanted.filter(|next| Some(next.lane) != granted);
        self.turns.hold(&self.context.slots, wanted);
        self.tell_pending();
        loop {
            tokio::select! {
                biased;
                _ = self.plan.stop.asked(), if self.asked == Asked::Nothing => {
                    return Happening::Stop(Asked::ToEnd);
                }
                () = self.plan.stop.urgent(), if self.asked == Asked::ToEnd => {
                    return Happening::Stop(Asked::ToEndAtOnce);
                }
                Some(news) = self.news.recv() => return Happening::News(news),
                (step, made) = self.making.next() => {
                    return Happening::Made(step, Box::new(made));
                }
                // What gave the slot back may be a step that has failed: its news came first, and is heard first.
                turn = self.turns.next(), if self.granted.is_none() => self.granted = Some(turn),
                () = ready(()), if self.may_start() => {
                    if let Some((lane, slot)) = self.granted.take() {
                        return Happening::Turn(lane, slot);
                    }
                }
            }
        }
    }

    /// Whether a granted slot may be used now: not while a step ends whose failure would keep all others from starting.
    fn may_start(&self) -> bool {
        let waits = self.schedule.stops_on_error() && !self.ending.is_empty();
        self.granted.is_some() && !waits
    }

    /// Lets requests be made whose turn has come. They take no slot meanwhile: what makes them may run executions of its
    /// own.
    fn make_requests(&mut self) {
        while self.making.has_room(self.schedule.made())
            && let Some(step) = self.schedule.next_to_make()
        {
            self.schedule.begin_to_make(step);
            if let Some(StepRequest::Made { make, .. }) = self.requests[step].take() {
                let plan = Arc::clone(&self.plan);
                let environment = self.context.environment.clone();
                let results = move || plan.results();
                self.making.start(step, make, results, environment);
            }
        }
    }

    /// Returns whether a step has ended.
    pub(super) fn react(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Stop(asked) => self.stop(asked),
            Happening::News(StepNews::Stopped(step)) => {
                if let Some(cause) = self.plan.steps[step].stop.cause()
                    && self.schedule.start_out_of_turn(step)
                {
                    self.stop_before_start(step, cause);
                }
            }
            Happening::News(StepNews::GivesSlotBack(step)) => {
                if self.running.contains_key(&self.starts[step]) {
                    self.ending.insert(step);
                }
            }
            Happening::News(StepNews::WaitsAgain(step)) => {
                self.ending.remove(&step);
            }
            Happening::News(StepNews::Ended(step)) => {
                self.ending.remove(&step);
                self.end(step);
                return true;
            }
            Happening::Made(step, made) => self.take_request(step, *made),
            Happening::Turn(lane, slot) => {
                if let Some(slot) = slot {
                    self.start_next(lane, slot);
                }
            }
        }
        false
    }

    /// Checks a request that was made as any other is.
    fn take_request(&mut self, step: usize, made: Made) {
        let checked = made.and_then(|mut request| {
            let execution = &self.plan.steps[step];
            request.id = execution.id();
            let checked = self.check(&request).and_then(|secrets| {
                let displayed = displayed(&request.command, secrets);
                let sets = &self.context.secret_sets;
                execution.set_request(displayed, &request.metadata, request.lease_ms, sets)
            });
            checked.map_err(|error| error.to_string())?;
            execution.input.open_for(&request);
            Ok(request)
        });
        match checked {
            Ok(request) => {
                keep_to_lease(&self.plan.steps[step], &self.context.runtime);
                self.schedule.has_made(step, &request);
                self.requests[step] = Some(StepRequest::Known(Box::new(request)));
                self.made.insert(step);
            }
            Err(error) => {
                self.schedule.start_out_of_turn(step);
                let end = NeverStarted {
                    status: ExecutionStatus::Failed,
                    error: format!(
                        "its request could not be made: {}",
                        // Hidden before it is cut: half a secret would be none.
                        cut(self.plan.steps[step].secrets.hide(error))
                    ),
                    code: Some(ResultErrorCode::InvalidStep),
                    reason: None,
                };
                self.settle(step, end);
            }
        }
    }

    /// Checks a request that was made, and returns its secrets.
    fn check(
        &self,
        request: &ExecutionRequest,
    ) -> std::result::Result<Option<Arc<SecretSet>>, ValidationError> {
        let (secrets, names) = &self.secrets;
        let patterns = &self.context.config.secret_env_patterns;
        Collector::new(
            &self.context.environment,
            patterns,
            &self.context.secret_sets,
        )
        .for_plan(secrets, names)?
        .check(request, &self.context.config)
    }

    fn start_next(&mut self, lane: usize, slot: Slot) {
        let Some(step) = self.schedule.start_next(lane) else {
            return;
        };
        let Some(StepRequest::Known(request)) = self.requests[step].take() else {
            return;
        };
        self.last_start += 1;
        self.starts[step] = self.last_start;
        self.running.insert(self.last_start, step);
        let Told { handlers, telling } = self.handlers_of(step);
        let start = self.start_of(step, handlers);
        let environment = self.context.environment.clone();
        let turn = StepTurn {
            deadline: self.plan.deadline,
            pending: telling,
            is_made: self.made.remove(&step),
        };
        let slot = slot.of(&self.plan.steps[step]);
        pool::STARTS.submit(move || start.start_step(*request, environment, slot, turn));
    }

    /// Tells the next step of each lane that it waits, once.
    fn tell_pending(&mut self) {
        let waiting = self
            .schedule
            .next()
            .filter(|next| self.turns.waits(next.lane) && !self.pending.contains_key(&next.step));
        let waiting: Vec<_> = waiting.map(|next| next.step).collect();
        for step in waiting {
            let handlers = self.new_handlers_of(step);
            let telling = tell_pending(&self.plan.steps[step], &handlers);
            self.pending.insert(step, Told { handlers, telling });
        }
    }

    pub(super) fn handlers_of(&mut self, step: usize) -> Told {
        let told = self.pending.remove(&step);
        told.unwrap_or_else(|| Told {
            handlers: self.new_handlers_of(step),
            telling: None,
        })
    }

    fn new_handlers_of(&self, step: usize) -> Handlers {
        (self.context.handlers_of_step)(step).and_listeners_of(&self.plan.steps[step])
    }

    pub(super) fn start_of(&self, step: usize, handlers: Handlers) -> Start {
        Start {
            config: Arc::clone(&self.context.config),
            registry: Arc::clone(&self.context.registry),
            execution: Arc::clone(&self.plan.steps[step]),
            slots: Arc::clone(&self.context.slots),
            handlers,
            runtime: self.context.runtime.clone(),
        }
    }

    pub(super) fn progress(&self, metadata: &Arc<ExecutionMetadata>) -> ExecutionEvent {
        let current = self.running.last_key_value();
        ExecutionEvent::Progress {
            plan_id: self.plan.id,
            metadata: Arc::clone(metadata),
            completed: self.schedule.ended(),
            total: self.plan.steps.len(),
            current_command: current.map(|(_, &step)| self.plan.steps[step].command()),
            timestamp: Utc::now(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;
    use tokio::time::sleep_until;

    use super::*;
    use crate::api::command::Command;
    use crate::api::config::ExecutionConfig;
    use crate::api::plan::ExecutionStrategy;
    use crate::plan::enter::steps_of;
    use crate::process::environment::Environment;
    use crate::state::registry::Registry;
    use crate::state::slots::Slots;

    #[tokio::test]
    async fn the_end_of_a_step_past_the_deadline_of_its_plan_is_that_of_the_plan() {
        let strategy = ExecutionStrategy::Serial {
            stop_on_error: false,
        };
        let commands = ["true"; 3].map(|line| ExecutionRequest::new(Command::shell(line)));
        let request = ExecutionPlan {
            timeout_ms: Some(5),
            ..ExecutionPlan::new(strategy, commands)
        };
        let (plan, news) = steps_of(&request, vec![None; request.steps.len()], Arc::default());
        let config = ExecutionConfig::default();
        let context = PlanContext {
            registry: Arc::new(Registry::new(config.max_in_memory_executions)),
            slots: Slots::new(1, 0, &BTreeMap::new()),
            config: Arc::new(config),
            environment: Environment::current(),
            secret_sets: Arc::default(),
            runtime: Handle::current(),
            handlers_of_step: Box::new(|_| Handlers::default()),
        };
        let deadline = plan.deadline.expect("there is one").at;
        let mut steps = Steps::new(plan, news, context, request);
        steps.begin();
        assert_eq!(steps.schedule.start_next(0), Some(0));
        // The plan has not been told of its deadline yet, only of the step.
        sleep_until(deadline).await;
        steps.react(Happening::News(StepNews::Ended(0)));
        assert_eq!(steps.schedule.next().count(), 0);
        assert_eq!(steps.ended_by, Some(ExecutionStatus::Timeout));
        for step in &steps.plan.steps[1..] {
            let result = step.outcome.wait().await;
            let error = "its plan timed out after 5 ms, before it was started";
            assert_eq!(result.status, ExecutionStatus::Cancelled);
            assert_eq!(result.error.as_deref(), Some(error));
        }
    }
}

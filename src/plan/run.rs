//! The life of a plan: it reacts to steps that end, to slots that become free, to a cancel and to its deadline.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use uuid::Uuid;

use super::schedule::Schedule;
use super::turns::Turns;
use super::validate::path_of;
use crate::api::config::ExecutionConfig;
use crate::api::error::{Result, ValidationError};
use crate::api::event::ExecutionEvent;
use crate::api::plan::{ExecutionPlan, PlanExecutionResult};
use crate::api::request::ExecutionRequest;
use crate::api::result::ExecutionStatus;
use crate::execution::handlers::Handlers;
use crate::execution::login::{self, Need};
use crate::execution::running::PlanDeadline;
use crate::execution::secrets::{Collector, displayed};
use crate::execution::start::{Decision, Start};
use crate::process::environment::Environment;
use crate::state::cancellation::{Cause, Reason, Stop};
use crate::state::completion::Completion;
use crate::state::execution::millis;
use crate::state::execution::{Execution, Step, StepNews};
use crate::state::lease::deadline_after;
use crate::state::plan::Plan;
use crate::state::registry::{Registry, Unit};
use crate::state::secrets::SecretSet;
use crate::state::slots::{Slot, Slots};

/// What a plan needs of its engine and its caller.
pub(crate) struct PlanContext {
    pub config: Arc<ExecutionConfig>,
    pub registry: Arc<Registry>,
    pub slots: Arc<Slots>,
    pub environment: Environment,
    pub runtime: Handle,
    pub handlers_of_step: Box<dyn Fn(usize) -> Handlers + Send + Sync>,
}

/// The secrets of each step.
pub(crate) fn secrets_of_steps(
    request: &ExecutionPlan,
    collector: Collector<'_>,
) -> std::result::Result<Vec<Option<Arc<SecretSet>>>, ValidationError> {
    let collector = collector.for_plan(&request.secrets, &request.secret_env)?;
    let steps = request.commands.iter().enumerate();
    steps
        .map(|(index, step)| collector.collect(step, |error| error.within(&path_of(index))))
        .collect()
}

/// The plan with its steps, all pending, and where they report.
pub(crate) fn steps_of(
    request: &ExecutionPlan,
    secrets: Vec<Option<Arc<SecretSet>>>,
    stop: Arc<Stop>,
) -> (Arc<Plan>, UnboundedReceiver<StepNews>) {
    let (reporter, news) = unbounded_channel();
    let steps = request.commands.iter().zip(secrets).enumerate();
    let steps = steps.map(|(index, (request, secrets))| {
        let reporter = reporter.clone();
        let place = Step { index, reporter };
        let execution = Execution::new(
            request.id,
            displayed(&request.command, secrets),
            Arc::default(),
            Some(place),
            request.lease_ms,
        );
        execution.input.open_for(request);
        execution
    });
    let plan = Plan {
        id: request.id,
        steps: steps.collect(),
        stop,
        outcome: Completion::default(),
    };
    (Arc::new(plan), news)
}

/// A plan that was entered.
pub(crate) struct Run {
    plan: Arc<Plan>,
    news: UnboundedReceiver<StepNews>,
    context: PlanContext,
    handlers: Handlers,
    accepted: Instant,
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
            accepted: Instant::now(),
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
            accepted: self.accepted,
        };
        async move {
            let drain_max = self.context.config.drain_max();
            let teller = Teller::new(self.handlers, &self.context.runtime);
            let mut steps = Steps {
                schedule: Schedule::new(&request.strategy, &request.commands),
                starts: vec![0; request.commands.len()],
                requests: request.commands.into_iter().map(Some).collect(),
                deadline: request.timeout_ms.map(|timeout_ms| PlanDeadline {
                    at: deadline_after(self.accepted, timeout_ms),
                    timeout_ms,
                }),
                plan: self.plan,
                news: self.news,
                context: self.context,
                turns: Turns::default(),
                running: BTreeMap::new(),
                last_start: 0,
                asked: Asked::Nothing,
                has_passed: false,
                ended_by: None,
            };
            while !steps.schedule.is_over() {
                let happening = steps.next().await;
                if steps.react(happening) {
                    teller.tell(steps.progress());
                }
            }
            teller.tell(ExecutionEvent::PlanCompleted {
                plan_id: steps.plan.id,
                result: settling.settle(steps.ended_by),
                timestamp: Utc::now(),
            });
            // A handler that hangs must not keep everybody else from the result.
            drop(timeout(drain_max, teller.has_told()).await);
            drop(settling);
        }
    }
}

/// The steps of a plan that runs.
struct Steps {
    plan: Arc<Plan>,
    /// Taken when the step is started, or settled without.
    requests: Vec<Option<ExecutionRequest>>,
    schedule: Schedule,
    news: UnboundedReceiver<StepNews>,
    context: PlanContext,
    deadline: Option<PlanDeadline>,
    turns: Turns,
    /// Those that run, by the number of their start.
    running: BTreeMap<usize, usize>,
    /// For each step, the number of its start.
    starts: Vec<usize>,
    last_start: usize,
    /// What the steps were asked.
    asked: Asked,
    /// The deadline has passed, whether or not that ended anything.
    has_passed: bool,
    /// What ended the plan before its time.
    ended_by: Option<ExecutionStatus>,
}

/// What the steps of a plan were asked, because it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Nothing,
    ToEnd,
    ToEndAtOnce,
}

/// What a plan reacts to.
enum Happening {
    Stop(Asked),
    Deadline(u64),
    News(StepNews),
    /// Of a lane.
    Turn(usize, Option<Slot>),
}

impl Steps {
    async fn next(&mut self) -> Happening {
        self.turns.hold(&self.context.slots, self.schedule.next());
        let deadline = self.deadline.filter(|_| !self.has_passed);
        tokio::select! {
            biased;
            _ = self.plan.stop.asked(), if self.asked == Asked::Nothing => {
                Happening::Stop(Asked::ToEnd)
            }
            () = self.plan.stop.urgent(), if self.asked == Asked::ToEnd => {
                Happening::Stop(Asked::ToEndAtOnce)
            }
            timeout_ms = passed(deadline) => Happening::Deadline(timeout_ms),
            Some(news) = self.news.recv() => Happening::News(news),
            (lane, slot) = self.turns.next() => Happening::Turn(lane, slot),
        }
    }

    /// Returns whether a step has ended.
    fn react(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Stop(asked) => self.stop(asked),
            Happening::Deadline(timeout_ms) => self.time_out(timeout_ms),
            Happening::News(StepNews::Stopped(step)) => {
                if let Some(cause) = self.plan.steps[step].stop.cause()
                    && self.schedule.start_out_of_turn(step)
                {
                    self.stop_before_start(step, cause);
                }
            }
            Happening::News(StepNews::Ended(step)) => {
                self.end(step);
                return true;
            }
            Happening::Turn(lane, slot) => {
                if let Some(slot) = slot {
                    self.start_next(lane, slot);
                }
            }
        }
        false
    }

    fn start_next(&mut self, lane: usize, slot: Slot) {
        let Some(step) = self.schedule.start_next(lane) else {
            return;
        };
        let Some(request) = self.requests[step].take() else {
            return;
        };
        self.last_start += 1;
        self.starts[step] = self.last_start;
        self.running.insert(self.last_start, step);
        let start = self.start_of(step, (self.context.handlers_of_step)(step));
        let environment = self.context.environment.clone();
        let deadline = self.deadline;
        let need = Need::of(
            [&request],
            &environment,
            &start.runtime,
            &start.execution.stop,
        );
        login::submit(need, move || {
            start.start_step(request, environment, slot, deadline);
        });
    }

    fn never_start(&mut self, step: usize, status: ExecutionStatus, error: &str, reason: Reason) {
        let Some(request) = self.requests[step].take() else {
            return;
        };
        // The end of a step that was skipped is no event of its own.
        let handlers = match status {
            ExecutionStatus::Skipped => Handlers::default(),
            _ => (self.context.handlers_of_step)(step),
        };
        self.start_of(step, handlers)
            .never_start(request, status, error.to_owned(), reason);
    }

    fn stop_before_start(&mut self, step: usize, cause: Cause) {
        if let Some(request) = self.requests[step].take() {
            let handlers = (self.context.handlers_of_step)(step);
            self.start_of(step, handlers).stopped(request, cause);
        }
    }

    fn start_of(&self, step: usize, handlers: Handlers) -> Start {
        Start {
            config: Arc::clone(&self.context.config),
            registry: Arc::clone(&self.context.registry),
            execution: Arc::clone(&self.plan.steps[step]),
            slots: Arc::clone(&self.context.slots),
            handlers,
            runtime: self.context.runtime.clone(),
        }
    }

    fn end(&mut self, step: usize) {
        // A step may have ended of the plan's deadline, before the plan was told of it.
        if let Some(deadline) = self.deadline
            && !self.has_passed
            && deadline.at <= Instant::now()
        {
            self.time_out(deadline.timeout_ms);
        }
        if let Some(Cause::PlanDeadline(_)) = self.plan.steps[step].stop.cause() {
            self.ended_by.get_or_insert(ExecutionStatus::Timeout);
        }
        self.running.remove(&self.starts[step]);
        let Some(result) = self.plan.steps[step].outcome.get().cloned() else {
            return;
        };
        let skipped = self.schedule.end(step, result.success);
        if skipped.is_empty() {
            return;
        }
        let verb = match result.status {
            ExecutionStatus::Cancelled => "was cancelled",
            ExecutionStatus::Timeout => "timed out",
            _ => "failed",
        };
        let error = result.error.as_deref().unwrap_or("for an unknown reason");
        let error = format!("skipped because {} {verb}: {error}", path_of(step));
        for step in skipped {
            self.never_start(step, ExecutionStatus::Skipped, &error, None);
        }
    }

    fn stop(&mut self, asked: Asked) {
        self.asked = asked;
        self.ended_by.get_or_insert(ExecutionStatus::Cancelled);
        let reason = self.plan.stop.cancel_reason();
        for &step in self.running.values() {
            let stop = &self.plan.steps[step].stop;
            let cause = Cause::Cancel(reason.clone());
            match asked {
                Asked::ToEndAtOnce => stop.ask_again(cause),
                Asked::ToEnd | Asked::Nothing => stop.ask(cause),
            }
        }
        self.start_no_more("its plan was cancelled before it was started", &reason);
    }

    /// What runs has the deadline of the plan as its own.
    fn time_out(&mut self, timeout_ms: u64) {
        self.has_passed = true;
        for &step in self.running.values() {
            let execution = &self.plan.steps[step];
            // It waits for descriptors, say.
            if execution.status() == ExecutionStatus::Pending {
                execution.stop.ask(Cause::PlanDeadline(timeout_ms));
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

    fn progress(&self) -> ExecutionEvent {
        let current = self.running.last_key_value();
        ExecutionEvent::Progress {
            plan_id: self.plan.id,
            completed: self.schedule.ended(),
            total: self.plan.steps.len(),
            current_command: current.map(|(_, &step)| self.plan.steps[step].command()),
            timestamp: Utc::now(),
        }
    }
}

/// Resolves once the deadline has passed, with what the plan asked for.
async fn passed(deadline: Option<PlanDeadline>) -> u64 {
    match deadline {
        Some(deadline) => {
            sleep_until(deadline.at).await;
            deadline.timeout_ms
        }
        None => std::future::pending().await,
    }
}

/// Tells events in order, without keeping the plan waiting.
struct Teller {
    queue: Option<(UnboundedSender<ExecutionEvent>, JoinHandle<()>)>,
}

impl Teller {
    fn new(handlers: Handlers, runtime: &Handle) -> Self {
        let tell = |handlers: Handlers| {
            let (queue, mut events) = unbounded_channel();
            let told = runtime.spawn(async move {
                while let Some(event) = events.recv().await {
                    handlers.on_event(event).await;
                }
            });
            (queue, told)
        };
        let listened = !handlers.0.is_empty();
        Self {
            queue: listened.then(|| tell(handlers)),
        }
    }

    fn tell(&self, event: ExecutionEvent) {
        if let Some((queue, _)) = &self.queue {
            // Whoever does not listen any more has panicked.
            drop(queue.send(event));
        }
    }

    /// Resolves when everything was told.
    async fn has_told(self) {
        if let Some((queue, told)) = self.queue {
            drop(queue);
            drop(told.await);
        }
    }
}

/// Settles a plan, and wakes who waits for it when it is dropped: at the end of its life, or with its task, because
/// the runtime ends or by a defect. Then the plan is settled here.
struct Settling {
    plan: Arc<Plan>,
    registry: Arc<Registry>,
    description: String,
    accepted: Instant,
}

impl Settling {
    fn settle(&self, ended_by: Option<ExecutionStatus>) -> Arc<PlanExecutionResult> {
        let description = self.description.clone();
        let taken = millis(self.accepted.elapsed());
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::plan::ExecutionStrategy;
    use crate::api::request::Command;

    #[tokio::test]
    async fn the_end_of_a_step_past_the_deadline_of_its_plan_is_that_of_the_plan() {
        let strategy = ExecutionStrategy::Serial {
            stop_on_error: false,
        };
        let commands = ["true"; 3].map(|line| ExecutionRequest::new(Command::shell(line)));
        let request = ExecutionPlan::new(strategy, commands.into());
        let (plan, news) = steps_of(&request, vec![None; request.commands.len()], Arc::default());
        let config = ExecutionConfig::default();
        let mut steps = Steps {
            schedule: Schedule::new(&request.strategy, &request.commands),
            starts: vec![0; request.commands.len()],
            requests: request.commands.into_iter().map(Some).collect(),
            deadline: Some(PlanDeadline {
                at: Instant::now(),
                timeout_ms: 5,
            }),
            plan,
            news,
            context: PlanContext {
                registry: Arc::new(Registry::new(config.max_in_memory_executions)),
                slots: Slots::new(1, 0, &BTreeMap::new()),
                config: Arc::new(config),
                environment: Environment::current(),
                runtime: Handle::current(),
                handlers_of_step: Box::new(|_| Handlers::default()),
            },
            turns: Turns::default(),
            running: BTreeMap::new(),
            last_start: 0,
            asked: Asked::Nothing,
            has_passed: false,
            ended_by: None,
        };
        assert_eq!(steps.schedule.start_next(0), Some(0));
        // The plan has not been told of its deadline yet, only of the step.
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

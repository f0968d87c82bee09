//! The life of a plan: it reacts to steps that end, to slots that become free, to a cancel and to its deadline.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::Utc;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::making::{Made, Making};
use super::schedule::{Outcome, Schedule, Skip};
use super::turns::Turns;
use crate::api::config::ExecutionConfig;
use crate::api::error::{Result, ValidationError};
use crate::api::event::ExecutionEvent;
use crate::api::plan::{ExecutionPlan, PlanExecutionResult};
use crate::api::request::{Command, ExecutionMetadata, ExecutionRequest};
use crate::api::result::{ExecutionStatus, ResultErrorCode};
use crate::api::step::StepRequest;
use crate::execution::handlers::Handlers;
use crate::execution::running::{Telling, tell_pending};
use crate::execution::secrets::{Collector, displayed};
use crate::execution::start::{Decision, NeverStarted, Start, StepTurn};
use crate::masking::secret::Secret;
use crate::process::environment::Environment;
use crate::process::pool;
use crate::state::cancellation::{Cause, Reason, Stop};
use crate::state::execution::millis;
use crate::state::execution::{Displayed, Execution, Step, StepNews, keep_to_lease};
use crate::state::plan::Plan;
use crate::state::registry::{Registry, Unit};
use crate::state::secrets::{SecretSet, SecretSets, hide_all};
use crate::state::slots::{Slot, Slots};

/// How much of an error is kept that the user's own code made.
const MAX_ERROR_SIZE: usize = 8 * 1024;

/// What a plan needs of its engine and its caller.
pub(crate) struct PlanContext {
    pub config: Arc<ExecutionConfig>,
    pub registry: Arc<Registry>,
    pub slots: Arc<Slots>,
    pub environment: Environment,
    pub secret_sets: Arc<SecretSets>,
    pub runtime: Handle,
    pub handlers_of_step: Box<dyn Fn(usize) -> Handlers + Send + Sync>,
}

/// Checks a plan, and returns the secrets of each step. What is refused is told without any of them.
pub(crate) fn checked_steps(
    request: &ExecutionPlan,
    config: &ExecutionConfig,
    collector: Collector<'_>,
) -> std::result::Result<Vec<Option<Arc<SecretSet>>>, ValidationError> {
    let secrets = secrets_of_steps(request, collector)?;
    let valid = request.validate(config);
    valid.map_err(|error| error.hiding(|text| hide_all(secrets.iter().flatten(), text)))?;
    Ok(secrets)
}

fn secrets_of_steps(
    request: &ExecutionPlan,
    collector: Collector<'_>,
) -> std::result::Result<Vec<Option<Arc<SecretSet>>>, ValidationError> {
    let collector = collector.for_plan(&request.secrets, &request.secret_env)?;
    // As long as a request is not made, its secrets are those that any other would have.
    let any = ExecutionRequest::new(Command::exec("", [""; 0]));
    let steps = request.steps.keys().into_iter().zip(request.steps.iter());
    steps
        .map(|(key, step)| {
            let request = step.known().unwrap_or(&any);
            collector.collect(request, |error| error.within(&key.path()))
        })
        .collect()
}

/// The plan with its steps, all pending, and where they report.
pub(crate) fn steps_of(
    request: &ExecutionPlan,
    secrets: Vec<Option<Arc<SecretSet>>>,
    stop: Arc<Stop>,
) -> (Arc<Plan>, UnboundedReceiver<StepNews>) {
    let (reporter, news) = unbounded_channel();
    let unknown = ExecutionMetadata::default();
    let keys = request.steps.keys().into_iter().enumerate();
    let steps = keys.zip(request.steps.iter().zip(secrets));
    let steps = steps.map(|((index, key), (step, secrets))| {
        let place = Step {
            index,
            plan: request.id,
            key,
            may_fail: step.allow_failure,
            reporter: reporter.clone(),
        };
        let id = step.id();
        let (displayed, metadata) = match step.known() {
            Some(request) => (displayed(&request.command, secrets), &request.metadata),
            None => (Displayed::not_yet(secrets), &unknown),
        };
        let lease_ms = step.known().and_then(|request| request.lease_ms);
        let stop = Arc::default();
        let execution = Execution::new(id, displayed, metadata, stop, Some(place), lease_ms);
        match step.known() {
            Some(request) => execution.input.open_for(request),
            // What is written before it is known waits.
            None => execution.input.open(),
        }
        execution
    });
    (Plan::new(request, steps.collect(), stop), news)
}

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

/// The steps of a plan that runs.
struct Steps {
    plan: Arc<Plan>,
    /// Taken when the step is started, or its request made, or it is settled without.
    requests: Vec<Option<StepRequest>>,
    /// Those of all steps, and the names of variables whose values are.
    secrets: (Vec<Secret>, Vec<String>),
    schedule: Schedule,
    news: UnboundedReceiver<StepNews>,
    context: PlanContext,
    turns: Turns,
    /// Those that were told that they wait for their slots.
    pending: HashMap<usize, Told>,
    making: Making,
    /// Those whose requests were made.
    made: HashSet<usize>,
    /// Those that run, by the number of their start.
    running: BTreeMap<usize, usize>,
    /// For each step, the number of its start.
    starts: Vec<usize>,
    last_start: usize,
    /// What the steps were asked.
    asked: Asked,
    /// What ended the plan before its time.
    ended_by: Option<ExecutionStatus>,
}

/// A step that was told that it waits, and its handlers: it has one set of these for its life.
struct Told {
    handlers: Handlers,
    telling: Option<Telling>,
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
    News(StepNews),
    Made(usize, Box<Made>),
    /// Of a lane.
    Turn(usize, Option<Slot>),
}

impl Steps {
    fn new(
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
            pending: HashMap::new(),
            made: HashSet::new(),
            running: BTreeMap::new(),
            last_start: 0,
            asked: Asked::Nothing,
            ended_by: None,
        }
    }

    fn begin(&mut self) {
        let skips = self.schedule.begin();
        self.skip(&skips, "");
    }

    async fn next(&mut self) -> Happening {
        self.make_requests();
        self.turns.hold(&self.context.slots, self.schedule.next());
        self.tell_pending();
        tokio::select! {
            biased;
            _ = self.plan.stop.asked(), if self.asked == Asked::Nothing => {
                Happening::Stop(Asked::ToEnd)
            }
            () = self.plan.stop.urgent(), if self.asked == Asked::ToEnd => {
                Happening::Stop(Asked::ToEndAtOnce)
            }
            Some(news) = self.news.recv() => Happening::News(news),
            (step, made) = self.making.next() => Happening::Made(step, Box::new(made)),
            (lane, slot) = self.turns.next() => Happening::Turn(lane, slot),
        }
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
    fn react(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Stop(asked) => self.stop(asked),
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

    fn handlers_of(&mut self, step: usize) -> Told {
        let told = self.pending.remove(&step);
        told.unwrap_or_else(|| Told {
            handlers: self.new_handlers_of(step),
            telling: None,
        })
    }

    fn new_handlers_of(&self, step: usize) -> Handlers {
        (self.context.handlers_of_step)(step).and_listeners_of(&self.plan.steps[step])
    }

    fn never_start(&mut self, step: usize, status: ExecutionStatus, error: &str, reason: Reason) {
        let end = NeverStarted {
            status,
            error: error.to_owned(),
            code: None,
            reason,
        };
        self.settle(step, end);
    }

    fn settle(&mut self, step: usize, end: NeverStarted) {
        self.making.withdraw(step);
        self.requests[step] = None;
        let Told { handlers, telling } = self.handlers_of(step);
        self.start_of(step, handlers).never_start(end, telling);
    }

    fn stop_before_start(&mut self, step: usize, cause: Cause) {
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
    fn skip(&mut self, skips: &[Skip], cause: &str) {
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
    fn stop(&mut self, asked: Asked) {
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

    fn progress(&self, metadata: &Arc<ExecutionMetadata>) -> ExecutionEvent {
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

fn ask(step: &Stop, asked: Asked, cause: Cause) {
    match asked {
        Asked::ToEndAtOnce => step.ask_again(cause),
        Asked::ToEnd | Asked::Nothing => step.ask(cause),
    }
}

/// An error of the user's own code, short enough for a result.
fn cut(error: String) -> String {
    if error.len() <= MAX_ERROR_SIZE {
        return error;
    }
    let mut ends = (0..=MAX_ERROR_SIZE).rev();
    let end = ends.find(|&end| error.is_char_boundary(end));
    let (kept, left_out) = error.split_at(end.unwrap_or_default());
    format!("{kept}... ({} more bytes)", left_out.len())
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
        let listened = !handlers.is_empty();
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
}

impl Settling {
    fn settle(&self, ended_by: Option<ExecutionStatus>) -> Arc<PlanExecutionResult> {
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

#[cfg(test)]
mod tests {
    use tokio::time::sleep_until;

    use super::*;
    use crate::api::plan::ExecutionStrategy;

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

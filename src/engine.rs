//! The verbs of the engine.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use uuid::Uuid;

use crate::api::config::ExecutionConfig;
use crate::api::error::{ExecutionError, Result, ValidationError};
use crate::api::event::EventHandler;
#[cfg(feature = "node")]
use crate::api::event::Origin;
use crate::api::log::LogPage;
use crate::api::plan::{ExecutionPlan, PlanExecutionResult};
use crate::api::request::ExecutionRequest;
use crate::api::result::{ExecutionFilter, ExecutionResult, ExecutionStatus, ExecutionSummary};
use crate::api::step::PlanStep;
use crate::execution::handlers::Handlers;
use crate::execution::input;
use crate::execution::login::{self, Need};
use crate::execution::output::follow::LogFollower;
use crate::execution::output::log_dir::{sweep_at_times, sweep_now};
use crate::execution::output::log_files::{Kind, Limits, delete_files_of};
use crate::execution::output::page::{LogReader, LogStart, Most, not_read};
use crate::execution::output::tail::read_tail;
use crate::execution::secrets::{Collector, displayed};
use crate::execution::start::{Decision, Start};
#[cfg(feature = "node")]
use crate::execution::subscription::Listening;
use crate::execution::subscription::{Subject, Subscription};
use crate::masking::secret::Secret;
use crate::plan::context::PlanContext;
use crate::plan::enter::{checked_steps, steps_of};
use crate::plan::run::Run;
use crate::process::environment::Environment;
use crate::process::{escapees, guardian, pool};
use crate::state::cancellation::{Cause, Reason, Stop};
use crate::state::completion::Completion;
use crate::state::execution::Execution;
use crate::state::execution::keep_to_lease;
#[cfg(feature = "node")]
use crate::state::listeners::Listener;
use crate::state::plan::Plan;
use crate::state::registry::{Registry, Unit};
use crate::state::secrets::SecretSets;
use crate::state::slots::Slots;

/// Between two looks for executions to forget.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

/// The end of a log that is read when nothing else is said, in bytes.
const DEFAULT_LOG_TAIL: u64 = 10 * 1024 * 1024;

/// How much is read for one page of a log, in bytes.
const LARGEST_PAGE: usize = 4 * 1024 * 1024;

static GLOBAL: OnceLock<ExecutionEngine> = OnceLock::new();

/// Runs commands.
///
/// Cheap to clone; clones are the same engine. Its verbs need a Tokio runtime with I/O and time enabled: an
/// execution lives on the runtime on which it was started. When that runtime ends first, the execution's
/// processes are killed.
#[derive(Clone)]
pub struct ExecutionEngine(Arc<Inner>);

struct Inner {
    config: Arc<ExecutionConfig>,
    handler: Option<Arc<dyn EventHandler>>,
    registry: Arc<Registry>,
    slots: Arc<Slots>,
    secret_sets: Arc<SecretSets>,
    /// Shared, as the executions are, with the same engine under another handler.
    shut_down: Arc<Completion<()>>,
    cleaning: AtomicBool,
}

/// What each event of an execution tells of it, and who listens to it; or, where it has ended, how.
#[cfg(feature = "node")]
pub(crate) type Listened = (
    Arc<Origin>,
    std::result::Result<Listening, Arc<ExecutionResult>>,
);

/// What one call of [`ExecutionEngine::execute_with`] adds to its request.
#[derive(Clone, Default)]
pub struct ExecuteOptions {
    /// Is told of this execution, after the handler of the engine.
    pub handler: Option<Arc<dyn EventHandler>>,
    /// What the command inherits. Default: [`Environment::current`].
    pub environment: Option<Environment>,
}

/// What [`ExecutionEngine::remove_execution_with`] takes away besides what is remembered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Whether the log and the overflow files are deleted.
    pub logs: bool,
}

impl std::fmt::Debug for ExecutionEngine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecutionEngine")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

#[expect(
    clippy::unused_async,
    reason = "the verbs of the original crate are asynchronous"
)]
impl ExecutionEngine {
    /// An engine of its own.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::InvalidConfig`] for a field that is out of range.
    pub fn new(config: ExecutionConfig) -> Result<Self> {
        config.validate().map_err(ExecutionError::InvalidConfig)?;
        let mut config = config;
        config.log_dir = std::path::absolute(&config.log_dir).unwrap_or(config.log_dir);
        Ok(Self(Arc::new(Inner {
            registry: Arc::new(Registry::new(config.max_in_memory_executions)),
            slots: Slots::new(
                config.max_concurrent_executions,
                config.max_queued_executions,
                &config.groups,
            ),
            secret_sets: Arc::default(),
            config: Arc::new(config),
            handler: None,
            shut_down: Arc::default(),
            cleaning: AtomicBool::new(false),
        })))
    }

    /// The same engine, whose executions are told to the handler. To be called before the first execution.
    #[must_use]
    pub fn with_event_handler(self, handler: Arc<dyn EventHandler>) -> Self {
        let inner = &self.0;
        Self(Arc::new(Inner {
            config: Arc::clone(&inner.config),
            handler: Some(handler),
            registry: Arc::clone(&inner.registry),
            slots: Arc::clone(&inner.slots),
            secret_sets: Arc::clone(&inner.secret_sets),
            shut_down: Arc::clone(&inner.shut_down),
            cleaning: AtomicBool::new(false),
        }))
    }

    /// Makes the one engine that [`ExecutionEngine::global`] returns. It runs one execution at a time.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::AlreadyInitialized`] the second time; [`ExecutionError::InvalidConfig`].
    pub fn init_global(config: ExecutionConfig) -> Result<Self> {
        let engine = Self::new(ExecutionConfig {
            max_concurrent_executions: 1,
            ..config
        })?;
        GLOBAL
            .set(engine.clone())
            .map_err(|_| ExecutionError::AlreadyInitialized)?;
        Ok(engine)
    }

    /// The engine that [`ExecutionEngine::init_global`] made.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotInitialized`] before that.
    pub fn global() -> Result<Self> {
        GLOBAL.get().cloned().ok_or(ExecutionError::NotInitialized)
    }

    /// Runs a command in the background; returns its id once the request is accepted.
    ///
    /// # Errors
    ///
    /// [`Validation`](ExecutionError::Validation), [`DuplicateId`](ExecutionError::DuplicateId),
    /// [`ConcurrencyLimitReached`](ExecutionError::ConcurrencyLimitReached),
    /// [`ShutDown`](ExecutionError::ShutDown); nothing was started then. A program that cannot be started is
    /// no error: it is in the result.
    pub async fn execute(&self, request: ExecutionRequest) -> Result<Uuid> {
        self.execute_with(request, ExecuteOptions::default()).await
    }

    /// The same, with a handler or an environment of its own.
    ///
    /// # Errors
    ///
    /// As for [`ExecutionEngine::execute`].
    pub async fn execute_with(
        &self,
        request: ExecutionRequest,
        options: ExecuteOptions,
    ) -> Result<Uuid> {
        let runtime = Handle::try_current()
            .map_err(|_| ExecutionError::Internal("expected a Tokio runtime, found none".into()))?;
        let (sender, accepted) = oneshot::channel();
        self.submit(
            request,
            options,
            &runtime,
            Arc::default(),
            move |decision| {
                drop(sender.send(decision));
            },
        )?;
        accepted
            .await
            .unwrap_or_else(|_| Err(ExecutionError::Internal("the start was dropped".into())))
    }

    /// The same, with its events from the first one on. Of these, what is printed holds the command back until it is taken;
    /// to drop the subscription lets it go on.
    ///
    /// # Errors
    ///
    /// As for [`ExecutionEngine::execute`].
    pub async fn execute_subscribed(
        &self,
        request: ExecutionRequest,
    ) -> Result<(Uuid, Subscription)> {
        let (subscription, handler) = Subscription::with_handler(Subject::Execution);
        let options = ExecuteOptions {
            handler: Some(handler),
            environment: None,
        };
        let id = self.execute_with(request, options).await?;
        Ok((id, subscription))
    }

    /// Enters a request, and leaves the rest to other threads: the file system is not touched here.
    ///
    /// With a `stop` that was asked for already, it is checked and settled, and never started.
    /// `decided` is told whether the request was accepted, before anything else is told of the execution. `None`: it will
    /// be told that it was not.
    pub(crate) fn submit(
        &self,
        request: ExecutionRequest,
        options: ExecuteOptions,
        runtime: &Handle,
        stop: Arc<Stop>,
        decided: impl FnOnce(Result<Uuid>) + Send + 'static,
    ) -> Result<Option<Arc<Execution>>> {
        let inner = &self.0;
        self.refuse_after_shutdown()?;
        let environment = options.environment.unwrap_or_else(Environment::current);
        let secrets = self
            .collector(&environment)
            .collect(&request, |error| error)?;
        if let Err(error) = request.validate_openly(&inner.config) {
            let Some(secrets) = secrets else {
                return Err(error.into());
            };
            // Held until the refusal was told.
            let handler = options.handler;
            // What finds secrets takes milliseconds to make, where they are long.
            pool::STARTS.submit(move || {
                decided(Err(secrets.hide_in(error).into()));
                drop(handler);
            });
            return Ok(None);
        }
        let displayed = displayed(&request.command, secrets);
        let (metadata, lease_ms) = (&request.metadata, request.lease_ms);
        let execution = Execution::new(request.id, displayed, metadata, stop, None, lease_ms);
        execution.input.open_for(&request);
        inner.registry.enter(&execution)?;
        let maybe_slot = inner
            .slots
            .take(request.group.as_deref(), request.priority)
            .inspect_err(|_| inner.registry.refuse(request.id))?;
        // Shut down meanwhile: whoever did it may not have seen this execution.
        self.refuse_after_shutdown()
            .inspect_err(|_| inner.registry.refuse(request.id))?;
        self.clean_up_regularly(runtime);
        keep_to_lease(&execution, runtime);
        let start = Start {
            config: Arc::clone(&inner.config),
            registry: Arc::clone(&inner.registry),
            execution: Arc::clone(&execution),
            slots: Arc::clone(&inner.slots),
            handlers: self.handlers(options.handler).and_listeners_of(&execution),
            runtime: runtime.clone(),
        };
        let decision = Decision::new(request.id, Arc::clone(&inner.registry), decided);
        let need = Need::of([&request], &environment, runtime, &execution.stop);
        let decide = move || start.decide(request, environment, maybe_slot, decision);
        login::submit(need, decide);
        Ok(Some(execution))
    }

    fn collector<'a>(&'a self, environment: &'a Environment) -> Collector<'a> {
        let patterns = &self.0.config.secret_env_patterns;
        Collector::new(environment, patterns, &self.0.secret_sets)
    }

    fn handlers(&self, own: Option<Arc<dyn EventHandler>>) -> Handlers {
        Handlers::new(self.0.handler.iter().cloned().chain(own).collect())
    }

    fn refuse_after_shutdown(&self) -> Result<()> {
        if self.0.shut_down.get().is_some() {
            return Err(ExecutionError::ShutDown);
        }
        Ok(())
    }

    /// Runs the commands of a plan in the background; returns its id once the plan is accepted.
    ///
    /// # Errors
    ///
    /// [`Validation`](ExecutionError::Validation), [`DuplicateId`](ExecutionError::DuplicateId),
    /// [`ShutDown`](ExecutionError::ShutDown); nothing was started then. What becomes of the steps is in the
    /// result.
    pub async fn execute_plan(&self, plan: ExecutionPlan) -> Result<Uuid> {
        self.execute_plan_with(plan, ExecuteOptions::default())
            .await
    }

    /// The same, with a handler, which is told of all steps, or an environment of its own.
    ///
    /// # Errors
    ///
    /// As for [`ExecutionEngine::execute_plan`].
    pub async fn execute_plan_with(
        &self,
        plan: ExecutionPlan,
        options: ExecuteOptions,
    ) -> Result<Uuid> {
        let runtime = Handle::try_current()
            .map_err(|_| ExecutionError::Internal("expected a Tokio runtime, found none".into()))?;
        let (sender, accepted) = oneshot::channel();
        let own = options.handler.clone();
        let handler_of_step = move |_| own.clone();
        self.submit_plan(
            plan,
            options,
            handler_of_step,
            &runtime,
            Arc::default(),
            (
                |_: &Plan| {},
                move |decision| {
                    drop(sender.send(decision));
                },
            ),
        )?;
        accepted
            .await
            .unwrap_or_else(|_| Err(ExecutionError::Internal("the start was dropped".into())))
    }

    /// The same, with the events of the plan and of all its steps from the first one on, as for
    /// [`ExecutionEngine::execute_subscribed`]. The terminal one is
    /// [`PlanCompleted`](crate::ExecutionEvent::PlanCompleted).
    ///
    /// # Errors
    ///
    /// As for [`ExecutionEngine::execute_plan`].
    pub async fn execute_plan_subscribed(
        &self,
        plan: ExecutionPlan,
    ) -> Result<(Uuid, Subscription)> {
        let (subscription, handler) = Subscription::with_handler(Subject::Plan);
        let options = ExecuteOptions {
            handler: Some(handler),
            environment: None,
        };
        let id = self.execute_plan_with(plan, options).await?;
        Ok((id, subscription))
    }

    /// Enters a plan, and leaves the rest to other threads.
    ///
    /// With a `stop` that was asked for already, it is checked and settled, and none of its steps is started.
    /// The handler of the options is told of the plan, the others of its steps, by their indices. `entered` is called before
    /// anything is told of it.
    pub(crate) fn submit_plan(
        &self,
        request: ExecutionPlan,
        options: ExecuteOptions,
        handler_of_step: impl Fn(usize) -> Option<Arc<dyn EventHandler>> + Send + Sync + 'static,
        runtime: &Handle,
        stop: Arc<Stop>,
        (entered, decided): (
            impl FnOnce(&Plan),
            impl FnOnce(Result<Uuid>) + Send + 'static,
        ),
    ) -> Result<Arc<Plan>> {
        let inner = &self.0;
        self.refuse_after_shutdown()?;
        let environment = options.environment.unwrap_or_else(Environment::current);
        let secrets = checked_steps(&request, &inner.config, self.collector(&environment))?;
        let (plan, news) = steps_of(&request, secrets, stop);
        inner.registry.enter_plan(&plan)?;
        entered(&plan);
        self.refuse_after_shutdown()
            .inspect_err(|_| inner.registry.refuse(request.id))?;
        self.clean_up_regularly(runtime);
        plan.keep_in_time(runtime);
        for step in &plan.steps {
            keep_to_lease(step, runtime);
        }
        let decision = Decision::new(request.id, Arc::clone(&inner.registry), decided);
        let engine = self.clone();
        let known = request.steps.iter().filter_map(PlanStep::known);
        let need = Need::of(known, &environment, runtime, &plan.stop);
        let context = PlanContext {
            config: Arc::clone(&inner.config),
            registry: Arc::clone(&inner.registry),
            slots: Arc::clone(&inner.slots),
            environment,
            secret_sets: Arc::clone(&inner.secret_sets),
            runtime: runtime.clone(),
            handlers_of_step: Box::new(move |step| engine.handlers(handler_of_step(step))),
        };
        let run = Run::new(
            Arc::clone(&plan),
            news,
            context,
            self.handlers(options.handler),
        );
        let decide = move || run.decide(request, decision);
        login::submit(need, decide);
        Ok(plan)
    }

    fn clean_up_regularly(&self, runtime: &Handle) {
        let inner = &self.0;
        if inner.config.enable_auto_cleanup && !inner.cleaning.swap(true, Ordering::AcqRel) {
            runtime.spawn(clean_up(Arc::downgrade(inner)));
        }
    }

    /// Where an execution or a plan stands.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`].
    pub async fn get_status(&self, id: Uuid) -> Result<ExecutionStatus> {
        self.status(id)
    }

    pub(crate) fn status(&self, id: Uuid) -> Result<ExecutionStatus> {
        Ok(self.0.registry.get(id)?.status())
    }

    /// How an execution ended.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`], [`ExecutionError::NotFinished`].
    pub async fn get_result(&self, id: Uuid) -> Result<Arc<ExecutionResult>> {
        self.result(id)
    }

    pub(crate) fn result(&self, id: Uuid) -> Result<Arc<ExecutionResult>> {
        self.0.registry.execution(id)?.result()
    }

    /// Waits until an execution has ended.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`].
    pub async fn wait_for_completion(&self, id: Uuid) -> Result<Arc<ExecutionResult>> {
        let execution = self.0.registry.execution(id)?;
        Ok(execution.outcome.wait().await)
    }

    /// How a plan ended.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`], [`ExecutionError::NotFinished`].
    pub async fn get_plan_result(&self, id: Uuid) -> Result<Arc<PlanExecutionResult>> {
        self.plan_result(id)
    }

    pub(crate) fn plan_result(&self, id: Uuid) -> Result<Arc<PlanExecutionResult>> {
        self.0.registry.plan(id)?.result()
    }

    /// Waits until a plan has ended.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`].
    pub async fn wait_for_plan(&self, id: Uuid) -> Result<Arc<PlanExecutionResult>> {
        let plan = self.0.registry.plan(id)?;
        Ok(plan.outcome.wait().await)
    }

    /// The events of an execution that was accepted before, from now on; of one that has ended, its terminal event. It
    /// need not be the first to know: what a line that was begun has said already is not told again.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`].
    pub fn subscribe(&self, id: Uuid) -> Result<Subscription> {
        Ok(Subscription::new(&self.0.registry.execution(id)?))
    }

    /// Tells somebody of an execution from now on. Of one that has ended, returns what there is to tell.
    #[cfg(feature = "node")]
    pub(crate) fn listen(&self, id: Uuid, listener: Arc<dyn Listener>) -> Result<Listened> {
        let execution = self.0.registry.execution(id)?;
        let origin = Arc::clone(execution.origin());
        Ok((origin, Listening::to(&execution, listener)))
    }

    /// Cancels an execution or a plan; returns once nothing of it is left running. A second call while the
    /// first waits does not wait for the grace.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`], [`ExecutionError::AlreadyFinished`].
    pub async fn cancel(&self, id: Uuid) -> Result<()> {
        self.end(id, None).await
    }

    /// The same, for a reason that becomes [`ExecutionResult::cancel_reason`]; of a plan, in the result of each step that
    /// is cancelled with it. Of several reasons the first stays.
    ///
    /// # Errors
    ///
    /// As for [`ExecutionEngine::cancel`].
    pub async fn cancel_with_reason(&self, id: Uuid, reason: impl Into<String>) -> Result<()> {
        self.end(id, Some(reason.into().into())).await
    }

    pub(crate) async fn end(&self, id: Uuid, reason: Reason) -> Result<()> {
        let unit = self.0.registry.get(id)?;
        if unit.status().is_terminal() {
            return Err(ExecutionError::AlreadyFinished(id));
        }
        match &unit {
            Unit::Execution(execution) => execution.cancel(reason),
            Unit::Plan(plan) => plan.stop.ask_again(Cause::Cancel(reason)),
        }
        unit.wait().await;
        Ok(())
    }

    /// Writes to the input of an execution whose request says [`Stdin::Open`](crate::Stdin). Resolves once all of it is in
    /// the pipe to the command: no faster than the command reads, and not before it was started. Writes are made in the
    /// order of the calls; what was called for is written also if its future is dropped.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`]; [`ExecutionError::Validation`] if the request does not say so;
    /// [`ExecutionError::AlreadyFinished`]; [`ExecutionError::Io`] if the command has closed its input, or
    /// [`ExecutionEngine::close_stdin`] was called before.
    pub fn write_stdin<D: Into<Vec<u8>>>(
        &self,
        id: Uuid,
        data: D,
    ) -> impl Future<Output = Result<()>> + use<D> {
        let execution = self.0.registry.execution(id);
        let written = execution.map(|execution| input::write(&execution, data.into()));
        async move { written?.await }
    }

    /// Ends the input of an execution whose request says [`Stdin::Open`](crate::Stdin), behind what was written before.
    /// Does nothing where it has ended already.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`]; [`ExecutionError::Validation`] if the request does not say so.
    pub fn close_stdin(&self, id: Uuid) -> impl Future<Output = Result<()>> + use<> {
        let execution = self.0.registry.execution(id);
        let closed = execution.map(|execution| input::close(&execution));
        async move { closed?.await }
    }

    /// Says that an execution or a plan is still wanted: its lease ends that many milliseconds from now, or as many as the
    /// request or the plan says.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`], [`ExecutionError::AlreadyFinished`], [`ExecutionError::LeaseEnded`] if it comes too
    /// late, [`ExecutionError::Validation`] for what has no lease, or zero milliseconds.
    pub async fn renew_lease(&self, id: Uuid, lease_ms: Option<u64>) -> Result<()> {
        self.renew(id, lease_ms)
    }

    pub(crate) fn renew(&self, id: Uuid, lease_ms: Option<u64>) -> Result<()> {
        if lease_ms == Some(0) {
            return Err(ValidationError::new("lease_ms", "a positive integer", "0").into());
        }
        let unit = self.0.registry.get(id)?;
        if unit.status().is_terminal() {
            return Err(ExecutionError::AlreadyFinished(id));
        }
        let Some(lease) = unit.lease() else {
            let expected = "the id of an execution or a plan that has a lease";
            return Err(
                ValidationError::new("id", expected, format!("{id}, which has none")).into(),
            );
        };
        if !lease.renew(lease_ms) {
            return Err(ExecutionError::LeaseEnded(id));
        }
        Ok(())
    }

    /// Hides a secret that becomes known while an execution runs or waits: in what is read of its output from now on, and
    /// in its command and error. Of a plan: in all its steps. What was read before is not changed.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::Validation`] for less than four bytes, or only white space; [`ExecutionError::NotFound`],
    /// [`ExecutionError::AlreadyFinished`].
    pub fn add_secret(&self, id: Uuid, secret: impl Into<Secret>) -> Result<()> {
        let secret = secret.into();
        check_added(&secret)?;
        match self.0.registry.get(id)? {
            Unit::Execution(execution) => execution.add_secret(&secret, &self.0.secret_sets),
            Unit::Plan(plan) => plan.add_secret(&secret, &self.0.secret_sets),
        }
    }

    /// The executions that are remembered and meant, newest first.
    pub async fn list_executions(&self, filter: &ExecutionFilter) -> Vec<ExecutionSummary> {
        self.summaries(filter)
    }

    pub(crate) fn summaries(&self, filter: &ExecutionFilter) -> Vec<ExecutionSummary> {
        let all = self.0.registry.all();
        let executions = all.iter().filter_map(|unit| match unit {
            Unit::Execution(execution) => Some(execution),
            Unit::Plan(_) => None,
        });
        executions
            .filter(|one| filter.matches(one.status(), &one.origin().metadata))
            .take(filter.limit.unwrap_or(usize::MAX))
            .map(|execution| execution.summary())
            .collect()
    }

    #[cfg(feature = "node")]
    /// Checks a request that was made for a step of a plan with these secrets.
    pub(crate) fn check_made(
        &self,
        request: &ExecutionRequest,
        environment: &Environment,
        (secrets, names): &(Vec<Secret>, Vec<String>),
    ) -> Result<()> {
        let collector = self.collector(environment).for_plan(secrets, names)?;
        collector.check(request, &self.0.config)?;
        Ok(())
    }

    /// The end of the log of an execution, also of an earlier process: the last `max_bytes` (default
    /// 10 485 760), from the start of a line. Empty for an execution that has logged nothing.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`] when neither execution nor log is known; [`ExecutionError::NoLog`] when it has been
    /// deleted; [`ExecutionError::IsPlan`], as only the steps of a plan have logs; [`ExecutionError::Io`].
    pub async fn read_logs(&self, id: Uuid, max_bytes: Option<u64>) -> Result<String> {
        self.known(id)?;
        if self.logs_nothing_yet(id) {
            return Ok(String::new());
        }
        let path = self.get_log_path(id);
        let max_bytes = max_bytes.unwrap_or(DEFAULT_LOG_TAIL);
        let read = on_files(move || read_tail(&path, max_bytes)).await?;
        match read {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.0.registry.get(id)?;
                Err(ExecutionError::NoLog(id))
            }
            read => read.map_err(not_read(&self.get_log_path(id))),
        }
    }

    /// The entries of the log of an execution, also of another process, from an offset on: 0, or that of an entry that was
    /// read before. At most `limit` of them, and fewer where they are long: at most some 4 MiB. None for an execution that
    /// has logged nothing yet.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`] when neither execution nor log is known; [`ExecutionError::NoLog`] when it has been
    /// deleted; [`ExecutionError::IsPlan`], as only the steps of a plan have logs; [`ExecutionError::Validation`] for an
    /// offset at which no entry of this log begins; [`ExecutionError::Io`] when it cannot be read, or when something else than an entry is found in it.
    pub async fn read_log_lines(&self, id: Uuid, from: u64, limit: usize) -> Result<LogPage> {
        self.read_page(id, LogStart::Offset(from), limit).await
    }

    /// The same from the entry with a number on, the first being 0. A page is empty from the last one on. What is before
    /// them is read as well, to be counted.
    ///
    /// # Errors
    ///
    /// As for [`ExecutionEngine::read_log_lines`].
    pub async fn read_log_from_line(&self, id: Uuid, line: u64, limit: usize) -> Result<LogPage> {
        self.read_page(id, LogStart::Line(line), limit).await
    }

    async fn read_page(&self, id: Uuid, start: LogStart, limit: usize) -> Result<LogPage> {
        let execution = self.known(id)?;
        let has_ended = || {
            execution
                .as_ref()
                .is_none_or(|known| known.outcome.get().is_some())
        };
        // Asked first: what is logged until then is read.
        let ended = has_ended();
        if self.logs_nothing_yet(id) {
            let lines = Vec::new();
            return Ok(LogPage {
                lines,
                next: start.offset(),
                ended,
            });
        }
        let path = self.get_log_path(id);
        let most = Most {
            lines: limit,
            bytes: LARGEST_PAGE,
        };
        let read = on_files(move || match LogReader::open(&path, start.offset())? {
            Some(reader) => reader.read(start.found_in(&reader)?, most).map(Some),
            None => Ok(None),
        });
        let Some(read) = read.await?? else {
            self.0.registry.get(id)?;
            return Err(ExecutionError::NoLog(id));
        };
        Ok(LogPage {
            lines: read.lines,
            next: read.next,
            ended: read.is_over && ended,
        })
    }

    /// Follows the log of an execution, also of another process, from an offset on: 0, or that of an entry that was read
    /// before. Errors come with the first entry. Once the engine was shut down, it does not wait for another process.
    #[must_use]
    pub fn follow_logs(&self, id: Uuid, from: u64) -> LogFollower {
        LogFollower::new(
            id,
            self.get_log_path(id),
            from,
            self.known(id),
            Arc::clone(&self.0.shut_down),
        )
    }

    /// The execution, if this engine remembers it. The id of a plan is refused.
    fn known(&self, id: Uuid) -> Result<Option<Arc<Execution>>> {
        match self.0.registry.execution(id) {
            Ok(execution) => Ok(Some(execution)),
            Err(ExecutionError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether it is known to have no log yet: one that is there is that of an earlier execution with its id.
    fn logs_nothing_yet(&self, id: Uuid) -> bool {
        let execution = self.0.registry.execution(id);
        execution.is_ok_and(|execution| execution.log_opened.get().is_none())
    }

    /// Where the log of an execution is, or would be.
    #[must_use]
    pub fn get_log_path(&self, id: Uuid) -> PathBuf {
        Kind::Log.path(&self.0.config.log_dir, id)
    }

    /// Forgets a finished execution, or a finished plan with its steps. Logs stay.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`], [`ExecutionError::NotFinished`].
    pub async fn remove_execution(&self, id: Uuid) -> Result<()> {
        self.remove(id)
    }

    /// The same, with the log and the overflow files, if these are wanted away: then also of an execution of an earlier
    /// process, which is not remembered.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`] when there is neither execution nor file; [`ExecutionError::NotFinished`];
    /// [`ExecutionError::LogInUse`] when another host, or what the command has left running, still writes to a file;
    /// [`ExecutionError::Io`] when one cannot be deleted. Then nothing is forgotten.
    pub async fn remove_execution_with(&self, id: Uuid, options: RemoveOptions) -> Result<()> {
        if !options.logs {
            return self.remove(id);
        }
        let unit = self.0.registry.get(id);
        if unit.as_ref().is_ok_and(|unit| !unit.status().is_terminal()) {
            return Err(ExecutionError::NotFinished(id));
        }
        let ids = match &unit {
            Ok(Unit::Plan(plan)) => plan.steps.iter().map(|step| step.id()).collect(),
            _ => vec![id],
        };
        let dir = self.0.config.log_dir.clone();
        let deleted = on_files(move || {
            let deleted = ids.into_iter().map(|id| delete_files(&dir, id));
            deleted.collect::<Result<Vec<bool>>>()
        });
        let were_there = deleted.await??.contains(&true);
        match unit {
            Ok(_) => self.remove(id),
            Err(_) if were_there => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn remove(&self, id: Uuid) -> Result<()> {
        if !self.0.registry.get(id)?.status().is_terminal() {
            return Err(ExecutionError::NotFinished(id));
        }
        self.0.registry.remove(id);
        Ok(())
    }

    /// Forgets executions that finished longer ago than the retention, and returns how many. Deletes the logs that are past
    /// theirs as well, or more than there is room for.
    pub async fn cleanup(&self) -> usize {
        self.clean_up(sweep_now).await
    }

    async fn clean_up(&self, sweep: fn(&Path, Limits)) -> usize {
        let inner = Arc::clone(&self.0);
        let forget = move || {
            sweep(&inner.config.log_dir, Limits::of(&inner.config));
            inner.registry.forget_older_than(inner.config.retention())
        };
        pool::FILES.run(forget).await.unwrap_or(0)
    }

    /// Executions that hold a slot.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.0.slots.running()
    }

    /// Executions that wait for a slot; a plan counts as one while the next of its steps does, or as one for each group of
    /// which a step does. What waits for its group, or for its next attempt, has no place in the queue, and is not counted.
    #[must_use]
    pub fn queued_count(&self) -> usize {
        self.0.slots.queued()
    }

    /// Executions that are remembered, finished or not.
    #[must_use]
    pub fn total_count(&self) -> usize {
        self.0.registry.len()
    }

    /// Slots that are free.
    #[must_use]
    pub fn available_permits(&self) -> usize {
        self.0.slots.available()
    }

    /// The configuration, complete. `orphan_protection` is false where it cannot be had.
    #[must_use]
    pub fn config(&self) -> ExecutionConfig {
        let mut config = ExecutionConfig::clone(&self.0.config);
        config.orphan_protection &= guardian::is_available();
        config
    }

    /// Why the `PATH` of the login shell could not be read for a request with [`InheritEnv::Login`](crate::InheritEnv),
    /// where it could not: such commands have that of the host then. `None` as long as none has asked for it.
    #[must_use]
    pub fn login_problem() -> Option<&'static str> {
        crate::state::login::problem()
    }

    /// Cancels all executions and accepts no more; returns once nothing is left running.
    pub async fn shutdown(&self) {
        self.0.shut_down.set(Arc::new(()));
        self.0.shut_down.announce();
        let units = self.0.registry.all();
        let (plans, executions): (Vec<_>, Vec<_>) = units
            .into_iter()
            .partition(|unit| matches!(unit, Unit::Plan(_)));
        // Plans first: a step that ends must not make room for the next.
        for unit in plans.iter().chain(&executions) {
            unit.stop()
                .ask(Cause::cancel_by_engine("the engine was shut down"));
        }
        for unit in plans.iter().chain(&executions) {
            unit.wait().await;
        }
        escapees::end_now().await;
    }
}

/// Checks a secret that is added by itself.
pub(crate) fn check_added(secret: &Secret) -> Result<()> {
    secret.complaint().map_or(Ok(()), |(expected, found)| {
        Err(ValidationError::new("value", expected, found).into())
    })
}

async fn clean_up(engine: Weak<Inner>) {
    loop {
        tokio::time::sleep(CLEANUP_INTERVAL).await;
        let Some(engine) = engine.upgrade() else {
            return;
        };
        // Another engine may have seen to the directory.
        let sweep = |path: &Path, limits| sweep_at_times(path, limits, CLEANUP_INTERVAL / 2);
        ExecutionEngine(engine).clean_up(sweep).await;
    }
}

/// Does what reads or deletes files on a thread that may block.
async fn on_files<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let done = pool::FILES.run(job).await;
    done.ok_or_else(|| ExecutionError::Internal("work on the logs panicked".into()))
}

/// Deletes the log and the overflow files of an execution; returns whether there were any.
fn delete_files(dir: &Path, id: Uuid) -> Result<bool> {
    match delete_files_of(dir, id) {
        Ok(were_there) => were_there.ok_or(ExecutionError::LogInUse(id)),
        Err(source) => {
            let context = format!("log not deleted: \"{}\"", Kind::Log.path(dir, id).display());
            Err(ExecutionError::Io { context, source })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::command::Command;
    use crate::api::request::ExecutionMetadata;

    fn engine(config: ExecutionConfig) -> ExecutionEngine {
        ExecutionEngine::new(ExecutionConfig {
            log_output: false,
            ..config
        })
        .expect("a valid configuration")
    }

    #[tokio::test]
    async fn a_slot_is_free_before_its_refusal_is_told() {
        let engine = engine(ExecutionConfig {
            max_concurrent_executions: 1,
            ..ExecutionConfig::default()
        });
        let request = ExecutionRequest {
            working_dir: Some("/no/such/directory".into()),
            ..ExecutionRequest::new(Command::shell("true"))
        };
        let (sender, told) = oneshot::channel();
        let (seen, options) = (engine.clone(), ExecuteOptions::default());
        let decided = move |decision: Result<Uuid>| {
            let _ = sender.send((decision.is_err(), seen.available_permits()));
        };
        engine
            .submit(
                request,
                options,
                &Handle::current(),
                Arc::default(),
                decided,
            )
            .expect("a slot");
        assert_eq!(told.await, Ok((true, 1)));
    }

    #[test]
    fn the_late_end_of_what_was_removed_is_not_the_end_of_what_took_its_id() {
        let engine = engine(ExecutionConfig {
            max_in_memory_executions: 1,
            ..ExecutionConfig::default()
        });
        let registry = &engine.0.registry;
        let enter = |id| {
            let execution = Execution::new(
                id,
                String::from("true"),
                &ExecutionMetadata::default(),
                Arc::default(),
                None,
                None,
            );
            registry.enter(&execution).expect("a free id");
            execution
        };
        let id = Uuid::new_v4();
        let old = enter(id);
        registry.remove(id);
        let new = enter(id);
        registry.finish(&Unit::Execution(old));
        // What has finished is forgotten when two others have.
        for _ in 0..2 {
            let other = enter(Uuid::new_v4());
            registry.finish(&Unit::Execution(other));
        }
        assert_eq!(registry.forget_older_than(Duration::ZERO), 1);
        let found = registry.execution(id).expect("it runs");
        assert!(Arc::ptr_eq(&found, &new));
    }
}

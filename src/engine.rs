//! The verbs of the engine.

use std::path::PathBuf;
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
use crate::api::event::{ExecutionEvent, Origin};
use crate::api::plan::{ExecutionPlan, PlanExecutionResult};
use crate::api::request::ExecutionRequest;
use crate::api::result::{ExecutionFilter, ExecutionResult, ExecutionStatus, ExecutionSummary};
use crate::execution::handlers::Handlers;
use crate::execution::running::log_path;
use crate::execution::secrets::{Collector, displayed};
use crate::execution::start::{Decision, Start};
#[cfg(feature = "node")]
use crate::execution::subscription::Listening;
use crate::execution::subscription::Subscription;
use crate::masking::secret::Secret;
use crate::plan::run::{PlanContext, Run, secrets_of_steps, steps_of};
use crate::process::environment::Environment;
use crate::process::{escapees, guardian, pool};
use crate::state::cancellation::{Cause, Stop};
use crate::state::execution::Execution;
use crate::state::plan::Plan;
use crate::state::registry::{Registry, Unit};
use crate::state::secrets::Grown;
use crate::state::slots::Slots;

/// Between two looks for executions to forget.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

/// The end of a log that is read when nothing else is said, in bytes.
const DEFAULT_LOG_TAIL: u64 = 10 * 1024 * 1024;

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
    /// Shared, as the executions are, with the same engine under another handler.
    shut_down: Arc<AtomicBool>,
    cleaning: AtomicBool,
}

/// What one call of [`ExecutionEngine::execute_with`] adds to its request.
#[derive(Clone, Default)]
pub struct ExecuteOptions {
    /// Is told of this execution, after the handler of the engine.
    pub handler: Option<Arc<dyn EventHandler>>,
    /// What the command inherits. Default: [`Environment::current`].
    pub environment: Option<Environment>,
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
            ),
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

    /// Enters a request, and leaves the rest to other threads: the file system is not touched here.
    ///
    /// With a `stop` that was asked for already, it is checked and settled, and never started.
    /// `decided` is told whether the request was accepted, before anything else is told of the execution.
    pub(crate) fn submit(
        &self,
        request: ExecutionRequest,
        options: ExecuteOptions,
        runtime: &Handle,
        stop: Arc<Stop>,
        decided: impl FnOnce(Result<Uuid>) + Send + 'static,
    ) -> Result<Arc<Execution>> {
        let inner = &self.0;
        self.refuse_after_shutdown()?;
        let environment = options.environment.unwrap_or_else(Environment::current);
        let secrets =
            Collector::new(&environment, &inner.config).collect(&request, |error| error)?;
        request
            .validate(&inner.config)
            .map_err(|error| match &secrets {
                Some(secrets) => secrets.hide_in(error),
                None => error,
            })?;
        let displayed = displayed(&request.command, secrets);
        let execution = Execution::new(request.id, displayed, &request.metadata, stop, None);
        inner.registry.enter(&execution)?;
        let maybe_slot = inner
            .slots
            .take()
            .inspect_err(|_| inner.registry.refuse(request.id))?;
        // Shut down meanwhile: whoever did it may not have seen this execution.
        self.refuse_after_shutdown()
            .inspect_err(|_| inner.registry.refuse(request.id))?;
        self.clean_up_regularly(runtime);
        let start = Start {
            config: Arc::clone(&inner.config),
            registry: Arc::clone(&inner.registry),
            execution: Arc::clone(&execution),
            handlers: self.handlers(options.handler).and_listeners_of(&execution),
            runtime: runtime.clone(),
        };
        let decision = Decision::new(request.id, Arc::clone(&inner.registry), decided);
        pool::STARTS.submit(move || start.decide(request, &environment, maybe_slot, decision));
        Ok(execution)
    }

    fn handlers(&self, own: Option<Arc<dyn EventHandler>>) -> Handlers {
        Handlers::new(self.0.handler.iter().cloned().chain(own).collect())
    }

    fn refuse_after_shutdown(&self) -> Result<()> {
        if self.0.shut_down.load(Ordering::Acquire) {
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
            move |decision| {
                drop(sender.send(decision));
            },
        )?;
        accepted
            .await
            .unwrap_or_else(|_| Err(ExecutionError::Internal("the start was dropped".into())))
    }

    /// Enters a plan, and leaves the rest to other threads.
    ///
    /// With a `stop` that was asked for already, it is checked and settled, and none of its steps is started.
    /// The handler of the options is told of the plan, the others of its steps, by their indices.
    pub(crate) fn submit_plan(
        &self,
        request: ExecutionPlan,
        options: ExecuteOptions,
        handler_of_step: impl Fn(usize) -> Option<Arc<dyn EventHandler>> + Send + Sync + 'static,
        runtime: &Handle,
        stop: Arc<Stop>,
        decided: impl FnOnce(Result<Uuid>) + Send + 'static,
    ) -> Result<Arc<Plan>> {
        let inner = &self.0;
        self.refuse_after_shutdown()?;
        let environment = options.environment.unwrap_or_else(Environment::current);
        let secrets = secrets_of_steps(&request, &environment, &inner.config)?;
        let valid = request.validate(&inner.config);
        let (plan, news) = steps_of(&request, secrets, stop);
        valid.map_err(|error| error.hiding(|text| plan.hide(text)))?;
        inner.registry.enter_plan(&plan)?;
        self.refuse_after_shutdown()
            .inspect_err(|_| inner.registry.refuse(request.id))?;
        self.clean_up_regularly(runtime);
        let decision = Decision::new(request.id, Arc::clone(&inner.registry), decided);
        let engine = self.clone();
        let context = PlanContext {
            config: Arc::clone(&inner.config),
            registry: Arc::clone(&inner.registry),
            slots: Arc::clone(&inner.slots),
            environment,
            runtime: runtime.clone(),
            handlers_of_step: Box::new(move |step| engine.handlers(handler_of_step(step))),
        };
        let run = Run::new(
            Arc::clone(&plan),
            news,
            context,
            self.handlers(options.handler),
        );
        pool::STARTS.submit(move || run.decide(request, decision));
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
    pub(crate) fn listen(
        &self,
        id: Uuid,
        listener: Arc<dyn EventHandler>,
    ) -> Result<(Arc<Origin>, std::result::Result<Listening, ExecutionEvent>)> {
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
        let unit = self.0.registry.get(id)?;
        if unit.status().is_terminal() {
            return Err(ExecutionError::AlreadyFinished(id));
        }
        match &unit {
            Unit::Execution(execution) => execution.cancel(),
            Unit::Plan(plan) => plan.stop.ask_again(Cause::Cancel),
        }
        unit.wait().await;
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
            Unit::Execution(execution) => execution.add_secret(&secret, &mut Grown::default()),
            Unit::Plan(plan) => plan.add_secret(&secret),
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
    pub(crate) fn settings(&self) -> &ExecutionConfig {
        &self.0.config
    }

    /// The end of the log of an execution, also of an earlier process: the last `max_bytes` (default
    /// 10 485 760), from the start of a line. Empty for an execution that has logged nothing.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`] when neither execution nor log is known, [`ExecutionError::Io`].
    pub async fn read_logs(&self, id: Uuid, max_bytes: Option<u64>) -> Result<String> {
        let path = self.get_log_path(id);
        let max_bytes = max_bytes.unwrap_or(DEFAULT_LOG_TAIL);
        let read = pool::FILES
            .run(move || crate::execution::output::tail::read_tail(&path, max_bytes))
            .await;
        let panicked = || ExecutionError::Internal("reading the log panicked".into());
        match read.ok_or_else(panicked)? {
            Ok(text) => Ok(text),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.0.registry.get(id).map(|_| String::new())
            }
            Err(source) => {
                let context = format!("log not read: \"{}\"", self.get_log_path(id).display());
                Err(ExecutionError::Io { context, source })
            }
        }
    }

    /// Where the log of an execution is, or would be.
    #[must_use]
    pub fn get_log_path(&self, id: Uuid) -> PathBuf {
        log_path(&self.0.config, id)
    }

    /// Forgets a finished execution, or a finished plan with its steps. Logs stay.
    ///
    /// # Errors
    ///
    /// [`ExecutionError::NotFound`], [`ExecutionError::NotFinished`].
    pub async fn remove_execution(&self, id: Uuid) -> Result<()> {
        self.remove(id)
    }

    pub(crate) fn remove(&self, id: Uuid) -> Result<()> {
        if !self.0.registry.get(id)?.status().is_terminal() {
            return Err(ExecutionError::NotFinished(id));
        }
        self.0.registry.remove(id);
        Ok(())
    }

    /// Forgets executions that finished longer ago than the retention; returns how many.
    pub async fn cleanup(&self) -> usize {
        let inner = Arc::clone(&self.0);
        let forget = move || inner.registry.forget_older_than(inner.config.retention());
        pool::FILES.run(forget).await.unwrap_or(0)
    }

    /// Executions that hold a slot.
    #[must_use]
    pub fn running_count(&self) -> usize {
        self.0.slots.running()
    }

    /// Executions that wait for a slot; a plan counts as one while the next of its steps does.
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

    /// Cancels all executions and accepts no more; returns once nothing is left running.
    pub async fn shutdown(&self) {
        self.0.shut_down.store(true, Ordering::Release);
        let units = self.0.registry.all();
        let (plans, executions): (Vec<_>, Vec<_>) = units
            .into_iter()
            .partition(|unit| matches!(unit, Unit::Plan(_)));
        // Plans first: a step that ends must not make room for the next.
        for unit in plans.iter().chain(&executions) {
            unit.stop().ask(Cause::Cancel);
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
        ExecutionEngine(engine).cleanup().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::request::{Command, ExecutionMetadata};

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

//! The class behind `ExecutionEngine` of `index.js`: each verb a few lines.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use napi::Either;
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;
use serde::Serialize;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::answer::{answer, answer_to, internal, without_runtime};
use super::channel::{Channel, Shared};
use super::error::Failure;
use super::follower::NativeLogFollower;
use super::handler::{Handler, PlanHandler, Wanted, Wants};
use super::message::{Message, Value, wire_plan, wire_result};
use super::request::{
    StepInput, StepInputs, bytes, inputs_by_step, parse_id, parse_plan, parse_request, unreadable,
};
use super::runtime;
use crate::api::config::ExecutionConfig;
use crate::api::error::{ExecutionError, Result, ValidationError};
use crate::api::event::{EventHandler, Origin};
use crate::api::request::ExecutionRequest;
use crate::api::stdin::Stdin;
use crate::api::step::{PlanStep, RequestFn};
use crate::engine::{ExecuteOptions, ExecutionEngine, RemoveOptions, check_added};
use crate::execution::input;
use crate::masking::secret::Secret;
use crate::plan::check::{CheckOptions, check_plan, check_request, hide};
use crate::process::environment::{Environment, Taken};
use crate::process::pool;
use crate::state::cancellation::Stop;
use crate::state::plan::Plan;

/// What a question is answered with: one of the two.
#[napi(object)]
pub struct Answer {
    /// The answer, as JSON.
    pub json: Option<String>,
    /// Why there is none.
    pub failure: Option<Failure>,
}

impl Answer {
    fn of(outcome: Result<impl Serialize>) -> Self {
        let json = outcome.and_then(|value| serde_json::to_string(&value).map_err(internal));
        let (json, failure) = match json {
            Ok(json) => (Some(json), None),
            Err(error) => (None, Some(error.into())),
        };
        Self { json, failure }
    }
}

/// An engine.
#[napi]
pub struct NativeEngine {
    engine: ExecutionEngine,
    channel: Arc<Shared>,
    subscribers: Arc<AtomicUsize>,
}

fn parse_config(json: &str) -> Result<ExecutionConfig> {
    serde_json::from_str(json).map_err(|error| {
        let error = ValidationError::new("config", "a configuration", error.to_string());
        ExecutionError::InvalidConfig(error)
    })
}

#[napi]
impl NativeEngine {
    /// Why an engine cannot be made from this configuration, if so.
    #[napi(catch_unwind)]
    pub fn check(json: String) -> Option<Failure> {
        parse_config(&json)
            .and_then(ExecutionEngine::new)
            .err()
            .map(Failure::from)
    }

    /// The configuration of an engine that was told nothing else.
    #[napi(catch_unwind)]
    pub fn default_config() -> Answer {
        Answer::of(Ok(ExecutionConfig::default()))
    }

    /// What a request comes to that an engine would accept. Without a `config`, what only a configuration could refuse is
    /// accepted.
    #[napi(catch_unwind)]
    pub fn check_request(
        request: String,
        config: Option<String>,
        variables: Option<String>,
    ) -> Answer {
        Answer::of(check_options(config, variables).and_then(|options| {
            let request = parse_request(request, None)?;
            check_request(&request, &options)
        }))
    }

    /// The same for a plan. `made`: the ids of the steps whose requests are made, by their indices.
    #[napi(catch_unwind)]
    pub fn check_plan(
        plan: String,
        made: Vec<StepInput>,
        config: Option<String>,
        variables: Option<String>,
    ) -> Answer {
        Answer::of(check_options(config, variables).and_then(|options| {
            // It is never called.
            let function = |_| RequestFn::new(|_| Box::pin(async { Err(String::new()) }));
            let plan = parse_plan(plan, inputs_by_step(made), |_| function)?;
            check_plan(&plan, &options)
        }))
    }

    /// A text without the secrets of a request that was checked.
    #[napi(catch_unwind)]
    pub fn hide(request: String, text: String, variables: Option<String>) -> Answer {
        Answer::of(check_options(None, variables).and_then(|options| {
            let request = parse_request(request, None)?;
            hide(&request, &options, &text)
        }))
    }

    /// `json` has passed `check`.
    #[napi(constructor)]
    pub fn new(channel: &Channel, json: String) -> napi::Result<Self> {
        let engine = parse_config(&json).and_then(ExecutionEngine::new);
        runtime::prepare();
        Ok(Self {
            engine: engine.map_err(|error| napi::Error::from_reason(error.to_string()))?,
            channel: Arc::clone(&channel.shared),
            subscribers: Arc::default(),
        })
    }

    /// Starts an execution; what becomes of it is told through the channel, to `token`. `variables`: each as `NAME=value`
    /// and a NUL byte; without them, those of the process are read, which is only for a thread that alone changes them.
    /// `reason`: why it is never to be started, where `wants` says so.
    #[napi(catch_unwind)]
    pub fn execute(
        &self,
        token: u32,
        request: String,
        stdin: Option<Either<String, Uint8Array>>,
        variables: Option<String>,
        wants: u32,
        reason: Option<String>,
    ) -> Option<Failure> {
        let wants = Wants(wants);
        self.submit(token, request, stdin, variables, wants, wants.stop(reason))
            .err()
            .map(Failure::from)
    }

    fn submit(
        &self,
        token: u32,
        json: String,
        stdin: Option<Either<String, Uint8Array>>,
        variables: Option<String>,
        wants: Wants,
        stop: Arc<Stop>,
    ) -> Result<()> {
        let request = parse_request(json, stdin)?;
        let subscribers = Arc::clone(&self.subscribers);
        let handler = Arc::new(Handler::new(
            token,
            Arc::clone(&self.channel),
            wants,
            subscribers,
        ));
        self.channel.enter(token, handler.window(), &stop);
        let options = ExecuteOptions {
            handler: Some(Arc::clone(&handler) as _),
            environment: Some(environment(variables)),
        };
        let submission = Submission {
            engine: self.engine.clone(),
            channel: Arc::clone(&self.channel),
            request,
            options,
            token,
            wants,
            stop,
            handler,
        };
        if let Some(runtime) = runtime::get() {
            return submission.enter(runtime);
        }
        runtime::once_there(|runtime| submission.submit(runtime));
        Ok(())
    }

    /// Starts a plan; what becomes of it is told through the channel, to `token`, and what becomes of its steps to
    /// `tokens`, in their order. `inputs`: what of a step is not in the JSON.
    #[napi(catch_unwind)]
    pub fn execute_plan(
        &self,
        token: u32,
        tokens: Vec<u32>,
        plan: String,
        inputs: Vec<StepInput>,
        variables: Option<String>,
        wanted: PlanWants,
    ) {
        let (wants, step_wants) = (Wants(wanted.plan), Wants(wanted.steps));
        let inputs = inputs_by_step(inputs);
        let stop = wants.stop(wanted.reason);
        self.channel.enter(token, &Arc::default(), &stop);
        let submission = PlanSubmission {
            engine: self.engine.clone(),
            channel: Arc::clone(&self.channel),
            subscribers: Arc::clone(&self.subscribers),
            environment: environment(variables),
            token,
            tokens,
            wants,
            step_wants,
            stop,
        };
        runtime::once_there(move |runtime| match runtime {
            Ok(runtime) => {
                let runtime = runtime.clone();
                // A long plan takes milliseconds to read.
                pool::STARTS.submit(move || submission.submit(plan, inputs, &runtime));
            }
            Err(error) => refuse(&submission.channel, token, without_runtime(error)),
        });
    }

    /// A new id.
    #[napi(catch_unwind)]
    pub fn new_id() -> String {
        Uuid::new_v4().to_string()
    }

    /// Whether the environment of the process has this variable. Only for a thread that alone changes it.
    #[napi(catch_unwind)]
    pub fn has_variable(name: String) -> bool {
        std::env::var_os(name).is_some()
    }

    /// Where an execution stands.
    #[napi(catch_unwind)]
    pub fn status(&self, id: String) -> Answer {
        Answer::of(parse_id(&id).and_then(|id| self.engine.status(id)))
    }

    /// How an execution ended, in three parts, or why that is not told.
    #[napi(
        catch_unwind,
        ts_return_type = "[string, string, string, Buffer | undefined, Buffer | undefined] | Failure"
    )]
    pub fn result(&self, id: String) -> Value {
        match parse_id(&id).and_then(|id| self.engine.result(id)) {
            Err(error) => Value::Failure(error.into()),
            Ok(result) => Value::List(wire_result(&result).into()),
        }
    }

    /// The executions that a filter means, newest first.
    #[napi(catch_unwind)]
    pub fn list(&self, filter: String) -> Answer {
        let filter = serde_json::from_str(&filter).map_err(unreadable("filter"));
        let list = |filter| self.engine.summaries(&filter);
        Answer::of(filter.map(list).map_err(ExecutionError::from))
    }

    /// Tells `token` of an execution from now on, as if it had started it; answers with what each event tells of it. Of one
    /// that has ended, only the end is told.
    #[napi(catch_unwind)]
    pub fn subscribe(&self, token: u32, id: String) -> Answer {
        Answer::of(parse_id(&id).and_then(|id| self.listen(token, id)))
    }

    fn listen(&self, token: u32, id: Uuid) -> Result<Arc<Origin>> {
        let channel = &self.channel;
        let handler = Arc::new(Handler::of_subscription(token, Arc::clone(channel)));
        channel.enter(token, handler.window(), &Arc::default());
        let listened = self.engine.listen(id, Arc::clone(&handler) as _);
        let (origin, listening) = listened.inspect_err(|_| {
            channel.forget(token);
        })?;
        match listening {
            Ok(listening) => channel.keep(token, listening),
            Err(result) => handler.tell_end(&result),
        }
        Ok(origin)
    }

    /// Hides a secret of something that runs or waits.
    #[napi(catch_unwind)]
    pub fn add_secret(&self, id: String, value: String) -> Answer {
        let id = parse_id(&id);
        Answer::of(id.and_then(|id| self.engine.add_secret(id, value)))
    }

    /// Why a value cannot be masked, if so.
    #[napi(catch_unwind)]
    pub fn check_secret(value: String) -> Answer {
        Answer::of(check_added(&Secret::from(value)))
    }

    /// Forgets a finished execution.
    #[napi(catch_unwind)]
    pub fn remove(&self, id: String) -> Answer {
        Answer::of(parse_id(&id).and_then(|id| self.engine.remove(id)))
    }

    /// Where the log of an execution is.
    #[napi(catch_unwind)]
    pub fn log_path(&self, id: String) -> Answer {
        let path = |id| self.engine.get_log_path(id).to_string_lossy().into_owned();
        Answer::of(parse_id(&id).map(path))
    }

    /// The configuration, complete.
    #[napi(catch_unwind)]
    pub fn config(&self) -> Answer {
        Answer::of(Ok(self.engine.config()))
    }

    /// Running, waiting, remembered, free.
    #[napi(catch_unwind)]
    pub fn counts(&self) -> Vec<u32> {
        let engine = &self.engine;
        [
            engine.running_count(),
            engine.queued_count(),
            engine.total_count(),
            engine.available_permits(),
        ]
        .map(|count| u32::try_from(count).unwrap_or(u32::MAX))
        .to_vec()
    }

    /// How many listeners hear of every execution.
    #[napi(catch_unwind)]
    pub fn set_subscribers(&self, count: u32) {
        self.subscribers.store(count as usize, Ordering::Relaxed);
    }

    /// Settles `token` with the result, in three parts, once an execution has ended.
    #[napi(catch_unwind)]
    pub fn wait(&self, token: u32, id: String) {
        let engine = self.engine.clone();
        self.answer(token, async move {
            let result = engine.wait_for_completion(parse_id(&id)?).await?;
            Ok(Value::List(wire_result(&result).into()))
        });
    }

    /// Settles `token` with the result of a plan, in parts, once it has ended.
    #[napi(catch_unwind)]
    pub fn wait_for_plan(&self, token: u32, id: String) {
        let engine = self.engine.clone();
        self.answer(token, async move {
            let result = engine.wait_for_plan(parse_id(&id)?).await?;
            Ok(Value::List(wire_plan(&result)))
        });
    }

    /// Settles `token` with the result of a plan, in parts, if it has ended.
    #[napi(catch_unwind)]
    pub fn plan_result(&self, token: u32, id: String) {
        let engine = self.engine.clone();
        self.answer(token, async move {
            let result = engine.plan_result(parse_id(&id)?)?;
            Ok(Value::List(wire_plan(&result)))
        });
    }

    /// Settles `token` once nothing of an execution is left running.
    #[napi(catch_unwind)]
    pub fn cancel(&self, token: u32, id: String, reason: Option<String>) {
        let engine = self.engine.clone();
        self.answer(token, async move {
            engine
                .end(parse_id(&id)?, reason.map(Into::into))
                .await
                .map(|()| Value::Undefined)
        });
    }

    /// Settles `token` once all of it is in the pipe to the command.
    #[napi(catch_unwind)]
    pub fn write_stdin(&self, token: u32, id: String, data: Either<String, Uint8Array>) {
        let (engine, data) = (self.engine.clone(), bytes(data));
        answer_to(&self.channel, token, move || {
            let written = parse_id(&id).map(|id| engine.write_stdin(id, data));
            async move { written?.await.map(|()| Value::Undefined) }
        });
    }

    /// Settles `token` once the input of an execution has ended.
    #[napi(catch_unwind)]
    pub fn close_stdin(&self, token: u32, id: String) {
        let engine = self.engine.clone();
        answer_to(&self.channel, token, move || {
            let closed = parse_id(&id).map(|id| engine.close_stdin(id));
            async move { closed?.await.map(|()| Value::Undefined) }
        });
    }

    /// Settles `question` once all of it is in the pipe to what was submitted with `token`.
    #[napi(catch_unwind)]
    pub fn feed(&self, question: u32, token: u32, data: Either<String, Uint8Array>) {
        let (channel, data) = (Arc::clone(&self.channel), bytes(data));
        answer_to(&self.channel, question, move || {
            let fed = channel.fed_by(token).map(|fed| input::write(&fed, data));
            async move {
                match fed {
                    Some(written) => written.await.map(|()| Value::Undefined),
                    None => Err(is_over()),
                }
            }
        });
    }

    /// Settles `question` once the input of what was submitted with `token` has ended.
    #[napi(catch_unwind)]
    pub fn end_feed(&self, question: u32, token: u32) {
        let channel = Arc::clone(&self.channel);
        answer_to(&self.channel, question, move || {
            let fed = channel.fed_by(token).map(|fed| input::close(&fed));
            async move {
                match fed {
                    Some(closed) => closed.await.map(|()| Value::Undefined),
                    None => Err(is_over()),
                }
            }
        });
    }

    /// Ends what was submitted with `token`, because what feeds its input has failed.
    #[napi(catch_unwind)]
    pub fn fail_feed(&self, token: u32, problem: String) {
        // What is not known any more has ended.
        if let Some(fed) = self.channel.fed_by(token) {
            input::fail(&fed, problem);
        }
    }

    /// Says that an execution is still wanted, for that many milliseconds from now.
    #[napi(catch_unwind)]
    pub fn renew_lease(&self, id: String, lease_ms: Option<f64>) -> Answer {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to be a positive integer"
        )]
        let lease_ms = lease_ms.map(|ms| ms as u64);
        Answer::of(parse_id(&id).and_then(|id| self.engine.renew(id, lease_ms)))
    }

    /// Settles `token` with the end of a log.
    #[napi(catch_unwind)]
    pub fn read_logs(&self, token: u32, id: String, max_bytes: Option<f64>) {
        let engine = self.engine.clone();
        let max_bytes = max_bytes.map(whole);
        self.answer(token, async move {
            engine
                .read_logs(parse_id(&id)?, max_bytes)
                .await
                .map(Value::text)
        });
    }

    /// Settles `token` with a page of a log, as JSON: from an offset on, or from the entry with a number.
    #[napi(catch_unwind)]
    pub fn read_log_lines(
        &self,
        token: u32,
        id: String,
        from: f64,
        limit: f64,
        from_line: Option<f64>,
    ) {
        let engine = self.engine.clone();
        let [from, limit] = [from, limit].map(whole);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        self.answer(token, async move {
            let id = parse_id(&id)?;
            let page = match from_line.map(whole) {
                Some(line) => engine.read_log_from_line(id, line, limit).await?,
                None => engine.read_log_lines(id, from, limit).await?,
            };
            serde_json::to_string(&page)
                .map(Value::text)
                .map_err(internal)
        });
    }

    /// Follows a log from an offset on; one that is not there yet, if that is to be waited for.
    #[napi(catch_unwind)]
    pub fn follow_logs(
        &self,
        id: String,
        from: f64,
        wait: bool,
    ) -> napi::Result<NativeLogFollower> {
        let id =
            Uuid::try_parse(&id).map_err(|error| napi::Error::from_reason(error.to_string()))?;
        let follower = self.engine.follow_logs(id, whole(from));
        let follower = if wait { follower.waiting() } else { follower };
        Ok(NativeLogFollower::new(follower, Arc::clone(&self.channel)))
    }

    /// Settles `token` once a finished execution is forgotten, and its files are deleted.
    #[napi(catch_unwind)]
    pub fn remove_with_logs(&self, token: u32, id: String) {
        let engine = self.engine.clone();
        self.answer(token, async move {
            let options = RemoveOptions { logs: true };
            engine
                .remove_execution_with(parse_id(&id)?, options)
                .await
                .map(|()| Value::Undefined)
        });
    }

    /// Settles `token` with how many executions were forgotten.
    #[napi(catch_unwind)]
    pub fn cleanup(&self, token: u32) {
        let engine = self.engine.clone();
        self.answer(token, async move {
            let count = u32::try_from(engine.cleanup().await).unwrap_or(u32::MAX);
            Ok(Value::Number(count.into()))
        });
    }

    /// Settles `token` once all executions have ended.
    #[napi(catch_unwind)]
    pub fn shutdown(&self, token: u32) {
        let engine = self.engine.clone();
        self.answer(token, async move {
            engine.shutdown().await;
            Ok(Value::Undefined)
        });
    }

    fn answer(&self, token: u32, question: impl Future<Output = Result<Value>> + Send + 'static) {
        answer(&self.channel, token, question);
    }
}

/// A number that was checked to be a whole one, and not negative.
fn whole(number: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked in JavaScript"
    )]
    let number = number as u64;
    number
}

/// Of what is fed, and was refused or has ended. JavaScript looks at the code alone: that it is over is told apart.
fn is_over() -> ExecutionError {
    ExecutionError::NotFound(Uuid::nil())
}

/// An execution on its way to the engine.
struct Submission {
    engine: ExecutionEngine,
    channel: Arc<Shared>,
    request: ExecutionRequest,
    options: ExecuteOptions,
    token: u32,
    wants: Wants,
    stop: Arc<Stop>,
    /// Held until what is refused was told so.
    handler: Arc<Handler>,
}

impl Submission {
    /// Enters it, and tells through the channel if it is refused.
    fn submit(self, runtime: std::result::Result<&Handle, &std::io::Error>) {
        let (channel, token) = (Arc::clone(&self.channel), self.token);
        let handler = Arc::clone(&self.handler);
        let entered = match runtime {
            Ok(runtime) => self.enter(runtime),
            Err(error) => Err(without_runtime(error)),
        };
        if let Err(error) = entered {
            refuse(&channel, token, error);
        }
        drop(handler);
    }

    fn enter(self, runtime: &Handle) -> Result<()> {
        let (channel, token, wants) = (self.channel, self.token, self.wants);
        let decided = decided(Arc::clone(&channel), token, wants);
        let is_fed = self.request.stdin == Some(Stdin::Open);
        let submitted = self
            .engine
            .submit(self.request, self.options, runtime, self.stop, decided)
            .inspect_err(|_| {
                channel.forget(token);
            })?;
        if let Some(execution) = submitted.filter(|_| is_fed) {
            channel.feeds_if_live(token, &execution);
        }
        Ok(())
    }
}

/// What is to be told of a plan.
#[napi(object)]
pub struct PlanWants {
    /// Of the plan.
    pub plan: u32,
    /// Of each step.
    pub steps: u32,
    /// Why it is never to be started, where what is wanted of the plan says so.
    pub reason: Option<String>,
}

/// A plan on its way to the engine.
struct PlanSubmission {
    engine: ExecutionEngine,
    channel: Arc<Shared>,
    subscribers: Arc<AtomicUsize>,
    environment: Environment,
    token: u32,
    tokens: Vec<u32>,
    wants: Wants,
    step_wants: Wants,
    stop: Arc<Stop>,
}

impl PlanSubmission {
    fn submit(self, plan: String, inputs: StepInputs, runtime: &Handle) {
        let (channel, token) = (Arc::clone(&self.channel), self.token);
        // Held until what is refused was told so.
        let handler = Arc::new(PlanHandler {
            token,
            channel: Arc::clone(&channel),
            wants: self.wants,
            subscribers: Arc::clone(&self.subscribers),
        });
        if let Err(error) = self.enter(plan, inputs, runtime, Arc::clone(&handler)) {
            refuse(&channel, token, error);
        }
    }

    /// What lets JavaScript make the request of a step.
    fn request_of(&self, step: usize, secrets: &Arc<(Vec<Secret>, Vec<String>)>) -> RequestFn {
        let (channel, token) = (Arc::clone(&self.channel), self.token);
        let (engine, environment) = (self.engine.clone(), self.environment.clone());
        let secrets = Arc::clone(secrets);
        RequestFn::new(move |_| {
            let (channel, engine) = (Arc::clone(&channel), engine.clone());
            let (environment, secrets) = (environment.clone(), Arc::clone(&secrets));
            Box::pin(async move {
                let request = channel.make(token, step).await?;
                // Here, as the error is to spell fields as JavaScript does.
                let valid = engine.check_made(&request, &environment, &secrets);
                valid.map_err(|error| {
                    let error = Failure::from(error).message;
                    format!("the function returned what is not acceptable: {error}")
                })?;
                Ok(request)
            })
        })
    }

    fn enter(
        self,
        json: String,
        inputs: StepInputs,
        runtime: &Handle,
        handler: Arc<PlanHandler>,
    ) -> Result<()> {
        let submission = &self;
        let plan = parse_plan(json, inputs, |plan| {
            let secrets = Arc::new((plan.secrets.clone(), plan.secret_env.clone()));
            move |step| submission.request_of(step, &secrets)
        })?;
        let (channel, token, wants) = (self.channel, self.token, self.wants);
        let step_wants = self.step_wants;
        // Of what a function makes nobody knows yet.
        let may_be_fed = |step: &PlanStep| {
            step.known()
                .is_none_or(|known| known.stdin == Some(Stdin::Open))
        };
        let may_be_fed: Vec<bool> = plan.steps.iter().map(may_be_fed).collect();
        let (fed_channel, fed_tokens) = (Arc::clone(&channel), self.tokens.clone());
        let options = ExecuteOptions {
            handler: Some(handler),
            environment: Some(self.environment),
        };
        let decided = decided(Arc::clone(&channel), token, wants);
        let (stop, stop_of_steps) = (Arc::clone(&self.stop), self.stop);
        let handler_of_step = move |step: usize| -> Option<Arc<dyn EventHandler>> {
            let token = *self.tokens.get(step)?;
            let subscribers = Arc::clone(&self.subscribers);
            let handler = Handler::new(token, Arc::clone(&channel), step_wants, subscribers);
            let handler = Arc::new(handler);
            channel.enter(token, handler.window(), &stop_of_steps);
            Some(handler)
        };
        let entered = move |plan: &Plan| {
            let steps = plan.steps.iter().zip(fed_tokens).zip(may_be_fed);
            for ((step, token), _) in steps.filter(|(_, may_be_fed)| *may_be_fed) {
                fed_channel.feeds(token, step);
            }
        };
        let engine = self.engine;
        engine.submit_plan(
            plan,
            options,
            handler_of_step,
            runtime,
            stop,
            (entered, decided),
        )?;
        Ok(())
    }
}

/// What a check compares with.
fn check_options(config: Option<String>, variables: Option<String>) -> Result<CheckOptions> {
    Ok(CheckOptions {
        config: config.as_deref().map(parse_config).transpose()?,
        environment: Some(environment(variables)),
    })
}

/// What is told JavaScript when a request or a plan was accepted or refused.
fn decided(
    channel: Arc<Shared>,
    token: u32,
    wants: Wants,
) -> impl FnOnce(Result<Uuid>) + Send + 'static {
    move |decision| match decision {
        Ok(_) if wants.has(Wanted::Accepted) => channel.send(Message::Accepted { token }),
        Ok(_) => {}
        Err(error) => refuse(&channel, token, error),
    }
}

fn refuse(channel: &Shared, token: u32, error: ExecutionError) {
    channel.forget(token);
    let outcome = Err(error.into());
    channel.send(Message::Settled { token, outcome });
}

/// What a command inherits, taken on the JavaScript thread.
fn environment(variables: Option<String>) -> Environment {
    thread_local! {
        static TAKEN: RefCell<Taken> = RefCell::default();
    }
    TAKEN.with_borrow_mut(|taken| taken.now(variables))
}

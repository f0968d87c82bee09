//! The queue to one evaluation of the package, and the executions it has started.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use napi::bindgen_prelude::{Function, Uint8Array};
use napi::threadsafe_function::{
    ThreadsafeCallContext, ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue,
};
use napi::{Either, Env, Status, check_status, sys};
use napi_derive::napi;
use tokio::sync::oneshot;

use super::error::Failure;
use super::message::{Args, Message};
use super::request::parse_request;
use super::window::Window;
use crate::api::error::ExecutionError;
use crate::api::request::ExecutionRequest;
use crate::execution::subscription::Listening;
use crate::state::cancellation::{Cause, Stop};
use crate::state::execution::Execution;

/// Weak: an idle engine does not keep the event loop alive. `hold` makes it strong.
type Queue = ThreadsafeFunction<Message, UnknownReturnValue, Args, Status, false, true>;

/// What the threads of the engine share with the JavaScript thread.
#[derive(Default)]
pub(super) struct Shared {
    queue: OnceLock<Queue>,
    closed: AtomicBool,
    live: Mutex<HashMap<u32, Live>>,
    /// What may be fed from JavaScript, by its token: an id may be that of another execution by then.
    fed: Mutex<HashMap<u32, Weak<Execution>>>,
    questions: Mutex<Questions>,
}

/// Requests that JavaScript makes, by the numbers of the questions for them.
#[derive(Default)]
struct Questions {
    last: u32,
    waiting: HashMap<u32, oneshot::Sender<Made>>,
}

/// A request that was made in JavaScript, or why there is none.
type Made = Result<ExecutionRequest, String>;

/// A question on its way, which is taken back when it is dropped.
struct Question<'a> {
    shared: &'a Shared,
    number: u32,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.shared.questions().waiting.remove(&self.number);
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("closed", &self.closed)
            .finish_non_exhaustive()
    }
}

struct Live {
    /// That of a plan stays empty: its output is that of its steps.
    window: Arc<Window>,
    stop: Arc<Stop>,
    /// Of a subscription, what is dropped with it.
    listening: Option<Listening>,
}

impl Shared {
    fn live(&self) -> MutexGuard<'_, HashMap<u32, Live>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a message; never blocks. What bounds the queue is that handlers wait for their callbacks.
    pub fn send(&self, message: Message) {
        let sent = self
            .queue
            .get()
            .map(|queue| queue.call(message, ThreadsafeFunctionCallMode::NonBlocking));
        if sent != Some(Status::Ok) {
            self.close();
        }
    }

    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Enters an execution before it is submitted: it may be told of at once.
    pub fn enter(&self, token: u32, window: &Arc<Window>, stop: &Arc<Stop>) {
        let live = Live {
            window: Arc::clone(window),
            stop: Arc::clone(stop),
            listening: None,
        };
        self.live().insert(token, live);
        if self.is_closed() {
            window.close();
            stop.ask(its_environment_ended());
        }
    }

    fn fed(&self) -> MutexGuard<'_, HashMap<u32, Weak<Execution>>> {
        self.fed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an execution be fed until it is forgotten.
    pub fn feeds(&self, token: u32, execution: &Arc<Execution>) {
        self.fed().insert(token, Arc::downgrade(execution));
    }

    /// The same for what may be over already.
    pub fn feeds_if_live(&self, token: u32, execution: &Arc<Execution>) {
        self.feeds(token, execution);
        if !self.live().contains_key(&token) {
            self.fed().remove(&token);
        }
    }

    /// What was submitted with that token, while it may be fed.
    pub fn fed_by(&self, token: u32) -> Option<Arc<Execution>> {
        self.fed().get(&token)?.upgrade()
    }

    /// Keeps a subscription until it is forgotten.
    pub fn keep(&self, token: u32, listening: Listening) {
        let unknown = match self.live().get_mut(&token) {
            Some(live) => live.listening.replace(listening),
            // Its end came first.
            None => Some(listening),
        };
        drop(unknown);
    }

    /// Returns whether it was known.
    pub fn forget(&self, token: u32) -> bool {
        // Dropped without the lock: with a subscription goes its handler, which looks here again.
        self.fed().remove(&token);
        let forgotten = self.live().remove(&token);
        forgotten.is_some()
    }

    /// Called when the handler of an execution or a plan is dropped. If its end was not told before, a panic has dropped
    /// it, and whoever waits for it in JavaScript is told so.
    pub fn abandon(&self, token: u32) {
        if self.forget(token) && !self.is_closed() {
            let error = "the execution was dropped by a panic".to_owned();
            let outcome = Err(ExecutionError::Internal(error).into());
            self.send(Message::Settled { token, outcome });
        }
    }

    fn questions(&self) -> MutexGuard<'_, Questions> {
        self.questions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn question(&self) -> (Question<'_>, oneshot::Receiver<Made>) {
        let (sender, made) = oneshot::channel();
        let mut questions = self.questions();
        questions.last = questions.last.wrapping_add(1);
        let number = questions.last;
        questions.waiting.insert(number, sender);
        let question = Question {
            shared: self,
            number,
        };
        (question, made)
    }

    /// Lets JavaScript make the request of a step of the plan with that token.
    pub async fn make(&self, token: u32, step: usize) -> Made {
        let (question, made) = self.question();
        self.send(Message::Make {
            token,
            step,
            question: question.number,
        });
        let made = made.await;
        drop(question);
        made.unwrap_or_else(|_| Err("the environment of its function has ended".into()))
    }

    /// The environment is gone: its executions are ended, and nothing waits for its callbacks any more.
    fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.questions().waiting.clear();
        for live in self.live().values() {
            live.window.close();
            live.stop.ask(its_environment_ended());
        }
    }
}

fn its_environment_ended() -> Cause {
    Cause::cancel_by_engine("the environment that started it ended")
}

/// One evaluation of the package in one environment.
#[napi]
pub struct Channel {
    pub(super) shared: Arc<Shared>,
}

#[napi]
impl Channel {
    /// `dispatch` is called with every message.
    #[napi(constructor)]
    pub fn new(
        env: Env,
        #[napi(ts_arg_type = "(kind: number, token: number, ...values: any[]) => void")]
        dispatch: Function<'_, Args, UnknownReturnValue>,
    ) -> napi::Result<Self> {
        let queue = dispatch
            .build_threadsafe_function::<Message>()
            .callee_handled::<false>()
            .weak::<true>()
            .build_callback(|context: ThreadsafeCallContext<Message>| {
                Ok(context.value.received().into_args())
            })?;
        let shared = Arc::new(Shared::default());
        drop(shared.queue.set(queue));
        env.add_env_cleanup_hook(Arc::clone(&shared), |shared| shared.close())?;
        Ok(Self { shared })
    }

    /// Keeps the event loop alive, or lets it go.
    #[napi(catch_unwind)]
    pub fn hold(&self, env: Env, alive: bool) -> napi::Result<()> {
        let Some(queue) = self.shared.queue.get().filter(|queue| !queue.aborted()) else {
            return Ok(());
        };
        let change = if alive {
            sys::napi_ref_threadsafe_function
        } else {
            sys::napi_unref_threadsafe_function
        };
        // SAFETY: called on the JavaScript thread of this environment, with a queue that is not released.
        check_status!(unsafe { change(env.raw(), queue.raw()) })
    }

    /// The callbacks have returned for that many bytes of output.
    #[napi(catch_unwind)]
    pub fn acknowledge(&self, token: u32, bytes: u32) {
        if let Some(live) = self.shared.live().get(&token) {
            live.window.take(bytes as usize);
        }
    }

    /// The answer to a question for a request: as JSON, with its input apart; without it, why there is none. What nobody
    /// waits for any more is ignored.
    #[napi(catch_unwind)]
    pub fn answer(
        &self,
        question: u32,
        request: Option<String>,
        stdin: Option<Either<String, Uint8Array>>,
        error: Option<String>,
    ) {
        let Some(waiting) = self.shared.questions().waiting.remove(&question) else {
            return;
        };
        let made = match request.map(|request| parse_request(request, stdin)) {
            Some(parsed) => parsed.map_err(|error| Failure::from(error).message),
            None => Err(error.unwrap_or_default()),
        };
        drop(waiting.send(made));
    }

    /// Ends a subscription: nobody waits for what it has not taken.
    #[napi(catch_unwind)]
    pub fn unsubscribe(&self, token: u32) {
        if let Some(live) = self.shared.live().get(&token) {
            live.window.close();
        }
        self.shared.forget(token);
    }

    /// Asks an execution or a plan to stop, if it runs, for a reason or none.
    #[napi(catch_unwind)]
    pub fn stop(&self, token: u32, reason: Option<String>) {
        if let Some(live) = self.shared.live().get(&token) {
            live.stop.ask(Cause::Cancel(reason.map(Into::into)));
        }
    }
}

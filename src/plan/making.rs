//! Requests that are made when the turn of their step has come.

use std::collections::{BTreeMap, HashMap};

use tokio::runtime::Handle;
use tokio::task::{AbortHandle, Id, JoinSet};

use crate::api::request::ExecutionRequest;
use crate::api::step::{RequestFn, StepResults};
use crate::execution::login;
use crate::process::environment::Environment;

/// How much of an error is kept that the user's own code made.
const MAX_ERROR_SIZE: usize = 8 * 1024;

/// A request that was made, or why there is none.
pub(super) type Made = Result<ExecutionRequest, String>;

/// The steps whose requests are being made.
pub(super) struct Making {
    tasks: JoinSet<Made>,
    steps: HashMap<Id, usize>,
    aborts: BTreeMap<usize, AbortHandle>,
    most_at_once: usize,
}

impl Making {
    pub fn new(most_at_once: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            steps: HashMap::new(),
            aborts: BTreeMap::new(),
            most_at_once,
        }
    }

    /// Whether another may be made now, where that many wait for their slots already. As many wait for a slot as could have one: the later a request is made, the more
    /// results it can be made from.
    pub fn has_room(&self, made: usize) -> bool {
        self.aborts.len() + made < self.most_at_once
    }

    /// Lets a request be made, and what it needs be read: nobody waits for that with a slot.
    pub fn start(
        &mut self,
        step: usize,
        make: RequestFn,
        results: impl Fn() -> StepResults + Send + 'static,
        environment: Environment,
    ) {
        // In a task of its own, which a panic ends alone.
        let abort = self.tasks.spawn(async move {
            let request = make.call(&results).await?;
            login::read_for(&request, &environment, &Handle::current()).await;
            Ok(request)
        });
        self.steps.insert(abort.id(), step);
        self.aborts.insert(step, abort);
    }

    /// Resolves once a request was made, or could not be.
    pub async fn next(&mut self) -> (usize, Made) {
        loop {
            let (id, made) = match self.tasks.join_next_with_id().await {
                Some(Ok((id, made))) => (id, made),
                Some(Err(error)) => (error.id(), Err("the function panicked".into())),
                None => std::future::pending().await,
            };
            // One that was withdrawn is not awaited any more.
            if let Some(step) = self.steps.remove(&id)
                && self.aborts.remove(&step).is_some()
            {
                return (step, made);
            }
        }
    }

    /// Gives a step up, if it is here: what is made for it later is dropped.
    pub fn withdraw(&mut self, step: usize) {
        if let Some(abort) = self.aborts.remove(&step) {
            abort.abort();
        }
    }
}

/// An error of the user's own code, short enough for a result.
pub(super) fn cut(error: String) -> String {
    if error.len() <= MAX_ERROR_SIZE {
        return error;
    }
    let mut ends = (0..=MAX_ERROR_SIZE).rev();
    let end = ends.find(|&end| error.is_char_boundary(end));
    let (kept, left_out) = error.split_at(end.unwrap_or_default());
    format!("{kept}... ({} more bytes)", left_out.len())
}

//! Requests that are made when the turn of their step has come.

use std::collections::{BTreeMap, HashMap};

use tokio::task::{AbortHandle, Id, JoinSet};

use crate::api::request::ExecutionRequest;
use crate::api::step::{RequestFn, StepResults};

/// A request that was made, or why there is none.
pub(super) type Made = Result<ExecutionRequest, String>;

/// The steps between their turn and their slot: their requests are being made, or have been.
pub(super) struct Making {
    tasks: JoinSet<Made>,
    steps: HashMap<Id, usize>,
    aborts: HashMap<usize, AbortHandle>,
    /// Those that wait for their slot.
    made: BTreeMap<usize, ExecutionRequest>,
    most_at_once: usize,
}

impl Making {
    pub fn new(most_at_once: usize) -> Self {
        Self {
            tasks: JoinSet::new(),
            steps: HashMap::new(),
            aborts: HashMap::new(),
            made: BTreeMap::new(),
            most_at_once,
        }
    }

    /// Whether another may be made now. As many wait for a slot as could have one: the later a request is made, the more
    /// results it can be made from.
    pub fn has_room(&self) -> bool {
        self.aborts.len() + self.made.len() < self.most_at_once
    }

    pub fn start(
        &mut self,
        step: usize,
        make: RequestFn,
        results: impl Fn() -> StepResults + Send + 'static,
    ) {
        // In a task of its own, which a panic ends alone.
        let abort = self.tasks.spawn(async move { make.call(&results).await });
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

    /// Keeps a request until there is a slot for it.
    pub fn keep(&mut self, step: usize, request: ExecutionRequest) {
        self.made.insert(step, request);
    }

    pub fn first_made(&self) -> Option<usize> {
        self.made.first_key_value().map(|(&step, _)| step)
    }

    pub fn take_made(&mut self) -> Option<(usize, ExecutionRequest)> {
        self.made.pop_first()
    }

    /// Gives a step up; returns whether it was here.
    pub fn withdraw(&mut self, step: usize) -> bool {
        let abort = self.aborts.remove(&step);
        if let Some(abort) = &abort {
            abort.abort();
        }
        abort.is_some() || self.made.remove(&step).is_some()
    }

    /// Gives all of them up, and returns which those were.
    pub fn withdraw_all(&mut self) -> Vec<usize> {
        let steps = self.aborts.keys().chain(self.made.keys());
        let steps: Vec<_> = steps.copied().collect();
        for &step in &steps {
            self.withdraw(step);
        }
        steps
    }
}

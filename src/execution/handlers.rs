//! Who is told of an execution.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::event::{EventHandler, ExecutionEvent, OutputBatch, OutputChunk, OutputStream};
use crate::state::execution::Execution;
use crate::state::listeners::{Listener, Listeners, reason_to_give_up};

/// Who is told of an execution: the handler of the engine, its own, and who asked for it later.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    own: Vec<Arc<dyn EventHandler>>,
    /// Whose listeners are told as well.
    execution: Option<Arc<Execution>>,
}

impl Handlers {
    pub fn new(own: Vec<Arc<dyn EventHandler>>) -> Self {
        Self {
            own,
            execution: None,
        }
    }

    /// The same, and whoever listens to that execution.
    pub fn and_listeners_of(self, execution: &Arc<Execution>) -> Self {
        Self {
            execution: Some(Arc::clone(execution)),
            ..self
        }
    }

    pub fn is_empty(&self) -> bool {
        let listeners = self.execution.as_ref().map(|one| &one.listeners);
        self.own.is_empty() && listeners.is_none_or(Listeners::is_empty)
    }

    /// All who are told at present. Most often nobody listens besides, and nothing is allocated.
    fn listeners(&self) -> Vec<Arc<dyn Listener>> {
        let execution = self.execution.as_ref();
        execution.map_or_else(Vec::new, |execution| execution.listeners.all())
    }

    pub async fn on_event(&self, event: ExecutionEvent) {
        for listener in self.listeners() {
            listener.on_event(event.clone()).await;
        }
        self.tell_own(event).await;
    }

    /// Tells the end, after which nobody listens any more.
    pub async fn on_end(&self, event: ExecutionEvent) {
        if let Some(execution) = &self.execution {
            for listener in execution.listeners.take_all() {
                listener.on_event(event.clone()).await;
            }
        }
        self.tell_own(event).await;
    }

    async fn tell_own(&self, event: ExecutionEvent) {
        if let Some((last, others)) = self.own.split_last() {
            for handler in others {
                handler.on_event(event.clone()).await;
            }
            last.on_event(event).await;
        }
    }

    pub async fn on_output(&self, batch: OutputBatch) {
        for listener in self.listeners() {
            if listener.wants_output(batch.stream) {
                listener.on_output(batch.clone()).await;
            }
        }
        let Some((last, others)) = self.own.split_last() else {
            return;
        };
        for handler in others {
            if handler.wants_output(batch.stream) {
                handler.on_output(batch.clone()).await;
            }
        }
        if last.wants_output(batch.stream) {
            last.on_output(batch).await;
        }
    }

    pub async fn on_bytes(&self, chunk: OutputChunk) {
        let Some((last, others)) = self.own.split_last() else {
            return;
        };
        for handler in others {
            if handler.wants_bytes(chunk.stream) {
                handler.on_bytes(chunk.clone()).await;
            }
        }
        if last.wants_bytes(chunk.stream) {
            last.on_bytes(chunk).await;
        }
    }

    /// Tells of a line that is not finished.
    pub async fn on_unfinished(&self, stream: OutputStream, event: ExecutionEvent) {
        for listener in self.listeners() {
            if listener.wants_output(stream) && listener.wants_unfinished() {
                listener.on_event(event.clone()).await;
            }
        }
        for handler in &self.own {
            if handler.wants_output(stream) && handler.wants_unfinished() {
                handler.on_event(event.clone()).await;
            }
        }
    }

    pub fn wants_bytes(&self, stream: OutputStream) -> bool {
        self.own.iter().any(|handler| handler.wants_bytes(stream))
    }

    pub fn wants_unfinished(&self, stream: OutputStream) -> bool {
        let wants =
            |handler: &dyn EventHandler| handler.wants_output(stream) && handler.wants_unfinished();
        self.any(wants)
    }

    pub fn wants_output(&self, stream: OutputStream) -> bool {
        self.any(|handler| handler.wants_output(stream))
    }

    fn any(&self, wants: impl Fn(&dyn EventHandler) -> bool) -> bool {
        self.own.iter().any(|handler| wants(&**handler))
            || self.listeners().iter().any(|listener| wants(&**listener))
    }

    /// Resolves once all of them could have taken what they were told.
    pub async fn reached(&self) {
        for listener in self.listeners() {
            listener.reached().await;
        }
        for handler in &self.own {
            handler.reached().await;
        }
    }

    /// Gives up listeners that have taken nothing for so long since then; returns when to look again.
    pub async fn give_up_stuck(&self, since: Instant, patience: Duration) -> Instant {
        let mut next = Instant::now() + patience;
        for listener in self.listeners() {
            let due = || Some(listener.behind_since()?.max(since) + patience);
            let is_due = || due().is_some_and(|due| due <= Instant::now());
            if is_due() {
                // One that is busy elsewhere takes something as soon as it is not.
                listener.has_its_turn().await;
                if is_due() {
                    self.give_up(&listener, patience);
                }
            }
            next = due().map_or(next, |due| due.min(next));
        }
        next
    }

    /// Gives up all listeners that have not taken what they were told; returns whether there were any.
    pub fn give_up_behind(&self, patience: Duration) -> bool {
        let mut listeners = self.listeners();
        listeners.retain(|listener| listener.behind_since().is_some());
        for listener in &listeners {
            self.give_up(listener, patience);
        }
        !listeners.is_empty()
    }

    fn give_up(&self, listener: &Arc<dyn Listener>, patience: Duration) {
        if let Some(execution) = &self.execution {
            execution.listeners.remove(&Arc::downgrade(listener));
        }
        listener.give_up(&reason_to_give_up(patience));
    }

    pub async fn flush(&self) {
        for listener in self.listeners() {
            listener.flush().await;
        }
        for handler in &self.own {
            handler.flush().await;
        }
    }
}

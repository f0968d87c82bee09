//! The events of an execution for somebody who takes them one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::api::event::{EventHandler, ExecutionEvent, OutputBatch, OutputStream};
use crate::api::result::ExecutionResult;
use crate::execution::settle::terminal_event;
use crate::state::execution::Execution;
use crate::state::listeners::Listener;

/// The events of an execution from [`subscribe`](crate::ExecutionEngine::subscribe) on, or all of them from
/// [`execute_subscribed`](crate::ExecutionEngine::execute_subscribed) and
/// [`execute_plan_subscribed`](crate::ExecutionEngine::execute_plan_subscribed). The terminal one is the last.
///
/// Lines that are not taken yet hold the command back: it blocks on its pipe once that is full. To drop the
/// subscription lets it go on; it does not end the execution. Once the command has exited, one that takes nothing is given
/// up. Nothing is lost if one of its futures is dropped.
pub struct Subscription {
    items: UnboundedReceiver<Item>,
    subject: Subject,
    /// Whether the terminal event was given.
    is_over: bool,
    /// What is left of the last batch, and the right to be the one on its way.
    lines: VecDeque<ExecutionEvent>,
    permit: Option<OwnedSemaphorePermit>,
    room: Arc<Semaphore>,
    moved: Arc<Moved>,
    /// Dropped with it.
    listening: Option<Listening>,
}

/// What the events are about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject {
    Execution,
    Plan,
}

impl Subject {
    fn ends_with(self, event: &ExecutionEvent) -> bool {
        match self {
            Self::Execution => event.ended().is_some(),
            Self::Plan => matches!(event, ExecutionEvent::PlanCompleted { .. }),
        }
    }
}

enum Item {
    Event(Box<ExecutionEvent>),
    Output(OutputBatch, OwnedSemaphorePermit),
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").finish_non_exhaustive()
    }
}

impl Subscription {
    /// To what was accepted before.
    pub(crate) fn new(execution: &Arc<Execution>) -> Self {
        let (mut subscription, handler) = Self::with_handler(Subject::Execution);
        match Listening::to(execution, Arc::clone(&handler) as _) {
            Ok(listening) => subscription.listening = Some(listening),
            Err(result) => {
                let end = terminal_event(execution, &result);
                drop(handler.sender.send(Item::Event(Box::new(end))));
            }
        }
        subscription
    }

    /// And the handler that is told what it gives.
    pub(crate) fn with_handler(subject: Subject) -> (Self, Arc<Sender>) {
        let (sender, items) = unbounded_channel();
        let room = Arc::new(Semaphore::new(1));
        let moved = Arc::<Moved>::default();
        let subscription = Self {
            items,
            subject,
            is_over: false,
            lines: VecDeque::new(),
            permit: None,
            room: Arc::clone(&room),
            moved: Arc::clone(&moved),
            listening: None,
        };
        let sender = Sender {
            sender,
            room,
            moved,
        };
        (subscription, Arc::new(sender))
    }

    /// The next event; `None` after the terminal one. `None` without a terminal one: once the command had exited, nothing
    /// was taken for [`ExecutionConfig::drain_max_ms`](crate::ExecutionConfig::drain_max_ms), and the rest was dropped.
    pub async fn next(&mut self) -> Option<ExecutionEvent> {
        loop {
            self.moved.now();
            if let Some(line) = self.next_line() {
                return Some(line);
            }
            if self.is_over {
                return None;
            }
            let item = self.items.recv().await?;
            if let Some(event) = self.take(item) {
                return Some(event);
            }
        }
    }

    /// The next events, once there is one: those that are there already, at most `most` (0 is taken for 1). Empty after the
    /// terminal one.
    pub async fn next_many(&mut self, most: usize) -> Vec<ExecutionEvent> {
        let mut events = Vec::from_iter(self.next().await);
        while events.len() < most.max(1) {
            let Some(event) = self.next_line().or_else(|| self.waiting_event()) else {
                break;
            };
            events.push(event);
        }
        events
    }

    fn next_line(&mut self) -> Option<ExecutionEvent> {
        let line = self.lines.pop_front();
        if self.lines.is_empty() {
            self.permit = None;
        }
        line
    }

    /// What can be taken without waiting.
    fn waiting_event(&mut self) -> Option<ExecutionEvent> {
        if self.is_over {
            return None;
        }
        let item = self.items.try_recv().ok()?;
        self.take(item).or_else(|| self.next_line())
    }

    /// An event, or `None` if it has become lines.
    fn take(&mut self, item: Item) -> Option<ExecutionEvent> {
        match item {
            Item::Event(event) => {
                self.is_over = self.subject.ends_with(&event);
                Some(*event)
            }
            Item::Output(batch, permit) => {
                self.lines = batch.events().collect();
                self.permit = Some(permit);
                None
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Nobody waits for it any more.
        self.room.close();
    }
}

/// When something was handed over or taken last.
struct Moved(Mutex<Instant>);

impl Default for Moved {
    fn default() -> Self {
        Self(Mutex::new(Instant::now()))
    }
}

impl Moved {
    fn now(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes on what is told, one batch of lines at a time.
pub(crate) struct Sender {
    sender: UnboundedSender<Item>,
    room: Arc<Semaphore>,
    moved: Arc<Moved>,
}

#[async_trait]
impl Listener for Sender {
    fn behind_since(&self) -> Option<Instant> {
        let is_behind = !self.room.is_closed() && self.room.available_permits() == 0;
        is_behind.then(|| self.moved.last())
    }

    /// That the terminal event is missing tells it.
    fn give_up(&self, _reason: &str) {
        self.room.close();
    }
}

#[async_trait]
impl EventHandler for Sender {
    async fn on_event(&self, event: ExecutionEvent) {
        drop(self.sender.send(Item::Event(Box::new(event))));
    }

    async fn on_output(&self, batch: OutputBatch) {
        if let Ok(permit) = Arc::clone(&self.room).acquire_owned().await {
            self.moved.now();
            drop(self.sender.send(Item::Output(batch, permit)));
        }
    }

    fn wants_output(&self, _stream: OutputStream) -> bool {
        !self.room.is_closed()
    }

    async fn flush(&self) {
        drop(self.room.acquire().await);
    }
}

/// Somebody who listens to an execution, until this is dropped.
pub(crate) struct Listening {
    execution: Arc<Execution>,
    /// The execution alone keeps it: until its end, which drops it.
    listener: Weak<dyn Listener>,
}

impl Listening {
    /// To one that has ended nobody listens: its result is returned.
    pub fn to(
        execution: &Arc<Execution>,
        listener: Arc<dyn Listener>,
    ) -> Result<Self, Arc<ExecutionResult>> {
        let has_ended = || execution.outcome.get().is_some();
        let weak = Arc::downgrade(&listener);
        let is_added = execution.listeners.add_unless(has_ended, listener);
        match execution.outcome.get() {
            Some(result) if !is_added => Err(Arc::clone(result)),
            _ => Ok(Self {
                execution: Arc::clone(execution),
                listener: weak,
            }),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.execution.listeners.remove(&self.listener);
    }
}

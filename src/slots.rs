//! Who may run, and who waits for it, in the order of arrival.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::ExecutionError;

/// The slots of one engine.
#[derive(Debug)]
pub(crate) struct Slots {
    max_running: usize,
    max_queued: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: usize,
    waiting: VecDeque<oneshot::Sender<Slot>>,
}

/// The right to run, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Option<Arc<Slots>>);

/// A slot, or a place in the waiting line.
#[derive(Debug)]
pub(crate) enum Ticket {
    Slot(Slot),
    Place(oneshot::Receiver<Slot>),
}

impl Ticket {
    /// Waits for its turn.
    pub async fn slot(self) -> Option<Slot> {
        match self {
            Self::Slot(slot) => Some(slot),
            Self::Place(turn) => turn.await.ok(),
        }
    }
}

impl Slots {
    pub fn new(max_running: usize, max_queued: usize) -> Arc<Self> {
        Arc::new(Self {
            max_running,
            max_queued,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a slot, or a place in the line; refuses when neither is free.
    pub fn take(self: &Arc<Self>) -> Result<Ticket, ExecutionError> {
        let mut state = self.state();
        if state.running < self.max_running {
            state.running += 1;
            return Ok(Ticket::Slot(Slot(Some(Arc::clone(self)))));
        }
        // Who has left the line is struck off only when its length matters.
        if state.waiting.len() >= self.max_queued {
            state.waiting.retain(|place| !place.is_closed());
        }
        if state.waiting.len() >= self.max_queued {
            return Err(ExecutionError::ConcurrencyLimitReached {
                running: state.running,
                max_running: self.max_running,
                queued: state.waiting.len(),
                max_queued: self.max_queued,
            });
        }
        let (place, turn) = oneshot::channel();
        state.waiting.push_back(place);
        Ok(Ticket::Place(turn))
    }

    pub fn running(&self) -> usize {
        self.state().running
    }

    pub fn queued(&self) -> usize {
        self.state()
            .waiting
            .iter()
            .filter(|place| !place.is_closed())
            .count()
    }

    pub fn available(&self) -> usize {
        self.max_running - self.running()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(slots) = self.0.take() else { return };
        let mut state = slots.state();
        while let Some(place) = state.waiting.pop_front() {
            match place.send(Slot(Some(Arc::clone(&slots)))) {
                Ok(()) => return,
                // Whoever waited has left the line: its slot goes to the next.
                Err(mut returned) => returned.0 = None,
            }
        }
        state.running -= 1;
    }
}

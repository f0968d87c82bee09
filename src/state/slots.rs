//! Who may run, and who waits for it, in the order of arrival.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::api::error::ExecutionError;

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
    /// In the order of arrival; those who have left are still in it.
    line: VecDeque<(Who, oneshot::Sender<Slot>)>,
    /// Executions in the line.
    executions: usize,
    /// Plans in the line: each holds one place for the next of its steps.
    plans: usize,
}

/// The right to run, given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Slot(Option<Arc<Slots>>);

/// A place in the waiting line, left when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    slots: Arc<Slots>,
    who: Who,
    turn: oneshot::Receiver<Slot>,
}

#[derive(Debug, Clone, Copy)]
enum Who {
    Execution,
    Plan,
}

/// A slot, or a place in the waiting line.
#[derive(Debug)]
pub(crate) enum MaybeSlot {
    Slot(Slot),
    Waiting(Waiting),
}

impl MaybeSlot {
    /// Waits for its turn. May be called again after it was interrupted.
    pub async fn slot(&mut self) -> Option<Slot> {
        match self {
            Self::Slot(slot) => slot.0.take().map(|slots| Slot(Some(slots))),
            Self::Waiting(place) => (&mut place.turn).await.ok(),
        }
    }
}

impl State {
    fn waiting(&mut self, who: Who) -> &mut usize {
        match who {
            Who::Execution => &mut self.executions,
            Who::Plan => &mut self.plans,
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

    /// Takes a slot for an execution, or a place in the line; refuses when neither is free.
    pub fn take(self: &Arc<Self>) -> Result<MaybeSlot, ExecutionError> {
        let mut state = self.state();
        if state.running >= self.max_running && state.executions >= self.max_queued {
            return Err(ExecutionError::ConcurrencyLimitReached {
                running: state.running,
                max_running: self.max_running,
                queued: state.executions,
                max_queued: self.max_queued,
            });
        }
        Ok(self.maybe_slot(&mut state, Who::Execution))
    }

    /// Takes a slot for a step of a plan, or a place in the line: a plan may always wait.
    pub fn take_for_plan(self: &Arc<Self>) -> MaybeSlot {
        self.maybe_slot(&mut self.state(), Who::Plan)
    }

    fn maybe_slot(self: &Arc<Self>, state: &mut State, who: Who) -> MaybeSlot {
        if state.running < self.max_running {
            state.running += 1;
            return MaybeSlot::Slot(Slot(Some(Arc::clone(self))));
        }
        // Who has left is struck off when half of the line has.
        if state.line.len() > 2 * (state.executions + state.plans) {
            state.line.retain(|(_, place)| !place.is_closed());
        }
        let (place, turn) = oneshot::channel();
        state.line.push_back((who, place));
        *state.waiting(who) += 1;
        MaybeSlot::Waiting(Waiting {
            slots: Arc::clone(self),
            who,
            turn,
        })
    }

    pub fn running(&self) -> usize {
        self.state().running
    }

    /// Executions that wait; a plan counts as one while the next of its steps does.
    pub fn queued(&self) -> usize {
        let state = self.state();
        state.executions + state.plans
    }

    pub fn available(&self) -> usize {
        self.max_running - self.running()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.slots.state();
        match self.turn.try_recv() {
            // It came too late: it is given back without the lock, which that takes again.
            Ok(slot) => {
                drop(state);
                drop(slot);
            }
            Err(TryRecvError::Empty) => {
                self.turn.close();
                *state.waiting(self.who) -= 1;
            }
            // It was received.
            Err(TryRecvError::Closed) => {}
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let Some(slots) = self.0.take() else { return };
        let mut state = slots.state();
        while let Some((who, place)) = state.line.pop_front() {
            match place.send(Slot(Some(Arc::clone(&slots)))) {
                Ok(()) => {
                    *state.waiting(who) -= 1;
                    return;
                }
                // Whoever waited has left the line: its slot goes to the next.
                Err(mut returned) => returned.0 = None,
            }
        }
        state.running -= 1;
    }
}

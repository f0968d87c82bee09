//! Why an execution or a plan is ended before its time, and how firmly. The first cause stays, whatever phase it comes in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Why something is ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// By whoever runs it, or because its plan, its engine or its environment ends.
    Cancel(Reason),
    /// Its own deadline passed, which was that many milliseconds.
    Deadline(u64),
    /// The deadline of its plan passed, which was that many milliseconds.
    PlanDeadline(u64),
    /// It printed nothing for that many milliseconds.
    Idle(u64),
    /// It printed more than it may.
    OutputLimit,
    /// What feeds it has failed.
    Input,
    /// Its lease was not renewed in time.
    Lease,
    /// The lease of its plan was not renewed in time.
    PlanLease,
}

/// What whoever cancels gives as the reason, if anything.
pub(crate) type Reason = Option<Arc<str>>;

impl Cause {
    /// A cancel by the engine itself, which states its reason.
    pub fn cancel_by_engine(reason: &str) -> Self {
        Self::Cancel(Some(reason.into()))
    }

    /// Whether no other attempt may follow, whenever it comes.
    fn is_last(&self) -> bool {
        match self {
            Self::Cancel(_)
            | Self::PlanDeadline(_)
            | Self::Lease
            | Self::PlanLease
            | Self::Input => true,
            Self::Deadline(_) | Self::Idle(_) | Self::OutputLimit => false,
        }
    }
}

/// What is asked of an execution or a plan.
#[derive(Debug, Default)]
pub(crate) struct Stop {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    cause: Option<Cause>,
    /// The first that ends not only the attempt that runs, but the execution, also where it came too late for that.
    last: Option<Cause>,
    /// It has ended by itself, before there was a cause: none decides any more.
    has_ended: bool,
    /// Nobody waits for it to end by itself any longer.
    is_urgent: bool,
}

impl State {
    fn note(&mut self, cause: &Cause) {
        if cause.is_last() && self.last.is_none() {
            self.last = Some(cause.clone());
        }
    }
}

impl Stop {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets another attempt begin, as yet without a cause or an end; unless something came that ends the execution, which
    /// is the cause then.
    pub fn begin_again(&self) -> Result<(), Cause> {
        let mut state = self.state();
        let last = state.last.take();
        *state = State {
            cause: last.clone(),
            ..State::default()
        };
        last.map_or(Ok(()), Err)
    }

    /// Asks it to end, unless it was asked already. What has ended by itself is to be over at once.
    pub fn ask(&self, cause: Cause) {
        let mut state = self.state();
        state.note(&cause);
        if state.has_ended {
            // What it printed, or was not given, does not hurry what it left.
            state.is_urgent |= !matches!(cause, Cause::OutputLimit | Cause::Input);
        } else {
            state.cause.get_or_insert(cause);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Asks it to end; if it was asked before, at once.
    pub fn ask_again(&self, cause: Cause) {
        let mut state = self.state();
        state.note(&cause);
        state.is_urgent |= state.has_ended || state.cause.is_some();
        if !state.has_ended {
            state.cause.get_or_insert(cause);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Notes that it has ended by itself, unless there was a cause before, which is returned.
    pub fn end(&self) -> Option<Cause> {
        let mut state = self.state();
        state.has_ended = state.cause.is_none();
        state.cause.clone()
    }

    pub fn cause(&self) -> Option<Cause> {
        self.state().cause.clone()
    }

    /// What was given as the reason for a cancel, if that was the cause.
    pub fn cancel_reason(&self) -> Reason {
        match self.cause()? {
            Cause::Cancel(reason) => reason,
            _ => None,
        }
    }

    pub fn is_urgent(&self) -> bool {
        self.state().is_urgent
    }

    /// Resolves once there is a cause, with it.
    pub async fn asked(&self) -> Cause {
        self.until(|state| state.cause.clone()).await
    }

    /// Resolves once it is to be over at once.
    pub async fn urgent(&self) {
        self.until(|state| state.is_urgent.then_some(())).await;
    }

    async fn until<T>(&self, ready: impl Fn(&State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(found) = ready(&self.state()) {
                return found;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stays_and_decides_also_if_the_end_is_seen_after_it() {
        let stop = Stop::default();
        stop.ask(Cause::Deadline(5));
        stop.ask(Cause::Cancel(None));
        stop.ask(Cause::OutputLimit);
        assert_eq!(stop.end(), Some(Cause::Deadline(5)));
        assert_eq!(stop.cause(), Some(Cause::Deadline(5)));
        assert!(!stop.is_urgent());
        stop.ask_again(Cause::Cancel(None));
        assert!(stop.is_urgent());
    }

    #[test]
    fn what_has_ended_by_itself_has_no_cause_any_more_and_is_only_hurried() {
        let stop = Stop::default();
        assert_eq!(stop.end(), None);
        stop.ask(Cause::OutputLimit);
        assert!(!stop.is_urgent());
        stop.ask(Cause::Deadline(5));
        assert!(stop.is_urgent());
        assert_eq!(stop.cause(), None);
    }

    #[test]
    fn another_attempt_begins_without_a_cause_unless_something_has_ended_the_execution() {
        let stop = Stop::default();
        stop.ask(Cause::Deadline(5));
        assert_eq!(stop.begin_again(), Ok(()));
        assert_eq!((stop.cause(), stop.is_urgent()), (None, false));
        // Both come too late for the attempts that they meet.
        assert_eq!(stop.end(), None);
        stop.ask(Cause::Cancel(None));
        assert_eq!((stop.cause(), stop.is_urgent()), (None, true));
        assert_eq!(stop.begin_again(), Err(Cause::Cancel(None)));
        let stop = Stop::default();
        stop.ask(Cause::Idle(5));
        stop.ask(Cause::Lease);
        assert_eq!(stop.cause(), Some(Cause::Idle(5)));
        assert_eq!(stop.begin_again(), Err(Cause::Lease));
        assert_eq!(stop.cause(), Some(Cause::Lease));
    }
}

//! Who has asked to be told of an execution after it was accepted.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::api::event::EventHandler;

/// Somebody who was not there from the start. What such a one does not take holds the command back while it runs, and
/// nothing for ever once it has exited.
#[async_trait]
pub(crate) trait Listener: EventHandler {
    /// Since when it has taken nothing of what has reached it; `None` if it has taken all.
    fn behind_since(&self) -> Option<Instant>;

    /// Returns once it could have taken something just now.
    async fn has_its_turn(&self) {}

    /// Is told nothing more, for a reason that it may tell.
    fn give_up(&self, reason: &str);
}

/// What a listener is told that is given up.
pub(crate) fn reason_to_give_up(patience: Duration) -> String {
    let ms = patience.as_millis();
    format!(
        "the command had exited, and nothing was taken for {ms} ms: what came after that is lost"
    )
}

/// The listeners of one execution. Where there are none, this costs one look at a number.
#[derive(Default)]
pub(crate) struct Listeners {
    count: AtomicUsize,
    all: Mutex<Vec<Arc<dyn Listener>>>,
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<dyn Listener>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Adds one, unless it is too late; returns whether it was added.
    pub fn add_unless(&self, is_late: impl Fn() -> bool, listener: Arc<dyn Listener>) -> bool {
        let mut all = self.lock();
        // Under the lock: what is not late is among those that are taken at the end.
        if is_late() {
            return false;
        }
        all.push(listener);
        self.count.store(all.len(), Ordering::Release);
        true
    }

    pub fn remove(&self, listener: &Weak<dyn Listener>) {
        let mut all = self.lock();
        let place = all
            .iter()
            .position(|one| std::ptr::addr_eq(Arc::as_ptr(one), listener.as_ptr()));
        let removed = place.map(|place| all.swap_remove(place));
        self.count.store(all.len(), Ordering::Release);
        drop(all);
        // Without the lock: what it does when it is dropped is its own affair.
        drop(removed);
    }

    pub fn all(&self) -> Vec<Arc<dyn Listener>> {
        if self.is_empty() {
            return Vec::new();
        }
        self.lock().clone()
    }

    /// All of them, who are told the end, and nothing after it.
    pub fn take_all(&self) -> Vec<Arc<dyn Listener>> {
        let mut all = self.lock();
        self.count.store(0, Ordering::Release);
        std::mem::take(&mut all)
    }
}

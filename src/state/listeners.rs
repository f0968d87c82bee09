//! Who has asked to be told of an execution after it was accepted.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::api::event::EventHandler;

/// The listeners of one execution. Where there are none, this costs one look at a number.
#[derive(Default)]
pub(crate) struct Listeners {
    count: AtomicUsize,
    all: Mutex<Vec<Arc<dyn EventHandler>>>,
}

impl fmt::Debug for Listeners {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listeners")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

impl Listeners {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<dyn EventHandler>>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// Adds one, unless it is too late; returns whether it was added.
    pub fn add_unless(&self, is_late: impl Fn() -> bool, listener: Arc<dyn EventHandler>) -> bool {
        let mut all = self.lock();
        // Under the lock: what is not late is among those that are taken at the end.
        if is_late() {
            return false;
        }
        all.push(listener);
        self.count.store(all.len(), Ordering::Release);
        true
    }

    pub fn remove(&self, listener: &Weak<dyn EventHandler>) {
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

    pub fn all(&self) -> Vec<Arc<dyn EventHandler>> {
        if self.is_empty() {
            return Vec::new();
        }
        self.lock().clone()
    }

    /// All of them, who are told the end, and nothing after it.
    pub fn take_all(&self) -> Vec<Arc<dyn EventHandler>> {
        let mut all = self.lock();
        self.count.store(0, Ordering::Release);
        std::mem::take(&mut all)
    }
}

//! How much of the output of an execution is on its way to its callbacks: what makes a command wait for them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// How many bytes of output may be on their way to a callback: enough that the reader and the callback work at
/// the same time, little enough that a stuck one costs nothing to speak of.
const MOST_IN_FLIGHT: usize = 1024 * 1024;

/// The output of one execution between Rust and its callbacks, in bytes.
#[derive(Debug, Default)]
pub(super) struct Window {
    sent: AtomicUsize,
    /// What has come to the JavaScript thread, whether or not callbacks have taken it.
    received: AtomicUsize,
    /// What callbacks have taken.
    taken: AtomicUsize,
    /// Nobody takes anything any more.
    is_closed: AtomicBool,
    changed: Notify,
}

impl Window {
    pub fn send(&self, bytes: usize) {
        self.sent.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Called on the JavaScript thread.
    pub fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// The callbacks have returned for that many bytes.
    pub fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    pub fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Resolves once there is room for more.
    pub async fn room(&self) {
        self.at_most(MOST_IN_FLIGHT, &self.taken).await;
    }

    /// Resolves once callbacks have taken everything.
    pub async fn all_taken(&self) {
        self.at_most(0, &self.taken).await;
    }

    /// Resolves once everything has come to the JavaScript thread.
    pub async fn all_received(&self) {
        self.at_most(0, &self.received).await;
    }

    /// Resolves once no more than that lies between what was sent and what has arrived.
    async fn at_most(&self, most: usize, arrived: &AtomicUsize) {
        loop {
            let changed = self.changed.notified();
            let sent = self.sent.load(Ordering::Acquire);
            let between = sent.wrapping_sub(arrived.load(Ordering::Acquire));
            if between <= most || self.is_closed.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }
}

//! How much of the output of an execution is on its way to its callbacks: what makes a command wait for them.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

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
    /// When something came to the JavaScript thread last, or was taken there, in milliseconds since `BEGIN`.
    moved: AtomicU64,
    changed: Notify,
}

/// What the times of all windows count from.
static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

impl Window {
    pub fn send(&self, bytes: usize) {
        self.sent.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Called on the JavaScript thread.
    pub fn receive(&self, bytes: usize) {
        self.note_move();
        self.received.fetch_add(bytes, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    fn note_move(&self) {
        let since = u64::try_from(BEGIN.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(since, Ordering::Release);
    }

    /// Since when nothing was taken of what has come; `None` if all was taken.
    pub fn behind_since(&self) -> Option<Instant> {
        let sent = self.sent.load(Ordering::Acquire);
        let has_come = self.received.load(Ordering::Acquire) == sent;
        let is_behind = self.taken.load(Ordering::Acquire) != sent;
        let is_open = !self.is_closed.load(Ordering::Acquire);
        let moved = Duration::from_millis(self.moved.load(Ordering::Acquire));
        (has_come && is_behind && is_open).then(|| *BEGIN + moved)
    }

    /// What does not go to a callback has come to the JavaScript thread.
    pub fn pass(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::AcqRel);
        self.received.fetch_add(bytes, Ordering::AcqRel);
        self.changed.notify_waiters();
    }

    /// The callbacks have returned for that many bytes, or have taken a part of some.
    pub fn take(&self, bytes: usize) {
        self.note_move();
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

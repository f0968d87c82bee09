//! Descriptors and processes are limited: how many executions live, and waiting for one to end.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static FILES: AtomicUsize = AtomicUsize::new(0);
static ENDED: Notify = Notify::const_new();

/// Counts one live process of this host, and the files its execution may still open.
#[derive(Debug)]
pub(crate) struct Share {
    files: usize,
}

impl Share {
    pub(super) fn take(files: usize) -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        FILES.fetch_add(files, Ordering::SeqCst);
        Self { files }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        FILES.fetch_sub(self.files, Ordering::SeqCst);
        LIVE.fetch_sub(1, Ordering::SeqCst);
        ENDED.notify_waiters();
    }
}

/// How many files the live executions may still open: what a limit on descriptors, as Unix has it, is held against.
#[cfg(unix)]
pub(super) fn promised_files() -> usize {
    FILES.load(Ordering::SeqCst)
}

/// Whether any execution lives, so that there is one whose end may be waited for.
pub(crate) fn others_live() -> bool {
    LIVE.load(Ordering::SeqCst) > 0
}

/// Resolves when the next execution has given back what it held.
pub(crate) fn next_end() -> Notified<'static> {
    ENDED.notified()
}

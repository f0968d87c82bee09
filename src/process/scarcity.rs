//! Descriptors and processes are limited: how many executions live, and waiting for what others hold.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static FILES: AtomicUsize = AtomicUsize::new(0);
static ENDED: Notify = Notify::const_new();
/// When an execution last started or ended.
static MOVED: Mutex<Option<Instant>> = Mutex::new(None);
/// Whose turn it is to try again. Tries at the same time would take from each other what each of them needs; those
/// who wait are served in the order in which they came.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// How long a start is tried again while nothing lives whose end could help, and nothing else starts or ends.
const LONELY: Duration = Duration::from_secs(5);

/// The pause between two such tries doubles from the first to the last of these.
const PAUSES: [Duration; 2] = [Duration::from_millis(10), Duration::from_millis(320)];

/// While others live, what is lacking may be given back by other means than the end of one.
const AMONG_OTHERS: Duration = Duration::from_secs(1);

/// Counts one live process of this host, and the files its execution may still open.
#[derive(Debug)]
pub(crate) struct Share {
    files: usize,
}

impl Share {
    pub(super) fn take(files: usize) -> Self {
        LIVE.fetch_add(1, Ordering::SeqCst);
        FILES.fetch_add(files, Ordering::SeqCst);
        *moved() = Some(Instant::now());
        Self { files }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        FILES.fetch_sub(self.files, Ordering::SeqCst);
        LIVE.fetch_sub(1, Ordering::SeqCst);
        *moved() = Some(Instant::now());
        ENDED.notify_waiters();
    }
}

fn moved() -> MutexGuard<'static, Option<Instant>> {
    MOVED.lock().unwrap_or_else(PoisonError::into_inner)
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

/// A start that lacked something, from its first try on.
#[derive(Debug)]
pub(crate) struct Lack {
    since: Instant,
    pause: Duration,
    turn: Option<tokio::sync::MutexGuard<'static, ()>>,
    /// It has waited in its turn, and is trying for the last time in it.
    has_waited: bool,
}

impl Lack {
    pub fn new() -> Self {
        Self {
            since: Instant::now(),
            pause: PAUSES[0],
            turn: None,
            has_waited: false,
        }
    }

    /// Resolves when it is worth another try: with `false` if none is left, as all were in vain for long enough while
    /// nothing else lived. `end` has been waited for since before the last try.
    pub async fn next_try(&mut self, end: Notified<'static>) -> bool {
        if self.turn.is_none() || self.has_waited {
            // Behind those who came meanwhile: what this one lacks, another may not.
            self.turn = None;
            self.has_waited = false;
            self.turn = Some(TURN.lock().await);
            return true;
        }
        self.has_waited = true;
        if others_live() {
            self.pause = PAUSES[0];
            // Either of the two.
            drop(tokio::time::timeout(AMONG_OTHERS, end).await);
        } else {
            let moved = moved().unwrap_or(self.since);
            if moved.max(self.since).elapsed() >= LONELY {
                return false;
            }
            tokio::time::sleep(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSES[1]);
        }
        true
    }
}

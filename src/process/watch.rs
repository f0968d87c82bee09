//! Being told that a file has changed, instead of looking again and again.
//!
//! One watcher for all files, made when the first is watched: a thread and three descriptors, which then stay.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use notify::{Event, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

use super::pool;

/// Between two looks where the system tells of nothing.
const UNTOLD: Duration = Duration::from_millis(100);

/// Between two looks where it tells. Linux tells of each write, and when a writer has closed the file; not of what another
/// machine does on a drive that it shares. macOS does not tell of a close, nor Windows of each write.
const TOLD: Duration = if cfg!(target_os = "linux") {
    Duration::from_secs(5)
} else {
    UNTOLD
};

/// The second look after a change that brought nothing: a file is told to be closed just before its lock is given back.
const AFTER_NOTHING: Duration = Duration::from_millis(20);

static WATCHER: Mutex<Option<RecommendedWatcher>> = Mutex::new(None);

/// Apart from the watcher, whose thread locks this while others may wait for it with the watcher in hand.
static WATCHED: Mutex<Option<HashMap<PathBuf, Vec<Weak<Notify>>>>> = Mutex::new(None);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches one file, which is there.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    changed: Arc<Notify>,
    /// Whether the system tells of changes.
    is_told: bool,
    /// Whether it told of the last one.
    was_told: bool,
}

impl Watch {
    /// Blocks for a moment. Where the system refuses, what waits looks again by the clock.
    pub fn new(path: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let mut watcher = lock(&WATCHER);
        lock(&WATCHED)
            .get_or_insert_default()
            .entry(path.to_owned())
            .or_default()
            .push(Arc::downgrade(&changed));
        let is_told = begin(&mut watcher, path).is_ok();
        Self {
            path: path.to_owned(),
            changed,
            is_told,
            was_told: false,
        }
    }

    /// Resolves when the file may have changed since the last time, after which it was looked at; `found`: whether there
    /// was anything new.
    pub async fn changed(&mut self, found: bool) {
        let longest = match self.is_told {
            false => UNTOLD,
            true if self.was_told && !found => AFTER_NOTHING,
            true => TOLD,
        };
        let told = tokio::time::timeout(longest, self.changed.notified());
        self.was_told = told.await.is_ok();
    }
}

fn begin(watcher: &mut Option<RecommendedWatcher>, path: &Path) -> notify::Result<()> {
    if watcher.is_none() {
        *watcher = Some(notify::recommended_watcher(tell)?);
    }
    // Also a path that is watched: there may be another file now.
    watcher.as_mut().map_or(Ok(()), |watcher| {
        watcher.watch(path, RecursiveMode::NonRecursive)
    })
}

/// Called on the thread of the watcher.
fn tell(event: notify::Result<Event>) {
    let Some(watched) = &*lock(&WATCHED) else {
        return;
    };
    let wake = |changed: &Weak<Notify>| {
        if let Some(changed) = changed.upgrade() {
            changed.notify_one();
        }
    };
    match event {
        Ok(event) if !event.need_rescan() && !event.paths.is_empty() => event
            .paths
            .iter()
            .filter_map(|path| watched.get(path))
            .flatten()
            .for_each(wake),
        // Some were lost.
        _ => watched.values().flatten().for_each(wake),
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        // The watcher answers in its own time.
        pool::FILES.submit(move || {
            let mut watcher = lock(&WATCHER);
            if !forget_dropped(&path) {
                return;
            }
            if let Some(watcher) = watcher.as_mut() {
                // A file that is gone is not watched any more.
                drop(watcher.unwatch(&path));
            }
        });
    }
}

/// Returns whether nobody watches that path any more.
fn forget_dropped(path: &Path) -> bool {
    let mut watched = lock(&WATCHED);
    let Some(paths) = watched.as_mut() else {
        return false;
    };
    let Some(changed) = paths.get_mut(path) else {
        return false;
    };
    changed.retain(|changed| changed.strong_count() > 0);
    let is_unwatched = changed.is_empty();
    if is_unwatched {
        paths.remove(path);
    }
    is_unwatched
}

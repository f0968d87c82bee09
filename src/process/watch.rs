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
static WATCHED: Mutex<Option<Watched>> = Mutex::new(None);

#[derive(Default)]
struct Watched {
    /// Who is told of changes, by the file.
    files: HashMap<PathBuf, Vec<Weak<Notify>>>,
    /// How many watches the system has been asked for, by what it was asked to watch.
    targets: HashMap<PathBuf, usize>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Watches one file.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    /// What the system watches for it: the file, or the directory in which it will be.
    target: PathBuf,
    changed: Arc<Notify>,
    /// Whether the system tells of changes.
    is_told: bool,
    /// Whether it told of the last one.
    was_told: bool,
}

impl Watch {
    /// Watches a file that is there. Blocks for a moment. Where the system refuses, what waits looks again by the clock.
    pub fn new(path: &Path) -> Self {
        Self::at(path, path)
    }

    /// Watches for a file that is not there yet, as [`Watch::new`].
    pub fn for_creation(path: &Path) -> Self {
        Self::at(path, path.parent().unwrap_or(path))
    }

    fn at(path: &Path, target: &Path) -> Self {
        let changed = Arc::new(Notify::new());
        let mut watcher = lock(&WATCHER);
        {
            let mut state = lock(&WATCHED);
            let state = state.get_or_insert_default();
            let told = state.files.entry(path.to_owned()).or_default();
            told.push(Arc::downgrade(&changed));
            *state.targets.entry(target.to_owned()).or_default() += 1;
        }
        let is_told = begin(&mut watcher, target).is_ok();
        Self {
            path: path.to_owned(),
            target: target.to_owned(),
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

fn begin(watcher: &mut Option<RecommendedWatcher>, target: &Path) -> notify::Result<()> {
    if watcher.is_none() {
        *watcher = Some(notify::recommended_watcher(tell)?);
    }
    // Also what is watched: there may be another file now.
    watcher.as_mut().map_or(Ok(()), |watcher| {
        watcher.watch(target, RecursiveMode::NonRecursive)
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
            .filter_map(|path| watched.files.get(path))
            .flatten()
            .for_each(wake),
        // Some were lost.
        _ => watched.files.values().flatten().for_each(wake),
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let path = std::mem::take(&mut self.path);
        let target = std::mem::take(&mut self.target);
        // The watcher answers in its own time.
        pool::FILES.submit(move || {
            let mut watcher = lock(&WATCHER);
            let is_unwatched = lock(&WATCHED)
                .as_mut()
                .is_some_and(|watched| watched.forget(&path, &target));
            if is_unwatched && let Some(watcher) = watcher.as_mut() {
                // What is gone is not watched any more.
                drop(watcher.unwatch(&target));
            }
        });
    }
}

impl Watched {
    /// Forgets a watch that was dropped. Returns whether it was the last one of its target.
    fn forget(&mut self, path: &Path, target: &Path) -> bool {
        if let Some(told) = self.files.get_mut(path) {
            told.retain(|changed| changed.strong_count() > 0);
            if told.is_empty() {
                self.files.remove(path);
            }
        }
        let Some(count) = self.targets.get_mut(target) else {
            return false;
        };
        *count -= 1;
        let is_last = *count == 0;
        if is_last {
            self.targets.remove(target);
        }
        is_last
    }
}

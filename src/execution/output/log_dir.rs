//! A directory of logs, as this process knows it: how much is in it, and when it is time to delete some.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use super::log_files::{Limits, create_locked};
use super::retention;
use crate::process::files;
use crate::process::pool;

/// Directories that are remembered although nobody logs into them.
const REMEMBERED: usize = 64;

/// Of what is free in a directory, a process writes this part before it looks again: so many processes may fill it at once.
const SHARES: u64 = 4;

/// How often a directory is swept at once, where more is written into it meanwhile.
const MOST_SWEEPS: usize = 3;

/// The directories of this process: engines with the same one share what is known of it.
static DIRS: LazyLock<Mutex<HashMap<PathBuf, Arc<LogDir>>>> = LazyLock::new(Mutex::default);

fn dirs() -> MutexGuard<'static, HashMap<PathBuf, Arc<LogDir>>> {
    DIRS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this process knows of a directory.
#[derive(Debug)]
pub(crate) struct LogDir {
    path: PathBuf,
    is_swept: AtomicBool,
    /// What its files hold, in bytes: as they were found last, and what was written here since.
    used: AtomicU64,
    /// What was written here since.
    grown: AtomicU64,
    /// How much may be written here before the next look: others may write as much meanwhile.
    allowed: AtomicU64,
    /// What is about to be written: a look may or may not see it.
    in_flight: AtomicU64,
    /// What was left by the last sweep that could not make room: by far the most of it still runs.
    stuck: AtomicU64,
    /// Whether it was to be swept while it was.
    again: AtomicBool,
    /// Held while it is swept; when that was last.
    sweeping: Mutex<Option<Instant>>,
}

impl LogDir {
    fn at(path: &Path) -> Arc<Self> {
        let mut dirs = dirs();
        if let Some(dir) = dirs.get(path) {
            return Arc::clone(dir);
        }
        if dirs.len() >= REMEMBERED {
            dirs.retain(|_, dir| Arc::strong_count(dir) > 1);
        }
        let dir = Arc::new(Self {
            path: path.to_owned(),
            is_swept: AtomicBool::new(false),
            used: AtomicU64::new(0),
            grown: AtomicU64::new(0),
            allowed: AtomicU64::new(u64::MAX),
            in_flight: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            again: AtomicBool::new(false),
            sweeping: Mutex::default(),
        });
        dirs.insert(path.to_owned(), Arc::clone(&dir));
        dir
    }

    /// Notes that a file is about to grow. Where there is too much then, or where others may have written much meanwhile,
    /// makes room first.
    fn grow(&self, bytes: u64, limits: Limits) {
        self.in_flight.fetch_add(bytes, Ordering::SeqCst);
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let grown = self.grown.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.needs_room(limits) || grown > self.allowed.load(Ordering::Relaxed) {
            self.sweep(limits);
        }
    }

    /// Deletes what is too old, and the oldest of what is too much. While another thread does, it is left to that one.
    pub fn sweep(&self, limits: Limits) {
        let mut sweeping = match self.sweeping.try_lock() {
            Ok(sweeping) => sweeping,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return self.again.store(true, Ordering::SeqCst),
        };
        self.is_swept.store(true, Ordering::Relaxed);
        for _ in 0..MOST_SWEEPS {
            self.again.store(false, Ordering::SeqCst);
            self.sweep_once(limits);
            // What has ended or was written meanwhile may not have been seen.
            let is_full = self.used.load(Ordering::Relaxed) > limits.bytes;
            let again = self.again.load(Ordering::SeqCst) && is_full;
            if !again && !self.needs_room(limits) {
                break;
            }
        }
        *sweeping = Some(Instant::now());
    }

    fn sweep_once(&self, limits: Limits) {
        self.grown.store(0, Ordering::Relaxed);
        let in_flight = self.in_flight.load(Ordering::SeqCst);
        let stuck = match retention::sweep(&self.path, limits, in_flight) {
            Ok(left) => {
                let grown = self.grown.load(Ordering::Relaxed);
                self.used.store(left + in_flight + grown, Ordering::Relaxed);
                left
            }
            // It cannot be listed, and is not tried again with each line.
            Err(_) => self.used.load(Ordering::Relaxed),
        };
        // What is free is shared with some hosts more; where nothing is, each line must not bring a look.
        let free = limits.bytes.saturating_sub(stuck);
        let allowed = (free / SHARES).max(limits.bytes / 64);
        self.allowed.store(allowed, Ordering::Relaxed);
        let stuck = if stuck > limits.bytes { stuck } else { 0 };
        self.stuck.store(stuck, Ordering::Relaxed);
    }

    /// Whether there is too much, and more than what could not be deleted the last time.
    fn needs_room(&self, limits: Limits) -> bool {
        let used = self.used.load(Ordering::Relaxed);
        let stuck = self.stuck.load(Ordering::Relaxed);
        used > limits.bytes && used > stuck.saturating_add(limits.bytes / 16)
    }

    fn sweep_soon(self: &Arc<Self>, limits: Limits) {
        let dir = Arc::clone(self);
        pool::FILES.submit(move || dir.sweep(limits));
    }
}

/// Sweeps a directory in which something was logged by this process, unless that was done within this time. Blocks.
pub(crate) fn sweep_at_times(path: &Path, limits: Limits, interval: Duration) {
    let Some(dir) = dirs().get(path).map(Arc::clone) else {
        return;
    };
    let is_due = dir
        .sweeping
        .try_lock()
        .is_ok_and(|last| last.is_none_or(|last| last.elapsed() >= interval));
    if is_due {
        dir.sweep(limits);
    }
}

/// Sweeps a directory. Blocks.
pub(crate) fn sweep_now(path: &Path, limits: Limits) {
    LogDir::at(path).sweep(limits);
}

/// A file in a directory of logs that this process writes. It is locked, so that nobody deletes it.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    dir: Arc<LogDir>,
    limits: Limits,
}

impl LogFile {
    /// Begins a new file. One that was there before is deleted, unless it is in use.
    pub fn create(path: &Path, limits: Limits) -> io::Result<Self> {
        let file = create_locked(path)?;
        let dir = LogDir::at(path.parent().unwrap_or(Path::new("")));
        if !dir.is_swept.swap(true, Ordering::Relaxed) {
            dir.sweep_soon(limits);
        }
        Ok(Self { file, dir, limits })
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let size = bytes.len() as u64;
        self.dir.grow(size, self.limits);
        let written = self.file.write_all(bytes);
        self.dir.in_flight.fetch_sub(size, Ordering::SeqCst);
        written
    }

    pub fn is_deleted(&self) -> bool {
        files::is_deleted(&self.file)
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        // Before it is closed: who follows it is told of that.
        files::unlock(&self.file);
        if self.dir.used.load(Ordering::Relaxed) > self.limits.bytes {
            self.dir.sweep_soon(self.limits);
        }
    }
}

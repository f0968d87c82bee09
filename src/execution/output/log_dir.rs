//! A directory of logs, as this process knows it: which files in it are the engine's, how much they hold, and when it is
//! time to delete some.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::retention;
use crate::api::config::ExecutionConfig;
use crate::process::files::{self, create_private, is_still_at, open_own, try_lock};
use crate::process::pool;

/// How long a lock may be held by one who deletes, or asks.
const HELD_FOR_A_MOMENT: Duration = Duration::from_millis(200);

/// Directories that are remembered although nobody logs into them.
const REMEMBERED: usize = 64;

/// The directories of this process: engines with the same one share what is known of it.
static DIRS: LazyLock<Mutex<HashMap<PathBuf, Arc<LogDir>>>> = LazyLock::new(Mutex::default);

fn dirs() -> MutexGuard<'static, HashMap<PathBuf, Arc<LogDir>>> {
    DIRS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an engine keeps of a directory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub bytes: u64,
    pub age: Duration,
}

impl Limits {
    pub fn of(config: &ExecutionConfig) -> Self {
        Self {
            bytes: config.max_total_log_bytes,
            age: Duration::from_secs(config.log_retention_secs),
        }
    }
}

/// The files of an execution in the directory of logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Log,
    StdoutOverflow,
    StderrOverflow,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Log, Self::StdoutOverflow, Self::StderrOverflow];

    fn suffix(self) -> &'static str {
        match self {
            Self::Log => ".log",
            Self::StdoutOverflow => ".stdout.overflow",
            Self::StderrOverflow => ".stderr.overflow",
        }
    }

    /// Where that file of an execution is, or would be.
    pub fn path(self, dir: &Path, id: Uuid) -> PathBuf {
        dir.join(format!("{id}{}", self.suffix()))
    }

    /// What a file is, by its name: `None` for one of somebody else.
    pub fn of_name(name: &str) -> Option<(Self, Uuid)> {
        Self::ALL.into_iter().find_map(|kind| {
            let stem = name.strip_suffix(kind.suffix())?;
            let id = Uuid::try_parse(stem).ok()?;
            // There are other spellings of an id.
            (id.to_string() == stem).then_some((kind, id))
        })
    }
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
    /// What was left by the last sweep that could not make room: by far the most of it still runs.
    stuck: AtomicU64,
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
            stuck: AtomicU64::new(0),
            sweeping: Mutex::default(),
        });
        dirs.insert(path.to_owned(), Arc::clone(&dir));
        dir
    }

    /// Notes that a file is about to grow. Where there is too much then, or where others may have written much meanwhile,
    /// makes room first.
    fn grow(&self, bytes: u64, limits: Limits) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        let grown = self.grown.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if self.needs_room(limits) || grown > limits.bytes / 8 {
            self.sweep(limits);
        }
    }

    /// Deletes what is too old, and the oldest of what is too much. Does nothing while another thread does.
    pub fn sweep(&self, limits: Limits) {
        let mut sweeping = match self.sweeping.try_lock() {
            Ok(sweeping) => sweeping,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return,
        };
        self.is_swept.store(true, Ordering::Relaxed);
        self.sweep_once(limits);
        // What was written meanwhile may have been seen or not, and is counted. It may take a second look to make room for it.
        if self.needs_room(limits) {
            self.sweep_once(limits);
        }
        *sweeping = Some(Instant::now());
    }

    fn sweep_once(&self, limits: Limits) {
        self.grown.store(0, Ordering::Relaxed);
        let stuck = match retention::sweep(&self.path, limits) {
            Ok(left) => {
                let grown = self.grown.load(Ordering::Relaxed);
                self.used.store(left + grown, Ordering::Relaxed);
                left
            }
            // It cannot be listed, and is not tried again with each line.
            Err(_) => self.used.load(Ordering::Relaxed),
        };
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
        self.dir.grow(bytes.len() as u64, self.limits);
        io::Write::write_all(&mut self.file, bytes)
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

/// Creates a file and locks it; deletes what is in its place, if it is one of this user that nobody writes.
fn create_locked(path: &Path) -> io::Result<File> {
    let begun = Instant::now();
    loop {
        match create_private(path) {
            // Another host may have deleted it before it was locked.
            Ok(file) if try_lock(&file)? && is_still_at(&file, path)? => return Ok(file),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if delete_finished(&[path.to_owned()])? == Deletion::InUse
                    && begun.elapsed() > HELD_FOR_A_MOMENT
                {
                    return Err(io::Error::other(
                        "expected a file that is not in use, found one that another execution with this id still writes",
                    ));
                }
            }
            Err(error) => return Err(error),
        }
        if begun.elapsed() > 4 * HELD_FOR_A_MOMENT {
            return Err(io::Error::other(
                "expected a new file, found another in its place again and again",
            ));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// What became of files that were to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Deletion {
    Done,
    /// One of them is written, and all were left.
    InUse,
}

/// Deletes the log and the overflow files of an execution that has finished; returns whether there were any. `None`: one of
/// them is written. Blocks.
pub(crate) fn delete_files_of(dir: &Path, id: Uuid) -> io::Result<Option<bool>> {
    let paths = Kind::ALL.map(|kind| kind.path(dir, id));
    let were_there = paths.iter().any(|path| path.symlink_metadata().is_ok());
    let begun = Instant::now();
    while delete_finished(&paths)? == Deletion::InUse {
        if begun.elapsed() > HELD_FOR_A_MOMENT {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(Some(were_there))
}

/// Deletes files of this user, all or none: each is locked, and looked at again, before the first is deleted. What is
/// not there is no error.
pub(super) fn delete_finished(paths: &[PathBuf]) -> io::Result<Deletion> {
    let mut locked = Vec::new();
    for path in paths {
        let file = match open_own(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if !try_lock(&file)? {
            return Ok(Deletion::InUse);
        }
        if is_still_at(&file, path)? {
            locked.push((path, file));
        }
    }
    for (path, _) in &locked {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(Deletion::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_bears_the_name_of_a_log_or_an_overflow_file_is_the_engines() {
        let id = Uuid::new_v4();
        for kind in Kind::ALL {
            let path = kind.path(Path::new("logs"), id);
            let name = path.file_name().and_then(|name| name.to_str());
            assert_eq!(name.and_then(Kind::of_name), Some((kind, id)));
        }
        let foreign = [
            "notes.log".into(),
            format!("{id}.txt"),
            format!("{id}.log.gz"),
            format!("{id}"),
            format!("x{id}.log"),
            format!("{{{id}}}.log"),
            format!("{}.log", id.simple()),
            format!("{}.log", id.to_string().to_uppercase()),
        ];
        for name in foreign {
            assert_eq!(Kind::of_name(&name), None, "{name}");
        }
    }
}

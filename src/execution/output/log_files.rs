//! The files that the engine has in a directory of logs: their names, and their locks.
//!
//! Whoever writes a file has locked it, until it is closed; whoever deletes one locks it first.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::api::config::ExecutionConfig;
use crate::process::files::{create_private, is_still_at, open_own, try_lock};

/// How long a lock may be held by one who deletes, or asks.
const HELD_FOR_A_MOMENT: Duration = Duration::from_millis(200);

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

/// Creates a file and locks it; deletes what is in its place, if it is one of this user that nobody writes.
pub(super) fn create_locked(path: &Path) -> io::Result<File> {
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

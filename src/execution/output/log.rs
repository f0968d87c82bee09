//! The files an execution writes: its log, its raw output, what exceeds its limits.
//!
//! All of it blocks, and is called on a blocking thread.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use memchr::memchr_iter;

use super::capture::Excess;
use crate::api::event::OutputStream;
use crate::process::files::{create_dirs, open_private, private_dir};
use crate::process::is_scarce;

/// A file that bytes are appended to. It is opened when the first are; if something fails, the file is left
/// as it is, and what was lost is told in the end.
#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    file: Option<File>,
    problem: Option<String>,
}

impl AppendFile {
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            problem: None,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether anything was written, so that there is a file to name.
    pub fn exists(&self) -> bool {
        self.file.is_some()
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.problem.is_some() || bytes.is_empty() {
            return;
        }
        if let Err(error) = self.try_write(bytes) {
            self.fail(&error);
        }
    }

    fn fail(&mut self, error: &io::Error) {
        let shown = self.path.display();
        self.problem = Some(format!("output was not written to \"{shown}\": {error}"));
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytes);
        }
        self.file
            .insert(open_patiently(&self.path)?)
            .write_all(bytes)
    }
}

/// Opens the file, and tries again for a second while descriptors are scarce.
fn open_patiently(path: &Path) -> io::Result<File> {
    let mut tries = 0;
    loop {
        match open_private(path) {
            Err(error) if is_scarce(&error) && tries < 50 => {
                tries += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            outcome => return outcome,
        }
    }
}

thread_local! {
    /// Entries on their way to a file. Of the thread, as memory that comes anew for each write costs more than the
    /// formatting.
    static ENTRIES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The log of an execution, in the format of container runtimes (CRI): each line with its time, its stream,
/// and `F`, or `P` where the line goes on in the next entry.
#[derive(Debug)]
pub(crate) struct Log {
    file: AppendFile,
    dir_checked: bool,
    written: u64,
    limit: u64,
    is_full: bool,
}

impl Log {
    pub fn new(path: PathBuf, limit: u64) -> Self {
        Self {
            file: AppendFile::new(path),
            dir_checked: false,
            written: 0,
            limit,
            is_full: false,
        }
    }

    fn write(&mut self, stream: OutputStream, chunk: &[u8], at: DateTime<Utc>) {
        if self.is_full || self.file.problem.is_some() {
            return;
        }
        if !self.dir_checked {
            self.dir_checked = true;
            check_log_dir(&mut self.file);
        }
        ENTRIES.with_borrow_mut(|entries| {
            entries.clear();
            self.format(stream, chunk, at, entries);
            self.file.write(entries);
        });
    }

    fn format(
        &mut self,
        stream: OutputStream,
        chunk: &[u8],
        at: DateTime<Utc>,
        entries: &mut Vec<u8>,
    ) {
        let at = at.to_rfc3339_opts(SecondsFormat::Nanos, true);
        let head = |tag| format!("{at} {} {tag} ", stream.as_str());
        let full = head('F');
        let mut start = 0;
        for end in memchr_iter(b'\n', chunk) {
            let line = &chunk[start..=end];
            if !self.has_room(full.len() + line.len()) {
                return;
            }
            entries.extend_from_slice(full.as_bytes());
            entries.extend_from_slice(line);
            start = end + 1;
        }
        let piece = &chunk[start..];
        let partial = head('P');
        if !piece.is_empty() && self.has_room(partial.len() + piece.len() + 1) {
            entries.extend_from_slice(partial.as_bytes());
            entries.extend_from_slice(piece);
            entries.push(b'\n');
        }
    }

    fn limit_note(&self) -> Option<String> {
        let written = self.written;
        self.is_full
            .then(|| format!("the log holds the first {written} bytes: its limit was reached"))
    }

    /// Whether an entry of that size fits; if not, none does any more.
    fn has_room(&mut self, size: usize) -> bool {
        let written = self.written + size as u64;
        self.is_full |= written > self.limit;
        if !self.is_full {
            self.written = written;
        }
        !self.is_full
    }
}

fn check_log_dir(file: &mut AppendFile) {
    if let Some(dir) = file.path.parent()
        && let Err(error) = private_dir(dir)
    {
        file.problem = Some(format!(
            "output was not logged in \"{}\": {error}",
            dir.display()
        ));
    }
}

/// The file may be anywhere, and is told by its own name.
fn make_dirs(file: &mut AppendFile) {
    if let Some(dir) = file.path.parent()
        && let Err(error) = create_dirs(dir)
    {
        file.fail(&error);
    }
}

/// All files of one execution.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub log: Option<Log>,
    pub raw: Option<AppendFile>,
    /// For what exceeds the limit of each stream.
    pub overflow: [Option<AppendFile>; 2],
}

impl Files {
    /// Appends what was read from a stream, of which that exceeds what is kept in memory.
    pub fn append(
        &mut self,
        stream: OutputStream,
        chunk: &[u8],
        excess: &Excess,
        at: DateTime<Utc>,
    ) {
        if let Some(log) = &mut self.log {
            log.write(stream, chunk, at);
        }
        if let Some(raw) = &mut self.raw {
            if !raw.exists() && raw.problem.is_none() {
                make_dirs(raw);
            }
            raw.write(chunk);
        }
        if let Some(overflow) = &mut self.overflow[stream as usize] {
            if excess.from < chunk.len() && !overflow.exists() {
                check_log_dir(overflow);
            }
            overflow.write(&excess.before);
            overflow.write(&chunk[excess.from..]);
        }
    }

    /// Begins what exceeds the limits anew: it is that of the last attempt.
    pub fn forget_overflow(&mut self) {
        for overflow in self.overflow.iter_mut().flatten() {
            let removed = if overflow.exists() {
                std::fs::remove_file(overflow.path())
            } else {
                Ok(())
            };
            *overflow = AppendFile::new(std::mem::take(&mut overflow.path));
            if let Err(error) = removed {
                overflow.fail(&error);
            }
        }
    }

    /// What became of them so far.
    pub fn state(&self) -> FilesState {
        let log = self.log.as_ref().map(|log| &log.file);
        let [out, err] = &self.overflow;
        let all = [log, self.raw.as_ref(), out.as_ref(), err.as_ref()];
        let written = |file: &AppendFile| file.exists().then(|| file.path().to_owned());
        FilesState {
            problems: all
                .into_iter()
                .flatten()
                .filter_map(|file| file.problem.clone())
                .collect(),
            log_path: log.and_then(written),
            overflow_paths: self
                .overflow
                .each_ref()
                .map(|file| file.as_ref().and_then(written)),
            log_limit_note: self.log.as_ref().and_then(Log::limit_note),
        }
    }
}

/// What became of the files of an execution.
#[derive(Debug, Default)]
pub(crate) struct FilesState {
    /// What could not be written.
    pub problems: Vec<String>,
    /// Where the log is, if anything was logged.
    pub log_path: Option<PathBuf>,
    /// Where the rest of each stream is, if there was too much of it.
    pub overflow_paths: [Option<PathBuf>; 2],
    /// For a log that does not hold everything.
    pub log_limit_note: Option<String>,
}

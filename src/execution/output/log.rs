//! The files an execution writes: its log, its raw output, what exceeds its limits.
//!
//! All of it blocks, and is called on a blocking thread.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

use super::capture::Excess;
use super::entries::{Entries, Entry};
use super::log_dir::LogFile;
use super::log_files::Limits;
use crate::api::config::ExecutionConfig;
use crate::api::event::OutputStream;
use crate::process::files::{create_dirs, open_private, private_dir};
use crate::process::is_scarce;
use crate::state::execution::Execution;

/// A file that bytes are appended to. It is opened when the first are; if something fails, the file is left
/// as it is, and what was lost is told in the end.
#[derive(Debug)]
pub(crate) struct AppendFile {
    path: PathBuf,
    file: Option<Target>,
    problem: Option<String>,
    /// Of a file in the directory of logs, which is new and has a limit.
    own: Option<Own>,
}

#[derive(Debug)]
enum Target {
    File(File),
    Log(LogFile),
}

/// What holds for a file in the directory of logs.
#[derive(Debug)]
struct Own {
    limits: Limits,
    max_size: u64,
    written: u64,
    is_full: bool,
}

impl AppendFile {
    /// A file of the user, which may be anywhere.
    pub fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            problem: None,
            own: None,
        }
    }

    /// A file in the directory of logs.
    pub fn own(path: PathBuf, config: &ExecutionConfig) -> Self {
        let own = Own {
            limits: Limits::of(config),
            max_size: config.max_log_size_bytes,
            written: 0,
            is_full: false,
        };
        Self {
            own: Some(own),
            ..Self::new(path)
        }
    }

    /// One that was opened already.
    pub fn opened(path: PathBuf, file: File) -> Self {
        Self {
            file: Some(Target::File(file)),
            ..Self::new(path)
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether anything was written, so that there is a file to name.
    pub fn exists(&self) -> bool {
        self.file.is_some()
    }

    /// Whether nothing can be written any more.
    fn is_over(&self) -> bool {
        self.problem.is_some() || self.own.as_ref().is_some_and(|own| own.is_full)
    }

    /// Takes that much of the room that there is; if there is less, nothing is written any more.
    fn take_room(&mut self, size: usize) -> bool {
        let Some(own) = &mut self.own else {
            return true;
        };
        let written = own.written + size as u64;
        own.is_full |= written > own.max_size;
        if !own.is_full {
            own.written = written;
        }
        !own.is_full
    }

    /// How many of so many bytes there is room for.
    fn fitting(&self, size: usize) -> usize {
        let room = self.own.as_ref().map(|own| own.max_size - own.written);
        room.and_then(|room| usize::try_from(room).ok())
            .map_or(size, |room| room.min(size))
    }

    /// Writes what there is room for.
    fn append(&mut self, bytes: &[u8]) {
        let fitting = self.fitting(bytes.len());
        if !self.is_over() && self.take_room(fitting) {
            self.write(&bytes[..fitting]);
        }
        if fitting < bytes.len() {
            self.take_room(bytes.len());
        }
    }

    /// Writes what there is room for already.
    fn write(&mut self, bytes: &[u8]) {
        if self.problem.is_some() || bytes.is_empty() {
            return;
        }
        if self.file.is_none() && self.own.is_some() {
            self.check_dir();
        }
        if self.problem.is_some() {
            return;
        }
        if let Err(error) = self.try_write(bytes) {
            let shown = self.path.display();
            self.problem = Some(format!("output was not written to \"{shown}\": {error}"));
        }
    }

    /// Forgets what was written.
    fn begin_anew(&mut self) {
        self.problem = None;
        if let Some(own) = &mut self.own {
            (own.written, own.is_full) = (0, false);
        }
        if self.file.take().is_some()
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            let shown = self.path.display();
            self.problem = Some(format!("\"{shown}\" was not removed: {error}"));
        }
    }

    fn check_dir(&mut self) {
        if let Some(dir) = self.path.parent()
            && let Err(error) = private_dir(dir)
        {
            let shown = dir.display();
            self.problem = Some(format!("output was not logged in \"{shown}\": {error}"));
        }
    }

    fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let target = match &mut self.file {
            Some(target) => target,
            None => self.file.insert(open(&self.path, self.own.as_ref())?),
        };
        match target {
            Target::File(file) => file.write_all(bytes),
            Target::Log(file) => file.write(bytes),
        }
    }

    /// What was lost.
    fn problem(&self) -> Option<String> {
        let is_deleted = || matches!(&self.file, Some(Target::Log(file)) if file.is_deleted());
        let deleted = || {
            format!(
                "output was written to \"{}\", which somebody has deleted meanwhile",
                self.path.display()
            )
        };
        self.problem.clone().or_else(|| is_deleted().then(deleted))
    }

    /// For a file that does not hold everything.
    fn limit_note(&self, what: &str) -> Option<String> {
        let own = self.own.as_ref().filter(|own| own.is_full)?;
        let written = own.written;
        Some(format!(
            "{what} holds the first {written} bytes: its limit was reached"
        ))
    }
}

/// Opens the file, and tries again for a second while descriptors are scarce.
fn open(path: &Path, own: Option<&Own>) -> io::Result<Target> {
    if let (None, Some(dir)) = (own, path.parent()) {
        create_dirs(dir)?;
    }
    let mut tries = 0;
    loop {
        let opened = match own {
            Some(own) => LogFile::create(path, own.limits).map(Target::Log),
            None => open_private(path).map(Target::File),
        };
        match opened {
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

/// The log of an execution.
#[derive(Debug)]
pub(crate) struct Log {
    file: AppendFile,
    entries: Entries,
    execution: Arc<Execution>,
}

impl Log {
    pub fn new(path: PathBuf, config: &ExecutionConfig, execution: &Arc<Execution>) -> Self {
        Self {
            file: AppendFile::own(path, config),
            entries: Entries::default(),
            execution: Arc::clone(execution),
        }
    }

    fn push(&mut self, stream: OutputStream, chunk: &[u8], at: DateTime<Utc>) {
        self.write(|entries, emit| entries.push(stream, chunk, at, emit));
    }

    /// Writes the entries that are given to the function it calls.
    fn write(&mut self, give: impl FnOnce(&mut Entries, &mut dyn FnMut(&Entry<'_>))) {
        let Self { file, entries, .. } = self;
        if file.is_over() {
            return;
        }
        let existed = file.exists();
        ENTRIES.with_borrow_mut(|written| {
            written.clear();
            give(entries, &mut |entry| {
                if file.take_room(entry.size()) {
                    entry.write_to(written);
                }
            });
            file.write(written);
        });
        if file.exists() != existed {
            self.execution.log_opened.set(Arc::new(()));
            self.execution.log_opened.announce();
        }
    }
}

/// What is to be written.
pub(super) struct Chunk {
    pub stream: OutputStream,
    pub bytes: Vec<u8>,
    /// The same with its escape sequences, where they were left out and are wanted.
    pub unstripped: Option<Vec<u8>>,
    /// What of it is not kept in memory.
    pub excess: Excess,
    pub at: DateTime<Utc>,
}

/// All files of one execution.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub log: Option<Log>,
    pub raw: Option<AppendFile>,
    /// For what exceeds the limit of each stream.
    pub overflow: [Option<AppendFile>; 2],
    /// Those that the request names for a stream, which then goes nowhere else.
    pub own: [Option<AppendFile>; 2],
    /// How many attempts were begun after the first.
    pub attempt: u64,
}

impl Files {
    /// Appends what was read from a stream of that attempt. The log and the raw file are those of all attempts; the others
    /// have what the last one prints.
    pub(super) fn append(&mut self, chunk: &Chunk, attempt: u64) {
        let is_of_last = attempt == self.attempt;
        if let Some(own) = &mut self.own[chunk.stream as usize] {
            if is_of_last {
                own.append(&chunk.bytes);
            }
            return;
        }
        if let Some(log) = &mut self.log {
            log.push(chunk.stream, &chunk.bytes, chunk.at);
        }
        if let Some(raw) = &mut self.raw {
            raw.append(chunk.unstripped.as_ref().unwrap_or(&chunk.bytes));
        }
        if let Some(overflow) = &mut self.overflow[chunk.stream as usize]
            && is_of_last
        {
            overflow.append(&chunk.excess.before);
            overflow.append(&chunk.bytes[chunk.excess.from..]);
        }
    }

    /// When a line that has no end yet is to be logged as far as it goes.
    pub fn next_piece(&self) -> Option<Instant> {
        self.log.as_ref()?.entries.next_piece()
    }

    /// Logs what there is of lines that nobody has finished for a while.
    pub fn write_pieces(&mut self, now: Instant) {
        if self.next_piece().is_some_and(|next| next <= now)
            && let Some(log) = &mut self.log
        {
            log.write(|entries, emit| entries.push_pieces(now, emit));
        }
    }

    /// Whether nothing is held back.
    pub fn is_finished(&self) -> bool {
        self.log
            .as_ref()
            .is_none_or(|log| log.entries.is_finished())
    }

    /// Logs what is held back; `goes_on`: whether more may come.
    pub fn finish(&mut self, goes_on: bool) {
        if let Some(log) = &mut self.log {
            log.write(|entries, emit| entries.finish(goes_on, emit));
        }
    }

    /// Begins what exceeds the limits anew: it is that of the last attempt.
    pub fn begin_attempt(&mut self) {
        self.attempt += 1;
        for overflow in self.overflow.iter_mut().flatten() {
            overflow.begin_anew();
        }
    }

    /// What became of them so far.
    pub fn state(&self) -> FilesState {
        let log = self.log.as_ref().map(|log| &log.file);
        let [out, err] = self.overflow.each_ref().map(Option::as_ref);
        let [own_out, own_err] = self.own.each_ref().map(Option::as_ref);
        let all = [log, self.raw.as_ref(), out, err, own_out, own_err].into_iter();
        let written = |file: &AppendFile| file.exists().then(|| file.path().to_owned());
        let limited = [
            (log, "the log"),
            (out, "the overflow file of stdout"),
            (err, "the overflow file of stderr"),
        ];
        FilesState {
            problems: all.flatten().filter_map(AppendFile::problem).collect(),
            log_path: log.and_then(written),
            overflow_paths: [out, err].map(|file| file.and_then(written)),
            limit_notes: limited
                .into_iter()
                .filter_map(|(file, what)| file?.limit_note(what))
                .collect(),
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
    /// For files that do not hold everything.
    pub limit_notes: Vec<String>,
}

//! Reading a log, entry by entry.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::entries::{Found, read_entry};
use crate::api::error::{ExecutionError, Result, ValidationError};
use crate::api::log::LogLine;
use crate::process::files::{is_locked, open_to_read};

/// How much is read at once, in bytes.
const READ_SIZE: u64 = 64 * 1024;

/// How much is read at once to count entries, in bytes.
const COUNTED_AT_ONCE: usize = 256 * 1024;

/// The largest entry that is waited for, in bytes: far more than the engine writes.
const LARGEST_ENTRY: usize = 16 * 1024 * 1024;

/// A log that is read, by one at a time.
#[derive(Debug)]
pub(crate) struct LogReader {
    path: PathBuf,
    file: Mutex<File>,
}

/// How much is read of a log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub lines: usize,
    pub bytes: usize,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
pub(crate) enum LogStart {
    Offset(u64),
    /// The number of an entry.
    Line(u64),
}

impl LogStart {
    /// The offset, as far as it is known without the log.
    pub fn offset(self) -> u64 {
        match self {
            Self::Offset(offset) => offset,
            Self::Line(_) => 0,
        }
    }

    pub fn found_in(self, log: &LogReader) -> Result<u64> {
        match self {
            Self::Offset(offset) => Ok(offset),
            Self::Line(line) => log.offset_of(line),
        }
    }
}

/// What was read of a log.
#[derive(Debug)]
pub(crate) struct Entries {
    pub lines: Vec<LogLine>,
    /// Where the next one begins.
    pub next: u64,
    /// Whether nothing can follow: nobody writes any more, and all was read.
    pub is_over: bool,
}

impl LogReader {
    /// Opens a log, which is to be read from that offset. `None` where there is none.
    pub fn open(path: &Path, from: u64) -> Result<Option<Self>> {
        let opened = match open_to_read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.and_then(regular),
        };
        let mut file = opened.map_err(not_read(path))?;
        check_offset(&mut file, from).map_err(not_read(path))??;
        Ok(Some(Self {
            path: path.to_owned(),
            file: Mutex::new(file),
        }))
    }

    /// Whether it is written, or something was.
    pub fn is_begun(&self) -> Result<bool> {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let is_begun = is_locked(&file).and_then(|locked| Ok(locked || file.metadata()?.len() > 0));
        is_begun.map_err(not_read(&self.path))
    }

    /// Where the entry with that number begins, the first being 0; where the last one ends, if there are fewer.
    pub fn offset_of(&self, line: u64) -> Result<u64> {
        if line == 0 {
            return Ok(0);
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        offset_of(&mut file, line).map_err(not_read(&self.path))
    }

    /// Reads the entries from an offset on that are there, so many of them at most.
    pub fn read(&self, from: u64, most: Most) -> Result<Entries> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Asked before it is read: what is written until then is read.
        let is_written = is_locked(&file).map_err(not_read(&self.path))?;
        file.seek(SeekFrom::Start(from))
            .map_err(not_read(&self.path))?;
        let mut entries = Entries {
            lines: Vec::new(),
            next: from,
            is_over: false,
        };
        let mut bytes = Vec::new();
        loop {
            let read = (&*file).take(READ_SIZE).read_to_end(&mut bytes);
            if read.map_err(not_read(&self.path))? == 0 {
                // What there is of an entry that was not written to its end is none.
                entries.is_over = !is_written;
                return Ok(entries);
            }
            let taken = self.take(&bytes, &mut entries, most.lines)?;
            let read_so_far = usize::try_from(entries.next - from).unwrap_or(usize::MAX);
            if entries.lines.len() >= most.lines || read_so_far >= most.bytes {
                return Ok(entries);
            }
            bytes.drain(..taken);
        }
    }

    /// Takes the entries at the beginning of the bytes; returns how many bytes those are.
    fn take(&self, bytes: &[u8], entries: &mut Entries, most: usize) -> Result<usize> {
        let mut taken = 0;
        while entries.lines.len() < most && taken < bytes.len() {
            match read_entry(&bytes[taken..], entries.next) {
                Found::Entry(line, size) => {
                    taken += size;
                    entries.next = line.offset;
                    entries.lines.push(line);
                }
                Found::Unfinished if bytes.len() - taken <= LARGEST_ENTRY => break,
                Found::Unfinished => {
                    let found = format!("one of more than {LARGEST_ENTRY} bytes");
                    return Err(self.foreign(entries.next, &found));
                }
                Found::Foreign(found) => return Err(self.foreign(entries.next, &found)),
            }
        }
        Ok(taken)
    }

    fn foreign(&self, offset: u64, found: &str) -> ExecutionError {
        let error = format!("expected an entry of a log at byte {offset}, found {found}");
        not_read(&self.path)(io::Error::other(error))
    }
}

/// What cannot be read of a log.
pub(crate) fn not_read(path: &Path) -> impl Fn(io::Error) -> ExecutionError {
    move |source| ExecutionError::Io {
        context: format!("log not read: \"{}\"", path.display()),
        source,
    }
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("expected a regular file, found another"))
}

/// Where a line begins; where the last one ends, if there are fewer.
fn offset_of(file: &mut File, line: u64) -> io::Result<u64> {
    let mut left = line;
    // Of the bytes that are looked at, and of the line behind those that were counted.
    let (mut at, mut offset) = (0, 0);
    file.rewind()?;
    let mut bytes = vec![0; COUNTED_AT_ONCE];
    while left > 0 {
        let read = file.read(&mut bytes)?;
        if read == 0 {
            break;
        }
        let ends = || memchr::memchr_iter(b'\n', &bytes[..read]);
        let count = ends().count() as u64;
        let last = match usize::try_from(left) {
            Ok(nth) if left <= count => ends().nth(nth - 1),
            _ => memchr::memrchr(b'\n', &bytes[..read]),
        };
        if let Some(last) = last {
            offset = at + last as u64 + 1;
        }
        left = left.saturating_sub(count);
        at += read as u64;
    }
    Ok(offset)
}

/// Checks that an entry begins there, or that the log ends there.
fn check_offset(file: &mut File, from: u64) -> io::Result<Result<()>> {
    let refused = |found: String| {
        let expected = "0, or the offset of an entry of this log";
        Ok(Err(ValidationError::new("from", expected, found).into()))
    };
    if from == 0 {
        return Ok(Ok(()));
    }
    let size = file.metadata()?.len();
    if from > size {
        return refused(format!("{from}, and the log has {size} bytes"));
    }
    let mut before = [0];
    file.seek(SeekFrom::Start(from - 1))?;
    file.read_exact(&mut before)?;
    if before == *b"\n" {
        return Ok(Ok(()));
    }
    refused(format!("{from}, which is inside of an entry"))
}

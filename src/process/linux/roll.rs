//! What the guardian has to know of each execution that is to end with the host: in a file without a name, which
//! outlives the host with the guardian.
//!
//! One line for each: group, serial, and the times before and after the start of its leader. It is there before the start,
//! and the child itself fills its group in before it executes its program: whenever the host is killed, the guardian
//! knows of whatever can have run.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::process::unix::pipe::above_stdio;

/// Digits of a group, at the beginning of its line; zeros: not known yet, or reaped.
pub(in crate::process) const GROUP_DIGITS: usize = 10;

/// How long a line is: a group, a serial and two times, spaces between them, and a newline.
const LINE: usize = GROUP_DIGITS + 16 + 20 + 20 + 4;

/// How long a start takes at most where nothing is told of that: half of what the guardian reckons with, in units of 10 ms.
const TICKS_OF_A_START: u64 = 50;

/// Where a child fills its group in.
#[derive(Debug, Clone, Copy)]
pub(in crate::process) struct Place {
    pub file: RawFd,
    pub offset: libc::off_t,
}

/// The line of one execution, which is taken out with it.
#[derive(Debug)]
pub(in crate::process) struct Entry {
    index: usize,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    group: libc::pid_t,
    serial: u64,
    /// The leader was started after this,
    after: u64,
    /// and before this; 0: within a second.
    before: u64,
}

impl Line {
    const FREE: Self = Self {
        group: 0,
        serial: 0,
        after: 0,
        before: 0,
    };

    fn text(self) -> String {
        let Self {
            group,
            serial,
            after,
            before,
        } = self;
        format!("{group:0GROUP_DIGITS$} {serial:016} {after:020} {before:020}\n")
    }
}

struct Roll {
    /// The file, once there is one.
    file: Option<File>,
    lines: Vec<Line>,
    free: Vec<usize>,
}

static ROLL: Mutex<Roll> = Mutex::new(Roll {
    file: None,
    lines: Vec::new(),
    free: Vec::new(),
});

fn roll() -> MutexGuard<'static, Roll> {
    ROLL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Roll {
    /// One write is done or not, also when the host is killed in the middle: the guardian never reads half a line.
    fn set(&mut self, index: usize, line: Line) {
        self.lines[index] = line;
        if let Some(file) = &self.file {
            // What cannot be told is told by the next write to its line, or to a new file.
            let _ = file.write_all_at(line.text().as_bytes(), (index * LINE) as u64);
        }
    }

    fn open(&mut self) -> io::Result<&File> {
        if self.file.is_none() {
            let file = File::from(nameless_file()?);
            let lines: Vec<String> = self.lines.iter().map(|line| line.text()).collect();
            file.write_all_at(lines.concat().as_bytes(), 0)?;
            self.file = Some(file);
        }
        self.file
            .as_ref()
            .ok_or_else(|| io::Error::other("expected a file"))
    }
}

impl Entry {
    /// Enters what is about to be started.
    pub fn new(serial: u64, started: u64) -> Self {
        let mut roll = roll();
        let index = roll.free.pop().unwrap_or_else(|| {
            roll.lines.push(Line::FREE);
            roll.lines.len() - 1
        });
        let line = Line {
            group: 0,
            serial,
            after: started,
            before: 0,
        };
        roll.set(index, line);
        Self { index }
    }

    /// Where the child fills its group in; `None` where the system has no such files.
    pub fn place(&self) -> Option<Place> {
        let roll = roll();
        Some(Place {
            file: roll.file.as_ref()?.as_raw_fd(),
            offset: libc::off_t::try_from(self.index * LINE).ok()?,
        })
    }

    /// Notes the group of what was started by now. The child has entered it itself, unless there was no file yet; the time
    /// is told where the start took long.
    pub fn set_group(&self, group: libc::pid_t, is_entered: bool) {
        let now = super::procfs::now();
        let mut roll = roll();
        let line = roll.lines[self.index];
        let took_long = now > line.after + TICKS_OF_A_START;
        let line = Line {
            group,
            before: if took_long { now } else { 0 },
            ..line
        };
        if is_entered && !took_long {
            roll.lines[self.index] = line;
        } else {
            roll.set(self.index, line);
        }
    }

    /// Takes the group out, before its number can become another's.
    pub fn clear_group(&self) {
        let mut roll = roll();
        let line = Line {
            group: 0,
            ..roll.lines[self.index]
        };
        roll.set(self.index, line);
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut roll = roll();
        roll.set(self.index, Line::FREE);
        roll.free.push(self.index);
    }
}

/// The file, for a guardian.
pub(in crate::process) fn file() -> io::Result<OwnedFd> {
    let mut roll = roll();
    roll.open()?.try_clone().map(OwnedFd::from)
}

fn nameless_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated.
    let fd = unsafe { libc::memfd_create(c"escher-roll".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: opened just now.
    above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_of(entry: &Entry) -> String {
        let mut line = vec![0; LINE];
        let file = File::from(file().expect("a file"));
        file.read_exact_at(&mut line, (entry.index * LINE) as u64)
            .expect("its line");
        String::from_utf8(line).expect("a text")
    }

    #[test]
    fn a_group_is_told_until_its_number_is_free_and_an_execution_until_it_is_over() {
        let before = Entry::new(7, 3);
        let line = |group: &str| format!("{group} {:016} {:020} ", 7, 3);
        assert!(line_of(&before).starts_with(&line("0000000000")));
        before.set_group(4321, false);
        assert!(line_of(&before).starts_with(&line("0000004321")));
        before.clear_group();
        assert!(line_of(&before).starts_with(&line("0000000000")));
        let index = before.index;
        drop(before);
        assert_eq!(line_of(&Entry { index }), Line::FREE.text());
    }
}

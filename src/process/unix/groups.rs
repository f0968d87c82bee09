//! The groups that are to end with the host, where the guardian finds them: in a file without a name.
//!
//! The guardian finds by its mark whatever a command has started, but a process can lose its mark: `env -i` clears it,
//! and servers that show a title write it over. As long as such a process is in the group of its execution, this is
//! how it is found. The file outlives the host with the guardian, and telling of a group is one write to memory.

use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::pipe::above_stdio;

/// How long an entry is: `-` and a number, spaces, a newline.
const ENTRY: usize = 16;

struct Groups {
    /// The file, once there is a guardian.
    file: Option<File>,
    /// Who has which entry; 0: nobody.
    entries: Vec<libc::pid_t>,
}

static GROUPS: Mutex<Groups> = Mutex::new(Groups {
    file: None,
    entries: Vec::new(),
});

fn groups() -> MutexGuard<'static, Groups> {
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Groups {
    /// One write is done or not, also when the host is killed in the middle: the guardian never reads half a number.
    fn set(&mut self, index: usize, group: libc::pid_t) {
        if let Some(entry) = self.entries.get_mut(index) {
            *entry = group;
        }
        let Some(file) = &self.file else { return };
        let text = if group == 0 {
            String::new()
        } else {
            format!("-{group}")
        };
        let line = format!("{text:<width$}\n", width = ENTRY - 1);
        // What cannot be told is still found by its mark.
        let _ = file.write_all_at(line.as_bytes(), (index * ENTRY) as u64);
    }
}

/// Tells of a group.
pub(super) fn enter(group: libc::pid_t) {
    let mut groups = groups();
    let free = groups.entries.iter().position(|entry| *entry == 0);
    let index = free.unwrap_or_else(|| {
        groups.entries.push(0);
        groups.entries.len() - 1
    });
    groups.set(index, group);
}

/// Takes a group back, before its number can become another's.
pub(super) fn leave(group: libc::pid_t) {
    let mut groups = groups();
    if let Some(index) = groups.entries.iter().position(|entry| *entry == group) {
        groups.set(index, 0);
    }
}

/// The file, for a guardian; `None` where the system has no such files.
pub(super) fn file() -> Option<OwnedFd> {
    let mut groups = groups();
    if groups.file.is_none() {
        groups.file = Some(File::from(nameless_file().ok()?));
        for (index, group) in groups.entries.clone().into_iter().enumerate() {
            groups.set(index, group);
        }
    }
    let file = groups.file.as_ref()?.try_clone();
    file.ok().map(OwnedFd::from)
}

fn nameless_file() -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated.
    let fd = unsafe { libc::memfd_create(c"escher-groups".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: opened just now.
    above_stdio(unsafe { OwnedFd::from_raw_fd(fd) })
}

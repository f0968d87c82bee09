//! A file that a command reads.

use std::fs::{Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

use super::check;
use super::pipe::above_stdio;

/// Whether a command can be given it to read. A named pipe would be opened before anybody writes to it, and look empty.
pub(crate) fn can_be_input(found: &Metadata) -> bool {
    let kind = found.file_type();
    !kind.is_dir() && !kind.is_fifo() && !kind.is_socket()
}

/// Opens it. Never waits for somebody who writes, and gets no controlling terminal.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)?;
    if !can_be_input(&file.metadata()?) {
        let message = "expected a file that can be read, found a directory, a pipe or a socket";
        return Err(io::Error::other(message));
    }
    // The command waits for what it reads.
    // SAFETY: the descriptor is open.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETFL, 0) })?;
    above_stdio(file.into())
}

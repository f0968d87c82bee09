//! The directory of this process, held on to: a child is started there wherever this process has gone since, and also
//! where no path leads there any more.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;
#[cfg(feature = "node")]
use std::sync::OnceLock;

use super::check;
use super::pipe::above_stdio;

/// A directory that is held: no other can get its identity meanwhile.
#[derive(Debug)]
pub(crate) struct Directory {
    file: File,
    /// Device and number, once they were asked for.
    #[cfg(feature = "node")]
    identity: OnceLock<Option<(u64, u64)>>,
}

impl Directory {
    /// That of this process, now. `None` where it cannot be opened: it may not be searched, or no descriptor is left.
    pub fn current() -> Option<Self> {
        #[cfg(target_os = "macos")]
        let kind = libc::O_RDONLY;
        // To be in a directory, it need not be readable.
        #[cfg(not(target_os = "macos"))]
        let kind = libc::O_PATH;
        let flags = kind | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: the path is NUL-terminated; the descriptor is open and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(check(libc::open(c".".as_ptr(), flags)).ok()?) };
        Some(Self {
            file: File::from(above_stdio(fd).ok()?),
            #[cfg(feature = "node")]
            identity: OnceLock::new(),
        })
    }

    /// Whether this process is still in it.
    #[cfg(feature = "node")]
    pub fn is_current(&self) -> bool {
        use std::os::unix::fs::MetadataExt;

        let identity = |found: std::fs::Metadata| (found.dev(), found.ino());
        let held = self
            .identity
            .get_or_init(|| self.file.metadata().map(identity).ok());
        let now = std::fs::metadata(".").map(identity).ok();
        held.is_some() && *held == now
    }

    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Whether a child gets to this directory of the host by staying where the host is, also where its path cannot be walked.
pub(crate) fn is_at(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || std::env::current_dir().is_ok_and(|now| now == dir)
}

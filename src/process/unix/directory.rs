//! The directory of this process, held on to: a child is started there wherever this process has gone since, and also
//! where no path leads there any more.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::check;

/// A directory, and its identity. While it is held no other directory can get the same one.
#[derive(Debug)]
pub(crate) struct Directory {
    file: File,
    device: u64,
    inode: u64,
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
        let file = unsafe { File::from_raw_fd(check(libc::open(c".".as_ptr(), flags)).ok()?) };
        let metadata = file.metadata().ok()?;
        Some(Self {
            file,
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Whether this process is still in it.
    pub fn is_current(&self) -> bool {
        std::fs::metadata(".").is_ok_and(|now| now.dev() == self.device && now.ino() == self.inode)
    }

    pub fn fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

/// Whether a child gets to this directory of the host by staying where the host is, also where its path cannot be walked.
pub(crate) fn is_at(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || std::env::current_dir().is_ok_and(|now| now == dir)
}

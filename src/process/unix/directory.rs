//! The directory of this process, held on to: a child is started there wherever this process has gone since, and also
//! where no path leads there any more.

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd, RawFd};
use std::path::Path;

use super::check;

/// A directory. While it is held no other one can get its identity.
#[derive(Debug)]
pub(crate) struct Directory(File);

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
        Some(Self(file))
    }

    /// Whether this process is still in it.
    #[cfg(feature = "node")]
    pub fn is_current(&self) -> bool {
        use std::fs::Metadata;
        use std::os::unix::fs::MetadataExt;

        let identity = |metadata: Metadata| (metadata.dev(), metadata.ino());
        let now = std::fs::metadata(".").map(identity).ok();
        now.is_some() && now == self.0.metadata().map(identity).ok()
    }

    pub fn fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Whether a child gets to this directory of the host by staying where the host is, also where its path cannot be walked.
pub(crate) fn is_at(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || std::env::current_dir().is_ok_and(|now| now == dir)
}

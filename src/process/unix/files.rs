//! Files that nobody else can read, reached by paths that nobody else can bend.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Creates the directory, 0700, unless it is there, and checks that it belongs to this user. Its parent must be
/// there: a directory for all users, such as that of temporary files, is not ours to make.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(refused("expected a directory to make it in, found none"));
        }
        outcome => outcome?,
    }
    let found = path.symlink_metadata()?;
    if !found.is_dir() {
        return Err(refused(
            "expected a directory, found a symbolic link or a file in its place",
        ));
    }
    if found.uid() != own_user() {
        return Err(refused(
            "expected a directory of this user, found one of another",
        ));
    }
    if found.mode() & 0o022 != 0 {
        return Err(refused(
            "expected a directory that only this user can write to",
        ));
    }
    Ok(())
}

/// Creates the directory and those above it, each 0700, unless they are there.
pub(crate) fn create_dirs(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Opens a file of this user to append to, and creates it, 0600, if it is not there. Follows no link.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        // A pipe in the way must not make the open wait for its reader.
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => refused("expected a file, found a symbolic link in the way"),
            _ => error,
        })?;
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != own_user() || found.nlink() != 1 {
        return Err(refused(
            "expected a regular file of this user with one name, found another",
        ));
    }
    Ok(file)
}

/// The same for a file that is written anew: what was in it is gone.
pub(crate) fn open_emptied(path: &Path) -> io::Result<File> {
    let file = open_private(path)?;
    file.set_len(0)?;
    Ok(file)
}

/// Opens a file of the log directory to read. Follows no link.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

fn refused(message: &str) -> io::Error {
    io::Error::other(message)
}

fn own_user() -> u32 {
    // SAFETY: takes and changes nothing.
    unsafe { libc::geteuid() }
}

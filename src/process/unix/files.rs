//! Files that nobody else can read, reached by paths that nobody else can bend.

use std::ffi::c_int;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::check;

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
    check_own(&file)?;
    Ok(file)
}

/// Creates a file, 0600, to append to. `AlreadyExists` where anything is in the way.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
}

/// Opens a file of this user that is there, to lock it before it is deleted. Follows no link.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ELOOP) => refused("expected a file, found a symbolic link in the way"),
            Some(libc::EISDIR) => refused("expected a file, found a directory in the way"),
            _ => error,
        })?;
    check_own(&file)?;
    Ok(file)
}

fn check_own(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != own_user() || found.nlink() != 1 {
        return Err(refused(
            "expected a regular file of this user with one name, found another",
        ));
    }
    Ok(())
}

/// Whether the path still leads to this file.
pub(crate) fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let own = file.metadata()?;
    match path.symlink_metadata() {
        Ok(found) => Ok((found.dev(), found.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the file has no name any more.
pub(crate) fn is_deleted(file: &File) -> bool {
    file.metadata().is_ok_and(|found| found.nlink() == 0)
}

/// Locks the file for as long as it is open, unless another has; returns whether it is locked now. The lock is that of
/// this opening of the file: another one, of this process as well, does not have it.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    match lock_call(file, libc::F_OFD_SETLK, libc::F_WRLCK) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// Whether another has locked the file, which is only asked.
pub(crate) fn is_locked(file: &File) -> io::Result<bool> {
    let found = lock_call(file, libc::F_OFD_GETLK, libc::F_RDLCK)?;
    Ok(kind_of(found.l_type) != kind_of(libc::F_UNLCK))
}

/// Gives the lock back. Closing does it as well, but tells of the close first.
pub(crate) fn unlock(file: &File) {
    drop(lock_call(file, libc::F_OFD_SETLK, libc::F_UNLCK));
}

/// Asks for a lock, or about one, on all of the file.
fn lock_call(file: &File, command: c_int, kind: impl Into<c_int>) -> io::Result<libc::flock> {
    // SAFETY: all zeros is a lock on everything from the start.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    #[expect(clippy::cast_possible_truncation, reason = "there are three kinds")]
    let kind = kind.into() as libc::c_short;
    lock.l_type = kind;
    // SAFETY: the file is open, and the lock lives through the call.
    check(unsafe { libc::fcntl(file.as_raw_fd(), command, &raw mut lock) })?;
    Ok(lock)
}

/// The kind of a lock, which is of another type on each system.
fn kind_of(kind: impl Into<c_int>) -> c_int {
    kind.into()
}

/// What sets the files of this user apart from those of others in a directory for all.
pub(crate) fn user_suffix() -> String {
    format!("-{}", own_user())
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

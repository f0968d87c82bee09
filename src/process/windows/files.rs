//! Files that nobody else can read, reached by paths that nobody else can bend.
//!
//! A directory that is made here may be used by its owner, the system and the administrators, and passes that on to
//! what is made inside. Files elsewhere have the rights that their directory gives them.

use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt, OpenOptionsExt};
use std::os::windows::io::{AsRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr;

use windows_sys::Win32::Foundation::{ERROR_ALREADY_EXISTS, ERROR_LOCK_VIOLATION, LocalFree};
use windows_sys::Win32::Security::Authorization::{
    ConvertStringSecurityDescriptorToSecurityDescriptorW, GetSecurityInfo, SDDL_REVISION_1,
    SE_FILE_OBJECT,
};
use windows_sys::Win32::Security::{
    EqualSid, GetTokenInformation, IsWellKnownSid, OWNER_SECURITY_INFORMATION,
    PSECURITY_DESCRIPTOR, PSID, TOKEN_QUERY, TOKEN_USER, TokenUser, WinBuiltinAdministratorsSid,
    WinLocalSystemSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, CreateDirectoryW, FILE_APPEND_DATA, FILE_ATTRIBUTE_DIRECTORY,
    FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS, FILE_FLAG_OPEN_REPARSE_POINT,
    FILE_READ_ATTRIBUTES, FILE_READ_DATA, FILE_TYPE_DISK, FILE_WRITE_DATA,
    GetFileInformationByHandle, GetFileType, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY,
    LockFileEx, READ_CONTROL, SYNCHRONIZE, UnlockFileEx,
};
use windows_sys::Win32::System::IO::OVERLAPPED;
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

use super::{attributes, check, check_handle, size_of_all, wide};

/// Nothing is inherited; the system, the administrators and the owner may do everything, here and inside.
const PRIVATE: &str = "D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)";

/// What is done with a file: appended to, waited for, and asked for its attributes and its owner.
const APPEND_AND_ASK: u32 = FILE_APPEND_DATA | FILE_READ_ATTRIBUTES | READ_CONTROL | SYNCHRONIZE;

/// Creates the directory, for this user alone, unless it is there, and checks that it belongs to this user. Its parent
/// must be there: a directory for all users, such as that of temporary files, is not ours to make.
pub(crate) fn private_dir(path: &Path) -> io::Result<()> {
    match create_private_dir(path) {
        Err(error) if error.raw_os_error() == Some(ERROR_ALREADY_EXISTS.cast_signed()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(refused("expected a directory to make it in, found none"));
        }
        outcome => outcome?,
    }
    let dir = OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT | FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)?;
    let attributes = dir.metadata()?.file_attributes();
    if attributes & (FILE_ATTRIBUTE_DIRECTORY | FILE_ATTRIBUTE_REPARSE_POINT)
        != FILE_ATTRIBUTE_DIRECTORY
    {
        return Err(refused(
            "expected a directory, found a link or a file in its place",
        ));
    }
    if !is_own(&dir)? {
        return Err(refused(
            "expected a directory of this user, found one of another",
        ));
    }
    Ok(())
}

fn create_private_dir(path: &Path) -> io::Result<()> {
    let path = wide(path.as_os_str())?;
    let text = wide(OsStr::new(PRIVATE))?;
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    // SAFETY: the text ends with NUL, and there is room for the address of the descriptor.
    check(unsafe {
        ConvertStringSecurityDescriptorToSecurityDescriptorW(
            text.as_ptr(),
            SDDL_REVISION_1,
            &raw mut descriptor,
            ptr::null_mut(),
        )
    })?;
    let attributes = attributes(descriptor, false);
    // SAFETY: the path ends with NUL; attributes and descriptor live through the call.
    let created = check(unsafe { CreateDirectoryW(path.as_ptr(), &raw const attributes) });
    // SAFETY: allocated by the conversion, and freed once.
    unsafe { LocalFree(descriptor) };
    created
}

/// Creates the directory and those above it unless they are there, with the rights that the topmost is given.
pub(crate) fn create_dirs(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Opens a file of this user to append to, and creates it if it is not there. Follows no link.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    open_to_append(path, APPEND_AND_ASK)
}

/// The same for a file that is written anew: what was in it is gone.
pub(crate) fn open_emptied(path: &Path) -> io::Result<File> {
    let file = open_to_append(path, APPEND_AND_ASK | FILE_WRITE_DATA)?;
    file.set_len(0)?;
    Ok(file)
}

fn open_to_append(path: &Path, access: u32) -> io::Result<File> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .access_mode(access)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)?;
    let found = information(&file)?;
    if found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(refused("expected a file, found a link in the way"));
    }
    check_own(&file, &found)?;
    Ok(file)
}

/// Creates a file to append to. `AlreadyExists` where anything is in the way.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create_new(true)
        // Only what can be read can be locked.
        .access_mode(APPEND_AND_ASK | FILE_READ_DATA)
        .open(path)
}

/// Opens a file of this user that is there, to lock it before it is deleted. Follows no link.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)?;
    let found = information(&file)?;
    if found.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(refused("expected a file, found a link in the way"));
    }
    check_own(&file, &found)?;
    Ok(file)
}

fn check_own(file: &File, found: &BY_HANDLE_FILE_INFORMATION) -> io::Result<()> {
    // SAFETY: the file is open.
    let is_file = unsafe { GetFileType(file.as_raw_handle()) } == FILE_TYPE_DISK;
    if !is_file || found.nNumberOfLinks != 1 || !is_own(file)? {
        return Err(refused(
            "expected a regular file of this user with one name, found another",
        ));
    }
    Ok(())
}

/// Whether the path still leads to this file.
pub(crate) fn is_still_at(file: &File, path: &Path) -> io::Result<bool> {
    let number = |found: &BY_HANDLE_FILE_INFORMATION| {
        (
            found.dwVolumeSerialNumber,
            found.nFileIndexHigh,
            found.nFileIndexLow,
        )
    };
    let own = information(file)?;
    match open_to_read(path) {
        Ok(found) => Ok(number(&information(&found)?) == number(&own)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether the file has no name any more.
pub(crate) fn is_deleted(file: &File) -> bool {
    information(file).is_ok_and(|found| found.nNumberOfLinks == 0)
}

/// The byte that stands for the lock: a lock on what is read would keep others from reading it.
fn locked_byte() -> OVERLAPPED {
    let mut place = OVERLAPPED::default();
    place.Anonymous.Anonymous.OffsetHigh = 0x4000_0000;
    place
}

/// Locks the file for as long as it is open, unless another has; returns whether it is locked now.
pub(crate) fn try_lock(file: &File) -> io::Result<bool> {
    lock_call(file, LOCKFILE_EXCLUSIVE_LOCK)
}

/// Whether another has locked the file. Locks it for a moment, together with others who ask.
pub(crate) fn is_locked(file: &File) -> io::Result<bool> {
    let is_free = lock_call(file, 0)?;
    if is_free {
        unlock(file);
    }
    Ok(!is_free)
}

/// Gives the lock back.
pub(crate) fn unlock(file: &File) {
    let mut place = locked_byte();
    // SAFETY: the file is open, and the place lives through the call.
    unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut place) };
}

fn lock_call(file: &File, how: u32) -> io::Result<bool> {
    let mut place = locked_byte();
    let how = how | LOCKFILE_FAIL_IMMEDIATELY;
    // SAFETY: the file is open, and the place lives through the call, which does not wait.
    match check(unsafe { LockFileEx(file.as_raw_handle(), how, 0, 1, 0, &raw mut place) }) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(ERROR_LOCK_VIOLATION.cast_signed()) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What sets the files of this user apart from those of others in a directory for all: nothing, as there is none.
pub(crate) fn user_suffix() -> String {
    String::new()
}

/// Opens a file of the log directory to read. Follows no link.
pub(crate) fn open_to_read(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(path)?;
    if information(&file)?.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT != 0 {
        return Err(refused("expected a file, found a link in the way"));
    }
    Ok(file)
}

fn refused(message: &str) -> io::Error {
    io::Error::other(message)
}

fn information(file: &File) -> io::Result<BY_HANDLE_FILE_INFORMATION> {
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the file is open, and there is room for the answer.
    check(unsafe { GetFileInformationByHandle(file.as_raw_handle(), &raw mut found) })?;
    Ok(found)
}

/// Whether the file belongs to this user, or to those who may do everything anyhow: what an administrator makes
/// belongs to all of them.
fn is_own(file: &File) -> io::Result<bool> {
    let mut owner: PSID = ptr::null_mut();
    let mut descriptor: PSECURITY_DESCRIPTOR = ptr::null_mut();
    // SAFETY: the file is open; there is room for both addresses, of which the first points into the second.
    let code = unsafe {
        GetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            OWNER_SECURITY_INFORMATION,
            &raw mut owner,
            ptr::null_mut(),
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut descriptor,
        )
    };
    if code != 0 {
        return Err(io::Error::from_raw_os_error(code.cast_signed()));
    }
    let own = with_own_user(|user| {
        // SAFETY: both are valid until the descriptor and the user are freed, which is later.
        unsafe {
            EqualSid(owner, user) != 0
                || IsWellKnownSid(owner, WinBuiltinAdministratorsSid) != 0
                || IsWellKnownSid(owner, WinLocalSystemSid) != 0
        }
    });
    // SAFETY: allocated by the question, and freed once.
    unsafe { LocalFree(descriptor) };
    own
}

fn with_own_user<T>(ask: impl FnOnce(PSID) -> T) -> io::Result<T> {
    /// More than the longest name of a user takes: 68 bytes, and what stands before it.
    const ROOM: usize = 32;
    let mut token = ptr::null_mut();
    // SAFETY: the process is this one, and there is room for the handle.
    check(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
    let token: OwnedHandle = check_handle(token)?;
    let mut user = [0_usize; ROOM];
    let mut length = 0;
    // SAFETY: the token is open, and the room has the length that is told, and is aligned.
    check(unsafe {
        GetTokenInformation(
            token.as_raw_handle(),
            TokenUser,
            user.as_mut_ptr().cast(),
            size_of_all(&user),
            &raw mut length,
        )
    })?;
    // SAFETY: filled in by the call; what it points to is behind it, in the same room.
    let user = unsafe { &*user.as_ptr().cast::<TOKEN_USER>() };
    Ok(ask(user.User.Sid))
}

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

use windows_sys::Win32::Foundation::{ERROR_ALREADY_EXISTS, LocalFree};
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
    FILE_READ_ATTRIBUTES, FILE_TYPE_DISK, FILE_WRITE_DATA, GetFileInformationByHandle, GetFileType,
    READ_CONTROL, SYNCHRONIZE,
};
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
    open_own(path, APPEND_AND_ASK)
}

/// The same for a file that is written anew: what was in it is gone.
pub(crate) fn open_emptied(path: &Path) -> io::Result<File> {
    let file = open_own(path, APPEND_AND_ASK | FILE_WRITE_DATA)?;
    file.set_len(0)?;
    Ok(file)
}

fn open_own(path: &Path, access: u32) -> io::Result<File> {
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
    // SAFETY: the file is open.
    let is_file = unsafe { GetFileType(file.as_raw_handle()) } == FILE_TYPE_DISK;
    if !is_file || found.nNumberOfLinks != 1 || !is_own(&file)? {
        return Err(refused(
            "expected a regular file of this user with one name, found another",
        ));
    }
    Ok(file)
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

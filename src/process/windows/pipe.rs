//! The pipes of a command: named ones, since only those can be read without a thread for each.

use std::ffi::OsStr;
use std::io;
use std::os::windows::io::{AsRawHandle, IntoRawHandle, OwnedHandle};
use std::path::Path;
use std::ptr;

use tokio::net::windows::named_pipe::NamedPipeServer;
use uuid::Uuid;
use windows_sys::Win32::Foundation::{ERROR_BROKEN_PIPE, GENERIC_READ, GENERIC_WRITE};
use windows_sys::Win32::Storage::FileSystem::{
    CreateFileW, FILE_FLAG_FIRST_PIPE_INSTANCE, FILE_FLAG_OVERLAPPED, FILE_FLAGS_AND_ATTRIBUTES,
    FILE_READ_ATTRIBUTES, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    FILE_WRITE_ATTRIBUTES, OPEN_EXISTING, PIPE_ACCESS_INBOUND, PIPE_ACCESS_OUTBOUND,
};
use windows_sys::Win32::System::Pipes::{
    CreateNamedPipeW, PIPE_READMODE_BYTE, PIPE_REJECT_REMOTE_CLIENTS, PIPE_TYPE_BYTE, PIPE_WAIT,
    PeekNamedPipe,
};

use super::{attributes, check, check_handle, wide};

/// How much a pipe holds, in bytes.
const PIPE_SIZE: u32 = 64 * 1024;

/// A pipe that a child writes to: the end of the host, and that of the child.
pub(super) fn from_child() -> io::Result<(OwnedHandle, OwnedHandle)> {
    pipe(PIPE_ACCESS_INBOUND, GENERIC_WRITE | FILE_READ_ATTRIBUTES)
}

/// A pipe that a child reads from.
pub(super) fn to_child() -> io::Result<(OwnedHandle, OwnedHandle)> {
    pipe(PIPE_ACCESS_OUTBOUND, GENERIC_READ | FILE_WRITE_ATTRIBUTES)
}

/// A file, for a child to read from.
pub(super) fn file(path: &Path) -> io::Result<OwnedHandle> {
    open(
        &wide(path.as_os_str())?,
        GENERIC_READ,
        FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE,
    )
}

/// The null device, for a child to read from.
pub(super) fn null_to_read() -> io::Result<OwnedHandle> {
    null(GENERIC_READ)
}

/// The null device, for a child to write to.
pub(super) fn null_to_write() -> io::Result<OwnedHandle> {
    null(GENERIC_WRITE | FILE_READ_ATTRIBUTES)
}

fn null(access: u32) -> io::Result<OwnedHandle> {
    open(
        &wide(OsStr::new(r"\\.\NUL"))?,
        access,
        FILE_SHARE_READ | FILE_SHARE_WRITE,
    )
}

fn pipe(
    direction: FILE_FLAGS_AND_ATTRIBUTES,
    access_of_child: u32,
) -> io::Result<(OwnedHandle, OwnedHandle)> {
    // A name that nobody can guess. There is one instance, and its other end is taken at once, here.
    let name = wide(OsStr::new(&format!(
        r"\\.\pipe\escher-{}-{}",
        std::process::id(),
        Uuid::new_v4()
    )))?;
    // SAFETY: the name ends with NUL; without attributes the handle is not inherited.
    let ours = check_handle(unsafe {
        CreateNamedPipeW(
            name.as_ptr(),
            direction | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS,
            1,
            PIPE_SIZE,
            PIPE_SIZE,
            0,
            ptr::null(),
        )
    })?;
    Ok((ours, open(&name, access_of_child, 0)?))
}

/// Opens something that a child inherits. Between here and the end of the start, another part of the host that
/// starts a process of its own may pass it on too: Windows has no way to inherit a handle to just one child. The
/// result does not wait for such a stranger for longer than for any other who holds the output open.
fn open(name: &[u16], access: u32, share: u32) -> io::Result<OwnedHandle> {
    let inherited = attributes(ptr::null_mut(), true);
    // SAFETY: the name ends with NUL, and the attributes live through the call.
    check_handle(unsafe {
        CreateFileW(
            name.as_ptr(),
            access,
            share,
            &raw const inherited,
            OPEN_EXISTING,
            0,
            ptr::null_mut(),
        )
    })
}

/// Makes the host's end known to the current runtime.
fn register(pipe: OwnedHandle) -> io::Result<NamedPipeServer> {
    // SAFETY: the server's end of a named pipe that was made to be overlapped; it is handed over.
    unsafe { NamedPipeServer::from_raw_handle(pipe.into_raw_handle()) }
}

/// The end of a pipe from which the output of a command is read.
#[derive(Debug)]
pub(crate) struct PipeReader(NamedPipeServer);

impl PipeReader {
    pub(super) fn new(pipe: OwnedHandle) -> io::Result<Self> {
        register(pipe).map(Self)
    }

    /// Resolves when there is something to read, or the end.
    pub async fn readable(&self) {
        // An error means that the runtime shuts down; the read that follows finds out.
        drop(self.0.readable().await);
    }

    /// Appends what is there, at most that many bytes: `None` if nothing is, 0 bytes at the end.
    pub fn try_read(&self, buffer: &mut Vec<u8>, most: usize) -> io::Result<Option<usize>> {
        let old = buffer.len();
        buffer.resize(old + most, 0);
        let read = self.0.try_read(&mut buffer[old..]);
        buffer.truncate(old + *read.as_ref().unwrap_or(&0));
        match read {
            // Nothing was written, which is no end: a program may do that.
            Ok(0) if most > 0 && !self.has_ended() => Ok(None),
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Some(0)),
            Err(error) => Err(error),
        }
    }

    /// Whether nobody is left who could write.
    fn has_ended(&self) -> bool {
        let nothing = ptr::null_mut();
        // SAFETY: the pipe is open, and nothing is asked for but whether it is whole.
        let peeked = check(unsafe {
            PeekNamedPipe(
                self.0.as_raw_handle(),
                nothing,
                0,
                ptr::null_mut(),
                ptr::null_mut(),
                ptr::null_mut(),
            )
        });
        peeked.is_err_and(|error| error.raw_os_error() == Some(ERROR_BROKEN_PIPE.cast_signed()))
    }

    /// A pipe has the size that it was made with.
    #[expect(clippy::unused_self, reason = "elsewhere a pipe can grow")]
    pub fn grow(&self, _size: i32) {}
}

/// The end of a pipe to which the input of a command is written.
#[derive(Debug)]
pub(crate) struct PipeWriter(NamedPipeServer);

impl PipeWriter {
    pub(super) fn new(pipe: OwnedHandle) -> io::Result<Self> {
        register(pipe).map(Self)
    }

    /// Writes all of it. The pipe is closed when this is dropped.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        // A write takes all it is given, and a copy of it.
        const MOST: usize = 64 * 1024;
        while !bytes.is_empty() {
            self.0.writable().await?;
            match self.0.try_write(&bytes[..bytes.len().min(MOST)]) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

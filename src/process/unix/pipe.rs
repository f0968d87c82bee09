//! The pipes between the engine and a command.

use std::ffi::c_int;
use std::io;
#[cfg(not(target_os = "macos"))]
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
#[cfg(not(target_os = "macos"))]
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::check;
use crate::process::first_poll::leave_to_runtime;

pub(in crate::process) struct Pipe {
    pub read: OwnedFd,
    pub write: OwnedFd,
}

pub(in crate::process) fn pipe() -> io::Result<Pipe> {
    let mut ends = [0; 2];
    // SAFETY: `ends` has room for the two descriptors.
    #[cfg(target_os = "linux")]
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: as above.
    #[cfg(not(target_os = "linux"))]
    check(unsafe { libc::pipe(ends.as_mut_ptr()) })?;
    // SAFETY: both were opened just now, and belong to nobody else.
    let [read, write] = ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) });
    Ok(Pipe {
        read: above_stdio(read)?,
        write: above_stdio(write)?,
    })
}

/// In a host whose own standard streams are closed, a pipe may take their numbers; the child's file actions
/// would then overwrite one end with the other. And what a host prints must not get into a file of the engine.
pub(in crate::process) fn above_stdio(fd: OwnedFd) -> io::Result<OwnedFd> {
    if cfg!(target_os = "linux") && fd.as_raw_fd() > 2 {
        return Ok(fd);
    }
    // SAFETY: `fd` is open.
    let higher = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) })?;
    // SAFETY: it was opened just now.
    Ok(unsafe { OwnedFd::from_raw_fd(higher) })
}

pub(in crate::process) fn set_nonblocking(fd: &OwnedFd) -> io::Result<()> {
    // SAFETY: `fd` is open. The flag is of this end alone: the child's end is another open file.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) }).map(drop)
}

/// The end of a pipe from which the output of a command is read.
#[derive(Debug)]
pub(crate) struct PipeReader(AsyncFd<OwnedFd>);

impl PipeReader {
    pub(in crate::process) fn new(fd: OwnedFd) -> io::Result<Self> {
        register(fd, Interest::READABLE).map(Self)
    }

    /// Resolves when there is something to read, or the end.
    pub async fn readable(&self) {
        leave_to_runtime(|context| self.0.poll_read_ready(context).is_ready()).await;
        // An error means that the runtime shuts down; the read that follows finds out.
        drop(
            self.0
                .readable()
                .await
                .map(|mut ready| ready.retain_ready()),
        );
    }

    /// Appends what is there, at most that many bytes: `None` if nothing is, 0 bytes at the end.
    pub fn try_read(&self, buffer: &mut Vec<u8>, most: usize) -> io::Result<Option<usize>> {
        buffer.reserve(most);
        let read = self.0.try_io(Interest::READABLE, |fd| {
            let room = buffer.spare_capacity_mut().as_mut_ptr().cast();
            // SAFETY: the descriptor is open, and there is room for that many bytes.
            let n = unsafe { libc::read(fd.as_raw_fd(), room, most) };
            let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
            // SAFETY: that many bytes were written behind those that were there.
            unsafe { buffer.set_len(buffer.len() + n) };
            Ok(n)
        });
        match read {
            Ok(n) => Ok(Some(n)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for a larger pipe; a refusal leaves it as it is.
    #[cfg_attr(
        not(target_os = "linux"),
        expect(clippy::unused_self, reason = "a pipe grows on Linux only")
    )]
    pub fn grow(&self, size: c_int) {
        #[cfg(target_os = "linux")]
        // SAFETY: the descriptor is open.
        unsafe {
            libc::fcntl(self.0.as_raw_fd(), libc::F_SETPIPE_SZ, size);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = size;
    }
}

/// The end of a pipe to which the input of a command is written.
#[derive(Debug)]
pub(crate) struct PipeWriter(AsyncFd<OwnedFd>);

impl PipeWriter {
    pub(in crate::process) fn new(fd: OwnedFd) -> io::Result<Self> {
        #[cfg(target_os = "macos")]
        crate::process::macos::hold_sigpipe(&fd);
        register(fd, Interest::WRITABLE).map(Self)
    }

    /// Writes all of it. The pipe is closed when this is dropped.
    pub async fn write_all(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        leave_to_runtime(|context| self.0.poll_write_ready(context).is_ready()).await;
        while !bytes.is_empty() {
            let written = self
                .0
                .async_io(Interest::WRITABLE, |fd| write_quietly(fd, bytes));
            match written.await {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Writes to a pipe. Where nobody reads any more, that is an error and no signal: the host may have left `SIGPIPE` at
/// its default, as programs do that print into pipes, and would be ended by it.
fn write_quietly(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    #[cfg(not(target_os = "macos"))]
    let held = HeldSignal::hold(libc::SIGPIPE);
    // SAFETY: the descriptor is open, and the bytes live through the call.
    let n = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(n).map_err(|_| {
        let error = io::Error::last_os_error();
        #[cfg(not(target_os = "macos"))]
        if error.raw_os_error() == Some(libc::EPIPE) {
            held.take_what_came();
        }
        error
    })
}

/// A signal that does not reach this thread while this lives.
#[cfg(not(target_os = "macos"))]
struct HeldSignal {
    signal: c_int,
    mask_before: libc::sigset_t,
    was_pending: bool,
}

#[cfg(not(target_os = "macos"))]
impl HeldSignal {
    fn hold(signal: c_int) -> Self {
        let mut pending = MaybeUninit::uninit();
        let mut before = MaybeUninit::uninit();
        // SAFETY: the sets have room, and are filled in by calls that do not fail for these arguments.
        unsafe {
            libc::sigpending(pending.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_BLOCK, &set_of(signal), before.as_mut_ptr());
            Self {
                signal,
                mask_before: before.assume_init(),
                was_pending: libc::sigismember(pending.as_ptr(), signal) == 1,
            }
        }
    }

    /// Forgets one that came since. Without waiting: one that was sent to the process as a whole, and not to this
    /// thread, may have gone to another thread meanwhile.
    fn take_what_came(&self) {
        if self.was_pending {
            return;
        }
        let at_once = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: both live through the call; nothing is to be told of the signal.
        unsafe { libc::sigtimedwait(&set_of(self.signal), ptr::null_mut(), &raw const at_once) };
    }
}

#[cfg(not(target_os = "macos"))]
impl Drop for HeldSignal {
    fn drop(&mut self) {
        // SAFETY: the mask is initialized; the one before it is not asked for.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.mask_before,
                ptr::null_mut(),
            );
        }
    }
}

#[cfg(not(target_os = "macos"))]
fn set_of(signal: c_int) -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set has room, and is initialized before it is added to.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), signal);
        set.assume_init()
    }
}

/// Makes a descriptor known to the current runtime.
pub(in crate::process) fn register(
    fd: OwnedFd,
    interest: Interest,
) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an owned descriptor stays open, and the same, until its owner is dropped.
    Ok(unsafe { AsyncFd::register_with_interest(fd, interest) }?)
}

// Elsewhere the pipe is told once.
#[cfg(all(test, not(target_os = "macos")))]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_did_not_ignore_sigpipe_is_not_ended_by_input_that_nobody_reads() {
        // SAFETY: takes numbers; what was set before is set again.
        let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
        let pipe = pipe().expect("a pipe");
        drop(pipe.read);
        let error = write_quietly(&pipe.write, b"input").expect_err("nobody reads");
        assert_eq!(error.raw_os_error(), Some(libc::EPIPE));
        // SAFETY: as above.
        unsafe { libc::signal(libc::SIGPIPE, before) };
    }

    #[test]
    fn a_sigpipe_that_went_to_another_thread_is_not_waited_for() {
        let (sender, taken) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            HeldSignal::hold(libc::SIGPIPE).take_what_came();
            let _ = sender.send(());
        });
        let taken = taken.recv_timeout(std::time::Duration::from_secs(10));
        taken.expect("an answer, although there is no signal");
    }
}

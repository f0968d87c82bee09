//! Signals to processes and groups, and their names.

use std::ffi::c_int;
use std::io;
use std::os::fd::OwnedFd;
#[cfg(target_os = "linux")]
use std::os::fd::{AsRawFd, FromRawFd};
#[cfg(target_os = "linux")]
use std::ptr;

pub(super) fn open_pidfd(pid: libc::pid_t) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: takes two numbers and returns a descriptor or -1.
        let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: opened just now; a descriptor fits its type.
        #[expect(clippy::cast_possible_truncation, reason = "a descriptor is an int")]
        Ok(unsafe { OwnedFd::from_raw_fd(fd as c_int) })
    }
    #[cfg(target_os = "macos")]
    {
        super::darwin::watch_exit(pid)
    }
    #[cfg(not(any(target_os = "linux", target_os = "macos")))]
    {
        let _ = pid;
        Err(io::Error::from_raw_os_error(libc::ENOSYS))
    }
}

/// Signals the process behind the descriptor, and no other that may have its number by now. Returns false where that
/// cannot be done: there are systems, and filters of system calls, that let such a descriptor be opened but not used.
pub(super) fn signal_pidfd(pidfd: &OwnedFd, signal: c_int) -> bool {
    #[cfg(target_os = "linux")]
    {
        // SAFETY: the descriptor is open; no signal information is passed.
        let code = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                pidfd.as_raw_fd(),
                signal,
                ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        code == 0 || io::Error::last_os_error().raw_os_error() == Some(libc::ESRCH)
    }
    #[cfg(not(target_os = "linux"))]
    {
        let _ = (pidfd, signal);
        false
    }
}

/// Signals all of a group at once. Its leader must not be reaped: its number may be another's from then on.
pub(super) fn signal_group(group: libc::pid_t, signal: c_int) {
    // SAFETY: takes two numbers. A group that is gone is no error.
    unsafe { libc::kill(-group, signal) };
}

pub(super) fn signal_process(pid: libc::pid_t, signal: c_int) {
    // SAFETY: takes two numbers. A process that is gone is no error.
    unsafe { libc::kill(pid, signal) };
}

/// The name of a signal, such as `SIGTERM`.
pub(crate) fn signal_name(signal: i32) -> String {
    let name = match signal {
        libc::SIGHUP => "SIGHUP",
        libc::SIGINT => "SIGINT",
        libc::SIGQUIT => "SIGQUIT",
        libc::SIGILL => "SIGILL",
        libc::SIGTRAP => "SIGTRAP",
        libc::SIGABRT => "SIGABRT",
        libc::SIGBUS => "SIGBUS",
        libc::SIGFPE => "SIGFPE",
        libc::SIGKILL => "SIGKILL",
        libc::SIGUSR1 => "SIGUSR1",
        libc::SIGSEGV => "SIGSEGV",
        libc::SIGUSR2 => "SIGUSR2",
        libc::SIGPIPE => "SIGPIPE",
        libc::SIGALRM => "SIGALRM",
        libc::SIGTERM => "SIGTERM",
        libc::SIGXCPU => "SIGXCPU",
        libc::SIGXFSZ => "SIGXFSZ",
        libc::SIGVTALRM => "SIGVTALRM",
        libc::SIGPROF => "SIGPROF",
        libc::SIGIO => "SIGIO",
        libc::SIGSYS => "SIGSYS",
        #[cfg(target_os = "linux")]
        libc::SIGSTKFLT => "SIGSTKFLT",
        #[cfg(target_os = "linux")]
        libc::SIGPWR => "SIGPWR",
        other => return format!("SIG{other}"),
    };
    name.to_owned()
}
